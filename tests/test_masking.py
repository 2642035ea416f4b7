"""Hidden word pieces: which, how many, and only in training."""

from __future__ import annotations

import pytest
import torch

from d2e2s.training.perturbation import hide_pieces

MASK = 3


def batch(length: int = 200) -> dict[str, torch.Tensor]:
    """[CLS], words of one piece, [SEP], padding."""
    word_index = torch.tensor([[0, *range(1, length + 1), -1, -1]])
    return {"input_ids": torch.full(word_index.shape, 7), "word_index": word_index, "labels": torch.zeros(1)}


@pytest.mark.parametrize("rate", [0.0, 0.15, 0.9])
def test_about_the_share_of_words_is_hidden(rate: float) -> None:
    torch.manual_seed(0)
    inputs = batch()
    hidden = hide_pieces(inputs, MASK, rate)["input_ids"] == MASK
    assert hidden.float().mean().item() == pytest.approx(rate, abs=0.08)
    assert not hidden[inputs["word_index"] < 1].any()
    assert (inputs["input_ids"] == 7).all(), "the batch itself must stay"


def test_the_rest_of_the_batch_is_passed_on() -> None:
    inputs = batch()
    found = hide_pieces(inputs, MASK, 0.5)
    assert found.keys() == inputs.keys()
    assert all(found[name] is inputs[name] for name in ("word_index", "labels"))
