"""What a study found, as a Markdown page: means with their spread, tests, costs, and a plot for each data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data_scripts.files import write_text
from ..evaluation.results import NOT_MEASURED, mean_and_deviation, percent
from ..evaluation.thresholds import Counts
from ..reporting.charts import Spread, spread_chart, to_file
from ..reporting.drawing import render
from ..reporting.markdown import write_between_marks
from .plan import WITHOUT_HEADS, Study, Values, from_text, read_results, slug
from .significance import LEVEL, RESAMPLES, Comparison, Deviation, compare, holm, mean_interval, pooled_deviation

MARKS = "study"
TITLE = "# Experiments\n\n<!-- study:begin -->\n<!-- study:end -->\n"


@dataclass
class Line:
    """A row on a data set with its finished runs.

    Attributes:
        suffix: of the figures' prefix: those of the run, or those with the heads hidden.
    """

    row: str
    suffix: str
    runs: Sequence[Values]

    def values(self, split: str) -> list[float]:
        """Triplet F1 of each run that has scored the split, `eval` or `test`."""
        key = f"{split}{self.suffix}_triplet_f1"
        return [run[key] for run in self.runs if key in run]

    def counts(self) -> dict[int, Counts]:
        """Counts (S, 3) of the test sentences, by seed."""
        found = {run["seed"]: run["study"]["counts"].get(f"test{self.suffix}") for run in self.runs}
        return {seed: from_text(text) for seed, text in found.items() if text is not None}

    def mean(self, figure: str, scale: float, form: str) -> str:
        """Mean of what the runs cost."""
        values = [run[figure] for run in self.runs if figure in run]
        return format(mean_and_deviation(values)[0] / scale, form) if values else NOT_MEASURED


def write_report(study: Study, configuration: Path, resamples: int = RESAMPLES) -> None:
    """Write the page between its marks, and the plots beside it.

    Raises:
        UserError: results of other arguments, or a page without marks.
        OSError: a file that cannot be written.
    """
    finished = read_results(study)
    datasets = {
        dataset: _of_dataset(study, dataset, {row: _line(study, dataset, row, finished) for row in rows}, resamples)
        for dataset, rows in study.datasets.items()
    }
    text = render(
        "study.md.jinja",
        study=study,
        configuration=configuration,
        datasets=datasets,
        resamples=RESAMPLES,
        level=LEVEL,
        percent=percent,
        not_measured=NOT_MEASURED,
    )
    if not study.page.is_file():
        write_text(study.page, TITLE)
    write_between_marks(study.page, MARKS, f"{text}\n")


def _line(study: Study, dataset: str, row: str, finished: Mapping[str, Values]) -> Line:
    trained = study.rows[row].get(WITHOUT_HEADS, row)
    names = [study.run(dataset, trained, seed).name for seed in study.seeds]
    suffix = "_predicted_syntax" if WITHOUT_HEADS in study.rows[row] else ""
    return Line(row, suffix, [finished[name] for name in names if name in finished])


def _of_dataset(study: Study, dataset: str, lines: Mapping[str, Line], resamples: int) -> Values:
    """Plot and tables of a data set; empty if nothing was measured."""
    measured = [line for line in lines.values() if line.values("test")]
    if not measured:
        return {}
    # Rows with hidden heads are the runs of another row.
    deviation = pooled_deviation(line.values("test") for line in lines.values() if not line.suffix)
    spreads = []
    for line in measured:
        values = line.values("test")
        spreads.append(Spread(line.row, values, _interval(line, deviation) or (min(values), max(values))))
    image = study.page.parent / "images" / f"{slug(study.page.stem)}-{slug(dataset)}.svg"
    _write_plot(image, dataset, spreads)
    return {
        "image": image.name,
        "lines": [(line, _interval(line, deviation)) for line in lines.values()],
        "conditions": sorted({_conditions(run) for line in measured for run in line.runs}),
        "tests": [
            (question.against, _tests(asked, lines[question.against], deviation, resamples))
            for question in study.questions
            if (asked := [lines[row] for row in question.rows if row in lines]) and question.against in lines
        ],
    }


def _interval(line: Line, deviation: Deviation | None) -> tuple[float, float] | None:
    values = line.values("test")
    return mean_interval(values, deviation) if values and deviation else None


def _conditions(run: Values) -> str:
    workers, threads = run["study"]["workers"], run["study"]["threads"]
    return f"{run['device']}, runs at once: {workers}, threads: {threads}, torch {run['versions']['torch']}"


def _tests(
    asked: Sequence[Line], other: Line, deviation: Deviation | None, resamples: int
) -> list[tuple[str, Comparison | None, float | None]]:
    """The rows of a question against one other, each with its p-value corrected for their number."""
    tested = {line.row: _tested(line, other, deviation, resamples) for line in asked}
    done = {row: test for row, test in tested.items() if test is not None}
    corrected = dict(zip(done, holm([test.p_value for test in done.values()]), strict=True))
    return [(row, test, corrected.get(row)) for row, test in tested.items()]


def _tested(line: Line, other: Line, deviation: Deviation | None, resamples: int) -> Comparison | None:
    """A row against another, on the seeds that both have."""
    one, two = line.counts(), other.counts()
    seeds = [seed for seed in one if seed in two]
    first, second = ([side[seed] for seed in seeds] for side in (one, two))
    return compare(first, second, resamples, deviation=deviation) if seeds else None


def _write_plot(path: Path, dataset: str, rows: Sequence[Spread]) -> None:
    """Means with the 95 % interval over seeds, and the seeds as points."""
    title = f"Triplet F1 on {dataset} test, %"
    means = "; ".join(f"{row.name} {percent(row.values)}" for row in rows)
    text = f"Every seed, their mean and its 95 % interval. Mean and standard deviation, in percent: {means}."
    write_text(path, to_file(spread_chart(title, rows), title, text))
