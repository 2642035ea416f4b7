"""Figures in README and docs are the ones of the results files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import parameters
from d2e2s import compare

ROOT = Path(__file__).resolve().parents[1]


def run(seed: int, f1: float, **config: str) -> dict[str, Any]:
    figures = {name: f1 for name in compare.FIGURES}
    arguments = {"config": config, "data": {"dataset_name": "d"}, "training": {"num_train_epochs": 1}}
    return {"seed": seed, "encoder": "e", "arguments": arguments, **figures}


def test_readme_shows_the_results_files() -> None:
    table = compare.table(compare.read_runs(ROOT / "results" / "runs"))
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_architecture_page_shows_the_measured_parameters() -> None:
    measured = json.loads((ROOT / "results" / "parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert parameters.table(measured) in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_runs_that_differ_in_their_seed_share_a_row() -> None:
    (row,) = compare.rows([run(1, 0.5), run(2, 0.7)])
    assert row[3] == "1, 2"
    assert row[4] == "60.00 ± 14.14"


def test_other_models_have_their_own_row() -> None:
    assert len(compare.rows([run(1, 0.5), run(1, 0.7, fusion_type="tin")])) == 2


def test_another_recipe_is_not_another_seed() -> None:
    longer = run(2, 0.7)
    longer["arguments"]["training"]["num_train_epochs"] = 2
    assert len(compare.rows([run(1, 0.5), longer])) == 2


def test_one_seed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="two results files of one seed"):
        compare.rows([run(1, 0.5), run(1, 0.5)])


def test_no_placeholder_is_left() -> None:
    assert "_OUTPUT" not in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results files"):
        compare.read_runs(tmp_path)
