"""Writes every figure of `docs/experiments.md` and `experiments/log.md` from `results/*.jsonl`; in the root folder:

    python -m experiments.tables

The first page is that of the study. In the second, a table with a column `runs` names in it lines of `results/`, such
as `two_steps/SET-seed4?` for those of `results/two_steps.jsonl`: `n` is how many there are, `dev` and `test` are mean
and standard deviation of their triplet F1, and in a column such as `14res dev` the set stands for SET.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.files import write_text
from d2e2s.errors_d2e2s import UserError
from d2e2s.evaluation.results import percent
from d2e2s.study.page import write_report
from d2e2s.study.plan import read_study

RESULTS = Path("results")
LOG = Path("experiments/log.md")
STUDY = Path("configs/study.yaml")
SPLITS = {"dev": "eval_triplet_f1", "test": "test_triplet_f1"}

Runs = Mapping[str, Mapping[str, Any]]


def read_all(folder: Path) -> Runs:
    """Every line of a folder's JSONL files, by the name of the file and its own: `two_steps/14res-seed42`."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
            run = json.loads(line)
            if "name" in run:  # others are times of a benchmark
                found[f"{path.stem}/{run['name']}"] = run
    return found


def filled(page: str, runs: Runs) -> str:
    """The page with the figures of its tables written anew.

    Raises:
        UserError: a row whose runs are not there, or have not measured a figure that its table shows.
    """
    return "\n".join(_lines(page, runs))


def _lines(page: str, runs: Runs) -> Iterator[str]:
    header: list[str] = []
    for line in page.split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if header and "runs" in header and cells and set(cells[0]) != {"-"}:
            pattern = cells[header.index("runs")].strip("`")
            cells = [_cell(name, cell, pattern, runs) for name, cell in zip(header, cells, strict=True)]
            line = f"| {' | '.join(cells)} |"
        header = header or cells if cells else []
        yield line


def _cell(name: str, cell: str, pattern: str, runs: Runs) -> str:
    """The figure of a column; a cell of words, or one that says that nobody looked (`–`), stays."""
    *about, split = name.split(" ")
    if (split not in SPLITS and name != "n") or cell == "–":
        return cell
    pattern = pattern.replace("SET", about[0] if about else "*")
    named = [run for key, run in runs.items() if fnmatchcase(key, pattern)]
    if not named:
        raise UserError(f"{LOG}: there are no runs {pattern!r} in {RESULTS}")
    if name == "n":
        return str(len(named))
    missing = [run["name"] for run in named if SPLITS[split] not in run]
    if missing:
        raise UserError(f"{LOG}: {missing[0]} of {pattern!r} has no {SPLITS[split]}")
    return percent([run[SPLITS[split]] for run in named])


def main() -> int:
    write_report(read_study(STUDY), STUDY)
    write_text(LOG, filled(LOG.read_text(encoding="utf-8"), read_all(RESULTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
