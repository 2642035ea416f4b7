"""Prediction over many files: what comes out, what is rejected, what a restart does, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from datasets import List, Value
from tiny_models import tiny_checkpoint

from d2e2s import TripletExtractionPipeline, cli
from d2e2s.prediction import corpus
from d2e2s.prediction import parts as rows
from d2e2s.prediction.parts import ColumnKinds, plan_parts, read_part
from d2e2s.prediction.predict import write_predictions
from d2e2s.prediction.readers import read_table
from d2e2s.prediction.shards import Output, read_predictions, read_rejects

TEXTS = ["The food was great. The service was slow!", "It was great", "", "naïve 食べ物 😀 good", "good\x85food"]
ROWS = [{"id": f"00{i}", "text": TEXTS[i % len(TEXTS)], "n": i} for i in range(11)]


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Callable[..., int]:
    """Predict `tmp_path/in` into a folder of `tmp_path`, two rows a shard."""

    def run(out: str = "out", *words: str, inputs: tuple[str, ...] = ("in",)) -> int:
        paths = [str(tmp_path / name) for name in inputs]
        sizes = ["--rows_per_shard", "2", "--device", "cpu", "--model", str(model)]
        return cli.main(["predict", *paths, "--out", str(tmp_path / out), *sizes, *words])

    return run


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=3)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"] + "\n" for row in rows), encoding="utf-8", newline="")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


def _corpus(tmp_path: Path, count: int = 2, suffix: str = ".jsonl") -> list[Path]:
    """Files in `tmp_path/in`, one of them in a folder below, with `ROWS` each."""
    names = [f"{'more/' * (i == 1)}r{i}{suffix}" for i in range(count)]
    return [_write(tmp_path / "in" / name, ROWS) for name in names]


def _shards(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("[sr]*/*"))}


def _rounded(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores depend a little on the batch."""
    name = "predicted_triplets"
    return [{**row, name: [{**triplet, "score": round(triplet["score"], 4)} for triplet in row[name]]} for row in rows]


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr().err.strip().splitlines()
    assert len(printed) == 1 and printed[0].startswith("error: "), printed
    return printed[0]


# --- what comes out


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".txt"])
def test_the_rows_of_all_files_with_all_columns_in_order(
    suffix: str, run: Callable[..., int], extract: TripletExtractionPipeline, tmp_path: Path
) -> None:
    """The same rows and triplets as when each file is predicted alone."""
    expected = []
    for path in sorted(_corpus(tmp_path, suffix=suffix)):
        write_predictions(extract, read_table(str(path)), str(tmp_path / "one.jsonl"), threshold=0.3)
        expected += list(map(json.loads, (tmp_path / "one.jsonl").read_text(encoding="utf-8").split("\n")[:-1]))
    assert run("out", "--threshold", "0.3") == 0
    assert _rounded(read_predictions(tmp_path / "out")) == _rounded(expected) and len(expected) == 2 * len(ROWS)
    assert any(row["predicted_triplets"] for row in expected)
    assert len(Output(tmp_path / "out").done()) == 2 * 6
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary == {"rows_in": 22, "rows_out": 22, "rejected": 0, "without_text": 4, "shards": 12}


def test_values_of_any_json_come_back(run: Callable[..., int], tmp_path: Path) -> None:
    """As JSON text where no simple type holds all values of a column; also columns that come late."""
    given: list[dict[str, Any]] = [
        {"text": "good", "style": {"size": " L", "x": [1]}, "id": 1, "big": 2**60, "huge": 2**70, "score": 1},
        {"text": "bad", "style": "none", "id": 2**53 + 1, "big": 2, "huge": 1, "score": 0.5, "words": ["a"]},
        {"text": "so", "late": True, "nothing": None, "mixed": 1, "precise": 2**53 + 1, "words": []},
        {"text": "food", "late": None, "mixed": "1", "precise": 0.5},
    ]
    _write(tmp_path / "in" / "a.jsonl", given)
    assert run() == 0
    found = read_predictions(tmp_path / "out")
    as_json = ["style", "huge", "mixed", "precise"]
    assert Output(tmp_path / "out").manifest.as_json == as_json
    rows = list(found.remove_columns("predicted_triplets"))
    for row in rows:
        row.update({name: json.loads(row[name]) for name in as_json if row[name] is not None})
    names = list(dict.fromkeys(name for row in given for name in row))
    assert rows == [{name: row.get(name) for name in names} for row in given]
    assert {name: found.features[name] for name in names if name not in ("text", "id", *as_json)} == {
        **{"big": Value("int64"), "score": Value("float64"), "words": List(Value("string"))},
        **{"late": Value("bool"), "nothing": Value("string")},
    }


