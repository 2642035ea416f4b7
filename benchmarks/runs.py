"""Table of training runs, from their results files.

    python -m benchmarks.runs results/runs --page README.md

Each file is the `all_results.json` of a run, under any name. Runs that differ only in their seed share a row.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from d2e2s import D2E2SConfig

from .report import markdown_table, write_between_marks

FIGURES = {
    "eval_triplet_f1": "dev triplet F1",
    "test_triplet_f1": "test triplet F1",
    "test_predicted_syntax_triplet_f1": "same, no heads given",
    "test_aspect_f1": "aspect F1",
    "test_opinion_f1": "opinion F1",
}
CHOICES = ("fusion_type", "semantic_gcn", "syntactic_gcn")


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Every results file of a folder, by name.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no results files (*.json)")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def describe(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """Data set, encoder and model of a run."""
    config = run["arguments"]["config"]
    model = " + ".join(config.get(name) or getattr(D2E2SConfig, name) for name in CHOICES)
    return run["arguments"]["data"]["dataset_name"], run["encoder"], model


def percent(values: Sequence[float]) -> str:
    """Mean, and the standard deviation where there are several."""
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def rows(runs: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each data set, encoder and model."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(describe(run), []).append(run)
    table = []
    for key, members in sorted(groups.items()):
        seeds = ", ".join(str(run["seed"]) for run in sorted(members, key=lambda run: run["seed"]))
        cells = []
        for figure in FIGURES:
            values = [run[figure] for run in members if figure in run]
            cells.append(percent(values) if len(values) == len(members) else "not measured")
        table.append([*key, seeds, *cells])
    return table


def table(runs: Iterable[Mapping[str, Any]]) -> str:
    """Markdown table, F1 in percent."""
    header = ["data", "encoder", "fusion + semantic + syntactic GCN", "seeds", *FIGURES.values()]
    return markdown_table(header, rows(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path, help="write the table between the page's `results` marks")
    arguments = parser.parse_args()
    text = table(read_runs(arguments.folder))
    print(text)
    if arguments.page:
        write_between_marks(arguments.page, "results", text)


if __name__ == "__main__":
    main()
