"""Pretrained encoders: those of Python packages, for machines that reach no model hub, and how much text one takes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import constants

from .data_scripts.files import sha256, to_disk, write_json
from .errors_d2e2s import UserError

if TYPE_CHECKING:
    from torch import nn

    from .processing_d2e2s import D2E2SProcessor

logger = logging.getLogger("d2e2s")

CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class EmbeddedEncoder:
    """An encoder inside installed packages, which are located, never imported; the Hub has the same files.

    Attributes:
        parts: the model's folder in a package; or several files, in as many packages, that joined are a zip file.
        extra: the extra of this package that installs them.
        hub_id: the model on the Hub; its last word is the short name.
        revision: commit on the Hub.
        sha256: sums of the files that are read; no other file is taken.
    """

    parts: Sequence[str]
    extra: str
    hub_id: str
    revision: str
    sha256: dict[str, str]

    @property
    def name(self) -> str:
        return self.hub_id.rpartition("/")[2]

    @property
    def packed(self) -> bool:
        return len(self.parts) > 1

    def pip(self, options: str = "") -> str:
        """The command that installs it."""
        return f"pip install {options}'d2e2s[{self.extra}]'"


@cache
def embedded_encoders() -> dict[str, EmbeddedEncoder]:
    """Those that are known, by their short names; read when one is asked for, not by whoever loads a checkpoint."""
    known = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {encoder.name: encoder for encoder in (EmbeddedEncoder(**fields) for fields in known)}


def resolve_encoder(name: str) -> str:
    """Folder of an encoder that we know, under its short name or that on the Hub; other names pass through unchanged.

    The installed packages win; where they are absent the Hub is asked, or its cache. A zip file in parts is unpacked
    once, into the cache folder of the Hugging Face libraries. A folder of your own that has such a name is `./NAME`.

    Raises:
        UserError: a part is not installed, or a file is not the published one.
        OSError: neither installed nor to be had from the Hub; or no room to unpack it.
    """
    encoder = _known(name)
    if encoder is None:
        return name
    unpacked = _cache() / encoder.name
    if encoder.packed and _fault(encoder, unpacked) is None:
        return str(unpacked)
    present = {part: path for part in encoder.parts if (path := _installed(part))}
    if present and (missing := [part for part in encoder.parts if part not in present]):
        raise UserError(f"encoder {encoder.name!r}: not installed: {', '.join(missing)}; run: {encoder.pip()}")
    if present and encoder.packed:
        return str(_unpacked(encoder, list(present.values())))
    folder = next(iter(present.values())) if present else _from_hub(encoder)
    if fault := _fault(encoder, folder):
        # The Hub's cache keeps the files of a model's revisions two folders up.
        mend = encoder.pip("--force-reinstall ") if present else f"delete {folder.parents[1]}"
        raise UserError(f"{folder}: {fault}; {mend}")
    return str(folder)


def hub_name(name: str) -> str | None:
    """Hub id of an encoder for the model card; None for a local folder."""
    if encoder := _known(name):
        return encoder.hub_id
    return None if Path(name).exists() else name


def positions(encoder: nn.Module) -> int | None:
    """Word pieces that an encoder has a position for; None where it looks at distances alone, as DeBERTa-v3."""
    from torch import nn

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


def _known(name: str) -> EmbeddedEncoder | None:
    return next((encoder for short, encoder in embedded_encoders().items() if name in (short, encoder.hub_id)), None)


def _cache() -> Path:
    return Path(constants.HF_HOME, "d2e2s")


def _installed(part: str) -> Path | None:
    package, _, inside = part.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], inside)
    return path if path.exists() else None


def _from_hub(encoder: EmbeddedEncoder) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(encoder.hub_id, revision=encoder.revision, allow_patterns=list(encoder.sha256)))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise OSError(
            f"encoder {encoder.name!r}: not installed, run: {encoder.pip()}; nor to be had from the Hub: {reason}"
        ) from error


def _fault(encoder: EmbeddedEncoder, folder: Path) -> str | None:
    """What is wrong with an encoder's files, None if nothing.

    Reading 438 MB takes a second at each start: files whose size and time of change are those noted when their sums
    were last right are not read again.
    """
    notes = _cache() / f"{encoder.name}.json"
    try:
        states = {file: (folder / file).stat() for file in encoder.sha256}
    except OSError as error:
        return f"{Path(error.filename).name} cannot be read ({error.strerror})"
    found = {file: [encoder.sha256[file], state.st_size, state.st_mtime_ns] for file, state in states.items()}
    with contextlib.suppress(OSError, ValueError):
        if json.loads(notes.read_bytes()) == found:
            return None
    for file, expected in encoder.sha256.items():
        if (digest := sha256(folder / file)) != expected:
            return f"{file} is damaged or changed: sha256 is {digest}, expected {expected}"
    with contextlib.suppress(OSError):  # a cache that cannot be written: they are read each time
        write_json(notes, found)
    return None


# --- a zip file in parts ----------------------------------------------------------------------------------


def _unpacked(encoder: EmbeddedEncoder, parts: Sequence[Path]) -> Path:
    """Folder in the cache, filled by one process while others wait; it is there whole or not at all.

    Raises:
        UserError: the parts are damaged, or hold other files than the published ones.
        OSError: it cannot be written.
    """
    from huggingface_hub.utils import WeakFileLock

    folder = _cache() / encoder.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(folder.with_name(f"{encoder.name}.lock")):
            if _fault(encoder, folder):  # else another process was first
                _unpack(encoder, parts, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        again = encoder.pip("--force-reinstall ")
        raise UserError(f"encoder {encoder.name!r}: its packages are damaged: {error}; run: {again}") from None
    except OSError as error:
        raise OSError(f"{folder}: cannot be written ({error}); HF_HOME can name another place") from error
    return folder


def _unpack(encoder: EmbeddedEncoder, parts: Sequence[Path], folder: Path) -> None:
    logger.info("unpacking %s into %s, once", encoder.name, folder)
    beside = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    try:
        beside.mkdir()
        with zipfile.ZipFile(io.BufferedReader(Joined(parts), CHUNK)) as archive:
            members = {file: f"{encoder.name}/{file}" for file in encoder.sha256}
            need = sum(archive.getinfo(member).file_size for member in members.values())
            if (free := shutil.disk_usage(beside).free) < need:
                raise OSError(f"{need >> 20} MB are needed, {free >> 20} MB are free")
            for file, member in members.items():
                with archive.open(member) as source, (beside / file).open("wb") as target:
                    shutil.copyfileobj(source, target, CHUNK)
                to_disk(beside / file)
        if fault := _fault(encoder, beside):
            raise zipfile.BadZipFile(fault)
        shutil.rmtree(folder, ignore_errors=True)  # what was damaged
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


class Joined(io.RawIOBase):
    """Files read as if they were one; nothing is copied."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts
        self.ends = list(accumulate(part.stat().st_size for part in parts))
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.ends[-1]}[whence]
        if self.place < 0:  # where zipfile looks if the first parts are cut off
            raise EOFError("it begins before the first part")
        return self.place

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self.ends, self.place)
        if number == len(self.parts):
            return 0
        with self.parts[number].open("rb") as file:
            file.seek(self.place - (self.ends[number - 1] if number else 0))
            count = file.readinto(buffer)
        self.place += count
        return count
