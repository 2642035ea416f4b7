"""Pictures of a sentence as HTML: triplets as coloured terms joined by arcs, dependency trees, graphs as heat maps.

Whatever a text holds stays text: every value that reaches a template is escaped. `colours.css`, `drawing.css` and
`drawing.js`, which pages hold once, give the looks and place the arcs wherever the lines of a sentence break.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from .markdown import TEMPLATES

# Class of a sentiment in `drawing.css`, and the sign on its arc: colour alone does not reach everybody.
SENTIMENTS = {"POS": ("positive", "+"), "NEG": ("negative", "−"), "NEU": ("neutral", "○")}
ROOT_NODE = "(root)"
TREE_OPTIONS = {
    "word_spacing": 28,
    "arrow_spacing": 12,
    "arrow_width": 7,
    "offset_x": 60,
    "color": "currentColor",
    "bg": "transparent",
    "font": "inherit",
}

SHRINKS_TO = 0.7  # share of a tree's width that is still read with ease; what needs more place is scrolled

Triplet = Mapping[str, Any]


@cache
def environment() -> Environment:
    """The templates, those of HTML with escaping on."""
    loader, escaped = FileSystemLoader(TEMPLATES), select_autoescape(["html.jinja"])
    return Environment(
        loader=loader, autoescape=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render(template: str, **values: Any) -> Markup:
    """A template of the folder `templates`; values that are not `Markup` are escaped."""
    return Markup(environment().get_template(template).render(**values))


def sentence(text: str, triplets: Sequence[Triplet]) -> Markup:
    """A text with its triplets.

    Args:
        triplets: as the pipeline gives them, with [start, end) in characters of `text`; a true `wrong` dashes the arc.
    """
    terms = dict.fromkeys(_term(triplet, role) for triplet in triplets for role in ("aspect", "opinion"))
    numbers = {term: number for number, term in enumerate(terms)}
    arcs = [_arc(triplet, numbers) for triplet in triplets]
    return render("sentence.html.jinja", pieces=_pieces(text, numbers), arcs=arcs)


def _term(triplet: Triplet, role: str) -> tuple[str, int, int]:
    return role, triplet[role]["start"], triplet[role]["end"]


def _pieces(text: str, numbers: Mapping[tuple[str, int, int], int]) -> list[dict[str, Any]]:
    """The text, cut wherever a term begins or ends, with the roles and numbers of the terms that cover each piece."""
    cuts = sorted({0, len(text), *(place for _, start, end in numbers for place in (start, end))})
    pieces = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        covering = [term for term in numbers if term[1] <= start and end <= term[2]]
        roles = sorted({role for role, _, _ in covering})
        pieces.append({"text": text[start:end], "roles": roles, "terms": [numbers[term] for term in covering]})
    return pieces


def _arc(triplet: Triplet, numbers: Mapping[tuple[str, int, int], int]) -> dict[str, Any]:
    """From one term to the other: their numbers, class and sign of the sentiment, and what the arc says in words."""
    kind, sign = SENTIMENTS.get(triplet["sentiment"], ("other", triplet["sentiment"]))
    label = f"{triplet['aspect']['text']} – {triplet['opinion']['text']}: {triplet['sentiment']}"
    ends = {role: numbers[_term(triplet, role)] for role in ("aspect", "opinion")}
    return {**ends, "kind": kind, "sign": sign, "label": label, "wrong": triplet.get("wrong")}


def tree(words: Sequence[str], heads: Sequence[int], deprels: Sequence[str | None] | None = None) -> Markup:
    """A dependency tree, drawn by displaCy.

    Args:
        heads: 1-based, 0 = root.
        deprels: relations, where they are known.
    """
    from spacy import displacy  # large, and of the extras

    labels = [escape(label or "") for label in deprels or [None] * len(words)]  # displaCy escapes words only
    arcs = [
        {
            "start": min(word, head - 1),
            "end": max(word, head - 1),
            "label": "" if label == "root" else label,
            "dir": "left" if word < head - 1 else "right",
        }
        for word, (head, label) in enumerate(zip(heads, labels, strict=True))
        if head > 0
    ]
    tagged = [{"text": word, "tag": "" if head else "root"} for word, head in zip(words, heads, strict=True)]
    options = {**TREE_OPTIONS, "distance": max(84, 9 * max(map(len, words), default=0) + 12)}
    svg = shrinkable(displacy.render({"words": tagged, "arcs": arcs}, manual=True, jupyter=False, options=options))
    return Markup('<div class="tree" tabindex="0" role="img" aria-label="dependency tree">{}</div>').format(Markup(svg))


def shrinkable(svg: str) -> str:
    """displaCy's drawing, which is as wide as its place down to `SHRINKS_TO` of its own width."""

    def head(match: re.Match[str]) -> str:
        width, height = match.groups()
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        return f'{size} style="max-width: 100%; min-width: {SHRINKS_TO * float(width):.0f}px; height: auto; '

    pattern = r'width="([\d.]+)" height="([\d.]+)" direction="\w+" style="max-width: none; height: [\d.]+px; '
    return re.sub(pattern, head, svg, count=1)


def heat_map(words: Sequence[str], weights: Sequence[Sequence[float]], title: str) -> Markup:
    """A graph over the root and the words: darker = heavier.

    Args:
        weights: `(1 + W, 1 + W)`, the row's weight on the column, at least 0.
    """
    nodes = [ROOT_NODE, *words]
    most = max(map(max, weights), default=0) or 1.0
    cells = [
        {"row": i, "column": j, "weight": weight, "share": round(weight / most, 3)}
        for i, row in enumerate(weights)
        for j, weight in enumerate(row)
        if weight / most >= 0.01
    ]
    return render("heat_map.html.jinja", nodes=nodes, cells=cells, title=title)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    return render("table.html.jinja", header=header, rows=list(rows))


def shares(rows: Sequence[tuple[str, Mapping[str, int]]], sentiments: Sequence[str]) -> Markup:
    """A bar for each row, parted by sentiment.

    Args:
        rows: name and the count of each sentiment.
    """
    kinds = {name: SENTIMENTS.get(name, ("other", name))[0] for name in sentiments}
    return render("shares.html.jinja", rows=rows, kinds=kinds)
