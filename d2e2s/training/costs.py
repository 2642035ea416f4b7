"""What training costs: seconds a step, and memory."""

import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback


def peak_resident_bytes() -> int:
    """Most memory that this process has held. Linux keeps the parent's peak in `getrusage`, but not in /proc.

    Raises:
        ImportError: on Windows, which does not tell.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Costs(TrainerCallback):
    """Seconds of each optimiser step, evaluation and saving left out, and the peak memory."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)

    def figures(self, device: torch.device) -> dict[str, float]:
        """`train_seconds_per_step` (median; absent without a step) and `train_peak_memory_gb` (10^9 bytes), if known.

        The memory is the GPU's where the model is on one, that of the whole process elsewhere.
        """
        cuda, figures = device.type == "cuda", {}
        with suppress(ImportError):
            peak = torch.cuda.max_memory_allocated(device) if cuda else peak_resident_bytes()
            figures["train_peak_memory_gb"] = peak / 1e9
        if self.seconds:
            figures["train_seconds_per_step"] = statistics.median(self.seconds)
        return figures
