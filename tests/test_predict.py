"""The command line: every kind of file in, JSONL, Parquet and CSV out, and what goes wrong in one line."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow.parquet
import pytest
from datasets import Dataset, load_dataset
from rich.console import Console
from tiny_models import tiny_checkpoint, tiny_encoder

from d2e2s import TripletExtractionPipeline, cli
from d2e2s.errors import UserError
from d2e2s.prediction import command, predict, readers
from d2e2s.prediction.predict import write_predictions
from d2e2s.prediction.readers import read_table
from d2e2s.prediction.shards import read_predictions
from d2e2s.prediction.tables import rows_of
from d2e2s.prediction.text_lines import Lines, checked_names, line_rows
from d2e2s.prediction.writers import TRIPLETS, harmless, write_table

TEXTS = ["The food was great. The service was slow!", "It was great", "naïve 食べ物 😀 good"]
ROWS = [{"id": f"00{i}", "text": text, "n": i} for i, text in enumerate(TEXTS)]


def _delimited(separator: str) -> str:
    lines = [separator.join(ROWS[0]), *(separator.join(f'"{value}"' for value in row.values()) for row in ROWS)]
    return "\n".join(lines) + "\n"


CONTENTS = {
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".txt": "\n".join(TEXTS) + "\n",
}


def _input(folder: Path, suffix: str) -> Path:
    path = folder / f"reviews{suffix}"
    if suffix == ".parquet":
        Dataset.from_list(ROWS).to_parquet(path)
    else:
        path.write_text(CONTENTS[suffix], encoding="utf-8")
    return path


def _expected(suffix: str) -> list[dict[str, Any]]:
    if suffix == ".txt":
        return [{"text": text} for text in TEXTS]
    return [{**row, "n": str(row["n"])} for row in ROWS] if suffix in (".csv", ".tsv") else ROWS


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("output", [".jsonl", ".parquet"])
@pytest.mark.parametrize("suffix", [*CONTENTS, ".parquet"])
def test_every_column_is_kept(extract: TripletExtractionPipeline, tmp_path: Path, suffix: str, output: str) -> None:
    out = tmp_path / f"out{output}"
    write_predictions(extract, read_table(str(_input(tmp_path, suffix))), str(out), threshold=0.3)
    rows = _read(out)
    assert [row.pop("predicted_triplets") for row in rows] == extract(TEXTS, threshold=0.3)
    assert rows == _expected(suffix)
    assert {path.name for path in tmp_path.iterdir()} == {f"reviews{suffix}", out.name}


def test_parquet_output_is_a_data_set(extract: TripletExtractionPipeline, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    write_predictions(extract, read_table(str(_input(tmp_path, ".jsonl"))), str(out))
    rows = load_dataset("parquet", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.features["predicted_triplets"] == TRIPLETS


def test_delimited_values_stay_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffid,text\n007,"a, ""b""\nc"\n1e3,NA\n,\n'.encode())
    assert list(rows_of(read_table(str(path)).batches)) == [
        {"id": "007", "text": 'a, "b"\nc'},
        {"id": "1e3", "text": "NA"},
        {"id": "", "text": ""},
    ]


MIXED = [
    {"text": "good food", "day": "2024-01-05", "at": "2024-01-05T11:00:00+02:00", "n": 5, "more": {"a\0": [1, "b"]}},
    {"text": "bad", "day": "2024-01-06", "at": None, "n": 4.5, "more": "none", "reply": "thanks", "heads": [2, 0]},
]


@pytest.mark.parametrize("output", [".jsonl", ".parquet"])
def test_values_of_jsonl_stay_as_they_stand(extract: TripletExtractionPipeline, tmp_path: Path, output: str) -> None:
    """Whatever their kinds, and wherever a column begins."""
    path, out = tmp_path / "a.jsonl", tmp_path / f"b{output}"
    given = [MIXED[0]] * 2000 + [MIXED[1]]
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    write_predictions(extract, read_table(str(path)), str(out), batch_size=512)
    rows = _read(out)
    for row in rows:
        del row["predicted_triplets"]
        if output == ".parquet":
            row["more"] = json.loads(row["more"])
    assert rows == [{**row, "reply": row.get("reply"), "heads": row.get("heads")} for row in given]
    assert output == ".parquet" or [type(rows[0]["n"]), type(rows[-1]["n"])] == [int, float]


def test_lists_of_words_are_texts(extract: TripletExtractionPipeline, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_text(json.dumps({"tokens": ["good", "food"]}) + "\n", encoding="utf-8")
    write_predictions(extract, read_table(str(path)), str(out), text_column="tokens")
    assert _read(out)[0]["predicted_triplets"] == extract([["good", "food"]])[0]


def test_many_batches_of_rows(
    extract: TripletExtractionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "ROWS_AT_ONCE", 2)
    for output in ("out.jsonl", "out.parquet"):
        write_predictions(extract, read_table(str(_input(tmp_path, ".jsonl"))), str(tmp_path / output))
    assert _read(tmp_path / "out.jsonl") == _read(tmp_path / "out.parquet")
    assert [row["id"] for row in _read(tmp_path / "out.jsonl")] == ["000", "001", "002"]


# --- a line for each triplet


def _csv_rows(path: Path) -> list[list[str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_csv_has_a_line_for_each_triplet(extract: TripletExtractionPipeline, tmp_path: Path) -> None:
    """With the columns of its row; lists are JSON text, and a row without triplets keeps a line."""
    path, out = tmp_path / "a.jsonl", tmp_path / "b.csv"
    given = [{"text": text, "n": number, "tags": ["é", 1]} for number, text in enumerate([TEXTS[0], " ", TEXTS[2]])]
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    write_predictions(extract, read_table(str(path)), str(out), output_column="found", threshold=0.3)
    header, *rows = _csv_rows(out)
    assert header == ["text", "n", "tags", "aspect", "opinion", "sentiment", "score"]
    expected = [
        [row["text"], str(row["n"]), '["é", 1]', *([t["aspect"]["text"], t["opinion"]["text"], t["sentiment"]])]
        for row, triplets in zip(given, extract([row["text"] for row in given], threshold=0.3), strict=True)
        for t in triplets or [{"aspect": {"text": ""}, "opinion": {"text": ""}, "sentiment": ""}]
    ]
    assert [row[:-1] for row in rows] == expected
    assert len(rows) > len(given) and sum(not row[-1] for row in rows) == 1


def test_shards_of_a_folder_become_one_csv(model: Path, tmp_path: Path) -> None:
    """As docs/scale.md says it is done."""
    path, out = _input(tmp_path, ".csv"), tmp_path / "shards"
    words = ["predict", str(path), "--model", str(model), "--threshold", "0.3", "--out"]
    assert cli.main([*words, str(out), "--rows_per_shard", "2"]) == 0
    assert cli.main([*words, str(tmp_path / "one.csv")]) == 0
    rows = read_predictions(out)
    write_table(str(tmp_path / "all.csv"), rows.iter(2), rows.features)
    assert _csv_rows(tmp_path / "all.csv") == _csv_rows(tmp_path / "one.csv")


def test_brackets_and_stars_in_names_are_no_patterns(model: Path, tmp_path: Path) -> None:
    for name, text in (("a[1].parquet", "good food"), ("a1.parquet", "bad"), ("a*.parquet", "fine")):
        Dataset.from_list([{"text": text}]).to_parquet(tmp_path / name)
        shards = tmp_path / f"shards of {Path(name).stem}"
        for out in (tmp_path / "out.jsonl", shards):
            assert cli.main(["predict", str(tmp_path / name), "--model", str(model), "--out", str(out)]) == 0
        rows = rows_of_lines(tmp_path / "out.jsonl")
        assert [row["text"] for row in rows] == [text]
        assert list(read_predictions(shards)) == rows


def test_columns_of_csv_keep_their_names(model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("text,score,predicted_score,aspect\ngood food,5,4,x\n", encoding="utf-8")
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(out), "--threshold", "0"]) == 0
    header, *rows = _csv_rows(out)
    ours = ["predicted_aspect", "opinion", "sentiment", "predicted_predicted_score"]
    assert header == ["text", "score", "predicted_score", "aspect", *ours]
    assert rows and all(row[:4] == ["good food", "5", "4", "x"] and 0 < float(row[-1]) < 1 for row in rows)


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1", "'=1"),
        ("-x", "'-x"),
        ("-1+A1", "'-1+A1"),
        ("+", "'+"),
        ("\t1", "'\t1"),
        ("-5", "-5"),
        ("+0.50", "+0.50"),
        ("a=1", "a=1"),
        ("", ""),
        (-0.5, -0.5),
    ],
)
def test_formulas_become_text(cell: Any, safe: Any) -> None:
    assert harmless(cell) == safe


# --- the command


def test_text_gives_json_in_a_pipe(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "The food was great.", "Bad", "--model", str(model), "--threshold", "0", "--device", "cpu"]
    assert cli.main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["The food was great.", "Bad"]
    assert rows[0]["predicted_triplets"]


def test_options_reach_the_pipeline(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("review\nThe food and the service\n", encoding="utf-8")
    words = ["predict", str(path), "--model", str(model), "--text_column", "review", "--output_column", "found"]
    assert cli.main([*words, "--aspects", "food", "--top_k", "1", "--threshold", "0", "--dtype", "float32"]) == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [triplet["aspect"]["text"] for triplet in row["found"]] == ["food"]


def test_terminal_shows_colours(capsys: pytest.CaptureFixture[str]) -> None:
    triplet = {
        "aspect": {"text": "food", "start": 5, "end": 9},
        "opinion": {"text": "good", "start": 0, "end": 4},
        "sentiment": "POS",
        "score": 0.75,
    }
    console = Console(force_terminal=True, width=200, color_system="standard")
    command.show({"text": "good food", "found": [triplet]}, "text", "found", console)
    command.show({"text": "[red]x", "found": []}, "text", "found", console)
    out = capsys.readouterr().out
    assert "\x1b[1;32mgood\x1b[0m \x1b[1;4;36mfood" in out and "POS" in out and "0.75" in out
    assert "[red]x" in out and "no triplet" in out


@pytest.mark.parametrize(
    ("content", "suffix", "texts"),
    [
        (b"id, text\n1,good food\n", ".csv", ["good food"]),
        (b"id\ttext \n1\tgood food\n", ".tsv", ["good food"]),
        (b"text\rgood food\rbad\r", ".csv", ["good food", "bad"]),
        (b'text,id\r"good\rfood",1\r', ".csv", ["good\rfood"]),
        (b"good food\rbad\r\r", ".txt", ["good food", "bad", ""]),
        (b'{"text": "good"}\r{"text": "bad"}', ".jsonl", ["good", "bad"]),
        (b"text\r\ngood food\r\n", ".csv", ["good food"]),
        (b'{"text": "good"}\n{"text": NaN}\n{"text": null}\n{"id": 1}\n', ".jsonl", ["good", None, None, None]),
    ],
)
@pytest.mark.parametrize("out", ["out.jsonl", "out.parquet", "shards"])
def test_tables_as_people_save_them(
    content: bytes, suffix: str, texts: list[str], out: str, model: Path, tmp_path: Path
) -> None:
    """Blanks in the header, carriage returns as line ends, rows without text."""
    path, out_path = tmp_path / f"in{suffix}", tmp_path / out
    path.write_bytes(content)
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(out_path)]) == 0
    rows = list(read_predictions(out_path)) if out == "shards" else _read(out_path)
    assert [row["text"] for row in rows] == texts
    assert all(row["predicted_triplets"] == [] for row in rows if row["text"] is None)


def test_long_lines_that_end_with_carriage_returns(tmp_path: Path) -> None:
    """Longer than what is read at once, and too long."""
    lines = [b"x" * 50_000, b"y" * 2**20, b"", b"z"]
    (tmp_path / "a.txt").write_bytes(b"\r".join(lines))
    with (tmp_path / "a.txt").open("rb") as file:
        rows = list(line_rows(Lines(file), ".txt", ["text"]))
    assert [row.line for row in rows] == [1, 2, 3, 4] and rows[1].reason == "a line of 1048576 bytes or more"
    assert [row.values["text"] if row.values else None for row in rows] == ["x" * 50_000, None, "", "z"]


def test_names_of_columns_are_compared_once_each() -> None:
    """Work, not time: a header of 30,000 columns."""
    compared = 0

    class Name(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    assert len(checked_names([Name(f"c{number}") for number in range(30_000)])) == 30_000
    assert compared < 30_000


def test_at_most_a_thousand_columns_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for count in (1000, 1001):
        path.write_text(json.dumps({f"c{number}": 1 for number in range(count)}), encoding="utf-8")
        if count == 1000:
            assert len(read_table(str(path)).features) == 1000
        else:
            with pytest.raises(UserError, match="more than 1000 different columns"):
                read_table(str(path))


def test_a_text_may_be_missing_in_parquet(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.parquet", tmp_path / "b.jsonl"
    Dataset.from_dict({"text": ["good", None, ""]}).to_parquet(path)
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(out)]) == 0
    assert [row["text"] for row in _read(out)] == ["good", None, ""]
    assert "2 rows without text" in capsys.readouterr().err


def test_standard_input(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for content, texts in ((b"good food\nbad", ["good food", "bad"]), (b"a\rb\r", ["a", "b"])):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert cli.main(["predict", "-", "--model", str(model)]) == 0
        assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == texts
    for content, message in ((b"", "no text in column 'text'"), (b"caf\xe9\n", "line 1: not UTF-8 (byte 0xe9)")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert cli.main(["predict", "-", "--model", str(model)]) == 2
        assert f"error: standard input: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("out", [None, "out.jsonl", "shards"])
def test_aspects_that_stand_nowhere_are_named(
    out: str | None, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _input(tmp_path, ".csv")
    words = ["predict", str(path), "--model", str(model), *(["--out", str(tmp_path / out)] if out else [])]
    assert cli.main([*words, "--aspects", "food", "sushi", "foo"]) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if "hold nowhere" in line]
    rows = "the 3 rows read now" if out == "shards" else f"{path}: its texts"
    assert line == f"{rows} hold nowhere, as whole words of one sentence: 'sushi', 'foo'"
    if out == "shards":
        assert cli.main([*words, "--aspects", "food", "sushi", "foo"]) == 0
        assert "hold nowhere" not in capsys.readouterr().err, "no row is read again"


def test_windows_are_an_option(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", "good food", "--model", str(model), "--window_words", "16"]) == 0
    assert cli.main(["predict", "good food", "--model", str(model), "--window_words", "-1"]) == 2
    assert "window_words must be a whole number" in capsys.readouterr().err


# --- mistakes and bugs


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError])
@pytest.mark.parametrize(
    "place",
    [
        "d2e2s.modeling_d2e2s.D2E2SForTripletExtraction.forward",
        "d2e2s.processing_d2e2s.D2E2SProcessor.post_process_triplets",
        "d2e2s.pipeline_d2e2s._placed",
        "d2e2s.prediction.readers.line_rows",
        "d2e2s.prediction.writers.to_json",
        "d2e2s.prediction.writers._write_parquet",
        "d2e2s.prediction.parts.line_rows",
        "d2e2s.prediction.shards._write_rejects",
    ],
)
def test_a_bug_keeps_its_traceback(
    place: str, kind: type[Exception], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted in model, decoder, readers and writers: it comes out as it is."""

    def bug(*arguments: Any, **options: Any) -> Any:
        raise kind("planted")

    out = {"_write_parquet": "b.parquet", "parts.line_rows": "shards", "_write_rejects": "shards"}
    name = next((name for end, name in out.items() if place.endswith(end)), "b.jsonl")
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good food"}\n{\n' if "_write_rejects" in place else '{"text": "good food"}\n')
    monkeypatch.setattr(place, bug)
    with pytest.raises(kind, match="planted") as error:
        cli.main(["predict", str(path), "--model", str(model), "--threshold", "0", "--out", str(tmp_path / name)])
    assert type(error.value) is kind


