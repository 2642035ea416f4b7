"""What a run writes down of itself beside its figures: seed, sizes, device, versions, arguments."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
import transformers

from .. import __version__
from ..encoders import hub_name
from ..evaluation.results import RESULTS, choices_of
from ..modeling_d2e2s import D2E2SForTripletExtraction
from .arguments import TripletTrainingArguments
from .data import data_card
from .models import checkpoint_origin

logger = logging.getLogger("d2e2s")

Figures = dict[str, Any]


class Told(NamedTuple):
    """What a run was told of its start and its data on the command line, as written down."""

    model: Mapping[str, Any] = {}
    data: Mapping[str, Any] = {}


def describe(model: D2E2SForTripletExtraction, training: TripletTrainingArguments, place: str, told: Told) -> Figures:
    """What the figures of a run depend on.

    Args:
        place: folder or Hub name of the data, for its label and its card; empty if that is not known.
    """
    origin = model.origin or _origin(model)
    card = data_card(place)
    if not card.get("licence"):
        logger.warning("no licence of the data is known for the card: data_label, its folder or Hub id, tells it")
    encoders = [member.d2e2s.encoder for member in model.members]
    figures: Figures = {
        "seed": training.seed,
        **{name: value for name, value in origin.items() if value is not None or name == "base_model"},
        "data_label": training.data_label or label_of(place),
        "data_card": card,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "encoder_parameters": sum(parameter.numel() for encoder in encoders for parameter in encoder.parameters()),
        "device": device_name(training.device),
        "processes": training.world_size,
        "versions": {
            "d2e2s": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "datasets": datasets.__version__,
        },
        "arguments": {
            "model": dict(told.model),
            "config": choices_of(model.config),
            "data": dict(told.data),
            "training": {**training.to_dict(), **precision(training)},
        },
    }
    if model.config.others:
        figures["ensemble_size"] = model.config.ensemble_size
    return figures


def _origin(model: D2E2SForTripletExtraction) -> Figures:
    """Of a model that was loaded from a checkpoint, or else the name that its encoder has."""
    folder = str(model.name_or_path or "")
    if folder and Path(folder, RESULTS).is_file():
        return checkpoint_origin(folder)
    encoder: Any = model.config.encoder_config
    if not encoder.name_or_path:
        return {"encoder": encoder.model_type, "base_model": None}
    return {"encoder": encoder.name_or_path, "base_model": hub_name(encoder.name_or_path)}


def label_of(place: str) -> str:
    """What to call the data: the name of its folder, or on the Hub."""
    return Path(place).resolve().name if Path(place).is_dir() and place else place or "unnamed"


def device_name(device: torch.device) -> str:
    """The GPU's own name where it has one: its kind alone says little about seconds and memory."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision(training: TripletTrainingArguments) -> Figures:
    """What is trained in, whether the run's arguments say so or those of `accelerate launch`."""
    return {name: training.mixed_precision == name for name in ("bf16", "fp16")}
