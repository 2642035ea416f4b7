"""Spans and pairs: their features, their classifiers, and the way from scores to triplets.

One rule keeps this cheap: linear maps run on words, never on spans or pairs. A span's features are sums and running
maxima of what its words were mapped to, a pair's are sums of what its two spans and the words between were mapped to.

Spans are laid out as `(B, W, S)`: span (i, d) covers the words i to i + d, S is the largest width.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graph_d2e2s import lowest
from .labels_d2e2s import IGNORED

NO_SPAN, ASPECT, OPINION = 0, 1, 2
WORDS_PER_CANDIDATE = 4  # of a long sentence: readings of a few terms would take all places else


def shift(x: Tensor, steps: int) -> Tensor:
    """Row i gets row i + steps of `(B, W, ...)`; zeros where there is none."""
    steps = max(-x.shape[1], min(steps, x.shape[1]))
    pad = [0, 0] * (x.dim() - 2) + ([0, steps] if steps >= 0 else [-steps, 0])
    return F.pad(x[:, steps:] if steps >= 0 else x[:, :steps], pad)


def span_ends(x: Tensor, width: int) -> Tensor:
    """What each span's last word carries: `(B, W, P)` to `(B, W, S, P)`, a view; zeros past the last word."""
    return F.pad(x, (0, 0, 0, width - 1)).unfold(1, width, 1).transpose(2, 3)


def span_max(x: Tensor, width: int) -> Tensor:
    """Maximum over each span's words: `(B, W, P)` to `(B, W, S, P)`.

    Widths double: the m + k words from i on are the m words from i on and those from i + k on, for k up to m.
    """
    longest = F.pad(x, (0, 0, 0, width - 1))  # m words from each place on
    maxima = [longest[:, : x.shape[1], None]]
    known = 1
    while known < width:
        more = min(known, width - known)
        later = longest[:, 1:].unfold(1, more, 1).transpose(2, 3)
        wider = torch.maximum(longest[:, :-more, None], later)
        maxima.append(wider[:, : x.shape[1]])
        longest, known = wider[:, :, -1], known + more
    return torch.cat(maxima, dim=2)


def span_mask(word_mask: Tensor, width: int) -> Tensor:
    """Spans that lie within their sentence: `(B, W)` to `(B, W, S)`, a view."""
    return F.pad(word_mask, (0, width - 1)).unfold(1, width, 1)


def range_max(x: Tensor, start: Tensor, end: Tensor, empty: Tensor) -> Tensor:
    """Maxima of arbitrary word ranges by a sparse table: two look-ups a range, whatever its length.

    Args:
        x: `(B, W, P)`. start, end: words [start, end), `(B, Q)` each.
        empty: what a range without a word gives, `(P,)`.
    Returns:
        `(B, Q, P)`.
    """
    # Row 0 is the empty range. Behind it, level by level, the maxima of the 2^l words from each place on: W + 1 - 2^l.
    levels, length = [x], x.shape[1]
    for step in (1 << number for number in range(int(math.log2(length)))):
        levels.append(torch.maximum(levels[-1][:, :-step], levels[-1][:, step:]))
    table = torch.cat([empty.to(x.dtype).expand(len(x), 1, -1), *levels], dim=1)
    level = torch.frexp((end - start).float()).exponent - 1  # floor(log2), exactly
    power = 1 << level
    first = level * (length + 1) - power + 2
    index = (torch.stack([start, end - power], dim=1) + first[:, None]) * (end > start)[:, None]
    sentence = torch.arange(0, len(x) * table.shape[1], table.shape[1], device=x.device)[:, None, None]
    return torch.maximum(*F.embedding(index + sentence, table.flatten(0, 1)).unbind(1))


class SharedDropout(nn.Module):
    """Dropout with one mask a sentence, shared by all its spans or pairs (Gal & Ghahramani 2016).

    `forward(x (B, ..., P))` changes `x` itself. Drawing a random number for every feature of every span would
    cost more than the classifier.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        return x.mul_(F.dropout(x.new_ones(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1]), self.p))


class SumFeatures(nn.Module):
    """Dropout(ReLU(sum of the parts)) in the memory of the first part, which is overwritten.

    Parts broadcast to the first one's `(B, ..., P)`, the largest tensor of the model: it is made once.
    The dropout stands before the ReLU, where it gives the same: its mask is never negative.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = SharedDropout(dropout)

    def forward(self, total: Tensor, *parts: Tensor) -> Tensor:
        for part in parts:
            total = total.add_(part)
        return F.relu_(self.dropout(total))


