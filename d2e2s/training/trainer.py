"""The Hugging Face Trainer with two learning rates, and evaluation at the threshold that dev chooses."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, EvalPrediction, PreTrainedConfig, Trainer
from transformers.trainer import SCALER_NAME, TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, PredictionOutput, rotate_checkpoints

from ..checkpoints import WEIGHTS, CheckpointError, all_or_nothing, reading, seal, staged
from ..errors_d2e2s import UserError
from ..evaluation.thresholds import choose_threshold, triplet_figures
from ..modeling_d2e2s import D2E2SForTripletExtraction
from .arguments import TripletTrainingArguments
from .averaging import TRAINING_WEIGHTS, AveragedWeights
from .distributed import EpochSampler, loss_counts, loss_shares, own_class
from .masking import hide_pieces
from .perturbation import moved

logger = logging.getLogger("d2e2s")

ENCODER_PREFIX = "d2e2s.encoder."


class DivergedError(UserError):
    """The loss or its gradient is NaN or infinite."""


class EarlyStopping(EarlyStoppingCallback):
    """Early stopping that a resumed run remembers: out of patience at its checkpoint, it trains no step more.

    A run that begins has all the patience of its arguments, also where it is a trial of a search that follows others.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if state.global_step == 0:
            patience = args.early_stopping_patience
            self.early_stopping_patience = sys.maxsize if patience is None else patience
            self.early_stopping_patience_counter = 0
        control.should_training_stop = self.early_stopping_patience_counter >= self.early_stopping_patience


