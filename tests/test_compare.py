"""Runs side by side: grouping by recipe, the three formats, and what cannot be compared."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from test_drawing import EVIL, Page

from d2e2s import cli
from d2e2s.evaluation.results import read_run, read_runs
from d2e2s.reporting import compare
from d2e2s.reporting.markdown import markdown_table


def run(seed: int, f1: float, data: str = "d", **config: Any) -> dict[str, Any]:
    figures = {name: f1 + place / 100 for place, name in enumerate(compare.FIGURES)}
    arguments = {"config": config, "data": {"dataset_name": data}, "training": {"num_train_epochs": 1}}
    return {"seed": seed, "encoder": "e", "arguments": arguments, **figures}


RUNS = [run(1, 0.5), run(2, 0.7), run(1, 0.55, fusion_type="tin")]


def write(path: Path, runs: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(results) + "\n" for results in runs), encoding="utf-8")
    return path


def test_a_run_folder_a_file_and_a_line_for_each_run_are_read(tmp_path: Path) -> None:
    many = write(tmp_path / "many.jsonl", RUNS[:2])
    (tmp_path / "run").mkdir()
    one = write(tmp_path / "run" / "all_results.json", RUNS[2:])
    (tmp_path / "run" / "config.json").write_text("{}", encoding="utf-8")
    assert read_runs(tmp_path / "run", many) == [RUNS[2], *RUNS[:2]]
    assert read_runs(one) == [read_run(tmp_path / "run")] == [RUNS[2]]


def test_the_table_has_every_figure() -> None:
    """Each under its own name, whatever the others are."""
    titles = ("dev triplet F1", "test triplet F1", "same, no heads given", "aspect F1", "opinion F1")
    names = ("eval", "test", "test_predicted_syntax")
    keys = (*(f"{name}_triplet_f1" for name in names), "test_aspect_f1", "test_opinion_f1", "test_parser_uas")
    shown = dict(zip((*keys, "parser_test_uas"), (*titles, "UAS, test parses", "UAS, gold trees"), strict=True))
    figures = {name: (10 + place) / 100 for place, name in enumerate(shown)}
    header, _, row = compare.table([{**run(1, 0.5), **figures}]).splitlines()
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert [cells.get(label, cells.get(f"{label} |", "")).rstrip(" |") for label in shown.values()] == [
        f"{value * 100:.2f}" for value in figures.values()
    ]


def test_configurations_are_told_apart_by_what_differs() -> None:
    longer = copy.deepcopy(RUNS[2])
    longer["arguments"]["training"]["num_train_epochs"] = 9
    labels = [each.label for each in compare.configurations([*RUNS, longer])]
    assert labels == ["cross_attention, num_train_epochs 1", "tin, num_train_epochs 1", "tin, num_train_epochs 9"]
    (alone,) = compare.configurations(RUNS[:1])
    assert alone.label == "cross_attention + enhanced + basic"


def test_a_default_said_aloud_is_the_same_recipe() -> None:
    (found,) = compare.configurations([run(1, 0.5), run(2, 0.6, fusion_type="cross_attention")])
    assert found.seeds == [1, 2]


@pytest.mark.parametrize("told", [{"optim": "sgd"}, {"max_grad_norm": 9.0}, {"early_stopping_patience": 2}])
def test_whatever_the_training_was_told_makes_another_recipe(told: dict[str, Any]) -> None:
    other = run(2, 0.6)
    other["arguments"]["training"] |= told
    assert [each.seeds for each in compare.configurations([run(1, 0.5), other])] == [[1], [2]]
    assert [each.seeds for each in compare.configurations([run(1, 0.5), run(2, 0.6) | {"processes": 2}])] == [[1], [2]]


def test_data_without_a_name_goes_by_its_folder() -> None:
    runs = [run(1, 0.5), run(1, 0.6)]
    for results, name in zip(runs, ("14res", "14lap"), strict=True):
        results["arguments"]["data"] = {"dataset_name": None, "test_file": f"data/{name}/test.jsonl"}
    assert [each.data for each in compare.configurations(runs)] == ["14lap", "14res"]


def test_what_was_not_there_before_was_off() -> None:
    older, newer = run(1, 0.5), run(2, 0.6)
    older["arguments"]["training"].pop("adversarial_distance", None)
    newer["arguments"]["training"]["adversarial_distance"] = 0.0
    assert [each.seeds for each in compare.configurations([older, newer])] == [[1, 2]]
    newer["arguments"]["training"]["adversarial_distance"] = 1.0
    assert [each.seeds for each in compare.configurations([older, newer])] == [[1], [2]]


def test_steps_tell_runs_apart_and_epochs_do_not_where_steps_count() -> None:
    runs = [run(seed, 0.5) for seed in (1, 2, 3)]
    for results, told in zip(runs, ({"max_steps": 9}, {"max_steps": 9, "num_train_epochs": 7}, {}), strict=True):
        results["arguments"]["training"] |= told
    found = compare.configurations(runs)
    assert [each.seeds for each in found] == [[1, 2], [3]]
    assert [each.label for each in found] == ["max_steps 9", "num_train_epochs 1"]


def test_a_figure_that_one_seed_lacks_is_not_measured() -> None:
    partial = {name: value for name, value in RUNS[1].items() if name != "test_aspect_f1"}
    (row,) = compare.rows([RUNS[0], partial])
    cells = dict(zip([*compare.HEADER, *compare.FIGURES], row, strict=True))
    assert cells["test_aspect_f1"] == "not measured" and cells["eval_triplet_f1"] == "60.00 ± 14.14"


def test_page_has_a_row_and_a_plot_with_every_label() -> None:
    other = run(3, 0.4, data="other", fusion_type="none")
    page = Page(compare.page([*RUNS, other]))
    assert len(page.named("tr")) == 4
    assert [svg["aria-label"] for svg in page.named("svg")] == ["test triplet F1, %"] * 2
    assert page.text.count("tin") >= 2  # table, plot


def test_without_a_common_figure_there_is_no_plot() -> None:
    one, other = run(1, 0.5), run(1, 0.5, fusion_type="tin")
    del one["test_triplet_f1"], other["eval_triplet_f1"]
    page = Page(compare.page([one, other]))
    assert not page.named("svg") and "nothing to plot" in page.text


def test_names_stay_text_on_the_page() -> None:
    page = Page(compare.page([run(1, 0.5, data=EVIL), run(1, 0.6, data=EVIL, encoder_note=f"$\\frac{EVIL}$")]))
    assert not page.named("script") and not page.named("img")
    assert EVIL in page.text


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_command_writes_every_format(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert cli.main(["compare", str(write(tmp_path / "runs.jsonl", RUNS)), "--out", str(out)]) == 0
    assert "60.00 ± 14.14" in out.read_text(encoding="utf-8")


def test_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(write(tmp_path / "runs.jsonl", RUNS))]) == 0
    assert capsys.readouterr().out == compare.table(RUNS)


@pytest.mark.parametrize(
    ("content", "out", "message"),
    [
        (None, "o.md", "no such file"),
        ("{}", "o.md", "no results of a run"),
        ("[1]", "o.md", "no results of a run"),
        ("no json", "o.md", "run.json: no results of a run"),
        (json.dumps(RUNS[0]), "o.pdf", "cannot write this kind of file"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, out: str, message: str
) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert cli.main(["compare", str(path), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / out).exists()


def test_the_line_of_a_file_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(f"{json.dumps(RUNS[0])}\n\n{{}}\n", encoding="utf-8")
    assert cli.main(["compare", str(path)]) == 2
    assert "runs.jsonl:3: no results of a run" in capsys.readouterr().err


def test_runs_that_differ_in_their_seed_share_a_row() -> None:
    (row,) = compare.rows([run(1, 0.5), run(2, 0.7)])
    assert row[3] == "1, 2" and row[4] == "60.00 ± 14.14"
    with pytest.raises(ValueError, match="two results of one seed"):
        compare.rows([run(1, 0.5), run(1, 0.5)])


def test_a_label_of_the_data_stands_before_its_folder() -> None:
    labelled = {**run(1, 0.5), "data_label": "mine"}
    assert compare.rows([labelled])[0][0] == "mine"


def test_cells_with_a_bar_do_not_break_the_table() -> None:
    assert markdown_table(["a"], [["b|c"]]) == "| a |\n| --- |\n| b\\|c |\n"
