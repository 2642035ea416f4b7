"""The output folder of a run: what may be trained into it, where training goes on, and what is written there."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from ..checkpoints import CheckpointError, check_whole, check_writable, last_whole
from ..data_scripts.files import write_json
from ..errors_d2e2s import UserError
from ..evaluation.results import RESULTS
from .arguments import TripletTrainingArguments
from .distributed import check_shared

logger = logging.getLogger("d2e2s")

# In each checkpoint: what a run that goes on must not change.
RECIPE = "recipe.json"
KEPT = (
    "learning_rate", "head_learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm",
    "optim", "ema_decay", "token_mask_rate", "adversarial_distance", "seed",
)  # fmt: skip


def find_checkpoint(training: TripletTrainingArguments, wanted: str | bool | None) -> str | None:
    """Make the output folder, and find the checkpoint to go on from, if one was asked for.

    Process 0 looks for all, so that all take the same path afterwards.

    Args:
        wanted: a checkpoint, or `true` for the newest whole one.

    Raises:
        UserError: no checkpoint to resume from; checkpoints of another run that would be mixed up with ours; or a
            model whose place ours would take.
        OSError: the folder cannot be written to, or is not the same on all machines.
    """
    folder = Path(str(training.output_dir))
    if training.should_save:
        check_writable(folder)
    check_shared(folder)
    first = training.process_index == 0
    return broadcast_object_list([_chosen(str(wanted or "false"), training, folder) if first else None])[0]


def _chosen(wanted: str, training: TripletTrainingArguments, folder: Path) -> str | None:
    if wanted.lower() == "false":
        check_vacant(folder, training.overwrite_output_dir)
        return None
    if wanted.lower() == "true":
        found = last_whole(folder)
        if found is None:
            raise UserError(f"{folder}: --resume_from_checkpoint true, but there is no checkpoint to resume from")
        logger.info("going on from %s", found)
    else:
        found = wanted
        if not Path(wanted, TRAINER_STATE_NAME).is_file():
            raise FileNotFoundError(f"{wanted}: --resume_from_checkpoint names no checkpoint of a run")
        check_whole(Path(wanted))
        if Path(wanted).resolve().parent != folder.resolve():
            check_vacant(folder, training.overwrite_output_dir)
    return found


def check_vacant(folder: Path, overwrite: bool) -> None:
    """Whether a model may be written there.

    Raises:
        UserError: another would be lost.
    """
    if overwrite:
        return
    if get_last_checkpoint(str(folder)) is not None:
        raise UserError(
            f"{folder} holds checkpoints of an earlier run: go on with it (--resume_from_checkpoint true), "
            "start again (--overwrite_output_dir), or give another --output_dir"
        )
    if any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds a model: put another in its place (--overwrite_output_dir), or give another --output_dir"
        )


# --- what a resumed run must not change -------------------------------------------------------------------


def recipe(training: TripletTrainingArguments) -> dict[str, Any]:
    """What decides each step of a training, by the names of the arguments."""
    told = training.to_dict()
    sentences = training.world_size * training.per_device_train_batch_size * training.gradient_accumulation_steps
    return {"sentences a step (processes x batch x accumulation)": sentences, **{name: told[name] for name in KEPT}}


def check_recipe(checkpoint: str, training: TripletTrainingArguments) -> None:
    """Whether a checkpoint was written by a run with the same arguments; those of before say nothing.

    Raises:
        CheckpointError: which argument differs.
    """
    path = Path(checkpoint, RECIPE)
    if not path.is_file():
        return
    before, now = json.loads(path.read_text(encoding="utf-8")), recipe(training)
    if changed := [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]:
        raise CheckpointError(
            f"{checkpoint}: its run had {'; '.join(changed)}: resume it with its own, or start again "
            "(--overwrite_output_dir)"
        )


def write_results(folder: Path, figures: Mapping[str, Any]) -> None:
    """`all_results.json`, unrounded; figures that are not finite become null, so that the file stays JSON."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
    write_json(folder / RESULTS, finite, sort_keys=True, default=str)
