"""Aspects and opinions that are given as strings: every form, where they stand in the text, and what is not found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from d2e2s.data_scripts.aste_lines import parse_line
from d2e2s.data_scripts.from_strings import main
from d2e2s.data_scripts.records import is_labelled, read_records

TEXT = "The food was great but the service was slow ."
FOUND = [("food", "great", "POS"), ("service", "slow", "NEG")]


def convert(folder: Path, name: str, content: str, *arguments: str) -> int:
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    command = ["--input", str(path), "--output_dir", str(folder / "out"), "--split", "1", "0", "0"]
    return main([*command, *arguments])


def triplets(folder: Path) -> dict[str, list[tuple[str, str, str]] | None]:
    """For each record's id its triplets as words, None where they are not known."""

    def words(row: dict[str, Any], span: list[int]) -> str:
        return " ".join(row["tokens"][slice(*span)])

    return {
        row["id"]: [(words(row, t["aspect"]), words(row, t["opinion"]), t["sentiment"]) for t in row["triplets"]]
        if is_labelled(row)
        else None
        for row in read_records(folder / "out" / "train.jsonl")
    }


def findings(folder: Path) -> dict[str, list[dict[str, str]]]:
    return json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))["findings"]


def quads(*found: tuple[str, str, str]) -> str:
    return repr([[aspect, "food quality", sentiment, opinion] for aspect, opinion, sentiment in found])


BOTH = [("food", "great", "positive"), ("service", "slow", "negative")]
DIMABSA = {
    "ID": "r1",
    "Text": TEXT,
    "Quadruplet": [
        {"Aspect": "food", "Category": "FOOD#QUALITY", "Opinion": "great", "VA": "7.50#7.12"},
        {"Aspect": "service", "Category": "SERVICE#GENERAL", "Opinion": "slow", "VA": "2.00#6.00"},
    ],
}
LABELS = {"text": TEXT, "labels": [{"aspect": a, "opinion": o, "polarity": s, "category": "NULL"} for a, o, s in BOTH]}

