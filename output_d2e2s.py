"""What the models return: the shape of every tensor.

B sentences, W words, N = W + 1 nodes, D the encoder's width, S the largest span width, K candidates of each kind.
"""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class D2E2SModelOutput(ModelOutput):
    """Output of [`D2E2SModel`].

    Args:
        last_hidden_state: fused node features `(B, N, D)`.
        node_mask: real nodes `(B, N)`.
        encoder_nodes: node features before the graphs `(B, N, D)`.
        semantic_graph: attention weights between nodes `(B, N, N)`, rows sum to 1.
        syntactic_graph: undirected dependency graph with self loops `(B, N, N)`.
        arc_logits: the parser's head scores `(B, W, N)`, where the model has a parser and it was needed.
    """

    last_hidden_state: Tensor | None = None
    node_mask: Tensor | None = None
    encoder_nodes: Tensor | None = None
    semantic_graph: Tensor | None = None
    syntactic_graph: Tensor | None = None
    arc_logits: Tensor | None = None


@dataclass
class D2E2SOutput(ModelOutput):
    """Output of [`D2E2SForTripletExtraction`].

    Args:
        loss: weighted sum of `losses`, when `labels` are given.
        triplets: `(B, T, 5)` int64 aspect start, aspect end, opinion start, opinion end (words, half open), sentiment
            id; falling score; -100 below `config.decision_threshold`. None in training mode, where nothing reads it.
        scores: `(B, T)`, probability of each triplet's sentiment; -100 where the triplet is; None in training mode.
        span_logits: `(B, W, S, 3)` none, aspect, opinion.
        pair_logits: `(B, K, K, 1 + sentiments)`.
        aspects, opinions: candidate spans `(B, K, 2)`.
        arc_logits, relation_logits: `(B, W, N)` and `(B, W, R)`, where the model has a parser.
        heads: `(B, W)` heads of the most probable tree, -1 = padding, with `return_relations`.
        semantic_graph, syntactic_graph: `(B, N, N)`.
        losses: each loss by its name, unweighted.
    """

    loss: Tensor | None = None
    triplets: Tensor | None = None
    scores: Tensor | None = None
    span_logits: Tensor | None = None
    pair_logits: Tensor | None = None
    aspects: Tensor | None = None
    opinions: Tensor | None = None
    arc_logits: Tensor | None = None
    relation_logits: Tensor | None = None
    heads: Tensor | None = None
    semantic_graph: Tensor | None = None
    syntactic_graph: Tensor | None = None
    losses: dict[str, Tensor] | None = None
