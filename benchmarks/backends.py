"""How fast and how exact each backend is, from raw text to triplets on a CPU.

    pip install -c constraints.txt -e ".[openvino,bench]"
    d2e2s export data/14res/train.jsonl --text_column tokens --model outputs/14res
    python -m benchmarks.backends outputs/14res --data data/14res/test.jsonl \\
        --score data/14*/[dt]e*.jsonl data/15res/[dt]e*.jsonl --out results/backends.jsonl --page docs/speed.md

The sides take turns in one process, on the same texts. F1 is that of all files of `--score` together, from their words
alone; it says how near a side comes to float32, not how good the model is.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d2e2s import TripletExtractionPipeline
from d2e2s.backends.cpu import cpu_formats
from d2e2s.backends.export import scored
from d2e2s.data_scripts.records import Record, read_records
from d2e2s.evaluation.thresholds import micro_f1
from d2e2s.prediction.predict import load_pipeline

from .report import markdown_table, option_parser, show
from .timing import CPU, about, interleaved, ratio

# What `load_pipeline` is given for each; the first is what the others are compared with.
SIDES = {
    "torch, float32": {"dtype": "float32"},
    "torch, bfloat16": {"dtype": "bfloat16"},
    "openvino, int8": {"backend": "openvino"},
    "openvino, int8, the rest in bfloat16": {"backend": "openvino", "dtype": "bfloat16"},
}
BASE = next(iter(SIDES))
TEXTS_AT_ONCE = 128  # a turn of a side
HEADER = ("model", "backend", "sentences a second", "times float32 (quartiles)", "F1", "texts with other triplets")


def measure(model: str, texts: Sequence[str], files: Sequence[Sequence[Record]], rounds: int) -> list[dict[str, Any]]:
    """A line for each side."""
    sides = {name: load_pipeline(model, "cpu", **options) for name, options in SIDES.items()}
    cuts = [*range(0, len(texts), TEXTS_AT_ONCE), len(texts)]
    jobs = {name: [partial(side, list(texts[a:b])) for a, b in pairwise(cuts)] for name, side in sides.items()}
    seconds = interleaved(jobs, rounds, CPU)
    found = {name: list(map(without_scores, side(list(texts)))) for name, side in sides.items()}
    return [
        {
            "side": name,
            "sentences_per_second": len(texts) / statistics.median(seconds[name]),
            "times_float32": ratio(seconds[BASE], seconds[name]),
            "f1": pooled_f1(side, files),
            "f1_of_each_file": [pooled_f1(side, [file]) for file in files],
            "texts": len(texts),
            "texts_with_other_triplets": sum(a != b for a, b in zip(found[name], found[BASE], strict=True)),
        }
        for name, side in sides.items()
    ]


def without_scores(triplets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in triplet.items() if key != "score"} for triplet in triplets]


def pooled_f1(extract: TripletExtractionPipeline, files: Sequence[Sequence[Record]]) -> float:
    return float(micro_f1(np.concatenate([scored(extract, file) for file in files])))


def section(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            line["model"],
            line["side"],
            f"{line['sentences_per_second']:.0f}",
            "{ratio:.2f} ({low:.2f} to {high:.2f})".format(**line["times_float32"]),
            f"{100 * line['f1']:.2f}",
            f"{line['texts_with_other_triplets']} of {line['texts']}",
        ]
        for line in lines
    ]
    found = lines[0]["environment"]
    where = f"{found['cpu']} ({', '.join(found['multiplies']) or 'neither'}), {found['threads']} threads"
    return f"`{lines[0]['command']}`\n\n{where}, torch {found['torch']}.\n\n{markdown_table(HEADER, rows)}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, "lines of results, JSONL")
    add = parser.add_argument
    add("models", nargs="+", help="folders of checkpoints, exported")
    add("--data", type=Path, required=True, help="JSONL of records; each is a text")
    add("--score", type=Path, nargs="+", required=True, help="JSONL of records, for F1")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    texts = [" ".join(record["tokens"]) for record in read_records(options.data)]
    files = [read_records(path) for path in options.score]
    found = about()
    found["environment"]["multiplies"] = cpu_formats()
    lines = [
        {"model": Path(model).name, **found, **line}
        for model in options.models
        for line in measure(model, texts, files, options.rounds)
    ]
    options.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    show(section(lines), options.page, "backends")


if __name__ == "__main__":
    main()
