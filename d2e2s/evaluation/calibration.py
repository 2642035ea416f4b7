"""Scores that mean something: temperature and shift, fitted on dev, and the calibration error before and after them.

Platt 1999: of the triplets that are decoded, the log-odds are scaled and shifted so that a score is the share of right
ones among all of that score. The scale is a temperature of the logits (Guo et al. 2017).
"""

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..configuration_d2e2s import D2E2SConfig
from ..labels_d2e2s import IGNORED
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..spans_d2e2s import candidate_counts, decode, span_mask
from .thresholds import Rows, Scores

logger = logging.getLogger("d2e2s")

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # temperatures
ROUNDS = 4  # sentiments share a softmax, so that a temperature scales log-odds but nearly; each round comes nearer

Spans = tuple[Tensor, Tensor]


class PairDecisions(NamedTuple):
    """What a model has to decide on one batch, before its scores are calibrated.

    Attributes:
        logits: `(B, K, L, 1 + sentiments)` of each candidate pair.
        aspects, opinions: spans `(B, K, 2)`, and whether each exists `(B, K)`.
        gold: triplets `(B, M, 5)`.
    """

    logits: Tensor
    aspects: Spans
    opinions: Spans
    gold: Tensor


@torch.inference_mode()
def pair_decisions(model: D2E2SForTripletExtraction, batches: Iterable[Mapping[str, Tensor]]) -> list[PairDecisions]:
    """The pair decisions of the model on labelled batches, on the CPU."""
    found = []
    for inputs in batches:
        output = model.eval()(**inputs)
        spans = span_mask(inputs["word_mask"], model.config.max_span_width).sum((1, 2))
        counts = torch.minimum(spans, candidate_counts(inputs["word_mask"].sum(1), model.config.max_candidates)).cpu()
        tensors = (output.pair_logits, output.aspects, output.opinions, inputs["labels"])
        logits, *kinds, gold = (tensor.cpu() for tensor in tensors)
        # The candidates that are spans of their sentence come first.
        aspects, opinions = ((kind, torch.arange(kind.shape[1]) < counts[:, None]) for kind in kinds)
        found.append(PairDecisions(logits, aspects, opinions, gold))
    return found


def fit_calibration(decisions: Sequence[PairDecisions], config: D2E2SConfig) -> tuple[float, float]:
    """The temperature and the shift by which decoded scores are most likely, of a model with that configuration.

    Temperature alone, fitted to all pairs, leaves what is returned overconfident: most pairs are easy negatives, and of
    those that look right the best are chosen. Without any right triplet there is nothing to learn from: (1, 0).
    """
    config = copy.copy(config)
    config.temperature, config.score_shift = 1.0, 0.0
    shift = 0.0
    for _ in range(ROUNDS):
        scores, right = judged(*decoded(decisions, config))
        if not right.any():
            logger.warning("calibration: no right triplet among the candidates on dev; the scores stay as they are")
            return 1.0, 0.0
        scale, shift = _platt(scores, right)
        config.temperature = min(max(config.temperature / max(scale, 1e-9), LOWEST), HIGHEST)
    return config.temperature, shift


def _platt(scores: Scores, right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Scale and shift of the scores' log-odds with the lowest cross-entropy against Platt's (1999) soft targets."""
    odds = torch.from_numpy(scores).double().logit(eps=1e-7)
    hits, targets = right.sum(), torch.from_numpy(right).double()
    targets = targets * (hits + 1) / (hits + 2) + (1 - targets) / (len(right) - hits + 2)
    found = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # log of the scale, shift
    search = torch.optim.LBFGS([found], max_iter=100, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.binary_cross_entropy_with_logits(odds * found[0].exp() + found[1], targets)
        value.backward()
        return value

    search.step(loss)
    return found[0].exp().item(), found[1].item()


def decoded(decisions: Sequence[PairDecisions], config: D2E2SConfig) -> tuple[Rows, Scores, Rows]:
    """What the model decodes from its decisions, whatever the score: rows (S, K, 5), scores (S, K), gold (S, M, 5)."""
    options = (config.max_triplets, 0.0, config.temperature, config.score_shift, config.allow_overlaps)
    batches = [(*decode(logits, aspects, opinions, *options), gold) for logits, aspects, opinions, gold in decisions]
    rows, scores, gold = (_joined(parts) for parts in zip(*batches, strict=True))
    return rows, scores, gold


def _joined(parts: Sequence[Tensor]) -> npt.NDArray[Any]:
    """Batches `(B, K, ...)` as one array, K padded to the largest."""
    most = max(part.shape[1] for part in parts)
    padded = [F.pad(part, [0, 0] * (part.dim() - 2) + [0, most - part.shape[1]], value=IGNORED) for part in parts]
    return torch.cat(padded).numpy()


def calibration_error(scores: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of score and share of right ones, over bins of equal width.

    Args:
        scores: `(n,)` in [0, 1]. right: `(n,)` bool.
    Returns:
        In [0, 1], each bin by its share of the scores; 0 when there are none.
    """
    scores, right = np.asarray(scores, dtype=float), np.asarray(right, dtype=float)
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=scores - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(scores)))


def judged(rows: Rows, scores: Scores, gold: Rows) -> tuple[Scores, npt.NDArray[np.bool_]]:
    """The scores of all candidates (S, K, 5) that are no padding, `(n,)`, and which of them are gold (S, M, 5)."""
    rows, scores, gold = np.asarray(rows), np.asarray(scores), np.asarray(gold)
    exists = scores >= 0
    right = (rows[:, :, None] == gold[:, None]).all(-1).any(-1)
    return scores[exists].astype(float), right[exists]


def calibration_of(rows: Rows, scores: Scores, gold: Rows, threshold: float) -> dict[str, float]:
    """Calibration errors of candidates (S, K, 5) with scores (S, K) against gold (S, M, 5).

    Returns:
        `ece_after`, of all decoded candidates (most have scores near 0), and `ece_returned` of those that reach the
        threshold, which are the ones a user sees.
    """
    found, right = judged(rows, scores, gold)
    returned = found >= threshold
    return {
        "ece_after": calibration_error(found, right),
        "ece_returned": calibration_error(found[returned], right[returned]),
    }


def calibration_figures(decisions: Sequence[PairDecisions], config: D2E2SConfig) -> dict[str, float]:
    """`calibration_of` the model's decisions, and `ece_before`, that of its own probabilities."""
    cold = copy.copy(config)
    cold.temperature, cold.score_shift = 1.0, 0.0
    rows, scores, gold = decoded(decisions, cold)
    before = calibration_of(rows, scores, gold, 0.0)["ece_after"]
    return {"ece_before": before, **calibration_of(*decoded(decisions, config), config.decision_threshold)}
