"""Several runs side by side: a table, and a plot of every seed.

d2e2s compare outputs/14res outputs/14res-tin --out compare.html
d2e2s compare results/runs.jsonl --out compare.md

Each run is an output folder of `run_aste.py`, its `all_results.json` under any name, or a line of a `.jsonl` file. Runs
that differ only in their seed share a row: mean and standard deviation.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..configuration_d2e2s import D2E2SConfig
from ..data_scripts.files import write_text
from ..errors_d2e2s import UserError
from ..evaluation.results import CHOICES, Figures, data_name, mean_and_deviation, percent, read_runs, recipe_of
from . import charts, drawing
from .card import of_each
from .markdown import markdown_table, style

FIGURES = {
    "eval_triplet_f1": "dev triplet F1",
    "test_triplet_f1": "test triplet F1",
    "test_predicted_syntax_triplet_f1": "same, no heads given",
    "test_aspect_f1": "aspect F1",
    "test_opinion_f1": "opinion F1",
    "test_parser_uas": "UAS, test parses",
    "parser_test_uas": "UAS, gold trees",
}
MAIN = ("test_triplet_f1", "eval_triplet_f1")  # the plot shows the first one that all runs have
HEADER = ["data", "encoder", "fusion + semantic + syntactic GCN", "seeds"]


@dataclass
class Configuration:
    """Runs that differ in their seed only, by seed.

    Attributes:
        label: what tells it from the others on the same data, for plots.
    """

    data: str
    encoder: str
    model: str
    runs: Sequence[Figures]
    label: str = ""

    @property
    def seeds(self) -> list[int]:
        return [run["seed"] for run in self.runs]

    def values(self, figure: str) -> list[float]:
        """The figure of each seed; none if a run has not measured it."""
        return of_each(self.runs, figure)

    def row(self) -> list[str]:
        """Its cells, under `HEADER` and `FIGURES`."""
        figures = [percent(self.values(figure)) for figure in FIGURES]
        return [self.data, self.encoder, self.model, ", ".join(map(str, self.seeds)), *figures]


def describe(run: Figures) -> tuple[str, str, str]:
    """Data set, encoder and model of a run."""
    config = run["arguments"]["config"]
    model = " + ".join(_shown(config.get(name) or getattr(D2E2SConfig, name)) for name in CHOICES)
    further = {"sentences": run.get("further_train_sentences"), "trees": run.get("parser_train_sentences")}
    name = " + ".join([data_name(run), *(f"{n} {what}" for what, n in further.items() if n)])
    before = [f"{step['sentences']} sentences of {step['data']}" for step in run.get("earlier_training", [])]
    if "ensemble_size" in run:
        model = f"{run['ensemble_size']} × {model}"
    return ", after ".join([name, *reversed(before)]), run["encoder"], model


def configurations(runs: Iterable[Figures]) -> list[Configuration]:
    """The runs, grouped by recipe, in the order of data, encoder and model.

    Raises:
        UserError: a recipe was run twice with one seed.
    """
    groups: dict[str, list[Figures]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups.setdefault(json.dumps(recipe_of(run), sort_keys=True), []).append(run)
    found = [Configuration(*describe(members[0]), members) for members in groups.values()]
    found.sort(key=lambda configuration: (configuration.data, configuration.encoder, configuration.model))
    for configuration in found:
        if len(set(configuration.seeds)) < len(configuration.seeds):
            name = (configuration.data, configuration.encoder, configuration.model)
            raise UserError(f"{name}: two results of one seed, {configuration.seeds}: keep one")
        configuration.label = _label(configuration, found)
    return found


def _label(configuration: Configuration, others: Sequence[Configuration]) -> str:
    """The values of what is not the same in all configurations on this data."""
    recipes = [recipe_of(other.runs[0]) for other in others if other.data == configuration.data]
    own = recipe_of(configuration.runs[0])
    names = dict.fromkeys(name for each in recipes for name in each)
    differing = [name for name in names if len({json.dumps(each.get(name)) for each in recipes}) > 1]
    lengths = {"num_train_epochs", "max_steps"} - own.keys()  # of these a run has one
    named = {name: "" if name in ("encoder", *CHOICES) else f"{name} " for name in differing if name not in lengths}
    return ", ".join(f"{called}{_shown(own.get(name))}" for name, called in named.items()) or configuration.model


def _shown(value: Any) -> str:
    """A value; of an ensemble whose models differ in it, that of each."""
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def rows(runs: Iterable[Figures]) -> list[list[str]]:
    """A row for each configuration, under `HEADER` and `FIGURES`."""
    return [each.row() for each in configurations(runs)]


def table(runs: Iterable[Figures]) -> str:
    """Markdown table, F1 in percent."""
    return markdown_table([*HEADER, *FIGURES.values()], rows(runs))


def page(runs: Iterable[Figures]) -> Markup:
    """The same as HTML, with a plot for each data set."""
    found = configurations(runs)
    data = dict.fromkeys(each.data for each in found)
    return drawing.render(
        "compare.html.jinja",
        style=style("drawing.css", "blocks.css", "page.css"),
        title=f"{sum(len(each.runs) for each in found)} runs",
        header=[*HEADER, *FIGURES.values()],
        rows=[each.row() for each in found],
        plots=[(name, plot([each for each in found if each.data == name])) for name in data],
    )


def plot(found: Sequence[Configuration]) -> Markup:
    """Every seed of the configurations of one data set, with mean and standard deviation; empty if nothing can be."""
    figure = next((name for name in MAIN if all(each.values(name) for each in found)), None)
    if figure is None:
        return Markup()
    rows = []
    for each in found:
        mean, deviation = mean_and_deviation(each.values(figure))
        rows.append(charts.Spread(each.label, each.values(figure), (mean - (deviation or 0), mean + (deviation or 0))))
    return charts.to_svg(charts.spread_chart(f"{FIGURES[figure]}, %", rows))


WRITERS: dict[str, Callable[[Iterable[Figures]], str]] = {".html": page, ".md": table}


def run(options: argparse.Namespace) -> None:
    """Write the comparison of runs in the format that the suffix of `--out` names, or print the table.

    Raises:
        UserError, OSError: another suffix, or see `read_runs` and `configurations`.
    """
    out: Path | None = options.out
    if out is not None and out.suffix not in WRITERS:
        raise UserError(f"{out}: cannot write this kind of file; expected {', '.join(WRITERS)}")
    runs = read_runs(*options.runs)
    if out is None:
        print(table(runs), end="")
    else:
        write_text(out, WRITERS[out.suffix](runs))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="output folder, its all_results.json, or .jsonl of many")
    add("--out", type=Path, metavar="FILE", help=f"{', '.join(WRITERS)}; default: print the table")
