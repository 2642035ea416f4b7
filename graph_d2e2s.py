"""The two graphs over a sentence's nodes, the networks that read them, and the parser that predicts one of them.

Node 0 is [CLS], the root of the dependency tree; node i is word i (1-based). A syntactic graph is a `(B, N, N)` tensor
of arc weights in [0, 1], so a predicted head distribution serves as well as a given tree, and gradients flow.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lowest(x: Tensor) -> float:
    """Most negative finite value of a tensor's type: a masked logit that can never become NaN."""
    return torch.finfo(x.dtype).min


def head_arcs(heads: Tensor) -> Tensor:
    """Heads `(B, W)` (1-based, 0 = root, -1 = unknown) to arcs `(B, W, W + 1)`: one 1 a row, none if unknown."""
    nodes = torch.arange(heads.shape[1] + 1, device=heads.device)
    return (heads[..., None] == nodes).float()


def dependency_graph(arcs: Tensor, mask: Tensor) -> Tensor:
    """Arcs `(B, W, N)` from words to heads, to the undirected graph with self loops `(B, N, N)` of real nodes.

    A = P + P^T + I, with zero rows and columns for padding (Kipf & Welling 2017; Zhao et al. 2024, eq. 3).
    """
    directed = F.pad(arcs * mask[:, 1:, None], (0, 0, 1, 0))  # the root has no head
    graph = (directed + directed.transpose(1, 2)).clamp(max=1.0)
    graph.diagonal(dim1=1, dim2=2).copy_(mask)
    return graph


def normalise(graph: Tensor) -> Tensor:
    """Make each node's weights sum to 1: D^-1 A, with zero rows left zero."""
    return graph / graph.sum(-1, keepdim=True).clamp(min=1e-6)


