"""Triplets on Ray: a column for a Ray Data set, and the parts of a corpus as tasks of a cluster.

import ray
from d2e2s.engines.ray import extract_triplets

reviews = ray.data.read_parquet("s3://lake/reviews/")
extract_triplets(reviews, "/shared/outputs/14res", concurrency=8, num_gpus=1).write_parquet("s3://lake/triplets/")
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from typing import Any

import ray
from ray.data import Dataset
from ray.exceptions import RayTaskError
from tqdm.auto import tqdm

from ..box import REVIEWS_EN, by_full_path
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..prediction.corpus import check_model, conclude, find_files, plan_corpus, predict_part
from ..prediction.parts import ROWS_AT_ONCE
from ..prediction.predict import TORCH, load_pipeline
from ..prediction.shards import Counts, Output
from .extractor import TripletExtractor

# Enough for a cluster to see that it could grow, few enough to be looked through whenever a part is done.
IN_FLIGHT = 1000
# A task whose process or machine goes is tried again; one that brings its machine down each time is not for ever.
RETRIES = 20

Done = tuple[Counts, set[str]]


def extract_triplets(
    dataset: Dataset,
    model: str = REVIEWS_EN,
    *,
    concurrency: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    rows_at_once: int = ROWS_AT_ONCE,
    **settings: Any,
) -> Dataset:
    """The data set with the columns `triplets` and `reason`; as many rows, streamed. See `TripletExtractor`.

    The batch of an actor that dies goes to another one. The order of the rows is kept if
    `ray.data.DataContext.get_current().execution_options.preserve_order` is set.

    Args:
        model: folder or Hub name of a checkpoint, which every machine can read.
        concurrency: how many actors, each of which loads the model once; or from how many to how many.
        num_cpus, num_gpus: what an actor takes; it computes with so many threads, on a GPU if it has one. Reading
            and writing need CPUs as well: all actors together must leave one.
        rows_at_once: rows that an actor is given at once.
        settings: further arguments of `TripletExtractor`.
    """
    settings = {"model": by_full_path(model), "device": None if num_gpus else "cpu", **settings}
    return dataset.map_batches(
        TripletExtractor,
        batch_format="pyarrow",
        batch_size=rows_at_once,
        fn_constructor_kwargs=settings,
        concurrency=concurrency,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        udf_modifying_row_count=False,
    )


def predict_corpus(
    inputs: Sequence[str],
    out: str,
    model: str,
    address: str | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    backend: str = TORCH,
    **settings: Any,
) -> Counts | None:
    """`prediction.corpus.predict_corpus` with the parts as tasks of a Ray cluster; folders are those of all machines.

    Args:
        address: of a cluster, `auto` for the one that this machine is part of; default: this machine alone.
        device: of the tasks; each takes one GPU of the cluster if this is none and the cluster has any, else one CPU.
        settings: columns, rows of a shard and options of `plan_corpus`.

    Returns:
        the rows of all parts; None if not all is done yet.

    Raises:
        UserError, OSError: as there.
    """
    files, model, out = find_files(inputs, out), by_full_path(model), os.path.abspath(out)
    extract = load_pipeline(model, "cpu", dtype, backend)
    output = plan_corpus(files, out, extract, **settings)
    _connect(address)
    if device is None and backend != TORCH:
        device = "cpu"
    gpu = bool(ray.cluster_resources().get("GPU")) if device is None else not device.startswith("cpu")
    task = ray.remote(_do_part).options(max_retries=RETRIES, **({"num_gpus": 1} if gpu else {"num_cpus": 1}))
    worker = (out, model, device or (None if gpu else "cpu"), dtype, backend, batch_size)
    read = 0
    for counts, located in _results(partial(task.remote, worker), output):
        read += counts.rows_in
        extract.located |= located
    return conclude(output, extract, read, settings.get("aspects"))


def _connect(address: str | None) -> None:
    """Join a cluster, or start one on this machine that no other can reach."""
    if ray.is_initialized():
        return
    if address is not None:
        ray.init(address, log_to_driver=False)
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")


def _results(submit: Any, output: Output) -> Iterator[Done]:
    """What comes of the parts that are not done, as it comes, with one bar for all.

    Raises:
        UserError, OSError: of a task. Those under way are given up, what is done stays.
    """
    parts, missing = output.manifest.parts, output.missing()
    with tqdm(total=sum(parts[number].rows for number in missing), unit="row", disable=None, smoothing=0) as bar:
        for done in _in_turn(submit, missing):
            bar.update(done[0].rows_in)
            yield done


def _in_turn(submit: Any, numbers: Iterable[int]) -> Iterator[Done]:
    """The result of each task, the next being handed in as one ends."""
    waiting = iter(numbers)
    pending = [submit(number) for number in islice(waiting, IN_FLIGHT)]
    while pending:
        ready, pending = ray.wait(pending)
        pending += [submit(number) for number in islice(waiting, len(ready))]
        try:
            yield from ray.get(ready)
        except RayTaskError as error:
            raise error.cause from None


def _do_part(worker: tuple[Any, ...], number: int) -> Done:
    """Do a part, unless a task that was lost had just done it; also the aspects that stood in some text."""
    output, extract = _worker(*worker)
    done = output.shard(number).is_file()
    return output.counts(number) if done else predict_part(output, number, extract), extract.located


@cache
def _worker(
    out: str, model: str, device: str | None, dtype: str, backend: str, batch_size: int | None
) -> tuple[Output, TripletExtractionPipeline]:
    """What a worker process keeps from task to task."""
    output, extract = Output(out), load_pipeline(model, device, dtype, backend, batch_size=batch_size)
    check_model(output, extract)
    return output, extract
