"""The moving average of the weights: what it holds, when the model has it, and how it is resumed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_runs import make_trainer, write_data
from torch import nn

from d2e2s.training.averaging import TRAINING_WEIGHTS, AveragedWeights

DECAY = 0.5


def trained(steps: int) -> tuple[nn.Linear, AveragedWeights, float, float]:
    """A weight that is 1 and then 1 + step, its average, and both values."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    averaged, average = AveragedWeights(model, DECAY), 1.0
    for step in range(1, steps + 1):
        nn.init.constant_(model.weight, 1.0 + step)
        averaged.on_step_end(None, state(step), None)
        decay = min(DECAY, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * (1.0 + step)
    return model, averaged, 1.0 + steps, average


def state(step: int) -> Any:
    return SimpleNamespace(global_step=step)


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_average_follows_its_formula(steps: int) -> None:
    _, averaged, _, average = trained(steps)
    assert averaged.average[0].item() == pytest.approx(average)


def test_model_has_the_average_for_a_while_only() -> None:
    model, averaged, weight, average = trained(5)
    with pytest.raises(RuntimeError), averaged.in_use():
        assert model.weight.item() == pytest.approx(average)
        raise RuntimeError
    assert model.weight.item() == weight
    assert averaged.average[0].item() == pytest.approx(average)


def test_adopted_average_stays() -> None:
    model, averaged, _, average = trained(5)
    averaged.adopt()
    assert model.weight.item() == pytest.approx(average)


def test_resuming_brings_back_both(tmp_path: Path) -> None:
    model, averaged, weight, average = trained(5)
    averaged.save_training_weights(tmp_path)
    with averaged.in_use():
        saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = nn.Linear(1, 1, bias=False)
    again = AveragedWeights(other, DECAY)
    other.load_state_dict(saved)  # as the Trainer does before it loads the optimiser
    again.resume(tmp_path)
    assert torch.equal(other.weight, model.weight) and other.weight.item() == weight
    assert torch.equal(again.average[0], averaged.average[0]) and again.average[0].item() == pytest.approx(average)


def test_checkpoint_without_an_average_is_refused(tmp_path: Path) -> None:
    (tmp_path / "optimizer.pt").touch()
    with pytest.raises(FileNotFoundError, match=f"{TRAINING_WEIGHTS} is missing.*--ema_decay 0"):
        trained(1)[1].resume(tmp_path)


def test_checkpoint_with_its_model_only_says_so(tmp_path: Path) -> None:
    averaged = trained(1)[1]
    with pytest.raises(FileNotFoundError, match=f"{TRAINING_WEIGHTS} is missing.*--save_only_model"):
        averaged.resume(tmp_path)


def test_without_a_best_epoch_the_model_ends_with_the_average(tmp_path: Path) -> None:
    """Dev was to select, but was never scored."""
    trainer = make_trainer(write_data(tmp_path, train=8, dev=4), tmp_path / "out", eval_delay=1000, learning_rate=1e-2)
    seen: dict[str, torch.Tensor] = {}
    end = trainer._end_average

    def keep_average() -> None:
        names = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
        seen.update(zip(names, (weight.clone() for weight in trainer.averaged.average), strict=True))
        end()

    trainer._end_average = keep_average
    trainer.train()
    assert trainer.state.best_model_checkpoint is None and seen
    for name, weight in trainer.model.named_parameters():
        torch.testing.assert_close(weight.detach(), seen.get(name, weight.detach()), rtol=0, atol=0)
