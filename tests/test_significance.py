"""The tests of differences against textbook formulas, enumeration, and data whose answer is known."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from d2e2s.evaluation.thresholds import Counts, micro_f1, sentence_counts
from d2e2s.metrics.aste.scoring import triplet_metrics
from d2e2s.study.significance import compare, holm, mean_interval, pooled_deviation, read_counts

GOOD, BAD = (0, 1, 2, 3, "POS"), (0, 1, 2, 3, "NEG")


def system(quality: float, sentences: int = 120, seed: int = 0) -> Counts:
    """Counts (S, 3) of a model that finds each of two gold triplets a sentence with probability `quality`."""
    correct = np.random.default_rng(seed).binomial(2, quality, sentences)
    return np.stack([correct, np.full(sentences, 2), np.full(sentences, 2)], axis=1)


def test_counts_are_those_of_the_metric() -> None:
    predictions = [[GOOD, GOOD, (4, 5, 6, 7, "NEU")], [], [BAD]]
    references = [[GOOD], [GOOD, BAD], [GOOD]]
    counts = sentence_counts(predictions, references)
    assert counts.tolist() == [[1, 2, 1], [0, 0, 2], [0, 1, 1]]
    assert micro_f1(counts) == pytest.approx(triplet_metrics(predictions, references)["triplet_f1"])
    assert micro_f1(np.zeros((3, 3), dtype=np.int64)) == 0


def test_read_counts(tmp_path: Path) -> None:
    triplet = {"aspect": [0, 1], "opinion": [1, 2], "sentiment": "POS"}
    record = {"id": "1", "tokens": ["soup", "good"], "triplets": [triplet]}
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({**record, "predicted_triplets": [{**triplet, "score": 0.9}]}) + "\n")
    assert read_counts(path).tolist() == [[1, 1, 1]]
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(ValueError, match=r"predictions\.jsonl: record '1' has no predicted_triplets"):
        read_counts(path)


def test_randomisation_is_the_exact_share_of_exchanges() -> None:
    """With few sentences all exchanges can be listed; the sides of a sentence change place, its runs together."""
    first = [np.array([[2, 2, 2], [1, 2, 2], [2, 3, 2], [1, 1, 2], [2, 2, 2]]), np.array([[2, 3, 2]] * 5)]
    second = [
        np.array([[1, 2, 2], [1, 1, 2], [0, 1, 2], [1, 2, 2], [2, 4, 2]]),
        np.array([[1, 3, 2]] * 4 + [[2, 2, 2]]),
    ]
    one, other = np.stack(first).sum(0), np.stack(second).sum(0)
    differences = []
    for swap in itertools.product([False, True], repeat=5):
        side = np.array(swap)[:, None]
        differences.append(micro_f1(np.where(side, other, one)) - micro_f1(np.where(side, one, other)))
    observed = differences[0]
    expected = 2 * np.mean(np.array(differences) >= observed - 1e-12)
    found = compare(first, second)
    assert found.difference == pytest.approx(observed) and observed > 0
    assert found.p_randomisation == pytest.approx(min(1.0, expected))


def test_bootstrap_agrees_with_drawing_by_hand() -> None:
    first, second = system(0.70), system(0.62, seed=1)
    found = compare([first], [second])
    rng = np.random.default_rng(7)
    draws = rng.integers(0, 120, (20000, 120))
    differences = micro_f1(first[draws]) - micro_f1(second[draws])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=0.01)
    far = np.mean(np.abs(differences - found.difference) >= abs(found.difference))
    assert found.p_bootstrap == pytest.approx(far, abs=0.02)


def test_a_clear_difference_is_found_and_none_is_not_invented() -> None:
    better = [system(0.9, seed=seed) for seed in range(3)]
    worse = [system(0.6, seed=seed) for seed in range(10, 13)]
    clear = compare(better, worse)
    assert clear.p_randomisation < 0.001 and clear.p_bootstrap < 0.001 and clear.low > 0
    assert clear.p_seeds is not None and clear.p_value == max(clear.p_randomisation, clear.p_seeds) < 0.05
    mirrored = compare(worse, better)
    assert mirrored.difference == pytest.approx(-clear.difference) and mirrored.high < 0
    same = compare(better, better)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.p_randomisation == same.p_bootstrap == same.p_value == 1


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Two models of one quality: about one in twenty comparisons has p <= 0.05 over sentences."""
    p_values = [compare([system(0.7, seed=2 * i)], [system(0.7, seed=2 * i + 1)], 499).p_randomisation
                for i in range(100)]  # fmt: skip
    assert np.mean(np.array(p_values) <= 0.05) <= 0.12


