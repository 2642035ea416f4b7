"""The way from raw text to triplets, by its steps."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch

from d2e2s import TripletExtractionPipeline

from .timing import synchronise
from .workload import Batch, Workload

# The pipeline's steps, by the method that does each: where it stands, and its name.
STEPS = {
    "split": ("pipeline", "preprocess"),
    "tokenise": ("processor", "encode"),
    "collate": ("pipeline", "_batch"),
    "model": ("pipeline", "forward"),
    "decode": ("pipeline", "postprocess"),
}


def texts(work: Workload) -> list[str]:
    return [" ".join(record["tokens"]) for record in work.records]


def text_batches(work: Workload) -> list[Batch]:
    """The tokenised texts in file order, as the encoder alone would be given them."""
    raw, size, tokenizer = texts(work), work.options.batch_size, work.processor.tokenizer
    options: dict[str, Any] = {"padding": True, "truncation": True, "return_tensors": "pt"}
    return [tokenizer(raw[i : i + size], **options).to(work.device) for i in range(0, len(raw), size)]


def row_batches(work: Workload, extract: TripletExtractionPipeline) -> list[Batch]:
    """The very batches that the pipeline makes of the texts."""
    seen: list[Batch] = []
    inner = extract.forward

    def forward(inputs: Any, **options: Any) -> Any:
        seen.append(inputs.to(work.device))
        return inner(inputs, **options)

    with patch.object(extract, "forward", forward), work.precision():
        extract(texts(work))
    return seen


def breakdown(work: Workload, extract: TripletExtractionPipeline) -> dict[str, float]:
    """Seconds of each step of one run over all texts, `other` between them, and `total`."""
    spent = dict.fromkeys(STEPS, 0.0)
    owners = {"pipeline": extract, "processor": extract.processor}
    with ExitStack() as stack, work.precision():
        for step, (owner, name) in STEPS.items():
            timed = _timed(getattr(owners[owner], name), step, spent, work.device)
            stack.enter_context(patch.object(owners[owner], name, timed))
        start = time.perf_counter()
        extract(texts(work))
        total = time.perf_counter() - start
    return {**spent, "other": total - sum(spent.values()), "total": total}


def _timed(method: Callable[..., Any], step: str, spent: dict[str, float], device: torch.device) -> Callable[..., Any]:
    """A step's method, which adds what it takes."""

    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = method(*args, **kwargs)
        synchronise(device)
        spent[step] += time.perf_counter() - start
        return result

    return run
