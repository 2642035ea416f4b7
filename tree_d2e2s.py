"""From head scores to dependency trees: the maximum spanning tree (Chu & Liu 1965, Edmonds 1967).

Nodes are the root (0) and the words (1 to W); several words may hang on the root, as in the training data.
"""

import torch
from torch import Tensor


def decode_heads(arc_logits: Tensor, word_mask: Tensor) -> Tensor:
    """Heads of the most probable dependency tree of each sentence.

    Most sentences' best heads form a tree already, which one check of the whole batch tells; only the others are
    decoded one by one.

    Args:
        arc_logits: `(B, W, N)`, row i scores the heads of word i + 1 among the N = W + 1 nodes.
        word_mask: `(B, W)` real words; padding stands behind them.
    Returns:
        `(B, W)` int64 heads, 1-based, 0 = root, -1 for padding.
    """
    heads = arc_logits.argmax(-1)
    trees = are_trees(heads, word_mask).tolist()
    for sentence, words in enumerate(word_mask.sum(1).tolist()):
        if not trees[sentence]:
            scores = arc_logits[sentence, :words, : words + 1].double().log_softmax(-1)
            heads[sentence, :words] = torch.tensor(spanning_tree(scores.tolist()), device=heads.device)
    return heads.masked_fill(~word_mask, -1)


def are_trees(heads: Tensor, word_mask: Tensor) -> Tensor:
    """Whether every real word reaches the root along `heads (B, W)`: `(B,)` bool, by pointer doubling."""
    ancestors = torch.nn.functional.pad(heads.masked_fill(~word_mask, 0), (1, 0))
    for _ in range(heads.shape[1].bit_length()):
        ancestors = ancestors.gather(1, ancestors)
    return (ancestors == 0).all(1)


def spanning_tree(scores: list[list[float]]) -> list[int]:
    """Heads (1-based, 0 = root) of the tree with the highest sum of scores.

    Args:
        scores: W rows of W + 1, `scores[i][h]` for word i + 1 below node h. A word's score for itself is not read.
    """
    graph = [[], *([*row] for row in scores)]
    contracted = []
    heads = _best_heads(graph)
    while cycle := _cycle(heads):
        contracted.append((graph, heads, cycle))
        graph = _contract(graph, heads, cycle)
        heads = _best_heads(graph)
    for graph, cycle_heads, cycle in reversed(contracted):
        heads = _expand(graph, cycle_heads, cycle, heads)
    return heads[1:]


def _best_heads(graph: list[list[float]]) -> list[int]:
    """The best head of every node on its own; the root's is itself."""
    nodes = range(len(graph))
    return [0] + [max((h for h in nodes if h != d), key=graph[d].__getitem__) for d in nodes[1:]]


def _cycle(heads: list[int]) -> list[int]:
    """The nodes of a cycle, in the order of the walk; empty if there is none."""
    walk_of = [0] + [-1] * (len(heads) - 1)
    for start in range(1, len(heads)):
        node = start
        while walk_of[node] < 0:
            walk_of[node] = start
            node = heads[node]
        if node and walk_of[node] == start:
            return _walk(heads, node)
    return []


def _walk(heads: list[int], start: int) -> list[int]:
    cycle, node = [start], heads[start]
    while node != start:
        cycle.append(node)
        node = heads[node]
    return cycle


def _contract(graph: list[list[float]], heads: list[int], cycle: list[int]) -> list[list[float]]:
    """The graph with the cycle as its last node; an arc into it counts what it gains over the arc it breaks."""
    outside = _outside(graph, cycle)
    small = [[graph[d][h] for h in outside] + [max(graph[d][h] for h in cycle)] for d in outside[1:]]
    entering = [max(graph[d][h] - graph[d][heads[d]] for d in cycle) for h in outside]
    return [[], *small, [*entering, 0.0]]


def _expand(graph: list[list[float]], cycle_heads: list[int], cycle: list[int], small_heads: list[int]) -> list[int]:
    """Undo `_contract`: heads in the graph from heads in the small graph."""
    outside = _outside(graph, cycle)
    heads = list(cycle_heads)
    for d, h in zip(outside[1:], small_heads[1:-1], strict=True):
        heads[d] = outside[h] if h < len(outside) else max(cycle, key=graph[d].__getitem__)
    h = outside[small_heads[-1]]
    broken = max(cycle, key=lambda d: graph[d][h] - graph[d][cycle_heads[d]])
    heads[broken] = h
    return heads


def _outside(graph: list[list[float]], cycle: list[int]) -> list[int]:
    inside = set(cycle)
    return [node for node in range(len(graph)) if node not in inside]
