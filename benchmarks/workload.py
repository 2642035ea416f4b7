"""The work that is measured: records, batches, models, a training step, an evaluation."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor
from d2e2s.data_scripts.aste_lines import is_inside, moved
from d2e2s.data_scripts.records import read_records
from d2e2s.encoders import resolve_encoder
from d2e2s.modeling_d2e2s import without_pooler

from .report import option_parser

Record = dict[str, Any]
Batch = Mapping[str, Tensor]
Step = Callable[[Batch], None]
ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Each fusion with the semantic network that it is compared with in the literature.
VARIANTS: dict[str, dict[str, Any]] = {
    "tin": {"fusion_type": "tin", "semantic_gcn": "basic"},
    "cross_attention": {"fusion_type": "cross_attention", "semantic_gcn": "enhanced"},
    "light_cross_attention": {"fusion_type": "light_cross_attention", "semantic_gcn": "enhanced"},
    "gated": {"fusion_type": "gated", "semantic_gcn": "enhanced"},
    "none": {"fusion_type": "none"},
}
MAIN = "cross_attention"


def work_parser(text: str | None) -> argparse.ArgumentParser:
    """The options of a program that measures a `Workload`; its module's text is the help."""
    parser = option_parser(text)
    add = parser.add_argument
    add("--encoder_name_or_path", default="all-MiniLM-L6-v2")
    add("--random_encoder", metavar="LAYERSxWIDTH", help="random weights of this size instead, e.g. 12x768")
    add("--data", type=Path, required=True, help="JSONL of records")
    add("--device", type=torch.device, default=torch.device("cpu"))
    add("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="autocast, if not float32")
    add("--batch_size", type=int, default=16)
    add("--sentence_length", type=int, metavar="WORDS", help="join and cut the sentences to this length")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=5)
    add("--limit", type=int, help="only the first batches")
    return parser


class Workload:
    """Records, the processor that turns them into batches, and the records encoded as a training run keeps them."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        transformers.logging.disable_progress_bar()
        self.options, self.device = options, options.device
        self.encoder = resolve_encoder(options.encoder_name_or_path)
        records = read_records(options.data)
        labels = sorted({label for record in records for label in record.get("deprels") or ()})
        if options.sentence_length:
            records = resized(records, options.sentence_length)
        self.records = records[: options.limit * options.batch_size] if options.limit else records
        self.processor = D2E2SProcessor(AutoTokenizer.from_pretrained(self.encoder), labels)
        self.features = self.processor.encode_records(self.records)

    def batches(self, grouped: bool = False) -> list[list[int]]:
        """Indices of the records of each batch: in file order, or the longest first."""
        order = list(range(len(self.features)))
        if grouped:
            order.sort(key=lambda i: -len(self.features[i]["input_ids"]))
        size = self.options.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def collate(self, batch: Sequence[int], labels: bool = True) -> Batch:
        """The inputs of a batch on the device."""
        features = [self.features[i] for i in batch]
        if not labels:
            features = [{**feature, "labels": None} for feature in features]
        return self.processor.pad(features).to(self.device)

    def bare_encoder(self) -> PreTrainedModel:
        """The encoder alone, without the pooler, which no side uses."""
        encoder: Any = without_pooler(self._encoder())
        return encoder.to(self.device).eval()

    def model(self, **config: Any) -> D2E2SForTripletExtraction:
        """A new model of the configuration; the same weights each time."""
        torch.manual_seed(0)
        model: Any
        config["deprel_labels"] = self.processor.deprel_labels
        if self.options.random_encoder:
            model = D2E2SForTripletExtraction(D2E2SConfig(encoder_config=self._random_config(), **config))
        else:
            model = D2E2SForTripletExtraction.from_encoder(self.encoder, **config)
        return model.to(self.device).eval()

    def _encoder(self) -> PreTrainedModel:
        if self.options.random_encoder:
            return AutoModel.from_config(self._random_config())
        return AutoModel.from_pretrained(self.encoder, dtype=torch.float32)

    def _random_config(self) -> Any:
        layers, width = map(int, self.options.random_encoder.split("x"))
        return AutoConfig.from_pretrained(
            self.encoder,
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
        )

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast to the wanted type."""
        dtype = getattr(torch, self.options.dtype)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not torch.float32)


def encoder_inputs(batch: Batch) -> dict[str, Tensor]:
    return {name: batch[name] for name in ENCODER_INPUTS if name in batch}


def bare_step(work: Workload) -> Step:
    """A training step of the encoder with a linear head."""
    encoder = work.bare_encoder().train()
    head = nn.Linear(encoder.config.hidden_size, 4).to(work.device)

    def loss(batch: Batch) -> Tensor:
        logits = head(encoder(**encoder_inputs(batch)).last_hidden_state).float()
        target = batch["word_index"].clamp(0, 3)
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    return optimised(work, loss, [*encoder.parameters(), *head.parameters()])


def model_step(work: Workload, forward: Callable[..., Any] | None = None, **config: Any) -> Step:
    """A training step of the model, or of another way to compute its output for a batch, such as the literal one."""
    model = work.model(**config).train()
    output: Callable[[Batch], Any] = partial(forward, model) if forward else lambda batch: model(**batch)
    return optimised(work, lambda batch: output(batch).loss, model.parameters())


def optimised(work: Workload, loss: Callable[[Batch], Tensor | None], parameters: Any) -> Step:
    """Forward, backward, and the same fused AdamW for every side."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

    def step(batch: Batch) -> None:
        with work.precision():
            value = loss(batch)
        assert value is not None
        value.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def evaluate(work: Workload, model: D2E2SForTripletExtraction, batch: Sequence[int]) -> list[list[Record]]:
    """Triplets of a batch of encoded records: collation, model, decoding."""
    words = [work.records[i]["tokens"] for i in batch]
    inputs = work.collate(batch, labels=False)
    with torch.inference_mode(), work.precision():
        return work.processor.post_process_triplets(model(**inputs), words)


def encode(work: Workload, encoder: PreTrainedModel, inputs: Batch) -> None:
    """The encoder's forward pass, on inputs that are padded already."""
    with torch.inference_mode(), work.precision():
        encoder(**encoder_inputs(inputs))


def resized(records: Sequence[Record], length: int) -> list[Record]:
    """The records' words joined and cut into sentences of `length` words, as many words in all (and at least one).

    Triplets within a cut stay; a head beyond it becomes the root.
    """
    joined = joined_records(records, length)
    return [_cut(joined, start, start + length) for start in range(0, len(joined["tokens"]) - length + 1, length)]


def joined_records(records: Sequence[Record], least: int) -> Record:
    """All records as one, repeated until it has `least` words."""
    whole: Record = {"tokens": [], "heads": [], "deprels": [], "triplets": []}
    while len(whole["tokens"]) < least:
        for record in records:
            offset = len(whole["tokens"])
            unknown = [None] * len(record["tokens"])
            whole["tokens"] += record["tokens"]
            whole["heads"] += [head and head + offset for head in record.get("heads") or [0] * len(unknown)]
            whole["deprels"] += record.get("deprels") or unknown
            whole["triplets"] += [moved(triplet, -offset) for triplet in record["triplets"]]
    return whole


def _cut(whole: Record, start: int, end: int) -> Record:
    return {
        "tokens": whole["tokens"][start:end],
        "heads": [head - start if start < head <= end else 0 for head in whole["heads"][start:end]],
        "deprels": whole["deprels"][start:end],
        "triplets": [moved(triplet, start) for triplet in whole["triplets"] if is_inside(triplet, start, end)],
    }
