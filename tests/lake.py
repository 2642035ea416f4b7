"""A small lake of reviews in Parquet for the tests of engines, what one process makes of it, and a comparison."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from tiny_models import tiny_checkpoint

from d2e2s import load_pipeline

ROWS, BAD, FILES = 20_000, 200, 4
ASPECTS = ("food", "service", "staff", "pizza", "wine", "battery", "screen", "keyboard", "menu", "price")
OPINIONS = ("great", "slow", "terrible", "fresh", "friendly", "bad", "excellent", "average", "cheap", "nice")
DAMAGED = b"caf\xe9"  # bytes that Arrow takes for a string without looking
BATCH_SIZE = 256
SCORES_WITHIN = 1e-5


@dataclass
class Lake:
    """A folder of Parquet files, a checkpoint, and the triplets of each row by its id; None for a damaged one."""

    folder: Path
    model: Path
    expected: list[list[dict[str, Any]] | None]


def make_lake(folder: Path) -> Lake:
    chance = random.Random(0)
    bad = set(chance.sample(range(ROWS), BAD))
    texts = [DAMAGED if row in bad else _sentence(chance).encode() for row in range(ROWS)]
    (folder / "reviews").mkdir()
    for number in range(FILES):
        rows = range(number * ROWS // FILES, (number + 1) * ROWS // FILES)
        table = pyarrow.table({"id": list(rows), "text": _strings([texts[row] for row in rows])})
        pyarrow.parquet.write_table(table, folder / "reviews" / f"r{number}.parquet", row_group_size=1000)
    model = tiny_checkpoint(folder / "model")
    extract = load_pipeline(str(model), device="cpu", batch_size=BATCH_SIZE)
    found = iter(extract([text.decode() for row, text in enumerate(texts) if row not in bad]))
    return Lake(folder / "reviews", model, [None if row in bad else next(found) for row in range(ROWS)])


def _sentence(chance: random.Random) -> str:
    return f"The {chance.choice(ASPECTS)} was {chance.choice(OPINIONS)}."


def _strings(values: list[bytes]) -> pyarrow.Array:
    return pyarrow.Array.from_buffers(pyarrow.string(), len(values), pyarrow.array(values, pyarrow.binary()).buffers())


def check_rows(rows: list[dict[str, Any]], lake: Lake) -> None:
    """Every row of the lake is there once, in any order, with the triplets of one process or with a reason."""
    rows = sorted(rows, key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(ROWS))
    without = [row for row in rows if row["triplets"] is None]
    assert len(without) == BAD and {row["reason"] for row in without} == {"not UTF-8 (byte 0xe9)"}
    for row, expected in zip(rows, lake.expected, strict=True):
        if expected is None:
            assert row["triplets"] is None
        else:
            assert row["reason"] is None
            check_triplets(row["triplets"], expected)
    assert sum(map(len, filter(None, lake.expected))) > ROWS / 10


def check_triplets(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same triplets in the same order; scores depend a little on the batch."""
    assert [{**triplet, "score": 0} for triplet in found] == [{**triplet, "score": 0} for triplet in expected]
    for triplet, other in zip(found, expected, strict=True):
        assert abs(triplet["score"] - other["score"]) <= SCORES_WITHIN
