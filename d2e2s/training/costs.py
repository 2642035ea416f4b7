"""What a run writes down while it trains: its costs, and, if asked to, what a look at the test set would have said."""

from __future__ import annotations

import json
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from ..data_scripts.files import write_text
from ..evaluation.thresholds import keep_confident, micro_f1, sentence_counts, to_triplets

PEEKED = "peeked_at_test.json"
# The research code of D2E2S and DESS cuts every file to a multiple of this many sentences, and scores the rest never.
REFERENCE_BATCH = 16


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


class PeekAtTest(TrainerCallback):
    """Scores the test set after each evaluation on dev, into a file that no run ever reads.

    The best of these figures is what the papers that choose the epoch on test print. It is no result: it shows what
    such a choice is worth. Epoch, temperature and threshold of the run stay those of dev, and its random numbers those
    of a run that does not look: the weights are the same, bit by bit.

    `peeked_at_test.json` holds a list with, for each epoch, `epoch`, `threshold` (the one that dev chose at that
    epoch), `triplet_f1`, and `triplet_f1_whole_batches` with `sentences_whole_batches`: of the sentences before the
    last incomplete batch of 16, which is what the research code scores.
    """

    def __init__(self, trainer: Trainer, dataset: Any) -> None:
        self.trainer = trainer
        self.dataset = dataset
        self.path = Path(str(trainer.args.output_dir)) / PEEKED

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and not state.global_step:
            self.path.unlink(missing_ok=True)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        if "eval_threshold" not in metrics:  # not the evaluation of dev
            return
        with torch.random.fork_rng():
            output: Any = self.trainer.predict(self.dataset, metric_key_prefix="peeked")
        if state.is_world_process_zero:
            self._write({"epoch": state.epoch, **self._figures(output, metrics["eval_threshold"])})

    def _figures(self, output: Any, threshold: float) -> dict[str, Any]:
        rows, scores = output.predictions
        model: Any = self.trainer.model
        labels = model.config.sentiment_labels
        kept = to_triplets(keep_confident(rows, scores, threshold), labels)
        counts = sentence_counts(kept, to_triplets(output.label_ids, labels))
        whole = len(counts) - len(counts) % REFERENCE_BATCH
        return {
            "threshold": threshold,
            "triplet_f1": float(micro_f1(counts)),
            "triplet_f1_whole_batches": float(micro_f1(counts[:whole])),
            "sentences_whole_batches": whole,
        }

    def _write(self, figures: dict[str, Any]) -> None:
        """In place of what a run that was interrupted wrote of this epoch and later ones."""
        earlier = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else []
        entries = [entry for entry in earlier if entry["epoch"] < figures["epoch"]] + [figures]
        text = json.dumps(entries, indent=1) + "\n"
        write_text(self.path, text)