def test_debug_shows_the_traceback_of_a_mistake(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "good food", "--model", str(model), "--threshold", "2"]
    assert cli.main(words) == 2 and "Traceback" not in capsys.readouterr().err
    with pytest.raises(UserError, match="threshold must lie in"):
        cli.main(["--debug", *words])


def test_rows_without_text_are_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "b.jsonl"
    path.write_text('text\ngood\n""\n" "\n', encoding="utf-8")
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(out)]) == 0
    assert [row["predicted_triplets"] for row in _read(out)[1:]] == [[], []]
    assert "2 rows without text" in capsys.readouterr().err


def test_the_input_is_not_written_over(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, link = _input(tmp_path, ".csv"), tmp_path / "link.csv"
    link.symlink_to(path)
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(link)]) == 2
    assert f"error: {link}: is the file that is read" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == CONTENTS[".csv"]


def test_progress_is_told_while_a_batch_of_rows_is_read(extract: TripletExtractionPipeline) -> None:
    told: list[int] = []
    extract.progress = told.append
    found = extract([f"{text} {text}" for text in TEXTS] * 3, batch_size=2)
    extract.progress = None
    assert len(told) > 5 and max(told) == 2 and len(found) == 9
    assert list(predict.with_progress(extract, [1, 2])) == [1, 2] and extract.progress is None


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "latin.csv": ("text\ncaf\xe9\n".encode("latin-1"), "line 2: not UTF-8 (byte 0xe9); save the file as UTF-8"),
    "latin_header.csv": ("t\xe9xt\ncaf\n".encode("latin-1"), "not UTF-8 (byte 0xe9)"),
    "latin.tsv": ("text\tid\ncaf\xe9\t1\n".encode("latin-1"), "not UTF-8"),
    "latin.txt": ("caf\xe9\n".encode("latin-1"), "not UTF-8"),
    "latin.jsonl": ('{"text": "caf\xe9"}\n'.encode("latin-1"), "not UTF-8"),
    "no_column.csv": (b"id,review\n1,good\n", "no column 'text'; choose --text_column from: 'id', 'review'"),
    "clash.csv": (b"text,predicted_triplets\n1,good\n", "give another --output_column"),
    "ragged.csv": (b"text,id\ngood,1\nbad,2,3,4\n", "cannot be read: "),
    "empty.csv": (b"", "no rows"),
    "empty.jsonl": (b"", "no rows"),
    "empty.txt": (b"", "no text"),
    "nul.csv": (b"text,\0id\ngood,1\n", r"header: column '\x00id' holds a NUL character"),
    "nul.jsonl": (b'{"text": "good", "i\\u0000d": 3}\n', r"column 'i\x00d' holds a NUL character"),
    "comma.csv": (b"text,stars\ngood,5\nbad food,1,\n", "cannot be read: line 3: 3 values for 2 columns"),
    "few.csv": (b"text,stars\ngood\n", "cannot be read: line 2: 1 values for 2 columns"),
    "behind.tsv": (b'text\tstars\n"Great" food\t5\n', "cannot be read: line 2: "),
    "quote.tsv": (b'text\tstars\n"good food\t5\nbad food\t1\n', "cannot be read: line 2: unexpected end of data"),
    "twice.csv": (b"text,text\ngood,bad\n", "header: column 'text' stands there twice"),
    "header.csv": (b"id,text\n", "no text in column 'text'"),
    "excel.csv": (b"id;text\n1;good\n", "from: 'id;text'; are its columns parted by semicolons? save it with commas"),
    "more.csv": (b"id;text\n1;good, bad\n", "line 2: 2 values for 1 columns; are its columns parted by semicolons?"),
    "quoted.csv": (b'"id";"text"\n"1";"good"\n', "after '\"'; are its columns parted by semicolons? save it with"),
    "tabs.csv": (b"id\ttext\n1\tgood\n", "are its columns parted by tabs? save it with commas"),
    "commas.tsv": (b"id,text\n1,good\n", "are its columns parted by commas? save it with tabs"),
    "blank.txt": (b"\n \n\n", "no text in column 'text'"),
    "broken.jsonl": (b'{"text": "good"}\n{"text":\n', "cannot be read: "),
    "number.jsonl": (b'{"text": "good"}\n{"text": 3}\n', "row 2: text is 3; expected text"),
    "null.jsonl": (b'{"text": null}\n{"id": 3}\n', "no text in column 'text'"),
    "other.jsonl": (b'{"review": "good"}\n', "no column 'text'; choose --text_column from: 'review'"),
    "words.jsonl": (b'{"text": ["good", ""]}\n', "row 1: text is ['good', '']; expected text"),
    "fake.parquet": (b"hello", "cannot be read: "),
    "reviews.xlsx": (b"hello", "cannot read .xlsx files; expected .jsonl, .csv, .tsv, .parquet, .txt"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = BAD_FILES[name]
    path, out = tmp_path / name, tmp_path / "out.jsonl"
    path.write_bytes(content)
    out.write_text("old", encoding="utf-8")
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(out)]) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert len(printed) == 1 and printed[0].startswith(f"error: {path}: "), printed
    assert message in printed[0]
    assert out.read_text(encoding="utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {name, "out.jsonl"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([""], "the text is empty"),
        (["good", "  "], "the text is empty"),
        (["missing.csv"], "missing.csv: no such file"),
        (["my reviews.csv"], "my reviews.csv: no such file"),
        (["revews/"], "revews/: no such file"),
        (["reviews.json"], "reviews.json: no such file"),
        (["my Reviews.xlsx"], "my Reviews.xlsx: no such file"),
        (["it only exports .csv", " "], "the text is empty"),
        (["good.txt", "bad"], "either texts or one file"),
        (["-", "bad"], "either texts or one file"),
        (["-", "--out", "shards"], "standard input (-) goes into one file"),
        (["a.csv", "b.csv"], "for several files give --out a folder"),
        (["good food", "--out", "x.docx"], "x.docx: cannot write this kind of file"),
        (["good food", "--out", "."], "good food: no such file or folder"),
        (["."], ".: is a folder: give --out a folder as well"),
        (["good food", "--threshold", "2"], "threshold must lie in [0, 1]"),
        (["good food", "--device", "abacus"], "abacus"),
        (["good food", "--file_column", "file"], "--file_column is for many files: give --out a folder"),
        (["good food", "--out", "x.jsonl", "--share", "0/2"], "--share is for many files: give --out a folder"),
    ],
)
def test_bad_arguments(
    words: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["predict", *words, "--model", str(model)]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
    assert not list(tmp_path.iterdir())


def test_no_d2e2s_checkpoint(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    other = tiny_encoder("bert", tmp_path / "bert")
    damaged = tiny_checkpoint(tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for folder, message in (
        (other, "no D2E2S checkpoint (model_type 'bert')"),
        (tmp_path / "nowhere", "nowhere: no such folder"),
        ("outputs/nowhere", "outputs/nowhere: no such folder here, and nothing of that name to be had elsewhere"),
        ("nowhere", "nowhere: no such folder here, and nothing of that name to be had elsewhere"),
        (damaged, "the weights are damaged"),
    ):
        assert cli.main(["predict", "good food", "--model", str(folder)]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ") and message in line


@pytest.mark.parametrize("text", ["yuck/meh", "good.bad", "7/10", "meh...ok"])
def test_a_word_that_names_no_file_is_a_review(text: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", text, "--model", str(model)]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text


@pytest.mark.slow
def test_reader_of_the_pipe_may_leave(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("The food was great.\n" * 300, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = f"{sys.executable} -m d2e2s.cli predict {path} --model {model} --threshold 0 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, timeout=300)
    assert json.loads(done.stdout)["text"] == "The food was great."
    assert "Traceback" not in done.stderr and "error" not in done.stderr


@pytest.mark.parametrize("out", ["out.jsonl", "shards"])
def test_the_index_that_pandas_writes_is_kept(out: str, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(",text\n007,good food\n", encoding="utf-8")
    assert cli.main(["predict", str(path), "--model", str(model), "--out", str(tmp_path / out)]) == 0
    rows = read_predictions(tmp_path / out) if out == "shards" else rows_of_lines(tmp_path / out)
    assert [(row["Unnamed: 0"], row["text"]) for row in rows] == [("007", "good food")]


def rows_of_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("formats", "dtype", "said"), [
    (("avx512_bf16",), "auto", 1), (("amx_bf16", "amx_int8"), "float32", 1), (("avx512_bf16",), "bfloat16", 0),
    (("avx512_vnni",), "auto", 0),
])  # fmt: skip
def test_a_faster_number_format_is_named(
    formats: tuple[str, ...], dtype: str, said: int, model: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """Once for a file, and for a folder where it begins."""
    monkeypatch.setattr("d2e2s.backends.cpu.cpu_formats", lambda: formats)
    path = tmp_path / "a.txt"
    path.write_text("Good food.\n", encoding="utf-8")
    command = ["predict", str(path), "--model", str(model), "--device", "cpu", "--dtype", dtype, "--out"]
    for out, times in (("a.jsonl", said), ("folder", said), ("folder", 0)):
        assert cli.main([*command, str(tmp_path / out)]) == 0
        assert capsys.readouterr().err.count("--dtype bfloat16") == times
