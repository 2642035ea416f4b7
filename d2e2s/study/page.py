"""What a study found, as a Markdown page: means with their spread, tests, costs, and a plot for each data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data_scripts.files import write_text
from ..evaluation.results import NOT_MEASURED, mean_and_deviation, percent
from ..evaluation.thresholds import Counts
from ..reporting.charts import Spread, spread_chart, to_file
from ..reporting.markdown import markdown_table, write_between_marks
from .plan import WITHOUT_HEADS, Question, Study, Values, from_text, read_results, slug
from .significance import LEVEL, RESAMPLES, Comparison, Deviation, compare, holm, mean_interval, pooled_deviation

MARKS = "study"
TITLE = "# Experiments\n\n<!-- study:begin -->\n<!-- study:end -->\n"
SCORES = ["row", "seeds", "dev F1", "test F1", "95 % interval", "parameters", "seconds a step", "peak memory, GB"]
TESTS = ["difference", "95 % interval", "p, sentences", "p, bootstrap", "p, seeds", "p, Holm", "verdict"]

METHOD = f"""## How it is measured

Every run trains on the whole train split; the whole dev split selects its epoch, its calibration and its decision
threshold; the whole test split is scored once, with those. ± is the standard deviation over seeds, the interval the
95 % interval of the mean (Student's t, with the standard deviation that is pooled over all rows of the data set: two or
three runs of a row alone could not tell). F1 in percent, differences in points of F1.

- **Difference and its interval**: micro F1 over the test sentences, the counts of a sentence summed over the seeds;
  95 % interval by the paired bootstrap: sentences drawn with replacement, {RESAMPLES} times.
- **p, sentences**: approximate randomisation (`scipy.stats.permutation_test`): the two sides of a sentence, each with
  all its seeds, exchanged at random, {RESAMPLES} times; two-sided. **p, bootstrap**: the share of the draws of the
  bootstrap that lie as far from the difference found as that lies from none; two-sided.
- **p, seeds**: Student's t-test on the F1 of the runs, with the same pooled standard deviation; two-sided. Both assume
  that all rows vary alike from seed to seed.
- **p, Holm**: of the larger of *p, sentences* and *p, seeds*, corrected for the number of rows in the table. A row is
  called better or worse if it is below {LEVEL}: neither chance in the sentences nor chance in the seeds explains the
  difference. With one seed nothing can be shown.