def test_parquet_files_with_other_columns_and_types(run: Callable[..., int], tmp_path: Path) -> None:
    table = pyarrow.table(
        {"text": pyarrow.array(["good", "bad"]).dictionary_encode(), "n": pyarrow.array([1, 2], "int8")}
    )
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "in" / "a.parquet")
    _write(tmp_path / "in" / "b.parquet", [{"n": 3, "text": "food", "more": {"x": 1}}])
    assert run() == 0
    rows = list(read_predictions(tmp_path / "out").remove_columns("predicted_triplets"))
    more = [None, None, {"x": 1}]
    assert rows == [{"text": t, "n": i, "more": more[i - 1]} for i, t in enumerate(("good", "bad", "food"), start=1)]


def test_parquet_with_strings_as_views(run: Callable[..., int], tmp_path: Path) -> None:
    """As some engines write them; Arrow does not unify them with other strings, nor choose rows of them."""
    views = pyarrow.table({"text": pyarrow.array(["good", "bad"], "string_view"), "n": ["1", "2"]})
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(views, tmp_path / "in" / "a.parquet")
    _write(tmp_path / "in" / "b.parquet", [{"text": "food", "n": "3"}])
    assert run() == 0
    found = list(read_predictions(tmp_path / "out").remove_columns("predicted_triplets"))
    assert found == [{"text": text, "n": str(n)} for n, text in enumerate(("good", "bad", "food"), start=1)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_parts_begin_and_end_between_rows(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of several lines, blank lines, a byte order mark and no line end at the end of the file."""
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 2)
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf\n"id","text"\r\n1,"a\nb"\r\n\r\n2,"c ""d"", e"\n\n"3\n",f\n4,\n5,"g\r\n"\n\n6,h')
    columns = ColumnKinds()
    parts = plan_parts(path, 0, columns, "text", size)
    assert [part.rows for part in parts] == [min(size, 6 - start) for start in range(0, 6, size)]
    batches = [batch for part in parts for batch in read_part(path, part, columns.features, "text")]
    assert max(len(batch.texts) for batch in batches) <= 2 and not any(batch.rejected for batch in batches)
    with path.open(encoding="utf-8-sig", newline="") as file:
        expected = [row for row in csv.reader(file) if row][1:]
    assert [list(row.values()) for batch in batches for row in batch.table.to_pylist()] == expected
    assert [part.line for part in plan_parts(path, 0, columns, "text", 1)] == [3, 5, 7, 10, 11, 13]


def test_rows_tell_which_file_they_are_from(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [_write(tmp_path / "in" / f"{name}.txt", [{"text": f"good {name}"}] * 3) for name in ("phone", "watch")]
    assert run("out", "--file_column", "product") == 0
    found = [{**row} for row in read_predictions(tmp_path / "out")]
    assert [(row["product"], row["text"]) for row in found] == [
        (str(path), f"good {path.stem}") for path in paths for _ in range(3)
    ]
    assert run("other") == 0
    plain = [{**row} for row in read_predictions(tmp_path / "other")]
    assert [{**row, "product": new["product"]} for row, new in zip(plain, found, strict=True)] == found
    capsys.readouterr()
    for name in ("text", "predicted_triplets"):
        assert run("third", "--file_column", name) == 2
        assert f"has a column {name!r} already; give another --file_column" in capsys.readouterr().err
    assert run("out") == 2
    assert "was begun with another file_column ('product', now None)" in capsys.readouterr().err


# --- bad rows

BAD_LINES: dict[str, list[tuple[bytes, str]]] = {
    "a.jsonl": [
        (b'{"text": "good"', "no JSON (Expecting ',' delimiter, character 16)"),
        (b"[1, 2]", "JSON list; expected an object"),
        (b'{"text": true}', "text is True; expected text"),
        (b'{"text": 5}', "text is 5; expected text"),
        (b'{"text": {"a": "b"}}', "text is {'a': 'b'}; expected text"),
        (b'{"text": ["good", ""]}', "text is ['good', '']; expected text"),
        (b'{"text": "caf\xe9"}', "not UTF-8 (byte 0xe9)"),
        (b'{"text": "half \\ud83d"}', "half of a surrogate pair, which is no Unicode text"),
        (b'{"text": "x", "n": {"\\udc00": 1}}', "half of a surrogate pair, which is no Unicode text"),
        (b'{"text": "x", "n": ' + b"1" * 5000 + b"}", "JSON that cannot be read (Exceeds the limit"),
        (b"[" * 100_000, "JSON that cannot be read ("),
        (b'{"text": "' + b"x" * 2**20 + b'"}', "a line of 1048576 bytes or more"),
        (b"\x00", "no JSON (Expecting value, character 1)"),
    ],
    "a.csv": [
        (b"1", "1 values for 2 columns"),
        (b"1,2,3", "3 values for 2 columns"),
        (b"1,caf\xe9", "not UTF-8 (byte 0xe9)"),
        (b'1,"good" food', "',' expected after '\"'"),
        (b'1,"never closed', "',' expected after '\"'"),
        (b"1,a\rb", "new-line character seen in unquoted field"),
        (b"1," + b"x" * 200_000, "field larger than field limit (131072)"),
    ],
    "a.txt": [(b"caf\xe9", "not UTF-8 (byte 0xe9)"), (b"\xff\xfeg\x00", "not UTF-8 (byte 0xff)")],
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_rows_are_rejected_and_the_others_go_on(name: str, run: Callable[..., int], tmp_path: Path) -> None:
    """Each bad row stands between two good ones, and its place and the reason are said."""
    good = {"a.jsonl": b'{"text": "good"}\n', "a.csv": b'0,"good"\n', "a.txt": b"good\n"}[name]
    header = b"id,text\n" if name == "a.csv" else b""
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_bytes(header + good + b"".join(line + b"\n" + good for line, _ in BAD_LINES[name]))
    assert run() == 0
    assert [row["text"] for row in read_predictions(tmp_path / "out")] == ["good"] * (len(BAD_LINES[name]) + 1)
    rejects = list(read_rejects(tmp_path / "out"))
    places = range(2 + bool(header), 2 + bool(header) + 2 * len(BAD_LINES[name]), 2)
    assert [(row["file"], row["line"]) for row in rejects] == [(str(path), line) for line in places]
    for reject, (line, reason) in zip(rejects, BAD_LINES[name], strict=True):
        assert reject["reason"].startswith(reason) and len(reject["row"]) <= 500
        assert reject["row"] == line[:500].decode(errors="replace") or "text is" in reason
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["rejected"] == len(rejects) and summary["rows_in"] == 2 * len(rejects) + 1


def test_bad_rows_of_parquet(run: Callable[..., int], tmp_path: Path) -> None:
    texts = pyarrow.StringArray.from_buffers(
        5, pyarrow.array([0, 4, 8, 8, 11, 12], "int32").buffers()[1], pyarrow.py_buffer(b"goodcaf\xe9badx"), None
    )
    texts = pyarrow.concat_arrays([texts, pyarrow.array([None], "string")])
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "n": range(6)}), tmp_path / "in" / "a.parquet")
    assert run() == 0
    assert [(row["n"], row["text"]) for row in read_predictions(tmp_path / "out")] == [
        *[(0, "good"), (2, ""), (3, "bad"), (4, "x"), (5, None)]
    ]
    assert [(row["line"], row["reason"], row["row"]) for row in read_rejects(tmp_path / "out")] == [
        (2, "not UTF-8 (byte 0xe9)", "caf�"),
    ]


def test_values_that_the_columns_of_all_files_cannot_hold(run: Callable[..., int], tmp_path: Path) -> None:
    """Integers and floats together are floats, which do not hold every integer."""
    _write(tmp_path / "in" / "a.parquet", [{"text": "good", "n": n} for n in (1, 2**53 + 1, 3)])
    _write(tmp_path / "in" / "b.parquet", [{"text": "good", "n": 0.5}])
    assert run() == 0
    assert [row["n"] for row in read_predictions(tmp_path / "out")] == [1.0, 3.0, 0.5]
    [reject] = read_rejects(tmp_path / "out")
    assert reject["line"] == 2 and reject["row"] == '{"text": "good"}'
    assert reject["reason"].startswith("does not fit the columns of all files together: Integer value 9007199254740993")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_shard_may_have_no_rows(suffix: str, run: Callable[..., int], tmp_path: Path) -> None:
    texts = [1, 2, "good"] if suffix == ".jsonl" else [[""], [""], ["good"]]
    path = _write(tmp_path / "in" / f"a{suffix}", [{"text": text} for text in texts])
    assert run() == 0 and path.is_file()
    assert [row["text"] for row in read_predictions(tmp_path / "out")] == texts[2:]
    assert len(list(read_rejects(tmp_path / "out"))) == 2


def _damage(content: bytes, row: int, damage: str) -> bytes:
    """Spoil the page that holds a row, or put in its place another text of the same length."""
    text = f"good food {row}".encode()
    place = content.index(text)
    spoilt = text.replace(b"d", b"t") if damage == "another text" else b"\xff" * len(text)
    start = place if damage == "another text" else place - 4  # the length of the text stands before it
    return content[:start] + spoilt + content[start + len(text) :]


@pytest.mark.parametrize(("damage", "row"), [("no text", 6), ("no text", 10), ("another text", 9)])
@pytest.mark.parametrize("at_once", [1, 2, 1024])
def test_damaged_pages_of_parquet(
    damage: str, row: int, at_once: int, run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a row group what stands before the damage is read, the rest is rejected, row by row; the others are whole."""
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", at_once)
    table = pyarrow.table({"n": range(1, 21), "text": [f"good food {n}" for n in range(1, 21)]})
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    pages: dict[str, Any] = {"write_batch_size": 1, "data_page_size": 1, "write_page_checksum": True}
    plain: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pyarrow.parquet.write_table(table, path, row_group_size=5, **pages, **plain)
    path.write_bytes(_damage(path.read_bytes(), row, damage))
    assert run() == 0
    rejected = list(range(row - (row - 6) % at_once, 11))
    rejects = list(read_rejects(tmp_path / "out"))
    assert [(reject["file"], reject["line"]) for reject in rejects] == [(str(path), n) for n in rejected]
    assert all(reject["reason"].startswith("row group 2 is damaged: ") for reject in rejects)
    assert [row["n"] for row in read_predictions(tmp_path / "out")] == [n for n in range(1, 21) if n not in rejected]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["rows_in"], summary["rejected"]) == (20, len(rejected))
    for share in ("1/2", "0/2"):
        assert run("again", "--share", share) == 0
    assert _shards(tmp_path / "again") == _shards(tmp_path / "out")


def test_errors_of_the_disk_are_no_damage(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that fails, or memory that runs out, rejects no row: the run ends, and another goes on."""
    _write(tmp_path / "in" / "a.parquet", ROWS)
    for error in (OSError(5, "Input/output error"), pyarrow.ArrowMemoryError("malloc of size 64 failed")):

        def fail(*arguments: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(rows, "_slices", fail)
        assert run() == 2 and str(error) in _error(capsys)
        assert not Output(tmp_path / "out").done()
    monkeypatch.undo()
    assert run() == 0 and list(read_rejects(tmp_path / "out")) == []


# --- stopped and started again


def test_going_on_after_a_stop_at_any_place(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is not done again, what was unfinished is cleared, and all is as if nothing had happened."""
    _corpus(tmp_path)
    assert run("undisturbed") == 0
    calls = 0
    predicted = corpus._predicted

    class Plug(BaseException):
        pass

    def pulled(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        yield from predicted(*arguments)
        if calls % 4 == 0:
            raise Plug

    monkeypatch.setattr(corpus, "_predicted", pulled)
    monkeypatch.setattr(Path, "unlink", lambda *arguments, **options: None)  # nobody tidies up after SIGKILL
    done = []
    for _ in range(3):
        with pytest.raises(Plug):
            run()
        done.append(len(Output(tmp_path / "out").done()))
    monkeypatch.undo()
    assert done == [3, 6, 9] and len(list((tmp_path / "out" / "shards").glob(".part*"))) == 3
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "shards").glob("part*")}
    assert run() == 0
    assert _shards(tmp_path / "out") == _shards(tmp_path / "undisturbed")
    assert not list((tmp_path / "out").rglob(".*"))
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.parametrize("count", [2, 3, pytest.param(20, marks=pytest.mark.slow)])
def test_any_number_of_processes_gives_the_same_shards(
    count: int, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if their number changes on the way."""
    _corpus(tmp_path)
    assert run("one") == 0
    for number in range(1, count):
        assert run("out", "--share", f"{number}/{count}") == 0
    assert "shards are done" in capsys.readouterr().err
    with pytest.raises(ValueError, match=f"{1 + 11 // count} of 12 shards are missing|12 of 12"):
        read_predictions(tmp_path / "out")
    assert run("out", "--share", "1/2") == 0 and run() == 0
    assert _shards(tmp_path / "one") == _shards(tmp_path / "out")


def test_parts_by_number_for_any_scheduler(
    run: Callable[..., int], extract: TripletExtractionPipeline, tmp_path: Path
) -> None:
    """As a scheduler hands them out: in any order, some of them twice."""
    _corpus(tmp_path)
    assert run("one") == 0
    out, names = str(tmp_path / "out"), [str(tmp_path / "in")]
    planned = corpus.plan_corpus(corpus.find_files(names, out), out, extract, rows_per_shard=2)
    assert planned.missing() == list(range(12)) and planned.finish() is None
    for numbers in ([11, 3], [3, 4], planned.missing()):
        counts = list(corpus.predict_parts(Output(out), numbers, extract))
        assert sum(count.rows_out for count in counts) <= 2 * len(numbers)
    assert list(corpus.predict_parts(Output(out), range(12), extract)) == []
    assert planned.finish() == (22, 22, 0, 4)
    assert _shards(tmp_path / "one") == _shards(tmp_path / "out")
    extract.model.config.temperature *= 2
    with pytest.raises(ValueError, match="another model"):
        next(corpus.predict_parts(Output(out), [0], extract))
    extract.model.config.temperature /= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "ray", "--share", "0/2"], "--share is for processes that share the work by themselves; "),
        (["--ray_address", "auto"], "--ray_address is for --engine ray\n"),
        (["--engine", "ray"], '--engine ray needs ray: pip install "d2e2s[ray]"\n'),
    ],
)
def test_engine_that_cannot_be_had(
    run: Callable[..., int],
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")  # which is then as it was
    _corpus(tmp_path)
    assert run("out", *words) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_two_processes_at_the_same_parts(
    run: Callable[..., int], extract: TripletExtractionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One begins and ends while the other is at its first part: that one finds its part done, and goes on."""
    [path] = _corpus(tmp_path, count=1)
    path.write_text("{\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert run("one") == 0
    out, predicted, overtaking = str(tmp_path / "out"), corpus._predicted, []
    planned = corpus.plan_corpus(corpus.find_files([str(path)], out), out, extract, rows_per_shard=2)

    def overtaken(*arguments: Any) -> Any:
        yield from predicted(*arguments)
        monkeypatch.undo()
        overtaking.extend(corpus.predict_parts(Output(out), range(6), extract))
        assert Output(out).finish() == (12, 11, 1, 2)

    monkeypatch.setattr(corpus, "_predicted", overtaken)
    assert list(corpus.predict_parts(planned, range(6), extract)) == overtaking and len(overtaking) == 6
    assert planned.finish() == (12, 11, 1, 2)
    assert _shards(tmp_path / "one") == _shards(tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".*"))


def test_an_unfinished_shard_that_is_lost_is_no_shard(
    run: Callable[..., int], extract: TripletExtractionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = _corpus(tmp_path, count=1)
    out, predicted = str(tmp_path / "out"), corpus._predicted
    planned = corpus.plan_corpus(corpus.find_files([str(path)], out), out, extract, rows_per_shard=2)

    def lost(*arguments: Any) -> Any:
        yield from predicted(*arguments)
        [unfinished] = (tmp_path / "out" / "shards").glob(".part*")
        unfinished.unlink()

    monkeypatch.setattr(corpus, "_predicted", lost)
    with pytest.raises(FileNotFoundError):
        next(corpus.predict_parts(planned, range(6), extract))
    assert planned.missing() == list(range(6))


def test_a_file_that_changes_under_the_run_makes_no_shard(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = _corpus(tmp_path, count=1)
    predicted = corpus._predicted

    def changed(*arguments: Any) -> Any:
        yield from predicted(*arguments)
        path.write_bytes(path.read_bytes().replace(b"great", b"awful"))

    monkeypatch.setattr(corpus, "_predicted", changed)
    assert run() == 2
    assert "has changed since the work was begun" in _error(capsys)
    assert not Output(tmp_path / "out").done()


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


Change = Callable[[Path, Path], Any]
CHANGES: dict[str, tuple[Change, list[str], str]] = {
    "content": (
        lambda folder, model: (folder / "r0.jsonl").write_bytes(
            (folder / "r0.jsonl").read_bytes().replace(b"slow", b"fast")
        ),
        [],
        "r0.jsonl: has changed since the work was begun; begin again with another --out",
    ),
    "longer": (lambda folder, model: (folder / "r0.jsonl").open("a").write("\n"), [], "r0.jsonl: has changed"),
    "new file": (lambda folder, model: _write(folder / "z.jsonl", ROWS), [], "with other files"),
    "file gone": (lambda folder, model: (folder / "r0.jsonl").unlink(), [], "with other files"),
    "threshold": (lambda folder, model: None, ["--threshold", "0.7"], "another options ({}, now {'threshold': 0.7})"),
    "column": (lambda folder, model: None, ["--output_column", "x"], "another output_column ('predicted_triplets', "),
    "shards": (lambda folder, model: None, ["--rows_per_shard", "3"], "another rows_per_shard (2, now 3)"),
    "weights": (lambda folder, model: tiny_checkpoint(model, head_size=8), [], "with another model; give the same"),
    "words": (
        lambda folder, model: _edit(model / "processor_config.json", splitter_version=1),
        [],
        "with another model",
    ),
    "windows": (lambda folder, model: _edit(model / "processor_config.json", window_words=9), [], "another model"),
    "temperature": (
        lambda folder, model: (model / "config.json").write_text(
            (model / "config.json").read_text().replace('"temperature": 1.0', '"temperature": 2.0')
        ),
        [],
        "with another model",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_refused(
    name: str, run: Callable[..., int], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _corpus(tmp_path)
    mine = shutil.copytree(model, tmp_path / "model")
    assert run("out", "--model", str(mine)) == 0
    before = _shards(tmp_path / "out")
    capsys.readouterr()
    change, words, message = CHANGES[name]
    change(tmp_path / "in", mine)
    assert run("out", "--model", str(mine), *words) == 2
    assert message in _error(capsys)
    assert _shards(tmp_path / "out") == before


def test_what_has_not_changed_is_not_refused(run: Callable[..., int], model: Path, tmp_path: Path) -> None:
    """A file with the same bytes and a new time, another name for the same file, a copy of the model, other batches."""
    paths = _corpus(tmp_path)
    assert run("out", "--share", "0/2") == 0
    os.utime(paths[0], (1, 1))
    copy = shutil.copytree(model, tmp_path / "copy")
    inputs = ("in/more/../r0.jsonl", "in/more/*.jsonl")
    assert sorted(inputs) != ["in"] and run("out", "--model", str(copy), "--batch_size", "1", inputs=inputs[::-1]) == 0


# --- what cannot be used

_A, _B = {"text": "a"}, {"text": "b", "n": 1}
BAD_CORPORA: dict[str, tuple[dict[str, bytes], list[str], str]] = {
    "nothing": ({}, [], "in: no file such as 'folder/*.jsonl'"),
    "hidden only": ({".a.jsonl": b"{}", "_b.jsonl": b"{}"}, [], "no file such as"),
    "several kinds": ({"a.jsonl": b"{}\n", "b.csv": b"a\n"}, [], "several kinds (.csv, .jsonl): name one"),
    "unknown kind": ({"a.xlsx": b"x"}, [], "a.xlsx: cannot read this kind of file; expected .jsonl"),
    "no rows": ({"a.jsonl": b"\n", "b.jsonl": b""}, [], "a.jsonl and the others: no rows"),
    "header only": ({"a.csv": b"id,text\n"}, [], "a.csv: no rows"),
    "no column": ({"a.csv": b"id,review\n1,x\n"}, [], "no column 'text'; choose --text_column from: 'id', 'review'"),
    "no column in one": ({"a.csv": b"text\nx\n", "b.csv": b"id\n1\n"}, [], "b.csv: cannot be read: no column 'text'"),
    "no text anywhere": ({"a.jsonl": b'{"id": 1}\n'}, [], "no row with text in column 'text'"),
    "NUL in a key": (
        {"a.jsonl": b'{"text": "x", "\\u0000a": 1}\n'},
        [],
        r"header: column '\x00a' holds a NUL character",
    ),
    "NUL in a column": ({"a.csv": b"text,\0a\nx,1\n"}, [], r"header: column '\x00a' holds a NUL character"),
    "column twice": ({"a.csv": b"text,a,a\nx,1,2\n"}, [], "header: column 'a' stands there twice"),
    "header not UTF-8": ({"a.csv": b"text,\xe9\nx,1\n"}, [], "a.csv: cannot be read: header: not UTF-8 (byte 0xe9)"),
    "header malformed": ({"a.csv": b'"text"x\nx\n'}, [], "a.csv: cannot be read: header: ',' expected"),
    "empty csv": ({"a.csv": b""}, [], "no column 'text'"),
    "clash": ({"a.csv": b"text,predicted_triplets\nx,1\n"}, [], "give another --output_column"),
    "fake parquet": ({"a.parquet": b"hello"}, [], "a.parquet: cannot be read: "),
    "threshold": ({"a.txt": b"x\n"}, ["--threshold", "2"], "threshold must lie in [0, 1]"),
}


@pytest.mark.parametrize("name", BAD_CORPORA)
def test_bad_corpus(name: str, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, words, message = BAD_CORPORA[name]
    (tmp_path / "in").mkdir()
    for file, content in files.items():
        (tmp_path / "in" / file).write_bytes(content)
    assert run("out", *words) == 2
    assert message in _error(capsys)
    assert not (tmp_path / "out").exists()


COUNT_OF_ROWS = b"\x01n\x00\x16\x16\x19L"  # of a footer, from the last column's name on; 0x16 0x16 is 11


def test_a_footer_that_counts_other_rows(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path / "in" / "a.parquet", ROWS)
    content = path.read_bytes()
    place = content.rindex(COUNT_OF_ROWS)
    path.write_bytes(content[:place] + b"\x01n\x00\x16\x18\x19L" + content[place + len(COUNT_OF_ROWS) :])
    assert run() == 2 and "the footer says 12 rows, its row groups hold 11: the file is damaged" in _error(capsys)
    assert not (tmp_path / "out").exists()


def test_bad_parquet_columns(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "in" / "a.parquet", [{"text": 1}])
    assert run() == 2 and "column 'text' is int64; expected text, or lists of words" in _error(capsys)
    twice = pyarrow.table([["x"], ["y"]], names=["text", "text"])
    pyarrow.parquet.write_table(twice, tmp_path / "in" / "a.parquet")
    assert run() == 2 and "a.parquet: cannot be read: header: column 'text' stands there twice" in _error(capsys)
    _write(tmp_path / "in" / "a.parquet", [{"text": "x", "n": "1"}])
    _write(tmp_path / "in" / "b.parquet", [{"text": "x", "n": {"x": 1}}])
    assert run() == 2 and "b.parquet: cannot be read: " in _error(capsys)


def test_bad_names(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _corpus(tmp_path)
    for inputs, out, message in (
        (("in", "in/r0.jsonl"), "out", "r0.jsonl: named twice"),
        (("in", "nowhere"), "out", "nowhere: no such file or folder"),
        (("in/*.csv",), "out", "*.csv: no such file or folder"),
        (("in",), "in", "lies in the output folder, or that in it"),
        (("in",), "in/out", "lies in the output folder, or that in it"),
        (("in/**/*.jsonl",), "in/more", "more/r1.jsonl: lies in the output folder"),
        (("in",), "in/r0.jsonl", "is a folder: give --out a folder as well"),
    ):
        assert run(out, inputs=inputs) == 2
        assert message in _error(capsys)
    for words in (["--share", "2/2"], ["--share", "x"], ["--rows_per_shard", "0"]):
        with pytest.raises(SystemExit):
            run("out", *words)


def test_damaged_output(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _corpus(tmp_path, count=1)
    assert run() == 0
    manifest, shard = tmp_path / "out" / "manifest.json", Output(tmp_path / "out").shard(1)
    text, whole = manifest.read_text(encoding="utf-8"), shard.read_bytes()
    capsys.readouterr()
    shard.write_bytes(whole[:-20])
    assert run() == 2 and f"{shard}: damaged" in _error(capsys)
    shard.unlink()
    assert run() == 0 and shard.read_bytes() == whole
    capsys.readouterr()
    for damage, message in (
        (text[:100], "manifest.json: no manifest that can be read"),
        (text.replace('"format_version": 1', '"format_version": 2'), "format_version 2; expected 1"),
        (text.replace('"sha256"', '"md5"'), "no manifest that can be read"),
    ):
        manifest.write_text(damage, encoding="utf-8")
        assert run() == 2 and message in _error(capsys)
    manifest.unlink()
    assert run() == 2 and "holds shards but no manifest.json" in _error(capsys)
    with pytest.raises(FileNotFoundError, match="no prediction was begun there"):
        read_predictions(tmp_path / "out")


def test_a_folder_that_cannot_be_written(
    run: Callable[..., int], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """A full disk in the middle: one line, what was done stays, and it goes on when there is room again."""
    _corpus(tmp_path)
    write, calls = pyarrow.parquet.ParquetWriter.write_table, 0

    def full(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_table", full)
    assert run() == 2 and "No space left on device" in _error(capsys)
    monkeypatch.undo()
    assert Output(tmp_path / "out").done() == {0, 1} and not list((tmp_path / "out").rglob(".*"))
    assert run() == 0 and len(list(read_predictions(tmp_path / "out"))) == 22
