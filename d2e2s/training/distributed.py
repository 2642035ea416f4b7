"""What makes several processes one run: the order of the data, how much each process's loss weighs, one folder."""

import atexit
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..checkpoints import for_a_while
from ..labels_d2e2s import UNKNOWN


class EpochSampler(LengthGroupedSampler):
    """Sentences of like length together, in an order that depends on the seed and the epoch alone.

    So every process draws the same order, and a resumed run the one that it was in; the generator that dropout uses
    differs between processes, and between the start and the middle of a run.

    Args:
        batch_size: sentences of one step of all processes, so that the order does not depend on their number.
        lengths: of the sentences.
        epoch: tells the epoch that is about to begin.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(batch_size, lengths=list(lengths))
        self.seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch())  # no two seeds share an order
        return super().__iter__()


# What each loss of a batch is divided by. The contrastive loss is not among them: its negatives are those of one's
# own batch, so that its mean over the processes is all there is.
LOSS_COUNTS: dict[str, Callable[[Mapping[str, Tensor]], Tensor]] = {
    "span": lambda batch: (batch["word_mask"] & _labelled(batch)).sum(),
    "pair": lambda batch: (batch["word_mask"] & _labelled(batch)).sum(),
    "parser": lambda batch: (batch["heads"] >= 0).sum() if "heads" in batch else batch["word_mask"].sum() * 0,
    "graph_consistency": lambda batch: batch["word_mask"].sum() + len(batch["word_mask"]),
}


def _labelled(batch: Mapping[str, Tensor]) -> Tensor:
    """Sentences whose triplets are known, `(B, 1)`."""
    return (batch["labels"][:, 0, 0] != UNKNOWN)[:, None]


def loss_counts(batches: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Sums of the counts over batches, in the order of `LOSS_COUNTS`: `(4,)` int64."""
    return torch.stack([torch.stack([count(batch) for batch in batches]).sum() for count in LOSS_COUNTS.values()])


def loss_shares(batch: Mapping[str, Tensor], counts: Tensor, parts: int) -> dict[str, Tensor]:
    """By how much to multiply each loss of a batch, so that the mean over all parts of a step is the loss of the whole.

    A loss is a sum over words, divided by the words of its own batch. A process with fewer words would give each of
    them more weight than another.

    Args:
        counts: of the whole step, all processes and accumulated batches: `(4,)`.
        parts: batches of the step, over all processes.
    """
    shares = loss_counts([batch]) * parts / counts.clamp(min=1)
    return dict(zip(LOSS_COUNTS, shares, strict=True))


@cache
def end_together() -> None:
    """Have the group of processes end before the interpreter does: torn down later it aborts now and then."""
    atexit.register(lambda: torch.distributed.is_initialized() and torch.distributed.destroy_process_group())


# --- folders and checkpoints ------------------------------------------------------------------------------


def check_shared(folder: Path) -> None:
    """Whether all processes see one folder: the first one writes the checkpoints, and all of them read the best one.

    All processes call this.

    Raises:
        OSError: on all of them, if some machine has a folder of its own.
    """
    state = PartialState()
    with ExitStack() as stack:
        mark = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder)).name if state.is_main_process else ""
        [mark] = broadcast_object_list([mark])
        seen = gather_object([Path(folder, Path(mark).name).exists()])
    if not all(seen):
        raise OSError(
            f"{folder}: process {seen.index(False)} does not see what process 0 writes there: give an output folder "
            "that all machines share"
        )


def own_class(model: nn.Module) -> AbstractContextManager[None]:
    """The model with the class that it was built with, for saving: FSDP replaces it by one of torch's making, and the
    checkpoint would carry torch's code in place of the model's.
    """
    own = next(kind for kind in type(model).__mro__ if not kind.__module__.startswith("torch."))
    return for_a_while(model, "__class__", own)