*No difference shown* is not *no difference*: the intervals say how large it may be. One encoder and one recipe serve
all rows; with others the order may be another. The tests take the test sentences as a sample of more such sentences,
annotated by these annotators. Time and memory are those of the machine named, with as many runs at once as stated: they
rank the rows, no more.
"""


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
    seeds = ", ".join(map(str, study.seeds))
    parts = [
        f"Encoder `{study.base.get('encoder_name_or_path')}`, seeds {seeds}. Made by\n"
        f"`d2e2s study {configuration}` from `{study.results}`.\n"
    ]
    for dataset, rows in study.datasets.items():
        lines = {row: _line(study, dataset, row, finished) for row in rows}
        parts.append(f"## {dataset}\n\n{_of_dataset(study, dataset, lines, resamples)}")
    if not study.page.is_file():
        write_text(study.page, TITLE)
    write_between_marks(study.page, MARKS, "\n".join([*parts, METHOD]))


def _line(study: Study, dataset: str, row: str, finished: Mapping[str, Values]) -> Line:
    names = [study.run(dataset, study.trained_row(row), seed).name for seed in study.seeds]
    suffix = "_predicted_syntax" if WITHOUT_HEADS in study.rows[row] else ""
    return Line(row, suffix, [finished[name] for name in names if name in finished])


def _of_dataset(study: Study, dataset: str, lines: Mapping[str, Line], resamples: int) -> str:
    """Plot and tables of a data set."""
    measured = [line for line in lines.values() if line.values("test")]
    if not measured:
        return f"Not measured: {'; '.join(lines)}.\n"
    # Rows with hidden heads are the runs of another row.
    deviation = pooled_deviation(line.values("test") for line in lines.values() if not line.suffix)
    spreads = [Spread(line.row, line.values("test"), _interval(line, deviation)) for line in measured]
    image = study.page.parent / "images" / f"{slug(study.page.stem)}-{slug(dataset)}.svg"
    _write_plot(image, dataset, spreads)
    conditions = sorted({_conditions(run) for line in measured for run in line.runs})
    parts = [
        f"![Test F1 of the rows on {dataset}](images/{image.name})\n",
        markdown_table(SCORES, [_scores(line, deviation) for line in lines.values()]),
        f"On: {'; '.join(conditions)}.\n",
    ]
    for question in study.questions:
        asked = [lines[row] for row in question.rows if row in lines]
        if asked and question.against in lines:
            parts.append(_test_table(question, asked, lines[question.against], deviation, resamples))
    return "\n".join(parts)


def _interval(line: Line, deviation: Deviation | None) -> tuple[float, float]:
    values = line.values("test")
    return mean_interval(values, deviation) if deviation else (min(values), max(values))


def _scores(line: Line, deviation: Deviation | None) -> list[str]:
    test = line.values("test")
    interval = " to ".join(f"{100 * end:.2f}" for end in mean_interval(test, deviation)) if test and deviation else ""
    return [
        line.row,
        ", ".join(str(run["seed"]) for run in line.runs) or NOT_MEASURED,
        percent(line.values("eval")),
        percent(test),
        interval or NOT_MEASURED,
        line.mean("parameters", 1e6, ".2f") + " M" * bool(line.runs),
        line.mean("train_seconds_per_step", 1, ".3f"),
        line.mean("train_peak_memory_gb", 1, ".2f"),
    ]


def _conditions(run: Values) -> str:
    workers, threads = run["study"]["workers"], run["study"]["threads"]
    return f"{run['device']}, runs at once: {workers}, threads: {threads}, torch {run['versions']['torch']}"


def _test_table(
    question: Question, asked: Sequence[Line], other: Line, deviation: Deviation | None, resamples: int
) -> str:
    """The rows of a question against one other; p-values corrected for their number."""
    tested = {line.row: _tested(line, other, deviation, resamples) for line in asked}
    done = {row: test for row, test in tested.items() if test is not None}
    corrected = dict(zip(done, holm([test.p_value for test in done.values()]), strict=True))
    rows = [[row, *(_cells(test, corrected[row]) if test else _nothing())] for row, test in tested.items()]
    return markdown_table([f"against {question.against}", *TESTS], rows)


def _tested(line: Line, other: Line, deviation: Deviation | None, resamples: int) -> Comparison | None:
    """A row against another, on the seeds that both have."""
    one, two = line.counts(), other.counts()
    seeds = [seed for seed in one if seed in two]
    first, second = ([side[seed] for seed in seeds] for side in (one, two))
    return compare(first, second, resamples, deviation=deviation) if seeds else None


def verdict(test: Comparison, p_holm: float) -> str:
    """What a corrected p-value says."""
    if p_holm >= LEVEL:
        return "no difference shown"
    return "better" if test.difference > 0 else "worse"


def _cells(test: Comparison, p_holm: float) -> list[str]:
    p_values = (test.p_randomisation, test.p_bootstrap, test.p_seeds, p_holm)
    interval = f"{_points(test.low)} to {_points(test.high)}"
    return [_points(test.difference), interval, *map(_p, p_values), verdict(test, p_holm)]


def _nothing() -> list[str]:
    return [NOT_MEASURED] + [""] * (len(TESTS) - 1)


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _write_plot(path: Path, dataset: str, rows: Iterable[Spread]) -> None:
    """Means with the 95 % interval over seeds, and the seeds as points."""
    rows = list(rows)
    title = f"Triplet F1 on {dataset} test, %"
    means = "; ".join(f"{row.name} {percent(row.values)}" for row in rows)
    text = f"Every seed, their mean and its 95 % interval. Mean and standard deviation, in percent: {means}."
    write_text(path, to_file(spread_chart(title, rows), title, text))
