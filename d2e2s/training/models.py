"""Where a model starts from: an encoder, a checkpoint, or several checkpoints as one."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ..box import resolve_model
from ..checkpoints import load_checkpoint, reading
from ..data_scripts.records import Record, check_records, sentiment_labels
from ..encoders import fit_window, hub_name, resolve_encoder
from ..errors_d2e2s import UserError
from ..evaluation.results import ResultsError, data_name, read_run
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..processing_d2e2s import D2E2SProcessor
from .data import relations_in, split_of

logger = logging.getLogger("d2e2s")

Model = tuple[D2E2SForTripletExtraction, D2E2SProcessor]
Origin = dict[str, Any]


def build_model(encoder: str, records: Iterable[Record] = (), word_splitter: str = "penn", **config: Any) -> Model:
    """A new model on a pretrained encoder, and the processor that makes its inputs.

    Args:
        encoder: a Hub name, a folder, or an embedded one such as `all-MiniLM-L6-v2` (needs no hub).
        records: the training data, a list or as `datasets` have it; its sentiments, and the relations of its trees,
            become the model's labels.
        word_splitter: how raw text becomes words: `penn` (English), `unicode` (any script) or `whitespace`.
        config: fields of [`D2E2SConfig`], such as `fusion_type="tin"`.

    Returns:
        the model, in float32 on the CPU, and its processor, whose sentences fit the encoder.

    Raises:
        UserError: a record that is none, an embedded encoder that is damaged, or a word splitter that there is not.
        StrictDataclassError: (`huggingface_hub.errors`) a field of `config` is wrong; its cause says why.
        OSError: there is no such encoder.
    """
    if isinstance(records, Mapping):
        records = split_of(records, "train", "build_model")
    records = check_records(records, "build_model:")
    labels = {"deprel_labels": relations_in(records), "sentiment_labels": sentiment_labels(records)}
    folder = resolve_encoder(encoder)
    with reading(folder):
        model = D2E2SForTripletExtraction.from_encoder(folder, **{**labels, **config})
        tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = D2E2SProcessor(
        tokenizer,
        deprel_labels=model.config.deprel_labels,
        sentiment_labels=model.config.sentiment_labels,
        word_splitter=word_splitter,
    )
    model.origin = origin(encoder)
    return model, fit_window(processor, model.d2e2s.encoder)


def continue_from(path: str, overrides: Mapping[str, Any], trains: bool) -> Model:
    """The model of a checkpoint, in float32 whatever it was saved in.

    Args:
        overrides: fields of the configuration in place of the checkpoint's.
        trains: it is trained further: what has no fitting weights starts anew.

    Raises:
        UserError: an ensemble that is to be trained; else see `load_checkpoint`.
    """
    path = resolve_model(path)
    model, processor = load_checkpoint(path, torch.float32, overrides, may_start_anew=trains)
    if trains and model.config.others:
        raise UserError(f"{path}: an ensemble is not trained as one; train its models, each by itself")
    model.origin = checkpoint_origin(path) if trains else origin(path)
    return model, processor


def join(paths: Sequence[str]) -> Model:
    """An ensemble: one model of several checkpoints, whose mean decides.

    Raises:
        UserError: checkpoints that differ in more than their weights.
    """
    models, processors = zip(*(load_checkpoint(path, torch.float32) for path in paths), strict=True)
    for path, other in zip(paths[1:], processors[1:], strict=True):
        if _reads_words(other) != _reads_words(processors[0]):
            raise UserError(f"{path} and {paths[0]} split words or pieces differently: they make no ensemble")
    try:
        joined = D2E2SForTripletExtraction.ensemble_of(models)
    except UserError as error:
        raise UserError(f"--ensemble_of {' '.join(paths)}: {error}") from None
    joined.origin = ensemble_origin(paths)
    return joined, processors[0]


def _reads_words(processor: D2E2SProcessor) -> dict[str, Any]:
    """All that decides what a model sees of a sentence."""
    pieces = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    for setting in ("truncation", "padding"):  # what the last call asked for
        pieces.pop(setting, None)
    return {"pieces": pieces, "splitting": processor.splitting}


# --- what a model was trained on before -------------------------------------------------------------------


def origin(name: str) -> Origin:
    """What the figures of a model say of where it began: an encoder, or a checkpoint of which no more is known."""
    return {"encoder": name, "base_model": hub_name(name)}


def checkpoint_origin(path: str) -> Origin:
    """The encoder of a checkpoint, and what it was trained on, the last time included."""
    plain = origin(path)
    if not Path(path).is_dir():
        return plain
    try:
        before = read_run(Path(path))
    except ResultsError as error:
        logger.warning("what the checkpoint was trained on is not known: %s", error)
        return plain
    if "train_sentences" not in before:  # a run that only scored the checkpoint has put its own figures there
        return plain
    licences = [card.get("licence") for card in (before["data_card"], *before.get("further_data_cards", []))]
    earlier = {
        "data": data_name(before),
        "sentences": before["train_sentences"],
        "licences": sorted({licence or "not stated" for licence in licences}),
    }
    trained = [*before.get("earlier_training", []), earlier]
    return {"encoder": before["encoder"], "base_model": before["base_model"], "earlier_training": trained}


def ensemble_origin(paths: Sequence[str]) -> Origin:
    """Where the first model started from, and what any of them was trained on, each thing once."""
    origins = [checkpoint_origin(path) for path in paths]
    histories = [found.get("earlier_training", []) for found in origins]
    steps: list[Origin] = []
    for history in sorted(histories, key=len, reverse=True):  # what only some began with stands first
        steps = [step for step in history if step not in steps] + steps
    first = {key: origins[0][key] for key in ("encoder", "base_model")}
    with suppress(ResultsError):  # what its figures go by
        first["seed"] = read_run(Path(paths[0]))["seed"]
    return {**first, "earlier_training": steps}
