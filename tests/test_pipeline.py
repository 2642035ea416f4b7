"""Raw text to triplets: results, options, inputs, and the pipeline as it travels with a checkpoint."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tiny_models import tiny_checkpoint
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline
from d2e2s.data_scripts.records import is_tree
from d2e2s.pipeline_d2e2s import READ_AHEAD, TASK
from d2e2s.prediction.predict import load_pipeline

REVIEW = "The food was great but the service was slow.  Our waiter, however, was very friendly!\n\nNice wine."
TEXTS = [REVIEW, "", "Great pizza", " \n", "It was n't good. " * 3, "The wait staff is rude", "sushi"]


def _same(found: Any, expected: Any) -> bool:
    """Equal but for the last digits of scores, which depend on a batch's padding."""
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return found == (pytest.approx(expected, abs=1e-5) if isinstance(found, float) else expected)


# --- results


def test_triplets_of_a_text(extract: TripletExtractionPipeline) -> None:
    triplets = extract(REVIEW)
    assert triplets and all(set(t) == {"aspect", "opinion", "sentiment", "score"} for t in triplets)
    for triplet in triplets:
        for term in (triplet["aspect"], triplet["opinion"]):
            assert REVIEW[term["start"] : term["end"]] == term["text"] != ""
        assert triplet["sentiment"] in ("POS", "NEG", "NEU") and 0.5 <= triplet["score"] <= 1
    places = [(t["aspect"]["start"], t["opinion"]["start"], t["aspect"]["end"], t["opinion"]["end"]) for t in triplets]
    assert places == sorted(places, key=lambda place: place[:2]) and len(set(places)) == len(places)
    assert json.loads(json.dumps(triplets)) == triplets


def test_every_sentence_gives_what_it_gives_alone(extract: TripletExtractionPipeline) -> None:
    """Nothing is lost or found twice where sentences are put together, and offsets are those of the whole."""
    sentences = extract.processor.split_text(REVIEW)
    assert len(sentences) == 3
    expected = []
    for words in sentences:
        start, end = words[0].start, words[-1].end
        for triplet in extract(REVIEW[start:end]):
            for role in ("aspect", "opinion"):
                triplet[role]["start"] += start
                triplet[role]["end"] += start
            expected.append(triplet)
    assert _same(extract(REVIEW), expected)


def test_text_without_words_gives_nothing(extract: TripletExtractionPipeline) -> None:
    for text in ("", " ", "\n\t \u3000\x85"):
        assert extract(text) == []
    assert extract([]) == []
    assert extract("", return_terms=True, return_tree=True) == {
        "triplets": [],
        "aspects": [],
        "opinions": [],
        "tree": [],
    }


def test_no_triplet_gives_an_empty_list(extract: TripletExtractionPipeline) -> None:
    assert extract(REVIEW, threshold=1.0) == []


def test_model_agrees_with_the_pipeline(extract: TripletExtractionPipeline) -> None:
    """The same triplets as from processor and model by hand."""
    words = ["The", "food", "was", "great"]
    inputs = extract.processor(words=[words])
    with torch.no_grad():
        [by_hand] = extract.processor.post_process_triplets(extract.model(**inputs), inputs)
    assert by_hand
    found = extract(" ".join(words))
    assert [(t["aspect"]["text"], t["opinion"]["text"], t["sentiment"]) for t in found] == [
        (t["aspect"]["text"], t["opinion"]["text"], t["sentiment"]) for t in by_hand
    ]
    assert [t["score"] for t in found] == pytest.approx([t["score"] for t in by_hand])


def test_results_depend_neither_on_batch_size_nor_on_order(extract: TripletExtractionPipeline) -> None:
    texts = TEXTS * 3
    options = {"threshold": 0.3, "return_terms": True, "return_tree": True}
    expected = [extract(text, **options) for text in texts]
    for size in (1, 2, 5, 64):
        assert _same(extract(texts, batch_size=size, **options), expected)
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    shuffled = extract([texts[i] for i in order], batch_size=4, **options)
    assert _same(shuffled, [expected[i] for i in order])


