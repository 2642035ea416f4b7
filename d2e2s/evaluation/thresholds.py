"""From the model's padded arrays to triplets, the decision threshold and the figures.

Shapes: S sentences, K candidates a sentence (falling score), M gold triplets a sentence; a row of five is
`[aspect_start, aspect_end, opinion_start, opinion_end, sentiment_id]`, padding is -100.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels_d2e2s import IGNORED
from ..metrics.aste.scoring import Triplet, triplet_metrics

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]

DEFAULT_THRESHOLD = 0.5


def to_triplets(rows: Rows, sentiments: Sequence[str]) -> list[list[Triplet]]:
    """Rows (S, K, 5) as tuples, padding left out."""
    return [
        [(int(a), int(b), int(c), int(d), sentiments[s]) for a, b, c, d, s in sentence if a != IGNORED]
        for sentence in np.asarray(rows)
    ]


def keep_confident(rows: Rows, scores: Scores, threshold: float) -> Rows:
    """Rows (S, K, 5) in which those with a score (S, K) below the threshold are padding."""
    return np.where((np.asarray(scores) >= threshold)[..., None], rows, IGNORED)


def choose_threshold(rows: Rows, scores: Scores, gold: Rows) -> float:
    """The decision threshold with the best micro triplet F1, exactly, over all thresholds there are.

    The threshold lies half way between the last score kept and the first one dropped. Of several cuts with the
    same F1 the one nearest to 0.5 is taken, then the higher. Without any right candidate it is 0.5.

    Args:
        rows: candidates (S, K, 5), all of them, whatever their score.
        scores: their scores (S, K) in [0, 1].
        gold: gold triplets (S, M, 5).
    """
    ranked = sorted(_judged(rows, scores, gold), key=lambda candidate: -candidate[0])
    if not any(right for _, right in ranked):
        return DEFAULT_THRESHOLD
    values = np.array([score for score, _ in ranked])
    right = np.cumsum([right for _, right in ranked])
    total = sum(len(set(sentence)) for sentence in _row_tuples(gold))
    f1 = 2 * right / (np.arange(1, len(values) + 1) + total)
    following = np.append(values[1:], 0.0)
    cuts = np.flatnonzero((values > following) & (f1 == f1[values > following].max()))
    thresholds = [_between(values[cut], following[cut]) for cut in cuts]
    return min(thresholds, key=lambda threshold: (abs(threshold - DEFAULT_THRESHOLD), -threshold))


def triplet_figures(
    rows: Rows, scores: Scores, gold: Rows, sentiments: Sequence[str], threshold: float
) -> dict[str, float]:
    """All figures of the metric at a threshold, and the threshold itself (`threshold`)."""
    predictions = to_triplets(keep_confident(rows, scores, threshold), sentiments)
    figures = triplet_metrics(predictions, to_triplets(gold, sentiments), sentiments)
    return {**figures, "threshold": threshold}


def sentence_counts(predictions: Sequence[Iterable[Triplet]], references: Sequence[Iterable[Triplet]]) -> Counts:
    """Counts (S, 3) of predicted and gold triplets, as the metric counts them: each once a sentence."""
    pairs = [(set(predicted), set(gold)) for predicted, gold in zip(predictions, references, strict=True)]
    rows = [(len(predicted & gold), len(predicted), len(gold)) for predicted, gold in pairs]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def micro_f1(counts: Counts) -> Any:
    """Micro F1 of counts (..., S, 3), summed over the sentences S; 0/0 = 0."""
    correct, predicted, gold = np.moveaxis(np.asarray(counts).sum(-2), -1, 0)
    return 2 * correct / np.maximum(predicted + gold, 1)


def _judged(rows: Rows, scores: Scores, gold: Rows) -> Iterator[tuple[float, bool]]:
    """Score and rightness of each candidate; one that comes twice in its sentence counts once."""
    for candidates, values, truth in zip(_row_tuples(rows), np.asarray(scores), _row_tuples(gold), strict=True):
        best: dict[tuple[int, ...], float] = {}
        for candidate, score in zip(candidates, values, strict=False):
            best[candidate] = max(float(score), best.get(candidate, 0.0))
        right = set(truth)
        yield from ((score, candidate in right) for candidate, score in best.items())


def _row_tuples(rows: Rows) -> list[list[tuple[int, ...]]]:
    """Padding stands behind the rows of a sentence, so positions in the scores stay the same."""
    return [[tuple(row) for row in sentence if row[0] != IGNORED] for sentence in np.asarray(rows).tolist()]


def _between(kept: float, dropped: float) -> float:
    """Half way, in the single precision that the model compares in; the kept score if there is no room."""
    middle = np.float32((kept + dropped) / 2)
    return float(middle) if dropped < middle <= kept else float(kept)
