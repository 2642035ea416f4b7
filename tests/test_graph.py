"""The two graphs, the networks over them, and the parser, against loops over lists."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import tree
from torch import Tensor, nn

from benchmarks import reference as literal
from d2e2s.graph_d2e2s import (
    SEMANTIC_GCNS,
    SYNTACTIC_GCNS,
    BiaffineParser,
    GATv2,
    GlobalContext,
    dependency_graph,
    graph_consistency_loss,
    head_arcs,
    normalise,
    parser_loss,
)

SIZE, HEADS, LAYERS = 16, 4, 3
LENGTHS = (1, 4, 30)  # words; relative positions are cut off at 16


def moved(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def nodes_and_mask() -> tuple[Tensor, Tensor]:
    """Nodes `(B, N, D)` with noise in the padding, and the mask of real nodes."""
    nodes = torch.randn(len(LENGTHS), max(LENGTHS) + 1, SIZE, generator=torch.Generator().manual_seed(0))
    return nodes, torch.arange(max(LENGTHS) + 1) <= torch.tensor(LENGTHS)[:, None]


def padded_heads(rows: list[list[int]]) -> Tensor:
    return torch.tensor([row + [-1] * (max(LENGTHS) - len(row)) for row in rows])


def soft_arcs(mask: Tensor, seed: int = 1) -> Tensor:
    """Head distributions `(B, W, N)`, noise for padded words."""
    parser = moved(BiaffineParser(SIZE, 8, 0, 0.0))
    nodes = torch.randn(*mask.shape, SIZE, generator=torch.Generator().manual_seed(seed))
    return parser(nodes, mask).softmax(-1)


def graphs(mask: Tensor) -> dict[str, Tensor]:
    heads = padded_heads([tree(length, length) for length in LENGTHS])
    return {
        "given": dependency_graph(head_arcs(heads), mask),
        "predicted": dependency_graph(soft_arcs(mask), mask),
        "unknown": dependency_graph(head_arcs(heads.fill_(-1)), mask),
    }


# --- graphs


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 1000))
def test_graph_of_a_tree(lengths: list[int], seed: int) -> None:
    """Word i and its head are joined, [CLS] is the root, every node has a loop, padding has nothing."""
    trees = [tree(length, seed + i) for i, length in enumerate(lengths)]
    words = max(lengths)
    heads = torch.tensor([row + [-1] * (words - len(row)) for row in trees])
    mask = torch.arange(words + 1) <= torch.tensor(lengths)[:, None]
    graph = dependency_graph(head_arcs(heads), mask)
    for row, found in zip(trees, graph, strict=True):
        edges = {(i, i) for i in range(len(row) + 1)} | {(i, head) for i, head in enumerate(row, start=1)}
        edges |= {(j, i) for i, j in edges}
        assert {tuple(edge) for edge in found.nonzero().tolist()} == edges
        assert found.unique().tolist() in ([0.0, 1.0], [1.0])


def test_predicted_graph_of_a_certain_parser_is_the_tree() -> None:
    heads = torch.tensor([[2, 0, 2]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    certain = (1000.0 * head_arcs(heads)).softmax(-1)
    assert torch.equal(dependency_graph(certain, mask), dependency_graph(head_arcs(heads), mask))


def test_predicted_graph_equals_its_literal_form() -> None:
    _, mask = nodes_and_mask()
    arcs = soft_arcs(mask)
    graph = dependency_graph(arcs, mask)
    assert graph.min() >= 0 and graph.max() <= 1
    for b, words in enumerate(LENGTHS):
        expected = literal.predicted_graph(arcs[b, :words, : words + 1])
        torch.testing.assert_close(graph[b, : words + 1, : words + 1], expected)
        assert graph[b].sum().item() == pytest.approx(expected.sum().item(), rel=1e-5)


def test_normalise() -> None:
    rows = normalise(torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.5, 0.0]]))
    assert rows.tolist() == [[0.25, 0.75], [0.0, 0.0], [1.0, 0.0]]


# --- networks


def as_model(kind: str, name: str, gcn: nn.Module) -> SimpleNamespace:
    """What the literal functions read of a model: its network of this kind and that network's name."""
    return SimpleNamespace(config=SimpleNamespace(**{kind: name}), **{kind: gcn})


@pytest.mark.parametrize("kind", ["given", "predicted", "unknown"])
@pytest.mark.parametrize("name", SYNTACTIC_GCNS)
def test_syntactic_gcn(name: str, kind: str) -> None:
    gcn, (nodes, mask) = moved(SYNTACTIC_GCNS[name](SIZE, LAYERS, HEADS, 0.0)), nodes_and_mask()
    graph = graphs(mask)[kind]
    found, model = gcn(nodes, graph), as_model("syntactic_gcn", name, gcn)
    assert found.isfinite().all()
    for b, words in enumerate(LENGTHS):
        real = slice(words + 1)
        expected = literal.syntactic_gcn(model, nodes[b, real], graph[b, real, real])
        torch.testing.assert_close(found[b, real], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SEMANTIC_GCNS)
