"""The challenge set and the example reviews are what they say, and the script that scores triplets of raw text."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_sample_corpus import FOLDER, SPLITS

from benchmarks import raw_scores
from benchmarks.raw_scores import from_record, read_gold, score
from d2e2s.data_scripts.records import RecordError, read_records

ROOT = Path(__file__).resolve().parents[1]
CHALLENGE = ROOT / "tests" / "data" / "challenge.jsonl"
REVIEWS, GOLD = ROOT / "examples" / "reviews.csv", ROOT / "examples" / "gold.jsonl"
KINDS = {
    *("negation", "not_so_much", "never_superlative", "comparison", "questions", "sarcasm_marks"),
    *("conditionals", "misspelling", "hotels", "gadgets", "services", "no_opinion"),
}
REQUIRED = {
    "The rooms are spotless.": [("rooms", "spotless", "POS")],
    "The screen is sharp.": [("screen", "sharp", "POS")],
    "I never had a bad meal here.": [("meal", "never had a bad", "POS")],
    "Nothing about the stay was memorable.": [("stay", "memorable", "NEG")],
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def challenge() -> list[dict[str, Any]]:
    return lines(CHALLENGE)


@pytest.fixture(scope="module")
def reviews() -> list[dict[str, str]]:
    with REVIEWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def strings(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(t["aspect"]["text"], t["opinion"]["text"], t["sentiment"]) for t in row["triplets"]]


# --- the challenge set ------------------------------------------------------------------------------------


def test_twelve_kinds_of_at_least_22_sentences(challenge: list[dict[str, Any]]) -> None:
    counts = Counter(row["kind"] for row in challenge)
    assert set(counts) == KINDS and min(counts.values()) >= 22
    assert Counter(row["id"].rsplit("-", 1)[0] for row in challenge) == counts
    page = (CHALLENGE.with_suffix(".md")).read_text(encoding="utf-8")
    assert f"{len(challenge)} sentences" in page and all(f"`{kind}`" in page for kind in KINDS)


@pytest.mark.parametrize("path", [CHALLENGE, GOLD], ids=["challenge", "reviews"])
def test_no_id_text_or_triplet_stands_twice_and_terms_are_whole_words(path: Path) -> None:
    rows = lines(path)
    for key in ("id", "text"):
        assert len({row[key].lower() for row in rows}) == len(rows)
    for row in rows:
        assert len({json.dumps(triplet) for triplet in row["triplets"]}) == len(row["triplets"]), row["id"]
        for triplet in row["triplets"]:
            assert set(triplet) == {"aspect", "opinion", "sentiment"} and triplet["sentiment"] in ("POS", "NEG", "NEU")
            for term in (triplet["aspect"], triplet["opinion"]):
                start, end = term["start"], term["end"]
                assert row["text"][start:end] == term["text"] == term["text"].strip() != "", row["id"]
                around = row["text"][max(0, start - 1) : start] + row["text"][end : end + 1]
                assert not any(character.isalnum() for character in around), (row["id"], term)


def test_kinds_hold_what_they_ask_for(challenge: list[dict[str, Any]]) -> None:
    assert not any(row["triplets"] for row in challenge if row["kind"] == "no_opinion")
    for kind in ("questions", "conditionals"):
        assert {bool(row["triplets"]) for row in challenge if row["kind"] == kind} == {True, False}
    others = KINDS - {"no_opinion", "questions", "conditionals"}
    assert all(row["triplets"] for row in challenge if row["kind"] in others)
    sarcasm = {
        triplet["sentiment"] for row in challenge if row["kind"] == "sarcasm_marks" for triplet in row["triplets"]
    }
    assert sarcasm == {"NEG"}


def test_sentences_that_must_be_there(challenge: list[dict[str, Any]]) -> None:
    found = {row["text"]: strings(row) for row in challenge}
    assert {text: found.get(text) for text in REQUIRED} == REQUIRED


def masked(text: str, terms: list[tuple[int, int]], vocabulary: set[str]) -> str:
    """A text in small letters, every run of words of a gold term or of the vocabulary as one #."""
    marked = [
        "#" if match[0] in vocabulary or any(a <= match.start() < b for a, b in terms) else match[0]
        for match in re.finditer(r"[\w'’-]+|[^\w\s]", text.lower())
    ]
    alike = re.sub(r"\b(is|are|was|were)\b", "be", " ".join(marked))
    return re.sub(r"#( #)*", "#", re.sub(r"\b(a|an|our|their|my|this)\b", "the", alike))


