"""One training step: two learning rates, EMA, token masking and FGM, the same on however many processes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Sampler
from transformers import Trainer

from ..checkpoints import reading
from ..errors_d2e2s import UserError
from ..modeling_d2e2s import D2E2SForTripletExtraction
from .arguments import TripletTrainingArguments
from .averaging import TRAINING_WEIGHTS, AveragedWeights
from .data import lengths_of
from .distributed import EpochSampler, loss_counts, loss_shares
from .perturbation import hide_pieces, moved

logger = logging.getLogger("d2e2s")

ENCODER_PREFIX = "d2e2s.encoder."


class DivergedError(UserError):
    """The loss or its gradient is NaN or infinite."""


class StepTrainer(Trainer):
    """The part of [`TripletTrainer`] that takes one step after the other.

    Attributes:
        averaged: exponential moving average of the weights, while it trains.
    """

    args: TripletTrainingArguments
    model: D2E2SForTripletExtraction
    averaged: AveragedWeights | None = None
    _step_batches: Sequence[Mapping[str, Tensor]] = ()

    # --- optimiser and average

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW (or `--optim`) with `learning_rate` for the encoder and `head_learning_rate` for the rest."""
        if self.optimizer is None:
            target: Any = self.model if model is None else model
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, target)
            self.optimizer = optimizer(self.parameter_groups(target), **options)
        if self.averaged is None:  # also where a trainer goes on with the optimizer of a run that was interrupted
            self._start_average()
        return self.optimizer

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """That of `lr_scheduler_type`.

        Raises:
            UserError: it lacks what it needs.
        """
        try:
            return super().create_scheduler(*args, **kwargs)
        except ValueError as error:
            raise UserError(f"--lr_scheduler_type {self.args.lr_scheduler_type}: {error}") from error

    def _start_average(self) -> None:
        if not self.args.ema_decay:
            return
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return logger.warning("weights that are sharded over processes are not averaged: --ema_decay has no effect")
        self.averaged = AveragedWeights(self.model, self.args.ema_decay)
        self.add_callback(self.averaged)

    def _end_average(self) -> None:
        """Also where a run has failed, such as a trial that was pruned: each step of the next would go on with it."""
        if self.averaged is not None:
            self.remove_callback(self.averaged)
            self.averaged = None

    def _average_in_use(self) -> AbstractContextManager[None]:
        return nullcontext() if self.averaged is None else self.averaged.in_use()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.averaged is not None and self.args.should_save:
            self.averaged.save_training_weights(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        with reading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
        if self.averaged is not None:
            self.averaged.resume(checkpoint)
        elif Path(checkpoint, TRAINING_WEIGHTS).exists():
            raise UserError(f"{checkpoint}: the run averaged its weights; resume it with its own --ema_decay")

    def parameter_groups(self, model: torch.nn.Module) -> list[dict[str, Any]]:
        """Trainable parameters by (encoder or head) x (weight decay or none); groups without any are left out."""
        decaying = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                # `in`: wrappers such as FSDP and torch.compile put a prefix of their own in front.
                groups.setdefault((ENCODER_PREFIX in name, name in decaying), []).append(parameter)
        return [
            {
                "params": groups[encoder, decays],
                "lr": self.args.learning_rate if encoder else self.args.head_learning_rate,
                "weight_decay": self.args.weight_decay if decays else 0.0,
            }
            for encoder, decays in sorted(groups, reverse=True)
        ]

    # --- one step, on however many processes

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        """The order of `train_sampling_strategy`; grouped by length it is the same on all processes."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length" or dataset is None:
            return super()._get_train_sampler(train_dataset)
        args = self.args
        size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        seed = args.seed if args.data_seed is None else args.data_seed
        return EpochSampler(size, lengths_of(dataset), seed, lambda: int(self.state.epoch or 0))

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Tensor | None]:
        """The batches of a step, and what its losses are divided by, `(4,)`; None if one batch is all of it."""
        batches, _ = super().get_batch_samples(*args, **kwargs)
        self._step_batches = batches
        if not batches or self.args.world_size * len(batches) * max(1, self.args.n_gpu) == 1:
            return batches, None
        counts = loss_counts(batches).to(self.args.device)
        return batches, self.accelerator.reduce(counts, "sum")

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | int | None = None
    ) -> Any:
        """The loss, each word of a step with the same weight, whichever process or accumulated batch it is in."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if isinstance(num_items_in_batch, Tensor) and self.args.n_gpu <= 1:
            parts = self.args.world_size * self.current_gradient_accumulation_steps
            shares = loss_shares(inputs, num_items_in_batch, parts)
            weight = self.model._loss_weight
            loss = sum(weight(name) * value * shares.get(name, 1.0) for name, value in outputs.losses.items())
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: torch.nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """One batch, some of its word pieces hidden; a loss that is not finite stops the run before the optimiser does.

        Raises:
            DivergedError: on all processes, with the step, the sentences, and what to try.
        """
        if self.args.token_mask_rate:
            inputs = hide_pieces(inputs, self._mask_id(), self.args.token_mask_rate)
        loss = self._gradient(model, inputs, *args, **kwargs)
        # Waits for the device, as does the norm of the gradient below: both stop a run before its weights are spoilt.
        losses = self.accelerator.gather(loss.reshape(1))
        if not torch.isfinite(losses).all():
            raise self._diverged("loss", losses)
        return loss

    def _gradient(self, model: torch.nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The batch's loss. Weights get its gradient, and with `--adversarial_distance` that at moved embeddings too.

        Where several processes accumulate batches, the last of a step is moved along the gradient of all of them.
        """
        if not self.args.adversarial_distance:
            return super().training_step(model, inputs, *args, **kwargs)
        weight = self._word_embeddings()
        earlier = 0 if weight.grad is None else weight.grad.clone()  # of the step's other batches
        loss = super().training_step(model, dict(inputs), *args, **kwargs)
        with moved(weight, weight.grad - earlier, self.args.adversarial_distance):
            super().training_step(model, inputs, *args, **kwargs)
        return loss

    def _word_embeddings(self) -> Any:
        weight = self.model.d2e2s.encoder.get_input_embeddings().weight
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or not weight.requires_grad:
            raise UserError(
                "word embeddings that are sharded over processes, or not trained, cannot be moved: train without "
                "--adversarial_distance"
            )
        return weight

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        # With --fp16 the scaler deals with it: it skips the step.
        if self.accelerator.scaler is None and norm is not None and not np.isfinite(float(norm)):
            raise self._diverged("norm of the gradient", torch.as_tensor(float(norm)).reshape(1))
        return norm

    def _mask_id(self) -> int:
        processor: Any = self.processing_class
        if processor.tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token to hide words behind: --token_mask_rate 0")
        return processor.tokenizer.mask_token_id

    def _diverged(self, what: str, values: Tensor) -> DivergedError:
        ids = gather_object(self._record_ids())
        shown = ", ".join(ids[:64]) + (f" and {len(ids) - 64} more" if len(ids) > 64 else "")
        found = ", ".join(str(value) for value in values.tolist())
        return DivergedError(
            f"{what} is {found} at step {self.state.global_step + 1}: lower --learning_rate and --head_learning_rate, "
            "use --bf16 in place of --fp16, or lower --max_grad_norm; the last checkpoint is sound; "
            f"sentences of the step: {shown}"
        )

    def _record_ids(self) -> list[str]:
        """Ids of this process's sentences of the current step, found by their word pieces; only an error needs them."""
        dataset: Any = self.train_dataset
        if "id" not in getattr(dataset, "column_names", ()):
            return []
        known = dict(zip(map(tuple, dataset["input_ids"]), dataset["id"], strict=True))
        return [known.get(key, "?") for batch in self._step_batches for key in _word_pieces(batch)]

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if not self.control.should_training_stop:  # else a resumed run has come to its end before
            super()._run_epoch(*args, **kwargs)

    # --- number format

    @contextmanager
    def evaluation_precision(self) -> Iterator[None]:
        """The model as an evaluation has it: on its device, in the number format of the arguments."""
        args, model = self.args, cast(Any, self.model)
        with self._own_precision(), self.accelerator.autocast():
            model.to(args.device)
            if not self.is_in_train and (args.bf16_full_eval or args.fp16_full_eval):
                model.to(torch.bfloat16 if args.bf16_full_eval else torch.float16)
            yield

    @contextmanager
    def _own_precision(self) -> Iterator[None]:
        """Weights are as before at its end: `--bf16_full_eval` rounds them in place, and they are saved later."""
        if self.is_in_train or not (self.args.bf16_full_eval or self.args.fp16_full_eval):
            yield
            return
        buffers = [(m, name, value) for m in self.model.modules() for name, value in m.named_buffers(recurse=False)]
        weights = [(weight, weight.detach()) for weight in self.model.parameters()]
        try:
            yield
        finally:
            device = self.args.device  # where the Trainer has put the model only now
            for weight, before in weights:
                weight.data = before.to(device)
            for module, name, before in buffers:
                setattr(module, name, before.to(device))


def _word_pieces(batch: Mapping[str, Tensor]) -> Sequence[tuple[int, ...]]:
    """The sentences of a batch without their padding."""
    rows = zip(batch["input_ids"].tolist(), batch["attention_mask"].sum(1).tolist(), strict=True)
    return [tuple(row[:length]) for row, length in rows]
