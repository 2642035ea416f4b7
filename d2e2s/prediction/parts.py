"""Rows of a file of any kind in parts: how a file is divided, what its columns are, and the rows of one part."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet
from datasets import Features, List, Value
from pyarrow import types

from ..errors_d2e2s import UserError
from .tables import is_text
from .text_lines import SEPARATORS, SHOWN_BYTES, Lines, Row, checked_names, line_rows, no_column, read_header

ROWS_AT_ONCE = 1024
MAX_COLUMNS = 1000


class Part(NamedTuple):
    """Consecutive rows of one file, which make one shard.

    Attributes:
        file: number of the file.
        start, end: the range of bytes (Parquet: of rows, from 0).
        line: number of the first line (Parquet: row), from 1.
        rows: how many rows, rejected ones included.
    """

    file: int
    start: int
    end: int
    line: int
    rows: int


class Rows(NamedTuple):
    """Consecutive rows: the good ones as a table, their texts, and the rejected ones."""

    table: pyarrow.Table
    texts: list[Any]
    rejected: list[Row]


def plan_parts(path: Path, file: int, columns: ColumnKinds, text_column: str, rows_per_part: int) -> list[Part]:
    """Divide a file into parts. A file of lines is read once for it, row by row.

    Args:
        file: its number, for the parts.
        columns: learns the columns of this file.

    Raises:
        UserError: a header or a Parquet file that cannot be read, no text column, or columns that do not fit those
            of another file.
    """
    plan = _plan_parquet if _is_parquet(path) else _plan_lines
    with errors_of(path):
        return plan(path, file, columns, text_column, rows_per_part)


def read_part(
    path: Path, part: Part, features: Features, text_column: str, as_json: Sequence[str] = ()
) -> Iterator[Rows]:
    """The rows of a part, at most `ROWS_AT_ONCE` at a time.

    Args:
        features: columns of the tables.
        as_json: those of them that are kept as JSON text.

    Raises:
        UserError: a file that is damaged, or is not the one that was planned.
    """
    with errors_of(path):
        if _is_parquet(path):
            yield from _read_parquet(path, part, features, text_column)
        else:
            yield from _read_lines(path, part, features, text_column, as_json)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


@contextmanager
def errors_of(path: str | Path) -> Iterator[None]:
    """What a file that cannot be read raises, with its name; a fault of the disk or of the code stays what it is."""
    try:
        yield
    except (UserError, OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        if isinstance(error, OSError) and not _is_damage(error):
            raise
        raise UserError(f"{path}: cannot be read: {str(error).strip()}") from None


def _checked(row: Row, text_column: str) -> Row:
    """The row, rejected if it has something else in place of a text."""
    if row.values is None or is_text(text := row.values.get(text_column)):
        return row
    return _rejected(row, f"{text_column} is {reprlib.repr(text)}; expected text")


def _rejected(row: Row, reason: str) -> Row:
    return Row(row.line, None, reason, json.dumps(row.values, ensure_ascii=False, default=str)[:SHOWN_BYTES])


# --- columns ----------------------------------------------------------------------------------------------

FEATURE_OF_KIND: dict[str, Any] = {
    "null": Value("string"),
    "bool": Value("bool"),
    "int": Value("int64"),
    "long": Value("int64"),
    "float": Value("float64"),
    "text": Value("string"),
    "texts": List(Value("string")),
    "ints": List(Value("int64")),
    "json": Value("string"),
}
KIND_OF_TYPE = {type(None): "null", bool: "bool", float: "float", str: "text"}
KIND_OF_BOTH = {frozenset(("int", "long")): "long", frozenset(("int", "float")): "float"}
EXACT_IN_FLOAT64, EXACT_IN_INT64 = 2**53, 2**63


class ColumnKinds:
    """The columns of all rows that were seen, each with the one type that holds all its values.

    Of JSONL, values that no simple type holds (objects, values of several kinds) are kept as JSON text.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._schema: pyarrow.Schema | None = None

    def add_row(self, values: dict[str, Any]) -> None:
        """Learn from a row of JSONL."""
        for name, value in values.items():
            kind, known = _kind(value), self._kinds.get(name)
            if kind != known:
                self._kinds[name] = kind if known is None else _kind_of_both(kind, known)
        if len(self._kinds) > MAX_COLUMNS:
            raise UserError(f"more than {MAX_COLUMNS} different columns")

    def add_names(self, names: Iterable[str]) -> None:
        """Learn from a header; all values are text."""
        self._kinds.update(dict.fromkeys(names, "text"))

    def add_schema(self, schema: pyarrow.Schema) -> None:
        """Learn from a Parquet file."""
        known = [self._schema] if self._schema is not None else []
        self._schema = pyarrow.unify_schemas([*known, _plain(schema)], promote_options="permissive")

    @property
    def features(self) -> Features:
        if self._schema is not None:
            return features_of(self._schema)
        return Features({name: FEATURE_OF_KIND[kind] for name, kind in self._kinds.items()})

    @property
    def as_json(self) -> list[str]:
        """Names of the columns that are kept as JSON text."""
        return [name for name, kind in self._kinds.items() if kind == "json"]


