"""What makes each batch harder: token masking, and adversarial training (FGM).

FGM learns each batch once more, with the word embeddings moved to where its loss is larger.

What was learned by heart, as much of a thousand sentences is, does not survive even a small step in the worst direction
(Goodfellow, Shlens & Szegedy 2015; on the embeddings of a text: Miyato, Dai & Goodfellow 2017).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def moved(weight: nn.Parameter, direction: Tensor, distance: float) -> Iterator[None]:
    """A weight lies elsewhere for a while, and then exactly where it was.

    Args:
        weight: of any shape, on any device.
        direction: of the same shape and any length; if that is zero or not finite, the weight stays.
        distance: Euclidean, over the whole weight.
    """
    before, length = weight.detach().clone(), float(direction.norm())
    if 0 < length < float("inf"):
        with torch.no_grad():
            weight.add_(direction, alpha=distance / length)
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)


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
