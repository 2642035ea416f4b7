"""Reviews with triplets from what `d2e2s predict` writes: tables, or the folder of a corpus; or from raw reviews."""

import datetime
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..prediction.predict import predicted, with_progress
from ..prediction.readers import read_table
from ..prediction.shards import read_predictions
from ..prediction.tables import OUTPUT_COLUMN, Table, check_column, is_text, rows_of, text_of
from ..prediction.text_lines import SEPARATORS
from ..prediction.writers import TRIPLET_COLUMNS, as_it_was
from .counts import Review

Row = dict[str, Any]
DATE_FORMS = "a day such as 2024-05-31, or a date and time as ISO 8601 has it"


@dataclass
class Source:
    """Where reviews come from, and which of their columns matter.

    Args:
        load: makes the pipeline, if the reviews have no triplets yet.
        text_column, output_column: with the text, and with the triplets.
        by, date_column: with the group and the day of each review.
    """

    load: Callable[[], TripletExtractionPipeline]
    text_column: str
    output_column: str = OUTPUT_COLUMN
    by: str | None = None
    date_column: str | None = None

    def read(self, place: str) -> Iterator[Review]:
        """The reviews of a file or of the folder of a corpus.

        Raises:
            UserError: a file that is none of those, a column that is missing, or a day that is none.
            OSError: no such file or folder.
        """
        found = read_predictions(place) if Path(place).is_dir() else None
        table = read_table(place) if found is None else Table(place, found.features, [])
        columns = {"--output_column": None if found is None else self.output_column}  # a file may be without
        columns |= {"--text_column": self.text_column, "--by": self.by, "--date_column": self.date_column}
        for option, column in columns.items():
            if column is not None:
                check_column(table, column, option)
        yield from self._reviews(place, self._rows(table) if found is None else found)

    def _rows(self, table: Table) -> Iterable[Row]:
        if self.output_column in table.features:
            return rows_of(table.batches)
        if Path(table.name).suffix.lower() in SEPARATORS and (columns := triplet_columns([*table.features])):
            return self._of_lines(rows_of(table.batches), columns)
        extract = self.load()
        batches = predicted(extract, table, self.text_column, self.output_column)
        return rows_of(with_progress(extract, batches))

    def _of_lines(self, lines: Iterable[Row], columns: Sequence[str]) -> Iterator[Row]:
        """The rows of a table with a line for each triplet: neighbours that are alike but for it are one.

        Args:
            columns: those with aspect, opinion, sentiment and score.
        """
        aspect, opinion, sentiment, _ = columns

        def others(line: Row) -> Row:
            return {name: as_it_was(value) for name, value in line.items() if name not in columns}

        for row, group in groupby(lines, key=others):
            triplets = [
                {"aspect": {"text": as_it_was(line[aspect])}, "opinion": {"text": as_it_was(line[opinion])}}
                | {"sentiment": as_it_was(line[sentiment])}
                for line in group
                if line[aspect]
            ]
            yield {**row, self.output_column: triplets}

    def _reviews(self, place: str, rows: Iterable[Row]) -> Iterator[Review]:
        for number, row in enumerate(rows, start=1):
            where = f"{place}: review {number}"
            if not is_text(text := row[self.text_column]):
                raise UserError(f"{where}: {self.text_column} is {reprlib.repr(text)}; expected text")
            yield Review(
                text_of(text),
                triplets_of(row[self.output_column], f"{where}: {self.output_column}"),
                None if self.by is None else group_of(row[self.by]),
                None if self.date_column is None else month(row[self.date_column], where),
            )


def triplet_columns(names: Sequence[str]) -> list[str] | None:
    """The columns with the triplets in a table of lines, None if it has none.

    They stand last, and where the reviews had a column `sentiment` of their own, that of the triplets is
    `predicted_sentiment`.
    """
    found = [[name for name in names if re.fullmatch(f"(predicted_)*{column}", name)] for column in TRIPLET_COLUMNS]
    return [same[-1] for same in found] if all(found) else None


def triplets_of(value: Any, where: str) -> list[Row]:
    """Triplets as `d2e2s predict` writes them, perhaps as JSON text; none for null.

    Raises:
        UserError: something else.
    """
    try:
        triplets = json.loads(value) if isinstance(value, str) else value or []
        said = [part for one in triplets for part in (one["aspect"]["text"], one["opinion"]["text"], one["sentiment"])]
    except (ValueError, TypeError, KeyError):
        said = [None]
    if not all(isinstance(part, str) for part in said):
        raise UserError(f"{where} is {reprlib.repr(value)}; expected triplets as `d2e2s predict` writes them")
    return list(triplets)


def group_of(value: Any) -> str | None:
    """The name of a group; None for null or blanks."""
    return None if value is None else str(value).strip() or None


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
