"""Reviews with triplets from what `d2e2s predict` writes: tables, or the folder of a corpus; or from raw reviews."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..prediction.predict import predicted, with_progress
from ..prediction.shards import read_predictions
from ..prediction.tables import OUTPUT_COLUMN, Table, check_column, read_table
from ..prediction.text_lines import SEPARATORS
from ..prediction.writers import TRIPLET_COLUMNS, rows_of
from .counts import Review

Row = dict[str, Any]
DATE_FORMS = "a day such as 2024-05-31, or a date and time as ISO 8601 has it"


class Source:
    """Where reviews come from, and which of their columns matter.

    Args:
        load: makes the pipeline, if the reviews have no triplets yet.
        text_column, output_column: with the text, and with the triplets.
        by, date_column: with the group and the day of each review.
    """

    def __init__(
        self,
        load: Callable[[], TripletExtractionPipeline],
        text_column: str,
        output_column: str = OUTPUT_COLUMN,
        by: str | None = None,
        date_column: str | None = None,
    ) -> None:
        self.load, self.text_column, self.output_column = load, text_column, output_column
        self.by, self.date_column = by, date_column

    def read(self, place: str) -> Iterator[Review]:
        """The reviews of a file or of the folder of a corpus.

        Raises:
            UserError: a file that is none of those, a column that is missing, or a day that is none.
            OSError: no such file or folder.
        """
        if Path(place).is_dir():
            yield from self._reviews(place, read_predictions(place))
            return
        table = read_table(place)
        for column, option in ((self.by, "--by"), (self.date_column, "--date_column")):
            if column is not None:
                check_column(table, column, option)
        yield from self._reviews(place, self._rows(table))

    def _rows(self, table: Table) -> Iterable[Row]:
        if self.output_column in table.features:
            return map(self._parsed, rows_of(table.batches))
        if set(TRIPLET_COLUMNS) <= set(table.features) and Path(table.name).suffix.lower() in SEPARATORS:
            return self._of_lines(rows_of(table.batches))
        extract = self.load()
        batches = predicted(extract, table, self.text_column, self.output_column)
        return rows_of(with_progress(extract, batches))

    def _parsed(self, row: Row) -> Row:
        triplets = row[self.output_column]
        return {**row, self.output_column: json.loads(triplets) if isinstance(triplets, str) else triplets}

    def _of_lines(self, lines: Iterable[Row]) -> Iterator[Row]:
        """The rows of a table with a line for each triplet: lines that are alike but for it are one."""

        def others(line: Row) -> list[tuple[str, Any]]:
            return [(name, value) for name, value in line.items() if name not in TRIPLET_COLUMNS]

        for columns, group in groupby(lines, key=others):
            triplets = [
                {"aspect": {"text": plain(line["aspect"])}, "opinion": {"text": plain(line["opinion"])}}
                | {"sentiment": line["sentiment"]}
                for line in group
                if line["aspect"]
            ]
            yield {**dict(columns), self.output_column: triplets}

    def _reviews(self, place: str, rows: Iterable[Row]) -> Iterator[Review]:
        for number, row in enumerate(rows, start=1):
            missing = [name for name in (self.by, self.date_column) if name is not None and name not in row]
            if missing:
                raise UserError(f"{place}: no column {missing[0]!r}, only {', '.join(map(repr, row))}")
            text = row.get(self.text_column) or ""
            yield Review(
                text if isinstance(text, str) else " ".join(text),
                row[self.output_column] or [],
                None if self.by is None else str(row[self.by]),
                None if self.date_column is None else month(row[self.date_column], f"{place}: row {number}"),
            )


def plain(cell: str) -> str:
    """A cell as it was before it was made harmless for spreadsheets."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@", "\t", "\r", "\n") else cell


def month(value: Any, where: str) -> str | None:
    """The month of a day, such as `2024-05`; None for no day.

    Raises:
        UserError: something else.
    """
    if value is None or value == "":
        return None
    try:
        day = value if isinstance(value, datetime.date) else datetime.datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise UserError(f"{where}: {value!r:.40} is no day; expected {DATE_FORMS}") from None
    return f"{day:%Y-%m}"
