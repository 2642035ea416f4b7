"""ASTE text of every kind to records: lists and ranges of indices, words for sentiments, implicit terms, faults."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pooch
import pytest

from d2e2s.data_scripts import public_sets
from d2e2s.data_scripts.aste_lines import parse_line
from d2e2s.data_scripts.dataset_card import read_dataset_card
from d2e2s.data_scripts.from_aste_text import main, split_of, text_ranges
from d2e2s.data_scripts.records import RecordError, is_labelled, read_records

LINE = "The front screen is very good .####[([1, 2], [5], 'POS')]"
RANGE = "The front big screen is good .####[([1, 3], [5], 'POS'), ([-1], [5], 'NEG'), ([3], [-1], 'NEU')]####Phones"
OUT_OF_RANGE = "Good food####[([1], [0], 'POS'), ([1], [2], 'POS')]"


def convert(folder: Path, *lines: str, **options: str) -> int:
    path = folder / "set" / "train.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rest = [word for name, value in options.items() for word in (f"--{name}", value)]
    return main(["--input", str(path.parent), "--output_dir", str(folder / "out"), *rest])


def records(folder: Path) -> list[dict[str, Any]]:
    return read_records(folder / "out" / "train.jsonl")


def found(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))["splits"]["train"]


def triplet(aspect: list[int], opinion: list[int], sentiment: str) -> dict[str, Any]:
    return {"aspect": aspect, "opinion": opinion, "sentiment": sentiment}


# Lines


def test_indices_are_lists_and_with_a_sub_domain_ranges() -> None:
    assert parse_line(LINE, "x:1")[1:] == ([triplet([1, 3], [5, 6], "POS")], [])
    assert parse_line(RANGE, "x:1", allow_implicit=True)[1:] == ([triplet([1, 4], [5, 6], "POS")], [[5, 6], [3, 4]])
    assert parse_line(RANGE.replace("3, ", "1, "), "x:1", True).triplets == [triplet([1, 4], [5, 6], "POS")]
    with pytest.raises(RecordError, match=r"x:1: aspect: word indices \[1, 3\] have gaps"):
        parse_line(RANGE.rpartition("####")[0], "x:1", True)
    with pytest.raises(RecordError, match=r"word indices \[3, 1\] are no range"):
        parse_line(RANGE.replace("[1, 3]", "[3, 1]"), "x:1", True)
    with pytest.raises(RecordError, match=r"word indices \[1, 2, 3\] are no range"):
        parse_line(RANGE.replace("[1, 3]", "[1, 2, 3]"), "x:1", True)


def test_negations_are_cut_as_in_raw_text() -> None:
    line = parse_line("Fans don 't last , it Can 't 't n 't .####[([0], [1, 2, 3], 'NEG')]", "x:1")
    assert " ".join(line.tokens) == "Fans do n't last , it Ca n't 't n 't ."
    assert line.triplets == [triplet([0, 1], [1, 4], "NEG")]


@pytest.mark.parametrize(
    ("word", "label"), [("Positive", "POS"), ("negative", "NEG"), ("NEUTRAL", "NEU"), ("pos", "POS")]
)
def test_words_for_sentiments(word: str, label: str) -> None:
    assert parse_line(LINE.replace("POS", word), "x:1").triplets[0]["sentiment"] == label


def test_other_sentiments_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = LINE.replace("POS", "conflict")
    assert convert(tmp_path, line, on_error="stop") == 2
    assert (
        "sentiment 'conflict'; expected one of POS, NEG, NEU; name others with --sentiments" in capsys.readouterr().err
    )
    assert convert(tmp_path, line, sentiments="Conflict") == 0
    assert records(tmp_path)[0]["triplets"][0]["sentiment"] == "Conflict"


# Implicit terms and faults


@pytest.mark.parametrize(
    ("how", "expected"),
    [("drop", [[triplet([1, 4], [5, 6], "POS")], 1]), ("unknown", [None, 1]), ("skip", [1]), ("stop", None)],
)
def test_a_sentence_with_implicit_terms(
    how: str, expected: list[Any] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = convert(tmp_path, RANGE, LINE, implicit=how, on_error="stop")
    if expected is None:
        assert done == 2 and "aspect: implicit term (index -1); expected a term in the text" in capsys.readouterr().err
        return
    assert done == 0
    assert [row["triplets"] if row["id"] == "set-train-1" else 1 for row in records(tmp_path)] == expected
    assert found(tmp_path)["implicit_triplets"] == ["set-train-1"] * 2


@pytest.mark.parametrize("how", ["skip", "unknown", "stop"])
def test_faults_are_listed_and_make_no_negative_example(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = convert(tmp_path, LINE, OUT_OF_RANGE, "no mark", on_error=how)
    message = "train.txt:2: opinion: word indices [2] are out of range; expected 0 to 1"
    if how == "stop":
        error = capsys.readouterr().err
        assert done == 2 and message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
        return
    assert done == 0
    assert [is_labelled(row) for row in records(tmp_path)] == ([True] if how == "skip" else [True, False])
    first, second = found(tmp_path)["faults"]
    assert message in first and "train.txt:3: 0 '####' in the line" in second
    assert message in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path, "Some text", "and more") == 2
    error = capsys.readouterr().err
    assert "set: no sentence is left; expected some; the first fault: " in error and "train.txt:1: 0 '####'" in error
    assert not (tmp_path / "out").exists()


# Long texts


def test_long_texts_are_cut_between_sentences(tmp_path: Path) -> None:
    text = "We like it . The food is good . The staff , who are few , is nice ."
    line = f"{text}####[([5], [7], 'POS'), ([10], [17], 'POS'), ([5], [17], 'NEG')]"
    assert convert(tmp_path, line, max_words="10") == 0
    parts = records(tmp_path)
    assert [row["id"] for row in parts] == ["set-train-1-1", "set-train-1-2"]
    assert [" ".join(row["tokens"]) for row in parts] == [text[:31], text[32:]]
    assert [row["triplets"] for row in parts] == [[triplet([5, 6], [7, 8], "POS")], [triplet([1, 2], [8, 9], "POS")]]
    assert found(tmp_path)["cut_texts"] == found(tmp_path)["triplets_cut_in_two"] == ["set-train-1"]


@pytest.mark.parametrize(("how", "parts"), [("drop", [1, 0, 1]), ("unknown", [1, None, 1]), ("skip", [1, 1])])
def test_of_a_text_that_is_cut_the_part_with_an_implicit_term_counts(
    how: str, parts: list[int | None], tmp_path: Path
) -> None:
    text = "Good food . Loved it ! Bad wine ."
    line = f"{text}####[([1], [0], 'POS'), ([-1], [3], 'POS'), ([7], [6], 'NEG')]####Food"
    assert convert(tmp_path, line, max_words="3", implicit=how) == 0
    assert [None if row["triplets"] is None else len(row["triplets"]) for row in records(tmp_path)] == parts
    nowhere = f"{text}####[([-1], [-1], 'POS'), ([7], [6], 'NEG')]####Food"
    assert convert(tmp_path, nowhere, LINE, max_words="6", implicit=how) == 0
    assert len([row for row in records(tmp_path) if is_labelled(row)]) == {"drop": 4, "unknown": 2, "skip": 2}[how]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_ranges_cover_every_word_once(most: int) -> None:
    text = "We like it ! Very much , and more than that , with 3.5 stars . No stop"
    tokens = text.split()
    ranges = text_ranges(tokens, most)
    assert [place for start, end in ranges for place in range(start, end)] == list(range(len(tokens)))
    assert all(0 < end - start <= most for start, end in ranges)


# Files


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("dev_triplets.txt", "dev"),
        ("Valid.txt", "dev"),
        ("rest16-test.txt", "test"),
        ("latest.txt", None),
        ("training.txt", None),
    ],
)
def test_the_split_stands_in_the_name(name: str, split: str | None) -> None:
    assert split_of(Path(name)) == split


def test_a_folder_for_each_set(tmp_path: Path) -> None:
    for name in ("16res", "17res"):
        for split in ("train", "dev", "test"):
            path = tmp_path / "raw" / name / f"{split}_triplets.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(LINE.replace("front", f"{name}{split}") + "\n", encoding="utf-8")
    out = tmp_path / "out"
    command = ["--input", str(tmp_path / "raw"), "--output_dir", str(out), "--format", "parquet", "--license", "mit"]
    assert main(command) == 0
    assert [row["id"] for row in read_records(out / "17res" / "dev.parquet")] == ["17res-dev-1"]
    assert "heads" not in read_records(out / "16res" / "test.parquet")[0]
    assert read_dataset_card(out / "16res")["licence"] == "mit"


def test_two_files_of_one_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dev.txt", "dev_triplets.txt"):
        (tmp_path / name).write_text(LINE + "\n", encoding="utf-8")
    assert main(["--input", str(tmp_path), "--output_dir", str(tmp_path / "out")]) == 2
    assert "dev_triplets.txt: dev is read from " in capsys.readouterr().err
    assert main(["--input", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "out")]) == 2
    assert "nowhere: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--name", "17res"], ["--input", "x", "--max_words", "0"]])
def test_arguments_are_checked(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, "--output_dir", "x"])


def test_sets_are_downloaded_by_commit_and_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "train.txt"
    raw.write_text(LINE + "\n", encoding="utf-8")
    asked: dict[str, str | None] = {}

    def retrieve(url: str, known_hash: str | None, **_: object) -> str:
        asked[url] = known_hash
        return str(raw)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert main(["--name", "dmaste", "synthetic", "--output_dir", str(tmp_path / "out")]) == 0
    assert len(asked) == 13 and all(str(pin).startswith("sha256:") for pin in asked.values())
    assert f"{public_sets.DMASTE_URL}/toy/dev.txt" in asked and "/1be462cd" in public_sets.DMASTE_URL
    assert (tmp_path / "out" / "electronics" / "dev.jsonl").is_file()
    assert main(["--name", "16res", "--output_dir", str(tmp_path / "out")]) == 2


# The real files


@pytest.mark.parametrize(
    ("folder", "sentences", "triplets", "licence"),
    [
        ("aste_v2/15res", 605, 1013, "unknown"),
        ("dmaste/home", 1123, 2203, "mit"),
        ("aste_synthetic", 2353, 4616, "mit"),
    ],
)
def test_public_sets(
    folder: str, sentences: int, triplets: int, licence: str, shared_data: Path, tmp_path: Path
) -> None:
    assert main(["--input", str(shared_data / folder), "--output_dir", str(tmp_path / "out")]) == 0
    rows = records(tmp_path)
    assert (len(rows), sum(len(row["triplets"]) for row in rows)) == (sentences, triplets)
    assert read_dataset_card(tmp_path / "out") == {"licence": licence, "language": "en"}
    raw = (shared_data / folder).glob("train*").__next__().read_text(encoding="utf-8")
    faults = found(tmp_path)["faults"]
    assert len(faults) == (3 if folder == "aste_synthetic" else 0)
    assert len(found(tmp_path)["implicit_triplets"]) == raw.count("[-1]")
    words = [word for row in rows for word in row["tokens"]]
    lines = [line.split("####")[0].split() for line in raw.splitlines()]
    bad = {int(fault.split(":")[1]) for fault in faults}
    raw_words = [word for number, line in enumerate(lines, start=1) if number not in bad for word in line]
    assert len(words) == len(raw_words) and "".join(words) == "".join(raw_words)
    assert (words != raw_words) == (folder == "dmaste/home")
    kept = sum(after == "'t" and not word.lower().endswith("n") for word, after in pairwise(raw_words))  # "did 't"
    assert words.count("'t") == kept
