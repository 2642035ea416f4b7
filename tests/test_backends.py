"""The encoder by OpenVINO in int8: what it finds, what it refuses, and that no part of it gets lost on the way."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_double import running
from tiny_models import KINDS, SENTENCES, tiny_checkpoint

pytest.importorskip("openvino")
pytest.importorskip("nncf")

from d2e2s import cli, load_pipeline
from d2e2s.backends import export
from d2e2s.backends.openvino import FOLDER, GRAPH, NOTES, WEIGHTS
from d2e2s.checkpoints import CheckpointError
from d2e2s.errors import UserError
from d2e2s.hub import _upload

ROOT = Path(__file__).parents[1]
TEXTS = SENTENCES.strip().splitlines()
RECORD: dict[str, Any] = {
    "id": "1",
    "tokens": ["(", "Good", "food", ")", "😀", "!"],
    "triplets": [{"aspect": [2, 3], "opinion": [1, 2], "sentiment": "POS"}],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("model"))
    export.export(str(folder), iter(TEXTS))
    return folder


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


def states(extract: Any, texts: list[str]) -> torch.Tensor:
    """What the encoder gives for the words of texts, padding left out."""
    inputs = extract.processor(words=[text.split() for text in texts], return_tensors="pt")
    kept = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs}
    with torch.inference_mode():
        return extract.model.d2e2s.encoder(**kept).last_hidden_state[inputs["attention_mask"].bool()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_encoder_at_any_length(kind: str, tmp_path: Path) -> None:
    folder = str(tiny_checkpoint(tmp_path, kind))
    export.export(folder, iter(TEXTS[:2]))
    exact, rounded = load_pipeline(folder, "cpu"), load_pipeline(folder, backend="openvino")
    for texts in ([TEXTS[0]], [TEXTS[0], "good"], [" ".join(TEXTS[:3]), *TEXTS]):
        one, other = states(exact, texts), states(rounded, texts)
        assert torch.cosine_similarity(one, other, dim=-1).min() > 0.98
        assert not torch.equal(one, other)
    assert len(rounded(TEXTS)) == len(TEXTS)


def test_the_rest_may_be_in_bfloat16(exported: Path) -> None:
    extract = load_pipeline(str(exported), backend="openvino", dtype="bfloat16")
    assert {weight.dtype for weight in extract.model.parameters()} == {torch.bfloat16}
    assert states(extract, TEXTS).dtype == torch.bfloat16
    assert any(extract(TEXTS))


def test_threads_may_share_a_pipeline(exported: Path) -> None:
    extract = load_pipeline(str(exported), backend="openvino")
    alone = [extract(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(extract, TEXTS * 8)) == alone * 8


def test_command_calibrates_compares_and_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = tiny_checkpoint(tmp_path / "model"), tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    words = [str(rows), "--text_column", "tokens", "--model", str(folder)]
    assert cli.main(["export", *words, "--check", str(rows)]) == 0
    where, line = capsys.readouterr().out.splitlines()
    assert where.startswith(f"{folder / FOLDER}: ") and line.startswith("triplet F1 ")
    assert cli.main(["predict", *words, "--backend", "openvino", "--out", str(tmp_path / "out.jsonl")]) == 0
    before = (folder / FOLDER / GRAPH).read_bytes()
    monkeypatch.setattr(export, "MAY_LOSE_F1", -1.0)
    monkeypatch.setattr(export, "MAY_LOSE_TRIPLETS", -1)
    assert cli.main(["export", *words, "--check", str(rows)]) == 2
    assert "too much is lost, nothing was written" in capsys.readouterr().err
    assert (folder / FOLDER / GRAPH).read_bytes() == before  # the one that was there stays


def test_nobody_is_told_that_it_runs() -> None:
    code = (
        "import sys; from d2e2s.backends import openvino as o; o.openvino(); print(sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "None"


def test_others_are_heard_as_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = [(handler, handler.level) for handler in logging.root.handlers]
    export.export(str(tiny_checkpoint(tmp_path)), iter(TEXTS))
    assert [(handler, handler.level) for handler in logging.root.handlers] == before
    logging.getLogger("anyone").warning("heard")
    assert "heard" in caplog.text


@pytest.mark.parametrize(("right", "refused"), [(97, False), (96, True)])
def test_what_may_be_lost_of_few_triplets(right: int, refused: bool) -> None:
    """Three of a hundred are more than half a point."""
    counts = [np.array([[number, 100, 100]]) for number in (100, right)]
    if not refused:
        assert export.compared(*counts) == f"triplet F1 100.00 in float32, {right}.00 in int8"
    else:
        with pytest.raises(UserError, match="96.00 in int8: too much is lost"):
            export.compared(*counts)


@pytest.mark.parametrize(("right", "refused"), [(9950, False), (9949, True)])
def test_what_may_be_lost_of_many_triplets(right: int, refused: bool) -> None:
    counts = [np.array([[number, 10000, 10000]]) for number in (10000, right)]
    if not refused:
        assert "99.50 in int8" in export.compared(*counts)
    else:
        with pytest.raises(UserError, match="99.49 in int8: too much is lost"):
            export.compared(*counts)


def test_gold_triplets_are_placed_as_the_pipeline_places_them(exported: Path) -> None:
    text = " ".join(RECORD["tokens"])
    ((a, b, c, d, sentiment),) = export._gold(RECORD)
    assert (text[a:b], text[c:d], sentiment) == ("food", "Good", "POS")
    extract = load_pipeline(str(exported), "cpu", threshold=0.0)
    counts = export.scored(extract, [RECORD, {**RECORD, "triplets": None}])
    found = extract([RECORD["tokens"]])[0]
    right = any((f["aspect"]["start"], f["opinion"]["start"], f["sentiment"]) == (a, c, "POS") for f in found)
    assert counts.tolist() == [[int(right), len(found), 1]]


def test_a_corpus_goes_on_with_its_own_backend(exported: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    command = ["predict", str(tmp_path / "in"), "--out", f"{tmp_path / 'out'}/", "--model", str(exported)]
    command += ["--device", "cpu"]
    assert cli.main(command) == 0
    assert cli.main([*command, "--backend", "openvino"]) == 2
    assert "was begun with another model" in capsys.readouterr().err


# --- what is refused --------------------------------------------------------------------------------------


def test_weights_that_have_changed_since(model: Path) -> None:
    network = load_pipeline(str(model), "cpu").model
    with torch.no_grad():
        next(iter(network.d2e2s.encoder.parameters())).add_(1e-3)  # type: ignore[union-attr]
    network.save_pretrained(model)
    (model / "SHA256SUMS").unlink(missing_ok=True)
    with pytest.raises(UserError, match="was exported from other weights: export the encoder again"):
        load_pipeline(str(model), backend="openvino")


@pytest.mark.parametrize("file", [GRAPH, WEIGHTS, NOTES])
@pytest.mark.parametrize("sealed", [True, False])
def test_damaged_files(file: str, sealed: bool, model: Path) -> None:
    path = model / FOLDER / file
    path.write_bytes(path.read_bytes()[:30])
    if not sealed:
        (model / FOLDER / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match=file if sealed else r"openvino"):
        load_pipeline(str(model), backend="openvino")


def test_nothing_was_exported(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(model / FOLDER)
    assert cli.main(["predict", "Good food.", "--model", str(model), "--backend", "openvino"]) == 2
    assert capsys.readouterr().err.strip() == (
        f"error: {model}: holds no encoder for OpenVINO; write one with: d2e2s export REVIEWS --model {model}"
    )


def test_what_it_cannot_do(exported: Path) -> None:
    with pytest.raises(UserError, match="backend 'onnx': expected torch or openvino"):
        load_pipeline(str(exported), backend="onnx")
    with pytest.raises(UserError, match="backend 'openvino' computes on the CPU, not on cuda:0"):
        load_pipeline(str(exported), "cuda:0", backend="openvino")
    with pytest.raises(UserError, match="there is no text to calibrate on"):
        export.export(str(exported), iter(["", " "]))


@pytest.mark.parametrize("missing", ["openvino", "nncf"])
def test_without_the_extra(missing: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=rf'needs {missing}: pip install "d2e2s\[openvino\]"'):
        export.export(str(model), iter(TEXTS))


def test_name_of_the_hub(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is pushed with the model, and fetched with it."""
    with running() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        _upload(exported, "someone/exported", "model", private=False)
        found = load_pipeline("someone/exported", backend="openvino")(TEXTS)
    assert found == load_pipeline(str(exported), backend="openvino")(TEXTS)


def test_a_disk_that_is_full(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of writing: what was there stays."""
    before = {path.name: path.read_bytes() for path in (model / FOLDER).iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "seal", full)
    with pytest.raises(OSError, match="is there room on the disk"):
        export.export(str(model), iter(TEXTS))
    assert {path.name: path.read_bytes() for path in (model / FOLDER).iterdir()} == before
