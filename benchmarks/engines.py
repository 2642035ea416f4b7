"""What an engine costs over the plain pipeline, with as many workers and threads, and whether their memory is flat.

    pip install -c constraints.txt -e ".[ray,spark,bench]"
    python -m benchmarks.engines --model outputs/14res --data data/14res/test.jsonl --out results/engines.jsonl \\
        --page docs/engines.md

The sentences are repeated to `--rows` texts in a lake of Parquet files. Each side is a job of its own in a process of
its own, from the lake to files of triplets, with one thread a worker; `plain` is the pipeline in as many processes as
there are workers, which divide the files. Rows a second are those that were written after the first files, by the times
at which the files were written. The overhead of a side is the median, over the rounds, of the plain pipeline's rate by
its own, less one.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pyarrow
import pyarrow.parquet
import torch

from d2e2s.data_scripts.records import read_records
from d2e2s.prediction.columns import triplets_array
from d2e2s.prediction.parts import ROWS_AT_ONCE
from d2e2s.prediction.predict import load_pipeline

from .report import markdown_table, option_parser, show
from .timing import about, printed_by, quarters

# Ray and Spark tell libraries so by themselves.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "SPARK_LOCAL_IP": "127.0.0.1"}
SERVERS = ("java", "raylet", "gcs_server")
SECONDS_BETWEEN_SAMPLES = 1.0
MEGABYTE = 1e6
BLOCK = 1 << 17  # bytes: about one batch
REVIEWS, CORES, HOUR = 100e6, 64, 3600


# --- sides ------------------------------------------------------------------------------------------------


def plain(lake: Path, out: Path, model: str, workers: int) -> None:
    """The pipeline in processes that divide the files."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(partial(_plain, lake, out, model, workers), range(workers)))


def _plain(lake: Path, out: Path, model: str, workers: int, number: int) -> None:
    torch.set_num_threads(1)
    extract = load_pipeline(model, "cpu")
    for path in sorted(lake.iterdir())[number::workers]:
        table = pyarrow.parquet.read_table(path)
        found = triplets_array(extract(table["text"].to_pylist()))
        pyarrow.parquet.write_table(table.append_column("triplets", found), out / path.name)


def ray_data(lake: Path, out: Path, model: str, workers: int) -> None:
    import ray

    from d2e2s.engines.ray import extract_triplets

    _local_ray(workers + 1)  # one CPU reads and writes
    # Else all that an actor makes waits for one file of 128 MB, and no time is seen in it.
    ray.data.DataContext.get_current().target_max_block_size = BLOCK
    data = ray.data.read_parquet(str(lake), override_num_blocks=len(list(lake.iterdir())))
    extract_triplets(data, model, concurrency=workers).write_parquet(str(out))


def ray_corpus(lake: Path, out: Path, model: str, workers: int) -> None:
    from d2e2s.engines.ray import predict_corpus

    _local_ray(workers)
    predict_corpus([str(lake)], str(out), model, rows_per_shard=ROWS_AT_ONCE)


def _local_ray(cpus: int) -> None:
    import ray

    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")


def spark(lake: Path, out: Path, model: str, workers: int) -> None:
    from pyspark.sql import SparkSession

    from d2e2s.engines.spark import extract_triplets

    os.environ["PYSPARK_PYTHON"] = sys.executable
    a_file_a_task = {"spark.sql.files.openCostInBytes": "128m"}  # as much as a task takes at most
    builder = SparkSession.builder.master(f"local[{workers},4]").config("spark.ui.enabled", "false")
    session = builder.config(map=a_file_a_task).getOrCreate()
    extract_triplets(session.read.parquet(str(lake)), model, device="cpu").write.parquet(str(out), mode="append")
    session.stop()


SIDES = {side.__name__: side for side in (plain, ray_data, ray_corpus, spark)}


# --- what is measured -------------------------------------------------------------------------------------


def rate(out: Path, workers: int) -> float:
    """Rows a second, from the moment when two files a worker had been written to the last file.

    By then every worker has its model loaded and its first batch done.
    """
    written = sorted((path.stat().st_mtime, rows) for path, rows in rows_of(out).items() if rows)
    if len(written) <= 4 * workers:
        raise ValueError(f"{len(written)} files of {workers} workers are too few: give more --rows")
    rows = sum(count for _, count in written[2 * workers :])
    return rows / (written[-1][0] - written[2 * workers - 1][0])


def rows_of(out: Path) -> dict[Path, int]:
    """The rows of each file."""
    return {path: pyarrow.parquet.read_metadata(path).num_rows for path in out.rglob("*.parquet")}


