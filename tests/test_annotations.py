"""Exports of annotation tools to records: both formats, what is wrong with spans and relations, and the split."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from d2e2s.data_scripts import from_doccano, from_label_studio
from d2e2s.data_scripts.annotations import parse_arguments, split_documents
from d2e2s.data_scripts.converter import word_span
from d2e2s.data_scripts.documents import Document, Report
from d2e2s.data_scripts.records import Record, is_labelled, read_records
from d2e2s.words_d2e2s import WordSplitter

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]
TEXT = "The sushi-bar was great. Service: slow!"

Triplet = tuple[str, str, str]


def _triplets(records: list[Record]) -> dict[str, list[Triplet]]:
    """For each record's id its triplets as words."""
    return {
        record["id"]: [
            (
                *(" ".join(record["tokens"][slice(*triplet[role])]) for role in ("aspect", "opinion")),
                triplet["sentiment"],
            )
            for triplet in record["triplets"]
        ]
        for record in records
    }


def _read(folder: Path, *splits: str) -> dict[str, list[Triplet]]:
    return _triplets([record for split in splits for record in read_records(folder / f"{split}.jsonl")])


def _findings(folder: Path) -> dict[str, list[dict[str, str]]]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["findings"]


def _doccano(folder: Path, items: list[Any], *arguments: str) -> int:
    """Convert these lines, all of them to train."""
    path = folder / "all.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return from_doccano.main(["--input", str(path), "--output_dir", str(folder), "--split", "1", "0", "0", *arguments])


def _item(*entities: tuple[int, int, str], relations: Any = ((0, 1, "Positive"),), text: str = TEXT) -> dict[str, Any]:
    """A line of a Doccano export; relations name entities by their place."""
    return {
        "id": 7,
        "text": text,
        "Comments": [],
        "entities": [
            {"id": place, "start_offset": start, "end_offset": end, "label": label}
            for place, (start, end, label) in enumerate(entities)
        ],
        "relations": [
            {"id": 0, "from_id": source, "to_id": target, "type": label} for source, target, label in relations
        ],
    }


GOOD = _item((4, 13, "Aspect"), (18, 23, "Opinion"))


# --- both formats -----------------------------------------------------------------------------------------


def test_label_studio(tmp_path: Path) -> None:
    arguments = [
        "--input",
        str(DATA / "label_studio.json"),
        "--output_dir",
        str(tmp_path),
        "--split",
        "0.5",
        "0.25",
        "0.25",
    ]
    assert from_label_studio.main(arguments) == 0
    assert _read(tmp_path, "train", "dev", "test") == {
        "11-1": [("food", "great", "POS"), ("service", "slow", "NEG")],
        "11-2": [("house wine", "loved", "POS")],  # drawn from the opinion to the aspect
        "12-1": [("staff", "Nice", "POS"), ("prices", "shame", "NEG")],  # sentiment in a choice per region
        "13-1": [("pizza", "average", "NEU")],  # the newest of two, the cancelled one apart
        "16-1": [],
    }
    findings = _findings(tmp_path)
    assert [(entry["id"], entry["what"]) for entry in findings.pop("not annotated")] == [
        ("14", "1 annotations, all cancelled"),
        ("15", "no annotation"),
    ]
    assert [entry["done"] for entry in findings.pop("several annotations")] == ["used 104, the newest"]
    assert not findings


def test_doccano(tmp_path: Path) -> None:
    arguments = ["--input", str(DATA / "doccano.jsonl"), "--output_dir", str(tmp_path), "--word_splitter", "unicode"]
    assert from_doccano.main([*arguments, "--format", "parquet"]) == 0
    records = [record for split in ("train", "dev", "test") for record in read_records(tmp_path / f"{split}.parquet")]
    assert _triplets(records) == {
        "41-1": [("菜", "好 吃", "POS"), ("服 务", "慢", "NEG")],
        "41-2": [("环 境", "不 错", "POS")],
        "42-1": [("Еда", "вкусной", "POS"), ("официант", "грубым", "NEG")],
        "43-1": [("room", "ok", "NEU"), ("bed", "hard", "NEG")],
        "44-1": [],
    }
    assert _findings(tmp_path) == {}


