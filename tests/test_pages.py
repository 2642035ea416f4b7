"""The tables of the pages are what their scripts make of the results files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import backends, engines, operators, parameters, runs, scaling, serving, speed
from d2e2s.evaluation.results import read_runs
from experiments import tables

ROOT = Path(__file__).resolve().parents[1]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def results(name: str) -> dict[str, Any]:
    return json.loads(read(f"results/{name}"))


def test_readme_shows_the_runs() -> None:
    assert runs.table(read_runs(ROOT / "results" / "recipe.jsonl")) in read("README.md")


def test_architecture_page_shows_the_measured_parameters() -> None:
    assert parameters.table(results("parameters.json")["parameters"]) in read("docs/architecture.md")


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("speed.json", speed.section),
        ("speed_gpu.json", speed.section),
        ("operators.json", operators.section),
        ("scaling.json", scaling.section),
    ],
)
def test_speed_page_shows_what_was_measured(name: str, section: Callable[[Any], str]) -> None:
    assert section(results(name)) in read("docs/speed.md")


@pytest.mark.parametrize(("program", "page"), [(backends, "speed"), (engines, "engines")])
def test_pages_show_the_measured_backends_and_engines(program: ModuleType, page: str) -> None:
    lines = read(f"results/{program.__name__.rpartition('.')[2]}.jsonl").splitlines()
    assert program.section([json.loads(line) for line in lines]) in read(f"docs/{page}.md")


def test_serving_page_shows_what_was_measured() -> None:
    assert serving.table(results("serving.json")) in read("docs/serving.md")


@pytest.mark.slow
def test_writing_all_tables_of_experiments_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("configs", "docs", "experiments", "results"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    assert tables.main() == 0
    pages = [tables.LOG, Path("docs/experiments.md"), *sorted(Path("docs/images").glob("experiments-*.svg"))]
    assert len(pages) == 5
    assert [page for page in pages if page.read_bytes() != (ROOT / page).read_bytes()] == []


def test_the_log_gives_what_the_results_say() -> None:
    assert tables.filled(read("experiments/log.md"), tables.read_all(ROOT / "results")) == read("experiments/log.md")


RUNS = {
    "a/x-seed1": {"name": "x-seed1", "eval_triplet_f1": 0.5, "test_triplet_f1": 0.1},
    "a/x-seed2": {"name": "x-seed2", "eval_triplet_f1": 0.7, "test_triplet_f1": 0.3},
    "b/y": {"name": "y", "eval_triplet_f1": 0.9},
}
HEAD = "| idea | runs | n | dev | x test |\n|---|---|---|---|---|\n"


def test_figures_of_a_table_are_those_of_the_runs_it_names() -> None:
    page = (
        f"Words.\n\n{HEAD}| i | `a/SET-seed?` | 9 | old | 0 |\n| j | `b/y` |  |  | – |\n\n| runs |\n|---|\n| stays |\n"
    )
    assert tables.filled(page, RUNS).split("\n")[4:6] == [
        "| i | `a/SET-seed?` | 2 | 60.00 ± 14.14 | 20.00 ± 14.14 |",
        "| j | `b/y` | 1 | 90.00 | – |",
    ]
    assert tables.filled(page, RUNS).startswith(f"Words.\n\n{HEAD}") and tables.filled(page, RUNS).endswith("stays |\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("| i | `c/z` | | | |", "there are no runs 'c/z'"),
        ("| i | `b/y` | | | 0 |", "y of 'b/y' has no test_triplet_f1"),
    ],
)
def test_a_row_without_its_runs_is_refused(row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables.filled(HEAD + row, RUNS)


def test_files_of_trials_hold_no_figure_of_test() -> None:
    for run in read_runs(ROOT / "results" / "trials.jsonl"):
        assert not [name for name in run if name.startswith("test_") and name not in ("test_sentences",)], run["name"]
