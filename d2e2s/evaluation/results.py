"""The results of runs: their one reader, mean and spread, and what makes two of them comparable.

A run leaves its figures in `all_results.json`; a `.jsonl` holds those of many, a line a run with its `name`.
"""

import inspect
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..configuration_d2e2s import D2E2SConfig
from ..errors_d2e2s import UserError

Figures = Mapping[str, Any]

RESULTS = "all_results.json"
# What the training was told and its figures depend on; where and how things are logged is left out.
TRAINING = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
    "head_learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim",
    "early_stopping_patience", "ema_decay", "token_mask_rate", "adversarial_distance",
    "bf16", "fp16", "seed",
)  # fmt: skip
# Choices of the model of which every table speaks; a run tells only what is not the default.
CHOICES = ("fusion_type", "semantic_gcn", "syntactic_gcn")
# Fields of the configuration that a run finds out for itself, and what is no choice.
FOUND_OUT = (
    "encoder_config", "deprel_labels", "others", "sentiment_labels", "decision_threshold", "temperature",
    "score_shift", "format_version",
)  # fmt: skip
_TOLD = {each.name for each in fields(D2E2SConfig)} - {*FOUND_OUT}
MODEL_FIELDS = tuple(name for name in inspect.get_annotations(D2E2SConfig) if name in _TOLD)
# What a run trained on besides its data, absent where there is none.
FURTHER_DATA = ("further_train_sentences", "parser_train_sentences", "earlier_training")
NOT_MEASURED = "not measured"


def predictions_file(folder: Path, split: str) -> Path:
    """What a run predicted for `dev` or `test`, in its output folder."""
    return folder / f"predictions_{split}.jsonl"


class ResultsError(UserError):
    """A file that is not there, or holds no results of a run."""


def read_runs(*paths: Path) -> list[dict[str, Any]]:
    """The results of every run of output folders, of their `all_results.json` under any name, and of `.jsonl` files.

    Raises:
        ResultsError: a path without results, or with something else.
    """
    return [run for path in paths for run in _read(path)]


def read_run(folder: Path) -> dict[str, Any]:
    """The results of the run of an output folder.

    Raises:
        ResultsError: as `read_runs`.
    """
    (found,) = _read(folder / RESULTS)
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    file = path / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise ResultsError(f"{file}: no such file; expected the figures that a training run leaves")
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix != ".jsonl":
        return [_run(text, str(file))]
    return [_run(line, f"{file}:{number}") for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _run(text: str, place: str) -> dict[str, Any]:
    try:
        run = json.loads(text)
        known = {"seed", "encoder"} <= run.keys() and {"config", "data", "training"} <= run["arguments"].keys()
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise ResultsError(f"{place}: no results of a run; expected an {RESULTS}, or a .jsonl of those")
    return run


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and standard deviation (None of one value)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def percent(values: Sequence[float]) -> str:
    """Mean, and the standard deviation where there are several, in percent."""
    if not values:
        return NOT_MEASURED
    mean, deviation = mean_and_deviation(values)
    return f"{100 * mean:.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "")


def recipe_of(figures: Figures) -> dict[str, Any]:
    """All that makes two runs comparable, but the seed; what came to the code later was off before."""
    arguments = figures["arguments"]
    told = {name: arguments["training"].get(name, 0.0) for name in TRAINING if name != "seed"}
    return {
        "data": data_name(figures),
        "encoder": figures["encoder"],
        **{name: figures.get(name) for name in FURTHER_DATA},
        "ensemble_size": figures.get("ensemble_size", 1),
        "processes": figures.get("processes", 1),
        **{name: getattr(D2E2SConfig, name) for name in MODEL_FIELDS},
        **arguments["config"],
        **one_length(told),
    }


def choices_of(config: D2E2SConfig) -> dict[str, Any]:
    """The fields that are not at their defaults, whoever set them; where models differ, the values of all."""
    found = {}
    for name in MODEL_FIELDS:
        values = [getattr(member, name) for member in config.members]
        value = values[0] if values.count(values[0]) == len(values) else values
        if value != (config.default_graph_size if name == "graph_size" else getattr(D2E2SConfig, name)):
            found[name] = value
    return found


def data_name(figures: Figures) -> str:
    """Name of the data set for people; runs from before it was told aside say what its folder is."""
    told = figures["arguments"]["data"]
    files = (told.get(name) for name in ("test_file", "validation_file", "train_file"))
    folder = next((Path(file).resolve().parent.name for file in files if file), "unnamed")
    return figures.get("data_label") or told.get("dataset_name") or folder


def trained_with(figures: Figures) -> dict[str, Any]:
    """The arguments that make the recipe, and the seed."""
    return one_length({name: figures["arguments"]["training"].get(name) for name in TRAINING})


def one_length(told: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a training without the one of steps and epochs that does not count: steps do where they are set."""
    other = "num_train_epochs" if (told.get("max_steps") or 0) > 0 else "max_steps"
    return {name: value for name, value in told.items() if name != other}
