"""The whole model: equal to its literal form, blind to padding, finite, trainable everywhere, honest at evaluation."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import (
    CHOICES,
    DEPRELS,
    RECORDS,
    WIDTH,
    assert_same,
    every_choice,
    inputs_of,
    pairs_of,
    small_model,
    tiny_bert,
    training,
    tree,
    triplets_of,
)
from tiny_models import KINDS, tiny_encoder
from torch import Tensor

from benchmarks.literal import literal_forward
from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SModel, D2E2SProcessor

Choice = tuple[str, str, str]
DEFAULT: Choice = ("cross_attention", "enhanced", "basic")
# Every loss switched on.
ALL_LOSSES = {"contrastive_loss_weight": 0.1, "graph_consistency_weight": 0.1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, D2E2SProcessor]:
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def folder(tiny: tuple[Path, D2E2SProcessor]) -> Path:
    return tiny[0]


@pytest.fixture(scope="module")
def processor(tiny: tuple[Path, D2E2SProcessor]) -> D2E2SProcessor:
    return tiny[1]


@pytest.fixture(scope="module")
def everything(processor: D2E2SProcessor) -> Any:
    return inputs_of(processor)


def close(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


# --- equal to the literal form


def assert_equals_literal(model: D2E2SForTripletExtraction, inputs: Any) -> None:
    fast, slow = model(**inputs), literal_forward(model, inputs)
    words, sentences = inputs["word_mask"].sum(1), len(inputs["word_mask"])
    exists = (slow.span_logits != 0).any(-1)
    assert int(exists[0].sum()) == sum(min(WIDTH, int(words[0]) - start) for start in range(int(words[0])))
    close(fast.span_logits[exists], slow.span_logits[exists])
    assert_same(pairs_of(fast, sentences, words), pairs_of(slow, sentences, words))
    assert_same(triplets_of(fast), triplets_of(slow))
    assert fast.losses.keys() == slow.losses.keys()
    for name, loss in slow.losses.items():
        close(fast.losses[name], loss)
    close(fast.loss, slow.loss)


@every_choice
def test_equals_literal(choice: Choice, folder: Path, everything: Any) -> None:
    model = small_model(folder, choice, boundary_refinement=True, **ALL_LOSSES)
    assert_equals_literal(model, everything)


@pytest.mark.parametrize(
    "config",
    [
        {"contrastive_temperature": 0.5, "contrastive_loss_weight": 1.0},
        {"syntax": "predicted", "graph_consistency_weight": 0.5, "syntactic_gcn": "enhanced"},
        {"syntax": "input", "graph_consistency_weight": 0.5},
        {"parser_loss_weight": 0.0},
        {"deprel_labels": []},
        {"decision_threshold": 0.6, "temperature": 0.5},
        {"max_triplets": 3, "max_candidates": 2},
        {"sentiment_labels": ["POS", "NEG", "NEU", "MIXED"]},
        {"gcn_layers": 3, "gcn_heads": 2, "fusion_heads": 12, "graph_size": 24},
    ],
    ids=lambda config: "-".join(config),
)
def test_equals_literal_without_the_defaults(config: dict[str, Any], folder: Path, everything: Any) -> None:
    fusion, semantic, syntactic = DEFAULT
    choice = (fusion, semantic, config.pop("syntactic_gcn", syntactic))
    assert_equals_literal(small_model(folder, choice, **config), everything)


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("choice", CHOICES[::6], ids="-".join)
def test_training_equals_literal_with_its_gradients(
    choice: Choice, rate: float, folder: Path, everything: Any
) -> None:
    fields = {"predicted_graph_rate": rate, "max_candidates": 12, "boundary_refinement": True, **ALL_LOSSES}
    model = training(small_model(folder, choice, **fields))
    assert_equals_literal(model, everything)
    fast = gradients(model, model(**everything).loss)
    slow = gradients(model, literal_forward(model, everything).loss)
    for name, gradient in fast.items():
        scale = gradient.abs().max()
        torch.testing.assert_close(slow[name] / scale, gradient / scale, atol=1e-3, rtol=1e-3)


def gradients(model: D2E2SForTripletExtraction, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter that has one."""
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


# --- padding


def padded(inputs: Any, pieces: int, words: int, rows: int) -> dict[str, Tensor]:
    """The inputs with more padding, and padding that no processor would write where nothing may read it."""
    made = dict(inputs)
    for name, value in {"input_ids": 7, "attention_mask": 0, "token_type_ids": 0, "word_index": -1}.items():
        made[name] = torch.nn.functional.pad(inputs[name], (0, pieces), value=value)
    for name in {"word_mask", "heads", "deprels"} & inputs.keys():
        value = 0 if name == "word_mask" else -1
        made[name] = torch.nn.functional.pad(inputs[name], (0, words), value=value)
    made["labels"] = torch.nn.functional.pad(inputs["labels"], (0, 0, 0, rows), value=-100)
    return made


def assert_same_prediction(together: Any, alone: Any, row: int, words: int) -> None:
    """Row `row` of a batch against the sentence's own output."""
    spans = slice(words), slice(WIDTH)
    real = torch.ones(words, WIDTH, dtype=torch.bool).tril().flip(1)[:, :WIDTH] if False else None
    assert real is None
    inside = torch.arange(words)[:, None] + torch.arange(WIDTH) < words
    close(together.span_logits[row][spans][inside], alone.span_logits[0][inside])
    count = torch.tensor([words])
    assert_same(pairs_of(rows(together, row), 1, count), pairs_of(alone, 1, count))
    assert_same(triplets_of(rows(together, row)), triplets_of(alone))


class rows(dict):
    """One row of an output, as an output."""

    def __init__(self, output: Any, row: int) -> None:
        names = ("aspects", "opinions", "pair_logits", "triplets", "scores")
        super().__init__({name: output[name][row : row + 1] for name in names})

    __getattr__ = dict.__getitem__
