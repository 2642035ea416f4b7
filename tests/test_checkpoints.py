"""Every combination trains, saves, and answers the same where this package is not installed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from model_cases import CHOICES, RECORDS, inputs_of, small_model, tiny_bert
from safetensors.torch import load_file, save_file
from torch import Tensor

from d2e2s import D2E2SForTripletExtraction

NAMES = ["one word", "overlap", "two opinions", "no parse", "lost word", "too wide"]
COMBINATIONS = list(itertools.product(CHOICES, (0.0, 0.1), (False, True)))

ELSEWHERE = """
import json
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoProcessor, AutoTokenizer

job = json.load(open(sys.argv[1]))
for folder in job["folders"]:
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    assert not model.training and type(model).__name__ == "D2E2SForTripletExtraction"
    assert model.config.fusion_type == config.fusion_type
    assert processor.tokenizer.get_vocab() == tokenizer.get_vocab()
    with torch.inference_mode():
        output = model(**processor(**job["inputs"]))
    save_file({name: output[name].contiguous() for name in job["outputs"]}, f"{folder}/elsewhere.safetensors")
"""
OUTPUTS = ("triplets", "scores", "span_logits", "pair_logits", "aspects", "opinions", "loss")


def train(model: D2E2SForTripletExtraction, inputs: Any) -> None:
    """Two steps."""
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    for _ in range(2):
        loss = model(**inputs).loss
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    model.eval()


def answers(model: D2E2SForTripletExtraction, inputs: Any) -> dict[str, Tensor]:
    with torch.inference_mode():
        output = model(**inputs)
    return {name: output[name].contiguous() for name in OUTPUTS}


@pytest.mark.slow
def test_every_combination_reloads_without_the_package(tmp_path: Path) -> None:
    encoder, processor = tiny_bert(tmp_path / "encoder")
    inputs = inputs_of(processor, *NAMES)
    folders = []
    for number, (choice, contrastive, boundary) in enumerate(COMBINATIONS):
        fields = {"contrastive_loss_weight": contrastive, "boundary_refinement": boundary, "dropout": 0.1}
        model = small_model(encoder, choice, seed=number, graph_consistency_weight=0.1, **fields)
        train(model, inputs)
        folders.append(tmp_path / "-".join((*choice, *map(str, (contrastive, boundary)))))
        model.save_pretrained(folders[-1])
        processor.save_pretrained(folders[-1])
        save_file(answers(model, inputs), folders[-1] / "here.safetensors")
    rows = [RECORDS[name] for name in NAMES]
    columns = {field: [row[field] for row in rows] for field in ("heads", "deprels", "triplets")}
    words = {"words": [row["tokens"] for row in rows], **columns}
    (tmp_path / "job.json").write_text(
        json.dumps({"folders": [*map(str, folders)], "inputs": words, "outputs": OUTPUTS})
    )
    run_elsewhere(ELSEWHERE, tmp_path, str(tmp_path / "job.json"))
    for folder in folders:
        here, elsewhere = (load_file(folder / f"{place}.safetensors") for place in ("here", "elsewhere"))
        assert here.keys() == elsewhere.keys() == set(OUTPUTS)
        for name, value in here.items():
            assert torch.equal(value, elsewhere[name]), f"{folder.name}: {name}"
