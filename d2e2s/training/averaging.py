"""An exponential moving average of the weights: it is what gets evaluated, selected and saved, while training goes on
with the weights themselves.

The average of the last epoch or so scores higher, and varies less from seed to seed, than any single state of a model
that is trained on a thousand sentences (Polyak & Juditsky 1992; Morales-Brotons et al. 2024).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerState
from transformers.trainer import OPTIMIZER_NAME

# In a checkpoint beside `model.safetensors`, which holds the average.
TRAINING_WEIGHTS = "training_weights.safetensors"


class AveragedWeights(TrainerCallback):
    """Average of a model's parameters over the steps of a training run.

    Args:
        model: the model that is trained, on its device.
        decay: share of the old average that a step keeps, in (0, 1). In the first steps it is smaller,
            (1 + step) / (10 + step), so that the average forgets where it began.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Take in the weights after an optimiser step."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        get_ema_multi_avg_fn(decay)(self.average, self.parameters, None)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model has the average's weights for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def adopt(self) -> None:
        """The model has the average's weights from now on."""
        torch._foreach_copy_(self.parameters, self.average)

    def save_training_weights(self, folder: str | Path) -> None:
        save_model(self.model, str(Path(folder, TRAINING_WEIGHTS)))

    @torch.no_grad()
    def resume(self, folder: str | Path) -> None:
        """Go on from a checkpoint whose `model.safetensors`, the average, is loaded already.

        Raises:
            FileNotFoundError: the checkpoint was written without averaging, or without what training goes on with.
        """
        path = Path(folder, TRAINING_WEIGHTS)
        if not path.is_file():
            reason = "the run saved its model only (--save_only_model); go on from that with --model_name_or_path"
            if Path(folder, OPTIMIZER_NAME).is_file():
                reason = "the run did not average its weights; resume it with --ema_decay 0"
            raise FileNotFoundError(f"{path} is missing: {reason}")
        torch._foreach_copy_(self.average, self.parameters)
        load_model(self.model, str(path))

    @torch.no_grad()
    def _swap(self) -> None:
        # Values, not storage: cuDNN keeps an LSTM's weights in one block.
        before = [parameter.detach().clone() for parameter in self.parameters]
        torch._foreach_copy_(self.parameters, self.average)
        torch._foreach_copy_(self.average, before)
