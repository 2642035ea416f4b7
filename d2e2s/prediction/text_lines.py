"""Rows of a file of lines (JSONL, CSV, TSV, plain text) one at a time; a bad row is told apart and stops nothing.

The file is read as bytes, so that a row is known by its place, reading may begin at any row, and bytes that are not
UTF-8 spoil one row only. (`datasets` streams too, but neither from a byte on nor past a row that it cannot read.)
"""

import csv
import json
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any, NamedTuple, Self

from ..errors_d2e2s import UserError

TEXT_COLUMN = "text"
SEPARATORS = {".csv": ",", ".tsv": "\t"}
MAX_LINE_BYTES = 2**20
SHOWN_BYTES = 500
SHOWN_COLUMNS = 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        line: number of its first line (Parquet: of the row), from 1.
        values: its columns; None if it is rejected.
        reason: why it is rejected.
        raw: how it begins, for people.
    """

    line: int
    values: dict[str, Any] | None
    reason: str = ""
    raw: str = ""


class Lines:
    """Iterates over lines as text, and knows where it is.

    Lines end with a line feed; in a file that begins without any, but with carriage returns, with those. A line that is
    too long is cut, and bytes that are not UTF-8 are replaced; the row then is a rejected one.

    Attributes:
        offset: where the next line begins, in bytes.
        number: of the next line, from 1.
        first: number of the row's first line.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        begin = file.readline(MAX_LINE_BYTES)
        self._end = b"\r" if b"\n" not in begin and b"\r" in begin else b"\n"
        self.go_to(0, 1)

    def go_to(self, offset: int, number: int) -> None:
        """Go on with line `number`, which begins at `offset`."""
        self._file.seek(offset)
        self.offset, self.number = offset, number
        self.begin_row()

    def begin_row(self) -> None:
        """Take the next line for the first of a row; the lines since the row before are none."""
        self.first, self._raw, self._faults = self.number, b"", list[str]()
        self._second_offset = self.offset

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._read_line()
        if not line:
            raise StopIteration
        self._skip_rest(line)
        self.offset, self.number = self._file.tell(), self.number + 1
        if not self._raw:
            self._second_offset, self._raw = self.offset, line[:SHOWN_BYTES]
        return self._decoded(line.removeprefix(BYTE_ORDER_MARK) if self.number == 2 else line)

    def _read_line(self) -> bytes:
        if self._end == b"\n":
            return self._file.readline(MAX_LINE_BYTES)
        line = b""
        while not line.endswith(self._end) and (block := self._file.peek()[: MAX_LINE_BYTES - len(line)]):
            line += self._file.read(block.find(self._end) + 1 or len(block))
        return line

    def _skip_rest(self, line: bytes) -> None:
        if len(line) == MAX_LINE_BYTES and not line.endswith(self._end):
            self._faults.append(f"a line of {MAX_LINE_BYTES} bytes or more")
            while line and not line.endswith(self._end):
                line = self._read_line()

    def _decoded(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self._faults.append(f"not UTF-8 (byte {line[error.start]:#x}); save the file as UTF-8")
            return line.decode(errors="replace")

    def row(self, values: dict[str, Any], reason: str = "") -> Row:
        """The row of the lines since the row before."""
        reason = self._faults[0] if self._faults else reason
        raw = self._raw.decode(errors="replace").rstrip("\r\n")
        row = Row(self.first, None, reason, raw) if reason else Row(self.first, values)
        self.begin_row()
        return row

    def first_line_is_row(self, reason: str) -> Row:
        """Reject the first of the lines since the row before, and go on with the second."""
        second = (self._second_offset, self.first + 1)
        row = self.row({}, reason)
        self.go_to(*second)
        return row


def line_rows(lines: Lines, suffix: str, header: Sequence[str]) -> Iterator[Row]:
    """The rows from here on; after each one, `lines.offset` is where it ends.

    Args:
        header: what `read_header` gave.
    """
    if suffix == ".jsonl":
        return _json_rows(lines)
    if suffix in SEPARATORS:
        return _delimited_rows(lines, SEPARATORS[suffix], header)
    return (lines.row({TEXT_COLUMN: line.rstrip("\r\n")}) for line in lines)


def read_header(lines: Lines, suffix: str) -> Sequence[str]:
    """Names of the columns, as far as the file names them; `lines` then is at the first row.

    Blanks around a name go; a column without one, as pandas writes its index, is called what pandas calls it.

    Raises:
        UserError: a header that is malformed or names a column twice.
    """
    if suffix not in SEPARATORS:
        return [] if suffix == ".jsonl" else [TEXT_COLUMN]
    separator = SEPARATORS[suffix]
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = next(filter(None, rows), [])
    except csv.Error as error:
        raise UserError(f"header: {error}{other_separator([lines.row({}, 'bad').raw], separator)}") from None
    if reason := lines.row({}).reason:
        raise UserError(f"header: {reason}")
    return checked_names([name.strip() or f"Unnamed: {place}" for place, name in enumerate(names)])


def other_separator(header: Sequence[str], separator: str | None) -> str:
    """What to add to an error of a file whose one column may be several, parted as some spreadsheets do; or nothing."""
    names = {",": "commas", "\t": "tabs", ";": "semicolons"}
    found = [name for mark, name in names.items() if mark in header[0] and mark != separator] if header else []
    if len(header) != 1 or separator not in names or not found:
        return ""
    return f"; are its columns parted by {found[0]}? save it with {names[separator]}"


def checked_names(names: Sequence[str]) -> Sequence[str]:
    """The names of columns.

    Raises:
        UserError: a name stands there twice, or holds a NUL, where other readers would end it.
    """
    seen = set[str]()
    for name in names:
        if "\0" in name:
            raise UserError(f"header: column {name!r} holds a NUL character")
        if name in seen:
            raise UserError(f"header: column {name!r} stands there twice")
        seen.add(name)
    return names


def no_column(column: str, option: str, names: Sequence[str], separator: str | None = None) -> UserError:
    """What to say of a column that is not there; `option` is what names it."""
    known = ", ".join(map(repr, names[:SHOWN_COLUMNS])) + ", ..." * (len(names) > SHOWN_COLUMNS)
    return UserError(f"no column {column!r}; choose {option} from: {known}{other_separator(names, separator)}")


def _json_rows(lines: Lines) -> Iterator[Row]:
    """One object a line; blank lines are no rows."""
    for line in lines:
        if line.isspace():
            lines.begin_row()
        else:
            yield lines.row(*_json_object(line))


def _json_object(line: str) -> tuple[dict[str, Any], str]:
    """The object, or why there is none."""
    try:
        # NaN and the infinities are no JSON, but often written; NaN says that there is no value.
        values = json.loads(line.rstrip("\r\n"), parse_constant=lambda name: None if name == "NaN" else float(name))
        if "\\u" in line:
            json.dumps(values, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return {}, f"no JSON ({error.msg}, character {error.pos + 1})"
    except UnicodeEncodeError:
        return {}, "half of a surrogate pair, which is no Unicode text"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        return {}, f"JSON that cannot be read ({error})"
    return (values, "") if isinstance(values, dict) else ({}, f"JSON {type(values).__name__}; expected an object")


def _delimited_rows(lines: Lines, separator: str, header: Sequence[str]) -> Iterator[Row]:
    """Rows of CSV or TSV; blank lines are no rows.

    A quote that is never closed would take the rows below along: of a bad row only the first line is rejected.
    """
    rows = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.first_line_is_row(str(error))
            continue
        if not values:
            lines.begin_row()
        elif len(values) != len(header):
            reason = f"{len(values)} values for {len(header)} columns"
            yield lines.first_line_is_row(reason + other_separator(header, separator))
        else:
            yield lines.row(dict(zip(header, values, strict=True)))
