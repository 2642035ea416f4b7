"""What a study found: means with their spread, tests, costs, as JSON, tables, plots, and one sentence in front."""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from ..data_scripts.files import write_text
from ..reporting.charts import SERIES, STYLE, to_file
from ..reporting.markdown import markdown_table, write_between_marks
from .plan import WITHOUT_HEADS, Question, Study, Values, from_text, results, slug
from .significance import LEVEL, RESAMPLES, Comparison, Deviation, compare, holm, mean_interval, pooled_deviation

NOT_MEASURED = "not measured"
NO_RESULT = "not a result: chosen on test"
MARKS = "study"
TITLE = "# Experiments\n\n<!-- study:begin -->\n<!-- study:end -->\n"

TESTS = f"""## How it is measured

Every run trains on the whole train split; the whole dev split selects its epoch, its temperature and its decision
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
  difference. With one seed nothing can be shown. The answers at the top are corrected for the rows of their own
  question alone, so that the p of two rows may be smaller there than in the table.
- **Chosen on test**: the protocol of the research code, and not a result: the best epoch *on test*, of the sentences
  before the last incomplete batch of 16. Same runs, threshold of dev. It shows what that choice is worth.
"""

LIMITS = """## What the figures do not show

- *No difference shown* is not *no difference*: the intervals say how large it may be.
- One encoder, one recipe for all rows, and as many seeds as stand in the table: with another encoder, or a learning
  rate chosen for each row, the order may be another.
- The tests take the test sentences as a sample of more such sentences, annotated by these annotators. They do not speak
  of other languages, other things reviewed, or other annotators.
- Rows that change one thing are not a test of that thing in every other company.
- Time and memory are those of the machine named, with as many runs at once as stated: they rank the rows, no more.
"""


# --- summary ----------------------------------------------------------------------------------------------


def summarise(study: Study, resamples: int = RESAMPLES) -> Values:
    """All figures of the report, as JSON: for each data set its `rows` and the answers to the `questions`."""
    found: dict[tuple[str, str], list[Values]] = {}
    for run, result in results(study):
        found.setdefault((run.dataset, run.row), []).append(result)
    datasets = {}
    for dataset, rows in study.datasets.items():
        runs = {row: found.get((dataset, study.trained_row(row)), []) for row in rows}
        deviation = _deviation(study, runs)
        lines = [_line(study, row, runs[row], deviation) for row in rows]
        _compare_rows(study, lines, runs, resamples)
        asked = [each for each in study.questions if each.against in rows and set(each.rows) & set(rows)]
        answers = [_answer(study, question, runs, resamples) for question in asked]
        datasets[dataset] = {"rows": lines, "questions": answers}
    return {"seeds": study.seeds, "resamples": resamples, "level": LEVEL, "datasets": datasets}


def _suffix(study: Study, row: str) -> str:
    """Of the figures of a row: those of the run, or those with the heads hidden."""
    return "_predicted_syntax" if WITHOUT_HEADS in study.rows[row] else ""


def _line(study: Study, row: str, runs: Sequence[Values], deviation: Deviation | None) -> Values:
    """A row of the tables; figures that there are none of are None."""
    suffix = _suffix(study, row)
    peeked = [] if suffix else [best for run in runs if (best := _best_on_test(run)) is not None]
    scored = [run for run in runs if f"test{suffix}_triplet_f1" in run]
    return {
        "row": row,
        "seeds": [run["seed"] for run in scored],
        "dev_f1": _spread([run[key] for run in scored if (key := f"eval{suffix}_triplet_f1") in run]),
        "test_f1": _spread([run[f"test{suffix}_triplet_f1"] for run in scored], deviation),
        "chosen_on_test_f1": _spread([best["triplet_f1_whole_batches"] for best in peeked]),
        "chosen_on_test_sentences": peeked[0]["sentences_whole_batches"] if peeked else None,
        "test_sentences": runs[0]["test_sentences"] if runs else None,
        "parameters": runs[0]["parameters"] if runs else None,
        "seconds_per_step": _mean(runs, "train_seconds_per_step"),
        "peak_memory_gb": _mean(runs, "train_peak_memory_gb"),
        "conditions": sorted({_conditions(run) for run in runs}),
        "against_first": None,
    }


def _best_on_test(run: Values) -> Values | None:
    """The epoch that a look at test would have chosen."""
    peeked = run["study"]["peeked_at_test"]
    return max(peeked, key=lambda epoch: epoch["triplet_f1_whole_batches"]) if peeked else None


