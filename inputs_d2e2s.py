"""The model's inputs: a batch as padded tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature

from .errors_d2e2s import UserError
from .labels_d2e2s import IGNORED, UNKNOWN


class D2E2SInputs(BatchFeature):
    """The model's inputs as a dictionary of tensors; `words` are the sentences' words, or None if not known.

    `words` is an attribute and no key, so `model(**inputs)`, `inputs.to(device)`, pickling between data
    workers and memory pinning all work. Keys (B sentences, T pieces, W words, M triplets):

    - `input_ids`, `attention_mask`, and `token_type_ids` if the tokenizer makes them: (B, T) int64
    - `word_index` (B, T) int64: node of each piece, -1 for other special tokens and padding
    - `word_mask` (B, W) bool
    - `heads`, `deprels` (B, W) int64: 1-based head with 0 for the root, index of the relation; -1 unknown.
      Absent if no sentence of the batch has any
    - `labels` (B, M, 5) int64: aspect start, end, opinion start, end, sentiment; padded with -100. All -1 for a
      sentence whose triplets are not known
    """

    def __init__(
        self, data: dict[str, Any] | None = None, *args: Any, words: list[list[str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data, *args, **kwargs)
        self.words = words

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "words": self.words}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, skip_tensor_conversion=None)


def padded(rows: Sequence[Sequence[int]], value: int, length: int) -> torch.Tensor:
    """(B, length) int64."""
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def mask(lengths: Sequence[int], length: int) -> torch.Tensor:
    """(B, length) bool, True for the first `lengths[b]` places."""
    return torch.arange(length) < torch.tensor(lengths)[:, None]


def padded_labels(rows: Sequence[Sequence[Sequence[int]] | None], allow_unlabelled: bool) -> torch.Tensor:
    """(B, M, 5) int64, M at least 1; rows of -1 where there are no labels."""
    missing = [i for i, row in enumerate(rows) if row is None]
    if missing and not allow_unlabelled:
        raise UserError(
            f"sentences {missing[:5]} have no triplets field but others have: "
            "give an empty list for a sentence that has none"
        )
    length = max(1, *(len(row or ()) for row in rows))
    blank, unknown = [IGNORED] * 5, [UNKNOWN] * 5
    return torch.tensor([[unknown] * length if row is None else [*row, *[blank] * (length - len(row))] for row in rows])
