"""How well the built-in parser parses."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data_scripts.records import Record
from ..errors_d2e2s import UserError
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..processing_d2e2s import D2E2SProcessor, universal_relation

logger = logging.getLogger("d2e2s")

# Longer ones are mostly lists and tables; one of them would set the size of its whole batch.
MAX_WORDS = 100
NO_LIMIT = 1_000_000


def evaluate_parser(
    model: D2E2SForTripletExtraction, processor: D2E2SProcessor, records: Sequence[Record], batch_size: int = 32
) -> dict[str, float]:
    """Attachment scores over all words, punctuation included, against the heads and relations of the records.

    Relations are compared without their subtypes. Sentences that do not fit the encoder are left out, and counted.

    Returns:
        `uas` and, if the model and the records have relations, `las` of the maximum spanning tree, which is what the
        pipeline returns; `greedy_uas` of each word's best head on its own, tree or not; `words`.

    Raises:
        UserError: a model without parser, or one that needs heads, or a record without heads.
    """
    if model.config.needs_heads or not model.config.uses_parser:
        why = f"syntax={model.config.syntax!r}, or that of another of its models"
        raise UserError(f"this model has no parser that it would use ({why}): there is nothing to score")
    labelled = bool(model.config.deprel_labels) and all(record.get("deprels") for record in records)
    words = heads = greedy = relations = 0
    for batch, output in _parsed(model.eval(), processor, records, batch_size):
        gold = _padded([record["heads"] for record in batch], output.heads)
        right = (output.heads == gold) & (gold >= 0)
        words += int((gold >= 0).sum())
        heads += int(right.sum())
        greedy += int(((output.arc_logits.argmax(-1) == gold) & (gold >= 0)).sum())
        if labelled:
            relations += int((right & _right_relations(model, batch, output)).sum())
    figures = {"uas": heads / max(1, words), "greedy_uas": greedy / max(1, words), "words": words}
    return figures | ({"las": relations / max(1, words)} if labelled else {})


@torch.inference_mode()
def _parsed(
    model: D2E2SForTripletExtraction, processor: D2E2SProcessor, records: Sequence[Record], batch_size: int
) -> Iterator[tuple[list[Record], Any]]:
    """Batches of records, longest first, with the model's output for their words alone."""
    rows = list(zip(records, encode_trees(processor, records), strict=True))
    fitting = [row for row in rows if len(row[1]["input_ids"]) <= processor.window]
    warn_skipped(len(rows) - len(fitting), f"{processor.window} word pieces")
    fitting.sort(key=lambda row: -len(row[1]["input_ids"]))
    for start in range(0, len(fitting), batch_size):
        batch, features = zip(*fitting[start : start + batch_size], strict=True)
        inputs = processor.pad([{**row, "heads": None, "deprels": None} for row in features])
        yield list(batch), model(**inputs.to(model.device), return_relations=True)


def encode_trees(processor: D2E2SProcessor, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Features of the words and trees, however long, without triplets."""
    tokens, heads = ([record[key] for record in records] for key in ("tokens", "heads"))
    deprels = [record.get("deprels") for record in records]
    return processor.encode(tokens, heads, deprels, max_length=NO_LIMIT) if records else []


def _right_relations(model: D2E2SForTripletExtraction, batch: Sequence[Record], output: Any) -> Tensor:
    """Where the best relation `(B, W)` is the gold one; a gold relation that the model does not know is a miss."""
    names = [universal_relation(label) for label in model.config.deprel_labels]
    first = {name: names.index(name) for name in names}
    gold = [[first.get(universal_relation(deprel), -1) for deprel in record["deprels"]] for record in batch]
    found = torch.tensor([first[name] for name in names], device=output.heads.device)[output.relation_logits.argmax(-1)]
    return found == _padded(gold, output.heads)


def _padded(rows: Sequence[Sequence[int]], like: Tensor) -> Tensor:
    """Rows as `(B, W)`, the shape of `like`, padded with -1."""
    return torch.tensor([[*row, *[-1] * (like.shape[1] - len(row))] for row in rows], device=like.device)


def warn_skipped(count: int, limit: str) -> None:
    if count:
        logger.warning("parser: left out %d sentences of more than %s", count, limit)