def features_of(schema: pyarrow.Schema) -> Features:
    """Raises: UserError: what `datasets` left in the file says something else."""
    try:
        return Features.from_arrow_schema(schema)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"columns of unknown types ({type(error).__name__}: {error})") from None


def _kind(value: Any) -> str:
    known = KIND_OF_TYPE.get(type(value))
    if known is not None:
        return known
    if isinstance(value, int):
        size = abs(value)
        return "int" if size <= EXACT_IN_FLOAT64 else "long" if size < EXACT_IN_INT64 else "json"
    inner = {_kind(item) for item in value} if isinstance(value, list) else {"json"}
    return "texts" if inner <= {"text"} else "ints" if inner <= {"int", "long"} else "json"


def _kind_of_both(one: str, other: str) -> str:
    """The narrowest kind that holds the values of both."""
    kinds = frozenset((one, other)) - {"null"}
    return next(iter(kinds)) if len(kinds) == 1 else KIND_OF_BOTH.get(kinds, "json")


# --- files of lines ---------------------------------------------------------------------------------------


def _plan_lines(path: Path, file: int, columns: ColumnKinds, text_column: str, rows_per_part: int) -> list[Part]:
    suffix, parts, count = path.suffix.lower(), list[Part](), 0
    with path.open("rb") as opened:
        lines = Lines(opened)
        header = read_header(lines, suffix)
        if suffix != ".jsonl":
            if text_column not in header:
                raise no_column(text_column, "--text_column", header, SEPARATORS.get(suffix))
            columns.add_names(header)
        start, line = lines.offset, lines.number
        for row in line_rows(lines, suffix, header):
            row, count = _checked(row, text_column), count + 1
            if suffix == ".jsonl" and row.values is not None:
                columns.add_row(row.values)
            if count == rows_per_part:
                parts.append(Part(file, start, lines.offset, line, count))
                start, line, count = lines.offset, lines.number, 0
        checked_names(list(columns.features))
        return [*parts, Part(file, start, lines.offset, line, count)] if count else parts


def _read_lines(path: Path, part: Part, features: Features, text_column: str, as_json: Sequence[str]) -> Iterator[Rows]:
    suffix = path.suffix.lower()
    with path.open("rb") as opened:
        lines = Lines(opened)
        header = read_header(lines, suffix)
        lines.go_to(part.start, part.line)
        rows = (_checked(row, text_column) for row in islice(line_rows(lines, suffix, header), part.rows))
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            good = [row.values for row in chunk if row.values is not None]
            texts = [values.get(text_column) for values in good]
            for values in good:
                values.update({name: json_text(values[name]) for name in as_json if name in values})
            table = pyarrow.Table.from_pylist(good, schema=features.arrow_schema)
            yield Rows(table, texts, [row for row in chunk if row.values is None])


