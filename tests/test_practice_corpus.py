"""The practice corpus: sound records, the same for the same seed, and no template of the challenge set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from test_challenge import CHALLENGE, REQUIRED, lines, masked, spans

from benchmarks.raw_scores import from_record
from d2e2s.data_scripts import make_practice_corpus
from d2e2s.data_scripts.make_practice_corpus import GRAMMAR, Grammar, make_corpus, with_article
from d2e2s.data_scripts.records import Record, read_records, validate_record

WORD = r"[\w'’-]+"
MARKS = re.compile(r"<\w+>|\{\w+\}|@\d|\(\d+[-+=]:")


@pytest.fixture(scope="module")
def corpus() -> list[Record]:
    return make_corpus()


def test_records_are_sound_and_no_sentence_stands_twice(corpus: list[Record]) -> None:
    for record in corpus:
        validate_record(record, record["id"])
    assert len({" ".join(record["tokens"]).lower() for record in corpus}) == len(corpus)
    labels = {triplet["sentiment"] for record in corpus for triplet in record["triplets"]}
    assert labels == {"POS", "NEG", "NEU"}
    assert 0.1 < sum(not record["triplets"] for record in corpus) / len(corpus) < 0.4


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        command = ["--output_dir", str(tmp_path / folder), "--size", "50", "--seed", str(seed)]
        assert make_practice_corpus.main(command) == 0
    first, again, other = ((tmp_path / folder / "train.jsonl").read_bytes() for folder in "abc")
    assert first == again != other
    assert len(read_records(tmp_path / "a" / "train.jsonl")) == 50


@pytest.mark.parametrize(
    ("template", "tokens", "triplets"),
    [
        ("The <1> was (1-:not {x}).", "The soup was not fine .", [([1, 2], [3, 5], "NEG")]),
        ("The <1s> was@1 (1+:{x}).", "The fries were fine .", [([1, 2], [3, 4], "POS")]),
        ("A <1> and <2s>: (12=:{x})", "A soup and fries : fine", [([1, 2], [5, 6], "NEU"), ([3, 4], [5, 6], "NEU")]),
        ("Is the <0> {x}?", "Is the soup fine ?", []),
    ],
)
def test_templates(template: str, tokens: str, triplets: list) -> None:
    grammar = Grammar()
    grammar.words["x"] = ["fine"]
    trade = {"one": ["soup"], "many": ["fries"]}
    grammar.typed = lambda tokens: tokens  # type: ignore[method-assign]
    record = grammar.written("a", *grammar.expand(template, trade))
    assert " ".join(record["tokens"]) == tokens
    assert [(t["aspect"], t["opinion"], t["sentiment"]) for t in record["triplets"]] == triplets


def test_what_stands_around_a_sentence_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_practice_corpus, "FRAMED", 1)
    grammar = Grammar()
    framed = grammar.framed("The <1> is (1+:{good}).")
    assert framed.split(", the")[0].split(": the")[0] in grammar.leads
    assert framed.removesuffix(".").split("{good}), ")[1] in grammar.tails
    assert grammar.framed("Is the <0> {good}?").endswith("is the <0> {good}?")  # no tail
    assert " I like it, " in grammar.framed("I like it.") and " it's so, " in grammar.framed("It's so.")


def test_slips() -> None:
    grammar = Grammar()
    assert grammar.slip("don't") == "dont" and grammar.slip("too") == "to" and grammar.slip("ham") == "ham"
    words = {grammar.slip("lobster") for _ in range(200)}
    assert len(words) > 10 and {word[0] for word in words} == {"l"} and {len(word) for word in words} == {6, 7, 8}
    grammar.sloppy = True
    text, terms = grammar.expand("The <1> was (1-:not {good}) and <0>.", {"one": ["lobster roll"], "good": ["fine"]})
    aspect, opinion = terms
    assert text[aspect.start : aspect.end].count(" ") == 1 and text[opinion.start : opinion.end].startswith("not")


def test_articles() -> None:
    assert [with_article("a", after) for after in ("nice", "old", "")] == ["a", "an", "a"]
    assert with_article("An", "nice") == "A" and with_article("the", "old") == "the"


def test_no_template_of_the_challenge_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nouns, adjectives and all other words of the word lists are one mask; what the templates themselves say stays."""
    monkeypatch.setattr(make_practice_corpus, "SLIPS", 0)
    corpus = make_corpus()
    grammar = yaml.safe_load(GRAMMAR.read_text(encoding="utf-8"))
    kept = set(re.findall(WORD, MARKS.sub(" ", " ".join(grammar["templates"].values())).lower()))
    rows, challenge = [from_record(record) for record in corpus], lines(CHALLENGE)
    lists = [*grammar["words"].values(), *(words for trade in grammar["trades"].values() for words in trade.values())]
    terms = [row["text"][start:end] for row in (*rows, *challenge) for start, end in spans(row)]
    masks = set(re.findall(WORD, " ".join([*lists, *terms]).lower())) - kept
    written = (re.sub(r" (n't|')", r"\1", row["text"]) for row in rows)
    templates = {masked(text, [], masks) for text in written}
    assert "i'd say the # be not so much # as # ." in templates  # what is kept
    assert {row["text"] for row in challenge if masked(row["text"], [], masks) in templates} <= set(REQUIRED)
