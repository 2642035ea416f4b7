"""The Hugging Face Trainer with two learning rates, and evaluation at the threshold that dev chooses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import EvalPrediction, PreTrainedConfig, Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput

from .arguments import TripletTrainingArguments
from .averaging import TRAINING_WEIGHTS, AveragedWeights
from .evaluation import choose_threshold, triplet_figures
from .masking import hide_pieces
from .modeling_d2e2s import D2E2SForTripletExtraction

logger = logging.getLogger("d2e2s")

ENCODER_PREFIX = "d2e2s.encoder."


class DivergedError(ValueError):
    """The loss is NaN or infinite."""


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
        output = super().train(*args, **kwargs)
        if self.averaged is not None:
            if not self.args.load_best_model_at_end:
                self.averaged.adopt()
            self.remove_callback(self.averaged)
            self.averaged = None
        return output

    def _average_in_use(self) -> AbstractContextManager[None]:
        return nullcontext() if self.averaged is None else self.averaged.in_use()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.averaged is not None and self.args.should_save:
            self.averaged.save_training_weights(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        if self.averaged is not None:
            self.averaged.resume(checkpoint)
        elif Path(checkpoint, TRAINING_WEIGHTS).exists():
            raise ValueError(f"{checkpoint}: the run averaged its weights; resume it with its own --ema_decay")

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

    def training_step(self, model: torch.nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One step; stops before the optimiser if the loss is not finite, so that the weights stay sound.

        Raises:
            DivergedError: with the step and what to try.
        """
        if self.args.token_mask_rate:
            inputs = hide_pieces(inputs, self.processing_class.tokenizer.mask_token_id, self.args.token_mask_rate)
        loss = super().training_step(model, inputs, *args, **kwargs)
        # The one synchronisation of a step; the filter of the Trainer, which is off here, would cost two.
        if not torch.isfinite(loss):
            raise DivergedError(
                f"loss is {loss.item()} at step {self.state.global_step + 1}: lower --learning_rate and "
                "--head_learning_rate, use --bf16 in place of --fp16, or lower --max_grad_norm; "
                "the last checkpoint is sound"
            )
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Figures of a data set; the threshold chosen goes into the checkpoints that follow."""
        metrics = super().evaluate(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        self.model.config.decision_threshold = metrics.get(f"{prefix}_threshold", self.model.config.decision_threshold)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Model and processor, without the pickled arguments that the Trainer adds (nothing reads them)."""
        with self._average_in_use():
            super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            Path(str(output_dir or self.args.output_dir), TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: each push would put a draft in place of the card that `d2e2s.card` writes."""

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """The Trainer's loop on all candidates: the threshold is applied to the figures, not in the model."""
        with decision_threshold(self.model.config, 0.0), self._average_in_use():
            return super().evaluation_loop(*args, **kwargs)

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


@contextmanager
def decision_threshold(config: PreTrainedConfig, value: float) -> Iterator[None]:
    """Sets `config.decision_threshold` for a while."""
    before = config.decision_threshold
    config.decision_threshold = value
    try:
        yield
    finally:
        config.decision_threshold = before
