"""Spark, as it comes from PyPI, on this machine, where a task that fails is tried again."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from lake import BATCH_SIZE, ROWS, Lake, check_rows, make_lake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, spark_partition_id

from d2e2s.engines.spark import TRIPLETS_SCHEMA, extract_triplets, ship_model
from d2e2s.errors import UserError

pytestmark = pytest.mark.slow
MIDDLE = ROWS // 2 + ROWS // 8  # amid a file
SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.sql.files.minPartitionNum": "8",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master("local[2,4]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("lake"))


def collected(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows without their texts, some of which are none."""
    return frame.select("id", "triplets", "reason", spark_partition_id().alias("partition")).toArrow().to_pylist()


def killing(marker: Path) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Hands batches on; at the middle row, once, it kills the Python workers that have the model loaded."""

    def hand_on(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            while MIDDLE in batch["id"].to_pylist() and not marker.exists():
                time.sleep(0.1)
                if loaded := [path for path in Path("/proc").glob("[0-9]*") if _is_loaded(path)]:
                    marker.touch()
                    for path in loaded:
                        os.kill(int(path.name), signal.SIGKILL)
            yield batch

    def _is_loaded(process: Path) -> bool:
        try:
            sibling = f"PPid:\t{os.getppid()}\n" in (process / "status").read_text(encoding="utf-8")
            return sibling and process.name != str(os.getpid()) and b"libtorch" in (process / "maps").read_bytes()
        except OSError:  # it has ended
            return False

    return hand_on


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks for the process in /proc")
def test_frame_of_which_a_worker_is_killed(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    """The first test, so that no worker is idle."""
    read = spark.read.parquet(str(lake.folder))
    read = read.mapInArrow(killing(tmp_path / "killed"), read.schema)
    spark.sparkContext.setJobGroup("killed", "a worker is killed")
    check_rows(collected(extract_triplets(read, str(lake.model), device="cpu", batch_size=BATCH_SIZE)), lake)
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", "")
    tracker = spark.sparkContext.statusTracker()
    stages = [stage for job in tracker.getJobIdsForGroup("killed") for stage in tracker.getJobInfo(job).stageIds]
    assert (tmp_path / "killed").exists() and sum(tracker.getStageInfo(stage).numFailedTasks for stage in stages) > 0


def test_frame(spark: SparkSession, lake: Lake) -> None:
    read = spark.read.parquet(str(lake.folder))
    frame = extract_triplets(read, str(lake.model), device="cpu", batch_size=BATCH_SIZE).persist()
    assert frame.columns == ["id", "text", "triplets", "reason"]
    assert frame.schema["triplets"].dataType == TRIPLETS_SCHEMA
    rows = collected(frame)
    check_rows(rows, lake)
    for partition in {row["partition"] for row in rows}:
        ids = [row["id"] for row in rows if row["partition"] == partition]
        assert len(ids) < ROWS and ids == sorted(ids)
    named = frame.selectExpr("explode(triplets) AS t").where(col("t.sentiment") == "POS").select("t.aspect.text")
    assert named.count() == sum(t["sentiment"] == "POS" for found in lake.expected for t in found or [])


def test_a_model_that_is_shipped(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    name = ship_model(spark, lake.model)
    frame = spark.createDataFrame([(1, "The food was great."), (2, None)], "id int, text string")
    rows = extract_triplets(frame, name, device="cpu", threshold=0.0).collect()
    assert [row.id for row in rows] == [1, 2] and rows[0].triplets[0].aspect.text and rows[1].triplets == []


def test_columns_that_do_not_fit_are_told_before_anything_runs(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, "good")], "id int, reason string")
    for column, message in (("text", "no column 'text'"), ("id", "is int32"), ("reason", "'reason' already")):
        with pytest.raises(UserError, match=message):
            extract_triplets(frame, text_column=column)
