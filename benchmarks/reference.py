"""The model as research code writes it: span masks, loops over words, candidates and pairs, one concatenation a pair.

Slow on purpose. It computes what `D2E2SForTripletExtraction` computes, from the same weights, sentence by sentence
without padding wherever a sentence stands for itself, and shares no code with it but the encoder. The tests hold the
fast formulation to it; the benchmarks measure what the fast one saves.

Shapes: B sentences, W words, N = W + 1 nodes, D the encoder's width, C the graphs', P the classifiers', Q spans.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from d2e2s.configuration_d2e2s import D2E2SConfig
from d2e2s.modeling_d2e2s import D2E2SForTripletExtraction, D2E2SOutput
from d2e2s.spans_d2e2s import WORDS_PER_CANDIDATE

Inputs = Mapping[str, Tensor]
Span = tuple[int, int]
Gold = list[tuple[Span, Span, int]]  # aspect, opinion and sentiment of the triplets of a sentence
Scored = list[tuple[float, tuple[int, ...]]]  # triplets with their scores
# A layer of the model: its parts are read by their names.
Layer = Any
MINUS_INFINITY = -1e30
MAX_DISTANCE = 16


@dataclass
class Sentence:
    """What is known of one sentence, without padding.

    Attributes:
        encoder_nodes, nodes: `(N, D)`. semantic_graph, syntactic_graph: `(N, N)`. arc_logits: `(W, N)`.
        spans: all of them, with their features `(Q, P)` and span_logits `(Q, 3)`.
        aspects, opinions: the candidates, with the pair_logits `(K, L, 1 + sentiments)`.
    """

    encoder_nodes: Tensor
    nodes: Tensor
    semantic_graph: Tensor | None = None
    syntactic_graph: Tensor | None = None
    arc_logits: Tensor | None = None
    gold: Gold = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    features: Tensor = field(init=False)
    span_logits: Tensor = field(init=False)
    aspects: list[Span] = field(default_factory=list)
    opinions: list[Span] = field(default_factory=list)
    pair_logits: Tensor = field(init=False)

    @property
    def length(self) -> int:
        """Number of words."""
        return len(self.nodes) - 1

    def feature(self, span: Span) -> Tensor:
        return self.features[self.spans.index(span)]


def literal_forward(model: D2E2SForTripletExtraction, inputs: Inputs) -> D2E2SOutput:
    """What `model(**inputs)` returns, computed literally; works with autograd.

    Dropout behind the encoder is left out, so a model in training mode compares only with `dropout=0`. Where the fast
    output holds padding (spans, candidates and nodes that do not exist), this one holds 0; `triplets` and `scores`
    always have `config.max_triplets` rows, and are there in training mode too.
    """
    config, labels, sentences = model.config, inputs.get("labels"), literal_nodes(model.d2e2s, inputs)
    for b, sentence in enumerate(sentences):
        sentence.gold = [] if labels is None else gold_triplets(labels[b])
        score_spans(model.span_scorer, sentence, config.max_span_width)
        sentence.aspects, sentence.opinions = (choose_candidates(model, sentence, kind) for kind in (1, 2))
        sentence.pair_logits = score_pairs(model.pair_scorer, sentence)
    output = collect(config, sentences)
    if labels is not None:
        output.losses = literal_losses(model, inputs, sentences)
        weights = {
            "parser": config.parser_loss_weight,
            "contrastive": config.contrastive_loss_weight,
            "graph_consistency": config.graph_consistency_weight,
        }
        output.loss = cast(Tensor, sum(weights.get(name, 1.0) * loss for name, loss in output.losses.items()))
    return output


# --- nodes: encoder, BiLSTM, graphs, fusion


def literal_nodes(model: Layer, inputs: Inputs) -> list[Sentence]:
    """The fused nodes of each sentence."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    pieces = model.encoder(**{name: inputs[name] for name in names if name in inputs}).last_hidden_state
    sentences = []
    for states, owners, words in zip(pieces, inputs["word_index"], inputs["word_mask"], strict=True):
        nodes = pool_pieces(states, owners.tolist(), int(words.sum()) + 1)
        sentences.append(Sentence(nodes, nodes))
    if model.config.uses_graphs:
        states = packed_lstm(model.lstm, [model.channel(sentence.encoder_nodes) for sentence in sentences])
        for b, (sentence, state) in enumerate(zip(sentences, states, strict=True)):
            heads = [] if inputs.get("heads") is None else inputs["heads"][b, : sentence.length].tolist()
            fuse(model, sentence, state, heads if max(heads, default=-1) >= 0 else None)
    return sentences


