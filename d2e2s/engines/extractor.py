"""What every engine runs on a batch of rows: Arrow in, Arrow out, as many rows as came in."""

from collections.abc import Sequence
from typing import Any

import pyarrow
import transformers

from ..box import REVIEWS_EN
from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import Found
from ..prediction.columns import TRIPLETS_COLUMN, triplets_array
from ..prediction.parts import check_text_column, text_rows
from ..prediction.predict import TORCH, load_pipeline
from ..prediction.text_lines import TEXT_COLUMN

REASON_COLUMN = "reason"
# Triplets of a text, or None and why it has none.
Outcome = tuple[list[Found] | None, str | None]


class TripletExtractor:
    """Adds two columns to a table: the triplets of each text, and why a row has none.

    A row that holds no text (bytes that are not UTF-8, an empty string among words, a sentence in place of a word) has
    null for its triplets and a `reason`; all others have a list and no reason. An empty text (null, blank) has an empty
    list, as everywhere.

    Args:
        model: folder or Hub name of a checkpoint, read by every worker; the model in the box if none is named.
        text_column: texts, or lists of words.
        output_column, reason_column: names of the columns that are added.
        device, dtype, batch_size, backend: see `load_pipeline`.
        options: of the pipeline's call, such as `threshold`.

    Raises:
        UserError: a model, a device or an option that cannot be used.
        OSError: there is no such checkpoint.
    """

    def __init__(
        self,
        model: str = REVIEWS_EN,
        text_column: str = TEXT_COLUMN,
        output_column: str = TRIPLETS_COLUMN,
        reason_column: str = REASON_COLUMN,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | None = None,
        backend: str = TORCH,
        **options: Any,
    ) -> None:
        self.columns = (text_column, output_column, reason_column)
        self.options = options
        transformers.logging.disable_progress_bar()  # of the weights, in every worker
        self.extract = load_pipeline(model, device, dtype, backend, batch_size=batch_size)
        self.extract([], **options)  # for the errors of bad ones

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """The table with the two columns, its rows in their order.

        Raises:
            UserError: see `check_schema`.
        """
        check_schema(table.schema, *self.columns)
        text_column, output_column, reason_column = self.columns
        rows = list(text_rows(table[text_column], text_column))
        outcomes = iter(self._extracted([row.values[text_column] for row in rows if row.values is not None]))
        both = [(None, row.reason) if row.values is None else next(outcomes) for row in rows]
        table = table.append_column(output_column, triplets_array([found for found, _ in both]))
        return table.append_column(reason_column, pyarrow.array([reason for _, reason in both], pyarrow.string()))

    def _extracted(self, texts: Sequence[Any]) -> list[Outcome]:
        """The triplets of each text; what the pipeline refuses is narrowed down to its row by halving."""
        try:
            return [(found, None) for found in self.extract(list(texts), **self.options)]
        except UserError as error:
            if len(texts) == 1:
                return [(None, str(error).removeprefix("text 0: "))]
        middle = len(texts) // 2
        return [*self._extracted(texts[:middle]), *self._extracted(texts[middle:])]


def check_schema(schema: pyarrow.Schema, text_column: str, output_column: str, reason_column: str) -> None:
    """Whether the columns of a table can be extended.

    Raises:
        UserError: no such column, one that holds no texts, or one that has the name of a column to be added.
    """
    check_text_column(schema, text_column, "text_column")
    for option, name in (("output_column", output_column), ("reason_column", reason_column)):
        if name in schema.names:
            raise UserError(f"there is a column {name!r} already; give another {option}")
