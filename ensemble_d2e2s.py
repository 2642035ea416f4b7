"""Several models as one: what they may differ in, and how they decide together.

Their mean probabilities of spans and of pairs decide (Lakshminarayanan et al. 2017).
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .configuration_d2e2s import OWN_FIELDS, D2E2SConfig
from .errors_d2e2s import UserError

CHOSEN_ON_DEV = ("decision_threshold", "temperature", "score_shift")
# What does not tell models trained apart from one another: the above, and what says nothing about the model.
NO_DIFFERENCE = {
    *CHOSEN_ON_DEV,
    *("_name_or_path", "architectures", "auto_map", "custom_pipelines", "dtype", "transformers_version"),
}


def mean_of_models(logits: Sequence[Tensor]) -> Tensor:
    """Logits `(..., C)` whose softmax is the mean of the models' probabilities; those of one model as they are."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack([each.log_softmax(-1) for each in logits]).logsumexp(0) - math.log(len(logits))


def joined_config(configs: Sequence[D2E2SConfig]) -> D2E2SConfig:
    """The configuration of an ensemble of models with these ones.

    Raises:
        UserError: an ensemble among them, or models that differ in anything but `OWN_FIELDS`.
    """
    joined, others = copy.deepcopy(configs[0]), []
    for place, config in enumerate(configs):
        if config.others:
            raise UserError(f"model {place} of the ensemble is an ensemble: give the models that it is made of")
        different = differing_fields(joined.to_dict(), config.to_dict())
        common = [name for name in different if name not in OWN_FIELDS]
        if common:
            raise UserError(f"models 0 and {place} of the ensemble differ in {', '.join(common)}")
        others.append({name: getattr(config, name) for name in different})
    joined.others = others[1:]
    for name in CHOSEN_ON_DEV:
        setattr(joined, name, getattr(D2E2SConfig, name))
    return joined


def differing_fields(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Fields in which two configurations, as dicts, make different models; the encoder's as `encoder_config.x`."""
    found = []
    for name in sorted({*first, *second} - NO_DIFFERENCE):
        left, right = first.get(name), second.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            found += [f"{name}.{inner}" for inner in differing_fields(left, right)]
        elif left != right:
            found.append(name)
    return found
