"""Peak memory of training, in a process of its own; prints JSON. Run by `benchmarks.speed`, with its options."""

import json
from collections.abc import Sequence

import torch

from d2e2s.training.costs import peak_resident_bytes

from .timing import printed_by
from .workload import MAIN, VARIANTS, Workload, bare_step, model_step, work_parser

GIGABYTE = 1e9


def training_peak(work: Workload, side: str) -> dict[str, float]:
    """Gigabytes after loading and at the peak of one epoch in file order; `side` is a variant or `bare`."""
    loaded = peak_resident_bytes()
    step = bare_step(work) if side == "bare" else model_step(work, **VARIANTS[side])
    for batch in work.batches():
        step(work.collate(batch))
    peak = peak_resident_bytes()
    if work.device.type == "cuda":
        loaded, peak = 0, torch.cuda.max_memory_allocated(work.device)
    return {"before": loaded / GIGABYTE, "peak": peak / GIGABYTE}


def measure(arguments: Sequence[str], side: str) -> dict[str, float]:
    """`training_peak` in a fresh process with the same options."""
    return printed_by("memory", [*arguments, "--side", side])


def main() -> None:
    parser = work_parser(__doc__)
    parser.add_argument("--side", default=MAIN, choices=("bare", *VARIANTS))
    options, _ = parser.parse_known_args()
    print(json.dumps(training_peak(Workload(options), options.side)))


if __name__ == "__main__":
    main()
