"""The maximum spanning tree against all trees there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from d2e2s.data_scripts.records import is_tree
from d2e2s.tree_d2e2s import are_trees, decode_heads, spanning_tree

SCORES = st.integers(1, 5).flatmap(
    lambda words: st.lists(
        st.lists(st.integers(-9, 9).map(float), min_size=words + 1, max_size=words + 1),
        min_size=words,
        max_size=words,
    )
)


def _total(scores: list[list[float]], heads: list[int]) -> float:
    return sum(row[head] for row, head in zip(scores, heads, strict=True))


def _best_total(scores: list[list[float]]) -> float:
    every = itertools.product(range(len(scores) + 1), repeat=len(scores))
    return max(_total(scores, list(heads)) for heads in every if is_tree(heads))


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(scores=SCORES)
def test_no_tree_scores_higher(scores: list[list[float]]) -> None:
    heads = spanning_tree(scores)
    assert is_tree(heads)
    assert _total(scores, heads) == _best_total(scores)


def test_cycles_within_cycles() -> None:
    """1 and 2 point at each other, their contraction and 3 do as well, and so on: every level is contracted."""
    words = 40
    scores = [[-100.0] * (words + 1) for _ in range(words)]
    for word in range(1, words):
        scores[word - 1][word + 1] = 10.0 - 0.1 * word  # to the next word
        scores[word][word] = 10.0 - 0.1 * word  # and back
    scores[20][0] = -50.0
    heads = spanning_tree(scores)
    assert is_tree(heads) and heads[20] == 0
    assert heads == [*range(2, 22), 0, *range(21, 40)]


@pytest.mark.parametrize("words", [1, 2, 7, 60])
def test_batch_is_decoded_like_its_sentences(words: int) -> None:
    generator = torch.Generator().manual_seed(words)
    logits = torch.randn(8, words, words + 1, generator=generator)
    logits[:, torch.arange(words), torch.arange(1, words + 1)] = torch.finfo(torch.float).min
    lengths = [max(1, words - i % 4) for i in range(8)]
    mask = torch.arange(words) < torch.tensor(lengths)[:, None]
    logits = logits.masked_fill(
        ~torch.nn.functional.pad(mask, (1, 0), value=True)[:, None], torch.finfo(torch.float).min
    )
    heads = decode_heads(logits, mask)
    for sentence, length in enumerate(lengths):
        found = heads[sentence].tolist()
        assert is_tree(found[:length]) and set(found[length:]) <= {-1}
        scores = logits[sentence, :length, : length + 1].double().log_softmax(-1).tolist()
        assert _total(scores, found[:length]) == pytest.approx(_total(scores, spanning_tree(scores)))


@settings(deadline=None, max_examples=200)
@given(heads=st.integers(1, 9).flatmap(lambda n: st.lists(st.integers(0, n), min_size=n, max_size=n)))
def test_trees_are_told_from_graphs(heads: list[int]) -> None:
    padded = torch.tensor([[*heads, -1]])
    assert are_trees(padded, padded >= 0).tolist() == [is_tree(heads)]
