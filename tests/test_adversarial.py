"""Adversarial training: where the embeddings go, that they come back, and what gradient is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import command, main, make_trainer, write_data
from torch import Tensor, nn
from two_processes import PLAIN

from d2e2s.training.perturbation import moved
from d2e2s.training.trainer import TripletTrainer

DISTANCE = 0.5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=8, dev=4)


def test_a_weight_is_moved_and_comes_back_exactly() -> None:
    weight, direction = nn.Parameter(torch.randn(50, 8)), torch.randn(50, 8)
    before = weight.detach().clone()
    with moved(weight, direction, DISTANCE):
        torch.testing.assert_close(weight.detach() - before, DISTANCE * direction / direction.norm())
    assert torch.equal(weight, before)


def test_a_weight_comes_back_after_an_error() -> None:
    weight = nn.Parameter(torch.zeros(3))
    with pytest.raises(KeyError), moved(weight, torch.ones(3), DISTANCE):
        raise KeyError
    assert not weight.any()


@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_without_a_direction_a_weight_stays(value: float) -> None:
    weight = nn.Parameter(torch.ones(3))
    with moved(weight, torch.full((3,), value), DISTANCE):
        assert torch.equal(weight, torch.ones(3))


def gradients(trainer: TripletTrainer, inputs: Any, shift: Tensor | float = 0.0) -> dict[str, Tensor]:
    """Of the model's own loss, with the word embeddings shifted."""
    weight = trainer.model.d2e2s.encoder.get_input_embeddings().weight
    trainer.model.zero_grad()
    with torch.no_grad():
        weight += shift
    trainer.model.train()(**inputs).loss.backward()
    with torch.no_grad():
        weight -= shift
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("accumulated", [False, True], ids=["first batch", "later batch"])
def test_a_step_has_both_gradients(accumulated: bool, data: Path, tmp_path: Path) -> None:
    """That of the batch, and that with the embeddings moved along it, whatever batches of the step went before."""
    trainer = make_trainer(data, tmp_path, adversarial_distance=DISTANCE, **PLAIN)
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the encoder's own
    inputs = next(iter(trainer.get_train_dataloader()))
    own = gradients(trainer, inputs)
    name = "d2e2s.encoder.embeddings.word_embeddings.weight"
    there = gradients(trainer, inputs, DISTANCE * own[name] / own[name].norm())
    assert not torch.allclose(own[name], there[name])
    earlier = {key: torch.randn_like(value) if accumulated else torch.zeros_like(value) for key, value in own.items()}
    for key, parameter in trainer.model.named_parameters():
        parameter.grad = earlier[key].clone() if accumulated and key in own else None
    trainer.current_gradient_accumulation_steps = 1
    trainer._step_batches = [inputs]
    trainer.training_step(trainer.model, inputs)
    for key, value in own.items():
        found = trainer.model.get_parameter(key).grad - earlier[key]
        torch.testing.assert_close(found, value + there[key], rtol=1e-3, atol=1e-5)


def test_embeddings_that_are_not_trained_are_refused(data: Path, tmp_path: Path) -> None:
    trainer = make_trainer(data, tmp_path, adversarial_distance=DISTANCE)
    trainer.model.d2e2s.encoder.get_input_embeddings().weight.requires_grad = False
    with pytest.raises(ValueError, match="not trained, cannot be moved: train without --adversarial_distance"):
        trainer.train()


@pytest.mark.parametrize("value", ["-1", "inf", "nan"])
def test_a_distance_that_is_none_is_refused(
    value: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(data, tmp_path, adversarial_distance=value)) == 2
    assert "--adversarial_distance must be a number of at least 0" in capsys.readouterr().err
