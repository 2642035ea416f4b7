"""What makes two runs comparable: their results file, its data and its recipe, which is all but the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..configuration_d2e2s import D2E2SConfig
from ..training.arguments import ConfigArguments, DataArguments

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
# What a run trained on besides its data, absent where there is none.
FURTHER_DATA = ("further_train_sentences", "parser_train_sentences", "earlier_training")


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
        **{each.name: getattr(D2E2SConfig, each.name) for each in fields(ConfigArguments)},
        **arguments["config"],
        **one_length(told),
    }


def choices_of(config: D2E2SConfig) -> dict[str, Any]:
    """The fields that are not at their defaults, whoever set them; where models differ, the values of all."""
    found = {}
    for name in (each.name for each in fields(ConfigArguments)):
        values = [getattr(member, name) for member in config.members]
        value = values[0] if values.count(values[0]) == len(values) else values
        if value != (config.default_graph_size if name == "graph_size" else getattr(D2E2SConfig, name)):
            found[name] = value
    return found


def data_name(figures: Figures) -> str:
    """Name of the data set for people."""
    told, known = figures["arguments"]["data"], {each.name for each in fields(DataArguments)}
    return DataArguments(**{name: value for name, value in told.items() if name in known}).title()


def trained_with(figures: Figures) -> dict[str, Any]:
    """The arguments that make the recipe, and the seed."""
    return one_length({name: figures["arguments"]["training"].get(name) for name in TRAINING})


def one_length(told: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a training without the one of steps and epochs that does not count: steps do where they are set."""
    other = "num_train_epochs" if (told.get("max_steps") or 0) > 0 else "max_steps"
    return {name: value for name, value in told.items() if name != other}
