"""Files that appear whole or not at all, their checksums, and texts that a person may take over."""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger("d2e2s")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line feeds; the file appears whole or not at all."""
    write_atomically(path, lambda new: new.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, value: Any, **options: Any) -> None:
    """Write a value as indented JSON; `options` are those of `json.dumps`."""
    write_text(path, json.dumps(value, **{"indent": 2, "ensure_ascii": False, **options}) + "\n")


def write_marked(path: Path, text: str) -> bool:
    """Write a text whose last line says that it is ours, with a checksum of it.

    A file without that line, or with another text than its checksum says, was written or changed by somebody: it is
    kept, which a warning says.

    Returns:
        Whether it was written.
    """
    if path.exists():
        old = path.read_text(encoding="utf-8", errors="replace")
        if old != _marked(path, old.rstrip("\n").rpartition("\n")[0]):
            logger.warning("%s: kept, for somebody wrote or changed it; delete it to have a new one", path)
            return False
    write_text(path, _marked(path, text))
    return True


def _marked(path: Path, text: str) -> str:
    text = text.rstrip("\n")
    mark = f"Written by d2e2s, and again until somebody changes it: {hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return f"{text}\n\n{f'<!-- {mark} -->' if path.suffix == '.md' else f'# {mark}'}\n"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` on a file beside `path`, then rename it to `path`, so that it is there whole or not at
    all, even if the process or the machine stops on the way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{path.suffix}"
    temporary.touch(exist_ok=False)  # with the rights that new files have here
    try:
        write(temporary)
        to_disk(temporary)
        temporary.replace(path)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until the file, or the folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
