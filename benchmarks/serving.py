"""What `d2e2s serve` answers to many clients at once, against the plain pipeline with as many threads.

    pip install -c constraints.txt -e ".[serve,bench]"
    python -m benchmarks.serving --data data/14res/test.jsonl --out results/serving.json --page docs/serving.md

In a round the pipeline reads all sentences in one call, then the server is asked for `--seconds` by `--clients`
clients, each of which sends the next sentence as soon as it has its answer; the figures are medians over the rounds. An
answer is wrong if its triplets are not the pipeline's, scores to 0.001. After the rounds each replica is killed once
under the same load. The clients take their share of the same processor.
"""

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil
import torch
from torch.distributed.elastic.utils.distributed import get_free_port

from d2e2s import TripletExtractionPipeline
from d2e2s.box import REVIEWS_EN
from d2e2s.data_scripts.records import read_records
from d2e2s.prediction.predict import load_pipeline

from .report import markdown_table, option_parser, publish
from .timing import about, quarters

MEGABYTE = 1e6
PATIENCE = 120  # seconds for a server to start, and for an answer
HEADER = (
    "replicas",
    "sentences a second",
    "of the pipeline",
    "median, p99 (s)",
    "wrong or lost",
    "memory by quarter (MB)",
)


class Asked(NamedTuple):
    """A request: its sentence, when it was sent and answered (seconds), and what came, or none after an error."""

    number: int
    sent: float
    answered: float
    answer: Any


