"""Times of several sides of a comparison, taken in turns on the same work, and what they were taken on."""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

Job = Callable[[], object]
CPU = torch.device("cpu")


def interleaved(sides: Mapping[str, Sequence[Job]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds that each side takes for all its jobs, once a round.

    In a round the first job of every side runs, then the second of every side, and so on, the sides in a new random
    order each time: what else the machine does meets all of them alike. One round more, before, is not counted.
    """
    order = random.Random(0)
    totals: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        spent = dict.fromkeys(sides, 0.0)
        for place in range(max(map(len, sides.values()))):
            turn = [name for name, jobs in sides.items() if place < len(jobs)]
            for name in order.sample(turn, len(turn)):
                spent[name] += seconds(sides[name][place], device)
        for name, value in spent.items():
            totals[name].append(value)
    return {name: values[1:] for name, values in totals.items()}


def seconds(job: Job, device: torch.device) -> float:
    """How long a job takes, the work that it leaves to the device included."""
    synchronise(device)
    start = time.perf_counter()
    job()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(side: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """Ratio of the medians, and the quartiles of the rounds' own ratios."""
    each = [a / b for a, b in zip(side, base, strict=True)]
    low, _, high = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    return {"ratio": statistics.median(side) / statistics.median(base), "low": low, "high": high}


def quarters(values: Sequence[float]) -> list[Sequence[float]]:
    """What was measured one after the other, cut into four."""
    return [values[len(values) * k // 4 : len(values) * (k + 1) // 4] for k in range(4)]


def about(device: torch.device = CPU) -> dict[str, Any]:
    """How a result came about, as its file begins: the command, and what times depend on besides the code."""
    environment = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "device": str(device),
    }
    if device.type == "cuda":
        environment["gpu"] = torch.cuda.get_device_name(device)
    return {"command": command_line(), "environment": environment}


def cpu_name() -> str:
    """The processor's model, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def printed_by(module: str, words: Sequence[str], **settings: str) -> Any:
    """The JSON that a benchmark prints last, run in a process of its own, with further environment variables."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings})
    return json.loads(done.stdout.splitlines()[-1])


def command_line() -> str:
    """The command that runs, for the result file."""
    module = sys.modules["__main__"].__spec__
    return " ".join([f"python -m {module.name}" if module else "python", *sys.argv[1:]])