class TripletTrainer(Trainer):
    """Trains a [`D2E2SForTripletExtraction`].

    Attributes:
        threshold: decision threshold of the figures. None, as at the start: each evaluation chooses the one with
            the best triplet F1 on the data that it sees, and reports it. Set it before scoring test data.
    """

    args: TripletTrainingArguments
    model: D2E2SForTripletExtraction
    threshold: float | None = None
    averaged: AveragedWeights | None = None  # while it trains

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"compute_metrics": self.compute_figures, **kwargs})

    def compute_figures(self, output: EvalPrediction) -> dict[str, float]:
        """Figures of triplets (S, K, 5) with scores (S, K) against gold (S, M, 5)."""
        arrays: Any = output.predictions
        (rows, scores), gold = arrays, np.asarray(output.label_ids)
        threshold = self.threshold
        if threshold is None:
            threshold = choose_threshold(rows, scores, gold)
        return triplet_figures(rows, scores, gold, self.model.config.sentiment_labels, threshold)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW (or `--optim`) with `learning_rate` for the encoder and `head_learning_rate` for the rest."""
        if self.optimizer is None:
            target: Any = self.model if model is None else model
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, target)
            self.optimizer = optimizer(self.parameter_groups(target), **options)
        if self.averaged is None:  # also where a trainer goes on with the optimizer of a run that was interrupted
            self._start_average()
        return self.optimizer

    def _start_average(self) -> None:
        if not self.args.ema_decay:
            return
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            self.args.ema_decay = 0.0
            return logger.warning("weights that are sharded over processes are not averaged: --ema_decay has no effect")
        self.averaged = AveragedWeights(self.model, self.args.ema_decay)
        self.add_callback(self.averaged)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; then the model has the average's weights, those of the best epoch where dev selects."""
        try:
            output = super().train(*args, **kwargs)
            best = self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None
            if self.averaged is not None and not best:  # else the Trainer has loaded it
                self.averaged.adopt()
            return output
        finally:
            self._end_average()

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
        return EpochSampler(size, dataset[args.length_column_name], seed, lambda: int(self.state.epoch or 0))

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

    # --- evaluation

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Figures of a data set; the threshold chosen goes into the checkpoints that follow."""
        metrics = super().evaluate(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        self.model.config.decision_threshold = metrics.get(f"{prefix}_threshold", self.model.config.decision_threshold)
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: each push would put a draft in place of the card that `d2e2s.reporting.card` writes."""

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """The Trainer's loop on all candidates: the threshold is applied to the figures, not in the model."""
        with decision_threshold(self.model.config, 0.0), self._average_in_use(), self._own_precision():
            return super().evaluation_loop(*args, **kwargs)

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

    def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> PredictionOutput:
        """Candidates, scores and gold rows in the order of the data set, and the figures."""
        output: Any = super().predict(test_dataset, *args, **kwargs)
        order = np.argsort(self._get_eval_sampler(test_dataset), kind="stable")
        rows, scores = output.predictions
        return output._replace(predictions=(rows[order], scores[order]), label_ids=output.label_ids[order])

    def batches(self, dataset: Any) -> Iterator[Any]:
        """The model's inputs of a data set, all of it on every process, longest sentences first."""
        sampler = self._get_eval_sampler(dataset)
        size, collate = self.args.per_device_eval_batch_size, self.data_collator
        for batch in DataLoader(dataset, batch_size=size, sampler=sampler, collate_fn=collate):
            yield batch.to(self.args.device)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        """Longest sentences first: little padding, and a batch too large for the memory fails at once."""
        lengths = np.asarray(eval_dataset[self.args.length_column_name])
        return np.argsort(-lengths, kind="stable").tolist()

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        name = str(self.args.metric_for_best_model).removeprefix("eval_")
        if self.args.metric_for_best_model is not None and f"eval_{name}" not in metrics:
            known = ", ".join(key.removeprefix("eval_") for key in metrics if key.startswith("eval_triplet"))
            raise UserError(f"--metric_for_best_model {name!r} is no figure of dev; choose from: {known}, ...")
        return super()._determine_best_metric(metrics, trial)

    # --- checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Model and processor with the checksum of the weights, all at once in place of what stood there.

        Without the pickled arguments that the Trainer adds (nothing reads them).

        Raises:
            OSError: it cannot be written; what stood there is as it was.
        """
        folder = Path(str(output_dir or self.args.output_dir))
        with self._average_in_use(), staged(folder) if self.args.should_save else nullcontext(folder) as new:
            super().save_model(str(new), _internal_call=True)
            if self.args.should_save:
                (new / TRAINING_ARGS_NAME).unlink(missing_ok=True)
                seal(new, WEIGHTS)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _save(self, *args: Any, **kwargs: Any) -> None:
        with own_class(self.model):
            super()._save(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint that counts once it is whole; only then do older ones go."""
        run_dir = self._get_output_dir(trial)
        folder = Path(run_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with all_or_nothing(folder, self.args.should_save):
                self.accelerator.wait_for_everyone()
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()  # each process has written its random state
                if self.args.should_save:
                    seal(folder)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            rotate_checkpoints(run_dir, limit, self.state.best_model_checkpoint, use_mtime=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        found = [*load_result.missing_keys, *load_result.unexpected_keys]
        if found:
            raise CheckpointError(
                f"weights do not fit the model asked for: {', '.join(found[:4])}; {len(found)} in all"
            )

    def _load_scaler(self, checkpoint: str | None) -> None:
        if self.accelerator.scaler is None and Path(str(checkpoint), SCALER_NAME).exists():
            raise CheckpointError(f"{checkpoint}: the run used --fp16; resume it with --fp16")
        with reading(str(checkpoint)):
            super()._load_scaler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with reading(str(checkpoint)):
            super()._load_rng_state(checkpoint)


def _word_pieces(batch: Mapping[str, Tensor]) -> Sequence[tuple[int, ...]]:
    """The sentences of a batch without their padding."""
    rows = zip(batch["input_ids"].tolist(), batch["attention_mask"].sum(1).tolist(), strict=True)
    return [tuple(row[:length]) for row, length in rows]


@contextmanager
def decision_threshold(config: PreTrainedConfig, value: float) -> Iterator[None]:
    """Sets `config.decision_threshold` for a while."""
    before = config.decision_threshold
    config.decision_threshold = value
    try:
        yield
    finally:
        config.decision_threshold = before
