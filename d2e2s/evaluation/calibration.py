"""Scores that mean something: one temperature, fitted on dev, and the calibration error before and after it.

Guo et al. 2017, "On Calibration of Modern Neural Networks": logits are divided by a temperature T that minimises the
negative log-likelihood of held-out decisions.
"""

from __future__ import annotations

import copy
import logging
import math
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
from ..spans_d2e2s import candidate_counts, decode, pair_labels, span_mask
from .thresholds import Rows, Scores

logger = logging.getLogger("d2e2s")

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # temperatures
HALVINGS = 40

Spans = tuple[Tensor, Tensor]


class PairDecisions(NamedTuple):
    """What a model has to decide on one batch, before any temperature.

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
        counts = torch.minimum(spans, candidate_counts(inputs["word_mask"].sum(1), model.config.max_candidates))
        aspects, opinions = ((kind, _exists(kind, counts)) for kind in (output.aspects, output.opinions))
        tensors = (output.pair_logits, *aspects, *opinions, inputs["labels"])
        logits, a, a_exists, o, o_exists, gold = (tensor.cpu() for tensor in tensors)
        found.append(PairDecisions(logits, (a, a_exists), (o, o_exists), gold))
    return found


def _exists(candidates: Tensor, counts: Tensor) -> Tensor:
    """Candidates `(B, K)` that are spans of their sentence, `counts (B,)` of them: they come first."""
    return torch.arange(candidates.shape[1], device=candidates.device) < counts[:, None]


def fit_temperature(decisions: Sequence[PairDecisions]) -> float:
    """The temperature with the lowest negative log-likelihood of all pair decisions, within [0.05, 20].

    The likelihood is concave in 1 / T, so halving the range by the sign of its slope finds the only optimum. Without
    any right pair there is nothing to learn from, and it is 1.
    """
    logits, labels = _flat(decisions)
    if not labels.any():
        logger.warning("calibration: no right pair among the candidates on dev; the temperature stays 1")
        return 1.0
    low, high = LOWEST, HIGHEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        too_cold = _slope(logits, labels, 1 / middle) > 0
        low, high = (middle, high) if too_cold else (low, middle)
    return math.sqrt(low * high)


def _flat(decisions: Sequence[PairDecisions]) -> tuple[Tensor, Tensor]:
    """Logits `(P, 1 + sentiments)` and classes `(P,)` of the pairs that exist."""
    logits, labels = [], []
    for pairs, (aspects, aspect_exists), (opinions, opinion_exists), gold in decisions:
        exists = aspect_exists[:, :, None] & opinion_exists[:, None]
        logits.append(pairs[exists].double())
        labels.append(pair_labels(gold, aspects, opinions)[exists])
    return torch.cat(logits), torch.cat(labels)


def _slope(logits: Tensor, labels: Tensor, inverse: float) -> float:
    """Derivative of the negative log-likelihood by the inverse temperature: expected logit minus that of the truth."""
    expected = ((logits * inverse).softmax(-1) * logits).sum(-1)
    return float((expected - logits.gather(1, labels[:, None])[:, 0]).sum())


def decoded(decisions: Sequence[PairDecisions], config: D2E2SConfig) -> tuple[Rows, Scores, Rows]:
    """What the model decodes from its decisions, whatever the score: rows (S, K, 5), scores (S, K), gold (S, M, 5)."""
    batches = [
        (*decode(logits, aspects, opinions, config.max_triplets, 0.0, config.temperature, config.allow_overlaps), gold)
        for logits, aspects, opinions, gold in decisions
    ]
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


def calibration_of(rows: Rows, scores: Scores, gold: Rows, threshold: float) -> dict[str, float]:
    """Calibration errors of candidates (S, K, 5) with scores (S, K) against gold (S, M, 5).

    Returns:
        `ece_after`, of all decoded candidates (most have scores near 0), and `ece_returned` of those that reach the
        threshold, which are the ones a user sees.
    """
    rows, scores, gold = np.asarray(rows), np.asarray(scores), np.asarray(gold)
    exists = scores >= 0
    right = (rows[:, :, None] == gold[:, None]).all(-1).any(-1)[exists]
    found = scores[exists].astype(float)
    returned = found >= threshold
    return {
        "ece_after": calibration_error(found, right),
        "ece_returned": calibration_error(found[returned], right[returned]),
    }


def calibration_figures(decisions: Sequence[PairDecisions], config: D2E2SConfig) -> dict[str, float]:
    """`calibration_of` the model's decisions, and `ece_before` its temperature."""
    cold = copy.copy(config)
    cold.temperature = 1.0
    rows, scores, gold = decoded(decisions, cold)
    before = calibration_of(rows, scores, gold, 0.0)["ece_after"]
    return {"ece_before": before, **calibration_of(*decoded(decisions, config), config.decision_threshold)}
