"""What engines run on a batch: as many rows as came in, a reason where there can be no triplets."""

from __future__ import annotations

from typing import Any

import pyarrow
import pytest
from tiny_models import tiny_checkpoint

from d2e2s.engines.extractor import TripletExtractor
from d2e2s.errors import UserError
from d2e2s.prediction.columns import TRIPLETS_TYPE

SENTENCE = "The food was great."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def extractor(model: str) -> TripletExtractor:
    return TripletExtractor(model, device="cpu")


def rounded(rows: list[Any]) -> list[Any]:
    """Scores depend a little on the batch."""
    return [row and [{**triplet, "score": round(triplet["score"], 4)} for triplet in row] for row in rows]


def not_utf8() -> pyarrow.Array:
    """Texts, the second of which Arrow takes for a string without looking."""
    texts = pyarrow.array([SENTENCE.encode(), b"caf\xe9", None, b" "], pyarrow.binary())
    return pyarrow.Array.from_buffers(pyarrow.string(), len(texts), texts.buffers())


def test_bytes_that_are_no_text(extractor: TripletExtractor) -> None:
    table = extractor(pyarrow.table({"id": [1, 2, 3, 4], "text": not_utf8()}))
    assert table.schema.field("triplets").type == TRIPLETS_TYPE
    assert table.column_names == ["id", "text", "triplets", "reason"] and table["id"].to_pylist() == [1, 2, 3, 4]
    assert table["triplets"].to_pylist() == [extractor.extract(SENTENCE), None, [], []]
    assert table["reason"].to_pylist() == [None, "not UTF-8 (byte 0xe9)", None, None]


def test_lists_that_are_no_words(extractor: TripletExtractor) -> None:
    """Those that only the pipeline knows to be wrong are found by halving."""
    words = ["The", "food", "was", "great", "."]
    texts = [words, ["good", ""], words, [f"{SENTENCE} {SENTENCE}"], words, None]
    table = extractor(pyarrow.table({"text": texts}))
    [right] = extractor.extract([words])
    expected = [right, None, right, None, right, []]
    assert right and rounded(table["triplets"].to_pylist()) == rounded(expected)
    reasons = table["reason"].to_pylist()
    assert reasons[1] == "text is ['good', '']; expected text" and reasons[3].startswith("word 0 is a sentence")
    assert [i for i, reason in enumerate(reasons) if reason] == [1, 3]


def test_no_rows(extractor: TripletExtractor) -> None:
    table = extractor(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}))
    assert len(table) == 0 and table.schema.field("triplets").type == TRIPLETS_TYPE


def test_kinds_of_strings(extractor: TripletExtractor) -> None:
    texts = pyarrow.array([SENTENCE, SENTENCE])
    for column in (texts.cast("large_string"), texts.cast("string_view"), texts.dictionary_encode()):
        found = extractor(pyarrow.table({"text": column}))["triplets"].to_pylist()
        assert rounded(found) == rounded([extractor.extract(SENTENCE)] * 2)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"review": ["good"]}, "no column 'text'; choose text_column from: 'review'"),
        ({"text": [1]}, "column 'text' is int64; expected text, or lists of words"),
        ({"text": ["good"], "triplets": [1]}, "there is a column 'triplets' already; give another output_column"),
        ({"text": ["good"], "reason": [1]}, "there is a column 'reason' already; give another reason_column"),
    ],
)
def test_columns_that_do_not_fit(extractor: TripletExtractor, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(UserError) as caught:
        extractor(pyarrow.table(columns))
    assert str(caught.value) == message


def test_options_are_looked_at_before_any_row(model: str) -> None:
    with pytest.raises(UserError, match=r"threshold must lie in \[0, 1\], got 3"):
        TripletExtractor(model, device="cpu", threshold=3)


def test_options_and_names(model: str) -> None:
    extractor = TripletExtractor(model, "review", "found", "why", device="cpu", batch_size=1, threshold=1.0)
    table = extractor(pyarrow.table({"review": [SENTENCE]}))
    assert table.to_pylist() == [{"review": SENTENCE, "found": [], "why": None}]
