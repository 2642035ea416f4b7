"""The calibration of scores, and its error."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import RECORDS, inputs_of, small_model, tiny_bert

from d2e2s import D2E2SConfig
from d2e2s.evaluation.calibration import (
    HIGHEST,
    LOWEST,
    PairDecisions,
    calibration_error,
    calibration_figures,
    calibration_of,
    decoded,
    fit_calibration,
    judged,
    pair_decisions,
)

LABELS = ["POS", "NEG", "NEU"]


def decisions(logits: torch.Tensor, classes: torch.Tensor) -> list[PairDecisions]:
    """One pair a sentence: logits `(B, 4)`, classes `(B,)`."""
    spans, exists = torch.tensor([[0, 1]]), torch.ones(len(logits), 1, dtype=torch.bool)
    aspects, opinions = (spans.expand(len(logits), 1, 2) + shift for shift in (0, 2))
    gold = torch.where(classes[:, None] > 0, torch.tensor([0, 1, 2, 3, 0]), -100)
    gold[:, 4] = torch.where(classes > 0, classes - 1, -100)
    return [PairDecisions(logits[:, None, None], (aspects, exists), (opinions, exists), gold[:, None])]


def sampled(temperature: float, count: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and classes drawn from their softmax at a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 4, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]


# --- temperature and shift --------------------------------------------------------------------------------

PLAIN = D2E2SConfig(max_triplets=32)


def two_classes(scale: float, shift: float, count: int = 20_000) -> list[PairDecisions]:
    """Pairs of one sentiment; with log-odds x they are right with those of `scale * x + shift`."""
    generator = torch.Generator().manual_seed(0)
    odds = 3 * torch.randn(count, generator=generator)
    right = torch.rand(count, generator=generator) < torch.sigmoid(scale * odds + shift)
    others = torch.full((count, 2), -50.0)
    return decisions(torch.cat([torch.zeros(count, 1), odds[:, None], others], dim=-1), right.long())


@pytest.mark.parametrize(("scale", "shift"), [(0.4, -1.0), (1.0, 0.0), (1.0, -2.0), (2.5, 0.7)])
def test_finds_the_calibration_that_made_the_data(scale: float, shift: float) -> None:
    assert fit_calibration(two_classes(scale, shift), PLAIN) == pytest.approx((1 / scale, shift), rel=0.06, abs=0.05)


def test_no_other_calibration_is_likelier() -> None:
    made = two_classes(0.6, -0.8, count=500)
    temperature, shift = fit_calibration(made, PLAIN)

    def loss(temperature: float, shift: float) -> float:
        config = D2E2SConfig(max_triplets=32, temperature=temperature, score_shift=shift)
        scores, right = judged(*decoded(made, config))
        return float(F.binary_cross_entropy(torch.from_numpy(scores), torch.from_numpy(right).double()))

    # Platt's targets are a little softer than the truth.
    for other, moved in product(np.geomspace(0.5, 2, 7) * temperature, np.linspace(-1, 1, 7) + shift):
        assert loss(float(other), float(moved)) >= loss(temperature, shift) - 1e-3


def test_stays_within_its_range() -> None:
    """Whether scores tell right from wrong to perfection or not at all."""
    perfect = decisions(torch.tensor([[0.0, 2, -9, -9], [2.0, 0, -9, -9]]).repeat(50, 1), torch.tensor([1, 0] * 50))
    temperature, shift = fit_calibration(perfect, PLAIN)
    assert LOWEST <= temperature < 1 and abs(shift) < 1
    wrong_way = decisions(torch.tensor([[0.0, -2, -9, -9], [2.0, 4, -9, -9]]).repeat(50, 1), torch.tensor([1, 0] * 50))
    assert fit_calibration(wrong_way, PLAIN)[0] == pytest.approx(HIGHEST)


def test_nothing_right_leaves_the_scores_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    assert fit_calibration(decisions(torch.randn(5, 4), torch.zeros(5, dtype=torch.long)), PLAIN) == (1.0, 0.0)
    assert "no right triplet" in caplog.text


def test_pairs_that_do_not_exist_do_not_count() -> None:
    logits, classes = sampled(1.7, count=300)
    ((pairs, aspects, opinions, gold),) = decisions(logits, classes)
    exists = torch.arange(300)[:, None] < 150
    found = fit_calibration([PairDecisions(pairs, (aspects[0], exists), opinions, gold)], PLAIN)
    assert found == pytest.approx(fit_calibration(decisions(logits[:150], classes[:150]), PLAIN))


def test_what_the_model_was_calibrated_to_before_does_not_matter() -> None:
    made, fitted = two_classes(0.6, -0.8, count=500), D2E2SConfig(max_triplets=32, temperature=3.0, score_shift=2.0)
    assert fit_calibration(made, fitted) == fit_calibration(made, PLAIN)


# --- calibration error ------------------------------------------------------------------------------------


def literal_error(scores: list[float], right: list[bool], bins: int) -> float:
    error = 0.0
    for b in range(bins):
        members = [i for i, s in enumerate(scores) if b / bins <= s < (b + 1) / bins or (s == 1 and b == bins - 1)]
        if members:
            confidence = sum(scores[i] for i in members) / len(members)
            accuracy = sum(right[i] for i in members) / len(members)
            error += len(members) / len(scores) * abs(confidence - accuracy)
    return error


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.12, 0.3, 0.49, 0.77, 0.99, 1.0]), st.booleans()), max_size=30))
def test_error_equals_its_definition(drawn: list[tuple[float, bool]]) -> None:
    scores, right = [s for s, _ in drawn], [r for _, r in drawn]
    assert calibration_error(scores, right) == pytest.approx(literal_error(scores, right, 15), abs=1e-12)


def test_error_of_certainties() -> None:
    assert calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert calibration_error([1.0, 1.0], [True, False]) == 0.5
    assert calibration_error([0.0], [True]) == 1
    assert calibration_error([], []) == 0


@pytest.mark.parametrize("made", [decisions(*sampled(3.0)), two_classes(0.5, -2.0)])
def test_calibration_lowers_the_error_of_an_overconfident_model(made: list[PairDecisions]) -> None:
    temperature, shift = fit_calibration(made, PLAIN)
    config = D2E2SConfig(max_triplets=32, temperature=temperature, score_shift=shift, decision_threshold=0.3)
    figures = calibration_figures(made, config)
    assert figures["ece_before"] > 0.15 and figures["ece_after"] < 0.02 and figures["ece_returned"] < 0.05


# --- with the model ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder, processor = tiny_bert(tmp_path_factory.mktemp("bert"))
    return small_model(folder, ("tin", "basic", "basic"), temperature=1.6, score_shift=-0.7), inputs_of(processor)


def test_decisions_are_the_pairs_that_the_model_weighs_up(case: tuple[Any, Any]) -> None:
    model, inputs = case
    ((logits, (aspects, exists), _, _),) = pair_decisions(model.train(), [inputs])
    assert not model.training and logits.shape[0] == len(RECORDS)
    for b, words in enumerate(inputs["word_mask"].sum(1).tolist()):
        spans = sum(words - d for d in range(min(words, model.config.max_span_width)))
        assert exists[b].sum() == min(spans, max(model.config.max_candidates, words // 4))
        kept = [tuple(span) for span in aspects[b][exists[b]].tolist()]
        assert len(set(kept)) == len(kept)


def test_scores_are_those_of_the_model(case: tuple[Any, Any]) -> None:
    model, inputs = case
    made = pair_decisions(model, [inputs])
    with torch.inference_mode():
        output = model(**inputs)
    rows, scores, gold = decoded(made, model.config)
    np.testing.assert_array_equal(rows, output.triplets.numpy())
    np.testing.assert_allclose(scores, output.scores.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(gold, inputs["labels"].numpy())


def test_errors_are_those_of_the_decoded_triplets() -> None:
    """Of two sentences, one candidate is padding; of the three others two are right, and two are returned."""
    gold = np.array([[[0, 1, 2, 3, 0]], [[4, 5, 6, 7, 1]]])
    rows = np.array([[[0, 1, 2, 3, 0], [0, 1, 2, 3, 1]], [[4, 5, 6, 7, 1], [-100] * 5]])
    scores = np.array([[0.9, 0.1], [0.7, -100.0]])
    figures = calibration_of(rows, scores, gold, 0.5)
    assert figures["ece_after"] == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    assert figures["ece_returned"] == pytest.approx((0.1 + 0.3) / 2)
