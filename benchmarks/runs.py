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
# What the training was told and its figures depend on; the seed and where and how things are logged are left out.
TRAINING = (
    "learning_rate",
    "head_learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "bf16",
    "fp16",
)
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


def recipe(run: Mapping[str, Any]) -> str:
    """All that makes two runs comparable: their model, their data, and what the training was told but the seed."""
    arguments = run["arguments"]
    training = {name: arguments["training"].get(name) for name in TRAINING}
    return json.dumps([run["encoder"], arguments["config"], arguments["data"]["dataset_name"], training])


def rows(runs: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each recipe.

    Raises:
        ValueError: a recipe was run twice with one seed.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups.setdefault(recipe(run), []).append(run)
    table = []
    for members in sorted(groups.values(), key=lambda members: describe(members[0])):
        key, numbers = describe(members[0]), [run["seed"] for run in members]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"{key}: two results files of one seed, {numbers}: keep one")
        seeds = ", ".join(map(str, numbers))
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
