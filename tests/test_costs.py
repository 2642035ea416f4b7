"""What a run costs is measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_encoder
from tiny_runs import command

from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.costs import Costs
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
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, run(parse_arguments(words(data, folder, num_train_epochs=1)))


def test_costs(finished: tuple[Path, dict[str, Any]]) -> None:
    _, figures = finished
    assert 0 < figures["train_seconds_per_step"] < figures["train_runtime"]
    assert 0.01 < figures["train_peak_memory_gb"] < 100
    assert set(Costs().figures(torch.device("cpu"))) == {"train_peak_memory_gb"}


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert Costs().figures(torch.device("cpu")) == {}


def test_predictions_without_heads_are_kept(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    assert len(read_records(folder / "predictions_test_predicted_syntax.jsonl")) == SIZES["test"]
