"""The README's table of training runs, from their results files.

    python -m benchmarks.runs results/recipe.jsonl --page README.md

Runs that differ only in their seed share a row: mean and standard deviation of test, means of the rest. `d2e2s compare`
shows everything.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from d2e2s.evaluation.results import NOT_MEASURED, mean_and_deviation, percent, read_runs
from d2e2s.reporting import compare

from .report import markdown_table, show

TEST = "test_triplet_f1"
SENTIMENTS = ("POS", "NEG", "NEU")
HEADER = ("data", "encoder", "seeds", "dev", "test", "test, no heads given", f"test, {', '.join(SENTIMENTS)} alone")


def table(runs: Iterable[compare.Figures]) -> str:
    """Markdown table, F1 of triplets in percent; a row for each data set and encoder."""
    return markdown_table(HEADER, [_row(each) for each in compare.configurations(runs)])


def _row(found: compare.Configuration) -> list[str]:
    def mean(figure: str, digits: int = 2) -> str:
        values = found.values(figure)
        return f"{100 * mean_and_deviation(values)[0]:.{digits}f}" if values else NOT_MEASURED

    by_sentiment = ", ".join(mean(f"{TEST}_{sentiment}", 0) for sentiment in SENTIMENTS)
    figures = [mean("eval_triplet_f1"), percent(found.values(TEST)), mean("test_predicted_syntax_triplet_f1")]
    return [found.data, found.encoder, ", ".join(map(str, found.seeds)), *figures, by_sentiment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--page", type=Path, help="write the table between the page's `results` marks")
    arguments = parser.parse_args()
    show(table(read_runs(arguments.runs)), arguments.page, "results")


if __name__ == "__main__":
    main()
