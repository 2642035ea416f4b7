"""Rows as columns, a few at a time, whatever they are read from; what it takes to read files is in `readers`.

Texts need none of that: nothing here imports `datasets`, which takes as long as the answer to a text.
"""

import json
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from ..errors_d2e2s import UserError
from ..words_d2e2s import is_blank
from .text_lines import SEPARATORS, TEXT_COLUMN, Lines, line_rows, no_column

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet", ".txt")
OUTPUT_COLUMN = "predicted_triplets"
STDIN = "-"

Columns = dict[str, list[Any]]


@dataclass
class Table:
    """Rows of a file, or texts, a few at a time.

    Attributes:
        features: types of the columns, as `datasets` has them; None is text.
        batches: the columns of some rows each.
        as_json: the columns whose values have no type in common; a file that needs one keeps them as JSON text.
        empty: how many texts that were read are empty.
    """

    name: str
    features: Mapping[str, Any]
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


def text_table(name: str, texts: list[Any]) -> Table:
    return Table(name, {TEXT_COLUMN: None}, [{TEXT_COLUMN: texts}])


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
    return text_table("standard input", texts)


def is_text(value: Any) -> bool:
    """Whether it is a text, a list of words, or nothing: what is blank is read, and has no triplets."""
    is_words = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    return is_words or isinstance(value, str) or is_blank(value)


def text_of(value: str | list[str] | None) -> str:
    """What `is_text` lets through as one string."""
    return value if isinstance(value, str) else " ".join(value or ())


def rows_of(batches: Iterable[Columns]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