def pool_pieces(pieces: Tensor, owners: list[int], nodes: int) -> Tensor:
    """Mean of each node's pieces: `(T, D)` to `(N, D)`; zeros for a node without any."""
    owned = [[piece for piece, owner in zip(pieces, owners, strict=True) if owner == node] for node in range(nodes)]
    return torch.stack([torch.stack(own).mean(0) if own else torch.zeros_like(pieces[0]) for own in owned])


def fuse(model: Layer, sentence: Sentence, states: Tensor, heads: list[int] | None) -> None:
    """Semantic and syntactic branch of one sentence, and their fusion; `heads` is None where all are unknown."""
    nodes = sentence.encoder_nodes
    channel = model.lstm_norm(model.channel(nodes) + states)
    semantic, sentence.semantic_graph = semantic_gcn(model, channel)
    syntactic = channel
    if model.config.syntactic_gcn != "none":
        sentence.syntactic_graph = syntactic_graph(model, sentence, heads)
        syntactic = syntactic_gcn(model, channel, sentence.syntactic_graph)
    fused = FUSIONS[model.config.fusion_type](model.fusion, channel, semantic, syntactic)
    fused = fused + attention(model.self_attention, fused, fused)
    sentence.nodes = model.output_norm(nodes + model.output(fused))


def packed_lstm(lstm: Layer, rows: list[Tensor]) -> list[Tensor]:
    """One bidirectional LSTM over packed sequences, with the weights of the two directions."""
    both = nn.LSTM(lstm.forwards.input_size, lstm.forwards.hidden_size, batch_first=True, bidirectional=True)
    for suffix, direction in (("", lstm.forwards), ("_reverse", lstm.backwards)):
        for name, weight in direction.named_parameters():
            setattr(both, name + suffix, weight)
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(both(packed)[0], batch_first=True)
    return [row[:length] for row, length in zip(padded, lengths.tolist(), strict=True)]


def attention(layer: Layer, queries: Tensor, memory: Tensor) -> Tensor:
    """Multi-head attention of `(N, C)` over `(N, C)`, head by head."""
    size = queries.shape[1]
    key_weight, value_weight = layer.key_value.weight[:size], layer.key_value.weight[size:]
    query, key, value = layer.query(queries), memory @ key_weight.T, memory @ value_weight.T
    return layer.output(mix_by_head(softmax_by_head(query, key, layer.heads), value))


def softmax_by_head(query: Tensor, key: Tensor, heads: int, bias: Tensor | None = None) -> list[Tensor]:
    """Weights `(N, N)` of each head by the scaled dot product, plus its part of a bias `(N, N, heads)`."""
    weights = []
    for head, (queries, keys) in enumerate(zip(query.chunk(heads, 1), key.chunk(heads, 1), strict=True)):
        scores = queries @ keys.T / math.sqrt(queries.shape[1])
        weights.append(torch.softmax(scores if bias is None else scores + bias[:, :, head], dim=1))
    return weights


def mix_by_head(weights: list[Tensor], values: Tensor) -> Tensor:
    parts = values.chunk(len(weights), 1)
    return torch.cat([each @ part for each, part in zip(weights, parts, strict=True)], dim=1)


# --- the syntactic graph and its networks


def syntactic_graph(model: Layer, sentence: Sentence, heads: list[int] | None) -> Tensor:
    config = model.config
    if not config.uses_parser:
        return tree_graph(heads or [-1] * sentence.length, sentence.nodes)
    sentence.arc_logits = arc_logits(model.parser, sentence.encoder_nodes)
    unlucky = model.training and bool(torch.rand(()) < config.predicted_graph_rate)
    if heads is None or config.syntax == "predicted" or unlucky:
        return predicted_graph(torch.softmax(sentence.arc_logits, dim=1))
    return tree_graph(heads, sentence.nodes)


def tree_graph(heads: list[int], like: Tensor) -> Tensor:
    """Undirected graph with self loops, from the list of heads."""
    graph = torch.eye(len(heads) + 1, dtype=torch.float32, device=like.device)
    for word, head in enumerate(heads, start=1):
        if head >= 0:
            graph[word, head] = graph[head, word] = 1.0
    return graph