def test_long_review_is_cut_at_windows_and_put_together(extract: TripletExtractionPipeline) -> None:
    """One sentence of 400 words, window 128: every part is read, every offset is exact."""
    text = "the food was great and the wine nice , " * 45
    result = extract(text, return_tree=True, threshold=0.3)
    assert len(result["tree"]) > 3
    words = [word for sentence in result["tree"] for word in sentence]
    assert "".join(word["text"] for word in words) == text.replace(" ", "")
    starts = [triplet["aspect"]["start"] for triplet in result["triplets"]]
    assert min(starts) < 400 and max(starts) > len(text) - 400
    for triplet in result["triplets"]:
        assert text[triplet["opinion"]["start"] : triplet["opinion"]["end"]] == triplet["opinion"]["text"]


def test_windows_of_long_text_without_full_stops(model: Path) -> None:
    """Every word is read once; those of old checkpoints are as long as the encoder takes."""
    text = "the food was great and the wine nice " * 12  # 96 words
    extract = load_pipeline(str(model), device="cpu", return_tree=True)

    def rows(**options: Any) -> list[int]:
        result = extract(text, **options)
        words = [word["text"] for row in result["tree"] for word in row]
        assert words == text.split()
        return [len(row) for row in result["tree"]]

    assert extract.processor.window_words == 24
    assert rows() == [24] * 4 and rows(window_words=32) == [32] * 3
    assert rows(window_words=0) == [96] and max(rows(window_words=10)) == 10
    assert [len(row) for row in extract(text.strip()[:200], return_tree=True)["tree"]] == [44], "less than two windows"
    extract.processor.window_words = None
    assert rows() == [96]
    assert load_pipeline(str(model), window_words=10)(text) is not None


# --- options


def test_threshold_and_top_k(extract: TripletExtractionPipeline) -> None:
    every = extract(REVIEW, threshold=0.0)
    assert len(every) > len(extract(REVIEW)) > 3
    high = sorted(triplet["score"] for triplet in every)[-4]
    assert _same(extract(REVIEW, threshold=high - 1e-6), [t for t in every if t["score"] >= high - 1e-6])
    best = extract(REVIEW, top_k=3, threshold=0.0)
    assert [t["score"] for t in best] == pytest.approx([t["score"] for t in every if t["score"] > high + 1e-6])


def test_options_of_the_pipeline_are_defaults(model: Path) -> None:
    extract = load_pipeline(str(model), device="cpu", top_k=1, threshold=0.0, batch_size=2)
    assert len(extract(REVIEW)) == 1
    assert len(extract(REVIEW, top_k=2)) == 2


def test_only_the_aspects_asked_for(extract: TripletExtractionPipeline) -> None:
    found = extract(REVIEW, aspects=["FOOD", "wine"], threshold=0.0)
    assert {t["aspect"]["text"] for t in found} == {"food", "wine"}
    assert {t["opinion"]["text"] for t in found if t["aspect"]["text"] == "wine"} & {"Nice", "Nice wine"}
    assert extract(REVIEW, aspects=["sushi", "foo", "ood"], threshold=0.0) == extract(REVIEW, aspects=[]) == []
    assert {t["aspect"]["text"] for t in extract(TEXTS[5], aspects=["wait\tstaff"], threshold=0.0)} == {"wait staff"}


def test_each_aspect_that_is_asked_for_has_one_reading_of_an_opinion(extract: TripletExtractionPipeline) -> None:
    """Also aspects that overlap each other: each has its own."""
    alone = {name: extract(REVIEW, aspects=[name], threshold=0.0) for name in ("Nice wine", "wine")}
    together = extract(REVIEW, aspects=[*alone], threshold=0.0)
    for name, found in alone.items():
        assert found and _same([t for t in together if t["aspect"]["text"] == name], found)
        places = sorted((t["opinion"]["start"], t["opinion"]["end"]) for t in found)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))


