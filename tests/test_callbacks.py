"""Costs are measured; a look at test is written down and changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_encoder
from tiny_runs import command, main

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.evaluation.thresholds import to_triplets
from d2e2s.metrics.aste.scoring import triplet_metrics
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.costs import PEEKED, REFERENCE_BATCH, Costs
from d2e2s.training.run import run

SAMPLE = Path(__file__).parents[1] / "data_scripts" / "sample_corpus"
SIZES = {"train": 24, "dev": 16, "test": 21}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same short sentences in every split: even a tiny model learns some of them by heart."""
    folder = tmp_path_factory.mktemp("data")
    short = [record for record in read_records(SAMPLE / "train.jsonl") if len(record["tokens"]) < 12]
    for split, size in SIZES.items():
        write_records(folder / f"{split}.jsonl", short[:size])
    tiny_encoder("bert", folder / "encoder")
    return folder


def words(data: Path, output_dir: Path, **extra: Any) -> list[str]:
    """Command line of a run that learns quickly."""
    fast = {"num_train_epochs": 6, "per_device_train_batch_size": 2, "learning_rate": 3e-3, "head_learning_rate": 3e-3}
    return command(data, output_dir, do_eval=True, **{**fast, **extra})


@pytest.fixture(scope="module")
def peeking(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("peeking")
    (folder / PEEKED).write_text('[{"epoch": 0.5, "triplet_f1": 1.0}]')  # of another run
    return folder, run(parse_arguments(words(data, folder, peek_at_test=True)))


def test_a_look_at_test_changes_nothing(data: Path, peeking: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, figures = peeking
    plain = run(parse_arguments(words(data, tmp_path)))
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    names = [name for name in plain if "f1" in name or "threshold" in name]
    assert len(names) > 20 and {name: figures[name] for name in names} == {name: plain[name] for name in names}
    assert not (tmp_path / PEEKED).exists()


def test_what_was_seen_of_test(peeking: tuple[Path, dict[str, Any]]) -> None:
    """A figure for each epoch, at the threshold that dev chose at that epoch."""
    folder, _ = peeking
    seen = json.loads((folder / PEEKED).read_text())
    assert [entry["epoch"] for entry in seen] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    thresholds = [entry["eval_threshold"] for entry in history if "eval_threshold" in entry]
    assert [entry["threshold"] for entry in seen] == thresholds
    assert {entry["sentences_whole_batches"] for entry in seen} == {SIZES["test"] // REFERENCE_BATCH * REFERENCE_BATCH}
    assert all(0 <= entry[name] <= 1 for entry in seen for name in ("triplet_f1", "triplet_f1_whole_batches"))


def test_a_look_is_scored_like_the_model_itself(peeking: tuple[Path, dict[str, Any]]) -> None:
    """The saved model, with the threshold and without the temperature that it had at its epoch."""
    folder, _ = peeking
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    scores = [entry["eval_triplet_f1"] for entry in history if "eval_triplet_f1" in entry]
    seen = json.loads((folder / PEEKED).read_text())[scores.index(max(scores))]
    options = {"temperature": 1.0, "decision_threshold": seen["threshold"]}
    model = D2E2SForTripletExtraction.from_pretrained(folder, **options).eval()
    records = read_records(folder / "predictions_test.jsonl")
    inputs = D2E2SProcessor.from_pretrained(folder)(*([r[key] for r in records] for key in ("tokens", "heads")))
    with torch.inference_mode():
        found = to_triplets(model(**inputs).triplets.numpy(), model.config.sentiment_labels)
    gold = [[(*t["aspect"], *t["opinion"], t["sentiment"]) for t in record["triplets"]] for record in records]
    assert 0 < seen["triplet_f1"] == pytest.approx(triplet_metrics(found, gold)["triplet_f1"])
    assert seen["triplet_f1_whole_batches"] == pytest.approx(triplet_metrics(found[:16], gold[:16])["triplet_f1"])


def test_peeking_needs_a_run_that_trains_and_tests(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(words(data, tmp_path, peek_at_test=True, do_predict=None)) == 2
    assert "--peek_at_test scores test while training" in capsys.readouterr().err


def test_costs(peeking: tuple[Path, dict[str, Any]]) -> None:
    _, figures = peeking
    assert 0 < figures["train_seconds_per_step"] < figures["train_runtime"]
    assert 0.01 < figures["train_peak_memory_gb"] < 100
    assert set(Costs().figures(torch.device("cpu"))) == {"train_peak_memory_gb"}


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert Costs().figures(torch.device("cpu")) == {}


def test_predictions_without_heads_are_kept(peeking: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = peeking
    assert len(read_records(folder / "predictions_test_predicted_syntax.jsonl")) == SIZES["test"]
