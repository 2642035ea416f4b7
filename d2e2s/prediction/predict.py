"""A checkpoint as a pipeline, and the triplets of a table's column of texts."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from ..backends.cpu import multiplies_bfloat16
from ..backends.openvino import use_openvino
from ..box import REVIEWS_EN, resolve_model
from ..checkpoints import load_checkpoint
from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TASK, TripletExtractionPipeline
from .tables import OUTPUT_COLUMN, Columns, Table, check_columns
from .text_lines import TEXT_COLUMN

Batch = TypeVar("Batch")
TORCH, OPENVINO = BACKENDS = ("torch", "openvino")


def load_pipeline(
    model: str = REVIEWS_EN,
    device: str | int | torch.device | None = None,
    dtype: str = "auto",
    backend: str = TORCH,
    **options: Any,
) -> TripletExtractionPipeline:
    """The pipeline of a checkpoint, with the code of this package.

    Args:
        model: folder or Hub name of a D2E2S checkpoint; the model in the box if none is named.
        device, options: as for `TripletExtractionPipeline`; no device = the first accelerator there is, or the CPU.
        dtype: as for `from_pretrained`.
        backend: what computes the encoder: `torch`, or `openvino`, in int8 on a CPU, where `d2e2s export` has been;
            `dtype` is then that of the rest, float32 unless told.

    Raises:
        UserError: another kind of model, damaged weights, or a backend that cannot be used.
        OSError: there is no such checkpoint.
    """
    place: Any = device  # the base class takes names as well
    if backend not in BACKENDS:
        raise UserError(f"backend {backend!r}: expected {' or '.join(BACKENDS)}")
    if backend == OPENVINO:
        if str(device or "cpu") != "cpu":
            raise UserError(f"backend {OPENVINO!r} computes on the CPU, not on {device}")
        place = "cpu"
    network, processor = load_checkpoint(model, dtype if backend == TORCH else "float32")
    if backend == OPENVINO:
        use_openvino(network, resolve_model(model), torch.float32 if dtype == "auto" else getattr(torch, dtype))
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


def say_faster(extract: TripletExtractionPipeline) -> None:
    """Say on stderr if another number format would be faster here; the default is the same on every machine."""
    if extract.device.type == "cpu" and extract.model.dtype == torch.float32 and multiplies_bfloat16():
        print("this processor multiplies bfloat16: with --dtype bfloat16 it would be faster", file=sys.stderr)


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
    # A text of the console needs neither, and its answer would wait for them as long as for the model.
    from datasets import Features, Value

    from .writers import TRIPLETS, write_table

    batches = with_progress(extract, predicted(extract, table, text_column, output_column, **options))
    types = {name: kind or Value("string") for name, kind in table.features.items()}
    features = Features({**types, output_column: TRIPLETS})
    write_table(output_path, batches, features, table.as_json, output_column)
