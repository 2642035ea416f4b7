"""The canonical record: validation, tree check, files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from d2e2s.data_scripts.records import (
    FEATURES,
    Record,
    RecordError,
    check_records,
    is_labelled,
    is_tree,
    read_records,
    sentiment_labels,
    validate_record,
    write_records,
)


def record(**changes: object) -> dict:
    base = {
        "id": "a-1",
        "tokens": ["The", "soup", "was", "superb"],
        "heads": [2, 4, 4, 0],
        "deprels": ["det", "nsubj", "cop", "root"],
        "triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}],
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ([0], True),
        ([2, 0, 2], True),
        ([0, 0, 2], True),
        ([], True),
        ([1], False),
        ([2, 1, 0], False),
        ([0, 3, 4, 2], False),
        ([3, 0], False),
        ([-1, 0], False),
    ],
)
def test_is_tree(heads: list[int], expected: bool) -> None:
    assert is_tree(heads) is expected


@given(st.lists(st.integers(min_value=0, max_value=7), max_size=7))
def test_is_tree_agrees_with_walking_from_every_word(heads: list[int]) -> None:
    def reaches_root(word: int) -> bool:
        for _ in range(len(heads) + 1):
            if word == 0:
                return True
            word = heads[word - 1]
        return word == 0

    in_range = all(head <= len(heads) for head in heads)
    assert is_tree(heads) == (in_range and all(reaches_root(word) for word in range(1, len(heads) + 1)))


def test_a_good_record_passes_with_and_without_tree() -> None:
    validate_record(record(), "here")
    bare = record()
    del bare["heads"], bare["deprels"]
    validate_record(bare, "here")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 3}, "id is 3"),
        ({"tokens": []}, "at least one token"),
        ({"tokens": ["The", " ", "was", "superb"]}, "not empty"),
        ({"heads": [2, 4, 4]}, "3 heads for 4 tokens"),
        ({"deprels": ["det"]}, "1 deprels for 4 tokens"),
        ({"heads": [2, 4, 5, 0]}, "head 5 of word 3 is out of range"),
        ({"heads": [2, 1, 4, 0]}, "words 1, 2 hang on a cycle"),
        ({"heads": [2, 4, "4", 0]}, "a list of int"),
        ({"triplets": "none"}, "a list, empty where there are none, or null where they are not known"),
        ({"triplets": [{"aspect": [1, 2]}]}, "the keys aspect, opinion, sentiment"),
        ({"triplets": [{"aspect": [1, 1], "opinion": [3, 4], "sentiment": "POS"}]}, "start < end <= 4"),
        (
            {"triplets": [{"aspect": [1, 5], "opinion": [3, 4], "sentiment": "POS"}]},
            "aspect [1, 5] does not fit",
        ),
        ({"triplets": [{"aspect": [1, 2], "opinion": 3, "sentiment": "POS"}]}, "two whole numbers"),
        ({"triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": " "}]}, "a label such as POS"),
        ({"triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": None}]}, "sentiment None"),
    ],
)
def test_each_fault_is_named_with_its_place(changes: dict, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        validate_record(record(**changes), "file.jsonl:7")
    assert str(caught.value).startswith("file.jsonl:7: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "JSONL", "Parquet"])
def test_files_give_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    conflict = [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "conflict"}]
    rows = [
        record(),
        record(id="a-2", triplets=[], tokens=["café", "\u0085x", "…", "\u00a0y"]),
        record(id="a-3", triplets=None),
        record(id="a-4", triplets=conflict),
    ]
    path = tmp_path / f"rows.{suffix}"
    write_records(path, rows)
    assert read_records(path) == rows
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes().startswith(b"PAR1" if suffix.lower() == "parquet" else b"{")


@pytest.mark.parametrize(("suffix", "loader"), [("jsonl", "json"), ("parquet", "parquet")])
def test_datasets_reads_the_files(tmp_path: Path, suffix: str, loader: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    write_records(path, [record(), record(id="a-2", triplets=[])])
    cache = str(tmp_path / "cache")
    rows = load_dataset(loader, data_files=str(path), features=FEATURES, split="train", cache_dir=cache)
    assert rows[0] == record()
    assert rows[1]["triplets"] == []


def test_a_bad_row_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_records(path, [record()])
    with pytest.raises(RecordError, match="rows.jsonl:2"):
        write_records(path, [record(), record(tokens=[])])
    assert read_records(path) == [record()]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("line", ["{", "[1]", json.dumps(record(tokens=[]))])
def test_reading_names_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(record()) + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"rows\.jsonl:3: "):
        read_records(path)


@pytest.mark.parametrize(("mask", "rights"), [(0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_rights_that_new_files_have(mask: int, rights: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_records(tmp_path / "a.jsonl", [])
        write_records(tmp_path / "a.parquet", [])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {rights}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("reviews.csv", "a spreadsheet has no spans"),
        ("reviews.XLSX", "a spreadsheet has no spans"),
        ("reviews.txt", ".txt is no kind of file for records"),
        ("reviews", "no suffix is no kind of file for records"),
    ],
)
def test_other_files_are_neither_read_nor_written(name: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(FileNotFoundError):
        read_records(path)
    with pytest.raises(RecordError, match=what):
        write_records(path, [record()])
    assert not path.exists()
    path.write_bytes(b"text\nGood pizza.\n")
    with pytest.raises(RecordError) as error:
        read_records(path)
    assert str(error.value) == (
        f"{path}: {what}; expected .jsonl or .parquet of records, what data_scripts/ makes of "
        "annotations (docs/own_data.md)"
    )


def test_sentiments_are_those_of_the_data_unless_they_are_given() -> None:
    def of(*labels: str) -> list[Record]:
        return [record(triplets=[{"aspect": [1, 2], "opinion": [3, 4], "sentiment": x}]) for x in labels]

    five = ["very positive", "NEG", "conflict", "very negative", "POS"]
    assert sentiment_labels(of("NEG")) == sentiment_labels([record(triplets=None)]) == ["POS", "NEG", "NEU"]
    assert sentiment_labels(of(*five)) == ["POS", "NEG", "conflict", "very negative", "very positive"]
    validate_record(of("conflict")[0], "here", ["POS", "conflict"])
    with pytest.raises(RecordError, match="here: sentiment 'Conflict'; expected one of POS, conflict"):
        validate_record(of("Conflict")[0], "here", ["POS", "conflict"])


def test_triplets_that_are_not_known_are_none_and_not_absent() -> None:
    assert [is_labelled(row) for row in (record(), record(triplets=[]), record(triplets=None))] == [True, True, False]
    absent = record()
    del absent["triplets"]
    with pytest.raises(RecordError, match="here: no triplets; expected a list"):
        validate_record(absent, "here")


@pytest.mark.parametrize("typed", [True, False])
def test_rows_of_datasets_are_records(typed: bool) -> None:
    bare = {"id": "b", "tokens": ["Good"], "triplets": []}
    rows = Dataset.from_list([record(), bare, record(triplets=None)], features=FEATURES if typed else None)
    assert check_records(rows, "data/mine train") == [record(), bare, record(triplets=None)]
    with pytest.raises(RecordError, match="data/mine train row 2: id is 7; expected a string"):
        check_records([record(), record(id=7)], "data/mine train")
    with pytest.raises(RecordError, match="mine test row 1: sentiment 'POS'; expected one of good, bad"):
        check_records([record()], "mine test", ["good", "bad"])


def test_parquet_drops_no_field(tmp_path: Path) -> None:
    row = {"id": "1", "tokens": ["good"], "triplets": [], "stars": 5}
    with pytest.raises(RecordError, match=r"a\.parquet: records with stars; expected .* \.jsonl"):
        write_records(tmp_path / "a.parquet", _no_more_than(row))
    write_records(tmp_path / "a.jsonl", [row])
    assert read_records(tmp_path / "a.jsonl") == [row] and not (tmp_path / "a.parquet").exists()


def _no_more_than(row: Record) -> Iterator[Record]:
    """Rows that take long to make: after a bad one no more are asked for."""
    yield row
    pytest.fail("asked for another record")


def test_an_id_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(RecordError, match=r"id is '\\ud800'; expected a string"):
        validate_record({"id": "\ud800", "tokens": ["a"], "triplets": []}, "here")