class BasicSyntacticGCN(nn.Module):
    """Graph convolution over the dependency graph: `h' = ReLU(D^-1 A h W + b)`.

    `forward(nodes (B, N, D), graph (B, N, N))` to `(B, N, D)`.
    """

    def __init__(self, size: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        weights = normalise(graph).to(nodes.dtype)
        for layer in self.layers:
            nodes = self.dropout(F.relu(layer(weights @ nodes)))
        return nodes


class GATv2(nn.Module):
    """Graph attention (Brody et al. 2022): `e_ij = a . LeakyReLU(W_l h_i + W_r h_j)`, over weighted arcs.

    An arc's weight multiplies its attention before normalising, so an absent arc is never attended to and a predicted
    one counts by its probability. Scores use `score_size` features a head: the `(B, N, N)` part stays small.
    """

    def __init__(self, size: int, heads: int, score_size: int = 16) -> None:
        super().__init__()
        self.heads = heads
        self.left = nn.Linear(size, heads * score_size)
        self.right = nn.Linear(size, heads * score_size, bias=False)
        self.attention = nn.Parameter(torch.empty(heads, score_size))
        self.value = nn.Linear(size, size)
        nn.init.xavier_uniform_(self.attention)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        """`(B, N, D)`, `(B, N, N)` to `(B, N, D)`."""
        left, right = (part(nodes).unflatten(-1, (self.heads, -1)) for part in (self.left, self.right))
        mixed = F.leaky_relu(left[:, :, None] + right[:, None], 0.2)  # (B, N, N, heads, score)
        scores = (mixed * self.attention).sum(-1).permute(0, 3, 1, 2).float()
        scores = scores.masked_fill((graph == 0)[:, None], lowest(scores))
        weights = normalise(torch.exp(scores - scores.amax(-1, keepdim=True)) * graph[:, None])
        value = self.value(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)


class GraphSAGE(nn.Module):
    """Mean aggregator (Hamilton et al. 2017): `h' = W_self h + W_neigh mean_j(h_j)`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.own = nn.Linear(size, size)
        self.neighbours = nn.Linear(size, size, bias=False)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        """`(B, N, D)`, `(B, N, N)` to `(B, N, D)`."""
        return self.own(nodes) + self.neighbours(normalise(graph).to(nodes.dtype) @ nodes)


class EnhancedSyntacticGCN(nn.Module):
    """GATv2 and GraphSAGE over the same graph, mixed by a learned share for each layer; residual.

    `forward(nodes (B, N, D), graph (B, N, N))` to `(B, N, D)`.
    """

    def __init__(self, size: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleList(GATv2(size, heads) for _ in range(layers))
        self.aggregate = nn.ModuleList(GraphSAGE(size) for _ in range(layers))
        self.share = nn.Parameter(torch.zeros(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        shares = torch.sigmoid(self.share).to(nodes.dtype)
        for share, attend, aggregate in zip(shares, self.attention, self.aggregate, strict=True):
            update = share * attend(nodes, graph) + (1 - share) * aggregate(nodes, graph)
            nodes = nodes + self.dropout(F.relu(update))
        return nodes


SYNTACTIC_GCNS: dict[str, type[nn.Module]] = {"basic": BasicSyntacticGCN, "enhanced": EnhancedSyntacticGCN}


class SemanticAttention(nn.Module):
    """Weights of the semantic graph: self-attention of each head, `(B, N, D)` to `(B, heads, N, N)`.

    With `max_distance`, a learned bias for each head and each relative position (clipped) is added
    (Shaw et al. 2018, in the scalar form of T5).
    """

    def __init__(self, size: int, heads: int, max_distance: int = 0) -> None:
        super().__init__()
        self.heads, self.max_distance = heads, max_distance
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.position = nn.Embedding(2 * max_distance + 1, heads) if max_distance else None

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        query, key = (part(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key))
        bias = self._bias(mask).expand(-1, self.heads, -1, -1).flatten(0, 1)
        scale = 1 / math.sqrt(query.shape[-1])
        scores = torch.baddbmm(bias, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), alpha=scale)
        return scores.float().softmax(-1).unflatten(0, (-1, self.heads))

    def _bias(self, mask: Tensor) -> Tensor:
        """What is added to the scores, `(B, heads or 1, N or 1, N)`: padding is out of sight, distances are learned."""
        seen = mask[:, None, None]
        if self.position is None:
            weight = self.query.weight
            return weight.new_zeros(seen.shape).masked_fill_(~seen, lowest(weight))
        bias = self._position_bias(self.position.weight, mask.shape[1])
        return bias.where(seen, lowest(bias))

    def _position_bias(self, table: Tensor, length: int) -> Tensor:
        """`(heads, N, N)`: each row is the one above moved by a place, a window of the biases of all distances."""
        beyond = max(0, length - 1 - self.max_distance)
        within = table[max(0, self.max_distance - length + 1) : self.max_distance + length]
        biases = torch.cat([within[:1].expand(beyond, -1), within, within[-1:].expand(beyond, -1)])
        return biases.unfold(0, length, 1).flip(0).transpose(0, 1)


class BasicSemanticGCN(nn.Module):
    """Graph convolution over the heads' mean attention (Zhao et al. 2024, eq. 6): `h' = ReLU(A h W + b)`.

    `forward(nodes (B, N, D), mask (B, N))` to the nodes `(B, N, D)` and the graph `(B, N, N)`.
    """

    def __init__(self, size: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SemanticAttention(size, heads)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        graph = self.attention(nodes, mask).mean(1)
        weights = graph.to(nodes.dtype)
        for layer in self.layers:
            nodes = self.dropout(F.relu(layer(weights @ nodes)))
        return nodes, graph


class EnhancedSemanticGCN(nn.Module):
    """Graph convolution with relative positions, one graph a head, global context, and a learned mix of its layers.

    `forward(nodes (B, N, D), mask (B, N))` to the nodes `(B, N, D)` and the heads' mean graph `(B, N, N)`.
    """

    MAX_DISTANCE = 16

    def __init__(self, size: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = SemanticAttention(size, heads, self.MAX_DISTANCE)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.context = GlobalContext(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        graphs = self.attention(nodes, mask)
        weights, outputs = graphs.to(nodes.dtype), []
        for layer in self.layers:
            values = layer(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            nodes = nodes + self.dropout(F.relu((weights @ values).transpose(1, 2).flatten(2)))
            outputs.append(nodes)
        shares = self.layer_weights.softmax(0).to(nodes.dtype)
        mixed = shares[0] * outputs[0]
        for share, output in zip(shares[1:], outputs[1:], strict=True):
            mixed = torch.addcmul(mixed, share, output)
        return self.context(mixed, mask), graphs.mean(1)


class GlobalContext(nn.Module):
    """Add the sentence's mean and maximum to each node, through a gate: `h + sigmoid(W [h; g]) * g`.

    `forward(nodes (B, N, D), mask (B, N))` to `(B, N, D)`; only real nodes are pooled.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pooled = nn.Linear(2 * size, size)
        self.node_gate = nn.Linear(size, size)
        self.context_gate = nn.Linear(size, size, bias=False)

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        shares = mask / mask.sum(1, keepdim=True)
        mean = shares[:, None].to(nodes.dtype) @ nodes
        highest = nodes.where(mask[..., None], lowest(nodes)).amax(1, keepdim=True)
        context = self.pooled(torch.cat([mean, highest], dim=-1))
        gate = torch.sigmoid(self.node_gate(nodes) + self.context_gate(context))
        return torch.addcmul(nodes, gate, context)


SEMANTIC_GCNS: dict[str, type[nn.Module]] = {"basic": BasicSemanticGCN, "enhanced": EnhancedSemanticGCN}


def graph_consistency_loss(syntactic: Tensor, semantic: Tensor, mask: Tensor) -> Tensor:
    """KL(syntactic || semantic) of the nodes' neighbour distributions, mean over real nodes, in nats.

    `(B, N, N)`, `(B, N, N)`, `(B, N)` to a scalar with a gradient to both graphs (Zhao et al. 2024, eq. 14).
    """
    target = normalise(syntactic)
    terms = target * (target.clamp(min=1e-6).log() - semantic.clamp(min=1e-6).log())
    return (terms.sum(-1) * mask).sum() / mask.sum()


class BiaffineParser(nn.Module):
    """Head and relation of every word, as biaffine products (Dozat & Manning 2017, eq. 4 to 9).

    Args:
        size: D, width of the nodes.
        arc_size: width of the arc space; the relation space has a quarter of it.
        relations: number of dependency relations, 0 = heads only.
    """

    def __init__(self, size: int, arc_size: int, relations: int, dropout: float) -> None:
        super().__init__()
        self.dependent = nn.Sequential(nn.Linear(size, arc_size), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Sequential(nn.Linear(size, arc_size), nn.GELU(), nn.Dropout(dropout))
        # The constant feature of the dependent gives each head its prior (eq. 6); the head needs none: softmax.
        self.arc = nn.Linear(arc_size + 1, arc_size, bias=False)
        self.relation = RelationScorer(size, arc_size // 4, relations, dropout) if relations else None

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        """Arc logits `(B, W, N)` of nodes `(B, N, D)`: row i scores the heads of word i + 1, never itself."""
        features, prior = self.arc.weight[:, :-1], self.arc.weight[:, -1]
        dependent = F.linear(self.dependent(nodes), features, prior)[:, 1:]  # the root's is not read
        scores = (dependent @ self.head(nodes).transpose(1, 2)).float()
        scores.diagonal(1, 1, 2).fill_(lowest(scores))  # of each word with itself
        return scores.masked_fill_(~mask[:, None], lowest(scores))


class RelationScorer(nn.Module):
    """Relation of each word to a given head: `forward(nodes (B, N, D), heads (B, W))` to logits `(B, W, R)`."""

    def __init__(self, size: int, relation_size: int, relations: int, dropout: float) -> None:
        super().__init__()
        self.dependent = nn.Sequential(nn.Linear(size, relation_size), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Sequential(nn.Linear(size, relation_size), nn.GELU(), nn.Dropout(dropout))
        # Over the outer product of both, each with a constant feature: bilinear, linear and bias terms in one map.
        self.output = nn.Linear((relation_size + 1) ** 2, relations)

    def forward(self, nodes: Tensor, heads: Tensor) -> Tensor:
        index = heads.clamp(min=0)[..., None].expand(-1, -1, nodes.shape[-1])
        dependent = F.pad(self.dependent(nodes[:, 1:]), (0, 1), value=1.0)
        head = F.pad(self.head(nodes.gather(1, index)), (0, 1), value=1.0)
        return self.output((dependent[..., :, None] * head[..., None, :]).flatten(-2))


def parser_loss(arc_logits: Tensor, heads: Tensor, relation_logits: Tensor | None, deprels: Tensor | None) -> Tensor:
    """Cross-entropy of heads and of relations, mean over the words whose head (and relation) is known; 0 when none is.

    Args:
        arc_logits: `(B, W, N)`. heads: `(B, W)`, -1 = unknown.
        relation_logits: `(B, W, R)` at the given heads, or None. deprels: `(B, W)`, -1 = unknown, or None.
    """
    loss = _known_mean(arc_logits, heads)
    if relation_logits is not None and deprels is not None:
        hung = deprels.masked_fill(heads < 0, -1)  # without its head a word has no relation to learn
        loss = loss + _known_mean(relation_logits.float(), hung)
    return loss


def _known_mean(logits: Tensor, target: Tensor) -> Tensor:
    total = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="sum")
    return total / (target >= 0).sum().clamp(min=1)
