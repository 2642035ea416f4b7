"""Files of rows with their triplets: JSONL and Parquet, a row each; CSV for a spreadsheet, a line for each triplet."""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
from datasets import Dataset, Features, List, Value

from ..checkpoints import check_writable
from ..data_scripts.files import write_atomically
from ..errors_d2e2s import UserError
from .parts import json_text
from .tables import OUTPUT_COLUMN, Columns, rows_of, to_json

_TERM = {"text": Value("string"), "start": Value("int64"), "end": Value("int64")}
TRIPLETS = List({"aspect": _TERM, "opinion": _TERM, "sentiment": Value("string"), "score": Value("float64")})
TRIPLET_COLUMNS = ("aspect", "opinion", "sentiment", "score")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs what begins with one of these
SUFFIXES = (".jsonl", ".parquet", ".csv")


def check_output(path: str, source: str = "") -> None:
    """Make the folder of a file, and see that the file can be written there.

    Args:
        source: the file that is read, if it is one.

    Raises:
        UserError: another suffix than `SUFFIXES`, or the file that is read.
        OSError: it is a folder, or its folder cannot be made or written to.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot write this kind of file; expected {', '.join(SUFFIXES)}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; expected a file name")
    if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
        raise UserError(f"{path}: is the file that is read; give the output another name")
    check_writable(Path(path).parent)


def write_table(
    path: str,
    batches: Iterable[Columns],
    features: Features,
    as_json: Sequence[str] = (),
    output_column: str = OUTPUT_COLUMN,
) -> None:
    """Write a file of one of the `SUFFIXES` as the batches come; it appears whole or not at all.

    Args:
        features: types of all columns.
        as_json: those of them that Parquet, which needs one type, keeps as JSON text.
        output_column: the one with the triplets.

    Raises:
        UserError: another suffix, or (Parquet) rows that do not fit the types.
    """
    check_output(path)
    others = [name for name in features if name != output_column]
    writers: dict[str, Callable[[Path], None]] = {
        ".jsonl": lambda new: _write_jsonl(new, batches),
        ".parquet": lambda new: _write_parquet(new, batches, features, as_json),
        ".csv": lambda new: _write_csv(new, batches, others, output_column),
    }
    write_atomically(Path(path), writers[Path(path).suffix])


def _write_jsonl(path: Path, batches: Iterable[Columns]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows_of(batches):
            file.write(to_json(row) + "\n")


def _write_parquet(path: Path, batches: Iterable[Columns], features: Features, as_json: Sequence[str]) -> None:
    with pyarrow.parquet.ParquetWriter(path, features.arrow_schema) as writer:
        for batch in batches:
            columns = {**batch, **{name: [*map(json_text, batch[name])] for name in as_json}}
            writer.write_table(Dataset.from_dict(columns, features=features).data.table)


def _write_csv(path: Path, batches: Iterable[Columns], names: Sequence[str], output_column: str) -> None:
    """A line for each triplet, with the columns of its row; one line for a row without."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark tells spreadsheets that it is UTF-8
        writer = csv.writer(file)
        writer.writerow(map(harmless, [*names, *(_new_name(name, names) for name in TRIPLET_COLUMNS)]))
        for row in rows_of(batches):
            values = [_cell(row[name]) for name in names]
            for triplet in row[output_column] or [None]:
                writer.writerow(map(harmless, [*values, *triplet_cells(triplet)]))


def triplet_cells(triplet: dict[str, Any] | None) -> list[Any]:
    """A triplet under `TRIPLET_COLUMNS`; empty cells for none."""
    if triplet is None:
        return [""] * len(TRIPLET_COLUMNS)
    return [triplet["aspect"]["text"], triplet["opinion"]["text"], triplet["sentiment"], round(triplet["score"], 3)]


def _new_name(name: str, taken: Sequence[str]) -> str:
    """The name of a column, `predicted_` before it if a column of the input has it."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def _cell(value: Any) -> Any:
    """Lists and objects as JSON text."""
    return to_json(value) if isinstance(value, list | dict) else value


def harmless(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula, with an apostrophe in front; `-5` is a number."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) and not _is_number(cell) else cell


def as_it_was(cell: Any) -> Any:
    """The text that `harmless` has put an apostrophe in front of."""
    text = cell[1:] if isinstance(cell, str) else ""
    return text if cell == f"'{text}" and harmless(text) == cell else cell


def _is_number(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdecimal() and text[0] in "+-"
