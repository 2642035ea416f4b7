"""The page of a summary: one HTML file that loads nothing from the net."""

from __future__ import annotations

from markupsafe import Markup

from .. import __version__
from ..reporting import drawing
from ..reporting.markdown import asset, style
from .counts import Aspect
from .figures import Figures, Row

STYLES = ("blocks.css", "drawing.css", "summary.css")  # of the content
MOST_RANKED, MOST_SHOWN, MOST_COMPARED, MOST_GROUPS = 10, 100, 15, 12


def render(figures: Figures, title: str) -> Markup:
    """The whole page."""
    return drawing.render(
        "summary.html.jinja",
        title=title,
        style=style("page.css", *STYLES),
        script=asset("drawing.js"),
        content=content(figures),
        version=__version__,
    )


def content(figures: Figures) -> Markup:
    """What the page says, without its frame: also for the demo."""
    summary = figures.summary
    groups = sorted(figures.groups, key=lambda group: -_triplets_of(figures, group))[:MOST_GROUPS]
    return drawing.render(
        "summary_content.html.jinja",
        figures=figures,
        tiles=[
            ("reviews", summary.reviews),
            ("triplets", summary.triplets),
            ("aspects", len(summary.aspects)),
            *[
                (label, sum(aspect.sentiments[label] for aspect in summary.aspects.values()))
                for label in figures.labels
            ],
        ],
        praised=figures.most(figures.good, figures.bad, MOST_RANKED),
        criticised=figures.most(figures.bad, figures.good, MOST_RANKED),
        changes=figures.changes(MOST_RANKED),
        rows=list(zip(figures.rows, map(examples, figures.aspects), strict=True))[:MOST_SHOWN],
        groups=groups,
        by_group=figures.by_group[:MOST_COMPARED],
        by_period=figures.by_period[:MOST_COMPARED],
        bar=bar,
        shown=MOST_SHOWN,
        compared=MOST_COMPARED,
    )


def _triplets_of(figures: Figures, group: str) -> int:
    place = figures.groups.index(group)
    return sum(rows[place].total for rows in figures.by_group)


def bar(row: Row, labels: list[str]) -> Markup:
    """The shares of an aspect as one bar."""
    return drawing.shares([(row.aspect, row.counts)], labels)


def examples(aspect: Aspect) -> list[Markup]:
    """Pieces of reviews with the triplet marked, of each sentiment in turn."""
    kept = [found for label in sorted(aspect.examples) for found in aspect.examples[label]]
    return [drawing.sentence(example.text, [example.triplet]) for example in kept]
