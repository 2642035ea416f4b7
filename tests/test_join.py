"""Several sets as one: each sentence once, none that is scored, ids of its own, licences on the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from d2e2s.data_scripts.dataset_card import read_dataset_card, write_dataset_card
from d2e2s.data_scripts.join import main
from d2e2s.data_scripts.overlap import leaks, letters, shared_sentences
from d2e2s.data_scripts.records import Record, read_records, write_records

TRIPLET = {"aspect": [0, 1], "opinion": [1, 2], "sentiment": "POS"}


def record(name: str, text: str, known: bool = True) -> Record:
    tokens = text.split()
    return {"id": name, "tokens": tokens, "triplets": [TRIPLET][: len(tokens) - 1] if known else None}


def prepared(folder: Path, licence: str, suffix: str = "jsonl", language: str = "en", **splits: list[Record]) -> Path:
    for split, records in splits.items():
        write_records(folder / f"{split}.{suffix}", records)
    write_dataset_card(folder, folder.name, "About.", splits, licence, language, suffix)
    return folder


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    first = prepared(
        tmp_path / "first",
        "mit",
        train=[record("1", "Food good"), record("2", "Wine bad"), record("3", "food GOOD"), record("4", "do n't go")],
        dev=[record("5", "Staff nice")],
        test=[record("6", "Don't go")],
    )
    second = prepared(
        tmp_path / "second",
        "mit",
        "parquet",
        train=[record("1", "staff nice"), record("2", "Soup cold", False), record("7", "Winebad")],
        dev=[record("8", "Beer warm")],
    )
    return [first, second]


def test_letters_know_neither_spaces_nor_capitals() -> None:
    assert letters("Do n't\u00a0go") == letters(["DON'T", "go"]) == "don'tgo"


def test_each_sentence_once_and_none_that_is_scored(
    sets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = tmp_path / "out", [str(folder) for folder in sets]
    third = tmp_path / "third.jsonl"
    write_records(third, [record("1", "Soup cold"), record("9", "Tea hot", False)])
    assert main(["--input", *names, str(third), "--held_out", *names, "--output_dir", str(out)]) == 0
    joined = {row["id"]: " ".join(row["tokens"]) for row in read_records(out / "train.jsonl")}
    assert joined == {"1": "Food good", "2": "Wine bad", f"{tmp_path.name}:1": "Soup cold", "9": "Tea hot"}
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    left_out = [(source["file"], source["held_out"], source["elsewhere"]) for source in report["sources"]]
    assert left_out == [
        ("first/train.jsonl", ["4"], ["3"]),
        ("second/train.parquet", ["1"], ["7", "2"]),  # whose triplets another source knows
        (f"{tmp_path.name}/third.jsonl", [], []),
    ]
    assert read_dataset_card(out) == {"licence": "unknown", "language": None}  # the third has no card
    assert "first/train.jsonl: 2 sentences; left out: 1 held out, 1 in another" in capsys.readouterr().out
    assert f"{tmp_path.name}/third.jsonl | unknown | 2 | 0 | 0 |" in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("licence", "joined"), [("mit", "mit"), ("cc0-1.0", "other"), ("unknown", "unknown")])
def test_the_licence_of_all(licence: str, joined: str, sets: list[Path], tmp_path: Path) -> None:
    third = prepared(tmp_path / "third", licence, language="en", train=[record("1", "Tea hot")])
    command = ["--input", *map(str, [*sets, third]), "--output_dir", str(tmp_path / "out"), "--format", "parquet"]
    assert main(command) == 0
    assert read_dataset_card(tmp_path / "out") == {"licence": joined, "language": "en"}
    ids = [row["id"] for row in read_records(tmp_path / "out" / "train.parquet")]
    assert len(ids) == len(set(ids)) == 6 and "second:1" in ids and "third:1" in ids


def test_dev_of_several_sets(sets: list[Path], tmp_path: Path) -> None:
    command = ["--input", *map(str, sets), "--split", "dev", "--output_dir", str(tmp_path / "out")]
    assert main(command) == 0
    assert [row["id"] for row in read_records(tmp_path / "out" / "dev.jsonl")] == ["5", "8"]


@pytest.mark.parametrize(
    ("place", "held_out", "message"),
    [
        ("nowhere", [], "nowhere: no such file"),
        (".", [], "no train.jsonl or train.parquet; expected a prepared folder"),
        ("first", ["first/train.jsonl"], "--held_out: leaves no sentence"),
        ("first", ["nowhere"], "nowhere: no such file"),
        ("first", ["."], "neither dev nor test"),
    ],
)
def test_what_is_refused(
    place: str,
    held_out: list[str],
    message: str,
    sets: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--input", place, "--output_dir", "out"]
    assert main([*command, "--held_out", *held_out] if held_out else command) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_leaks_are_between_different_splits() -> None:
    rows = [record("1", "Food good")]
    places = {"a/train": rows, "a/dev": [record("2", "food good")], "b/train": [record("3", "Foodgood")]}
    shared = shared_sentences(places)
    assert [(entry["first"], entry["second"], entry["ids_in_second"]) for entry in shared] == [
        ("a/train", "a/dev", ["2"]),
        ("a/train", "b/train", ["3"]),
        ("a/dev", "b/train", ["3"]),
    ]
    assert leaks(shared) == [shared[0], shared[2]]
