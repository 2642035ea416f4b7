"""What an inference endpoint of the Hub needs beside a model: its handler, and what that must find installed."""

import re
from importlib.metadata import requires
from pathlib import Path

from ..data_scripts.files import write_marked

HANDLER, REQUIREMENTS = "handler.py", "requirements.txt"
# What the files that travel with a checkpoint import; the rest of our requirements is for training and files.
IMPORTED = {"torch", "transformers", "tokenizers", "huggingface-hub", "safetensors", "sentencepiece", "protobuf"}


def write_endpoint(folder: Path) -> None:
    """Put the handler and its requirements, lower bounds only, into the folder of a model; what somebody wrote stays.

    Raises:
        OSError: they cannot be written.
    """
    write_marked(folder / HANDLER, Path(__file__).with_name(HANDLER).read_text(encoding="utf-8"))
    lines = [line for line in requires("d2e2s") or () if _name(line) in IMPORTED]
    write_marked(folder / REQUIREMENTS, "\n".join(lines))


def _name(requirement: str) -> str:
    """Of a package, as PyPI writes it; none for what only an extra needs."""
    return "" if ";" in requirement else re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
