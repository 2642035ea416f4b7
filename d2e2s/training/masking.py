"""Word pieces hidden in training, so that a model of a thousand sentences learns from what stands around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def hide_pieces(inputs: Mapping[str, Any], mask_id: int, rate: float) -> dict[str, Any]:
    """The inputs of a batch with a random share of the words' pieces replaced (word dropout, Iyyer et al. 2015).

    Args:
        inputs: `input_ids` and `word_index`, `(B, T)` each, and whatever else a batch holds.
        mask_id: id of the tokenizer's mask token.
        rate: share of pieces, in [0, 1). Special tokens and padding stay as they are.
    """
    pieces, word_index = inputs["input_ids"], inputs["word_index"]
    hidden = (torch.rand(pieces.shape, device=pieces.device) < rate) & (word_index > 0)
    return {**inputs, "input_ids": pieces.masked_fill(hidden, mask_id)}