class BoundaryAttention(nn.Module):
    """Refine a span by what its first and its last word attend to inside it.

    `forward(words (B, W, D))` to `(B, W, S, P)`: tanh of the two attention-weighted sums. Softmaxes grow width by width
    in the running form (Milakov & Gimelshein 2018), so no `(B, W, S, S)` tensor is made.
    """

    def __init__(self, input_size: int, size: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.start = nn.Linear(input_size, 2 * size)
        self.end = nn.Linear(input_size, 2 * size)
        self.key = nn.Linear(input_size, size, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        key = self.key(words)
        start = self._attend(self.start(words), key, 1)
        end = self._attend(self.end(words), key, -1)
        # An end word's sums are laid out at the end: move them to the span's first word.
        end = [shift(part, d) for d, part in enumerate(end)]
        return torch.tanh(torch.stack(start, dim=2) + torch.stack(end, dim=2))

    def _attend(self, boundary: Tensor, key: Tensor, direction: int) -> list[Tensor]:
        """For each width, each word's attention over itself and its next (direction 1) or previous (-1) words."""
        query, value = boundary.chunk(2, -1)
        scale, wide = query.shape[-1] ** -0.5, torch.promote_types(value.dtype, torch.float32)
        score = (query * key).sum(-1, keepdim=True).to(wide) * scale
        peak, weight, total = score, torch.ones_like(score), value.to(wide)
        sums = [value]
        for d in range(1, self.width):
            score = (query * shift(key, direction * d)).sum(-1, keepdim=True).to(wide) * scale
            new_peak = torch.maximum(peak, score)
            old, new = torch.exp(peak - new_peak), torch.exp(score - new_peak)
            weight, total = weight * old + new, total * old + new * shift(value, direction * d)
            peak = new_peak
            sums.append((total / weight).to(value.dtype))
        return sums


class NoneFirstClassifier(nn.Linear):
    """Linear classifier whose class 0 is "none"; a class of its own because training starts it at that prior."""


class SpanScorer(nn.Module):
    """Classify every span as none, aspect or opinion.

    features = ReLU(start + end + max-pooled words + width + root), each from the nodes by a linear map.
    `forward(nodes (B, N, D))` to features `(B, W, S, P)` and logits `(B, W, S, 3)`.
    """

    def __init__(self, input_size: int, size: int, width: int, dropout: float, boundary_refinement: bool) -> None:
        super().__init__()
        self.width = width
        self.words = nn.Linear(input_size, 3 * size, bias=False)
        self.root = nn.Linear(input_size, size)
        self.width_embedding = nn.Embedding(width, size)
        self.boundary = BoundaryAttention(input_size, size, width) if boundary_refinement else None
        self.add_up = SumFeatures(dropout)
        self.output = NoneFirstClassifier(size, 3)

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        start, end, inside = self.words(nodes)[:, 1:].chunk(3, dim=-1)
        pooled = span_max(inside, self.width)
        if self.boundary is not None:
            pooled += self.boundary(nodes[:, 1:])
        start = (start + self.root(nodes[:, 0])[:, None])[:, :, None]
        features = self.add_up(pooled, span_ends(end, self.width), start, self.width_embedding.weight)
        return features, self.output(features).float()


class PairScorer(nn.Module):
    """Classify aspect x opinion candidates as no pair or one of the sentiments.

    features = ReLU(aspect + opinion + max-pooled context between them + signed distance).
    """

    MAX_DISTANCE = 16

    def __init__(self, input_size: int, size: int, sentiments: int, dropout: float) -> None:
        super().__init__()
        self.aspect = nn.Linear(2 * input_size + size, size)
        self.opinion = nn.Linear(2 * input_size + size, size, bias=False)
        self.context = nn.Linear(input_size, size, bias=False)
        self.no_context = nn.Parameter(torch.zeros(size))
        self.distance = nn.Embedding(2 * self.MAX_DISTANCE + 1, size)
        self.add_up = SumFeatures(dropout)
        self.output = NoneFirstClassifier(size, 1 + sentiments)

    def forward(self, nodes: Tensor, features: Tensor, aspects: Tensor, opinions: Tensor) -> Tensor:
        """Logits `(B, K, L, 1 + sentiments)` of aspects `(B, K, 2)` x opinions `(B, L, 2)`, each [start, end).

        `nodes` are `(B, N, D)`, `features` the span features `(B, W, S, P)`.
        """
        parts = span_parts(nodes[:, 1:], features, torch.cat([aspects, opinions], dim=1))
        counts = [aspects.shape[1], opinions.shape[1]]
        of_aspects, of_opinions = zip(*(part.split(counts, dim=1) for part in parts), strict=True)
        aspect = self.aspect(torch.cat(of_aspects, dim=-1))[:, :, None]
        opinion = self.opinion(torch.cat(of_opinions, dim=-1))[:, None]
        context, distance = self._between(self.context(nodes)[:, 1:], aspects, opinions)
        return self.output(self.add_up(context, distance, aspect, opinion)).float()

    def _between(self, words: Tensor, aspects: Tensor, opinions: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled words strictly between each pair and the embedded distance, both `(B, K, L, P)`."""
        (a_start, a_end), (o_start, o_end) = aspects[:, :, None].unbind(-1), opinions[:, None].unbind(-1)
        low, high = torch.minimum(a_end, o_end), torch.maximum(a_start, o_start)
        context = range_max(words, low.flatten(1), high.flatten(1), self.no_context).unflatten(1, low.shape[1:])
        gap = (high - low).clamp(0, self.MAX_DISTANCE - 1)  # overlapping spans are as near as those that touch
        distance = torch.where(o_start >= a_start, self.MAX_DISTANCE + 1 + gap, self.MAX_DISTANCE - 1 - gap)
        return context, self.distance(distance)


def span_parts(words: Tensor, features: Tensor, spans: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First word, last word `(B, K, D)` and span features `(B, K, P)` of `spans (B, K, 2)`."""
    start, last = spans[..., 0], spans[..., 1] - 1
    index = torch.add(last, start, alpha=features.shape[2] - 1)
    return take(words, start), take(words, last), take(features.flatten(1, 2), index)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Rows `index (B, K)` of `x (B, L, P)`: `(B, K, P)`."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def span_labels(labels: Tensor, mask: Tensor) -> Tensor:
    """Gold class of every span `(B, W, S)` from triplets `(B, M, 5)`; spans outside the mask stay none.

    A span that is an aspect of one triplet and an opinion of another counts as an opinion.
    """
    sentences, length, width = mask.shape
    # One cell more takes what has no place: padding and spans wider than S.
    classes = torch.full((sentences, length * width + 1), NO_SPAN, device=labels.device)
    for column, label in ((0, ASPECT), (2, OPINION)):
        classes.scatter_(1, span_index(labels[..., column : column + 2], length, width), label)
    return classes[:, :-1].unflatten(1, (length, width)) * mask


def span_index(spans: Tensor, length: int, width: int) -> Tensor:
    """Flat position in `(W, S)` of spans `(B, M, 2)`; W * S for padding and spans wider than S."""
    start, span_width = spans[..., 0], spans[..., 1] - spans[..., 0]
    known = (start >= 0) & (span_width >= 1) & (span_width <= width)
    return torch.where(known, start * width + span_width - 1, length * width)


def candidate_counts(words: Tensor, most: int) -> Tensor:
    """How many candidates of a kind sentences have outside of training, if they have as many spans.

    Args:
        words: in each sentence, `(B,)`. most: of a sentence that is not long.
    Returns:
        `(B,)`.
    """
    return (words // WORDS_PER_CANDIDATE).clamp(min=most)


def candidates(
    scores: Tensor, mask: Tensor, most: int, forced: Tensor | None = None, more_if_long: bool = False
) -> tuple[Tensor, Tensor]:
    """The best spans of each sentence, a fixed number of them: no host synchronisation, static shapes.

    Args:
        scores: `(..., W, S)`, such as those of each kind. mask: spans that exist, of that shape or one that broadcasts.
        most: of a sentence.
        forced: spans that must be among them (gold spans in training), as `scores`, or None.
        more_if_long: as many as `candidate_counts` says, in place of `most`.
    Returns:
        spans `(..., K, 2)`, [start, end), best first, and whether each exists, `(..., K)`. What does not is [0, 1).
    """
    length, width = scores.shape[-2:]
    if forced is not None:
        scores = torch.add(scores, forced, alpha=1e4)
    longest = max(most, length // WORDS_PER_CANDIDATE) if more_if_long else most
    ranked, index = scores.where(mask, lowest(scores)).flatten(-2).topk(min(longest, length * width))
    exists = ranked > lowest(scores)
    if longest > most:  # a short sentence has no more for a long one beside it
        counts = candidate_counts(mask[..., 0].sum(-1), most)
        exists = exists & (torch.arange(ranked.shape[-1], device=counts.device) < counts[..., None])
    index = index * exists  # the first span is [0, 1)
    start = index // width
    return torch.stack([start, start + index % width + 1], dim=-1), exists


def given_spans(spans: Tensor) -> tuple[Tensor, Tensor]:
    """Spans `(B, K, 2)` padded with -1 in the form of `candidates`: what does not exist is [0, 1)."""
    exists = spans[..., 0] >= 0
    return torch.where(exists[..., None], spans, torch.tensor([0, 1], device=spans.device)), exists


def pair_labels(labels: Tensor, aspects: Tensor, opinions: Tensor) -> Tensor:
    """Gold class of each pair `(B, K, L)`: 0 = no pair, 1 + sentiment id otherwise; triplets are `(B, M, 5)`."""
    aspect = (labels[:, :, None, 0:2] == aspects[:, None]).all(-1)  # (B, M, K)
    opinion = (labels[:, :, None, 2:4] == opinions[:, None]).all(-1)  # (B, M, L)
    classes = (labels[:, :, 4].clamp(min=-1) + 1)[:, :, None, None]
    return (aspect[:, :, :, None] * opinion[:, :, None] * classes).amax(1)


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018) that draws a gold aspect and its opinion together.

    Over all triplets of the batch, row i holds an aspect, column j an opinion. Pairs that are gold as well, such as an
    aspect's second opinion, are left out of the denominator, never used as negatives.

    Args:
        features: span features `(B, W, S, P)`. labels: `(B, M, 5)`. temperature: divides the cosines.
    Returns:
        Scalar, mean over the triplets whose spans are not wider than S, in nats; 0 when there is none.
    """
    length, width = features.shape[1:3]
    aspect_index = span_index(labels[..., 0:2], length, width).flatten()
    opinion_index = span_index(labels[..., 2:4], length, width).flatten()
    outside = length * width
    known = (aspect_index < outside) & (opinion_index < outside)
    sentence = torch.arange(labels.shape[0], device=labels.device).repeat_interleave(labels.shape[1])
    # A span whose features are all zero: the default eps would overflow its gradient in half precision.
    table = F.normalize(features.flatten(1, 2).flatten(0, 1).float(), dim=-1, eps=1e-3)
    rows = [sentence * outside + index.clamp(max=outside - 1) for index in (aspect_index, opinion_index)]
    cosines = table[rows[0]] @ table[rows[1]].T / temperature
    usable = known[:, None] & known
    aspects, opinions = torch.where(known, rows[0], -1), torch.where(known, rows[1], -1)
    left_out = ~usable | _also_gold(aspects, opinions)
    total = known.sum().clamp(min=1)
    return (_info_nce(cosines, left_out, known) + _info_nce(cosines.T, left_out.T, known)) / (2 * total)


def _also_gold(aspects: Tensor, opinions: Tensor) -> Tensor:
    """Pairs (i, j), i != j, whose aspect i and opinion j stand together in some triplet: `(M, M)` from `(M,)` each."""
    same_aspect = (aspects[:, None] == aspects).float()
    same_opinion = (opinions[:, None] == opinions).float()
    gold = (same_aspect @ same_opinion) > 0
    return gold & ~torch.eye(len(aspects), dtype=torch.bool, device=aspects.device)


def _info_nce(cosines: Tensor, left_out: Tensor, known: Tensor) -> Tensor:
    own = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    log_p = cosines.masked_fill(left_out & ~own, lowest(cosines)).log_softmax(-1).diagonal()
    return -(log_p * known).sum()


def decode(
    pair_logits: Tensor,
    aspects: tuple[Tensor, Tensor],
    opinions: tuple[Tensor, Tensor],
    most: int,
    threshold: float,
    temperature: float = 1.0,
    shift: float = 0.0,
    allow_overlaps: bool = False,
    aspects_given: bool = False,
) -> tuple[Tensor, Tensor]:
    """Pair logits `(B, K, L, 1 + sentiments)` to triplets `(B, T, 5)` and their scores `(B, T)`, best first.

    A triplet's score is the calibrated probability of its sentiment. Rows below the threshold are -100, and so are,
    unless overlaps are allowed, rows whose aspect and opinion both overlap those of a better row: two readings of one.

    Args:
        aspects, opinions: spans `(B, K, 2)` and whether each exists `(B, K)`, as `candidates` returns them.
        most: T at most. threshold: lowest score. temperature: divides the logits. shift: of the scores' log-odds.
        aspects_given: each aspect has an answer of its own: `most` counts for each, and so do rivals.
    """
    if aspects_given:
        options = (most, threshold, temperature, shift, allow_overlaps)
        return _decode_each_aspect(pair_logits, aspects, opinions, *options)
    (aspect_spans, aspect_exists), (opinion_spans, opinion_exists) = aspects, opinions
    score, sentiment = (pair_logits / temperature).softmax(-1)[..., 1:].max(-1)
    if shift:
        score = torch.sigmoid(torch.logit(score) + shift)
    score = score.where(aspect_exists[:, :, None] & opinion_exists[:, None], -1.0)
    sides = [aspect_spans[:, :, None], opinion_spans[:, None]]
    pairs = torch.cat([*(side.expand(*score.shape, 2) for side in sides), sentiment[..., None]], dim=-1)
    score, index = score.flatten(1).topk(min(most, score[0].numel()))
    triplets = take(pairs.flatten(1, 2), index)
    kept = score >= max(threshold, 0.0)
    if not allow_overlaps:
        kept = without_rivals(triplets, kept)
    score, order = score.where(kept, float(IGNORED)).sort(dim=1, descending=True, stable=True)  # no hole is left
    return take(triplets.where(kept[..., None], IGNORED), order), score


def _decode_each_aspect(
    pair_logits: Tensor, aspects: tuple[Tensor, Tensor], opinions: tuple[Tensor, Tensor], *options: Any
) -> tuple[Tensor, Tensor]:
    """`decode` of each aspect by itself, as if it were a sentence; then all of a sentence's together, best first."""
    count = aspects[0].shape[1]
    (spans, exist), (others, others_exist) = aspects, opinions
    one = (spans.flatten(0, 1)[:, None], exist.flatten(0, 1)[:, None])
    against = (others.repeat_interleave(count, 0), others_exist.repeat_interleave(count, 0))
    found = decode(pair_logits.flatten(0, 1)[:, None], one, against, *options)
    triplets, score = (x.unflatten(0, (-1, count)).flatten(1, 2) for x in found)
    score, order = score.sort(dim=1, descending=True, stable=True)
    return take(triplets, order), score


def without_rivals(triplets: Tensor, exists: Tensor) -> Tensor:
    """Which triplets stay when the better of two readings wins: `(B, T, 5)`, best first, and `(B, T)` to `(B, T)`.

    Greedy, as non-maximum suppression: a triplet goes if a better one that stays overlaps both its aspect and opinion.
    Each round settles one row more, for good, whatever the rows: only a CPU looks whether that was the last one, as
    there it costs no waiting. A round is one kernel, a distance in the maximum norm: fates are 1 (stays) and 2 (goes),
    rules 3 (for a better rival) and 2 (for any other row), and a row's largest |rule - fate| is its fate again.
    """
    start, end = triplets[..., 0:4:2], triplets[..., 1:4:2]
    begun = start[:, :, None] < end[:, None]
    rivals = (begun & begun.transpose(1, 2)).all(-1) & exists[:, None]
    rule = rivals.tril(-1) + 2.0
    fate = rule.new_ones(len(rule), 1, rule.shape[1])
    looks = fate.device.type == "cpu" and not torch.compiler.is_compiling()
    for _ in range(1, rule.shape[1]):
        before, fate = fate, torch.cdist(fate, rule, p=math.inf)
        if looks and torch.equal(before, fate):
            break
    return exists & (fate[:, 0] == 1)