FORMS: dict[str, tuple[str, str, list[str]]] = {
    "ASQP": ("x.txt", f"{TEXT}####{quads(*BOTH)}\n", []),
    "strings of ASTE": ("x.txt", f"{TEXT}####{BOTH!r}\n", []),
    "another order": (
        "x.txt",
        f"{TEXT}####[['food', 'c', 'great', 'positive'], ['service', 'c', 'slow', 'negative']]\n",
        ["--order", "aspect", "category", "opinion", "sentiment"],
    ),
    "ACOS": ("x.tsv.txt", f"{TEXT}\t1,2 FOOD#QUALITY 2 3,4\t6,7 SERVICE#GENERAL 0 8,9\r\n", []),
    "DimABSA": ("x.jsonl", json.dumps(DIMABSA) + "\n\n", []),
    "a list of objects": ("x.json", json.dumps([LABELS]), []),
    "CSV": (
        "x.csv",
        f'"text", aspect, opinion ,sentiment\r\n{TEXT},food,great,POS\r\n{TEXT},service,slow,Negative\r\n',
        [],
    ),
    "TSV with CR alone": (
        "x.TSV",
        f"id\treview\taspect\topinion\tstars\r1\t{TEXT}\tfood\tgreat\tgood\r1\t{TEXT}\tservice\tslow\tbad\r",
        ["--text_column", "review", "--sentiment_column", "stars", "--positive", "good", "--negative", "bad"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, tmp_path: Path) -> None:
    name, content, arguments = FORMS[form]
    assert convert(tmp_path, name, content, *arguments) == 0
    assert list(triplets(tmp_path).values()) == [FOUND]
    assert findings(tmp_path) == {}


def test_valences(tmp_path: Path) -> None:
    values = ["1.0#5", "4.49#5", "4.5#5", "5.5#5", "5.51#5", "9#1"]
    items = [
        {"ID": v, "Text": "Good food.", "Triplet": [{"Aspect": "food", "Opinion": "Good", "VA": v}]} for v in values
    ]
    content = "\n".join(map(json.dumps, items))
    assert convert(tmp_path, "x.jsonl", content) == 0
    labels = [found[0][2] for found in triplets(tmp_path).values() if found]
    assert labels == ["NEG", "NEG", "NEU", "NEU", "POS", "POS"]
    assert convert(tmp_path, "x.jsonl", content, "--neutral_valence", "5", "5") == 0
    assert [found[0][2] for found in triplets(tmp_path).values() if found] == ["NEG"] * 3 + ["POS"] * 3


def test_texts_without_triplets(tmp_path: Path) -> None:
    assert convert(tmp_path, "x.csv", "text,aspect,opinion,sentiment\nNice food,food,Nice,POS\nWe went,,,\n") == 0
    assert triplets(tmp_path) == {"1-1": [("food", "Nice", "POS")], "2-1": []}
    assert convert(tmp_path, "x.txt", "We went####[]\n") == 0
    assert triplets(tmp_path) == {"1-1": []}


# Places


def line(text: str, *found: tuple[str, str, str]) -> str:
    return f"{text}####{quads(*found)}\n"


@pytest.mark.parametrize(
    ("text", "aspect", "opinion", "expected"),
    [
        ("Good food , and good wine", "wine", "good", [[5, 6], [4, 5]]),
        ("Wine good , food good", "food", "good", [[3, 4], [4, 5]]),  # of two the nearer
        ("Bad seafood , good food", "food", "good", [[4, 5], [3, 4]]),  # not inside a word
        ("Seafood , good FOOD", "food", "Good", [[3, 4], [2, 3]]),  # in another letter case
        ("FOOD and food , good", "food", "good", [[2, 3], [4, 5]]),  # its own letter case first
        ("The  wine\tlist is good", "wine list", "good", [[1, 3], [4, 5]]),  # white space of another kind
        ("Good good food", "good food", "good", [[1, 3], [1, 2]]),
    ],
)
def test_where_terms_stand(text: str, aspect: str, opinion: str, expected: list[list[int]], tmp_path: Path) -> None:
    content = json.dumps({"text": text, "labels": [{"aspect": aspect, "opinion": opinion, "sentiment": "POS"}]})
    assert convert(tmp_path, "x.jsonl", content) == 0
    [row] = read_records(tmp_path / "out" / "train.jsonl")
    assert [[triplet["aspect"], triplet["opinion"]] for triplet in row["triplets"]] == [expected]


def test_words_of_scripts_without_spaces(tmp_path: Path) -> None:
    content = line("服务太慢了。", ("服务", "慢", "negative"))
    assert convert(tmp_path, "x.txt", content, "--word_splitter", "unicode") == 0
    assert triplets(tmp_path) == {"1-1": [("服 务", "慢", "NEG")]}


def test_several_places_are_listed(tmp_path: Path) -> None:
    text = "good food or bad food"
    assert convert(tmp_path, "x.txt", line(text, ("food", "good", "positive"), ("food", "or", "neutral"))) == 0
    assert triplets(tmp_path)["1-1"] == [("food", "good", "POS"), ("food", "or", "NEU")]
    first, second = findings(tmp_path)["several places"]
    assert (first["text"], first["what"], first["done"]) == (
        "food | good",
        "2 pairs of places",
        "taken at [5, 9) and [0, 4)",
    )
    assert second["what"] == "2 pairs of places"
    assert convert(tmp_path, "x.txt", line("food or food", ("food", "or", "neutral"))) == 0
    assert findings(tmp_path)["several places"][0]["what"] == "2 pairs of places, 2 of them equally near"


NOWHERE = "We ate. The food was great. Really."


@pytest.mark.parametrize("how", ["skip", "unknown", "stop"])
def test_what_is_not_found_makes_no_negative_example(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence of the term that was found; all of the text, where neither was."""
    content = line(NOWHERE, ("food", "awful", "negative")) + line("A. B.", ("wine", "awful", "negative")) + line("C.")
    done = convert(tmp_path, "x.txt", content, "--on_error", how)
    if how == "stop":
        error = capsys.readouterr().err
        assert done == 2 and "x.txt:1: 'awful' not in the text; expected words of the text" in error
        assert not (tmp_path / "out").exists()
        return
    assert done == 0
    unknown = {"1-2": None, "2-1": None, "2-2": None} if how == "unknown" else {}
    assert triplets(tmp_path) == {"1-1": [], "1-3": [], "3-1": [], **unknown}
    first, second = findings(tmp_path)["not found"]
    assert first["text"] == "food | awful" and "'wine' and 'awful' not in the text" in second["what"]
    assert len(findings(tmp_path)["not fully annotated"]) == 3


@pytest.mark.parametrize("how", ["drop", "skip", "unknown", "stop"])
@pytest.mark.parametrize("null", ["NULL", "null", ""])
def test_implicit_terms(how: str, null: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Nice food, and great. We went."
    content = line(text, ("food", "Nice", "positive"), (null, "great", "positive"))
    done = convert(tmp_path, "x.txt", content, "--implicit", how)
    if how == "stop":
        assert done == 2 and f"implicit term in '{null} | great'; expected terms" in capsys.readouterr().err
        return
    first = {"drop": {"1-1": [("food", "Nice", "POS")]}, "skip": {}, "unknown": {"1-1": None}}[how]
    assert done == 0 and triplets(tmp_path) == {**first, "1-2": []}
    assert [entry["text"] for entry in findings(tmp_path)["implicit term"]] == [f"{null} | great"]


def test_implicit_terms_of_acos(tmp_path: Path) -> None:
    assert convert(tmp_path, "x.txt", f"{TEXT}\t-1,-1 FOOD#QUALITY 2 3,4\t6,7 SERVICE#GENERAL 1 8,9\n") == 0
    assert list(triplets(tmp_path).values()) == [[("service", "slow", "NEU")]]
    assert [entry["text"] for entry in findings(tmp_path)["implicit term"]] == [" | great"]


def test_strings_of_a_real_set_are_placed_where_they_were(shared_data: Path, tmp_path: Path) -> None:
    lines, gold = [], 0
    raw = (shared_data / "aste_v2" / "15res" / "dev_triplets.txt").read_text(encoding="utf-8")
    expected = set()
    for number, source in enumerate(raw.splitlines(), start=1):
        tokens, found, _ = parse_line(source, "x")
        named = [
            (*(" ".join(tokens[slice(*t[role])]) for role in ("aspect", "opinion")), t["sentiment"]) for t in found
        ]
        lines.append(line(" ".join(tokens), *((a, o, s) for a, o, s in named)))
        expected |= {(number, *t["aspect"], *t["opinion"], t["sentiment"]) for t in found}
        gold += len(found)
    assert convert(tmp_path, "x.txt", "".join(lines), "--word_splitter", "whitespace") == 0
    placed, before = set(), dict[int, int]()
    for row in read_records(tmp_path / "out" / "train.jsonl"):
        number = int(row["id"].split("-")[0])
        start = before.get(number, 0)
        before[number] = start + len(row["tokens"])
        for t in row["triplets"]:
            placed.add((number, *(place + start for place in (*t["aspect"], *t["opinion"])), t["sentiment"]))
    assert len(placed & expected) >= 0.98 * gold and len(placed) <= gold


# Faults


FAULTS: dict[str, tuple[str, str, str]] = {
    "no mark": ("x.txt", "Some text\n", ":1: neither '####' nor a tab in 'Some text'"),
    "no list": ("x.txt", "Some text####{}\n", ":1: triplets '{}' are no list"),
    "a number that runs into a word": ("x.txt", "Some text####[1food]\n", ":1: unreadable triplets '[1food]'"),
    "code": ("x.txt", "Some text####open('x')\n", ":1: unreadable triplets"),
    "two strings": ("x.txt", "Some text####[['a', 'b']]\n", ":1: ['a', 'b']; expected strings of aspect, category"),
    "indices": ("x.txt", "Some text####[([0], [1], 'POS')]\n", "expected strings of aspect, opinion, sentiment"),
    "words out of range": ("x.txt", "Some text\t0,3 A#B 2 0,1\n", ":1: words 0,3 are out of range"),
    "no quad": ("x.txt", "Some text\tthing\n", ":1: 'thing'; expected text####"),
    "no JSON": ("x.jsonl", "\n{\n", ":2: no JSON"),
    "a number": ("x.json", "[7]", ":1: 7 is no object"),
    "no text": ("x.jsonl", '{"review": "a", "labels": []}', "fields are review, labels: name it with --text_column"),
    "no triplets": ("x.jsonl", '{"text": "a"}', ":1: 0 lists of objects"),
    "no opinion": ("x.jsonl", '{"text": "a", "x": [{"aspect": "a", "VA": "5#5"}]}', "an aspect, an opinion and a sent"),
    "no number": ("x.jsonl", '{"text": "a", "x": [{"aspect": "a", "opinion": "a", "VA": "nan#5"}]}', "valence 'nan#5'"),
    "no column": ("x.csv", "text,aspect,opinion\na,b,c\n", ":1: no column 'sentiment' among text, aspect, opinion"),
    "empty": ("x.csv", "", ":1: no column 'text'"),
    "columns": ("x.csv", "text,aspect,opinion,sentiment\na,b,c\n", ":2: 3 columns; expected 4, as in the first line"),
    "Latin-1": ("x.txt", "caf\udce9", "byte 3 is not UTF-8"),
    "sentiment": ("x.txt", line("Good food", ("food", "Good", "joyful")), "no sentiment in the labels ['joyful'"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, message = FAULTS[case]
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    command = ["--input", str(path), "--output_dir", str(tmp_path / "out"), "--split", "1", "0", "0"]
    assert main([*command, "--on_error", "stop"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith(f"error: {path}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_malformed_lines_are_left_out_and_listed(tmp_path: Path) -> None:
    assert convert(tmp_path, "x.txt", line(TEXT, *BOTH) + "no mark\n") == 0
    assert list(triplets(tmp_path).values()) == [FOUND]
    assert "x.txt:2: neither '####'" in findings(tmp_path)["malformed"][0]["what"]


def test_an_order_needs_the_three() -> None:
    with pytest.raises(SystemExit):
        main(["--input", "x", "--output_dir", "y", "--order", "aspect", "opinion"])