def _spread(values: Sequence[float], deviation: Deviation | None = None) -> Values | None:
    """Mean, standard deviation and values, and the mean's interval if the deviation of all rows is given."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    interval = mean_interval(values, deviation) if deviation else None
    return {"mean": statistics.mean(values), "sd": sd, "interval": interval, "values": list(values)}


def _mean(runs: Sequence[Values], name: str) -> float | None:
    values = [run[name] for run in runs if name in run]
    return statistics.mean(values) if values else None


def _conditions(run: Values) -> str:
    workers, threads = run["study"]["workers"], run["study"]["threads"]
    return f"{run['device']}, runs at once: {workers}, threads: {threads}, torch {run['versions']['torch']}"


def _deviation(study: Study, runs: Mapping[str, list[Values]]) -> Deviation | None:
    """Of the F1 of all rows of a data set, but those with hidden heads, which are the runs of another row."""
    trained = [row for row in runs if study.trained_row(row) == row]
    return pooled_deviation([run["test_triplet_f1"] for run in runs[row]] for row in trained)


def _tested(study: Study, row: str, other: str, runs: Mapping[str, list[Values]], resamples: int) -> Comparison | None:
    """A row against another, on the seeds that both have."""
    sides = []
    for name in (row, other):
        key = f"test{_suffix(study, name)}"
        sides.append({run["seed"]: run["study"]["counts"].get(key) for run in runs.get(name, [])})
    seeds = [seed for seed in study.seeds if all(side.get(seed) for side in sides)]
    if not seeds:
        return None
    one, two = ([from_text(side[seed]) for seed in seeds] for side in sides)
    return compare(one, two, resamples, deviation=_deviation(study, runs))


def _compare_rows(study: Study, lines: Sequence[Values], runs: Mapping[str, list[Values]], resamples: int) -> None:
    """Fill in `against_first`."""
    first = lines[0]["row"]
    tested = [(line, _tested(study, line["row"], first, runs, resamples)) for line in lines[1:]]
    _verdicts([(line, comparison) for line, comparison in tested if comparison is not None])


def _verdicts(tested: Sequence[tuple[Values, Comparison]]) -> None:
    """Corrected p-values and what they say, for comparisons that answer one question together."""
    corrected = holm([comparison.p_value for _, comparison in tested])
    for (line, comparison), p_holm in zip(tested, corrected, strict=True):
        verdict = "no difference shown"
        if p_holm < LEVEL:
            verdict = "better" if comparison.difference > 0 else "worse"
        line["against_first"] = {**asdict(comparison), "p_holm": p_holm, "verdict": verdict}


def _answer(study: Study, question: Question, runs: Mapping[str, list[Values]], resamples: int) -> Values:
    lines: list[Values] = [{"row": row, "against_first": None} for row in question.rows if row in runs]
    tested = [(line, _tested(study, line["row"], question.against, runs, resamples)) for line in lines]
    _verdicts([(line, comparison) for line, comparison in tested if comparison is not None])
    rows = {line["row"]: line["against_first"] for line in lines}
    return {**asdict(question), "rows": rows, "sentence": answer_sentence(question, rows)}


def answer_sentence(question: Question, rows: Mapping[str, Values | None]) -> str:
    """What the p-values say: one of three cases, or that it was not measured.

    Args:
        rows: the test of each row of the question against `question.against`; None = not measured.
    """
    tested = {row: test for row, test in rows.items() if test is not None}
    subject, object_ = question.subject, question.object
    if not tested:
        return f"whether {subject} beat{_s(rows)} {object_} is {NOT_MEASURED}"
    better, worse = (_named(tested, verdict) for verdict in ("better", "worse"))
    if len(rows) == 1:
        (test,) = tested.values()
        said = {"better": "beats", "worse": "is worse than"}.get(test["verdict"], "is not shown to differ from")
        return f"{subject} {said} {object_} ({_short(test)})"
    measured = f" ({len(tested)} of {len(rows)} measured)" if len(tested) < len(rows) else ""
    if better:
        return f"of {subject}{measured}, these beat {object_}: {better}" + (
            f"; these are worse: {worse}" if worse else ""
        )
    if worse:
        return f"none of {subject}{measured} beats {object_}, and these are worse: {worse}"
    nearest = max(tested, key=lambda row: tested[row]["difference"])
    return f"none of {subject}{measured} is shown to differ from {object_} (best: {_with_name(nearest, tested)})"


def _s(rows: Mapping[str, Any]) -> str:
    return "s" if len(rows) == 1 else ""


def _named(tested: Mapping[str, Values], verdict: str) -> str:
    return "; ".join(_with_name(row, tested) for row, test in tested.items() if test["verdict"] == verdict)


def _with_name(row: str, tested: Mapping[str, Values]) -> str:
    return f"{row}, {_short(tested[row])}"


def _short(test: Values) -> str:
    seeds = f"p = {_p(test['p_holm'])}" if test["runs"] > 1 else "one seed, which shows nothing"
    return f"{_points(test['difference'])} points of F1, {seeds}"


# --- the page ---------------------------------------------------------------------------------------------


def write_report(study: Study, configuration: Path, html: Path | None = None, resamples: int = RESAMPLES) -> Values:
    """Write `summary.json`, the plots, the page between its marks, and the HTML file if one is named.

    Returns:
        The summary.

    Raises:
        ValueError: results of other arguments, or a page without marks.
        OSError: a file that cannot be written.
    """
    summary = summarise(study, resamples)
    text = json.dumps(summary, indent=1) + "\n"
    write_text(study.results_dir / "summary.json", text)
    if not study.page.is_file():
        write_text(study.page, TITLE)
    plots = _plots(study, summary, study.page.parent / "images")
    write_between_marks(study.page, MARKS, markdown(study, configuration, summary, plots))
    if html is not None:
        write_text(html, _as_html(study.page))
    return summary


def markdown(study: Study, configuration: Path, summary: Values, plots: Mapping[str, Path]) -> str:
    """The generated part of the page."""
    parts = [_introduction(study, configuration, summary)]
    for dataset, found in summary["datasets"].items():
        plot = f"![Test F1 of the rows on {dataset}](images/{plots[dataset].name})\n\n" if dataset in plots else ""
        lines = found["rows"]
        tables = f"{_score_table(lines)}\n{_test_table(lines)}\n{_cost_table(lines)}"
        if not any(line["seeds"] for line in lines):
            tables = f"Not measured: {'; '.join(line['row'] for line in lines)}.\n"
        parts.append(f"## {dataset}\n\n{plot}{tables}")
    return "\n".join([*parts, TESTS, LIMITS])


def _introduction(study: Study, configuration: Path, summary: Values) -> str:
    sentences: list[str] = []
    for dataset, found in summary["datasets"].items():
        answers = [answer["sentence"] for answer in found["questions"]]
        if answers and (not sentences or any(line["seeds"] for line in found["rows"])):
            rest = [answer["sentence"] for answer in found["questions"][2:] if any(answer["rows"].values())]
            sentences += [f"On {dataset}, {'; and '.join(answers[:2])}.", *(f"There, {answer}." for answer in rest)]
    seeds = ", ".join(map(str, study.seeds))
    made = f"Encoder `{study.base.get('encoder_name_or_path')}`, seeds {seeds}. Made by\n`d2e2s study {configuration}` "
    return "\n".join(sentences) + f"\n\n{made}from the results files in `{study.results_dir}`.\n"


def _score_table(lines: Sequence[Values]) -> str:
    chosen = NO_RESULT
    for line in lines:
        if line["chosen_on_test_sentences"] is not None:
            chosen = f"{NO_RESULT}, {line['chosen_on_test_sentences']} of {line['test_sentences']} sentences"
    header = ["row", "seeds", "dev F1", "test F1", "95 % interval", chosen]
    rows = [
        [
            line["row"],
            ", ".join(map(str, line["seeds"])) or NOT_MEASURED,
            *(_mean_and_spread(line[name]) for name in ("dev_f1", "test_f1")),
            _interval(line["test_f1"]),
            _mean_and_spread(line["chosen_on_test_f1"]),
        ]
        for line in lines
    ]
    return markdown_table(header, rows)


def _test_table(lines: Sequence[Values]) -> str:
    header = [f"against {lines[0]['row']}", "difference", "95 % interval", "p, sentences", "p, bootstrap", "p, seeds"]
    return markdown_table([*header, "p, Holm", "verdict"], [[line["row"], *_test_cells(line)] for line in lines[1:]])


def _test_cells(line: Values) -> list[str]:
    test = line["against_first"]
    if test is None:
        return [NOT_MEASURED] + [""] * 6
    interval = f"{_points(test['low'])} to {_points(test['high'])}"
    p_values = [_p(test[name]) for name in ("p_randomisation", "p_bootstrap", "p_seeds", "p_holm")]
    return [_points(test["difference"]), interval, *p_values, test["verdict"]]


def _cost_table(lines: Sequence[Values]) -> str:
    conditions = sorted({text for line in lines for text in line["conditions"]})
    rows = [
        [
            line["row"],
            NOT_MEASURED if line["parameters"] is None else f"{line['parameters'] / 1e6:.2f} M",
            NOT_MEASURED if line["seconds_per_step"] is None else f"{line['seconds_per_step']:.3f}",
            NOT_MEASURED if line["peak_memory_gb"] is None else f"{line['peak_memory_gb']:.2f}",
        ]
        for line in lines
    ]
    table = markdown_table(["row", "parameters", "seconds a step", "peak memory, GB"], rows)
    return table + (f"\nOn: {'; '.join(conditions)}.\n" if conditions else "")


def _mean_and_spread(values: Values | None) -> str:
    if values is None:
        return NOT_MEASURED
    spread = "" if values["sd"] is None else f" ± {100 * values['sd']:.2f}"
    return f"{100 * values['mean']:.2f}{spread}"


def _interval(values: Values | None) -> str:
    if values is None or values["interval"] is None:
        return NOT_MEASURED
    return " to ".join(f"{100 * end:.2f}" for end in values["interval"])


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


# --- plots and HTML ---------------------------------------------------------------------------------------


def _plots(study: Study, summary: Values, folder: Path) -> dict[str, Path]:
    """A plot for each data set of which anything was measured."""
    made = {}
    for dataset, found in summary["datasets"].items():
        lines = [line for line in found["rows"] if line["test_f1"] is not None]
        if lines:
            made[dataset] = folder / f"{slug(study.page.stem)}-{slug(dataset)}.svg"
            _plot(lines, dataset, made[dataset])
    return made


def _plot(lines: Sequence[Values], dataset: str, path: Path) -> None:
    """Means with the 95 % interval over seeds, the seeds as points, and hollow what would have been chosen on test."""
    title = f"Triplet F1 on {dataset} test"
    means = "; ".join(f"{line['row']} {_mean_and_spread(line['test_f1'])}" for line in lines)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.36 * len(lines)), layout="constrained")
        axes = figure.subplots()
        for place, line in enumerate(lines):
            _plot_line(axes, place, line)
        axes.set_yticks(range(len(lines)), [line["row"] for line in lines], parse_math=False)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlabel(f"triplet F1 on {dataset} test, %")
        axes.grid(visible=False, axis="y")
        handles, labels = axes.get_legend_handles_labels()
        kinds = dict(zip(labels, handles, strict=True))
        figure.legend(kinds.values(), kinds.keys(), loc="outside upper center", ncols=3, fontsize=9)
        text = to_file(figure, title, f"Mean and standard deviation over seeds, in percent: {means}.")
    write_text(path, text)


def _plot_line(axes: Any, place: int, line: Values) -> None:
    test, chosen = line["test_f1"], line["chosen_on_test_f1"]
    low, high = test["interval"] or (test["mean"], test["mean"])
    errors = [[100 * (test["mean"] - low)], [100 * (high - test["mean"])]]
    axes.errorbar(
        100 * test["mean"], place, xerr=errors, fmt="D", color=SERIES[0], capsize=3, label="mean, 95 % interval"
    )
    seeds = [100 * value for value in test["values"]]
    axes.scatter(seeds, [place + 0.22] * len(seeds), s=12, color=SERIES[0], alpha=0.6, label="a seed")
    if chosen is not None:
        label = "chosen on test (not a result)"
        axes.scatter(100 * chosen["mean"], place, facecolors="none", edgecolors=SERIES[1], zorder=3, label=label)


def _as_html(page: Path) -> str:
    """The whole page as one HTML file, its plots inside; markup in it stays text."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table")
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith("<!--")]
    tokens = body.parse("\n".join(lines))
    for image in (child for token in tokens for child in token.children or () if child.type == "image"):
        if (file := page.parent / str(image.attrs["src"])).is_file():
            image.attrs["src"] = "data:image/svg+xml;base64," + base64.b64encode(file.read_bytes()).decode()
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0}"
        "td,th{border:1px solid #bbb;padding:.2rem .5rem;text-align:left}img{max-width:100%}"
    )
    head = f'<meta charset="utf-8"><title>{escape(page.stem)}</title><style>{style}</style>'
    html = body.renderer.render(tokens, body.options, {})
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{html}</body></html>\n'
