"""Arguments of a run from YAML files and the command line, checked alike."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from transformers import HfArgumentParser

from ..errors_d2e2s import UserError
from .arguments import Arguments, CommandTrainingArguments, ConfigArguments, DataArguments, ModelArguments

# Where the model starts from: one of them.
STARTS = {"encoder_name_or_path", "model_name_or_path", "ensemble_of"}


def parse_arguments(argv: Sequence[str], values: Mapping[str, Any] | None = None) -> Arguments:
    """Read `[CONFIG.yaml ...] [--argument value ...]`; a later file overrides an earlier one, the command line all.

    `null` in a file takes back what an earlier one says. A checkpoint to go on from overrides an earlier file's
    encoder, and the other way round.

    Args:
        values: what a file before all others would say.

    Raises:
        UserError: an unknown key or argument, or a value that does not fit.
        FileNotFoundError: no such configuration file.
        SystemExit: code 2, a value of the wrong type; argparse has then printed the reason.
    """
    groups = (ModelArguments, ConfigArguments, DataArguments, CommandTrainingArguments)
    parser = HfArgumentParser(
        groups,  # type: ignore[arg-type]
        prog="run_aste.py",
        usage="%(prog)s [CONFIG.yaml ...] [--argument value ...]",
        allow_abbrev=False,
    )
    known = {f.name for group in groups for f in fields(group) if f.init}
    files = list(takewhile(lambda word: not word.startswith("-"), argv))
    sources = [_mapping_arguments(values or {}, known), *(_file_arguments(Path(file), known) for file in files)]
    sources.append(Source(list(argv[len(files) :]), set()))
    words = [word for place, source in enumerate(sources) for word in _still_said(source, sources[place + 1 :])]
    *parsed, unknown = _parsed(parser, words)
    if unknown:
        raise UserError(f"unknown argument {unknown[0]}{_suggestion(unknown[0].lstrip('-').split('=')[0], known)}")
    arguments = Arguments(*parsed)
    arguments.check()
    return arguments


def _parsed(parser: HfArgumentParser, words: list[str]) -> tuple[Any, ...]:
    """The groups of arguments, and the words that belong to none.

    Raises:
        UserError: values that the Trainer's own arguments refuse.
    """
    try:
        return parser.parse_args_into_dataclasses(words, look_for_args_file=False, return_remaining_strings=True)
    except ValueError as error:
        raise UserError(str(error)) from error


class Source(NamedTuple):
    """What one file or the command line says.

    Attributes:
        words: as on a command line.
        unset: arguments that are given no value (`null`): what earlier sources say of them does not count.
    """

    words: list[str]
    unset: set[str]


def _still_said(source: Source, later: Sequence[Source]) -> list[str]:
    """The words of a source without what a later one unsets, or replaces: where the model starts from."""
    gone = {name for other in later for name in other.unset}
    if any(argument_name(word) in STARTS for other in later for word in other.words):
        gone |= STARTS
    kept, dropped = [], False
    for word in source.words:
        if word.startswith("--"):
            dropped = argument_name(word) in gone
        if not dropped:  # neither the argument, nor what follows it
            kept.append(word)
    return kept


def argument_name(word: str) -> str:
    """The argument that a word of a command line names, `--train-file` as well; empty for any other word."""
    return word.removeprefix("--").split("=")[0].replace("-", "_") if word.startswith("--") else ""


def _file_arguments(path: Path, known: set[str]) -> Source:
    return _mapping_arguments(read_yaml(path, "configuration file") or {}, known, f"{path}: ")


def read_yaml(path: Path, what: str) -> Any:
    """What a YAML file says.

    Raises:
        FileNotFoundError: no such file; `what` says what was looked for.
        UserError: no YAML.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {what}")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def _mapping_arguments(values: Any, known: set[str], place: str = "") -> Source:
    """A mapping as command-line words, so that file and command line are checked alike."""
    if not isinstance(values, dict):
        raise UserError(f"{place}expected `argument: value` lines, found a {type(values).__name__}")
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{place}unknown key {key!r}{_suggestion(str(key), known)}")
        if not _is_flat(value):
            raise UserError(f"{place}{key}: expected a value, a list of values or a mapping of values")
    words = [word for key, value in values.items() for word in _words(key, value)]
    return Source(words, {key for key, value in values.items() if value is None})


def _is_flat(value: Any) -> bool:
    """Whether it has at most one level: what is nested by references grows beyond any memory when it is spelled out."""
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return not any(isinstance(item, list | dict | set) for item in inner)


def _words(key: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [f"--{key}", *map(str, value)]
    if isinstance(value, dict):
        return [f"--{key}={json.dumps(value)}"]
    return [f"--{key}={value}"]


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