def spans(row: dict[str, Any]) -> list[tuple[int, int]]:
    return [(triplet[role]["start"], triplet[role]["end"]) for triplet in row["triplets"] for role in raw_scores.ROLES]


def test_no_template_of_the_sample_corpus(challenge: list[dict[str, Any]]) -> None:
    rows = [from_record(record) for split in SPLITS for record in read_records(FOLDER / f"{split}.jsonl")]
    terms = {row["text"][start:end].lower() for row in rows for start, end in spans(row)}
    vocabulary = {word for term in terms for word in term.split() if len(word) > 3}
    templates = {masked(row["text"], spans(row), vocabulary) for row in rows}
    assert "the # be # ." in templates  # what the masks are for
    own = {row["text"]: masked(row["text"], spans(row), vocabulary) for row in challenge}
    assert {text for text, template in own.items() if template in templates} <= set(REQUIRED)
    frames = Counter(own.values())
    assert len(frames) > 0.9 * len(challenge), frames.most_common(5)


# --- the example reviews ----------------------------------------------------------------------------------


def test_every_review_has_its_gold(reviews: list[dict[str, str]], challenge: list[dict[str, Any]]) -> None:
    gold = lines(GOLD)
    assert [row["text"] for row in gold] == [review["text"] for review in reviews]
    assert [row["row"] for row in gold] == list(range(1, len(reviews) + 1))
    assert f"{len(reviews)} short reviews" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert not {row["text"] for row in challenge} & {row["text"] for row in gold}


def test_reviews_have_all_columns_and_the_oddities_of_real_ones(reviews: list[dict[str, str]]) -> None:
    assert list(reviews[0]) == ["product", "stars", "date", "place", "text"]
    assert all(value.strip() for review in reviews for value in review.values())
    assert {review["stars"] for review in reviews} == set("12345")
    assert all(re.fullmatch(r"202[34]-\d\d-\d\d", review["date"]) for review in reviews)
    assert len({review["product"] for review in reviews}) == 9
    for oddity in ("\n", '"', "😋", "delishious"):
        assert any(oddity in review["text"] for review in reviews)
    assert sum(not row["triplets"] for row in lines(GOLD)) > 4


# --- the scores -------------------------------------------------------------------------------------------

SOUP = "The soup was really good and the soup bowl was chipped."


def text_of(text: str, triplets: list[dict[str, Any]], **kind: str) -> dict[str, Any]:
    return {"text": text, "triplets": triplets, **kind}


def triplet(aspect: str, opinion: str, sentiment: str, text: str = SOUP) -> dict[str, Any]:
    terms = {
        role: {"text": term, "start": text.index(term), "end": text.index(term) + len(term)}
        for role, term in (("aspect", aspect), ("opinion", opinion))
    }
    return {**terms, "sentiment": sentiment}


GOOD, CHIPPED = triplet("soup", "good", "POS"), triplet("soup bowl", "chipped", "NEG")


def test_all_right_is_one_and_nothing_found_is_zero() -> None:
    texts = [text_of(SOUP, [GOOD, CHIPPED], kind="a"), text_of("We sat outside.", [], kind="b")]
    scores = score([[GOOD, CHIPPED], []], texts)
    assert all(scores[by]["all"]["f1"] == scores[by]["NEG"]["f1"] == 1 for by in ("exact", "overlap"))
    assert scores["right"] == {"all": 1, "with_triplets": 1, "a": 1, "b": 1}
    scores = score([[], []], texts)
    assert scores["overlap"]["all"] == {"precision": 0, "recall": 0, "f1": 0, "gold": 2}
    assert scores["right"] == {"all": 0.5, "with_triplets": 0, "a": 0, "b": 1}


