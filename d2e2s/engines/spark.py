"""Triplets on Spark: a column for a DataFrame.

from d2e2s.engines.spark import extract_triplets

reviews = spark.read.parquet("s3://lake/reviews/")
extract_triplets(reviews, "/shared/outputs/14res").write.parquet("s3://lake/triplets/")
"""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from ..box import REVIEWS_EN, by_full_path
from ..prediction.columns import TRIPLETS_COLUMN, TRIPLETS_TYPE
from ..prediction.text_lines import TEXT_COLUMN
from .extractor import REASON_COLUMN, TripletExtractor, check_schema

TRIPLETS_SCHEMA = from_arrow_type(TRIPLETS_TYPE)
SHIPPED = "shipped:"  # begins the name of a model that lies among the files of the job


def extract_triplets(
    frame: DataFrame,
    model: str = REVIEWS_EN,
    *,
    text_column: str = TEXT_COLUMN,
    output_column: str = TRIPLETS_COLUMN,
    reason_column: str = REASON_COLUMN,
    **settings: Any,
) -> DataFrame:
    """The frame with the columns `triplets` (of the type `TRIPLETS_SCHEMA`) and `reason`; see `TripletExtractor`.

    Nothing runs before the frame is used. A Python worker loads the model once and keeps it from task to task.

    Args:
        model: folder or Hub name of a checkpoint, which every machine can read; or what `ship_model` returned.
        settings: further arguments of `TripletExtractor`.

    Raises:
        UserError: columns that do not fit.
    """
    columns = {"text_column": text_column, "output_column": output_column, "reason_column": reason_column}
    check_schema(to_arrow_schema(frame.schema), **columns)
    told = json.dumps({"model": by_full_path(model), **columns, **settings})

    def extend(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        extractor = _extractor(told)
        for batch in batches:
            yield from extractor(pyarrow.Table.from_batches([batch])).combine_chunks().to_batches()

    added = [StructField(output_column, TRIPLETS_SCHEMA), StructField(reason_column, StringType())]
    return frame.mapInArrow(extend, StructType([*frame.schema.fields, *added]))


def ship_model(spark: SparkSession, folder: str | Path) -> str:
    """Send a checkpoint to all workers, where no folder is seen by all machines; the name is for `extract_triplets`.

    Its archive is kept on the driver until this process ends: a worker that begins later fetches it then.
    """
    name, kept = Path(folder).resolve().name, mkdtemp(prefix="shipped-")
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    archive = shutil.make_archive(str(Path(kept) / name), "zip", folder)
    spark.addArtifacts(f"{archive}#{name}", archive=True)
    return f"{SHIPPED}{name}"


@lru_cache(maxsize=1)
def _extractor(told: str) -> TripletExtractor:
    """What a Python worker keeps from task to task; `told` are the arguments as JSON."""
    settings = json.loads(told)
    model = settings.pop("model")
    if model.startswith(SHIPPED):
        model = SparkFiles.get(model.removeprefix(SHIPPED))
    return TripletExtractor(model, **settings)