def predicted_graph(arcs: Tensor) -> Tensor:
    """The same from head probabilities `(W, N)`: an edge weighs what both directions sum to, at most 1."""
    zero = torch.zeros_like(arcs[0])
    directed = [cells.unbind() for cells in (zero, *arcs)]
    nodes = range(len(directed))
    cells = [directed[i][j] + directed[j][i] + float(i == j) for i in nodes for j in nodes]
    return torch.stack(cells).clamp(max=1.0).reshape(len(nodes), len(nodes))


def arc_logits(parser: Layer, nodes: Tensor) -> Tensor:
    """Score of every head of every word `(W, N)`; a word is never its own head."""
    heads, rows = parser.head(nodes), []
    one, lowest = nodes.new_ones(1), nodes.new_full((1,), torch.finfo(nodes.dtype).min)
    for word in range(1, len(nodes)):
        dependent = torch.cat([parser.dependent(nodes[word]), one])
        scores = heads @ (parser.arc.weight @ dependent)
        rows.append(torch.cat([scores[:word], lowest, scores[word + 1 :]]))
    return torch.stack(rows)


def relation_logits(scorer: Layer, nodes: Tensor, heads: list[int]) -> Tensor:
    """`(W, R)`: a bilinear form of the word and its head for each relation."""
    one, rows = nodes.new_ones(1), []
    for word, head in enumerate(heads, start=1):
        left = torch.cat([scorer.dependent(nodes[word]), one])
        right = torch.cat([scorer.head(nodes[max(head, 0)]), one])
        forms = scorer.output.weight.reshape(-1, len(left), len(right))
        rows.append(torch.stack([left @ form @ right for form in forms]) + scorer.output.bias)
    return torch.stack(rows)


def neighbours(graph: Tensor) -> Iterator[tuple[list[int], Tensor]]:
    """For each node, the nodes that it is joined to, and the weights of their edges."""
    for weights in graph:
        found = [other for other, weight in enumerate(weights.tolist()) if weight]
        yield found, weights[found]


def neighbour_mean(nodes: Tensor, graph: Tensor) -> Tensor:
    """Weighted mean of each node's neighbours: `(N, C)`."""
    rows = [(weights[:, None] * nodes[found]).sum(0) / weights.sum() for found, weights in neighbours(graph)]
    return torch.stack(rows)


def syntactic_gcn(model: Layer, nodes: Tensor, graph: Tensor) -> Tensor:
    gcn = model.syntactic_gcn
    if model.config.syntactic_gcn == "basic":
        for layer in gcn.layers:
            nodes = F.relu(layer(neighbour_mean(nodes, graph)))
        return nodes
    for share, attend, aggregate in zip(torch.sigmoid(gcn.share), gcn.attention, gcn.aggregate, strict=True):
        sage = aggregate.own(nodes) + aggregate.neighbours(neighbour_mean(nodes, graph))
        nodes = nodes + F.relu(share * graph_attention(attend, nodes, graph) + (1 - share) * sage)
    return nodes


def graph_attention(layer: Layer, nodes: Tensor, graph: Tensor) -> Tensor:
    """GATv2, node by node and head by head, over a node's neighbours."""
    rows = []
    for node, (found, weights) in zip(nodes, neighbours(graph), strict=True):
        mixed = F.leaky_relu(layer.left(node) + layer.right(nodes[found]), 0.2)
        value = layer.value(nodes[found])
        heads = zip(mixed.chunk(layer.heads, 1), value.chunk(layer.heads, 1), layer.attention, strict=True)
        rows.append(torch.cat([torch.softmax(m @ a + weights.log(), dim=0) @ v for m, v, a in heads]))
    return torch.stack(rows)


# --- the semantic graph and its networks


