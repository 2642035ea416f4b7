"""The decision threshold; `test_train.py` has it inside a run."""

from __future__ import annotations

import numpy as np

from d2e2s.evaluation.thresholds import choose_threshold


def test_of_thresholds_equally_far_from_the_middle_the_higher_is_chosen() -> None:
    """One of two gold triplets by the first candidate, the other by the fourth: F1 is 2/3 at 0.75 and at 0.25."""
    rows = np.array([[[start, start + 1, 8, 9, 0] for start in range(4)]])
    scores = np.array([[0.875, 0.625, 0.5625, 0.5]])
    assert choose_threshold(rows, scores, rows[:, [0, 3]]) == 0.75
