"""The page of a summary: one HTML file that loads nothing from the net."""

from collections import Counter

from markupsafe import Markup

from .. import __version__
from ..reporting import drawing
from ..reporting.markdown import asset, style
from .counts import Aspect
from .figures import Figures

STYLES = ("blocks.css", "drawing.css", "summary.css")  # of the content
MOST_RANKED, MOST_SHOWN, MOST_COMPARED, MOST_GROUPS = 10, 100, 15, 12


def render(figures: Figures, title: str) -> Markup:
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
    read = [("reviews", summary.reviews), ("triplets", summary.triplets), ("aspects", len(summary.aspects))]
    said = sum((aspect.sentiments for aspect in summary.aspects.values()), Counter[str]())
    compared = figures.aspects[:MOST_COMPARED]
    return drawing.render(
        "summary_content.html.jinja",
        figures=figures,
        tiles=[*read, *((label, said[label]) for label in figures.labels)],
        praised=figures.most(figures.good, figures.bad, MOST_RANKED),
        criticised=figures.most(figures.bad, figures.good, MOST_RANKED),
        changes=figures.changes(MOST_RANKED),
        rows=list(zip(figures.rows, map(examples, figures.aspects), strict=True))[:MOST_SHOWN],
        groups=largest_groups(figures)[:MOST_GROUPS],
        by_group=[(aspect.name, {row.group: row for row in figures.by_group(aspect)}) for aspect in compared],
        by_period=[(aspect.name, {row.period: row for row in figures.by_period(aspect)}) for aspect in compared],
        shares=drawing.shares,
        shown=MOST_SHOWN,
        compared=MOST_COMPARED,
    )


def largest_groups(figures: Figures) -> list[str]:
    """The groups, that with the most triplets first."""
    triplets = Counter(dict.fromkeys(figures.groups, 0))
    for aspect in figures.aspects:
        triplets.update({group: counts.total() for group, counts in aspect.groups.items()})
    return [group for group, _ in triplets.most_common()]


def examples(aspect: Aspect) -> list[Markup]:
    """Pieces of reviews with the triplet marked, of each sentiment in turn."""
    kept = [found for label in sorted(aspect.examples) for _, found in sorted(aspect.examples[label].items())]
    return [drawing.sentence(example.text, [example.triplet]) for example in kept]
