"""Figures in README and docs are the ones of the results files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import parameters, scaling, speed
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


def results(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "section"), [("speed.json", speed.section), ("scaling.json", scaling.section)])
def test_speed_page_shows_the_results_files(name: str, section: Callable[[Any], str]) -> None:
    assert section(results(name)) in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def test_readme_gives_the_measured_speed() -> None:
    ratios, readme = results("speed.json")["ratios"], (ROOT / "README.md").read_text(encoding="utf-8")
    names = ("train_step_cross_attention", "evaluate_file_order", "raw_text")
    sentence = readme[readme.index("On two CPU threads") : readme.index("([speed](docs/speed.md))")]
    assert re.findall(r"[0-9]+\.[0-9]+", sentence) == [f"{ratios[name]:.2f}" for name in names]


def test_reliability_page_gives_what_ten_kills_came_to() -> None:
    found, page = results("faults.json"), (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    seconds = found["seconds"]
    memory = [round(quarter) for quarter in found["memory"]["peak_mb_by_quarter"][0]]
    for text in (
        f"{found['rows_in']:,} rows in, {found['rows_out']:,} out, {found['rejected']} rejected, "
        f"{found['duplicates']} twice, {found['lost']} lost, in order; {found['kills']} kills",
        f"{seconds['1']:.2f} s with one process, {seconds['2']:.2f} s with two",
        f"{', '.join(map(str, memory[:-1]))} and {memory[-1]} MB",
    ):
        assert text in page
    assert found["in_order"] and found["same_shards_as_without_kills"]
