"""Table of training runs, from their results files, into a page.

    python -m benchmarks.runs results/runs --page README.md

Each file is the `all_results.json` of a run, under any name. Runs that differ only in their seed share a row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from d2e2s.reporting.compare import read_runs, table

from .report import write_between_marks


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
