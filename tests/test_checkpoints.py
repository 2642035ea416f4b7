"""Checkpoints: every combination answers the same where this package is not installed; pipelines save all or nothing,
in any precision; and who may read the folder may read the weights.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from model_cases import CHOICES, RECORDS, inputs_of, small_model, tiny_bert
from safetensors.torch import load_file, save_file
from tiny_models import tiny_checkpoint
from tiny_runs import make_trainer, write_data
from torch import Tensor
from transformers import pipeline

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline
from d2e2s.checkpoints import SUMS, check, seal

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


# --- a pipeline saves -------------------------------------------------------------------------------------

TEXT = "We had the pizza, and the waiter was not friendly. Great wine at a bad place!"
SAVE = """
import json
from transformers import pipeline

source, target, text = sys.argv[1:]
pipeline(model=source, trust_remote_code=True, dtype="bfloat16", device="cpu").save_pretrained(target)
extract = pipeline(model=target, trust_remote_code=True, device="cpu")
assert extract.model.dtype == torch.bfloat16
print(json.dumps(extract(text, threshold=0.0)))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def in_bfloat16(folder: Path) -> TripletExtractionPipeline:
    model = D2E2SForTripletExtraction.from_pretrained(folder, dtype=torch.bfloat16)
    return TripletExtractionPipeline(model, processor=D2E2SProcessor.from_pretrained(folder), device="cpu")


def test_pipeline_in_bfloat16_saves_and_reloads(saved: Path, tmp_path: Path) -> None:
    extract = pipeline(model=str(saved), trust_remote_code=True, dtype="bfloat16", device="cpu")
    extract.save_pretrained(tmp_path)
    again = pipeline(model=str(tmp_path), trust_remote_code=True, device="cpu")
    assert again.model.dtype == torch.bfloat16 and load_file(tmp_path / "model.safetensors").keys()
    assert again(TEXT, threshold=0.0) == extract(TEXT, threshold=0.0) != []
    assert "dtype" not in json.loads((tmp_path / "tokenizer_config.json").read_text())
    in_bfloat16(saved).save_pretrained(tmp_path / "own class")
    assert in_bfloat16(tmp_path / "own class")(TEXT, threshold=0.0) == extract(TEXT, threshold=0.0)


@pytest.mark.slow
def test_pipeline_in_bfloat16_saves_where_the_package_is_not_installed(saved: Path, tmp_path: Path) -> None:
    found = json.loads(run_elsewhere(SAVE, tmp_path, str(saved), str(tmp_path / "saved"), TEXT))
    expected = in_bfloat16(saved)(TEXT, threshold=0.0)
    assert [{**triplet, "score": 0} for triplet in found] == [{**triplet, "score": 0} for triplet in expected]
    assert [t["score"] for t in found] == pytest.approx([t["score"] for t in expected], abs=1e-2) and found


def test_pipeline_saves_over_an_existing_folder(saved: Path, tmp_path: Path) -> None:
    """Over the very files it was loaded from; weights in other files and checksums of what stood there go."""
    folder = tiny_checkpoint(tmp_path, seed=1)
    (folder / "model-00001-of-00002.safetensors").touch()
    (folder / "model.safetensors.index.json").touch()
    (folder / "notes.txt").touch()
    seal(folder, "*.safetensors")
    extract = in_bfloat16(folder)
    extract.save_pretrained(folder)
    assert in_bfloat16(folder)(TEXT, threshold=0.0) == extract(TEXT, threshold=0.0)
    assert {path.name for path in folder.glob("*.safetensors*")} == {"model.safetensors"}
    assert (folder / "notes.txt").is_file() and not (folder / SUMS).exists()
    assert not list(folder.glob(".*"))


def test_pipeline_that_cannot_save_leaves_what_stood_there(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    extract = in_bfloat16(saved)
    tiny_checkpoint(tmp_path / "old")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").glob("*.*")}
    monkeypatch.setattr(extract.processor, "save_pretrained", full)
    for name in ("new", "old"):
        with pytest.raises(OSError, match="No space left"):
            extract.save_pretrained(tmp_path / name)
    assert not list((tmp_path / "new").iterdir())
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").glob("*.*")} == before
    (tmp_path / "a file").touch()
    with pytest.raises(FileExistsError):
        extract.save_pretrained(tmp_path / "a file")


# --- who may read them ------------------------------------------------------------------------------------


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def rights(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()
    }


def test_files_of_a_run_follow_the_umask(tmp_path: Path, umask: int) -> None:
    """Model, processor, and of a checkpoint the optimiser, the random state and the weights beside the EMA too."""
    trainer = make_trainer(write_data(tmp_path, train=8, dev=4), tmp_path / "out", ema_decay=0.9, num_train_epochs=1)
    trainer.train()
    trainer.save_model()
    found = rights(tmp_path / "out")
    wanted = {"model.safetensors", "tokenizer.json", "processor_config.json", "config.json", SUMS}
    assert {"optimizer.pt", "training_weights.safetensors"} <= {name.rpartition("/")[2] for name in found}
    assert wanted <= {*found} and set(found.values()) == {oct(0o666 & ~umask)}, found
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert "model.safetensors" in check(checkpoint)


def test_files_of_a_pipeline_follow_the_umask(saved: Path, tmp_path: Path, umask: int) -> None:
    in_bfloat16(saved).save_pretrained(tmp_path)
    assert set(rights(tmp_path).values()) == {oct(0o666 & ~umask)}
