"""Any text in any script through words, sentences, model and back: every offset gives the very surface.

The property test tries 150 texts by default; for a longer search:

    D2E2S_MAX_EXAMPLES=2000 python -m pytest tests/test_offsets.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from any_text import TEXTS
from hypothesis import HealthCheck, given, settings
from tiny_models import KINDS, tiny_checkpoint

from d2e2s import TripletExtractionPipeline
from d2e2s.data_scripts.records import is_tree
from d2e2s.prediction.predict import load_pipeline
from d2e2s.words_d2e2s import is_blank

MAX_EXAMPLES = int(os.environ.get("D2E2S_MAX_EXAMPLES", "150"))
EVERYTHING = {"threshold": 0.0, "return_terms": True, "return_tree": True}


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> TripletExtractionPipeline:
    return load_pipeline(str(tiny_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


def _check(text: str, result: dict[str, Any]) -> None:
    """Whatever was found lies in the text where it says, in order and once; the tree's words cover the text."""
    words = [word for sentence in result["tree"] for word in sentence]
    terms = [triplet[role] for triplet in result["triplets"] for role in ("aspect", "opinion")]
    for term in [*terms, *words, *result["aspects"], *result["opinions"]]:
        assert text[term["start"] : term["end"]] == term["text"] != ""
    borders = {word["start"] for word in words}, {word["end"] for word in words}
    assert all(term["start"] in borders[0] and term["end"] in borders[1] for term in terms)
    spans = [(*_span(triplet["aspect"]), *_span(triplet["opinion"])) for triplet in result["triplets"]]
    assert len(set(spans)) == len(spans)
    assert [span[0] for span in spans] == sorted(span[0] for span in spans)
    assert all(is_tree([word["head"] for word in sentence]) for sentence in result["tree"])
    covered = {place for word in words for place in range(word["start"], word["end"])}
    assert all(is_blank(character) for place, character in enumerate(text) if place not in covered)


def _span(term: dict[str, Any]) -> tuple[int, int]:
    return term["start"], term["end"]


@pytest.mark.slow
@settings(deadline=None, max_examples=MAX_EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS)
def test_any_text(extract: TripletExtractionPipeline, text: str) -> None:
    result = extract(text, **EVERYTHING)
    _check(text, result)
    if result["tree"]:
        assert result["triplets"], "without a threshold every sentence has triplets"


LANGUAGES = {
    "Chinese": "这家餐厅的菜很好吃，但是服务太慢了。环境不错！",
    "Japanese": "ラーメンがとても美味しかったです。でも、サービスは遅い。",
    "Arabic": "الطعام رائع، لكن الخدمة بطيئة جدًا. المكان نظيف؟",
    "Russian": "Еда была вкусной, а официант — грубым. Вино неплохое!",
    "Thai": "อาหารอร่อยมาก แต่บริการช้า",
    "Hindi": "खाना बहुत अच्छा था। सेवा धीमी थी।",
    "Hebrew": "האוכל היה מצוין, אבל השירות איטי.",
    "Korean": "음식은 훌륭했지만 서비스가 느렸어요.",
}


@pytest.mark.parametrize("splitter", ["penn", "unicode", "whitespace"])
@pytest.mark.parametrize("kind", KINDS)
def test_languages(kind: str, splitter: str, tmp_path: Path) -> None:
    """Every family of tokenizers, with every word splitter; alone and all in one batch."""
    extract = load_pipeline(str(tiny_checkpoint(tmp_path, kind, splitter)), device="cpu")
    texts = list(LANGUAGES.values())
    for text, result in zip(texts, extract(texts, batch_size=3, **EVERYTHING), strict=True):
        assert result["triplets"]
        _check(text, result)


@pytest.mark.parametrize("name", ["Chinese", "Japanese", "Arabic", "Russian"])
def test_aspects_in_other_languages(extract: TripletExtractionPipeline, name: str) -> None:
    aspects = {"Chinese": "服务", "Japanese": "サービス", "Arabic": "الخدمة", "Russian": "официант"}
    triplets = extract(LANGUAGES[name], aspects=[aspects[name]], threshold=0.0)
    assert {triplet["aspect"]["text"] for triplet in triplets} == {aspects[name]}


@pytest.mark.parametrize(
    "text",
    [
        "good  food\t\tand\n\n\nwine\r\nhere",
        "the food 😀👨‍👩‍👧🇫🇷 was great👍🏽",
        "cafe\u0301 nai\u0308ve",
        "fo\u200bod was\u200d great\ufeff",
        "\u202eThe food\u202c was שירות great",
        "<b>Great</b> food<br/>&amp; wine <script>alert('x')</script>",
        "a" * 10_000,
        "食" * 2_000,
        "\x00bad \ud800 food",
        "𝕗𝕠𝕠𝕕 ｆｏｏｄ ﬁne İstanbul ß",
        "[CLS] food [SEP] [PAD] great",
    ],
)
def test_awkward_texts(extract: TripletExtractionPipeline, text: str) -> None:
    _check(text, extract(text, **EVERYTHING))
