"""Span and pair features, labels, candidates, losses and decoding, against counting by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.reference import refine
from d2e2s.spans_d2e2s import (
    ASPECT,
    NO_SPAN,
    OPINION,
    BoundaryAttention,
    PairScorer,
    SharedDropout,
    SpanScorer,
    candidates,
    contrastive_loss,
    decode,
    pair_labels,
    range_max,
    shift,
    span_ends,
    span_labels,
    span_mask,
    span_max,
    without_rivals,
)

quick = settings(max_examples=40, deadline=None)
lengths = st.integers(1, 20)
widths = st.integers(1, 8)
seeds = st.integers(0, 1_000_000)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spans(length: int, width: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(length) for j in range(i + 1, min(length, i + width) + 1)]


# --- looking at spans


@quick
@given(lengths, st.integers(-25, 25))
def test_shift(length: int, steps: int) -> None:
    x = draw(0, 2, length, 3)
    moved = shift(x, steps)
    for i in range(length):
        expected = x[:, i + steps] if 0 <= i + steps < length else torch.zeros(2, 3)
        assert torch.equal(moved[:, i], expected)


@quick
@given(lengths, widths, seeds)
def test_span_max_ends_and_mask(length: int, width: int, seed: int) -> None:
    x = draw(seed, 2, length, 3)
    maxima, ends = span_max(x, width), span_ends(x, width)
    assert maxima.shape == ends.shape == (2, length, width, 3)
    for i, j in spans(length, width):
        assert torch.equal(maxima[:, i, j - i - 1], x[:, i:j].amax(1))
        assert torch.equal(ends[:, i, j - i - 1], x[:, j - 1])
    words = torch.tensor([[True] * length, [True] * (length // 2) + [False] * (length - length // 2)])
    mask = span_mask(words, width)
    for row, real in zip(mask, (length, length // 2), strict=True):
        found = {(i, i + d + 1) for i, d in row.nonzero().tolist()}
        assert found == set(spans(real, width))


@quick
@given(lengths, seeds)
def test_range_max(length: int, seed: int) -> None:
    """Every range of every length, powers of two and empty ones included."""
    x, empty = draw(seed, 2, length, 3), draw(seed + 1, 3)
    ranges = [(i, j) for i in range(length + 1) for j in range(length + 1)]
    start, end = (torch.tensor([column, column]) for column in zip(*ranges, strict=True))
    found = range_max(x, start, end, empty)
    for q, (i, j) in enumerate(ranges):
        assert torch.equal(found[:, q], x[:, i:j].amax(1) if j > i else empty.expand(2, 3))


def test_range_max_of_long_sentences() -> None:
    """Logarithms of large powers of two must not round down."""
    x, empty = draw(0, 1, 513, 1), torch.zeros(1)
    for size in (255, 256, 257, 511, 512, 513):
        found = range_max(x, torch.tensor([[0]]), torch.tensor([[size]]), empty)
        assert found.item() == x[0, :size].max()


@quick
@given(lengths, widths, seeds)
def test_boundary_attention_is_a_softmax_inside_each_span(length: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    # Scores of some hundreds, so that the running maximum matters; float32 would round them by up to 3e-5.
    layer, words = BoundaryAttention(6, 4, width).double(), 10 * draw(seed, 1, length, 6).double()
    refined = layer(words)
    expected = refine(layer, words[0], spans(length, width))
    for (i, j), row in zip(spans(length, width), expected, strict=True):
        torch.testing.assert_close(refined[0, i, j - i - 1], row, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("boundary_refinement", [False, True])
def test_words_outside_a_span_do_not_change_it(boundary_refinement: bool) -> None:
    """Except the root, which every span reads."""
    torch.manual_seed(0)
    scorer = SpanScorer(6, 32, 3, 0.0, boundary_refinement)
    nodes = draw(0, 1, 9, 6)
    changed = nodes.clone()
    changed[0, 5] += 1.0  # word 4
    before, after = scorer(nodes)[1][0], scorer(changed)[1][0]
    for i, j in spans(8, 3):
        assert torch.equal(before[i, j - i - 1], after[i, j - i - 1]) != (i <= 4 < j)


def test_shared_dropout() -> None:
    """One mask a sentence, mean kept, nothing at evaluation."""
    layer, x = SharedDropout(0.5), torch.ones(200, 3, 4, 8)
    dropped = layer(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(x)) and not torch.equal(dropped[0], dropped[1])
    assert torch.equal(layer.eval()(x), x)


# --- gold


def labels_of(*sentences: list[tuple[int, ...]]) -> Tensor:
    most = max(1, *map(len, sentences))
    return torch.tensor([[*rows, *[(-100,) * 5] * (most - len(rows))] for rows in sentences])


def test_span_labels() -> None:
    labels = labels_of([(0, 1, 2, 4, 0), (0, 1, 4, 5, 0), (1, 6, 5, 6, 1), (2, 4, 0, 2, 2)], [])
    mask = span_mask(torch.ones(2, 6, dtype=torch.bool), 3)
    classes = span_labels(labels, mask)
    found = {(i, i + d + 1): int(classes[0, i, d]) for i, d in classes[0].nonzero().tolist()}
    # [1, 6) is wider than 3; [2, 4) is an opinion first and an aspect last.
    assert found == {(0, 1): ASPECT, (2, 4): OPINION, (4, 5): OPINION, (5, 6): OPINION, (0, 2): OPINION}
    assert (classes[1] == NO_SPAN).all()


def test_pair_labels() -> None:
    labels = labels_of([(0, 1, 2, 4, 0), (0, 1, 4, 5, 2), (0, 1, 2, 4, 0)], [])
    aspects = torch.tensor([[[4, 5], [0, 1]], [[0, 1], [0, 1]]])
    opinions = torch.tensor([[[2, 4], [4, 5], [0, 1]], [[2, 4], [4, 5], [0, 1]]])
    assert pair_labels(labels, aspects, opinions).tolist() == [[[0, 0, 0], [1, 3, 0]], [[0, 0, 0], [0, 0, 0]]]


# --- candidates


@quick
@given(lengths, widths, st.integers(1, 12), seeds)
def test_candidates_are_the_best_spans(length: int, width: int, most: int, seed: int) -> None:
    scores = draw(seed, 1, length, width)
    found, exists = candidates(scores, span_mask(torch.ones(1, length, dtype=torch.bool), width), most)
    ranked = sorted(spans(length, width), key=lambda span: -scores[0, span[0], span[1] - span[0] - 1])
    assert [tuple(span) for span in found[0][exists[0]].tolist()] == ranked[:most]
    assert found.shape[1] == min(most, length * width)


def test_candidates_that_do_not_exist_are_a_harmless_span() -> None:
    mask = span_mask(torch.tensor([[True, False, False], [True, True, True]]), 2)
    found, exists = candidates(draw(0, 2, 3, 2), mask, 5)
    assert exists.sum(1).tolist() == [1, 5]
    assert found[0].tolist() == [[0, 1]] * 5


def test_a_long_sentence_has_more_candidates_whatever_stands_beside_it() -> None:
    words = torch.arange(40) < torch.tensor([[40], [11], [25]])
    scores = draw(0, 3, 40, 2)
    found, exists = candidates(scores, span_mask(words, 2), 5, more_if_long=True)
    assert exists.sum(1).tolist() == [10, 5, 6]
    for row, length in enumerate((40, 11, 25)):
        mask = span_mask(words[row : row + 1, :length], 2)
        alone, there = candidates(scores[row : row + 1, :length], mask, 5, more_if_long=True)
        assert found[row][exists[row]].tolist() == alone[there].tolist()


def test_forced_candidates_come_first() -> None:
    mask = span_mask(torch.ones(1, 6, dtype=torch.bool), 2)
    scores, forced = torch.zeros(1, 6, 2), torch.zeros(1, 6, 2, dtype=torch.bool)
    scores[0, 3, 1], scores[0, 5, 0] = -50.0, -40.0
    forced[0, 3, 1] = forced[0, 5, 0] = True
    found, _ = candidates(scores, mask, 3, forced)
    assert sorted(found[0, :2].tolist()) == [[3, 5], [5, 6]]


# --- contrastive loss


def brute_force(features: Tensor, labels: Tensor, temperature: float, keep: Callable[[int, int], bool]) -> float:
    """InfoNCE with Python numbers; `keep(i, j)` says whether aspect i and opinion j, i != j, is a negative."""
    width = features.shape[2]
    rows = [(b, *row) for b, sentence in enumerate(labels.tolist()) for row in sentence if row[0] >= 0]
    rows = [row for row in rows if row[2] - row[1] <= width and row[4] - row[3] <= width]

    def cosine(i: int, j: int) -> float:
        left = features[rows[i][0], rows[i][1], rows[i][2] - rows[i][1] - 1]
        right = features[rows[j][0], rows[j][3], rows[j][4] - rows[j][3] - 1]
        return math.exp(torch.cosine_similarity(left, right, dim=0).item() / temperature)

    total, numbers = 0.0, range(len(rows))
    for i in numbers:
        for pairs in ([(i, j) for j in numbers], [(j, i) for j in numbers]):
            used = [pair for pair in pairs if pair[0] == pair[1] or keep(*pair)]
            total -= math.log(cosine(i, i) / sum(cosine(*pair) for pair in used))
    return total / (2 * len(rows))


def test_an_aspects_second_opinion_is_no_negative() -> None:
    """Two opinions of one aspect, and two aspects of one opinion, are never driven apart."""
    features = draw(0, 2, 6, 2, 8)
    labels = labels_of([(0, 1, 2, 4, 0), (0, 1, 5, 6, 0)], [(0, 1, 3, 4, 1), (1, 3, 3, 4, 1), (4, 5, 5, 6, 1)])
    gold = {(0, 1), (1, 0), (2, 3), (3, 2)}
    loss = contrastive_loss(features, labels, 0.5).item()
    assert loss == pytest.approx(brute_force(features, labels, 0.5, lambda i, j: (i, j) not in gold), abs=1e-5)
    assert loss != pytest.approx(brute_force(features, labels, 0.5, lambda i, j: True), abs=1e-2)


def test_gold_pairs_across_triplets_are_no_negatives() -> None:
    """(a, o1), (b, o2), (a, o2): aspect a of the first row and opinion o2 of the second belong together."""
    features = draw(1, 1, 6, 1, 8)
    labels = labels_of([(0, 1, 1, 2, 0), (2, 3, 3, 4, 0), (0, 1, 3, 4, 0)])
    spans_of = {0: ((0, 1), (1, 2)), 1: ((2, 3), (3, 4)), 2: ((0, 1), (3, 4))}
    gold = set(spans_of.values())
    expected = brute_force(features, labels, 0.5, lambda i, j: (spans_of[i][0], spans_of[j][1]) not in gold)
    assert contrastive_loss(features, labels, 0.5).item() == pytest.approx(expected, abs=1e-5)


def test_same_words_in_another_sentence_are_negatives() -> None:
    features, labels = draw(2, 2, 6, 1, 8), labels_of([(0, 1, 1, 2, 0)], [(0, 1, 1, 2, 0)])
    expected = brute_force(features, labels, 0.5, lambda i, j: True)
    assert contrastive_loss(features, labels, 0.5).item() == pytest.approx(expected, abs=1e-5)


def test_contrastive_gradient_only_draws_gold_pairs_together() -> None:
    """With one aspect and its two opinions alone there is no negative, so nothing to learn."""
    features = draw(3, 1, 6, 1, 8).requires_grad_()
    loss = contrastive_loss(features, labels_of([(0, 1, 2, 3, 0), (0, 1, 4, 5, 0)]), 0.07)
    loss.backward()
    assert loss.item() == 0.0 and features.grad is not None and not features.grad.any()


@pytest.mark.parametrize("labels", [labels_of([]), labels_of([(0, 4, 4, 5, 0)])], ids=["no triplets", "too wide"])
def test_contrastive_loss_of_nothing_is_zero(labels: Tensor) -> None:
    features = draw(4, 1, 6, 2, 8).requires_grad_()
    loss = contrastive_loss(features, labels, 0.07)
    loss.backward()
    assert loss.item() == 0.0 and features.grad is not None and features.grad.isfinite().all()


# --- pairs and decoding


@pytest.mark.parametrize(
    ("aspect", "opinion", "context", "distance"),
    [
        ((0, 2), (5, 6), (2, 5), 4),
        ((5, 6), (0, 2), (2, 5), -4),
        ((0, 2), (2, 3), None, 1),
        ((2, 3), (0, 2), None, -1),
        ((0, 3), (1, 2), None, 1),
        ((1, 2), (0, 3), None, -1),
        ((1, 2), (1, 2), None, 1),
        ((0, 1), (29, 30), (1, 29), 16),
        ((29, 30), (0, 1), (1, 29), -16),
    ],
)
def test_context_and_distance_of_a_pair(
    aspect: tuple[int, int], opinion: tuple[int, int], context: tuple[int, int] | None, distance: int
) -> None:
    scorer, words = PairScorer(6, 4, 3, 0.0), draw(0, 1, 30, 4)
    torch.nn.init.normal_(scorer.no_context)
    pooled, embedded = scorer._between(words, torch.tensor([[aspect]]), torch.tensor([[opinion]]))
    expected = scorer.no_context if context is None else words[0, context[0] : context[1]].amax(0)
    assert torch.equal(pooled[0, 0, 0], expected)
    assert torch.equal(embedded[0, 0, 0], scorer.distance.weight[distance + 16])


def decoded(
    logits: Tensor, exists: list[bool], most: int = 9, threshold: float = 0.0
) -> list[tuple[float, tuple[int, ...]]]:
    spans_of = torch.tensor([[[k, k + 1] for k in range(len(exists))]])
    side = (spans_of, torch.tensor([exists]))
    triplets, scores = decode(logits, side, side, most, threshold, 2.0)
    rows = zip(scores[0].tolist(), triplets[0].tolist(), strict=True)
    return [(score, tuple(triplet)) for score, triplet in rows]


@quick
@given(seeds, st.integers(1, 12), st.floats(0, 0.6))
def test_decode_sorts_by_score(seed: int, most: int, threshold: float) -> None:
    logits = 3 * draw(seed, 1, 3, 3, 4)
    found = decoded(logits, [True] * 3, most, threshold)
    expected = []
    for i in range(3):
        for j in range(3):
            probabilities = (logits[0, i, j] / 2.0).softmax(0)[1:]
            if probabilities.max() >= threshold:
                expected.append((probabilities.max().item(), (i, i + 1, j, j + 1, int(probabilities.argmax()))))
    expected = sorted(expected, reverse=True)[:most]
    assert [triplet for score, triplet in found if score >= 0] == [triplet for _, triplet in expected]
    assert [score for score, _ in found if score >= 0] == pytest.approx([score for score, _ in expected])
    assert all(row == (-100.0, (-100,) * 5) for row in found[len(expected) :])


def test_pairs_that_do_not_exist_are_not_decoded() -> None:
    found = decoded(torch.full((1, 3, 3, 4), 0.0), [True, False, False])
    assert [triplet[:4] for score, triplet in found if score >= 0] == [(0, 1, 0, 1)]


READINGS = {  # aspect, opinion: rows of falling score
    "another reading of the first": ([(0, 2, 5, 6), (0, 1, 5, 7)], [True, False]),
    "the same aspect, another opinion": ([(0, 2, 5, 6), (0, 2, 7, 8)], [True, True]),
    "a reading of what went": ([(0, 2, 5, 6), (1, 3, 5, 6), (2, 4, 5, 6)], [True, False, True]),
    "spans that touch": ([(0, 2, 5, 6), (2, 3, 5, 6)], [True, True]),
    "each a reading of the one before": ([(i, i + 2, i, i + 2) for i in range(32)], [True, False] * 16),
}


@pytest.mark.parametrize("name", READINGS)
def test_the_better_of_two_readings_stays(name: str) -> None:
    rows, expected = READINGS[name]
    triplets = torch.tensor([[[*row, 0] for row in rows]])
    assert without_rivals(triplets, torch.ones(1, len(rows), dtype=torch.bool)).tolist() == [expected]


@pytest.mark.parametrize("rows", [0, 1, 2, 24])
@pytest.mark.parametrize("autocast", [False, True])
def test_rivals_go_as_in_a_plain_greedy_choice(rows: int, autocast: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    start = torch.randint(0, 6, (20, rows, 2), generator=generator)
    end = start + torch.randint(1, 4, (20, rows, 2), generator=generator)
    triplets = torch.stack([start[..., 0], end[..., 0], start[..., 1], end[..., 1], start[..., 0] * 0], -1)
    exists = torch.rand(20, rows, generator=generator) < 0.8
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = without_rivals(triplets, exists)
    for sentence, there, kept in zip(triplets.tolist(), exists.tolist(), found.tolist(), strict=True):
        chosen: list[int] = []
        for i, (a, b, c, d, _) in enumerate(sentence):
            rivals = [j for j in chosen if max(a, sentence[j][0]) < min(b, sentence[j][1])]
            if there[i] and not any(max(c, sentence[j][2]) < min(d, sentence[j][3]) for j in rivals):
                chosen.append(i)
        assert [i for i, keep in enumerate(kept) if keep] == chosen


def test_of_a_given_aspect_one_reading_of_an_opinion_stays() -> None:
    aspects, opinions = [(0, 2), (0, 1), (4, 5)], [(5, 7), (6, 7), (7, 8)]
    logits = torch.zeros(2, 3, 3, 2)
    logits[..., 1] = torch.tensor([[4.0, 3.0, 1.0], [2.0, 2.5, 0.0], [9.0, 9.0, 9.0]])
    there = torch.tensor([[True, True, False]] * 2), torch.ones(2, 3, dtype=torch.bool)
    sides = ((torch.tensor([spans] * 2), known) for spans, known in zip((aspects, opinions), there, strict=True))
    triplets, scores = decode(logits, *sides, 9, 0.0, 1.0, aspects_given=True)
    kept = [(0, 2, 5, 7, 0), (0, 1, 6, 7, 0), (0, 2, 7, 8, 0), (0, 1, 7, 8, 0)]
    for rows, values in zip(triplets, scores, strict=True):
        assert [tuple(row) for row in rows.tolist() if row[0] >= 0] == kept
        assert values.tolist() == sorted(values.tolist(), reverse=True) and (values >= 0).sum() == 4


def test_every_given_aspect_has_its_answer_however_many_readings_others_have() -> None:
    """20 aspects, each with 8 overlapping opinions; those of the first ones score best."""
    aspects = torch.tensor([[[word, word + 1] for word in range(20)]])
    opinions = torch.tensor([[[30, 31 + width] for width in range(8)]])
    there = [torch.ones(1, count, dtype=torch.bool) for count in (20, 8)]
    logits = torch.zeros(1, 20, 8, 2)
    logits[..., 1] = 3 - 0.1 * torch.arange(20)[:, None]
    sides = ((aspects, there[0]), (opinions, there[1]))
    triplets, scores = decode(logits, *sides, 32, 0.0, 1.0, aspects_given=True)
    found = triplets[scores >= 0]
    assert found[:, 0].tolist() == list(range(20))
    assert len(decode(logits, *sides, 32, 0.0, 1.0)[0][0]) == 32  # not asked for, there are at most so many


def test_what_does_not_exist_is_no_rival() -> None:
    triplets = torch.tensor([[[0, 2, 5, 6, 0], [0, 1, 5, 6, 0]]])
    assert without_rivals(triplets, torch.tensor([[False, True]])).tolist() == [[False, True]]
