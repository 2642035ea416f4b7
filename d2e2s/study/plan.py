"""What a study is: its configuration, its runs, and the file of their results."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import yaml

from ..data_scripts.files import write_text
from ..errors_d2e2s import UserError
from ..evaluation.results import read_run, read_runs
from ..evaluation.thresholds import Counts, micro_f1
from ..training.config_files import parse_arguments, read_yaml
from .significance import read_counts

WITHOUT_HEADS = "without_heads_of"
# Predictions of which the counts are kept: those of the run, and those of the same model on its own parses.
PREDICTIONS = {"test": "predictions_test.jsonl", "test_predicted_syntax": "predictions_test_predicted_syntax.jsonl"}
COUNTED = ("correct", "predicted", "gold")

Values = dict[str, Any]
_writing = Lock()


@dataclass(frozen=True)
class Run:
    """One training: a row on a data set with a seed, and the arguments of `run_aste.py` for it, but `output_dir`."""

    dataset: str
    row: str
    seed: int
    arguments: Values

    @property
    def name(self) -> str:
        return f"{self.dataset}/{slug(self.row)}-seed{self.seed}"


@dataclass(frozen=True)
class Question:
    """Rows that are tested against one other, together."""

    against: str
    rows: list[str]


@dataclass
class Study:
    """A configuration file; `d2e2s.study.runner` explains its blocks."""

    base: Values
    rows: dict[str, Values]
    datasets: dict[str, list[str]]
    seeds: list[int]
    output_dir: Path
    results: Path
    page: Path
    questions: list[Question] = field(default_factory=list)

    def runs(self) -> list[Run]:
        """All runs; the first seed of everything comes first, so that a part of the study is of use too."""
        return [
            self.run(dataset, row, seed)
            for seed in self.seeds
            for dataset, rows in self.datasets.items()
            for row in rows
            if WITHOUT_HEADS not in self.rows[row]
        ]

    def run(self, dataset: str, row: str, seed: int) -> Run:
        values = {**self.base, **self.rows[row], "seed": seed}
        filled = {key: v.replace("{dataset}", dataset) if isinstance(v, str) else v for key, v in values.items()}
        return Run(dataset, row, seed, filled)

    def folder(self, run: Run) -> Path:
        return self.output_dir / run.name


def slug(name: str) -> str:
    """A name of a row for files: letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


# --- the configuration ------------------------------------------------------------------------------------


def read_study(path: Path) -> Study:
    """Read a configuration file.

    Raises:
        FileNotFoundError: no such file.
        UserError: a block that is missing, unknown or not of the form that `d2e2s.study.runner` describes.
    """
    blocks = _blocks(path)
    try:
        return _study(blocks)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _blocks(path: Path) -> Values:
    """What a file says, and the one that it extends."""
    blocks = read_yaml(path, "configuration of a study")
    if not isinstance(blocks, dict):
        raise UserError(f"{path}: expected blocks such as base, rows, datasets and seeds")
    if "extends" not in blocks:
        return blocks
    other = _blocks(path.parent / str(blocks.pop("extends")))
    return {**other, **blocks, "base": {**other.get("base", {}), **_mapping(f"{path}: base", blocks.get("base", {}))}}


def _study(blocks: Values) -> Study:
    _same_names("block", blocks, [f.name for f in fields(Study)], optional={"questions"})
    rows, base = _mapping("rows", blocks["rows"]), _mapping("base", blocks["base"])
    overrides = {str(name): _mapping(f"rows: {name}", values or {}) for name, values in rows.items()}
    _check_rows(overrides)
    seeds = blocks["seeds"]
    if not isinstance(seeds, list) or {type(seed) for seed in seeds} != {int} or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds is {seeds!r}; expected a list of different whole numbers")
    places = {name: Path(str(blocks[name])) for name in ("output_dir", "results", "page")}
    datasets = {str(k): _rows_of(str(k), v, overrides) for k, v in _mapping("datasets", blocks["datasets"]).items()}
    asked = blocks.get("questions") or [{"against": next(iter(overrides))}]
    questions = [_question(values, overrides) for values in asked]
    return Study(base=base, rows=overrides, datasets=datasets, seeds=seeds, questions=questions, **places)


def _mapping(where: str, value: Any) -> Values:
    if not isinstance(value, dict) or (not value and where in ("rows", "datasets")):
        raise UserError(f"{where} is {value!r}; expected `name: value` lines")
    return value


def _same_names(what: str, found: Mapping[str, Any], known: Sequence[str], optional: set[str] | None = None) -> None:
    """Whether all names are known, and none is missing but optional ones."""
    for name in found:
        if name not in known:
            raise UserError(f"unknown {what} {name!r}; choose from: {', '.join(known)}")
    for name in known:
        if name not in found and name not in (optional or ()):
            raise UserError(f"{what} {name!r} is missing")


def _check_rows(rows: Mapping[str, Values]) -> None:
    names = [slug(name) for name in rows]
    for name, row in rows.items():
        if not slug(name) or names.count(slug(name)) > 1:
            raise UserError(f"row {name!r}: its file name would be {slug(name)!r}; expected one of its own")
        source = row.get(WITHOUT_HEADS)
        if source is not None and (len(row) > 1 or WITHOUT_HEADS in rows.get(source, {WITHOUT_HEADS: ""})):
            raise UserError(
                f"row {name!r}: {WITHOUT_HEADS} stands alone and names a row that is trained, not {source!r}"
            )