def test_the_ground_truth_goes_before_the_newest(tmp_path: Path) -> None:
    tasks = json.loads((DATA / "label_studio.json").read_text(encoding="utf-8"))
    tasks[2]["annotations"][0]["ground_truth"] = True
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks[2:3]), encoding="utf-8")
    assert from_label_studio.main(["--input", str(path), "--output_dir", str(tmp_path), "--split", "1", "0", "0"]) == 0
    assert _read(tmp_path, "train") == {"13-1": [("pizza", "average", "NEG")]}


@pytest.mark.parametrize("surface", ["staff", " staff\\n"])
def test_offsets_in_utf_16_units(tmp_path: Path, surface: str) -> None:
    """Older versions of Label Studio counted an emoji as two; some write line ends as a backslash and an n."""
    tasks = json.loads((DATA / "label_studio.json").read_text(encoding="utf-8"))[1:2]
    for result in tasks[0]["annotations"][0]["result"]:
        if "value" in result and surface == "staff":
            result["value"] |= {"start": result["value"]["start"] + 1, "end": result["value"]["end"] + 1}
        elif result.get("id") == "g2":
            result["value"]["text"] = surface
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert from_label_studio.main(["--input", str(path), "--output_dir", str(tmp_path), "--split", "1", "0", "0"]) == 0
    assert _read(tmp_path, "train") == {"12-1": [("staff", "Nice", "POS"), ("prices", "shame", "NEG")]}


def test_a_label_may_be_role_and_sentiment(tmp_path: Path) -> None:
    item = _item((4, 13, "target"), (18, 23, "good"), relations=[(0, 1, "about")])
    names = ("--aspect_label", "Target", "--opinion_label", "Good", "Bad", "--positive", "Good", "--negative", "Bad")
    assert _doccano(tmp_path, [item], *names) == 0
    assert _read(tmp_path, "train")["7-1"] == [("sushi-bar", "great", "POS")]


@pytest.mark.slow
def test_runs_as_a_file_of_a_clone(tmp_path: Path) -> None:
    """Without the package: only the folder of the script is on the path."""
    script = ROOT / "data_scripts" / "from_doccano.py"
    command = [sys.executable, str(script), "--input", str(DATA / "doccano.jsonl"), "--output_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(_read(tmp_path, "train", "dev", "test")) == 5


# --- spans and words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (4, 13, (1, 2)),
        (3, 14, (1, 2)),
        (6, 16, (1, 3)),
        (0, 1, (0, 1)),
        (23, 24, (4, 5)),
        (3, 4, (1, 1)),
        (38, 39, (8, 9)),
    ],
)
def test_word_span(start: int, end: int, expected: tuple[int, int]) -> None:
    assert word_span(WordSplitter()(TEXT), start, end) == expected


def test_spans_off_the_borders_are_snapped_and_listed(tmp_path: Path) -> None:
    assert _doccano(tmp_path, [_item((4, 9, "Aspect"), (17, 23, "Opinion"))]) == 0
    assert _read(tmp_path, "train") == {"7-1": [("sushi-bar", "great", "POS")], "7-2": []}
    assert _findings(tmp_path) == {
        "outer white space": [{"id": "7", "text": " great", "what": "span [17, 23)", "done": "trimmed"}],
        "word borders": [
            {
                "id": "7",
                "text": "sushi",
                "what": "span [4, 9) does not fall on word borders",
                "done": "snapped outward to 'sushi-bar'",
            }
        ],
    }


def test_across_sentences_is_reported_and_the_rest_kept(tmp_path: Path) -> None:
    spans = ((4, 13, "Aspect"), (18, 23, "Opinion"), (25, 32, "Aspect"), (34, 38, "Opinion"))
    item = _item(*spans, relations=[(0, 1, "Positive"), (2, 3, "Negative"), (0, 3, "Negative")])
    assert _doccano(tmp_path, [item]) == 0
    assert _read(tmp_path, "train") == {"7-1": [("sushi-bar", "great", "POS")], "7-2": [("Service", "slow", "NEG")]}
    [finding] = _findings(tmp_path)["crosses sentences"]
    assert finding == {
        "id": "7",
        "text": "sushi-bar | slow",
        "what": "in sentences 1 to 2 of the text",
        "done": "triplet left out",
    }


