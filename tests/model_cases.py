"""Sentences that break models, and small models to break: shared by the tests of the model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import WORDS, tiny_encoder
from torch import Tensor, nn

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor
from d2e2s.fusion_d2e2s import FUSIONS
from d2e2s.graph_d2e2s import SEMANTIC_GCNS, SYNTACTIC_GCNS

DEPRELS = ["nsubj", "amod", "obj", "root"]
WIDTH = 4

# Without fusion there are no graphs, so one combination says it all.
CHOICES = [
    (fusion, semantic, syntactic)
    for fusion in FUSIONS
    for semantic in SEMANTIC_GCNS
    for syntactic in (*SYNTACTIC_GCNS, "none")
] + [("none", "basic", "none")]
every_choice = pytest.mark.parametrize("choice", CHOICES, ids="-".join)

Row = Mapping[str, Any]


def tree(length: int, seed: int) -> list[int]:
    """A random tree over the words as 1-based heads."""
    draw = random.Random(seed)
    order = draw.sample(range(1, length + 1), length)
    heads = {word: draw.choice(order[:i]) if i else 0 for i, word in enumerate(order)}
    return [heads[word] for word in range(1, length + 1)]


def record(words: Iterable[str], *triplets: tuple[int, int, int, int, str], parsed: bool = True) -> dict[str, Any]:
    """A record with a random tree; `triplets` are aspect start, end, opinion start, end, sentiment."""
    tokens = list(words)
    draw = random.Random(len(tokens))
    return {
        "tokens": tokens,
        "heads": tree(len(tokens), len(tokens)) if parsed else None,
        "deprels": [draw.choice(DEPRELS) for _ in tokens] if parsed else None,
        "triplets": [{"aspect": [a, b], "opinion": [c, d], "sentiment": s} for a, b, c, d, s in triplets],
    }


def sentence(length: int) -> list[str]:
    return random.Random(length).choices(WORDS, k=length)


RECORDS = {
    "one word": record(["excellent"]),
    "two words": record(["great", "pizza"], (1, 2, 0, 1, "POS")),
    "overlap": record(["fast", "food", "service"], (0, 3, 0, 1, "NEU")),
    "two opinions": record(["the", "waiter", "was", "rude", "and", "slow"], (1, 2, 3, 4, "NEG"), (1, 2, 5, 6, "NEG")),
    "shared opinion": record(["nice", "sushi", "and", "wine"], (1, 2, 0, 1, "POS"), (3, 4, 0, 1, "POS")),
    "too wide": record(sentence(9), (0, 6, 7, 8, "POS"), (6, 7, 8, 9, "NEG")),
    "both roles": record(sentence(8), (0, 1, 3, 5, "POS"), (3, 5, 6, 7, "NEU")),
    "twice": record(sentence(7), (2, 4, 5, 6, "NEG"), (2, 4, 5, 6, "NEG"), (2, 4, 5, 6, "POS")),
    "no triplets": record(sentence(11)),
    "no parse": record(sentence(5), (0, 2, 3, 4, "POS"), parsed=False),
    "lost word": record(["food", "\u200b", "is", "great"], (0, 1, 3, 4, "POS")),
    "long": record(sentence(40), (0, 2, 38, 40, "POS"), (20, 23, 18, 19, "NEU"), (30, 31, 31, 32, "NEG")),
}


def inputs_of(processor: D2E2SProcessor, *names: str, **changes: Any) -> Any:
    """The model's inputs for the records of these names (all by default), fields replaced by `changes`."""
    rows = [RECORDS[name] for name in names or RECORDS]
    columns = {field: [row[field] for row in rows] for field in ("heads", "deprels", "triplets")}
    return processor(words=[row["tokens"] for row in rows], **{**columns, **changes})


def small_model(folder: Path, choice: tuple[str, str, str], seed: int = 0, **config: Any) -> D2E2SForTripletExtraction:
    """A model on the encoder in `folder`, without dropout, every weight behind the encoder moved off its start.

    Weights that start at 0 or 1 would hide a term that is left out.
    """
    fusion, semantic, syntactic = choice
    sizes = {"fusion_heads": 4, "parser_size": 16, "head_size": 16, "max_span_width": WIDTH, "max_candidates": 6}
    fixed = {"dropout": 0.0, "predicted_graph_rate": 0.0, "decision_threshold": 0.0, "deprel_labels": DEPRELS}
    fields = {"fusion_type": fusion, "semantic_gcn": semantic, "syntactic_gcn": syntactic, **sizes, **fixed}
    torch.manual_seed(seed)
    model = D2E2SForTripletExtraction.from_encoder(str(folder), **{**fields, **config})
    for name, parameter in model.named_parameters():
        if "encoder" not in name:
            nn.init.normal_(parameter, mean=float(parameter.data.flatten()[0] == 1), std=0.2)
    return model.eval()


def training(model: D2E2SForTripletExtraction) -> D2E2SForTripletExtraction:
    """The model in training mode, the encoder without its dropout."""
    model.train()
    model.d2e2s.encoder.eval()
    return model


def pairs_of(output: Any, model: D2E2SForTripletExtraction, words: Tensor) -> list[dict[tuple[int, ...], list[float]]]:
    """Logits of each candidate pair of each sentence, by aspect and opinion, whatever their order."""
    found = []
    for b, length in enumerate(words.tolist()):
        most = model.config.max_candidates if model.training else max(model.config.max_candidates, length // 4)
        count = min(most, sum(min(WIDTH, length - start) for start in range(length)))
        aspects, opinions = (part[b, :count].tolist() for part in (output.aspects, output.opinions))
        logits = output.pair_logits[b].tolist()
        found.append({(*a, *o): logits[i][j] for i, a in enumerate(aspects) for j, o in enumerate(opinions)})
    return found


def triplets_of(output: Any) -> list[dict[tuple[int, ...], float]]:
    """Score of each decoded triplet of each sentence."""
    rows = zip(output.triplets.tolist(), output.scores.tolist(), strict=True)
    return [{tuple(t): s for t, s in zip(*row, strict=True) if t[0] >= 0} for row in rows]


def assert_same(left: list[dict], right: list[dict], tolerance: float = 1e-5) -> None:
    """The same keys in each sentence, with the same values."""
    for found, expected in zip(left, right, strict=True):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, abs=tolerance, rel=tolerance)


def tiny_bert(folder: Path) -> tuple[Path, D2E2SProcessor]:
    return tiny_encoder("bert", folder), D2E2SProcessor.from_pretrained(folder, deprel_labels=DEPRELS)