def test_semantic_gcn(name: str) -> None:
    gcn, (nodes, mask) = moved(SEMANTIC_GCNS[name](SIZE, LAYERS, HEADS, 0.0)), nodes_and_mask()
    found, graph = gcn(nodes, mask)
    model = as_model("semantic_gcn", name, gcn)
    torch.testing.assert_close(graph.sum(-1), torch.ones(graph.shape[:2]))
    assert not graph.masked_select(~mask[:, None]).any()
    for b, words in enumerate(LENGTHS):
        real = slice(words + 1)
        expected, weights = literal.semantic_gcn(model, nodes[b, real])
        torch.testing.assert_close(found[b, real], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(graph[b, real, real], weights, atol=1e-6, rtol=1e-5)


def test_absent_arcs_are_never_attended_to() -> None:
    layer, (nodes, mask) = moved(GATv2(SIZE, HEADS)), nodes_and_mask()
    graph = graphs(mask)["given"]
    nodes.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(nodes, graph)[2, 5].sum(), nodes)
    assert torch.equal(gradient[2].abs().sum(-1) > 0, graph[2, 5] > 0)


def test_order_of_words_matters_to_the_enhanced_semantic_gcn_only() -> None:
    nodes = torch.randn(1, 6, SIZE, generator=torch.Generator().manual_seed(0))
    mask, order = torch.ones(1, 6, dtype=torch.bool), torch.tensor([3, 0, 5, 1, 4, 2])
    for name, same in (("basic", True), ("enhanced", False)):
        gcn = moved(SEMANTIC_GCNS[name](SIZE, LAYERS, HEADS, 0.0))
        left, right = gcn(nodes, mask)[0][:, order], gcn(nodes[:, order], mask)[0]
        assert torch.allclose(left, right, atol=1e-5) == same


def test_global_context_pools_real_nodes_only() -> None:
    layer, (nodes, mask) = moved(GlobalContext(SIZE)), nodes_and_mask()
    louder = torch.where(mask[..., None], nodes, 100.0)
    assert torch.equal(layer(nodes, mask)[mask], layer(louder, mask)[mask])


# --- consistency


def test_consistency_loss_by_hand() -> None:
    """Over all real nodes of the batch, in nats; 0 for equal graphs."""
    syntactic = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    semantic = torch.full((2, 3, 3), 1 / 3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    semantic[1, 0] = torch.tensor([1.0, 0.0, 0.0])
    loss = graph_consistency_loss(syntactic, semantic, mask)
    assert loss.item() == pytest.approx(2 * math.log(1.5) / 4, abs=1e-6)
    assert graph_consistency_loss(syntactic, normalise(syntactic), mask).item() == pytest.approx(0.0, abs=1e-4)


def test_consistency_loss_has_a_gradient_to_both_graphs() -> None:
    nodes, mask = nodes_and_mask()
    logits = torch.randn(len(LENGTHS), max(LENGTHS), max(LENGTHS) + 1, requires_grad=True)
    semantic = torch.randn(len(LENGTHS), max(LENGTHS) + 1, max(LENGTHS) + 1, requires_grad=True)
    syntactic = dependency_graph(logits.softmax(-1), mask)
    weights = semantic.masked_fill(~mask[:, None], -1e9).softmax(-1)
    graph_consistency_loss(syntactic, weights, mask).backward()
    for part in (logits.grad, semantic.grad):
        assert part is not None and part.isfinite().all() and part[2].abs().sum() > 0
    assert semantic.grad is not None and not semantic.grad[~mask].any()


# --- parser


def test_parser_equals_its_literal_form() -> None:
    parser, (nodes, mask) = moved(BiaffineParser(SIZE, 12, 5, 0.0)), nodes_and_mask()
    logits = parser(nodes, mask)
    heads = padded_heads([tree(length, length) for length in LENGTHS])
    relations = parser.relation(nodes, heads)
    for b, words in enumerate(LENGTHS):
        row, real = nodes[b, : words + 1], slice(words + 1)
        torch.testing.assert_close(logits[b, :words, real], literal.arc_logits(parser, row), atol=1e-5, rtol=1e-5)
        expected = literal.relation_logits(parser.relation, row, heads[b, :words].tolist())
        torch.testing.assert_close(relations[b, :words], expected, atol=1e-5, rtol=1e-5)


def test_no_word_is_its_own_head_nor_padding_anyones() -> None:
    _, mask = nodes_and_mask()
    arcs = soft_arcs(mask)
    words = torch.arange(max(LENGTHS))
    assert not arcs[:, words, words + 1].any()
    assert not arcs.masked_select(~mask[:, None]).any()
    assert arcs[0, 0, 0] == 1.0  # the only word of a sentence hangs on the root


def test_parser_loss_counts_known_heads_and_relations() -> None:
    logits, relations = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    heads, deprels = torch.tensor([[2, 0, -1], [-1, -1, -1]]), torch.tensor([[4, -1, -1], [-1, -1, -1]])
    arcs = -logits[0].log_softmax(-1)
    expected = (arcs[0, 2] + arcs[1, 0]) / 2 - relations[0, 0].log_softmax(-1)[4]
    torch.testing.assert_close(parser_loss(logits, heads, relations, deprels), expected)
    torch.testing.assert_close(parser_loss(logits, heads, None, None), (arcs[0, 2] + arcs[1, 0]) / 2)
    unknown = torch.full_like(heads, -1)
    hung_nowhere = torch.tensor([[4, -1, 3], [-1, 2, -1]])  # the third word's relation, without its head
    torch.testing.assert_close(parser_loss(logits, heads, relations, hung_nowhere), expected)
    assert parser_loss(logits, unknown, relations, unknown).item() == 0.0
