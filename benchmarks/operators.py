"""Count the operators that a GPU is given for a batch behind the encoder: at small sizes each costs a launch.

    python -m benchmarks.operators --encoder_name_or_path all-MiniLM-L6-v2 --data data/14res/test.jsonl \
        --batch_size 64 --before results/operators_before.json --out results/operators.json --page docs/speed.md

needs no GPU: the models run on the meta device, which is no CPU, so the code takes the way that a GPU takes, and which
has no values, so that whatever would wait for one (`item`, `tolist`, a mask as an index, `nonzero`) is an error: counts
are those of a way without a host synchronisation. In float32, eager, the encoder replaced by its output.

Counted is each ATen operator that is dispatched, below autograd, except views and what only allocates; padding and
`masked_fill` count as the two that they are made of. What is one call into a library on a GPU counts as one (and its
backward as one): an LSTM (cuDNN), scaled dot-product attention, dropout. Adding up gradients is counted, the optimiser
is not. Beside it, where `torch.compile` would break the graph of all this; at an LSTM it always does, so those are
passed over.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig
from transformers.modeling_outputs import BaseModelOutput

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction
from d2e2s.fusion_d2e2s import MaskedBiLSTM

from .report import markdown_table, publish
from .timing import command_line
from .workload import MAIN, VARIANTS, Batch, Workload, work_parser

ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"}
# They fill and copy.
MADE_OF_TWO = {"constant_pad_nd", "masked_fill", "slice_backward", "select_backward", "diagonal_backward"}
KINDS = ("evaluation", "training_forward", "training_backward")
Counts = dict[str, int]


class Operators(TorchDispatchMode):
    """Counts operators by the file of the model that called them; those of autograd's engine as `backward`."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        if name not in ALLOCATIONS and not operator.is_view:
            self.count(2 if name in MADE_OF_TWO else 1)
        return operator(*args, **(kwargs or {}))

    def count(self, number: int = 1) -> None:
        self.counts[caller(sys._getframe(1))] += number


def caller(frame: FrameType | None) -> str:
    """The innermost file of the model among the callers, by its short name."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("d2e2s.") and name.endswith("_d2e2s"):
            return name.removeprefix("d2e2s.").removesuffix("_d2e2s")
        frame = frame.f_back
    return "backward"


class OneCall(torch.autograd.Function):
    """Stands for one call into a library, and one in the backward pass: tensors of the right shapes, no values."""

    @staticmethod
    def forward(ctx: Any, operators: Operators, shape: Sequence[int], *inputs: Tensor) -> Tensor:
        ctx.operators = operators
        ctx.save_for_backward(*inputs)
        operators.count()
        return inputs[0].new_empty(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        ctx.operators.count()
        return None, None, *(torch.empty_like(x) for x in ctx.saved_tensors)


class LibraryCalls(TorchFunctionMode):
    """Counts what a GPU has in one piece as one, in place of the many operators that the meta device has for it."""

    def __init__(self, operators: Operators) -> None:
        super().__init__()
        self.operators = operators

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.lstm:
            x, state, weights = args[:3]
            hidden = state[0].shape[-1]
            return self._call((*x.shape[:-1], hidden), x, *weights), *state
        if function is F.scaled_dot_product_attention:
            sentences, heads, length, size = args[0].shape  # the answer lies in memory as linear maps take it
            return self._call((sentences, length, heads, size), *args[:3]).transpose(1, 2)
        if function is F.dropout:
            training = kwargs.get("training", args[2] if len(args) > 2 else True)
            return self._call(args[0].shape, args[0]) if training else args[0]
        return function(*args, **kwargs)

    def _call(self, shape: Sequence[int], *inputs: Tensor) -> Tensor:
        return OneCall.apply(self.operators, shape, *inputs)


class GivenEncoder(nn.Module):
    """In place of an encoder: its output, and nothing launched for it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, input_ids: Tensor, **inputs: Any) -> BaseModelOutput:
        pieces = torch.empty(*input_ids.shape, self.width, device=input_ids.device, requires_grad=self.training)
        return BaseModelOutput(last_hidden_state=pieces)