def test_like_runs_of_a_sentence_do_not_add_certainty() -> None:
    """The same pair of runs three times over says no more about the sentences than once."""
    first, second = system(0.70), system(0.62, seed=1)
    once, thrice = compare([first], [second]), compare([first] * 3, [second] * 3)
    assert thrice.p_randomisation == pytest.approx(once.p_randomisation)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_the_spread_of_seeds_can_explain_a_difference() -> None:
    """One lucky run of three makes the sentences look different; the seeds say that it may be luck."""
    first = [system(quality, seed=3) for quality in (0.95, 0.6, 0.6)]
    second = [system(0.6, seed=seed) for seed in range(3)]
    found = compare(first, second)
    assert found.p_randomisation < 0.05 < (found.p_seeds or 0) == found.p_value


def test_one_run_a_side_shows_nothing() -> None:
    single = compare([system(0.9)], [system(0.5, seed=1)])
    assert single.p_randomisation < 0.001 and single.p_seeds is None and single.p_value == 1


def test_seeds_by_student() -> None:
    first = [system(0.7, seed=seed) for seed in range(3)]
    second = [system(0.66, seed=seed) for seed in range(5, 8)]
    f1 = [[float(micro_f1(run)) for run in side] for side in (first, second)]
    assert compare(first, second, 99).p_seeds == pytest.approx(stats.ttest_ind(*f1).pvalue)
    # With more runs to tell the deviation from, as an analysis of variance has it: F of two groups is the square of t.
    others = [[0.7, 0.71, 0.72], [0.5, 0.52]]
    deviation, freedom = pooled_deviation([*f1, *others, [0.9]]) or (0.0, 0)
    within = sum((len(group) - 1) * np.var(group, ddof=1) for group in (*f1, *others))
    assert freedom == 2 + 2 + 2 + 1 and deviation == pytest.approx(np.sqrt(within / freedom))
    t = (np.mean(f1[0]) - np.mean(f1[1])) / (deviation * np.sqrt(2 / 3))
    assert compare(first, second, 99, deviation=(deviation, 7)).p_seeds == pytest.approx(stats.f.sf(t**2, 1, 7))
    assert pooled_deviation([[0.5], [0.6]]) is None


def test_runs_without_any_spread() -> None:
    same, other = np.array([[1, 2, 2]] * 8), np.array([[2, 2, 2]] * 8)
    assert compare([same] * 2, [same] * 2).p_seeds == 1
    assert compare([same] * 2, [other] * 2).p_seeds == 0


def test_runs_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="1 runs against 2"):
        compare([system(0.5)], [system(0.5)] * 2)
    with pytest.raises(ValueError, match="0 runs against 0"):
        compare([], [])
    for other in (system(0.5, sentences=119), system(0.5) + 1):
        with pytest.raises(ValueError, match="runs on other sentences"):
            compare([system(0.5)], [other])


def test_holm() -> None:
    # 4 x 0.01, 3 x 0.02, then 0.06 carried on over 2 x 0.025, and 1 x 0.9.
    assert holm([0.02, 0.9, 0.01, 0.025]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def test_mean_interval() -> None:
    # mean 2, standard deviation 1, t(0.975, 2) = 4.3027
    half = 4.302652729749464 / np.sqrt(3)
    deviation = pooled_deviation([[1.0, 2.0, 3.0]])
    assert deviation is not None
    assert mean_interval([1.0, 2.0, 3.0], deviation) == pytest.approx((2 - half, 2 + half))
    assert pooled_deviation([[1.0]]) is None


def test_mean_interval_with_the_deviation_of_more_runs() -> None:
    """Two values alone have one degree of freedom, which says next to nothing."""
    deviation = pooled_deviation([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    assert deviation is not None
    half = 2.7764451 * 1.0 / 2**0.5  # t of four degrees of freedom
    assert mean_interval([4.0, 4.0], deviation) == pytest.approx((4 - half, 4 + half))
    assert mean_interval([4.0], deviation) == pytest.approx((4 - 2.7764451, 4 + 2.7764451))
