"""The arguments of a training run, from the command line, a YAML file, or both."""

import copy
import inspect
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Optional

from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import IntervalStrategy

from ..configuration_d2e2s import D2E2SConfig
from ..errors_d2e2s import UserError
from ..evaluation.results import MODEL_FIELDS

# Data from files, in place of --dataset_name.
FILES = ("train_file", "validation_file", "test_file")


def arg(default: Any, help: str) -> Any:
    """A field of a dataclass that is an argument: what it is unless told, and what `--help` says of it."""
    return field(default=default, metadata={"help": help})


@dataclass
class ModelArguments:
    """Where the model starts from."""

    encoder_name_or_path: str | None = arg(
        None,
        "Pretrained encoder of a new model: a Hub name, a folder, or one of a package: all-MiniLM-L6-v2, "
        "all-mpnet-base-v2.",
    )
    model_name_or_path: str | None = arg(None, "D2E2S checkpoint to go on from, in place of --encoder_name_or_path.")
    ensemble_of: list[str] | None = arg(
        None,
        "D2E2S checkpoints of several runs, to make one model of, whose mean decides; it needs --do_train "
        "false, and --validation_file, which chooses its threshold.",
    )
    word_splitter: str | None = arg(
        None, "How a new model splits raw text: penn (English), unicode (any script), whitespace. Default: penn."
    )

    def __post_init__(self) -> None:
        starts = (self.encoder_name_or_path, self.model_name_or_path, self.ensemble_of)
        if sum(start is not None for start in starts) != 1:
            raise UserError(
                "give either --encoder_name_or_path (new model), --model_name_or_path (checkpoint) or --ensemble_of "
                "(checkpoints)"
            )
        if self.encoder_name_or_path is None and self.word_splitter is not None:
            raise UserError("--word_splitter is for a new model: a checkpoint keeps its own")


def _config_field(name: str, kind: Any) -> tuple[str, Any, Any]:
    help_text = f"Field of D2E2SConfig, which explains it. Its default: {getattr(D2E2SConfig, name)}."
    return name, Optional[kind], arg(None, help_text)  # noqa: UP045


# Made from the configuration, so that every choice of the model is an argument and none is described twice.
_KINDS = inspect.get_annotations(D2E2SConfig)
ConfigArguments: Any = make_dataclass("ConfigArguments", [_config_field(name, _KINDS[name]) for name in MODEL_FIELDS])
ConfigArguments.__doc__ = "Fields of D2E2SConfig; None leaves the default, or what the checkpoint says."


@dataclass
class DataArguments:
    """Records to train on, to select by, and to test on (`.jsonl` or `.parquet`)."""

    train_file: str | None = arg(None, "Records to train on.")
    validation_file: str | None = arg(None, "Records that select the epoch and the decision threshold.")
    test_file: str | None = arg(None, "Records scored once, at the end.")
    parser_file: list[str] | None = arg(
        None, "Further parsed sentences, without triplets, to train the built-in parser on."
    )
    parser_test_file: str | None = arg(None, "Parsed sentences to score the parser on.")
    dataset_name: str | None = arg(
        None, "Data set of the Hub, or a folder, by `load_dataset`, in place of the files above."
    )
    dataset_config_name: str | None = arg(None, "Its configuration, if it has several.")
    show_predictions: int = arg(0, "Print the predicted triplets of this many test sentences at the end.")

    def place(self) -> str:
        """Folder or Hub name of the data."""
        file = self.test_file or self.validation_file or self.train_file
        return self.dataset_name or (str(Path(file).parent) if file else "")

    def has(self, split: str) -> bool:
        """Whether `train`, `validation` or `test` was named."""
        return self.dataset_name is not None or getattr(self, f"{split}_file") is not None