class NoLSTM(nn.Module):
    """In place of a [`MaskedBiLSTM`]: features of its width."""

    def __init__(self, lstm: MaskedBiLSTM) -> None:
        super().__init__()
        self.width = 2 * lstm.forwards.hidden_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x[..., : self.width]


def build(work: Workload, **config: Any) -> D2E2SForTripletExtraction:
    """A model on the meta device without its encoder."""
    config["encoder_config"] = AutoConfig.from_pretrained(work.encoder)
    config["deprel_labels"] = work.processor.deprel_labels
    with torch.device("meta"):
        model = D2E2SForTripletExtraction(D2E2SConfig(**config))
    model.d2e2s.encoder = GivenEncoder(model.config.hidden_size)  # type: ignore[assignment]
    return model


def counted(run: Callable[[], Any]) -> tuple[Counts, Any]:
    """The operators of a run by file, the most first, and what it returns."""
    operators = Operators()
    with operators, LibraryCalls(operators):
        result = run()
    return dict(operators.counts.most_common()), result


def count(model: D2E2SForTripletExtraction, batch: Batch) -> dict[str, Counts]:
    """Operators of each kind: evaluation with decoding, and a training step's forward and backward pass."""
    unlabelled = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        evaluation, _ = counted(lambda: model.eval()(**unlabelled))
    forward, output = counted(lambda: model.train()(**batch))
    backward, _ = counted(lambda: output.loss.backward())
    return dict(zip(KINDS, (evaluation, forward, backward), strict=True))


def graph_breaks(model: D2E2SForTripletExtraction, batch: Batch) -> list[str]:
    """Why a training step's forward pass would not be one graph for `torch.compile`; the LSTMs of the model go."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, MaskedBiLSTM):
                setattr(module, name, NoLSTM(child))
    torch._dynamo.reset()
    return [reason.reason for reason in torch._dynamo.explain(model.train())(**batch).break_reasons]


def section(result: dict[str, Any]) -> str:
    """The generated part of the page: a row for each variant, and the files of the main one's evaluation."""
    rows = []
    for name in result["operators"]:
        now, before = (totals(counts[name]) for counts in (result["operators"], result["before"]["operators"]))
        rows.append((f"`{name}`", *(f"{number} ({old})" for number, old in zip(now, before, strict=True))))
    files = ", ".join(f"`{file}` {number}" for file, number in result["operators"][MAIN]["evaluation"].items())
    breaks = sum(map(len, result["graph_breaks"].values()))
    table = markdown_table(("operators", "evaluation with decoding", "training, forward", "backward"), rows)
    return (
        f"`{result['command']}`\n\ntorch {result['torch']}, {result['sentences']} sentences; in brackets those of "
        f"commit {result['before']['commit']}. Of the evaluation of `{MAIN}`, by file: {files}. "
        f"Host synchronisations: none. Graph breaks beside the LSTM's: {breaks or 'none'}.\n\n{table}"
    )


def totals(kinds: dict[str, Counts]) -> list[int]:
    return [sum(kinds[kind].values()) for kind in KINDS]


def main(argv: Sequence[str] | None = None) -> None:
    parser = work_parser(__doc__)
    parser.add_argument("--before", type=Path, required=True, help="JSON of an earlier state, shown beside this one")
    parser.set_defaults(device=torch.device("meta"), limit=1)
    work = Workload(parser.parse_args(argv))
    batch = work.collate(range(len(work.records)))
    result = {
        "command": command_line(),
        "torch": torch.__version__,
        "sentences": len(work.records),
        "operators": {name: count(build(work, **config), batch) for name, config in VARIANTS.items()},
        "graph_breaks": {name: graph_breaks(build(work, **config), batch) for name, config in VARIANTS.items()},
        "before": json.loads(work.options.before.read_text(encoding="utf-8")),
    }
    publish(work.options, result, section(result), "operators")


if __name__ == "__main__":
    main()