def semantic_gcn(model: Layer, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes `(N, C)` and the mean graph `(N, N)`."""
    gcn = model.semantic_gcn
    graphs = semantic_graphs(gcn.attention, nodes)
    mean = torch.stack(graphs).mean(0)
    if model.config.semantic_gcn == "enhanced":
        return enhanced_semantic_gcn(gcn, nodes, graphs), mean
    for layer in gcn.layers:
        nodes = torch.stack([F.relu(layer(weights @ nodes)) for weights in mean])
    return nodes, mean


def semantic_graphs(layer: Layer, nodes: Tensor) -> list[Tensor]:
    """Self-attention weights `(N, N)` of each head, with the bias of relative positions if there is one."""
    places = range(len(nodes))
    rows = [[max(-MAX_DISTANCE, min(MAX_DISTANCE, j - i)) + MAX_DISTANCE for j in places] for i in places]
    bias = None if layer.position is None else layer.position(torch.tensor(rows, device=nodes.device))
    return softmax_by_head(layer.query(nodes), layer.key(nodes), layer.heads, bias)


def enhanced_semantic_gcn(gcn: Layer, nodes: Tensor, graphs: list[Tensor]) -> Tensor:
    mixed = torch.zeros_like(nodes)
    for share, layer in zip(torch.softmax(gcn.layer_weights, dim=0), gcn.layers, strict=True):
        nodes = nodes + F.relu(mix_by_head(graphs, layer(nodes)))
        mixed = mixed + share * nodes
    return global_context(gcn.context, mixed)


def global_context(layer: Layer, nodes: Tensor) -> Tensor:
    context = layer.pooled(torch.cat([nodes.mean(0), nodes.max(0).values]))
    gate_weight = torch.cat([layer.node_gate.weight, layer.context_gate.weight], dim=1)
    both = torch.cat([nodes, context.expand_as(nodes)], dim=1)
    return nodes + torch.sigmoid(F.linear(both, gate_weight, layer.node_gate.bias)) * context


# --- fusion


def tin(fusion: Layer, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> Tensor:
    semantic = fusion.semantic_norm(nodes + two_layers(fusion.semantic, semantic))
    syntactic = fusion.syntactic_norm(nodes + two_layers(fusion.syntactic, syntactic))
    (states,) = packed_lstm(fusion.lstm, [torch.cat([semantic, syntactic], dim=1)])
    return two_layers(fusion.output, states)


def two_layers(layers: Layer, x: Tensor) -> Tensor:
    return layers[3](F.relu(layers[0](x)))


def branches(fusion: Layer, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> tuple[Tensor, Tensor]:
    norms = fusion.branches
    return norms.semantic_norm(nodes + semantic), norms.syntactic_norm(nodes + syntactic)


def cross_attention(fusion: Layer, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> Tensor:
    semantic, syntactic = branches(fusion, nodes, semantic, syntactic)
    left = semantic + attention(fusion.to_syntactic, semantic, syntactic)
    right = syntactic + attention(fusion.to_semantic, syntactic, semantic)
    mlp, norm = fusion.output
    return norm(two_layers(mlp, torch.cat([left, right], dim=1)))


def light_cross_attention(fusion: Layer, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> Tensor:
    semantic, syntactic = branches(fusion, nodes, semantic, syntactic)
    return fusion.norm(semantic + attention(fusion.attention, semantic, syntactic))


def gated(fusion: Layer, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> Tensor:
    semantic, syntactic = branches(fusion, nodes, semantic, syntactic)
    left = attention(fusion.to_syntactic, semantic, syntactic)
    right = attention(fusion.to_semantic, syntactic, semantic)
    gate = torch.sigmoid(fusion.gate(torch.cat([left, right], dim=1)))
    return fusion.norm(nodes + gate * left + (1 - gate) * right)


FUSIONS = {fusion.__name__: fusion for fusion in (tin, cross_attention, light_cross_attention, gated)}


# --- spans


def score_spans(scorer: Layer, sentence: Sentence, max_width: int) -> None:
    """Concatenate first word, last word and root of every span; add the masked maximum and the width."""
    nodes, words = sentence.nodes, range(sentence.length)
    spans = [(start, last + 1) for start in words for last in words[start : start + max_width]]
    size = scorer.root.out_features
    first, last, inside = (scorer.words.weight[i * size : (i + 1) * size] for i in range(3))
    ends = torch.stack([torch.cat([nodes[start + 1], nodes[end], nodes[0]]) for start, end in spans])
    pooled = masked_max(nodes[1:] @ inside.T, spans)
    if scorer.boundary is not None:
        pooled = pooled + refine(scorer.boundary, nodes[1:], spans)
    width = scorer.width_embedding(torch.tensor([end - start - 1 for start, end in spans], device=nodes.device))
    weight = torch.cat([first, last, scorer.root.weight], dim=1)
    sentence.features = F.relu(F.linear(ends, weight, scorer.root.bias) + pooled + width)
    sentence.spans, sentence.span_logits = spans, scorer.output(sentence.features)


def masked_max(words: Tensor, ranges: list[Span]) -> Tensor:
    """Maximum over the words of each range, by a mask `(Q, W)`: `(W, P)` to `(Q, P)`."""
    mask = torch.zeros(len(ranges), len(words), device=words.device)
    for q, (start, end) in enumerate(ranges):
        mask[q, start:end] = 1.0
    return (words + (1.0 - mask[..., None]) * MINUS_INFINITY).amax(1)


def refine(layer: Layer, words: Tensor, spans: list[Span]) -> Tensor:
    """Boundary attention `(Q, P)`: a full softmax inside each span for its first and for its last word."""
    key = layer.key(words)
    size = key.shape[1]
    rows = []
    for start, end in spans:
        inside, total = slice(start, end), torch.zeros_like(key[0])
        for maps, word in ((layer.start, start), (layer.end, end - 1)):
            query, value = maps(words[word])[:size], maps(words[inside])[:, size:]
            total = total + torch.softmax(key[inside] @ query / math.sqrt(size), dim=0) @ value
        rows.append(torch.tanh(total))
    return torch.stack(rows)


# --- candidates and pairs


def choose_candidates(model: D2E2SForTripletExtraction, sentence: Sentence, kind: int) -> list[Span]:
    """The best spans of a kind: in training the gold ones before all others, else more of them in a long sentence."""
    gold = span_classes(sentence) if model.training else {}
    count = max(model.config.max_candidates, 0 if model.training else sentence.length // WORDS_PER_CANDIDATE)
    scores = torch.log_softmax(sentence.span_logits, dim=1)[:, kind].tolist()
    rank = {span: (gold.get(span) == kind, score) for span, score in zip(sentence.spans, scores, strict=True)}
    return sorted(sentence.spans, key=lambda span: rank[span], reverse=True)[:count]


def score_pairs(scorer: Layer, sentence: Sentence) -> Tensor:
    """Logits `(K, L, 1 + sentiments)`: one concatenation a pair, then one linear map."""
    weight = torch.cat([scorer.aspect.weight, scorer.opinion.weight], dim=1)
    pairs = [(aspect, opinion) for aspect in sentence.aspects for opinion in sentence.opinions]
    ends = {span: candidate(sentence, span) for span in (*sentence.aspects, *sentence.opinions)}
    both = torch.stack([torch.cat([ends[aspect], ends[opinion]]) for aspect, opinion in pairs])
    extra = between(scorer, sentence.nodes[1:], pairs)
    features = F.relu(F.linear(both, weight, scorer.aspect.bias) + extra)
    return scorer.output(features).reshape(len(sentence.aspects), len(sentence.opinions), -1)


def candidate(sentence: Sentence, span: Span) -> Tensor:
    """First word, last word and features of a span: `(2 D + P,)`."""
    start, end = span
    return torch.cat([sentence.nodes[start + 1], sentence.nodes[end], sentence.feature(span)])


def between(scorer: Layer, words: Tensor, pairs: list[tuple[Span, Span]]) -> Tensor:
    """Maximum over the words between the spans of each pair, plus the embedded signed distance: `(Q, P)`."""
    gaps = [context_range(*pair) for pair in pairs]
    rows = []
    for row, (start, end), (aspect, opinion) in zip(masked_max(scorer.context(words), gaps), gaps, pairs, strict=True):
        distance = min(end - start + 1, MAX_DISTANCE) * (1 if opinion[0] >= aspect[0] else -1)
        context = row if end > start else scorer.no_context
        rows.append(context + scorer.distance.weight[distance + MAX_DISTANCE])
    return torch.stack(rows)


def context_range(aspect: Span, opinion: Span) -> Span:
    """The words between two spans, (0, 0) if there are none or the spans overlap."""
    first, second = sorted((aspect, opinion))
    return (first[1], second[0]) if second[0] > first[1] else (0, 0)


# --- output


def collect(config: D2E2SConfig, sentences: list[Sentence]) -> D2E2SOutput:
    """The parts in the layout of the fast output."""
    triplets, scores = decode_triplets(config, sentences)
    words = max(sentence.length for sentence in sentences)
    return D2E2SOutput(
        triplets=triplets,
        scores=scores,
        span_logits=torch.stack([span_grid(sentence, words, config.max_span_width) for sentence in sentences]),
        pair_logits=stack_padded([sentence.pair_logits for sentence in sentences]),
        aspects=stack_padded([torch.tensor(sentence.aspects) for sentence in sentences]),
        opinions=stack_padded([torch.tensor(sentence.opinions) for sentence in sentences]),
        arc_logits=optional(sentences, "arc_logits"),
        semantic_graph=optional(sentences, "semantic_graph"),
        syntactic_graph=optional(sentences, "syntactic_graph"),
    )


def optional(sentences: list[Sentence], name: str) -> Tensor | None:
    parts = [getattr(sentence, name) for sentence in sentences]
    return None if parts[0] is None else stack_padded(parts)


def stack_padded(parts: list[Tensor]) -> Tensor:
    """Stack tensors of the same rank with zeros where one is smaller."""
    sizes = [max(part.shape[d] for part in parts) for d in range(parts[0].dim())]
    whole = parts[0].new_zeros(len(parts), *sizes)
    for row, part in zip(whole, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part.detach()
    return whole


def span_grid(sentence: Sentence, words: int, width: int) -> Tensor:
    """Span logits in the layout `(W, S, 3)`."""
    grid = sentence.span_logits.new_zeros(words, width, 3)
    for (start, end), logits in zip(sentence.spans, sentence.span_logits.detach(), strict=True):
        grid[start, end - start - 1] = logits
    return grid


def decode_triplets(config: D2E2SConfig, sentences: list[Sentence]) -> tuple[Tensor, Tensor]:
    triplets = torch.full((len(sentences), config.max_triplets, 5), -100)
    scores = torch.full((len(sentences), config.max_triplets), -100.0)
    for b, sentence in enumerate(sentences):
        found = sorted(scored_triplets(config, sentence), reverse=True)[: config.max_triplets]
        for row, (score, triplet) in enumerate(found if config.allow_overlaps else best_readings(found)):
            triplets[b, row], scores[b, row] = torch.tensor(triplet), score
    return triplets, scores


def scored_triplets(config: D2E2SConfig, sentence: Sentence) -> Scored:
    """All pairs with the probability of their best sentiment, its log-odds moved, if that is above the threshold."""
    found: Scored = []
    odds = math.exp(config.score_shift)
    probabilities = (sentence.pair_logits / config.temperature).softmax(-1).tolist()
    for aspect, row in zip(sentence.aspects, probabilities, strict=True):
        for opinion, (_, *sentiments) in zip(sentence.opinions, row, strict=True):
            best = max(sentiments)
            score = best * odds / (best * odds + 1 - best)
            if score >= config.decision_threshold:
                found.append((score, (*aspect, *opinion, sentiments.index(best))))
    return found


def best_readings(found: Scored) -> Scored:
    """Without the triplets whose aspect and opinion both overlap those of a better one that is kept."""
    kept: Scored = []
    for score, triplet in found:
        if not any(all(overlaps(triplet[i : i + 2], better[i : i + 2]) for i in (0, 2)) for _, better in kept):
            kept.append((score, triplet))
    return kept


def overlaps(span: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return span[0] < other[1] and other[0] < span[1]


# --- losses


def gold_triplets(labels: Tensor) -> Gold:
    """The gold triplets of one sentence, without padding."""
    return [((a, b), (c, d), sentiment) for a, b, c, d, sentiment in labels.tolist() if a >= 0]


def span_classes(sentence: Sentence) -> dict[Span, int]:
    """1 for aspects, 2 for opinions, opinion where a span is both."""
    return {aspect: 1 for aspect, _, _ in sentence.gold} | {opinion: 2 for _, opinion, _ in sentence.gold}


def literal_losses(model: D2E2SForTripletExtraction, inputs: Inputs, sentences: list[Sentence]) -> dict[str, Tensor]:
    """Each loss that is switched on, by its name, unweighted."""
    config, words = model.config, sum(sentence.length for sentence in sentences)
    losses = {
        "span": torch.stack([span_loss(sentence) for sentence in sentences]).sum() / words,
        "pair": torch.stack([pair_loss(sentence) for sentence in sentences]).sum() / words,
    }
    if sentences[0].arc_logits is not None and inputs.get("heads") is not None and config.parser_loss_weight:
        losses["parser"] = parser_loss(model, inputs, sentences)
    if config.contrastive_loss_weight:
        losses["contrastive"] = contrastive_loss(sentences, config.contrastive_temperature)
    if config.graph_consistency_weight and sentences[0].syntactic_graph is not None:
        losses["graph_consistency"] = consistency_loss(sentences)
    return losses


def span_loss(sentence: Sentence) -> Tensor:
    classes = span_classes(sentence)
    return summed_cross_entropy(sentence.span_logits, [classes.get(span, 0) for span in sentence.spans])


def pair_loss(sentence: Sentence) -> Tensor:
    # A pair with two sentiments counts with the later one in the order of the labels.
    classes = {(aspect, opinion): 1 + sentiment for aspect, opinion, sentiment in sorted(sentence.gold)}
    targets = [classes.get((a, o), 0) for a in sentence.aspects for o in sentence.opinions]
    return summed_cross_entropy(sentence.pair_logits.flatten(0, 1), targets)


def summed_cross_entropy(logits: Tensor, targets: list[int]) -> Tensor:
    return F.cross_entropy(logits, torch.tensor(targets, device=logits.device), reduction="sum")


def parser_loss(model: D2E2SForTripletExtraction, inputs: Inputs, sentences: list[Sentence]) -> Tensor:
    """Mean over the words with a known head, plus the mean over those with a known relation to it."""
    parser: Layer = model.d2e2s.parser
    arcs, relations = [], []
    labelled = inputs.get("deprels") is not None and parser.relation is not None
    for b, sentence in enumerate(sentences):
        heads = inputs["heads"][b, : sentence.length].tolist()
        assert sentence.arc_logits is not None
        arcs += known_losses(sentence.arc_logits, heads)
        if labelled:
            logits = relation_logits(parser.relation, sentence.encoder_nodes, heads)
            deprels = inputs["deprels"][b, : sentence.length].tolist()
            relations += known_losses(logits, [d if head >= 0 else -1 for d, head in zip(deprels, heads, strict=True)])
    return sum((torch.stack(losses).mean() for losses in (arcs, relations) if losses), sentences[0].nodes.new_zeros(()))


def known_losses(logits: Tensor, targets: list[int]) -> list[Tensor]:
    return [-torch.log_softmax(row, dim=0)[t] for row, t in zip(logits, targets, strict=True) if t >= 0]


def contrastive_loss(sentences: list[Sentence], temperature: float) -> Tensor:
    """Symmetric InfoNCE over the triplets of the batch, pair by pair; other gold pairs are no negatives."""
    found = [(b, aspect, opinion) for b, sentence in enumerate(sentences) for aspect, opinion, _ in sentence.gold]
    rows = [(b, a, o) for b, a, o in found if a in sentences[b].spans and o in sentences[b].spans]
    total, places = sentences[0].features.new_zeros(()), range(len(rows))
    aspects = [F.normalize(sentences[b].feature(aspect), dim=0) for b, aspect, _ in rows]
    opinions = [F.normalize(sentences[b].feature(opinion), dim=0) for b, _, opinion in rows]
    for i in places:
        own = aspects[i] @ opinions[i] / temperature
        for pairs in ([(i, j) for j in places], [(j, i) for j in places]):
            used = [(a, o) for a, o in pairs if a == o or not is_gold(rows, a, o)]
            cosines = [aspects[a] @ opinions[o] / temperature for a, o in used]
            total = total + torch.logsumexp(torch.stack(cosines), dim=0) - own
    return total / max(1, 2 * len(rows))


def is_gold(rows: list[tuple[int, Span, Span]], aspect: int, opinion: int) -> bool:
    """Whether the aspect of one row and the opinion of another form a triplet of their sentence."""
    (sentence, span, _), (other, _, opinion_span) = rows[aspect], rows[opinion]
    return sentence == other and (sentence, span, opinion_span) in rows


def consistency_loss(sentences: list[Sentence]) -> Tensor:
    """KL(syntactic || semantic) of each node's neighbours, mean over all nodes."""
    terms = []
    for sentence in sentences:
        assert sentence.syntactic_graph is not None and sentence.semantic_graph is not None
        for weights, semantic in zip(sentence.syntactic_graph, sentence.semantic_graph, strict=True):
            target = weights / weights.sum()
            terms.append((target * (target.clamp(min=1e-6).log() - semantic.clamp(min=1e-6).log())).sum())
    return torch.stack(terms).mean()
