"""The README's table of training runs, from their results files.

    python -m benchmarks.runs results/runs.jsonl --page README.md

Runs that differ only in their seed share a row. Of the figures but that of test only the mean is shown, and runs that
learned from further data are left out: the table has one recipe. `d2e2s compare` shows everything.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from d2e2s.evaluation.results import mean_and_deviation, percent, read_runs
from d2e2s.reporting import compare

from .report import markdown_table, show

TEST = "test_triplet_f1"
SHOWN = ("eval_triplet_f1", TEST, "test_predicted_syntax_triplet_f1")


def table(runs: Iterable[compare.Figures]) -> str:
    """Markdown table, F1 in percent; a row for each data set and encoder."""
    plain = [run for run in runs if "parser_train_sentences" not in run]
    header = ["data", "encoder", "seeds", *(compare.FIGURES[name] for name in SHOWN)]
    return markdown_table(header, [_row(each) for each in compare.configurations(plain)])


def _row(found: compare.Configuration) -> list[str]:
    cells = [_cell(name, found.values(name)) for name in SHOWN]
    return [found.data, found.encoder, ", ".join(map(str, found.seeds)), *cells]


def _cell(name: str, values: Sequence[float]) -> str:
    return percent(values if name == TEST or not values else [mean_and_deviation(values)[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--page", type=Path, help="write the table between the page's `results` marks")
    arguments = parser.parse_args()
    text = table(read_runs(arguments.runs))
    show(text, arguments.page, "results")


if __name__ == "__main__":
    main()