@dataclass
class TripletTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the project's defaults, and what triplet extraction adds."""

    learning_rate: float = arg(5e-5, "Peak learning rate of the encoder.")
    head_learning_rate: float = arg(3e-4, "Peak learning rate of everything behind the encoder.")
    ema_decay: float = arg(
        0.99,
        "Decay of the moving average of the weights, which is what is evaluated and saved; 0 = the weights "
        "of the last step themselves.",
    )
    token_mask_rate: float = arg(
        0.15, "Share of the words' pieces that each training step hides behind the mask token."
    )
    adversarial_distance: float = arg(
        0.0,
        "Learn each batch once more with the word embeddings moved this far to where its loss is larger, "
        "such as 1.0; takes twice the time. 0 = once.",
    )
    early_stopping_patience: int | None = arg(None, "Stop after this many evaluations without a better dev triplet F1.")
    overwrite_output_dir: bool = arg(False, "Train into an --output_dir with a model or checkpoints, which then go.")
    data_label: str | None = arg(
        None,
        "What cards and tables call the data; if a folder or a Hub id, its card tells the licence. "
        "Default: the data's own name.",
    )
    per_device_train_batch_size: int = arg(16, "Sentences per step and device.")
    per_device_eval_batch_size: int = arg(32, "Sentences per evaluation batch.")
    num_train_epochs: float = arg(20.0, "Passes over the training file.")
    weight_decay: float = arg(0.01, "Not applied to biases and layer norms.")
    warmup_steps: float = arg(0.1, "Warm-up steps; below 1, a share of all steps.")
    eval_strategy: IntervalStrategy | str = arg("epoch", "When dev is scored.")
    save_strategy: str = arg("epoch", "When a checkpoint is written.")
    save_total_limit: int | None = arg(1, "Checkpoints kept beside the best one.")
    load_best_model_at_end: bool = arg(True, "End with the best model on dev.")
    metric_for_best_model: str | None = arg("triplet_f1", "Dev figure that selects the best model.")
    greater_is_better: bool | None = arg(None, "Whether more of it is better; default: unless its name ends in loss.")
    train_sampling_strategy: str = arg("group_by_length", "group_by_length, random, sequential or batch_rebalance.")
    # The data sets hold the model's inputs, and the lengths that batches are grouped by.
    remove_unused_columns: bool = arg(False, "Leave off.")
    restore_callback_states_from_checkpoint: bool = arg(
        True, "A resumed run remembers how much patience early stopping has left."
    )
    logging_steps: float = arg(50, "Steps between two logged losses.")
    # TripletTrainer stops at the first loss that is NaN or infinite; the filter would hide it.
    logging_nan_inf_filter: bool = arg(False, "Leave off: NaN stops the run.")
    hub_strategy: str = arg(
        "end", "With --push_to_hub: end (the whole model with its figures), every_save, checkpoint, ..."
    )
    report_to: None | str | list[str] = arg("none", "tensorboard, wandb, trackio, ... (each needs its package).")

    def __post_init__(self) -> None:
        self._check()
        super().__post_init__()
        self._set_up()

    def _check(self) -> None:
        for name in ("ema_decay", "token_mask_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("learning_rate", "head_learning_rate", "weight_decay", "adversarial_distance"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"--{name} must be a number of at least 0, got {getattr(self, name)}")
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not self.max_grad_norm > 0:  # with 0 the Trainer would not look at the gradient at all
            raise UserError(
                f"--max_grad_norm must be above 0, got {self.max_grad_norm}: a large one, such as 1e9, clips "
                "nothing, and a gradient that is NaN still stops the run"
            )
        if self.label_smoothing_factor:
            raise UserError("--label_smoothing_factor is for models with one class a token: spans and pairs have none")
        if not 0 <= self.num_train_epochs < 1e6:
            raise UserError(f"--num_train_epochs must lie in [0, 1e6), got {self.num_train_epochs}")

    def _set_up(self) -> None:
        """What the model needs, whatever was said."""
        self.remove_unused_columns = self.logging_nan_inf_filter = False
        self.label_names = self.label_names or ["labels"]
        if self.ddp_find_unused_parameters is None:  # the Trainer takes False with checkpointing
            self.ddp_find_unused_parameters = True  # a batch without heads gives the parser no loss
        if self.device.type == "cpu":
            self.dataloader_pin_memory = False

    @classmethod
    def completed(cls, args: TrainingArguments) -> "TripletTrainingArguments":
        """Plain `TrainingArguments` as they are, with this class's defaults for what they lack.

        Raises:
            UserError: a value that does not fit the model.
        """
        if isinstance(args, cls):
            return args
        completed: Any = copy.copy(args)
        completed.__class__ = cls  # fields that it has not are the class's own: the defaults
        completed._check()
        completed._set_up()
        return completed


@dataclass
class CommandTrainingArguments(TripletTrainingArguments):
    """The same from a command line, where `--do_train` says whether a run trains."""

    choose_threshold: bool = arg(
        False,
        "With --do_eval, without training: choose the decision threshold on --validation_file anew, for "
        "this run's figures and predictions, in place of the checkpoint's. Training always chooses it there.",
    )

    def __post_init__(self) -> None:
        self.output_dir = self.output_dir or ""  # Arguments.check tells whether one is needed
        if not self.do_train:  # nothing to select, and an eval strategy would switch --do_eval on
            self.load_best_model_at_end, self.eval_strategy = False, "no"
        super().__post_init__()


@dataclass
class Arguments:
    model: ModelArguments
    config: Any
    data: DataArguments
    training: CommandTrainingArguments

    def config_overrides(self) -> dict[str, Any]:
        """Fields of D2E2SConfig that were asked for."""
        return {name: value for name, value in vars(self.config).items() if value is not None}

    @property
    def makes_model(self) -> bool:
        """Whether the run leaves a model, in place of only scoring one."""
        return self.training.do_train or self.model.ensemble_of is not None

    @property
    def output_dir(self) -> Path:
        return Path(str(self.training.output_dir))

    def check(self) -> None:
        """Whether the data that the run needs was named, and what was asked for goes together.

        Raises:
            UserError: nothing to do, or something that is needed is missing.
        """
        training, data = self.training, self.data
        if not training.output_dir:
            raise UserError("--output_dir is missing: the folder for the model and its figures")
        if not (self.makes_model or training.do_eval or training.do_predict):
            raise UserError("nothing to do: give --do_train, --do_eval or --do_predict")
        self._check_data()
        selects = training.do_train and training.eval_strategy != IntervalStrategy.NO
        self._require(training.do_train, "--do_train", "train")
        self._require(training.do_predict, "--do_predict", "test")
        self._require(selects, "selection on dev", "validation")
        self._require(training.do_eval, "--do_eval", "validation")
        if self.model.ensemble_of is not None:
            self._check_ensemble()
        if training.choose_threshold and not (self.makes_model or training.do_eval):
            raise UserError("--choose_threshold chooses on --validation_file: give --do_eval too")
        if training.early_stopping_patience is not None and not selects:
            raise UserError("--early_stopping_patience waits for a better dev figure: it needs --eval_strategy")
        if data.parser_file and not training.do_train:
            raise UserError("--parser_file is for training: give --do_train, or --parser_test_file to score the parser")
        if not self.makes_model and (self._holds_trained_model() or any(self.output_dir.glob("*.safetensors"))):
            raise UserError(f"{self.output_dir}: holds a model that was trained; give its scores an --output_dir")

    def _check_data(self) -> None:
        data = self.data
        files = [name for name in FILES if getattr(data, name) is not None]
        if data.dataset_name is not None and files:
            raise UserError(
                f"--dataset_name {data.dataset_name} names the data itself, on the Hub or in a folder, and does not "
                f"go with --{files[0]}; what cards call the data is --data_label"
            )
        if data.dataset_config_name is not None and data.dataset_name is None:
            raise UserError("--dataset_config_name is of --dataset_name: give that too")

    def _require(self, wanted: bool, what: str, split: str) -> None:
        if wanted and not self.data.has(split):
            hint = " (or --eval_strategy no --load_best_model_at_end false)" if what == "selection on dev" else ""
            raise UserError(f"{what} needs --{split}_file{hint}")

    def _check_ensemble(self) -> None:
        if self.training.do_train:
            raise UserError("--ensemble_of makes one model of trained ones: give --do_train false")
        self._require(True, "--ensemble_of", "validation")
        folders = [Path(path).resolve() for path in self.model.ensemble_of or ()]
        if len(set(folders)) < len(folders):
            raise UserError(f"--ensemble_of names a checkpoint twice: {' '.join(self.model.ensemble_of or ())}")
        own = self.output_dir.resolve()
        if any(folder in (own, *own.parents) for folder in folders) or self._holds_trained_model():
            raise UserError(f"{self.output_dir}: holds a model that was trained; give the ensemble an --output_dir")
        if overrides := ", ".join(f"--{name}" for name in self.config_overrides()):
            raise UserError(f"--ensemble_of keeps what its models are: without {overrides}")

    def _holds_trained_model(self) -> bool:
        """Whether the output folder has the record of a training run, which a run that only scores would replace."""
        return (self.output_dir / TRAINER_STATE_NAME).exists()
