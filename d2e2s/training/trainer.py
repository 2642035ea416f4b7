"""The Hugging Face Trainer for triplets: records in, a finished model with its figures and card out."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, EvalPrediction, PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer import SCALER_NAME, TRAINING_ARGS_NAME
from transformers.trainer_utils import (
    PREFIX_CHECKPOINT_DIR,
    EvalLoopOutput,
    IntervalStrategy,
    PredictionOutput,
    TrainOutput,
    rotate_checkpoints,
)

from ..checkpoints import (
    WEIGHTS,
    CheckpointError,
    all_or_nothing,
    check_writable,
    for_a_while,
    keep_private,
    reading,
    seal,
    staged,
)
from ..collator_d2e2s import DataCollatorForTripletExtraction
from ..data_scripts.files import write_json
from ..data_scripts.records import Record
from ..errors_d2e2s import UserError
from ..evaluation.calibration import calibration_of
from ..evaluation.thresholds import choose_threshold, triplet_figures
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..processing_d2e2s import D2E2SProcessor
from ..reporting.card import write_card
from ..serving.endpoint import write_endpoint
from .allocation import freed_memory_kept
from .arguments import TripletTrainingArguments
from .costs import Costs
from .data import SPLITS, counts, labelled, lengths_of, name_of, records_of, split_of, tokenized
from .distributed import check_shared, end_together, own_class
from .output_folder import RECIPE, check_recipe, find_checkpoint, recipe, write_results
from .record import Figures, Told, describe
from .scoring import calibrate, score
from .steps import StepTrainer


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


class TripletTrainer(StepTrainer):
    """Trains a [`D2E2SForTripletExtraction`]: the `Trainer` of transformers, with two learning rates, an exponential
    moving average (EMA) of the weights, token masking, and adversarial training (FGM) if asked for.

    Data sets hold records (`datasets` splits, or lists), which it tokenises, or features that a processor has made of
    them. A sentence whose `triplets` are None trains the parser only. `train()` ends with a finished folder: the model
    with the calibration and the decision threshold that `eval_dataset` has chosen, its figures (`all_results.json`),
    its card and checksums. `evaluate` of any other set leaves the model as it is, and adds its figures to these.

    Args:
        model: of `build_model`, or a checkpoint. args: [`TripletTrainingArguments`]; plain `TrainingArguments` get our
            defaults for what they lack.
        data_collator: default: `DataCollatorForTripletExtraction`.
        train_dataset, eval_dataset: a `DatasetDict` gives its `train`, and its `validation` or `dev`.
        processing_class: the model's `D2E2SProcessor`.
        others: as of `Trainer`.

    Attributes:
        figures: the results so far, of a model that is finished. inputs, records: features of each set by its name
            (`train`, `dev`, `test`, ...), and the records that they were made of.
        place, told: folder or Hub name of the data, and what a command line said, for the results.

    Raises:
        UserError: data that is no records, or does not fit the model; or no `eval_dataset` to select by.
    """

    args: TripletTrainingArguments
    model: D2E2SForTripletExtraction
    chooses = False  # the decision threshold, on the set that is evaluated
    threshold = 0.0  # of the evaluation that is under way

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Any = None,
        compute_loss_func: Any = None,
        compute_metrics: Any = None,
        *others: Any,
        **options: Any,
    ) -> None:
        args = TripletTrainingArguments.completed(args or TripletTrainingArguments())
        if not isinstance(getattr(processing_class, "tokenizer", None), PreTrainedTokenizerBase):
            raise UserError("processing_class: give the model's D2E2SProcessor, which build_model returns")
        self.processor: D2E2SProcessor = processing_class
        self.inputs: dict[str, datasets.Dataset] = {}  # of each set by its name: train, dev, test, ...
        self.records: dict[str, list[Record]] = {}  # of those that were given as records
        self.figures: Figures = {}  # of the finished model
        self.place, self.told = args.data_label or name_of(train_dataset), Told()
        self.trains_parser = model is None or (model.config.uses_parser and model.config.parser_loss_weight > 0)
        if eval_dataset is None and isinstance(train_dataset, Mapping):
            eval_dataset = train_dataset
        train, dev = self._features(train_dataset, "train"), self._features(eval_dataset, "dev")
        if args.eval_strategy != IntervalStrategy.NO and dev is None and train is not None:
            raise UserError(
                "eval_dataset chooses epoch, calibration and threshold: give one, or train without "
                '(eval_strategy="no", load_best_model_at_end=False)'
            )
        if args.early_stopping_patience is not None and args.eval_strategy == IntervalStrategy.NO:
            raise UserError("early_stopping_patience waits for a better dev figure: it needs an eval_strategy")
        collator: Any = data_collator or DataCollatorForTripletExtraction(processing_class, allow_unlabelled=True)
        functions = (model_init, compute_loss_func, compute_metrics or self.compute_figures)
        super().__init__(model, args, collator, train, dev, processing_class, *functions, *others, **options)
        if args.world_size > 1:
            end_together()
        if args.early_stopping_patience is not None:
            self.add_callback(EarlyStopping(args.early_stopping_patience))

    # --- data

    def _features(self, rows: Any, name: str) -> datasets.Dataset | None:
        """The model's inputs of a set, which are kept by its name."""
        if rows is None or any(rows is known for known in self.inputs.values()):
            return rows
        if isinstance(rows, Mapping):
            split = "dev" if name == "eval" else name if name in SPLITS else "test"
            rows = split_of(rows, split, f"the data given for {name}")
        if isinstance(rows, datasets.IterableDataset):
            raise UserError(f"the data given for {name} is streamed: load it without streaming=True")
        if not isinstance(rows, datasets.Dataset):
            rows = list(rows)
            rows = datasets.Dataset.from_list(rows) if rows and "input_ids" in rows[0] else rows
        self.records.pop(name, None)
        if "input_ids" not in getattr(rows, "column_names", ()):
            records = records_of(rows, name)
            self.records[name] = records if name == "train" and self.trains_parser else labelled(records, name)
            rows = tokenized(self.processor, self.records[name], name)
        elif name != "train" and None in (rows["labels"] if "labels" in rows.column_names else [None]):
            raise UserError(f"the features given for {name} are not all labelled: leave out those without triplets")
        self.inputs[name] = rows
        return rows

    def compute_figures(self, output: EvalPrediction) -> dict[str, float]:
        """Figures of triplets (S, K, 5) with scores (S, K) against gold (S, M, 5)."""
        arrays: Any = output.predictions
        (rows, scores), gold = arrays, np.asarray(output.label_ids)
        threshold = choose_threshold(rows, scores, gold) if self.chooses else self.threshold
        figures = triplet_figures(rows, scores, gold, self.model.config.sentiment_labels, threshold)
        return figures | calibration_of(rows, scores, gold, threshold)

    def train(
        self, resume_from_checkpoint: str | bool | None = None, trial: Any = None, ignore_keys_for_eval: Any = None
    ) -> TrainOutput:
        """Train and finish the model, see the class; the weights are the average's, those of the best epoch on dev.

        Args:
            resume_from_checkpoint: a checkpoint, or True for the newest whole one of the output folder.
            trial, ignore_keys_for_eval: as of `Trainer`; a trial of a search leaves no model.

        Raises:
            UserError: no checkpoint to resume from, or one that does not fit.
            DivergedError: a loss or gradient that is not finite.
            OSError: the output folder cannot be written to.
        """
        checkpoint = None if trial is not None else self._begin(resume_from_checkpoint)
        self.add_callback(costs := Costs())
        try:
            with freed_memory_kept() if self.args.device.type == "cpu" else nullcontext():
                output = super().train(checkpoint, trial, ignore_keys_for_eval)
            best = self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None
            if self.averaged is not None and not best:  # else the Trainer has loaded it
                self.averaged.adopt()
        finally:
            self._end_average()
            self.remove_callback(costs)
        if trial is None:
            self.finish({**output.metrics, **costs.figures(self.args.device)})
        return output

    def _begin(self, resume_from_checkpoint: str | bool | None) -> str | None:
        """The checkpoint to go on from; else the output folder is made ready for a new run."""
        folder, checkpoint = Path(str(self.args.output_dir)), None
        if self.args.should_save:
            check_writable(folder)
            keep_private(folder)
        if resume_from_checkpoint:
            checkpoint = find_checkpoint(self.args, resume_from_checkpoint)
        if checkpoint is not None:
            check_recipe(checkpoint, self.args)
        check_shared(folder)
        self.describe()  # before the hours that training takes: cards of data may be unreadable
        self.accelerator.wait_for_everyone()
        if self.args.should_save and checkpoint is None and self.args.overwrite_output_dir:
            for earlier in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-[0-9]*"):
                shutil.rmtree(earlier)
        self.accelerator.wait_for_everyone()
        return checkpoint

    def finish(self, figures: Figures | None = None) -> None:
        """Let dev decide calibration and threshold, and leave the model with figures and card in the output folder.

        `train` calls this. Without training it is for what is made of trained models: an ensemble.
        """
        if figures is None:
            self.describe()
        self.figures |= figures or {}
        if self.is_world_process_zero():
            keep_private(Path(str(self.args.output_dir)))
            for path in Path(str(self.args.output_dir)).glob("predictions_*.jsonl"):  # of the model that was there
                path.unlink()
        if self.eval_dataset is not None:
            self.figures |= calibrate(self, self.records.get("dev"))
        self.save_model(_internal_call=True)
        if self.state.global_step:
            self.save_state()
        self.record({})

    def describe(self) -> None:
        """Begin the results: what the model, the data and the arguments are."""
        self.figures = describe(self.model, self.args, self.place, self.told)
        width = self.model.config.max_span_width
        for name, records in self.records.items():
            self.figures |= counts(name, records, width)

    def record(self, figures: Figures, card: bool = True) -> None:
        """Add figures to the results, and write those and the card of the finished model."""
        self.figures |= figures
        if self.is_world_process_zero():
            folder = Path(str(self.args.output_dir))
            write_results(folder, self.figures)
            if card:
                write_card(folder, self.hub_model_id or self.args.hub_model_id)

    # --- evaluation

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Figures of a set of records or features, dev unless told.

        While the model trains, dev chooses the threshold of its figures, which goes into the model. No other set does,
        whoever evaluates it: its figures are added to those of the finished model, if they have a prefix of their own.
        """
        features = self._features(eval_dataset, _apart(metric_key_prefix))
        if features is not None and features is not self.eval_dataset:
            figures = self.score(features, metric_key_prefix)
            self.log(figures)
            if self._keeps(metric_key_prefix):
                self.record(figures)
            return figures
        with for_a_while(self, "chooses", self.is_in_train):
            metrics = super().evaluate(None, ignore_keys, metric_key_prefix)
        if self.is_in_train:
            config = self.model.config
            config.decision_threshold = metrics.get(f"{metric_key_prefix}_threshold", config.decision_threshold)
        return metrics

    def score(self, rows: Any, name: str) -> Figures:
        """Sizes and figures of a set at the model's own calibration and threshold.

        Once the model is finished, its predictions go into `predictions_NAME.jsonl`, if the set was given as records.
        """
        features: Any = self._features(rows, _apart(name))
        records = self.records.get(_apart(name))
        sizes = counts(name, records, self.model.config.max_span_width) if records else {}
        return sizes | score(self, features, records if self._keeps(name) else None, name)

    def _keeps(self, name: str) -> bool:
        """Whether the figures of a set join those of the finished model: these are those of its training and of dev."""
        return bool(self.figures) and not self.is_in_train and name not in ("train", "dev", "eval")

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The card of the finished model, with its name on the Hub: each push would put a draft in its place."""
        if self.figures:
            self.record({})

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """The Trainer's loop on all candidates: the threshold is applied to the figures, not in the model."""
        self.threshold = self.model.config.decision_threshold
        all_candidates = for_a_while(self.model.config, "decision_threshold", 0.0)
        with all_candidates, self._average_in_use(), self._own_precision():
            return super().evaluation_loop(*args, **kwargs)

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Candidates, scores and gold rows in the order of a set of records or features, and the figures."""
        dataset: Any = self._features(test_dataset, _apart(metric_key_prefix))
        with for_a_while(self, "chooses", False):  # also in a callback while dev is evaluated
            output: Any = super().predict(dataset, ignore_keys, metric_key_prefix)
        order = np.argsort(self.longest_first(dataset), kind="stable")
        rows, scores = output.predictions
        return output._replace(predictions=(rows[order], scores[order]), label_ids=output.label_ids[order])

    def batches(self, dataset: Any) -> Iterator[Any]:
        """The model's inputs of a set of features, all of it on every process, longest sentences first."""
        size, collate = self.args.per_device_eval_batch_size, self.data_collator
        order: Any = self.longest_first(dataset)
        for batch in DataLoader(dataset, batch_size=size, sampler=order, collate_fn=collate):
            yield batch.to(self.args.device)

    @staticmethod
    def longest_first(dataset: Any) -> list[int]:
        """Places of the sentences: little padding, and a batch too large for the memory fails at once."""
        return np.argsort(-np.asarray(lengths_of(dataset)), kind="stable").tolist()

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return self.longest_first(eval_dataset)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        name = str(self.args.metric_for_best_model).removeprefix("eval_")
        if self.args.metric_for_best_model is not None and f"eval_{name}" not in metrics:
            known = ", ".join(key.removeprefix("eval_") for key in metrics if key.startswith("eval_triplet"))
            raise UserError(f"--metric_for_best_model {name!r} is no figure of dev; choose from: {known}, ...")
        return super()._determine_best_metric(metrics, trial)

    # --- checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Model and processor with the checksum of the weights, all at once in place of what stood there.

        Without the pickled arguments that the Trainer adds (nothing reads them), with what an endpoint needs.

        Raises:
            OSError: it cannot be written; what stood there is as it was.
        """
        folder = Path(str(output_dir or self.args.output_dir))
        with self._average_in_use(), staged(folder) if self.args.should_save else nullcontext(folder) as new:
            super().save_model(str(new), _internal_call=True)
            if self.args.should_save:
                (new / TRAINING_ARGS_NAME).unlink(missing_ok=True)
                seal(new, WEIGHTS)
        if self.args.should_save:
            write_endpoint(folder)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _save(self, *args: Any, **kwargs: Any) -> None:
        with own_class(self.model):
            super()._save(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint that counts once it is whole; only then do older ones go."""
        run_dir = self._get_output_dir(trial)
        folder = Path(run_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        limit, keep_all = self.args.save_total_limit, for_a_while(self.args, "save_total_limit", None)
        with keep_all, all_or_nothing(folder, self.args.should_save):
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process has written its random state
            if self.args.should_save:
                write_json(folder / RECIPE, recipe(self.args))
                seal(folder)
        if self.args.should_save:
            rotate_checkpoints(run_dir, limit, self.state.best_model_checkpoint, use_mtime=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        if found := [*load_result.missing_keys, *load_result.unexpected_keys]:
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


def _apart(name: str) -> str:
    """What a set to be scored is kept by: not in place of the training or dev set."""
    return f"{name} to score" if name in ("train", "dev") else name
