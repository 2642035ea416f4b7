"""The encoder's part: word pieces to features, and those of a word to its node."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

# The shorter half of a batch is encoded apart if it is at most this share as long as the longer one.
WORTH_HALVING = 0.8


def without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Drop BERT's pooler: nothing here reads it, so its weights would never see a gradient."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)
    return encoder


def encode(encoder: PreTrainedModel, inputs: dict[str, Any]) -> Tensor:
    """The encoder's features of word pieces, `(B, T, D)`; a batch of long and short sentences goes in two halves.

    The encoder is by far the largest cost, and half of such a batch is padding.
    """
    mask: Tensor = inputs["attention_mask"]
    aligned = all(getattr(value, "shape", None) == mask.shape for value in inputs.values())
    halves = length_halves(mask) if aligned else []
    if not halves:
        return encoder(**inputs).last_hidden_state
    parts = []
    for rows, length in halves:
        part = encoder(**{name: value[rows, :length] for name, value in inputs.items()}).last_hidden_state
        parts.append(F.pad(part, (0, 0, 0, mask.shape[1] - length)))
    return torch.cat(parts)[torch.cat([rows for rows, _ in halves]).argsort()]


def length_halves(mask: Tensor) -> list[tuple[Tensor, int]]:
    """Rows and length of the longer and of the shorter half of a batch `(B, T)`; none where that saves little.

    Only on a CPU: there, looking at lengths costs nothing.
    """
    if mask.device.type != "cpu" or torch.compiler.is_compiling() or len(mask) < 2:
        return []
    # Where the last piece stands, not how many there are: padding may be on the left.
    lengths = (mask * torch.arange(1, mask.shape[1] + 1)).amax(1)
    halves = [(rows, int(lengths[rows].amax())) for rows in lengths.argsort(descending=True, stable=True).chunk(2)]
    return halves if halves[1][1] <= WORTH_HALVING * mask.shape[1] else []


def pool_words(pieces: Tensor, word_index: Tensor, nodes: int) -> Tensor:
    """Mean of each node's word pieces: `(B, T, D)`, `(B, T)` to `(B, N, D)`; zeros for padding."""
    owner = word_index[:, None] == torch.arange(nodes, device=pieces.device)[:, None]
    weights = owner / owner.sum(-1, keepdim=True).clamp(min=1)
    return weights.to(pieces.dtype) @ pieces
