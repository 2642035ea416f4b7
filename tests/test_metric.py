"""The ASTE metric: arithmetic, rules, errors, and the `evaluate` module around it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2e2s.metrics.aste import PATH
from d2e2s.metrics.aste.scoring import triplet_metrics

FOOD = (1, 2, 3, 4, "POS")
SERVICE = (6, 7, 8, 9, "NEG")
WINE_LIST = (1, 3, 4, 5, "POS")

spans = st.tuples(st.integers(0, 3), st.integers(1, 3)).map(lambda span: (span[0], span[0] + span[1]))
triplets = st.tuples(spans, spans, st.sampled_from(["POS", "NEG", "NEU"])).map(lambda t: (*t[0], *t[1], t[2]))
sentences = st.lists(st.tuples(st.lists(triplets, max_size=5), st.lists(triplets, max_size=5)), max_size=5)


def distinct(items: list) -> list:
    return [item for i, item in enumerate(items) if item not in items[:i]]


def long(triplet: tuple) -> bool:
    return triplet[1] - triplet[0] > 1 or triplet[3] - triplet[2] > 1


def walk(pairs: list, part: Callable[[tuple], tuple], keep: Callable[[tuple], bool]) -> tuple[float, float, float]:
    """Precision, recall and F1 by walking over lists: hits, false alarms and misses, one by one."""
    hits = wrong = missed = 0
    for predicted, gold in pairs:
        said = distinct([part(t) for t in predicted if keep(t)])
        true = distinct([part(t) for t in gold if keep(t)])
        for item in said:
            hits, wrong = (hits + 1, wrong) if item in true else (hits, wrong + 1)
        missed += len([item for item in true if item not in said])
    precision = hits / (hits + wrong) if hits + wrong else 0.0
    recall = hits / (hits + missed) if hits + missed else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0


def brute_force(pairs: list) -> dict[str, float]:
    """The metric written again, in another way: no sets, no sums of counts."""
    parts = {
        "triplet": lambda t: t,
        "aspect": lambda t: t[:2],
        "opinion": lambda t: t[2:4],
        "pair": lambda t: t[:4],
    }
    scores = {}
    for name, part in parts.items():
        values = walk(pairs, part, lambda t: True)
        scores |= {f"{name}_precision": values[0], f"{name}_recall": values[1], f"{name}_f1": values[2]}
    for label in ("POS", "NEG", "NEU"):
        scores[f"triplet_f1_{label}"] = walk(pairs, parts["triplet"], lambda t, label=label: t[4] == label)[2]
    scores["triplet_f1_multi_word"] = walk(pairs, parts["triplet"], long)[2]
    scores["triplet_f1_single_word"] = walk(pairs, parts["triplet"], lambda t: not long(t))[2]
    one = [(predicted, gold) for predicted, gold in pairs if len(distinct(gold)) == 1]
    several = [(predicted, gold) for predicted, gold in pairs if len(distinct(gold)) > 1]
    scores["triplet_f1_one_triplet"] = walk(one, parts["triplet"], lambda t: True)[2]
    scores["triplet_f1_several_triplets"] = walk(several, parts["triplet"], lambda t: True)[2]
    return scores


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(sentences)
def test_equals_brute_force(corpus: list) -> None:
    scores = triplet_metrics([predicted for predicted, _ in corpus], [gold for _, gold in corpus])
    assert scores == pytest.approx(brute_force(corpus))
    assert all(0.0 <= value <= 1.0 for value in scores.values())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(triplets, min_size=1, max_size=5), min_size=1, max_size=4))
def test_gold_scores_one_against_itself_in_any_order(gold: list) -> None:
    scores = triplet_metrics([sentence[::-1] for sentence in gold], gold)
    assert all(scores[f"{kind}_f1"] == 1.0 for kind in ("triplet", "aspect", "opinion", "pair"))


def test_wrong_sentiment_is_a_pair_but_no_triplet() -> None:
    scores = triplet_metrics([[FOOD, (*SERVICE[:4], "NEU")]], [[FOOD, SERVICE]])
    assert scores["triplet_f1"] == 0.5
    assert scores["pair_f1"] == scores["aspect_f1"] == scores["opinion_f1"] == 1.0
    assert (scores["triplet_f1_POS"], scores["triplet_f1_NEG"], scores["triplet_f1_NEU"]) == (1.0, 0.0, 0.0)


def test_duplicates_count_once_on_both_sides() -> None:
    assert triplet_metrics([[FOOD, FOOD, SERVICE]], [[FOOD]])["triplet_precision"] == 0.5
    assert triplet_metrics([[FOOD]], [[FOOD, FOOD, SERVICE]])["triplet_recall"] == 0.5
    assert triplet_metrics([[FOOD]], [[FOOD, FOOD]])["triplet_f1_one_triplet"] == 1.0


def test_shared_opinion_is_one_opinion() -> None:
    scores = triplet_metrics([[FOOD, (5, 6, 3, 4, "POS")]], [[FOOD]])
    assert (scores["opinion_precision"], scores["aspect_precision"]) == (1.0, 0.5)


def test_same_triplet_in_another_sentence_is_wrong() -> None:
    assert triplet_metrics([[FOOD], []], [[], [FOOD]])["triplet_f1"] == 0.0


def test_groups_by_length_and_by_number() -> None:
    scores = triplet_metrics([[WINE_LIST], [FOOD]], [[WINE_LIST], [FOOD, SERVICE]])
    assert scores["triplet_f1_multi_word"] == scores["triplet_f1_one_triplet"] == 1.0
    assert scores["triplet_f1_single_word"] == scores["triplet_f1_several_triplets"] == pytest.approx(2 / 3)


def test_prediction_for_a_sentence_without_gold_lowers_totals_only() -> None:
    scores = triplet_metrics([[FOOD], [SERVICE]], [[FOOD], []])
    assert (scores["triplet_precision"], scores["triplet_f1_one_triplet"]) == (0.5, 1.0)


@pytest.mark.parametrize("sides", [([], []), ([[]], [[]]), ([[FOOD]], [[]]), ([[]], [[FOOD]])])
def test_zero_over_zero_is_zero(sides: tuple) -> None:
    assert set(triplet_metrics(*sides).values()) == {0.0}


def test_numpy_integers_are_word_indices() -> None:
    predicted = (*np.array(FOOD[:4]), "POS")
    assert triplet_metrics([[predicted]], [[FOOD]])["triplet_f1"] == 1.0


def test_other_sentiment_labels() -> None:
    mixed = [[(0, 1, 1, 2, "CON")]]
    scores = triplet_metrics(mixed, mixed, sentiment_labels=("POS", "CON"))
    assert scores["triplet_f1_CON"] == 1.0
    assert "triplet_f1_NEG" not in scores


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([[FOOD], []], "predictions have 2 sentences, references 1"),
        ([[(1, 1, 3, 4, "POS")]], r"predictions\[0\]\[0\] aspect: span \[1, 1\)"),
        ([[FOOD, (1, 2, 4, 3, "POS")]], r"predictions\[0\]\[1\] opinion: span \[4, 3\)"),
        ([[(-1, 2, 3, 4, "POS")]], r"span \[-1, 2\)"),
        ([[(1.0, 2, 3, 4, "POS")]], "not made of whole numbers"),
        ([[(1, 2, 3, 4, "positive")]], "unknown sentiment 'positive', expected one of POS, NEG, NEU"),
        ([[(1, 2, 3, 4)]], "has 4 values, expected"),
    ],
)
def test_what_cannot_be_scored_is_an_error(predictions: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        triplet_metrics(predictions, [[FOOD]])


def test_bad_reference_is_named_as_one() -> None:
    with pytest.raises(ValueError, match=r"references\[0\]\[0\]"):
        triplet_metrics([[FOOD]], [[(1, 2, 3, 4, "good")]])


OFFLINE_USE = """
import sys, evaluate
metric = evaluate.load(sys.argv[1], keep_in_memory=True)
food = {"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}
slow = {"aspect": [6, 7], "opinion": [8, 9], "sentiment": "NEG"}
scores = metric.compute(predictions=[[food], [], [slow]], references=[[food, slow], [], [slow]])
assert scores["triplet_recall"] == 2 / 3 and scores["triplet_precision"] == 1.0, scores
assert metric.compute(predictions=[[]], references=[[]])["triplet_f1"] == 0.0
more = {"score": 0.9, "id": "x"}
assert metric.compute(predictions=[[food | more]], references=[[more | food]])["triplet_f1"] == 1.0
metric.add(prediction=[food | more], reference=[food])
assert metric.compute()["triplet_f1"] == 1.0
for predictions, message in (
    ([[{"aspect": [1, 2], "opinion": [3, 4]}]], "predictions[0] is [{'aspect'"),
    ([[food], None], "predictions[1] is None"),
    ([["food"]], "each with the keys aspect, opinion, sentiment"),
):
    try:
        metric.compute(predictions=predictions, references=[[food]] * len(predictions))
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(f"no error for {predictions}")
for change, message in (
    ({"sentiment": "BAD"}, "unknown sentiment 'BAD'"),
    ({"aspect": [2, 1]}, "span [2, 1)"),
    ({"aspect": [1, 2, 3], "opinion": [4]}, "expected format"),
):
    try:
        metric.compute(predictions=[[food | change]], references=[[food]])
    except ValueError as error:
        assert message in str(error), error
        metric = evaluate.load(sys.argv[1], keep_in_memory=True)
    else:
        raise AssertionError(f"no error for {change}")
print("offline scores are right")
"""


@pytest.mark.slow
def test_evaluate_loads_the_folder_offline(tmp_path: Path) -> None:
    """In a fresh process with an empty cache: the offline switches are read when a library is imported."""
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", OFFLINE_USE, PATH]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "offline scores are right" in done.stdout, done.stderr
