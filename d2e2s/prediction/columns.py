"""The column of triplets of an Arrow table, whose type is the same everywhere: shards, engines, `datasets`."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow
from datasets import Features

from ..pipeline_d2e2s import Found, TripletExtractionPipeline
from .text_lines import TEXT_COLUMN
from .writers import TRIPLETS

TRIPLETS_COLUMN = "triplets"
TRIPLETS_TYPE: pyarrow.DataType = Features({TRIPLETS_COLUMN: TRIPLETS}).arrow_schema.field(0).type


def triplets_array(found: Sequence[list[Found] | None]) -> pyarrow.Array:
    """What the pipeline found in each text as Arrow; None, for a text that could not be read, is null."""
    return pyarrow.array(found, TRIPLETS_TYPE)


def mapper(
    extract: TripletExtractionPipeline, column: str = TEXT_COLUMN, output_column: str = TRIPLETS_COLUMN, **options: Any
) -> Callable[[Any], pyarrow.Table]:
    """A function for `Dataset.map(..., batched=True)` that adds a column of triplets.

    It returns an Arrow table, so that `datasets` has no type to guess: of lists that are all empty among the first
    rows it guesses a wrong one. All columns of the input keep their types. A streaming `IterableDataset` needs
    `with_format("arrow")` first.

        >>> data = data.map(mapper(extract, column="review"), batched=True)

    Args:
        extract: the pipeline.
        column: the one with the texts, or lists of words.
        output_column: name of the one that is added; a column of this name is replaced.
        options: of the pipeline's call, such as `threshold`.
    """

    def add_triplets(batch: Any) -> pyarrow.Table:
        # `datasets` gives a table, or a dictionary that has been one.
        table = batch if isinstance(batch, pyarrow.Table) else getattr(batch, "pa_table", None)
        table = pyarrow.Table.from_pydict(dict(batch)) if table is None else table
        found = triplets_array(extract(table[column].to_pylist(), **options))
        if output_column in table.column_names:
            table = table.drop_columns(output_column)
        return table.append_column(output_column, found)

    return add_triplets
