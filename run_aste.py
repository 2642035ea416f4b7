#!/usr/bin/env python
"""Train and score a model for aspect sentiment triplet extraction.

The quickstart: trains on the sample corpus, scores, saves, and prints a few predictions:

    python run_aste.py configs/quickstart.yaml

A benchmark (the file says how to get its data), on the encoder of base size, and on a small one:

    python run_aste.py configs/14res.yaml --bf16
    python run_aste.py configs/14res.yaml configs/minilm.yaml

Arguments alone, or arguments that override a file:

    python run_aste.py --encoder_name_or_path microsoft/deberta-v3-base --train_file data/14res/train.jsonl \\
        --validation_file data/14res/dev.jsonl --test_file data/14res/test.jsonl --output_dir outputs/14res \\
        --do_train --do_eval --do_predict --fusion_type tin --seed 43
    python run_aste.py configs/14res.yaml --resume_from_checkpoint true

Train the built-in parser on a treebank too (data_scripts/read_conllu.py makes the files), and score it there:

    python run_aste.py configs/14res.yaml --parser_file data/ewt/train.jsonl --parser_test_file data/ewt/test.jsonl

Score a checkpoint:

    python run_aste.py --model_name_or_path outputs/14res --output_dir outputs/14res-again \\
        --do_predict --test_file data/14res/test.jsonl

Several processes:

    accelerate launch --config_file configs/accelerate/multi_gpu.yaml run_aste.py configs/14res.yaml
    accelerate launch --config_file configs/accelerate/cpu.yaml run_aste.py configs/quickstart.yaml --use_cpu

All arguments: `python run_aste.py --help`.
"""

import sys

from d2e2s.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