def test_aspects_by_characters_are_widened_to_words(extract: TripletExtractionPipeline) -> None:
    start = REVIEW.index("rvice")
    by_place = extract(REVIEW, aspects=[(start, start + 3), [start, start + 4]], threshold=0.0)
    assert _same(by_place, extract(REVIEW, aspects=["service"], threshold=0.0))


def test_asked_aspects_score_as_found_ones(extract: TripletExtractionPipeline) -> None:
    """Asking for an aspect that the model has found anyway changes none of its triplets."""
    found = extract(REVIEW)
    aspect = found[0]["aspect"]
    asked = extract(REVIEW, aspects=[(aspect["start"], aspect["end"])])
    assert _same(asked, [t for t in found if t["aspect"] == aspect])


def test_aspects_of_each_text(extract: TripletExtractionPipeline) -> None:
    items = [{"text": REVIEW, "aspects": ["food"]}, {"text": REVIEW}, {"text": REVIEW, "aspects": [(27, 34)]}]
    for size in (1, 8):
        found = extract(items, aspects=["wine"], threshold=0.0, batch_size=size)
        assert [{t["aspect"]["text"] for t in triplets} for triplets in found] == [{"food"}, {"wine"}, {"service"}]
    mixed = extract([{"text": REVIEW, "aspects": ["food"]}, REVIEW], threshold=0.0)
    assert _same(mixed, [extract(REVIEW, aspects=["food"], threshold=0.0), extract(REVIEW, threshold=0.0)])


