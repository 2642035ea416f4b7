"""A checkpoint as a pipeline, and the triplets of a table's column of texts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from datasets import Features
from tqdm.auto import tqdm

from ..box import REVIEWS_EN
from ..checkpoints import load_checkpoint
from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TASK, TripletExtractionPipeline
from .tables import OUTPUT_COLUMN, Columns, Table, check_columns
from .text_lines import TEXT_COLUMN
from .writers import TRIPLETS, write_table

Batch = TypeVar("Batch")


def load_pipeline(
    model: str = REVIEWS_EN, device: str | int | torch.device | None = None, dtype: str = "auto", **options: Any
) -> TripletExtractionPipeline:
    """The pipeline of a checkpoint, with the code of this package.

    Args:
        model: folder or Hub name of a D2E2S checkpoint; the model in the box if none is named.
        device, options: as for `TripletExtractionPipeline`; no device = the first accelerator there is, or the CPU.
        dtype: as for `from_pretrained`.

    Raises:
        UserError: another kind of model, or damaged weights.
        OSError: there is no such checkpoint.
    """
    network, processor = load_checkpoint(model, dtype)
    place: Any = device  # the base class takes names as well
    try:
        return TripletExtractionPipeline(network, processor=processor, task=TASK, device=place, **options)
    except (RuntimeError, AssertionError) as error:  # what torch raises for a device that is not there
        raise UserError(f"device {device!r} cannot be used: {error}") from None


def predicted(
    extract: TripletExtractionPipeline,
    table: Table,
    text_column: str = TEXT_COLUMN,
    output_column: str = OUTPUT_COLUMN,
    **options: Any,
) -> Iterator[Columns]:
    """The batches of a table with a column of triplets added.

    Args:
        options: of the pipeline's call, such as `threshold`.

    Raises:
        UserError: no such column, a column of the output's name, or a row without text.
    """
    check_columns(table, text_column, output_column)
    for batch, texts in table.texts(text_column):
        yield {**batch, output_column: extract(texts, **options)}


def say_missing(extract: TripletExtractionPipeline, aspects: Sequence[str] | None, rows: str) -> None:
    """Name on stderr the aspects that were asked for and stood in no text of the rows that the pipeline has read."""
    if missing := [aspect for aspect in aspects or () if aspect not in extract.located]:
        print(f"{rows} hold nowhere, as whole words of one sentence: {', '.join(map(repr, missing))}", file=sys.stderr)


def with_progress(extract: TripletExtractionPipeline, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, with a bar of sentences a second on stderr if that is a terminal."""
    with tqdm(unit="sentence", disable=None, smoothing=0) as bar:
        extract.progress = bar.update
        try:
            yield from batches
        finally:
            extract.progress = None


def write_predictions(
    extract: TripletExtractionPipeline,
    table: Table,
    output_path: str,
    text_column: str = TEXT_COLUMN,
    output_column: str = OUTPUT_COLUMN,
    **options: Any,
) -> None:
    """Write a table with its triplets to a file, see `write_table`; `options` are those of the pipeline's call.

    Raises:
        UserError, OSError: see `read_table`, `predicted`, `write_table`. Nothing is written then.
    """
    batches = with_progress(extract, predicted(extract, table, text_column, output_column, **options))
    features = Features({**table.features, output_column: TRIPLETS})
    write_table(output_path, batches, features, table.as_json, output_column)
