"""Charts: matplotlib figures as SVG, light and dark, that stands in a page and takes its colours, or in a file."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.results import mean_and_deviation
from ..metrics.aste.scoring import Count
from .markdown import TEMPLATES, asset

# What `chart.mplstyle` tells matplotlib, and the variable of `colours.css` that takes its place in the page.
COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--positive)",
    "#050505": "var(--negative)",
    "#060606": "var(--neutral)",
    **{f"#1010{i:02d}": f"var(--series-{i})" for i in range(1, 7)},
}
_, MUTED, _, POSITIVE, NEGATIVE, NEUTRAL, *SERIES = COLOURS
SENTIMENT_COLOURS = {"POS": POSITIVE, "NEG": NEGATIVE, "NEU": NEUTRAL}
STYLE = TEMPLATES / "chart.mplstyle"
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
SIZE = (4.8, 3.2)  # inches


@contextmanager
def chart(title: str, size: tuple[float, float] = SIZE) -> Iterator[tuple[Figure, Axes]]:
    """A new figure with its axes to draw on; the title is its label too."""
    with style.context(STYLE):
        figure = Figure(figsize=size, layout="constrained", label=title)
        yield figure, figure.add_subplot(title=plain(title))


def plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def to_svg(figure: Figure) -> Markup:
    """A figure as an `<svg>` element as wide as its place, with nothing outside it and no rule for the page."""
    opening, (box, inside) = '<svg class="chart" role="img" aria-label="{}" viewBox="{}">{}', _parts(figure)
    return Markup(opening).format(figure.get_label(), box, Markup(inside))


def to_file(figure: Figure, title: str, description: str) -> str:
    """A figure as an SVG file, with colours of its own, on paper, and what it shows in words."""
    box, inside = _parts(figure)
    width, height = box.split()[2:]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" '
        f'width="{width}pt" height="{height}pt" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="desc">{escape(description)}</desc>\n'
        f"<style>{asset('colours.css')}</style>\n"
        f'<rect width="100%" height="100%" style="fill: var(--paper)"/>{inside}'
    )


def _parts(figure: Figure) -> tuple[str, str]:
    """The view box of a figure's SVG, and the rest of it, from after the opening tag."""
    file = io.StringIO()
    with style.context(STYLE):
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata=NO_METADATA)
    found = re.search(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", file.getvalue())
    assert found is not None  # matplotlib always writes one
    inside = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", file.getvalue()[found.end() :], flags=re.DOTALL)
    for colour, variable in COLOURS.items():
        inside = inside.replace(colour, variable)
    return found[1], inside


class Spread(NamedTuple):
    """A row of a chart: its name, the figure of each seed, and what stands around their mean, in [0, 1]."""

    name: str
    values: Sequence[float]
    interval: tuple[float, float]


def spread_chart(title: str, rows: Sequence[Spread]) -> Figure:
    """A line for each row, in percent: every seed a point, the mean a stroke, the interval a band."""
    with chart(title, (7.2, 1.2 + 0.36 * len(rows))) as (figure, axes):
        for place, (_, values, (low, high)) in enumerate(rows):
            mean = 100 * mean_and_deviation(values)[0]
            axes.barh(place, 100 * (high - low), left=100 * low, height=0.5, color=SERIES[0], alpha=0.2)
            axes.plot([mean, mean], [place - 0.25, place + 0.25], color=SERIES[0])
            axes.scatter([100 * value for value in values], [place] * len(values), s=20, color=SERIES[0], zorder=3)
        axes.set_yticks(range(len(rows)), [plain(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
    return figure


def learning_curves(history: Sequence[Mapping[str, Any]], best_step: int | None) -> list[Markup]:
    """Losses, and F1 on dev, over the epochs of a `trainer_state.json`'s `log_history`."""
    curves = []
    panels = {
        "Loss": {"loss": "train", "eval_loss": "dev"},
        "F1 on dev, %": {"eval_triplet_f1": "triplets", "eval_aspect_f1": "aspects", "eval_opinion_f1": "opinions"},
    }
    for title, names in panels.items():
        with chart(title) as (figure, axes):
            for name, label in names.items():
                factor = 100 if name.endswith("f1") else 1
                points = [(entry["epoch"], factor * entry[name]) for entry in history if name in entry]
                if points:
                    axes.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) < 3 else None)
            for entry in history:
                if best_step is not None and entry["step"] == best_step and "eval_triplet_f1" in entry:
                    axes.axvline(entry["epoch"], color=MUTED, linewidth=1, linestyle=":", label="kept")
            axes.set_xlabel("epoch")
            if axes.get_legend_handles_labels()[1]:
                axes.legend()
        curves.append(to_svg(figure))
    return curves


def threshold_curve(curve: Mapping[str, Any], threshold: float) -> Markup:
    """Precision, recall and F1 over the threshold, and where the run has set it."""
    with chart("Precision, recall and F1 by threshold, %") as (figure, axes):
        for name in ("precision", "recall", "f1"):
            label = "F1" if name == "f1" else name
            axes.plot(curve["threshold"], 100 * curve[name], label=label, drawstyle="steps-pre")
        axes.axvline(threshold, color=MUTED, linewidth=1, linestyle=":", label=f"threshold {threshold:.3f}")
        axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 100))
        axes.legend()
    return to_svg(figure)


def reliability_diagram(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Share of right ones by score; the area of a point grows with the number of candidates behind it."""
    with chart("Reliability: right ones by score, %") as (figure, axes):
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=":", label="as scored")
        x, y, count = (list(values) for values in zip(*bins, strict=True)) if bins else ([], [], [])
        areas = [12 + 240 * number / max(count) for number in count]
        scored, right = ([100 * value for value in values] for values in (x, y))
        axes.plot(scored, right, linewidth=1)
        axes.scatter(scored, right, s=areas, alpha=0.8, label="candidates of a bin")
        axes.set(xlabel="score, %", xlim=(0, 102), ylim=(0, 102))
        axes.legend()
    return to_svg(figure)


def f1_bars(title: str, counts: Mapping[str, Count]) -> Markup:
    """F1 of each group; below its name the number of gold triplets."""
    with chart(f"F1 by {title}, %") as (figure, axes):
        names = [plain(f"{name}\n{count.gold} gold") for name, count in counts.items()]
        colours = [SENTIMENT_COLOURS.get(name, SERIES[0]) for name in counts]
        bars = axes.bar(names, [100 * count.f1 for count in counts.values()], color=colours, width=0.6)
        axes.bar_label(bars, fmt="%.1f", padding=2)
        axes.set(ylim=(0, 108))
        axes.grid(visible=False, axis="x")
    return to_svg(figure)


def confusion_matrix(cells: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Counts; the shade is the share of the row."""
    with chart("Sentiment: gold in rows, predicted in columns") as (figure, axes):
        axes.grid(visible=False)
        for i, row in enumerate(cells):
            for j, count in enumerate(row):
                share = count / max(1, sum(row))
                axes.add_patch(matplotlib.patches.Rectangle((j, i), 0.96, 0.96, color=SERIES[0], alpha=0.55 * share))
                axes.text(j + 0.48, i + 0.48, str(count), ha="center", va="center")
        places = [place + 0.48 for place in range(len(names))]
        labels = [plain(name) for name in names]
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0))
        axes.set_xticks(places, labels)
        axes.set_yticks(places, labels)
    return to_svg(figure)