class Memory(threading.Thread):
    """Megabytes of the largest Python process below this one, once a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[float] = []
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(SECONDS_BETWEEN_SAMPLES):
            self.samples.append(max(map(_resident, psutil.Process().children(recursive=True)), default=0))

    def stop(self) -> dict[str, float]:
        """The median of each quarter of the samples."""
        self._end.set()
        self.join()
        parts = enumerate(quarters(self.samples), start=1)
        return {f"quarter_{n}": round(statistics.median(part or [0])) for n, part in parts}


def _resident(process: psutil.Process) -> float:
    try:
        return 0 if process.name() in SERVERS else process.memory_info().rss / MEGABYTE
    except psutil.Error:  # it has ended
        return 0


def measure(side: str, lake: Path, model: str, workers: int) -> dict[str, Any]:
    """One job: its rate, the rows that it wrote, and memory of a worker by quarter of the job."""
    with tempfile.TemporaryDirectory() as out:
        memory = Memory()
        memory.start()
        SIDES[side](lake, Path(out), model, workers)
        by_quarter = memory.stop()
        rows = sum(rows_of(Path(out)).values())
        return {"rows": rows, "rows_per_second": rate(Path(out), workers), "worker_mb": by_quarter}


# --- command ----------------------------------------------------------------------------------------------


def make_lake(folder: Path, data: Path, rows: int) -> None:
    """Files of `ROWS_AT_ONCE` texts."""
    texts = list(islice(cycle(" ".join(record["tokens"]) for record in read_records(data)), rows))
    for start in range(0, rows, ROWS_AT_ONCE):
        part = texts[start : start + ROWS_AT_ONCE]
        table = pyarrow.table({"id": range(start, start + len(part)), "text": part})
        pyarrow.parquet.write_table(table, folder / f"r{start:09}.parquet")


def compare(options: argparse.Namespace, lake: Path, workers: int) -> list[dict[str, Any]]:
    """A line for each side: medians of the rounds, in which the sides run in turn, in processes of their own."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    for _ in range(options.rounds):
        for side in options.sides:
            words = ["--side", side, "--lake", str(lake), "--model", options.model, "--workers", str(workers)]
            runs[side].append(printed_by("engines", [*words, "--out", os.devnull], **ONE_THREAD, **LOOPBACK))
            print(workers, side, runs[side][-1], flush=True)
    rates = {side: [run["rows_per_second"] for run in found] for side, found in runs.items()}
    return [
        {
            **about(),
            "side": side,
            "workers": workers,
            "rows": [run["rows"] for run in found],
            "rows_per_second": rates[side],
            "overhead": statistics.median(a / b for a, b in zip(rates["plain"], rates[side], strict=True)) - 1,
            "worker_mb": [run["worker_mb"] for run in found],
        }
        for side, found in runs.items()
    ]


def section(lines: Sequence[dict[str, Any]]) -> str:
    """The generated part of the page: a row for each side, and how long 100 million reviews would take."""
    rows = [
        [
            line["side"].replace("_", " "),
            str(line["workers"]),
            f"{statistics.median(line['rows_per_second']):.0f}",
            f"{100 * line['overhead']:+.0f} %",
            ", ".join(f"{quarter:.0f}" for quarter in line["worker_mb"][-1].values()),
        ]
        for line in lines
    ]
    header = ("", "workers", "rows a second", "overhead", "MB of a worker, by quarter of the job")
    found, seconds = lines[0]["environment"], REVIEWS / statistics.median(lines[0]["rows_per_second"])
    return (
        f"`{lines[0]['command']}`: {found['cpu']}, {found['cpus']} cores, one thread a worker, torch {found['torch']}."
        f"\n\n{markdown_table(header, rows)}\n"
        f"**{REVIEWS / 1e6:.0f} million reviews** as long as these sentences, at the rate of the first row: "
        f"{seconds / HOUR:,.0f} core hours, {seconds / HOUR / CORES:.1f} hours on {CORES} such cores, and the overhead "
        "of the engine. A review of five sentences takes five times as long.\n"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, "lines of results are added to this file")
    add = parser.add_argument
    add("--model", required=True, help="folder of a checkpoint")
    add("--data", type=Path, help="JSONL of records")
    add("--rows", type=int, default=40 * ROWS_AT_ONCE)
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--rounds", type=int, default=3)
    add("--sides", nargs="+", choices=tuple(SIDES), default=tuple(SIDES), help="plain among them")
    add("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    add("--lake", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    if options.side:
        print(json.dumps(measure(options.side, options.lake, options.model, options.workers[0])))
        return
    options.model = os.path.abspath(options.model)
    with tempfile.TemporaryDirectory() as lake:
        make_lake(Path(lake), options.data, options.rows)
        lines = [line for workers in options.workers for line in compare(options, Path(lake), workers)]
    with options.out.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    show(section(lines), options.page, "engines")


if __name__ == "__main__":
    main()
