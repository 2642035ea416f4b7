"""Whether two ways of training differ: tests on the triplet counts of the same test sentences.

A run is an array of counts (S, 3): the correct, the predicted and the gold triplets of each of its S test sentences.
The statistic is always the micro F1 of sums of these. Several runs of one way of training, with different seeds, are
pooled: the counts of a sentence are summed over the runs, so that a sentence with all its runs is one observation.
That its runs are alike then makes no difference look more certain than it is.

Two things can make a difference by chance, and each has its test:

- the sentences: `p_randomisation` exchanges the two sides of each sentence at random (Noreen 1989;
  `scipy.stats.permutation_test`), `p_bootstrap` draws sentences with replacement (Efron and Tibshirani 1993;
  Berg-Kirkpatrick et al. 2012; `scipy.stats.bootstrap`);
- the seeds: `p_seeds` is Student's t-test on the F1 of the single runs. With two or three of them the test says little,
  unless the standard deviation is pooled over all ways of training there are, as in an analysis of variance.

`p_value` is the larger of `p_randomisation` and `p_seeds`: a difference is shown only if neither explains it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..data_scripts.prepared import flat
from ..data_scripts.records import read_records
from ..errors_d2e2s import UserError
from ..evaluation.thresholds import Counts, micro_f1, sentence_counts

# Standard deviation, and its degrees of freedom.
Deviation = tuple[float, int]

RESAMPLES = 9999
LEVEL = 0.05
# Random draws that are held in memory at once: (BATCH, S, 3) integers.
BATCH = 500


@dataclass(frozen=True)
class Comparison:
    """One way of training against another.

    Attributes:
        difference: micro F1 over all runs, of the first minus that of the second, in [-1, 1].
        low, high: 95 % interval of the difference, percentiles of the paired bootstrap over sentences.
        p_randomisation, p_bootstrap: two-sided, over sentences.
        p_seeds: two-sided, over runs; None with fewer than two runs a side.
        runs: runs of each side.
    """

    difference: float
    low: float
    high: float
    p_randomisation: float
    p_bootstrap: float
    p_seeds: float | None
    runs: int

    @property
    def p_value(self) -> float:
        """What the verdict rests on; 1 where no test over seeds was possible."""
        return 1.0 if self.p_seeds is None else max(self.p_randomisation, self.p_seeds)


def read_counts(path: str | Path) -> Counts:
    """Counts (S, 3) of a run's `predictions_test.jsonl`.

    Raises:
        UserError: a record without predictions, or that is none.
        OSError: the file cannot be read.
    """
    records = read_records(path)
    for record in records:
        if "predicted_triplets" not in record:
            raise UserError(f"{path}: record {record['id']!r} has no predicted_triplets; expected a run's predictions")
    keys = ("predicted_triplets", "triplets")
    return sentence_counts(*([[*map(flat, record[key])] for record in records] for key in keys))


def compare(
    first: Sequence[Counts],
    second: Sequence[Counts],
    resamples: int = RESAMPLES,
    seed: int = 0,
    deviation: Deviation | None = None,
) -> Comparison:
    """Tests of the runs `first` against the runs `second`, each (S, 3) on the same S sentences.

    Args:
        first, second: as many runs of the one as of the other.
        resamples: random draws of each test over sentences; the smallest p-value is about 2 / resamples.
        seed: of these draws; the same seed gives the same p-values.
        deviation: that of the runs, from `pooled_deviation` of more runs than these; None = from these alone.

    Raises:
        UserError: no runs, another number of runs, or runs on other sentences.
    """
    one, other = _stacked(first, second)
    pooled = np.concatenate([one.sum(0), other.sum(0)])  # (2 S, 3): sentence s of the second side stands at S + s
    correct, given = pooled[:, 0].copy(), pooled[:, 1] + pooled[:, 2]  # each by itself: drawn in half the time
    sentences = np.arange(one.shape[1])

    def f1(index: npt.NDArray[Any]) -> Any:
        return 2 * correct[index].sum(-1) / np.maximum(given[index].sum(-1), 1)

    def difference(left: npt.NDArray[Any], right: npt.NDArray[Any], axis: int = -1) -> Any:
        return f1(left) - f1(right)

    def redrawn(index: npt.NDArray[Any], axis: int = -1) -> Any:
        return difference(index, index + len(sentences))

    draws: dict[str, Any] = {"n_resamples": resamples, "vectorized": True, "batch": BATCH, "rng": seed}
    sides = (sentences, sentences + len(sentences))
    exchanged = stats.permutation_test(sides, difference, permutation_type="samples", **draws)
    bootstrap = stats.bootstrap((sentences,), redrawn, method="percentile", **draws)
    return Comparison(
        difference=float(exchanged.statistic),
        low=float(bootstrap.confidence_interval.low),
        high=float(bootstrap.confidence_interval.high),
        p_randomisation=float(exchanged.pvalue),
        p_bootstrap=_bootstrap_p(bootstrap.bootstrap_distribution, float(exchanged.statistic)),
        p_seeds=_seeds_p(micro_f1(one), micro_f1(other), deviation),
        runs=len(one),
    )


def _stacked(first: Sequence[Counts], second: Sequence[Counts]) -> tuple[Counts, Counts]:
    """Runs (R, S, 3) of both sides, if they can be compared."""
    if not first or len(first) != len(second):
        raise UserError(f"{len(first)} runs against {len(second)}: expected as many, and at least one")
    gold = {tuple(run[:, 2].tolist()) for run in (*first, *second)}
    if len(gold) > 1:
        raise UserError("runs on other sentences, or in another order: the gold triplets of a sentence differ")
    return np.stack(first), np.stack(second)


def _bootstrap_p(drawn: npt.NDArray[np.floating], observed: float) -> float:
    """Share of draws that lie as far from the observed difference as that lies from none, the observed one included."""
    far = np.abs(drawn - observed) >= abs(observed) - 1e-12
    return float((1 + far.sum()) / (1 + len(drawn)))


def pooled_deviation(groups: Iterable[Sequence[float]]) -> Deviation | None:
    """How far a run lies from the mean of its like, and the degrees of freedom; None if each is alone.

    Args:
        groups: F1 of the runs of each way of training. That all of them vary alike from seed to seed is assumed.
    """
    several = [np.asarray(group) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if not freedom:
        return None
    return math.sqrt(sum(((group - group.mean()) ** 2).sum() for group in several) / freedom), freedom


def _seeds_p(first: Sequence[float], second: Sequence[float], deviation: Deviation | None) -> float | None:
    spread = deviation or pooled_deviation([first, second])
    if spread is None or len(first) < 2:
        return None
    difference = abs(np.mean(first) - np.mean(second))
    error = spread[0] * math.sqrt(1 / len(first) + 1 / len(second))
    if error == 0:  # runs that differ in nothing
        return float(difference == 0)
    return float(2 * stats.t.sf(difference / error, spread[1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for the number of questions asked (Holm 1979), in their order."""
    values = np.asarray(p_values, dtype=float)
    order, corrected = values.argsort(kind="stable"), np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(np.arange(len(values), 0, -1) * values[order]), 1)
    return corrected.tolist()


def mean_interval(values: Sequence[float], deviation: Deviation) -> tuple[float, float]:
    """95 % interval of the mean by Student's t.

    Args:
        deviation: that of a value, from `pooled_deviation` of these and their like.
    """
    half = stats.t.ppf(0.975, deviation[1]) * deviation[0] / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)
