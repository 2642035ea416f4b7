"""The arguments of a training run, from the command line, a YAML file, or both."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Optional

import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import IntervalStrategy

from ..configuration_d2e2s import D2E2SConfig
from ..errors_d2e2s import UserError

STARTS = {"encoder_name_or_path", "model_name_or_path", "ensemble_of"}
# What the run finds out for itself, and what is no choice.
NOT_ARGUMENTS = (
    "encoder_config",
    "deprel_labels",
    "others",
    "sentiment_labels",
    "decision_threshold",
    "temperature",
    "format_version",
)


@dataclass
class ModelArguments:
    """Where the model starts from."""

    encoder_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Pretrained encoder of a new model: a Hub name, a folder, or all-MiniLM-L6-v2 (needs no hub)."
        },
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "D2E2S checkpoint to go on from, in place of --encoder_name_or_path."}
    )
    ensemble_of: list[str] | None = field(
        default=None,
        metadata={
            "help": "D2E2S checkpoints of several runs, to make one model of, whose mean decides; it needs --do_train "
            "false, and --validation_file, which chooses its threshold."
        },
    )
    word_splitter: str | None = field(
        default=None,
        metadata={
            "help": "How a new model splits raw text: penn (English), unicode (any script), whitespace. Default: penn."
        },
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


def _config_fields() -> Iterator[tuple[str, Any, Any]]:
    own = {f.name for f in fields(D2E2SConfig)} - set(NOT_ARGUMENTS)
    for name, kind in inspect.get_annotations(D2E2SConfig).items():
        if name not in own:
            continue
        help_text = f"Field of D2E2SConfig, which explains it. Its default: {getattr(D2E2SConfig, name)}."
        yield name, Optional[kind], field(default=None, metadata={"help": help_text})  # noqa: UP045


# Made from the configuration, so that every choice of the model is an argument and none is described twice.
ConfigArguments: Any = make_dataclass("ConfigArguments", list(_config_fields()))
ConfigArguments.__doc__ = "Fields of D2E2SConfig; None leaves the default, or what the checkpoint says."


@dataclass
class DataArguments:
    """Records to train on, to select by, and to test on (`.jsonl` or `.parquet`)."""

    train_file: str | None = field(default=None, metadata={"help": "Records to train on."})
    further_train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Records of other data to train on too; a sentence that --train_file, --validation_file or "
            "--test_file holds is left out."
        },
    )
    held_out_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Records never to train on, such as dev and test of data that the checkpoint will be trained on "
            "next: a sentence that they hold is left out of --train_file and --further_train_file."
        },
    )
    validation_file: str | None = field(
        default=None, metadata={"help": "Records that select the epoch and the decision threshold."}
    )
    test_file: str | None = field(default=None, metadata={"help": "Records scored once, at the end."})
    parser_file: list[str] | None = field(
        default=None,
        metadata={"help": "Further parsed sentences, without triplets, to train the built-in parser on."},
    )
    parser_test_file: str | None = field(default=None, metadata={"help": "Parsed sentences to score the parser on."})
    dataset_name: str | None = field(
        default=None,
        metadata={"help": "Name of the data in the model card; default: folder of the test file."},
    )
    show_predictions: int = field(
        default=0, metadata={"help": "Print the predicted triplets of this many test sentences at the end."}
    )

    def title(self) -> str:
        """Name of the data set for people."""
        files = (self.dataset_name, self.test_file, self.validation_file, self.train_file)
        name = next((f for f in files if f), "unnamed")
        return name if name == self.dataset_name else Path(name).resolve().parent.name


@dataclass
class TripletTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the project's defaults, and what triplet extraction adds."""

    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate of the encoder."})
    head_learning_rate: float = field(
        default=3e-4, metadata={"help": "Peak learning rate of everything behind the encoder."}
    )
    ema_decay: float = field(
        default=0.99,
        metadata={
            "help": "Decay of the moving average of the weights, which is what is evaluated and saved; 0 = the weights "
            "of the last step themselves."
        },
    )
    token_mask_rate: float = field(
        default=0.15,
        metadata={"help": "Share of the words' pieces that each training step hides behind the mask token."},
    )
    adversarial_distance: float = field(
        default=0.0,
        metadata={
            "help": "Learn each batch once more with the word embeddings moved this far to where its loss is larger, "
            "such as 1.0; takes twice the time. 0 = once."
        },
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after this many evaluations without a better dev triplet F1."}
    )
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Train into an --output_dir with a model or checkpoints, which then go."}
    )
    choose_threshold: bool = field(
        default=False,
        metadata={
            "help": "With --do_eval, without training: choose the decision threshold on --validation_file anew, for "
            "this run's figures and predictions, in place of the checkpoint's. Training always chooses it there."
        },
    )

    peek_at_test: bool = field(
        default=False,
        metadata={
            "help": "Also score test after each epoch into peeked_at_test.json, to compare with figures that were "
            "chosen on test. No run reads it: dev still selects."
        },
    )

    per_device_train_batch_size: int = field(default=16, metadata={"help": "Sentences per step and device."})
    per_device_eval_batch_size: int = field(default=32, metadata={"help": "Sentences per evaluation batch."})
    num_train_epochs: float = field(default=20.0, metadata={"help": "Passes over the training file."})
    weight_decay: float = field(default=0.01, metadata={"help": "Not applied to biases and layer norms."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up steps; below 1, a share of all steps."})
    eval_strategy: IntervalStrategy | str = field(default="epoch", metadata={"help": "When dev is scored."})
    save_strategy: str = field(default="epoch", metadata={"help": "When a checkpoint is written."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Checkpoints kept beside the best one."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "End with the best model on dev."})
    metric_for_best_model: str | None = field(
        default="triplet_f1", metadata={"help": "Dev figure that selects the best model."}
    )
    greater_is_better: bool | None = field(
        default=None, metadata={"help": "Whether more of it is better; default: unless its name ends in loss."}
    )
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={"help": "group_by_length, random, sequential or batch_rebalance."},
    )
    # The data sets hold the model's inputs, and the lengths that batches are grouped by.
    remove_unused_columns: bool = field(default=False, metadata={"help": "Leave off."})
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "A resumed run remembers how much patience early stopping has left."}
    )
    logging_steps: float = field(default=50, metadata={"help": "Steps between two logged losses."})
    # TripletTrainer stops at the first loss that is NaN or infinite; the filter would hide it.
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Leave off: NaN stops the run."})
    hub_strategy: str = field(
        default="end",
        metadata={"help": "With --push_to_hub: end (the whole model with its figures), every_save, checkpoint, ..."},
    )
    report_to: None | str | list[str] = field(
        default="none", metadata={"help": "tensorboard, wandb, trackio, ... (each needs its package)."}
    )

    def __post_init__(self) -> None:
        self.output_dir = self.output_dir or ""  # Arguments.check tells whether one is needed
        if not self.do_train:  # nothing to select, and an eval strategy would switch --do_eval on
            self.load_best_model_at_end, self.eval_strategy = False, "no"
        for name in ("ema_decay", "token_mask_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.adversarial_distance < float("inf"):
            raise UserError(f"--adversarial_distance must be at least 0, got {self.adversarial_distance}")
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
        self.label_names = self.label_names or ["labels"]
        if self.ddp_find_unused_parameters is None:  # the Trainer takes False with checkpointing
            self.ddp_find_unused_parameters = True  # a batch without heads gives the parser no loss
        super().__post_init__()
        if self.device.type == "cpu":
            self.dataloader_pin_memory = False


@dataclass
class Arguments:
    """All arguments of a run."""

    model: ModelArguments
    config: Any
    data: DataArguments
    training: TripletTrainingArguments

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
        """Whether the files that the run needs were named.

        Raises:
            ValueError: nothing to do, or a file that is needed is missing.
        """
        training, data = self.training, self.data
        if not training.output_dir:
            raise UserError("--output_dir is missing: the folder for the model and its figures")
        if not (self.makes_model or training.do_eval or training.do_predict):
            raise UserError("nothing to do: give --do_train, --do_eval or --do_predict")
        _require(training.do_train, "--do_train", "--train_file", data.train_file)
        _require(training.do_predict, "--do_predict", "--test_file", data.test_file)
        selects = training.do_train and training.eval_strategy != IntervalStrategy.NO
        _require(selects, "selection on dev", "--validation_file", data.validation_file)
        _require(training.do_eval, "--do_eval", "--validation_file", data.validation_file)
        if self.model.ensemble_of is not None:
            self._check_ensemble()
        if training.choose_threshold and not (self.makes_model or training.do_eval):
            raise UserError("--choose_threshold chooses on --validation_file: give --do_eval too")
        if training.peek_at_test and not (training.do_train and training.do_predict):
            raise UserError("--peek_at_test scores test while training: give --do_train and --do_predict too")
        if training.early_stopping_patience is not None and not selects:
            raise UserError("--early_stopping_patience waits for a better dev figure: it needs --eval_strategy")
        for name in ("further_train_file", "held_out_file"):
            if getattr(data, name) and not training.do_train:
                raise UserError(f"--{name} is for training: give --do_train")
        if data.parser_file and not training.do_train:
            raise UserError("--parser_file is for training: give --do_train, or --parser_test_file to score the parser")
        if not self.makes_model and (self._holds_trained_model() or any(self.output_dir.glob("*.safetensors"))):
            raise UserError(f"{self.output_dir}: holds a model that was trained; give its scores an --output_dir")

    def _check_ensemble(self) -> None:
        if self.training.do_train:
            raise UserError("--ensemble_of makes one model of trained ones: give --do_train false")
        _require(True, "--ensemble_of", "--validation_file", self.data.validation_file)
        folders = [Path(path).resolve() for path in self.model.ensemble_of or ()]
        if len(set(folders)) < len(folders):
            raise UserError(f"--ensemble_of names a checkpoint twice: {' '.join(self.model.ensemble_of or ())}")
        own = self.output_dir.resolve()
        if any(folder in (own, *own.parents) for folder in folders) or self._holds_trained_model():
            raise UserError(f"{self.output_dir}: holds a model that was trained; give the ensemble an --output_dir")
        overrides = ", ".join(f"--{name}" for name in self.config_overrides())
        if overrides:
            raise UserError(f"--ensemble_of keeps what its models are: without {overrides}")

    def _holds_trained_model(self) -> bool:
        """Whether the output folder has the record of a training run, which a run that only scores would replace."""
        return (self.output_dir / TRAINER_STATE_NAME).exists()


def _require(wanted: bool, what: str, name: str, path: str | None) -> None:
    if wanted and path is None:
        hint = " (or --eval_strategy no --load_best_model_at_end false)" if what == "selection on dev" else ""
        raise UserError(f"{what} needs {name}{hint}")


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read `[CONFIG.yaml ...] [--argument value ...]`; a later file overrides an earlier one, the command line all.

    `null` in a file takes back what an earlier one says. A checkpoint to go on from overrides an earlier file's
    encoder, and the other way round.

    Raises:
        ValueError: an unknown key or argument, or a value that does not fit.
        FileNotFoundError: no such configuration file.
        SystemExit: code 2, a value of the wrong type; argparse has then printed the reason.
    """
    groups = (ModelArguments, ConfigArguments, DataArguments, TripletTrainingArguments)
    parser = HfArgumentParser(
        groups,  # type: ignore[arg-type]
        prog="run_aste.py",
        usage="%(prog)s [CONFIG.yaml ...] [--argument value ...]",
        allow_abbrev=False,
    )
    known = {f.name for group in groups for f in fields(group) if f.init}
    files = list(takewhile(lambda word: not word.startswith("-"), argv))
    sources = [*(_file_arguments(Path(file), known) for file in files), Source(list(argv[len(files) :]), set())]
    words = [word for place, source in enumerate(sources) for word in _still_said(source, sources[place + 1 :])]
    *parsed, unknown = parser.parse_args_into_dataclasses(
        words, look_for_args_file=False, return_remaining_strings=True
    )
    if unknown:
        raise UserError(f"unknown argument {unknown[0]}{_suggestion(unknown[0].lstrip('-').split('=')[0], known)}")
    arguments = Arguments(*parsed)
    arguments.check()
    return arguments


class Source(NamedTuple):
    """What one file or the command line says.

    Attributes:
        words: as on a command line.
        unset: arguments that are given no value (`null`): what earlier sources say of them does not count.
    """

    words: list[str]
    unset: set[str]


def _still_said(source: Source, later: Sequence[Source]) -> list[str]:
    """The words of a source without what a later one unsets, or replaces: where the model starts from."""
    gone = {name for other in later for name in other.unset}
    if any(argument_name(word) in STARTS for other in later for word in other.words):
        gone |= STARTS
    kept, dropped = [], False
    for word in source.words:
        if word.startswith("--"):
            dropped = argument_name(word) in gone
        if not dropped:  # neither the argument, nor what follows it
            kept.append(word)
    return kept


def argument_name(word: str) -> str:
    """The argument that a word of a command line names, `--train-file` as well; empty for any other word."""
    return word.removeprefix("--").split("=")[0].replace("-", "_") if word.startswith("--") else ""


def _file_arguments(path: Path, known: set[str]) -> Source:
    """A YAML mapping as command-line words, so that file and command line are checked alike."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected `argument: value` lines, found a {type(values).__name__}")
    words: list[str] = []
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{path}: unknown key {key!r}{_suggestion(str(key), known)}")
        if not _is_flat(value):
            raise UserError(f"{path}: {key}: expected a value, a list of values or a mapping of values")
        words += _words(key, value)
    return Source(words, {key for key, value in values.items() if value is None})


def _is_flat(value: Any) -> bool:
    """Whether it has at most one level: what is nested by references grows beyond any memory when it is spelled out."""
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return not any(isinstance(item, list | dict | set) for item in inner)


def _words(key: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [f"--{key}", *map(str, value)]
    if isinstance(value, dict):
        return [f"--{key}={json.dumps(value)}"]
    return [f"--{key}={value}"]


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
