"""A tokenizer made ready for words that are given: checked, and with a space before each."""

import copy
from typing import Any

from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerBase

from .errors_d2e2s import UserError


def for_words(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, checked, and set to tokenize each given word as one that follows a space."""
    name = type(tokenizer).__name__
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(f"{name} is no fast tokenizer: load one that has a tokenizer.json")
    tokenizer = _with_prefix_space(tokenizer)
    first = tokenizer([["a"]], is_split_into_words=True).word_ids(0)[0]
    if first is not None:
        raise UserError(f"{name} puts no special token first: the model needs one ([CLS]) as root node")
    if tokenizer.unk_token_id is None:
        raise UserError(f"{name} has no unknown token: set tokenizer.unk_token")
    return tokenizer


def _with_prefix_space(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer if it puts a space before each word or needs none, else a copy that is set so."""
    if all(step.add_prefix_space for step in _byte_level_steps(tokenizer)):
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    for step in _byte_level_steps(tokenizer):
        step.add_prefix_space = True
    # Kept in both places, so that saving and loading keeps it.
    tokenizer.add_prefix_space = True
    tokenizer.init_kwargs["add_prefix_space"] = True
    return tokenizer


def _byte_level_steps(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    step = tokenizer.backend_tokenizer.pre_tokenizer
    steps = list(step) if isinstance(step, pre_tokenizers.Sequence) else [step]  # type: ignore[call-overload]
    return [step for step in steps if isinstance(step, pre_tokenizers.ByteLevel)]
