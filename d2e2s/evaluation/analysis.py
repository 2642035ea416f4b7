"""Where a model is right and where it is wrong: outcomes of triplets, F1 by group, confusion, curves over scores.

A triplet is `(aspect_start, aspect_end, opinion_start, opinion_end, sentiment)`, word indices, half open.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..metrics.aste.scoring import SENTIMENTS, Count, Triplet
from .calibration import BINS

NO_PAIR = "none"
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sentence:
    """A sentence with what is right and what was found.

    Attributes:
        gold: distinct triplets. predicted: score of each triplet that reached the decision threshold.
        candidates: score of each triplet that the model considered, whatever it is.
    """

    id: str
    tokens: Sequence[str]
    gold: frozenset[Triplet]
    predicted: Mapping[Triplet, float]
    candidates: Mapping[Triplet, float]


class Outcome(NamedTuple):
    """A gold triplet, a predicted one, or two that belong together, and which of `OUTCOMES` that is."""

    kind: str
    gold: Triplet | None
    predicted: Triplet | None


OUTCOMES = {
    "right": "right",
    "polarity": "right pair, wrong polarity",
    "boundaries": "right, boundaries wrong",
    "again": "another version of a right one",
    "false": "false",
    "missed": "missed",
}


def outcomes(sentence: Sentence) -> list[Outcome]:
    """Each gold and each predicted triplet in one outcome.

    A predicted triplet that is not right goes with a gold one that is not found: with the same pair of another
    sentiment (`polarity`), else with a pair of the same sentiment whose aspect and opinion both overlap its own
    (`boundaries`), highest score first. What is left is `again`, if it overlaps a gold one that has gone with another
    predicted one, or `false`, or `missed`.
    """
    missed = sorted(sentence.gold - sentence.predicted.keys())
    found = [Outcome("right", triplet, triplet) for triplet in sorted(sentence.gold & sentence.predicted.keys())]
    wrong = sorted(sentence.predicted.keys() - sentence.gold, key=lambda triplet: -sentence.predicted[triplet])
    for kind, belongs in (("polarity", lambda one, other: one[:4] == other[:4]), ("boundaries", _overlaps)):
        for triplet in list(wrong):
            partner = next((gold for gold in missed if belongs(triplet, gold)), None)
            if partner is not None:
                found.append(Outcome(kind, partner, triplet))
                wrong.remove(triplet)
                missed.remove(partner)
    for triplet in wrong:
        first = next((gold for gold in sorted(sentence.gold) if _overlaps(triplet, gold)), None)
        found.append(Outcome("again" if first else "false", first, triplet))
    return found + [Outcome("missed", triplet, None) for triplet in missed]


def _overlaps(one: Triplet, other: Triplet) -> bool:
    aspects = one[0] < other[1] and other[0] < one[1]
    opinions = one[2] < other[3] and other[2] < one[3]
    return aspects and opinions and one[4] == other[4]


# --- F1 by group


def band(value: int, limits: Sequence[int]) -> str:
    """The range that a whole number falls into: `limits` are the highest values of the ranges, the last is open."""
    low = 0 if limits[0] == 0 else 1
    for high in limits:
        if value <= high:
            return str(high) if low == high else f"{low}–{high}"
        low = high + 1
    return f"{low}+"


def widest_term(triplet: Triplet) -> int:
    """Words of the longer one of aspect and opinion."""
    return max(triplet[1] - triplet[0], triplet[3] - triplet[2])


def distance(triplet: Triplet) -> int:
    """Words between aspect and opinion; 0 if they touch or overlap."""
    return max(0, triplet[2] - triplet[1], triplet[0] - triplet[3])


GROUPS: dict[str, Callable[[Triplet, Sentence], str]] = {
    "sentiment": lambda triplet, sentence: triplet[4],
    "words of the longer term": lambda triplet, sentence: band(widest_term(triplet), (1, 2, 3)),
    "triplets in the sentence": lambda triplet, sentence: band(len(sentence.gold), (0, 1, 2, 3)),
    "words between aspect and opinion": lambda triplet, sentence: band(distance(triplet), (0, 2, 5)),
    "words in the sentence": lambda triplet, sentence: band(len(sentence.tokens), (10, 20, 30)),
}


def f1_by(sentences: Iterable[Sentence], group: Callable[[Triplet, Sentence], str]) -> dict[str, Count]:
    """Counts of each group, in the order of their names; gold and predicted triplets are grouped alike."""
    counts: dict[str, Count] = {}
    for sentence in sentences:
        for triplets, predicted in ((sentence.gold, False), (frozenset(sentence.predicted), True)):
            for triplet in triplets:
                count = counts.setdefault(group(triplet, sentence), Count())
                count.gold += not predicted
                count.predicted += predicted
                count.correct += predicted and triplet in sentence.gold
    return dict(sorted(counts.items(), key=lambda item: _order(item[0])))


def _order(name: str) -> int:
    """Sentiments as they are listed, ranges by number."""
    return SENTIMENTS.index(name) if name in SENTIMENTS else int(name.rstrip("+").partition("–")[0])


def confusion(sentences: Iterable[Sentence], sentiments: Sequence[str]) -> list[list[int]]:
    """Pairs by gold sentiment (rows) and predicted one (columns); the last row and column are `NO_PAIR`.

    A pair that is exact in neither, no gold and no predicted one, is not counted: there are no such pairs.
    """
    names = [*sentiments, NO_PAIR]
    cells: Counter[tuple[str, str]] = Counter()
    for sentence in sentences:
        gold, predicted = _by_pair(sentence.gold), _by_pair(sentence.predicted)
        for pair in gold.keys() | predicted.keys():
            cells[gold.get(pair, NO_PAIR), predicted.get(pair, NO_PAIR)] += 1
    return [[cells[row, column] for column in names] for row in names]


def _by_pair(triplets: Iterable[Triplet]) -> dict[tuple[Any, ...], str]:
    return {triplet[:4]: triplet[4] for triplet in sorted(triplets)}


# --- scores


def scores_and_rights(sentences: Iterable[Sentence]) -> tuple[Values, Values]:
    """Score and rightness (1 or 0) of every candidate `(n,)`, highest score first."""
    judged = [(score, triplet in each.gold) for each in sentences for triplet, score in each.candidates.items()]
    table = np.array(sorted(judged, reverse=True), dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def threshold_curve(sentences: Sequence[Sentence]) -> dict[str, Values]:
    """Micro `precision`, `recall` and `f1` `(n,)` at each `threshold` that changes them, highest first."""
    scores, rights = scores_and_rights(sentences)
    gold = sum(len(sentence.gold) for sentence in sentences)
    last = np.append(scores[1:] < scores[:-1], True)[: len(scores)]  # of those with the same score
    correct, kept = np.cumsum(rights)[last], np.arange(1, len(scores) + 1)[last]
    return {
        "threshold": scores[last],
        "precision": correct / kept,
        "recall": correct / max(1, gold),
        "f1": 2 * correct / (kept + gold),
    }


def reliability(scores: Values, rights: Values, bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean score, share of right ones, how many) of each bin of equal width that is not empty."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    members = [place == number for number in range(bins)]
    return [(float(scores[m].mean()), float(rights[m].mean()), int(m.sum())) for m in members if m.any()]