def test_a_span_over_a_sentence_end_crosses_too(tmp_path: Path) -> None:
    assert _doccano(tmp_path, [_item((18, 32, "Aspect"), (34, 38, "Opinion"))]) == 0
    assert len(_findings(tmp_path)["crosses sentences"]) == 1


def test_what_training_should_know(tmp_path: Path) -> None:
    spans = ((0, 23, "Aspect"), (18, 23, "Opinion"), (25, 32, "Aspect"))
    item = _item(*spans, relations=[(0, 1, "Positive"), (1, 0, "positive")])
    assert _doccano(tmp_path, [item], "--max_span_width", "3", "--max_words", "5") == 0
    assert _read(tmp_path, "train")["7-1"] == [("The sushi-bar was great", "great", "POS")]
    kinds = {kind: [entry["text"] for entry in entries] for kind, entries in _findings(tmp_path).items()}
    both = "The sushi-bar was great | great"
    assert kinds == {"long span": [both], "overlap": [both], "twice": [both], "no relation": ["Service"]}


def test_long_sentences_are_cut_at_a_comma(tmp_path: Path) -> None:
    text = "good food , " * 3
    item = _item((0, 4, "Opinion"), (5, 9, "Aspect"), text=text)
    assert _doccano(tmp_path, [item], "--max_words", "7") == 0
    assert [len(record["tokens"]) for record in read_records(tmp_path / "train.jsonl")] == [6, 3]
    assert _findings(tmp_path)["long sentence"][0]["done"] == "cut into 2"


def test_text_that_files_cannot_hold(tmp_path: Path) -> None:
    """An unpaired surrogate and a control character that counts as white space."""
    assert _doccano(tmp_path, [_item((2, 6, "Opinion"), (7, 11, "Aspect"), text="\ud83d good\x1cfood \x1c")]) == 0
    assert _read(tmp_path, "train")["7-1"][0][2] == "POS"


