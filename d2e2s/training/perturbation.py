"""Adversarial training: each batch once more, with the word embeddings moved to where its loss is larger.

What was learned by heart, as much of a thousand sentences is, does not survive even a small step in the worst direction
(Goodfellow, Shlens & Szegedy 2015; on the embeddings of a text: Miyato, Dai & Goodfellow 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