@pytest.mark.parametrize(
    ("aspects", "error", "message"),
    [
        ("food", TypeError, "must be a list"),
        ([4, 8], TypeError, "text 0: aspect 4: expected a string"),
        ([(4.0, 8)], TypeError, "expected a string"),
        ([" "], ValueError, "is empty"),
        ([(8, 4)], ValueError, r"text 0: aspect \[8, 4\) does not fit"),
        ([(0, 1000)], ValueError, "does not fit a text of"),
        ([(44, 46)], ValueError, "holds no word"),
        ([(40, 50)], ValueError, "crosses the border of a sentence"),
        ([(0, 43)], ValueError, "has 9 words, the model takes 8"),
    ],
)
def test_aspects_that_cannot_be(
    extract: TripletExtractionPipeline, aspects: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        extract(REVIEW, aspects=aspects)


def test_terms_without_a_partner(extract: TripletExtractionPipeline) -> None:
    paired = extract(REVIEW, return_terms=True, threshold=0.0)
    alone = extract(REVIEW, return_terms=True, threshold=1.0)
    assert alone["triplets"] == [] and alone["aspects"] and alone["opinions"]
    for name, role in (("aspects", "aspect"), ("opinions", "opinion")):
        for result in (paired, alone):
            taken = [(t[role]["start"], t[role]["end"]) for t in result["triplets"]]
            terms = [(term["start"], term["end"]) for term in result[name]]
            assert terms == sorted(terms)
            assert all(a.isdisjoint(b) for a, b in _pairs(terms, [*terms, *taken]))
        for term in alone[name]:
            assert REVIEW[term["start"] : term["end"]] == term["text"] and 1 / 3 < term["score"] <= 1


def _pairs(terms: list[Any], others: list[Any]) -> Iterator[tuple[set[int], set[int]]]:
    return ((set(range(*a)), set(range(*b))) for a in terms for b in others if a != b)


def test_asked_aspects_without_a_partner(extract: TripletExtractionPipeline) -> None:
    result = extract(REVIEW, aspects=["food", "service"], return_terms=True, threshold=1.0)
    assert [term["text"] for term in result["aspects"]] == ["food", "service"]
    result = extract(REVIEW, aspects=["food"], return_terms=True, threshold=0.0)
    assert result["triplets"] and result["aspects"] == []


def test_tree(extract: TripletExtractionPipeline) -> None:
    result = extract(REVIEW, return_tree=True)
    assert _same(result["triplets"], extract(REVIEW))
    assert [len(sentence) for sentence in result["tree"]] == [10, 9, 3]
    for sentence in result["tree"]:
        assert is_tree([word["head"] for word in sentence])
        assert {word["deprel"] for word in sentence} <= {"nsubj", "det", "root"}
        assert all(REVIEW[word["start"] : word["end"]] == word["text"] for word in sentence)


def test_tree_without_labels_and_without_parser(tmp_path: Path) -> None:
    heads_only = load_pipeline(str(tiny_checkpoint(tmp_path / "a", deprel_labels=[])), device="cpu")
    assert heads_only("Nice wine", return_tree=True)["tree"][0][0]["deprel"] is None
    no_parser = load_pipeline(str(tiny_checkpoint(tmp_path / "b", fusion_type="none")), device="cpu")
    no_parser("Nice wine")
    with pytest.raises(ValueError, match="this model has no parser"):
        no_parser("Nice wine", return_tree=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threshold": 1.5}, ValueError),
        ({"threshold": -1}, ValueError),
        ({"top_k": 0}, ValueError),
        ({"batch_size": -5}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"window_words": -1}, ValueError),
        ({"window_words": 2.5}, ValueError),
        ({"topk": 1}, TypeError),
    ],
)
def test_options_out_of_range(extract: TripletExtractionPipeline, options: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        extract(REVIEW, **options)


# --- inputs


def test_lists_generators_and_data_sets(extract: TripletExtractionPipeline) -> None:
    expected = extract(TEXTS)
    assert isinstance(expected, list)
    data = Dataset.from_dict({"review": TEXTS})
    for inputs in (tuple(TEXTS), iter(TEXTS), (text for text in TEXTS), KeyDataset(data, "review"), data["review"]):
        assert _same(list(extract(inputs, batch_size=3)), expected)


def test_generators_are_read_a_little_ahead(extract: TripletExtractionPipeline) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(10_000):
            read.append(number)
            yield "" if number % 2 else "Nice"

    results = extract(texts(), batch_size=1)
    assert not read
    next(results)
    assert len(read) == READ_AHEAD


def test_words(extract: TripletExtractionPipeline) -> None:
    words = ["The", "wait staff", "is", "rude"]
    found = extract([words, tuple(words)], threshold=0.0)
    assert found[0] and _same(found[0], found[1])
    text = " ".join(words)
    for triplet in found[0]:
        for term in (triplet["aspect"], triplet["opinion"]):
            assert text[term["start"] : term["end"]] == term["text"]
            assert term["start"] not in range(5, 14) and term["end"] not in range(5, 14), "within the word"
    assert extract([[]]) == [[]]
    assert extract([["food"] * 500]) is not None


class Frame:
    """What a table of pandas or polars shows of itself; its items are the names of its columns."""

    columns = ("id", "review")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (3, "expected a text or an iterable of texts, got int"),
        (None, "got NoneType"),
        (b"good", "got bytes: decode it"),
        (Frame(), r"got Frame: give one column of it, such as table\['text'\]"),
        ({"id": ["1", "2"], "text": ["Nice", "Bad food"]}, r"got dict: give one column of it"),
        (["good", 3], "text 1: expected a str, .* got int"),
        ([b"good"], "text 0: .* got bytes: decode it"),
        ([["good", 3]], "text 0: got a list, in which word 1 is int: expected str"),
        ([["good"], [["bad"]]], "text 1: got a list, in which word 0 is list"),
        ({"txt": "good"}, r"text 0: no .text. among the keys \['txt'\]: give {.text"),
        ([{"review": REVIEW}], r"""no "text" among the keys \['review'\]"""),
        ({"text": 3}, "text 0: expected a str, .* got int"),
    ],
)
def test_inputs_of_another_type(extract: TripletExtractionPipeline, inputs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        list(extract(inputs))


@pytest.mark.parametrize(
    "inputs",
    [[[REVIEW]], {"text": [REVIEW, "Nice wine."]}, [{"id": 1, "text": ["Nice wine."]}], [["菜很好吃。服务"]]],
)
def test_sentences_in_place_of_words(extract: TripletExtractionPipeline, inputs: Any) -> None:
    with pytest.raises(ValueError, match="text 0: word 0 is a sentence: .*: a text goes as a str"):
        extract(inputs)


def test_a_word_may_hold_blanks(extract: TripletExtractionPipeline) -> None:
    text = "nhà hàng tốt đẹp quá"
    found = extract([["nhà hàng", "tốt đẹp quá"]], threshold=0.0)[0]
    assert found and {term["start"] for t in found for term in (t["aspect"], t["opinion"])} <= {0, 9}
    assert all(text[t["aspect"]["start"] : t["aspect"]["end"]] == t["aspect"]["text"] for t in found)


def test_texts_that_are_none_have_empty_results(extract: TripletExtractionPipeline) -> None:
    nothing = [None, float("nan"), "", " ", "\u200b", [], {"text": None}]
    found = extract([*nothing, REVIEW], return_terms=True)
    assert found[:-1] == [{"triplets": [], "aspects": [], "opinions": []}] * len(nothing) and found[-1]["triplets"]


def test_empty_word(extract: TripletExtractionPipeline) -> None:
    with pytest.raises(ValueError, match="text 1: word 1 is empty"):
        extract([["a"], ["a", ""]])


# --- models


def test_model_is_put_into_evaluation_mode(model: Path) -> None:
    network = D2E2SForTripletExtraction.from_pretrained(model).train()
    extract = TripletExtractionPipeline(network, processor=D2E2SProcessor.from_pretrained(model), device="cpu")
    assert _same(extract(REVIEW), extract(REVIEW)) and not network.training


def test_a_model_that_was_trained_on_is_put_into_evaluation_mode_again(model: Path) -> None:
    extract = load_pipeline(str(model), device="cpu")
    expected = extract(REVIEW)
    for part in (extract.model, extract.model.d2e2s.encoder):
        part.train()
        assert extract(REVIEW) == expected


def test_bfloat16(model: Path, extract: TripletExtractionPipeline) -> None:
    half = load_pipeline(str(model), device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    found, expected = half(REVIEW, top_k=1, threshold=0.0), extract(REVIEW, top_k=1, threshold=0.0)
    assert found[0]["score"] == pytest.approx(expected[0]["score"], abs=0.05)


def test_models_that_need_a_parser_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='config.syntax="input"'):
        load_pipeline(str(tiny_checkpoint(tmp_path, syntax="input")), device="cpu")


def test_processor_is_needed(model: Path) -> None:
    network = D2E2SForTripletExtraction.from_pretrained(model)
    with pytest.raises(ValueError, match="D2E2SProcessor"):
        TripletExtractionPipeline(network, device="cpu")


def test_task_is_registered(model: Path, extract: TripletExtractionPipeline) -> None:
    network, processor = extract.model, extract.processor
    by_task = pipeline(TASK, model=network, processor=processor, device="cpu")
    assert type(by_task) is TripletExtractionPipeline and _same(by_task(REVIEW), extract(REVIEW))


REMOTE = """
import json, sys
from transformers import pipeline
extract = pipeline(model=sys.argv[1], trust_remote_code=True, device="cpu")
assert "d2e2s" not in sys.modules
print(json.dumps([extract.task, extract(sys.argv[3], return_terms=True, return_tree=True)]))
extract.save_pretrained(sys.argv[2])
"""


@pytest.mark.slow
def test_works_where_the_package_is_not_installed(
    model: Path, extract: TripletExtractionPipeline, tmp_path: Path
) -> None:
    """From a saved model, and from a model that such a process saved again."""
    expected = extract(REVIEW, return_terms=True, return_tree=True)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache")}
    for source, target in ((model, tmp_path / "again"), (tmp_path / "again", tmp_path / "thrice")):
        command = [sys.executable, "-I", "-c", REMOTE, str(source), str(target), REVIEW]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        task, found = json.loads(done.stdout)
        assert task == TASK and _same(found, expected)