# --- faults -----------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Any, str, str]] = {
    "unknown label": (_item((4, 13, "Aspekt"), (18, 23, "Opinion")), "unknown label", "['Aspekt'] of 'sushi-bar'"),
    "no sentiment": (
        _item((4, 13, "Aspect"), (18, 23, "Opinion"), relations=[(0, 1, "Joyful")]),
        "no sentiment",
        "['Joyful', 'Opinion', 'Aspect'] of 'sushi-bar | great'; expected one of Positive, POS",
    ),
    "two aspects": (_item((4, 13, "Aspect"), (25, 32, "Aspect")), "same role", "between two aspects"),
    "two sentiments": (
        _item((4, 13, "Aspect"), (18, 23, "Opinion"), relations=[(0, 1, "Positive"), (0, 1, "Negative")]),
        "two sentiments",
        "'sushi-bar | great' is POS and NEG",
    ),
    "unknown span": (_item((4, 13, "Aspect")), "broken relation", "relation to '1', which is no span of the export"),
    "outside": (
        _item((4, 13, "Aspect"), (18, 99, "Opinion")),
        "bad offsets",
        "[18, 99); expected 0 <= start < end <= 39",
    ),
    "empty span": (_item((4, 4, "Aspect"), (18, 23, "Opinion")), "bad offsets", "span [4, 4)"),
    "white space": (_item((3, 4, "Aspect"), (18, 23, "Opinion")), "no word", "span [3, 4) holds no word"),
    "another export": ({"id": 7, "text": TEXT, "label": [[4, 13, "Aspect"]]}, "malformed", "entities is None"),
    "no text": ({"id": 7, "review": TEXT, "entities": [], "relations": []}, "malformed", "--text_column"),
    "no object": ([1], "malformed", "[1] is no object"),
    "offset": ({**GOOD, "entities": [{"id": 0, "label": "Aspect"}]}, "malformed", "start_offset is None"),
    "id twice": ({**GOOD, "id": 8}, "duplicate id", "id 8 a second time"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_stops_with_one_line_or_is_left_out(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item, kind, message = FAULTS[name]
    items = [{**GOOD, "id": 8}, item]
    assert _doccano(tmp_path, items) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith(f"error: {tmp_path / 'all.jsonl'}:2: ") and error.count("\n") == 1
    assert not (tmp_path / "train.jsonl").exists() and not (tmp_path / "report.json").exists()

    assert _doccano(tmp_path, items, "--on_error", "skip") == 0
    assert _read(tmp_path, "train")["8-1"] == [("sushi-bar", "great", "POS")], "the good document is kept"
    entry = _findings(tmp_path)[kind][0]
    assert message in entry["what"] and entry["done"] == "left out"
    kept = _read(tmp_path, "train")
    assert not [triplet for key, found in kept.items() if key[0] == "7" for triplet in found]
    assert "7-1" not in kept, "a sentence whose mark was left out is no negative example"


def test_borders_may_be_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = _item((4, 9, "Aspect"), (18, 23, "Opinion"))
    assert _doccano(tmp_path, [item], "--off_borders", "fault") == 2
    assert "span [4, 9) does not fall on word borders: 'sushi'; expected 'sushi-bar'" in capsys.readouterr().err
    assert _doccano(tmp_path, [item], "--off_borders", "fault", "--on_error", "skip") == 0
    assert _read(tmp_path, "train") == {"7-2": []}
    assert set(_findings(tmp_path)) == {"word borders", "broken relation", "not fully annotated"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{", "no JSON"),
        (b"{}", "a JSON dict; expected a list of tasks"),
        (b"\xff[]", "byte 0 is not UTF-8"),
        (b"[]", "0 annotated texts"),
        (b'[{"id": 3, "text": "JSON-MIN", "label": []}]', "task 3: annotations is None"),
        (
            b'[{"id": 3, "annotations": [], "data": {"review": "Good"}}]',
            "its fields are review: name it with --text_column",
        ),
        (b'[{"id": 3, "annotations": [{"result": [{}]}], "data": {"text": "Good"}}]', "task 3: type is None"),
        (
            b'[{"id": 3, "annotations": [{"result": [{"id": "a", "type": "labels", "value": {"start": "/p[1]"}}]}],'
            b' "data": {"text": "Good"}}]',
            "start is '/p[1]'; expected character offsets in a <Text>",
        ),
        (
            b'[{"id": 3, "annotations": [{"result": [{"type": "relation", "from_id": "a"}]}],'
            b' "data": {"text": "Good"}}]',
            "to_id is None",
        ),
        (
            b'[{"id": 3, "annotations": [{"result": [{"id": "a", "type": "labels", "value":'
            b' {"start": 0, "end": 4, "text": "Bad", "labels": ["Aspect"]}}]}], "data": {"text": "Good"}}]',
            "span [0, 4) is 'Good'; expected 'Bad' as the export says",
        ),
    ],
)
def test_malformed_label_studio(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    assert from_label_studio.main(["--input", str(path), "--output_dir", str(tmp_path), "--split", "1", "0", "0"]) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["export.json"]


def test_no_json_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n{\n", encoding="utf-8")
    assert from_doccano.main(["--input", str(path), "--output_dir", str(tmp_path)]) == 2
    assert f"{path}:3: no JSON" in capsys.readouterr().err
    assert from_doccano.main(["--input", str(tmp_path / "none.jsonl"), "--output_dir", str(tmp_path)]) == 2
    assert "none.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "unknown"),
    [("unknown label", [True, False]), ("two aspects", [True, True]), ("outside", [True, True])],
)
def test_sentences_with_a_mark_that_cannot_be_used_may_be_kept_as_not_known(
    name: str, unknown: list[bool], tmp_path: Path
) -> None:
    """Those of the mark; all of the text, where it cannot be told which."""
    assert _doccano(tmp_path, [{**GOOD, "id": 8}, FAULTS[name][0]], "--on_error", "unknown") == 0
    rows = {row["id"]: row for row in read_records(tmp_path / "train.jsonl")}
    assert [not is_labelled(rows[key]) for key in ("7-1", "7-2")] == unknown
    assert is_labelled(rows["8-1"]) and is_labelled(rows["8-2"])
    entries = _findings(tmp_path)["not fully annotated"]
    assert len(entries) == sum(unknown) and "triplets: they are not known" in entries[0]["done"]


def test_nothing_left_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item, _, message = FAULTS["outside"]
    assert _doccano(tmp_path, [item], "--on_error", "skip") == 2
    error = capsys.readouterr().err
    assert "no sentence is left for train; expected some; the first finding: " in error and message in error


# --- what tools get wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("emoji", ["", "\U0001f600 "])
def test_text_inside_a_span_that_was_snapped(emoji: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Older versions of Label Studio wrote what was selected beside the words that it was snapped to."""
    tasks = json.loads((DATA / "label_studio.json").read_text(encoding="utf-8"))[:1]
    tasks[0]["data"]["text"] = emoji + tasks[0]["data"]["text"]
    texts = {"food": "foo", "great": "great"}
    for result in tasks[0]["annotations"][0]["result"]:
        if "value" in result:
            value = result["value"]
            value["text"] = texts.get(value["text"], value["text"])
            value |= {border: value[border] + len(emoji.encode("utf-16-le")) // 2 for border in ("start", "end")}
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    command = ["--input", str(path), "--output_dir", str(tmp_path), "--split", "1", "0", "0"]
    assert from_label_studio.main(command) == 0
    assert _read(tmp_path, "train")["11-1"] == [("food", "great", "POS"), ("service", "slow", "NEG")]
    [finding] = _findings(tmp_path)["text inside its span"]
    assert finding["text"] == "food" and finding["what"] == "'foo' as the export says"


LINES = "Good food.{0}Nice staff.{0}The wine was bad."


@pytest.mark.parametrize("counted", ["\n", "\r\n"])
@pytest.mark.parametrize("written", ["\n", "\r\n"])
def test_line_ends_that_are_counted_otherwise_are_noticed(counted: str, written: str, tmp_path: Path) -> None:
    source = LINES.format(counted)
    marks = [("Good", "food", "Positive"), ("Nice", "staff", "Positive"), ("bad", "wine", "Negative")]
    spans, relations = [], []
    for opinion, aspect, sentiment in marks:
        for term, label in ((opinion, "Opinion"), (aspect, "Aspect")):
            spans.append((source.index(term), source.index(term) + len(term), label))
        relations.append((len(spans) - 1, len(spans) - 2, sentiment))
    assert _doccano(tmp_path, [_item(*spans, relations=relations, text=LINES.format(written))]) == 0
    assert _read(tmp_path, "train") == {
        "7-1": [("food", "Good", "POS")],
        "7-2": [("staff", "Nice", "POS")],
        "7-3": [("wine", "bad", "NEG")],
    }
    findings = _findings(tmp_path)
    assert set(findings) == (set() if counted == written else {"line ends"})
    if counted != written:
        number = "one character" if counted == "\n" else "two characters"
        assert findings["line ends"][0]["what"].endswith(f", 0 if a line end is {number}")


def test_spans_inside_words_stay_where_line_ends_do_not_explain_them(tmp_path: Path) -> None:
    text = LINES.format("\n")
    item = _item((text.index("taff"), text.index("taff") + 4, "Aspect"), (11, 15, "Opinion"), text=text)
    assert _doccano(tmp_path, [item]) == 0
    assert _read(tmp_path, "train")["7-2"] == [("staff", "Nice", "POS")]
    assert set(_findings(tmp_path)) == {"word borders"}


def test_further_sentiments(tmp_path: Path) -> None:
    item = _item((4, 13, "Aspect"), (18, 23, "Opinion"), relations=[(0, 1, "CONFLICT")])
    assert _doccano(tmp_path, [item], "--sentiments", "conflict", "mixed") == 0
    assert _read(tmp_path, "train")["7-1"] == [("sushi-bar", "great", "conflict")]
    assert "| conflict |" in (tmp_path / "README.md").read_text(encoding="utf-8")


# --- the split --------------------------------------------------------------------------------------------


def _documents(texts: list[str]) -> list[Document]:
    return [Document(str(number), "", text, {}, []) for number, text in enumerate(texts)]


def test_split_by_document_with_equal_texts_together() -> None:
    documents = _documents([f"text {number % 15}" for number in range(20)])
    report = Report()
    splits = split_documents(documents, [0.6, 0.2, 0.2], 42, report)
    texts = {split: {document.text for document in part} for split, part in splits.items()}
    assert {split: len(found) for split, found in texts.items()} == {"train": 9, "dev": 3, "test": 3}
    assert len(set.union(*texts.values())) == 15
    assert sum(map(len, splits.values())) == 20
    assert len(report.findings) == 5
    again = split_documents(documents, [0.6, 0.2, 0.2], 42, Report())
    other = split_documents(documents, [0.6, 0.2, 0.2], 43, Report())
    assert again == splits != other


def test_every_split_asked_for_gets_a_text() -> None:
    splits = split_documents(_documents(["a", "b", "c"]), [0.8, 0.1, 0.1], 0, Report())
    assert {split: len(part) for split, part in splits.items()} == {"train": 1, "dev": 1, "test": 1}
    with pytest.raises(ValueError, match="2 annotated texts for --split 0.8 0.1 0.1"):
        split_documents(_documents(["a", "b"]), [0.8, 0.1, 0.1], 0, Report())


def test_equal_texts_are_equal_however_they_are_spaced() -> None:
    splits = split_documents(_documents(["Good  food", "good food", "a", "b"]), [0.4, 0.3, 0.3], 42, Report())
    assert any({"0", "1"} <= {document.id for document in part} for part in splits.values())


def test_a_file_for_each_split(tmp_path: Path) -> None:
    texts = {"train": [TEXT, "Nice wine."], "dev": ["Bad wine."], "test": ["the sushi-bar was great.  Service: slow!"]}
    for split, lines in texts.items():
        items = [{**_item(relations=(), text=text), "id": number} for number, text in enumerate(lines)]
        (tmp_path / f"{split}.txt").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    files = [
        word
        for name, split in (("--input", "train"), ("--dev_input", "dev"), ("--test_input", "test"))
        for word in (name, str(tmp_path / f"{split}.txt"))
    ]
    assert from_doccano.main([*files, "--output_dir", str(tmp_path / "out")]) == 0
    assert set(_read(tmp_path / "out", "train")) == {"train-0-1", "train-0-2", "train-1-1"}
    assert set(_read(tmp_path / "out", "dev")) == {"dev-0-1"}
    [finding] = _findings(tmp_path / "out")["text in two splits"]
    assert finding["id"] == "test-0" and finding["what"] == "stands in train too"


def test_files_of_another_split_are_not_mixed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test.jsonl").write_text("{}\n", encoding="utf-8")
    assert _doccano(tmp_path, [GOOD]) == 2
    assert "test.jsonl: a file of an earlier split" in capsys.readouterr().err
    assert not (tmp_path / "train.jsonl").exists()


@pytest.mark.parametrize("shares", [["0.8", "0.1", "0.2"], ["1.2", "-0.1", "-0.1"], ["0", "0.5", "0.5"]])
def test_shares_that_are_none(shares: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments("", ["--input", "x", "--output_dir", "y", "--split", *shares])


# --- the page ---------------------------------------------------------------------------------------------


def test_the_configuration_to_paste_has_the_default_labels() -> None:
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    config = ElementTree.fromstring(re.findall(r"```xml\n(.*?)```", page, re.S)[0])
    options = parse_arguments("", ["--input", "x", "--output_dir", "y"])
    assert [item.get("value") for item in config.iter("Label")] == [options.aspect_label[0], options.opinion_label[0]]
    names = [options.positive[0], options.negative[0], options.neutral[0]]
    assert [item.get("value") for item in config.iter("Relation")] == names
    assert [item.get("value") for item in config.iter("Text")] == [f"${options.text_column}"]