def test_overlap_takes_a_shared_word_and_exact_does_not() -> None:
    wide = triplet("soup", "really good", "POS")
    scores = score([[wide, CHIPPED]], [text_of(SOUP, [GOOD, CHIPPED])])
    assert scores["exact"]["all"]["f1"] == 0.5 and scores["exact"]["POS"]["f1"] == 0
    assert scores["overlap"]["all"]["f1"] == 1 and scores["right"]["all"] == 1


@pytest.mark.parametrize(
    "found",
    [triplet("soup", "good", "NEG"), triplet("bowl", "good", "POS"), triplet("soup", "really", "POS")],
    ids=["sentiment", "aspect", "opinion"],
)
def test_sentiment_aspect_and_opinion_must_all_agree(found: dict[str, Any]) -> None:
    scores = score([[found]], [text_of(SOUP, [GOOD])])
    assert scores["overlap"]["all"]["f1"] == 0 and scores["right"]["all"] == 0


def test_one_found_triplet_pays_for_one_of_gold_and_the_pairs_are_the_most_that_can_be() -> None:
    both, really = triplet("soup", "really good", "POS"), triplet("soup", "really", "POS")
    scores = score([[both]], [text_of(SOUP, [GOOD, really])])
    assert (scores["overlap"]["all"]["precision"], scores["overlap"]["all"]["recall"]) == (1, 0.5)
    assert scores["right"]["all"] == 0
    for found in ([both, really], [really, both]):  # a greedy choice may take the only partner of the other
        for gold in ([GOOD, really], [really, GOOD]):
            assert score([found], [text_of(SOUP, gold)])["overlap"]["all"]["f1"] == 1


def test_records_become_texts_with_characters() -> None:
    tokens = ["It", "(", "the", "wifi", ")", "does", "n't", "work", ",", "$", "9", "wasted", "."]
    record = {"id": "1", "tokens": tokens, "triplets": [{"aspect": [3, 4], "opinion": [5, 8], "sentiment": "NEG"}]}
    joined, written = from_record(record), from_record(record, detokenise=True)
    assert joined["text"] == " ".join(tokens) and written["text"] == "It (the wifi) doesn't work, $9 wasted."
    assert [strings(text)[0][1] for text in (joined, written)] == ["does n't work", "doesn't work"]
    for text in (joined, written):
        for term in (text["triplets"][0][role] for role in raw_scores.ROLES):
            assert text["text"][term["start"] : term["end"]] == term["text"]


def test_gold_of_either_form_and_what_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    record = {"id": "1", "tokens": ["Nice"], "triplets": []}
    rows = [text_of(SOUP, [GOOD], kind="a"), record, {**record, "triplets": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read_gold(path) == ([rows[0], {**record, "text": "Nice"}], 1)
    for row, expected in (
        (text_of("X" + SOUP, [GOOD]), "is not what stands there"),
        ({"text": SOUP}, "an object with triplets"),
        ([SOUP], "an object with triplets"),
        ({"triplets": []}, "expected a string"),
    ):
        path.write_text(json.dumps(row), encoding="utf-8")
        with pytest.raises(RecordError, match=f"gold.jsonl:1: .*{expected}"):
            read_gold(path)


def test_command_scores_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Echo:
        """Finds in every text what its gold says, if the threshold is as it was asked for."""

        def __call__(self, texts: list[str], threshold: float | None) -> list[list[dict[str, Any]]]:
            gold = {row["text"]: row["triplets"] for row in lines(CHALLENGE)}
            return [gold[text] if threshold == 0.2 else [] for text in texts]

    monkeypatch.setattr(raw_scores, "load_pipeline", lambda model: Echo())
    out = tmp_path / "scores.json"
    raw_scores.main(["model", str(CHALLENGE), "--threshold", "0.2", "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["threshold"] == 0.2 and result["overlap"]["all"]["f1"] == 1
    assert set(result["right"]) == {"all", "with_triplets"} | KINDS and set(result["right"].values()) == {1}
    assert "by overlap" in capsys.readouterr().out
