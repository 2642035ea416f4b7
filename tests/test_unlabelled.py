"""Sentences whose triplets are not known: they train the parser, and nothing that is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_cases import RECORDS, inputs_of, small_model, tiny_bert, training

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor

CHOICE = ("tin", "basic", "basic")
LABELLED, UNLABELLED = ("two opinions", "shared opinion"), ("long", "overlap")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, D2E2SProcessor]:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def model(tiny: tuple[Path, D2E2SProcessor]) -> D2E2SForTripletExtraction:
    return training(small_model(tiny[0], CHOICE, contrastive_loss_weight=0.5))


def mixed(processor: D2E2SProcessor, unlabelled: Any) -> Any:
    """Both kinds in one batch; `unlabelled` is what stands for the triplets of those that have none."""
    names = (UNLABELLED[0], *LABELLED, UNLABELLED[1])
    triplets = [RECORDS[name]["triplets"] if name in LABELLED else unlabelled for name in names]
    encoded = processor.encode_records([{**RECORDS[n], "triplets": t} for n, t in zip(names, triplets, strict=True)])
    return processor.pad(encoded, allow_unlabelled=True)


@pytest.mark.parametrize("name", ["span", "pair", "contrastive"])
def test_losses_of_triplets_are_those_of_the_labelled_sentences(
    name: str, model: D2E2SForTripletExtraction, tiny: tuple[Path, D2E2SProcessor]
) -> None:
    alone = model(**inputs_of(tiny[1], *LABELLED)).losses[name]
    together = model(**mixed(tiny[1], None)).losses[name]
    assert together.item() == pytest.approx(alone.item(), rel=1e-5) and together > 0


def test_unknown_is_not_empty(model: D2E2SForTripletExtraction, tiny: tuple[Path, D2E2SProcessor]) -> None:
    unknown, empty = (model(**mixed(tiny[1], triplets)).losses for triplets in (None, []))
    assert all(abs(unknown[name] - empty[name]) > 1e-3 for name in ("span", "pair"))
    torch.testing.assert_close(unknown["parser"], empty["parser"])


def test_a_batch_without_labels_trains_the_parser_alone(
    model: D2E2SForTripletExtraction, tiny: tuple[Path, D2E2SProcessor]
) -> None:
    records = [{**RECORDS[name], "triplets": None} for name in UNLABELLED]
    inputs = tiny[1].pad(tiny[1].encode_records(records), allow_unlabelled=True)
    output = model(**inputs)
    assert [output.losses[name].item() for name in ("span", "pair", "contrastive")] == [0, 0, 0]
    assert output.loss.item() == pytest.approx(model.config.parser_loss_weight * output.losses["parser"].item())
    output.loss.backward()
    # Gradients of zero rather than none, so that every process of a distributed run has the same.
    heads = [*model.span_scorer.parameters(), *model.pair_scorer.parameters()]
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in heads)
    assert all(parameter.grad.any() for parameter in model.d2e2s.parser.parameters())
    assert any(parameter.grad.any() for parameter in model.d2e2s.encoder.parameters() if parameter.grad is not None)
