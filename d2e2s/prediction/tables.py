"""Rows of one file, a few at a time, with every column as it stands; a row that cannot be read is an error.

(`corpus` reads many files, goes on past such rows, and sets them aside.)
"""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Features, Value

from ..errors_d2e2s import UserError
from ..words_d2e2s import is_blank
from .parts import FORMATS, ROWS_AT_ONCE, ColumnKinds, errors_of, features_of, is_text, parquet_columns, row_range
from .text_lines import SEPARATORS, TEXT_COLUMN, Lines, checked_names, line_rows, no_column, read_header

OUTPUT_COLUMN = "predicted_triplets"
STDIN = "-"

Columns = dict[str, list[Any]]


@dataclass
class Table:
    """Rows of a file, a few at a time.

    Attributes:
        features: types of the columns.
        batches: the columns of some rows each.
        as_json: the columns whose values have no type in common; a file that needs one keeps them as JSON text.
        empty: how many texts that were read are empty.
    """

    name: str
    features: Features
    batches: Iterable[Columns]
    as_json: list[str] = field(default_factory=list)
    empty: int = field(default=0, init=False)

    def texts(self, column: str) -> Iterator[tuple[Columns, list[Any]]]:
        """Each batch with its texts (a list of words is one as well); counts in `empty` those that are none.

        Raises:
            UserError: a row with something else in place of a text, with its number; or no row with a text.
        """
        done = 0
        for batch in self.batches:
            texts = batch[column]
            for number, text in enumerate(texts, start=done + 1):
                if not is_text(text):
                    raise UserError(f"{self.name}: row {number}: {column} is {reprlib.repr(text)}; expected text")
                self.empty += is_blank(text)
            done += len(texts)
            yield batch, texts
        if done == self.empty:
            raise UserError(f"{self.name}: no text in column {column!r}")


def check_columns(table: Table, text_column: str, output_column: str = OUTPUT_COLUMN) -> None:
    """Whether there is a column to read, and none of the name to write."""
    check_column(table, text_column, "--text_column")
    if output_column in table.features:
        raise UserError(f"{table.name}: has a column {output_column!r} already; give another --output_column")


def check_column(table: Table, column: str, option: str) -> None:
    """Whether there is a column; `option` is what names it."""
    if column not in table.features:
        separator = SEPARATORS.get(Path(table.name).suffix.lower())
        raise UserError(f"{table.name}: {no_column(column, option, [*table.features], separator)}")


def read_table(path: str) -> Table:
    """Stream a `.jsonl`, `.csv`, `.tsv`, `.parquet` or `.txt` file (one text a line).

    A file of lines is read once before, so that a row that cannot be read is told before any work is done. Columns of
    CSV and TSV stay text as they stand: `007` stays `007`, `NA` stays `NA`. JSONL keeps its values; a row without one
    of the columns has None there.

    Raises:
        FileNotFoundError: no such file.
        UserError: another kind of file, no rows, or one that is not UTF-8 or malformed, with its line.
    """
    suffix = Path(path).suffix.lower()
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    if suffix not in FORMATS:
        raise UserError(f"{path}: cannot read {suffix or 'this'} files; expected {', '.join(FORMATS)}")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file")
    with errors_of(path):
        return _parquet_table(path) if suffix == ".parquet" else _lines_table(path)


def read_stdin() -> Table:
    """Standard input, a text a line, under the rules of a `.txt` file.

    Raises:
        UserError: a line that is not UTF-8, or no line.
    """
    lines = Lines(BufferedReader(BytesIO(sys.stdin.buffer.read())))
    texts = []
    for row in line_rows(lines, ".txt", [TEXT_COLUMN]):
        if row.values is None:
            raise UserError(f"standard input: line {row.line}: {row.reason}")
        texts.append(row.values[TEXT_COLUMN])
    return Table("standard input", Features({TEXT_COLUMN: Value("string")}), [{TEXT_COLUMN: texts}])


def _lines_table(path: str) -> Table:
    kinds, is_json = ColumnKinds(), Path(path).suffix.lower() == ".jsonl"
    with open(path, "rb") as file:
        kinds.add_names(read_header(Lines(file), Path(path).suffix.lower()))
    for values in _rows(path):
        if is_json:
            kinds.add_row(values)
    features = kinds.features
    if not checked_names(list(features)):
        raise UserError("no rows")
    return Table(path, features, _read_lines(path, list(features)), kinds.as_json)


def _read_lines(path: str, names: Sequence[str]) -> Iterator[Columns]:
    with errors_of(path):
        rows = _rows(path)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            yield {name: [values.get(name) for values in some] for name in names}


def _rows(path: str) -> Iterator[dict[str, Any]]:
    suffix = Path(path).suffix.lower()
    with open(path, "rb") as file:
        lines = Lines(file)
        for row in line_rows(lines, suffix, read_header(lines, suffix)):
            if row.values is None:
                raise UserError(f"line {row.line}: {row.reason}")
            yield row.values


def _parquet_table(path: str) -> Table:
    schema, total = parquet_columns(Path(path))
    return Table(path, features_of(schema), _read_parquet(path, total))


def _read_parquet(path: str, total: int) -> Iterator[Columns]:
    with errors_of(path):
        for table, damaged in row_range(Path(path), 0, total):
            if damaged:
                raise UserError(damaged[0].reason)
            yield table.to_pydict()
