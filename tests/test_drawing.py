"""Sentences, trees and graphs as HTML: every word once, every term marked, and no text that becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from d2e2s.reporting import drawing
from d2e2s.reporting.markdown import asset

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


class Page(HTMLParser):
    """The text and the elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def triplet(text: str, aspect: str, opinion: str, sentiment: str = "POS", **more: Any) -> dict[str, Any]:
    spans = {role: {"text": term, "start": text.index(term), "end": text.index(term) + len(term)}
             for role, term in (("aspect", aspect), ("opinion", opinion))}  # fmt: skip
    return {**spans, "sentiment": sentiment, **more}


def marks(page: Page) -> list[tuple[str | None, str | None]]:
    return [(mark["class"], mark["data-terms"]) for mark in page.named("mark")]


def test_terms_are_marked_and_arcs_join_them() -> None:
    text = "The food was great but the service was slow."
    page = Page(drawing.sentence(text, [triplet(text, "food", "great"), triplet(text, "service", "slow", "NEG")]))
    assert marks(page) == [("aspect", "0"), ("opinion", "1"), ("aspect", "2"), ("opinion", "3")]
    arcs = [(arc["class"], arc["data-aspect"], arc["data-opinion"]) for arc in page.named("g")]
    assert arcs == [("positive", "0", "1"), ("negative", "2", "3")]
    assert page.named("svg")[0]["aria-label"] == "food – great: POS; service – slow: NEG"


def test_text_stands_as_it_is() -> None:
    text = " two  spaces\nand 食べ物 & <b>"
    html = drawing.sentence(text, [])
    assert Page(html[: html.index("<svg")]).text == text


def test_overlapping_terms_share_their_words() -> None:
    text = "fastest delivery times"
    found = [triplet(text, "delivery times", "fastest"), triplet(text, "delivery", "fastest", wrong=True)]
    page = Page(drawing.sentence(text, found))
    assert marks(page) == [("opinion", "1"), ("aspect", "0 2"), ("aspect", "0")]
    assert [arc["class"] for arc in page.named("g")] == ["positive", "positive wrong"]


def test_a_word_can_be_aspect_and_opinion() -> None:
    text = "tasty food"
    page = Page(drawing.sentence(text, [triplet(text, "food", "tasty"), triplet(text, "tasty", "food")]))
    assert [mark["class"] for mark in page.named("mark")] == ["aspect opinion", "aspect opinion"]


def test_other_sentiments_have_their_name_on_the_arc() -> None:
    page = Page(drawing.sentence("a b", [triplet("a b", "a", "b", "MIXED")]))
    assert [arc["class"] for arc in page.named("g")] == ["other"]
    assert "MIXED" in page.text


@pytest.mark.parametrize(
    "html",
    [
        drawing.sentence(f"{EVIL} food", [triplet(f"{EVIL} food", EVIL, "food", EVIL)]),
        drawing.tree([EVIL, "b"], [0, 1], [EVIL, EVIL]),
        drawing.heat_map([EVIL], [[0.5, 0.5], [0.5, 0.5]], EVIL),
        drawing.shares([(EVIL, {EVIL: 1})], [EVIL]),
        drawing.table([EVIL], [[EVIL]]),
    ],
    ids=["sentence", "tree", "heat map", "shares", "table"],
)
def test_markup_stays_text(html: str) -> None:
    page = Page(html)
    assert not page.named("script") and not page.named("img")
    assert "alert" in html


def test_tree_has_an_arc_for_each_word_but_the_root() -> None:
    html = drawing.tree(["The", "food", "shines"], [2, 3, 0], ["det", "nsubj", "root"])
    page = Page(html)
    assert len([group for group in page.named("g") if group["class"] == "displacy-arrow"]) == 2
    assert all(word in page.text for word in ("The", "food", "shines", "det", "nsubj", "root"))


def test_tree_shrinks_to_its_place_while_it_can_be_read() -> None:
    svg = Page(drawing.tree(["food"] * 20, [0, *[1] * 19])).named("svg")[0]
    width, height = float(svg["width"] or 0), float(svg["height"] or 0)
    assert [float(number) for number in str(svg["viewbox"]).split()] == [0, 0, width, height]
    assert f"max-width: 100%; min-width: {0.7 * width:.0f}px; height: auto" in str(svg["style"])


def test_words_of_a_tree_do_not_touch() -> None:
    short, long = (Page(drawing.tree([word, "a"], [0, 1])).named("svg")[0] for word in ("food", "unpretentiousness"))
    assert float(long["width"] or 0) > float(short["width"] or 0) + 100


def test_tree_of_one_word_and_without_relations() -> None:
    assert "good" in Page(drawing.tree(["good"], [0])).text


def test_heat_map_shades_by_the_largest_weight() -> None:
    html = drawing.heat_map(["a"], [[0.2, 0.0], [0.1, 0.4]], "graph")
    assert re.findall(r'fill-opacity="([\d.]+)"', html) == ["0.5", "0.25", "1.0"]
    assert "a → (root): 0.100" in html


def test_heat_map_of_nothing_is_empty() -> None:
    assert "fill-opacity" not in drawing.heat_map(["a"], [[0.0, 0.0], [0.0, 0.0]], "graph")


def test_shares_are_parts_of_the_row() -> None:
    page = Page(drawing.shares([("food", {"POS": 3, "NEG": 1})], ["POS", "NEG", "NEU"]))
    assert [span["class"] for span in page.named("span")] == ["positive", "negative"]
    assert "75%" in page.text and "25%" in page.text and "4" in page.text


def test_styles_and_scripts_load_nothing() -> None:
    for name in ("colours.css", "drawing.css", "page.css", "drawing.js", "report.js"):
        assert not re.search(r"https?://|url\(|@import|</", asset(name)), name