@contextmanager
def server(model: str, replicas: int, threads: int) -> Iterator[tuple[psutil.Process, str]]:
    """A server's process and address, while it runs."""
    port = str(get_free_port())
    words = [sys.executable, "-m", "d2e2s.cli", "serve", "--model", model, "--port", port, "--replicas", str(replicas)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, threads // replicas))}
    with subprocess.Popen([*words, "--device", "cpu"], env=environment) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            asyncio.run(_ready(address))
            yield psutil.Process(process.pid), address
        finally:
            process.terminate()


async def _ready(address: str) -> None:
    until = time.perf_counter() + PATIENCE
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{address}/healthz") as response:
                    return response.raise_for_status()
            except aiohttp.ClientError:
                if time.perf_counter() > until:
                    raise
                await asyncio.sleep(0.5)


async def ask(
    address: str, texts: Sequence[str], clients: int, seconds: float, also: Callable[[], object] = lambda: None
) -> list[Asked]:
    """All requests of the clients; `also` is called every second."""
    numbers, found = itertools.cycle(range(len(texts))), list[Asked]()
    until = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while (sent := time.perf_counter()) < until:
            number, answer = next(numbers), None
            try:
                async with session.post(f"{address}/extract", json={"inputs": texts[number]}) as response:
                    answer = await response.json() if response.status == 200 else None
            except (TimeoutError, aiohttp.ClientError):
                await asyncio.sleep(0.1)
            found.append(Asked(number, sent, time.perf_counter(), answer))

    async def watch() -> None:
        while time.perf_counter() < until:
            also()
            await asyncio.sleep(1)

    connector, timeout = aiohttp.TCPConnector(limit=clients), aiohttp.ClientTimeout(PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(watch(), *(client(session) for _ in range(clients)))
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two texts' triplets are the same, scores to 0.001."""
    close = len(one) == len(other) and all(abs(a["score"] - b["score"]) < 1e-3 for a, b in zip(one, other, strict=True))
    return close and [{**a, "score": 0} for a in one] == [{**b, "score": 0} for b in other]


def memory(process: psutil.Process) -> float:
    """Of a server with its replicas, in MB; what they share is counted once."""
    found = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            found += each.memory_full_info().uss / MEGABYTE
    return found


def kill_each(process: psutil.Process, seconds: float) -> Callable[[], None]:
    """To be called every second: a SIGKILL for each replica, in the first half of the time."""
    children = process.children()
    replicas = [child.pid for child in children if "resource_tracker" not in " ".join(child.cmdline())]
    turns = {int(seconds / 2 / len(replicas)) * number: pid for number, pid in enumerate(replicas, start=1)}
    called = itertools.count()

    def also() -> None:
        if pid := turns.get(next(called)):
            os.kill(pid, signal.SIGKILL)

    return also


def measure(
    options: argparse.Namespace, extract: TripletExtractionPipeline, replicas: int, texts: Sequence[str]
) -> dict[str, Any]:
    wanted = extract(list(texts))
    rates, own, asked, sizes = [], [], list[Asked](), list[float]()
    with server(options.model, replicas, options.threads) as (process, address):
        load = partial(ask, address, texts, options.clients)
        asyncio.run(load(5))  # not counted
        for _ in range(options.rounds):
            begin = time.perf_counter()
            extract(list(texts))
            own.append(len(texts) / (time.perf_counter() - begin))
            found = asyncio.run(load(options.seconds, lambda: sizes.append(memory(process))))
            rates.append(sum(each.answer is not None for each in found) / (found[-1].answered - found[0].sent))
            asked += found
        killed = asyncio.run(load(options.seconds, kill_each(process, options.seconds)))
    waits = statistics.quantiles([each.answered - each.sent for each in asked], n=100)
    answered = [each for each in [*asked, *killed] if each.answer is not None]
    times = sorted(each.answered for each in killed if each.answer is not None)
    return {
        "replicas": replicas,
        "pipeline": own,
        "server": rates,
        "ratio": statistics.median(a / b for a, b in zip(rates, own, strict=True)),
        "seconds": {"median": waits[49], "p99": waits[98], "most": max(each.answered - each.sent for each in asked)},
        "asked": len(asked),
        "lost": sum(each.answer is None for each in asked),
        "wrong": sum(not same(each.answer, wanted[each.number]) for each in answered),
        "memory": list(map(statistics.median, quarters(sizes))),
        "killed": {
            "asked": len(killed),
            "errors": sum(each.answer is None for each in killed),
            "seconds_without_an_answer": max((b - a for a, b in itertools.pairwise(times)), default=0.0),
        },
    }


def table(result: dict[str, Any]) -> str:
    rows, kills = [], []
    for each in result["servers"]:
        seconds, killed = each["seconds"], each["killed"]
        rows.append(
            [
                str(each["replicas"]),
                f"{statistics.median(each['server']):.0f}",
                f"{each['ratio']:.2f} ({min(each['server']):.0f} to {max(each['server']):.0f}"
                f" against {min(each['pipeline']):.0f} to {max(each['pipeline']):.0f})",
                f"{seconds['median']:.2f}, {seconds['p99']:.2f}",
                f"{each['wrong'] + each['lost']} of {each['asked']}",
                ", ".join(f"{value:.0f}" for value in each["memory"]),
            ]
        )
        kills.append(
            f"Each killed once, of {each['replicas']}: {killed['errors']} of {killed['asked']} requests ended with an "
            f"error, the others with an answer. No answer came for {killed['seconds_without_an_answer']:.1f} s at most."
        )
    found = result["environment"]
    head = f"`{result['command']}`\n\n{found['cpu']}, {found['threads']} threads, torch {found['torch']}."
    return "\n\n".join([head, markdown_table(HEADER, rows).rstrip(), *kills]) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("--model", default=REVIEWS_EN)
    add("--data", type=Path, required=True, help="records, whose sentences are sent")
    add("--replicas", type=int, nargs="+", default=[1, 2])
    add("--threads", type=int, default=2, help="of the pipeline, and of all replicas together")
    add("--clients", type=int, default=64)
    add("--seconds", type=float, default=60, help="of a round")
    add("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    texts = [" ".join(record["tokens"]) for record in read_records(options.data)]
    extract = load_pipeline(options.model, "cpu")
    servers = [measure(options, extract, replicas, texts) for replicas in options.replicas]
    result = {**about(), "servers": servers}
    publish(options, result, table(result), "serving")


if __name__ == "__main__":
    main()
