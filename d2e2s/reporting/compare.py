"""Several runs side by side: a table, a plot of every seed, a radar plot.

d2e2s compare outputs/14res outputs/14res-tin --out compare.html
d2e2s compare results/runs --out compare.md

Each run is an output folder of `run_aste.py`, its `all_results.json` under any name, or a folder of such files. Runs
that differ only in their seed share a row: mean and standard deviation.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas
from evaluate.visualization import radar_plot
from markupsafe import Markup
from matplotlib.figure import Figure

from ..configuration_d2e2s import D2E2SConfig
from ..data_scripts.files import write_text
from ..errors_d2e2s import UserError
from ..evaluation.results import CHOICES, RESULTS, Figures, data_name, recipe_of
from . import charts, drawing
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
# At most six: with seven, `radar_plot` makes eight angles.
RADAR = {
    "test_triplet_precision": "precision",
    "test_triplet_recall": "recall",
    "test_triplet_f1": "triplet F1",
    "test_aspect_f1": "aspect F1",
    "test_opinion_f1": "opinion F1",
    "test_triplet_f1_multi_word": "F1, terms of several words",
}
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
        values = [run[figure] for run in self.runs if run.get(figure) is not None]
        return values if len(values) == len(self.runs) else []


def read_runs(*paths: Path) -> list[dict[str, Any]]:
    """The results of every run.

    Raises:
        FileNotFoundError: a path without results. ValueError: a file that holds no results of a run.
    """
    return [read_results(path) for place in paths for path in _results_files(place)]


def _results_files(path: Path) -> list[Path]:
    if (path / RESULTS).is_file():
        return [path / RESULTS]
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no results files (*.json)")
    return files


def read_results(path: Path) -> dict[str, Any]:
    """What a run's `all_results.json` holds.

    Raises:
        FileNotFoundError: no such file. ValueError: it is no results file of `run_aste.py`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected what run_aste.py writes to its output folder")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        known = {"seed", "encoder"} <= results.keys() and {"config", "data", "training"} <= results["arguments"].keys()
    except (ValueError, AttributeError, KeyError, TypeError):
        known = False
    if not known:
        raise UserError(f"{path}: no results of a run; expected an {RESULTS} of run_aste.py")
    return results


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
        ValueError: a recipe was run twice with one seed.
    """
    groups: dict[str, list[Figures]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups.setdefault(json.dumps(recipe_of(run), sort_keys=True), []).append(run)
    found = [Configuration(*describe(members[0]), members) for members in groups.values()]
    found.sort(key=lambda configuration: (configuration.data, configuration.encoder, configuration.model))
    for configuration in found:
        if len(set(configuration.seeds)) < len(configuration.seeds):
            name = (configuration.data, configuration.encoder, configuration.model)
            raise UserError(f"{name}: two results files of one seed, {configuration.seeds}: keep one")
        configuration.label = _label(configuration, found)
    return found


def _label(configuration: Configuration, others: Sequence[Configuration]) -> str:
    """The values of what is not the same in all configurations on this data."""
    recipes = [recipe_of(other.runs[0]) for other in others if other.data == configuration.data]
    own = recipe_of(configuration.runs[0])
    names = dict.fromkeys(name for each in recipes for name in each)
    differing = [name for name in names if len({json.dumps(each.get(name)) for each in recipes}) > 1]
    lengths = {"num_train_epochs", "max_steps"} - own.keys()  # of these a run has one
    return ", ".join(_named(name, own.get(name)) for name in differing if name not in lengths) or configuration.model


def _named(name: str, value: Any) -> str:
    return _shown(value) if name in ("encoder", *CHOICES) else f"{name} {_shown(value)}"


def _shown(value: Any) -> str:
    """A value; of an ensemble whose models differ in it, that of each."""
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def percent(values: Sequence[float]) -> str:
    """Mean, and the standard deviation where there are several."""
    if not values:
        return "not measured"
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def rows(runs: Iterable[Figures]) -> list[list[str]]:
    """A row for each configuration, under `HEADER` and `FIGURES`."""
    return [row(configuration) for configuration in configurations(runs)]


def row(configuration: Configuration) -> list[str]:
    seeds = ", ".join(map(str, configuration.seeds))
    figures = [percent(configuration.values(figure)) for figure in FIGURES]
    return [configuration.data, configuration.encoder, configuration.model, seeds, *figures]


def table(runs: Iterable[Figures]) -> str:
    """Markdown table, F1 in percent."""
    return markdown_table([*HEADER, *FIGURES.values()], rows(runs))


def summary(runs: Iterable[Figures]) -> str:
    """JSON: each configuration with mean, standard deviation (null for one seed) and value of each seed."""
    found = [
        {
            "data": configuration.data,
            "encoder": configuration.encoder,
            "model": configuration.model,
            "label": configuration.label,
            "seeds": configuration.seeds,
            "figures": {name: _statistics(configuration.values(name)) for name in {**FIGURES, **RADAR}},
        }
        for configuration in configurations(runs)
    ]
    return json.dumps(found, indent=2) + "\n"


def _statistics(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "standard_deviation": deviation, "values": list(values)}


# --- the page


def page(runs: Iterable[Figures]) -> Markup:
    """The same as HTML, with plots for each data set."""
    found = configurations(runs)
    data = dict.fromkeys(configuration.data for configuration in found)
    return drawing.render(
        "compare.html.jinja",
        style=style("drawing.css", "page.css"),
        title=f"{sum(len(configuration.runs) for configuration in found)} runs",
        header=[*HEADER, *FIGURES.values()],
        rows=[row(configuration) for configuration in found],
        plots=[(name, plots([each for each in found if each.data == name])) for name in data],
    )


def plots(found: Sequence[Configuration]) -> list[Markup]:
    """What can be drawn of the configurations of one data set."""
    figure = next((name for name in MAIN if all(each.values(name) for each in found)), None)
    drawn = [seeds_plot(found, figure)] if figure else []
    names = radar_names(found)
    return [*drawn, radar(found, names)] if len(names) > 2 else drawn


def seeds_plot(found: Sequence[Configuration], figure: str) -> Markup:
    """A line for each configuration: every seed a point, the mean a stroke, one standard deviation a band."""
    with charts.chart(f"{FIGURES[figure]}, %", (6.4, 1.2 + 0.45 * len(found))) as (axes, made):
        for place, configuration in enumerate(found):
            values = [100 * value for value in configuration.values(figure)]
            mean, colour = statistics.mean(values), charts.SERIES[0]
            if len(values) > 1:
                deviation = statistics.stdev(values)
                axes.barh(place, 2 * deviation, left=mean - deviation, height=0.5, color=colour, alpha=0.2)
            axes.plot([mean, mean], [place - 0.25, place + 0.25], color=colour)
            axes.scatter(values, [place] * len(values), color=colour, zorder=3)
        axes.set_yticks(range(len(found)), [charts.plain(configuration.label) for configuration in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
    return made[0]


def radar_names(found: Sequence[Configuration]) -> dict[str, str]:
    """The figures of `RADAR` that all configurations have and that are not the same for all: those have no scale."""
    means = {name: [each.values(name) and statistics.mean(each.values(name)) for each in found] for name in RADAR}
    return {name: label for name, label in RADAR.items() if all(means[name]) and len(set(means[name])) > 1}


def radar(found: Sequence[Configuration], names: Mapping[str, str]) -> Markup:
    """Means, each figure on its own scale from the lowest to the highest of these configurations."""
    data = [{label: 100 * statistics.mean(each.values(name)) for name, label in names.items()} for each in found]
    labels = [charts.plain(each.label) for each in found]
    # `radar_plot` looks rows up by a tuple, which pandas 3 takes for several axes unless the index is of tuples.
    rows = pandas.MultiIndex.from_tuples([(label,) for label in labels])
    small = {"rgrid_tick_lbls_args": {"fontsize": 8}, "theta_tick_lbls": {"fontsize": 9}, "theta_tick_lbls_pad": 8}
    with matplotlib.rc_context(charts.STYLE):
        figure = Figure(figsize=(6.4, 4.8))
        radar_plot(data=data, model_names=rows, config=small, fig=figure)
        lines = figure.axes[1]
        lines.legend(lines.get_lines(), labels, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
        return charts.to_svg(figure, "radar plot, %")


WRITERS: dict[str, Callable[[Iterable[Figures]], str]] = {".html": page, ".md": table, ".json": summary}


def run(options: argparse.Namespace) -> None:
    """Write, or print, the comparison of runs."""
    write(options.runs, options.out)


def write(paths: Sequence[Path], out: Path | None) -> None:
    """Write the comparison in the format that the suffix of `out` names; print the table if it is None.

    Raises:
        ValueError, OSError: another suffix, or see `read_runs` and `configurations`.
    """
    if out is not None and out.suffix not in WRITERS:
        raise UserError(f"{out}: cannot write this kind of file; expected {', '.join(WRITERS)}")
    runs = read_runs(*paths)
    if out is None:
        print(table(runs), end="")
        return
    text = WRITERS[out.suffix](runs)
    write_text(out, text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="output folder, results file, or folder of those"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"{', '.join(WRITERS)}; default: print the table")
