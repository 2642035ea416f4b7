"""Rows of one file, a few at a time, with every column as it stands; a row that cannot be read is an error.

(`corpus` reads many files, goes on past such rows, and sets them aside.)
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors_d2e2s import UserError
from .parts import ROWS_AT_ONCE, ColumnKinds, errors_of, features_of, parquet_columns, row_range
from .tables import FORMATS, Columns, Table
from .text_lines import Lines, checked_names, line_rows, read_header


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
        if suffix != ".parquet":
            return _lines_table(path)
        schema, total = parquet_columns(Path(path))
        return Table(path, features_of(schema), _read_parquet(path, total))


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


def _read_parquet(path: str, total: int) -> Iterator[Columns]:
    with errors_of(path):
        for table, damaged in row_range(Path(path), 0, total):
            if damaged:
                raise UserError(damaged[0].reason)
            yield table.to_pydict()