def json_text(value: Any) -> str | None:
    """A value of a column that is kept as JSON text."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


# --- Parquet ----------------------------------------------------------------------------------------------


def _plan_parquet(path: Path, file: int, columns: ColumnKinds, text_column: str, rows_per_part: int) -> list[Part]:
    schema, total = parquet_columns(path)
    check_text_column(schema, text_column, "--text_column")
    columns.add_schema(schema)
    starts = range(0, total, rows_per_part)
    return [Part(file, start, end := min(start + rows_per_part, total), start + 1, end - start) for start in starts]


def check_text_column(schema: pyarrow.Schema, text_column: str, option: str) -> None:
    """Raises: UserError: no such column, or one that holds no texts; `option` is what names it."""
    if text_column not in schema.names:
        raise no_column(text_column, option, schema.names)
    kind = _plain_type(schema.field(text_column).type)
    is_list = types.is_list(kind) or types.is_large_list(kind)
    if not is_list and kind not in (pyarrow.string(), pyarrow.large_string(), pyarrow.null()):
        raise UserError(f"column {text_column!r} is {kind}; expected text, or lists of words")


def parquet_columns(path: Path) -> tuple[pyarrow.Schema, int]:
    """Columns of a file, and how many rows it has.

    Raises:
        UserError: names that cannot be used, or a damaged footer.
    """
    with pyarrow.parquet.ParquetFile(path) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
    total = metadata.num_rows
    if total != (held := sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))):
        raise UserError(f"the footer says {total} rows, its row groups hold {held}: the file is damaged")
    checked_names(schema.names)
    return schema, total


def _plain(schema: pyarrow.Schema) -> pyarrow.Schema:
    """The columns without dictionaries and views, which Arrow does not unify with their plain types."""
    return pyarrow.schema((field.with_type(_plain_type(field.type)) for field in schema), metadata=schema.metadata)


def _plain_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return {pyarrow.string_view(): pyarrow.string(), pyarrow.binary_view(): pyarrow.binary()}.get(kind, kind)


def _read_parquet(path: Path, part: Part, features: Features, text_column: str) -> Iterator[Rows]:
    line = part.line
    for table, damaged in row_range(path, part.start, part.end):
        rows = [*_fitting(text_rows(table[text_column], text_column, line), table, features, line), *damaged]
        good = pyarrow.array([row.line - line for row in rows if row.values is not None], "int64")
        texts = [row.values[text_column] for row in rows if row.values is not None]
        line += len(rows)
        yield Rows(_cast(table.take(good), features), texts, [row for row in rows if row.values is None])


def row_range(path: Path, start: int, end: int) -> Iterator[tuple[pyarrow.Table, list[Row]]]:
    """Rows [start, end) of a Parquet file, and those of them that are damaged; other row groups are not read."""
    with pyarrow.parquet.ParquetFile(path, memory_map=False, page_checksum_verification=True) as file:
        first = 0
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if first < end and start < first + count:
                yield from _group_range(file, group, first, max(start, first), min(end, first + count))
            first += count


def _group_range(
    file: pyarrow.parquet.ParquetFile, group: int, first: int, start: int, end: int
) -> Iterator[tuple[pyarrow.Table, list[Row]]]:
    """Rows [start, end) of a file that lie in one row group, which begins at row `first`.

    Pages have no row numbers, so that what follows a page that cannot be read is not to be had: it is rejected, up to
    the next row group. Where the batches begin does not depend on `start`, so that all parts agree on the rows.
    """
    reason = "holds fewer rows than the footer says"
    try:
        for table in _slices(file.iter_batches(ROWS_AT_ONCE, row_groups=[group]), start - first, end - first):
            yield table, []
            start += len(table)
    except (OSError, pyarrow.ArrowException) as error:
        if not _is_damage(error):
            raise
        reason = f"is damaged: {str(error).strip()}"
    if start < end:
        rejected = [Row(number + 1, None, f"row group {group + 1} {reason}") for number in range(start, end)]
        yield _plain(file.schema_arrow).empty_table(), rejected


def _is_damage(error: Exception) -> bool:
    """Whether Arrow means what the file holds, and not the disk that it lies on or the memory."""
    return not isinstance(error, MemoryError) and getattr(error, "errno", None) is None


def _slices(batches: Iterable[pyarrow.RecordBatch], start: int, end: int) -> Iterator[pyarrow.Table]:
    """What lies in rows [start, end) of the batches, counted from the first batch."""
    first = 0
    for batch in batches:
        low, high = max(start - first, 0), min(end - first, len(batch))
        if low < high:
            table = pyarrow.Table.from_batches([batch.slice(low, high - low)])
            yield table.cast(_plain(table.schema))
        first += len(batch)
        if first >= end:
            return


def text_rows(column: pyarrow.ChunkedArray, name: str, line: int = 1) -> Iterator[Row]:
    """A row for each value of a column of texts, the first of which is `line`; what is no text is rejected.

    Arrow does not check that strings are UTF-8.
    """
    for number, text in enumerate(column, start=line):
        try:
            yield _checked(Row(number, {name: text.as_py()}), name)
        except UnicodeDecodeError as error:
            raw = error.object.decode(errors="replace")
            yield Row(number, None, f"not UTF-8 (byte {error.object[error.start]:#x})", raw[:SHOWN_BYTES])


def _fitting(rows: Iterable[Row], table: pyarrow.Table, features: Features, line: int) -> Iterator[Row]:
    """The rows of a table, the first of which is `line`; those with a value that its column cannot hold are rejected.

    A column has one type in all files, and a float, say, does not hold every integer.
    """
    all_fit = not _misfit(table, features)
    for row in rows:
        misfit = "" if all_fit or row.values is None else _misfit(table.slice(row.line - line, 1), features)
        yield _rejected(row, misfit) if misfit else row


def _misfit(rows: pyarrow.Table, features: Features) -> str:
    try:
        _cast(rows, features)
    except pyarrow.ArrowInvalid as error:
        return f"does not fit the columns of all files together: {error}"
    return ""


def _cast(table: pyarrow.Table, features: Features) -> pyarrow.Table:
    """The table with these columns, empty where it has none of that name."""
    schema, names = features.arrow_schema, table.column_names
    columns = [table[f.name].cast(f.type) if f.name in names else pyarrow.nulls(len(table), f.type) for f in schema]
    return pyarrow.Table.from_arrays(columns, schema=schema)