def _rows_of(dataset: str, values: Any, rows: Mapping[str, Values]) -> list[str]:
    """Rows to run on a data set, in their order in `rows`."""
    values = _mapping(f"datasets: {dataset}", values or {})
    _same_names(f"key of data set {dataset!r}", values, ["rows"], optional={"rows"})
    wanted = values.get("rows") or list(rows)
    for name in wanted:
        if name not in rows:
            raise UserError(f"datasets: {dataset}: there is no row {name!r}")
        if rows[name].get(WITHOUT_HEADS, name) not in wanted:
            raise UserError(f"datasets: {dataset}: row {name!r} needs row {rows[name][WITHOUT_HEADS]!r}")
    return [name for name in rows if name in wanted]


def _question(values: Any, rows: Mapping[str, Values]) -> Question:
    values = _mapping("questions", values)
    _same_names("key of a question", values, ["against", "rows"], optional={"rows"})
    against = values["against"]
    question = Question(against, values.get("rows") or [row for row in rows if row != against])
    for name in (*question.rows, against):
        if name not in rows:
            raise UserError(f"questions: there is no row {name!r}")
    return question


def check_runs(runs: Sequence[Run]) -> None:
    """Whether the arguments of all runs are such that `run_aste.py` takes, and their files are there.

    Raises:
        UserError: arguments that do not fit, with the run.
        FileNotFoundError: a data file that is not there.
    """
    for run in {(run.dataset, run.row): run for run in runs}.values():
        try:
            arguments = parse_values({**run.arguments, "output_dir": run.name})
        except ValueError as error:
            raise UserError(f"{run.name}: {error}") from None
        data, training = arguments.data, arguments.training
        if not (training.do_train and training.do_predict):
            raise UserError(f"{run.name}: a study compares figures of test: give do_train and do_predict")
        for file in filter(None, (data.train_file, data.validation_file, data.test_file)):
            if not Path(file).is_file():
                raise FileNotFoundError(f"{run.name}: no data file {file}; prepare the data first")


def parse_values(values: Values, words: Sequence[str] = ()) -> Any:
    """Arguments of `run_aste.py` from a mapping, as from a file, and from words that override it.

    Raises:
        UserError: arguments that do not fit.
    """
    try:
        return parse_arguments(words, values)
    except SystemExit:
        raise UserError("a value of the wrong kind, see above") from None  # argparse has printed which


def write_yaml(path: Path, values: Values) -> None:
    write_text(path, yaml.safe_dump(values, sort_keys=False))


# --- results ----------------------------------------------------------------------------------------------


def read_results(study: Study) -> dict[str, Values]:
    """The finished runs of the study, by name.

    Raises:
        UserError: one was made with other arguments than the configuration has now, or a line is no result of a study.
    """
    lines, found = _lines(study), {}
    for run in study.runs():
        if run.name not in lines:
            continue
        before, now = lines[run.name]["study"]["arguments"], run.arguments
        if changed := sorted(name for name in before | now if before.get(name) != now.get(name)):
            was = ", ".join(f"{name} {before.get(name)!r}" for name in changed)
            raise UserError(
                f"{study.results}: {run.name} was run with {was}, other than now; delete its line to run it anew"
            )
        found[run.name] = lines[run.name]
    return found


def _lines(study: Study) -> dict[str, Values]:
    """All results of the file by name, those of rows that are no longer asked for too."""
    lines = read_runs(study.results) if study.results.is_file() else []
    if not all("name" in line and "study" in line for line in lines):
        raise UserError(f"{study.results}: holds a line that is no result of a study; give the study a file of its own")
    return {line["name"]: line for line in lines}


def collect(study: Study, run: Run, conditions: Values) -> Values:
    """Put the results of a finished run into the file: its figures, and under `study` what the tests need.

    What another study process writes at the same time may be lost; its next start finds the run's folder, and adds it.

    Raises:
        UserError: its predictions are not those that it scored.
    """
    folder = study.folder(run)
    figures = read_run(folder)
    counts = {key: read_counts(folder / name) for key, name in PREDICTIONS.items() if (folder / name).is_file()}
    for key, found in counts.items():
        if not np.isclose(micro_f1(found), figures[f"{key}_triplet_f1"]):
            raise UserError(f"{folder / PREDICTIONS[key]}: F1 is {micro_f1(found)}, not the run's")
    about = {"row": run.row, "dataset": run.dataset, "arguments": run.arguments, **conditions}
    about["counts"] = {key: to_text(found) for key, found in counts.items()}
    result = {"name": run.name, **figures, "study": about}
    with _writing:
        lines = {**_lines(study), run.name: result}
        text = "".join(json.dumps(lines[name], ensure_ascii=False) + "\n" for name in sorted(lines))
        write_text(study.results, text)
    return result


def to_text(counts: Counts) -> dict[str, str]:
    """Counts (S, 3) for a file: the correct, the predicted and the gold triplets of the sentences, each as numbers."""
    return {name: " ".join(map(str, column)) for name, column in zip(COUNTED, counts.T.tolist(), strict=True)}


def from_text(lines: Mapping[str, str]) -> Counts:
    """Counts (S, 3) of `to_text`."""
    return np.array([[int(n) for n in lines[name].split()] for name in COUNTED]).T
