"""Generated input for every reader: it is accepted, or refused with the error that is documented; all else is a fault.

    python -m pytest tests/test_fuzz.py --hypothesis-profile long --junitxml fuzz.xml

is the long run; its file says how many inputs each reader accepted and refused. What is accepted is looked at too:
records survive writing and reading, repaired parses are trees, tables have their column.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import generated_inputs as inputs
import pytest
from huggingface_hub.errors import StrictDataclassError
from hypothesis import given, settings
from hypothesis import strategies as st

from d2e2s.checkpoints import SUMS, check
from d2e2s.configuration_d2e2s import D2E2SConfig
from d2e2s.data_scripts import annotations, from_strings
from d2e2s.data_scripts.converter import Converter
from d2e2s.data_scripts.documents import Document, Report, Span
from d2e2s.data_scripts.from_aste_text import read_split
from d2e2s.data_scripts.from_doccano import off_borders, read_doccano, realigned
from d2e2s.data_scripts.from_label_studio import read_label_studio
from d2e2s.data_scripts.join import join
from d2e2s.data_scripts.overlap import letters
from d2e2s.data_scripts.parse_repair import read_arcs, transfer
from d2e2s.data_scripts.prepare_aste_v2 import ParseBook, parse_line
from d2e2s.data_scripts.read_conllu import read_conllu
from d2e2s.data_scripts.records import Record, check_records, is_tree, read_records, validate_record, write_records
from d2e2s.errors import UserError
from d2e2s.prediction.readers import read_table
from d2e2s.prediction.tables import check_columns
from d2e2s.prediction.text_lines import TEXT_COLUMN
from d2e2s.training.config_files import _file_arguments
from d2e2s.words_d2e2s import WORD_SPLITTERS, WordSplitter, is_blank, split_sentences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]  # each input has a time limit of its own
SECONDS = 20.0  # for one input; more is a hang
LONG = settings.get_profile("long")
SHORT = settings(LONG, max_examples=30, derandomize=True)
BUDGET = LONG if settings.default == LONG else SHORT


def ring(*_: object) -> None:
    pytest.fail(f"more than {SECONDS} s")


def fed(
    refusals: tuple[type[Exception], ...] = (UserError, OSError), **strategies: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a test of a function that reads generated input in a folder of its own, and checks what it gets.

    The test fails if an input is neither accepted nor refused with one of `refusals`, takes too long, or if not both
    happen: a reader that refuses everything was not tested.
    """

    def decorate(read: Callable[..., None]) -> Callable[..., None]:
        def test(record_property: Callable[[str, object], None]) -> None:
            counts = Counter[str]()

            def feed(**values: Any) -> None:
                with tempfile.TemporaryDirectory() as folder:
                    signal.setitimer(signal.ITIMER_REAL, SECONDS)
                    try:
                        read(Path(folder), **values)
                        counts["accepted"] += 1
                    except refusals:
                        counts["refused"] += 1
                    finally:
                        signal.setitimer(signal.ITIMER_REAL, 0)

            feed.__name__ = read.__name__
            signal.signal(signal.SIGALRM, ring)
            BUDGET(given(**strategies)(feed))()
            for outcome, count in counts.items():
                record_property(outcome, count)
            assert set(counts) == {"accepted", *(["refused"] if refusals else [])}

        return test

    return decorate


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- records and trees ------------------------------------------------------------------------------------


def annotated(records: list[Record]) -> list[Record]:
    return [{key: record[key] for key in ("id", "tokens", "triplets")} for record in records]


@fed(content=inputs.RECORD_LINES)
def test_records(folder: Path, content: bytes) -> None:
    found = read_records(write(folder / "x.jsonl", content))
    for name in ("y.jsonl", "y.parquet"):
        write_records(folder / name, found)
        assert annotated(read_records(folder / name)) == annotated(found)


@fed(rows=inputs.ROWS)
def test_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    write_records(folder / "x.jsonl", check_records(rows, "x"))
    assert len(read_records(folder / "x.jsonl")) == len(rows)


@fed(contents=st.tuples(*[inputs.SHARED_LINES] * 3))
def test_join(folder: Path, contents: tuple[str, str, str]) -> None:
    paths = [folder / name / "train.jsonl" for name in ("one", "two", "held")]
    for path, content in zip(paths, contents, strict=True):
        path.parent.mkdir()
        write(path, content.encode())
    joined, sources = join(paths[:2], paths[2:])
    held = {letters(record["tokens"]) for record in read_records(paths[2])}
    sentences = [letters(record["tokens"]) for record in joined]
    assert len(set(sentences)) == len(sentences) == len({record["id"] for record in joined})
    assert held.isdisjoint(sentences)
    counted = sum(source.sentences + len(source.held_out) + len(source.elsewhere) for source in sources)
    assert counted == sum(len(read_records(path)) for path in paths[:2])


@fed(content=inputs.CONLLU)
def test_conllu(folder: Path, content: bytes) -> None:
    for document in read_conllu(write(folder / "x.conllu", content)):
        assert document and all(is_tree(record["heads"]) for record in document)


# --- ASTE text and its parses -----------------------------------------------------------------------------


@fed(line=inputs.ASTE_LINES)
def test_aste_line(folder: Path, line: str) -> None:
    tokens, triplets, _ = parse_line(line, "x:1")
    validate_record({"id": "x", "tokens": tokens, "triplets": triplets}, "x:1")


@fed(on_error=inputs.HOW, implicit=inputs.HOW, content=inputs.ASTE_TEXT)
def test_aste_split(folder: Path, on_error: str, implicit: str, content: bytes) -> None:
    options = argparse.Namespace(on_error=on_error, implicit=implicit, sentiments=[], max_words=3, max_span_width=2)
    found, report = read_split("x", "train", write(folder / "x.txt", content), options)
    assert report.faults or len({record["id"] for record in found}) == len(found)
    for record in found:
        validate_record(record, "x")
        assert len(record["tokens"]) <= options.max_words


def repair(tokens: list[str], parser_tokens: list[str], arcs: list[Any]) -> None:
    tree = transfer(tokens, read_arcs(parser_tokens, arcs))
    assert len(tree.heads) == len(tree.deprels) == len(tokens) and is_tree(tree.heads)


@fed((ValueError,), parsed=inputs.parsed_sentences())
def test_parse_repair(folder: Path, parsed: tuple[list[str], list[str], list[Any]]) -> None:
    repair(*parsed)


@fed((ValueError, OSError), content=inputs.PARSES)
def test_aste_parses(folder: Path, content: bytes) -> None:
    parse, _ = ParseBook(write(folder / "x.json", content)).find(["good", "food"], 0)
    repair(["good", "food"], [token for token, _ in parse["pos"]], parse["dependency"])


# --- what is converted to records -------------------------------------------------------------------------


def convert(read: Callable[..., Any], folder: Path, on_error: str, content: bytes) -> None:
    path = write(folder / "x.json", content)
    words = ["--input", str(path), "--output_dir", str(folder), "--on_error", on_error]
    options, report = annotations.parse_arguments("", words), Report(on_error)
    to_records = Converter(options, report)
    for document in read(path, options, report):
        for record in to_records(document):
            validate_record(record, "x")


@fed(on_error=inputs.HOW, content=inputs.LABEL_STUDIO)
def test_label_studio(folder: Path, on_error: str, content: bytes) -> None:
    convert(read_label_studio, folder, on_error, content)


@fed(on_error=inputs.HOW, content=inputs.DOCCANO)
def test_doccano(folder: Path, on_error: str, content: bytes) -> None:
    convert(read_doccano, folder, on_error, content)


@fed((), text=inputs.LINED_TEXTS, places=inputs.PLACES)
def test_line_ends(folder: Path, text: str, places: list[tuple[int, int]]) -> None:
    spans = {str(number): Span(*place, ["Aspect"]) for number, place in enumerate(places)}
    document, report = Document("x", "x", text, dict(spans), []), Report()
    found = realigned(document, report).spans
    faults, left = (sum(off_borders(text, *span[:2]) for span in some.values()) for some in (spans, found))
    assert document.text == text and found.keys() == spans.keys()
    assert found == spans or (left < faults and report.findings)
    assert found == spans or all(0 <= span.start < span.end <= len(text) for span in found.values())


def place_strings(path: Path, on_error: str, implicit: str) -> None:
    words = ["--input", str(path), "--output_dir", str(path.parent), "--on_error", on_error, "--implicit", implicit]
    options, report = from_strings.parse_arguments(words), Report(on_error)
    to_records = Converter(options, report)
    for document in from_strings.read_strings(path, options, report):
        assert all(0 <= span.start < span.end <= len(document.text) for span in document.spans.values())
        before = len(report.findings)
        rows = to_records(document)
        for record in rows:
            validate_record(record, "x")
        kept = sum(len(record["triplets"] or []) for record in rows)
        assert kept == len(document.links) or len(report.findings) > before, "a triplet is lost"


def strings_test(name: str, content: st.SearchStrategy[bytes]) -> Callable[..., None]:
    """The test of a kind of files that give their terms as strings."""

    @fed(on_error=inputs.HOW, implicit=inputs.HOW, content=content)
    def read(folder: Path, on_error: str, implicit: str, content: bytes) -> None:
        place_strings(write(folder / name, content), on_error, implicit)

    return read


test_string_lines = strings_test("x.txt", inputs.STRING_LINES)
test_string_json = strings_test("x.jsonl", inputs.STRING_JSON)
test_string_table = strings_test("x.csv", inputs.STRING_CSV)


# --- tables and words -------------------------------------------------------------------------------------


def table_test(name: str, content: st.SearchStrategy[bytes]) -> Callable[..., None]:
    """The test of a kind of tables."""

    @fed(content=content)
    def read(folder: Path, content: bytes) -> None:
        table = read_table(str(write(folder / name, content)))
        check_columns(table, TEXT_COLUMN)
        for batch, texts in table.texts(TEXT_COLUMN):
            assert all(len(column) == len(texts) for column in batch.values())

    return read


test_csv = table_test("x.csv", inputs.CSV)
test_tsv = table_test("x.tsv", inputs.TSV)
test_jsonl = table_test("x.jsonl", inputs.JSONL)
test_txt = table_test("x.txt", inputs.TEXT_LINES)
test_parquet = table_test("x.parquet", inputs.PARQUET)


@fed((), text=inputs.MARKED_TEXTS)
def test_words(folder: Path, text: str) -> None:
    for name, version in product(WORD_SPLITTERS, (1, 2)):
        words = WordSplitter(name, version)(text)
        assert all(text[word.start : word.end] == word.text for word in words)
        assert all(one.end <= after.start for one, after in pairwise(words))
        left = set(range(len(text))).difference(*(range(word.start, word.end) for word in words))
        assert all(is_blank(text[place]) for place in left)
        assert [word for sentence in split_sentences(text, words) for word in sentence] == words


# --- configurations and checksums -------------------------------------------------------------------------


@fed(content=inputs.YAML)
def test_run_configuration(folder: Path, content: bytes) -> None:
    source = _file_arguments(write(folder / "x.yaml", content), inputs.KNOWN)
    assert all(isinstance(word, str) for word in source.words) and source.unset <= inputs.KNOWN


@fed((ValueError, StrictDataclassError), values=inputs.CONFIG)
def test_model_configuration(folder: Path, values: dict[str, Any]) -> None:
    config = D2E2SConfig.from_dict(values)
    assert config.head_size > 0 and config.sentiment_labels


@fed(lines=inputs.SUMS)
def test_checksums(folder: Path, lines: str) -> None:
    write(folder / "x", b"x")
    write(folder / SUMS, lines.encode())
    right = f"{hashlib.sha256(b'x').hexdigest()}  x"
    assert len(check(folder)) == lines.splitlines().count(right) == len(lines.splitlines())


# --- whether a fault is noticed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (lambda folder: {}["x"], KeyError),
        (lambda folder: time.sleep(60), pytest.fail.Exception),
        (lambda folder: None, AssertionError),
        (lambda folder: (folder / "x").read_text(), AssertionError),
    ],
    ids=["another error", "a hang", "nothing is refused", "nothing is accepted"],
)
def test_a_fault_is_noticed(
    happens: Callable[[Path], object], expected: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    @fed(value=st.just("x"))
    def read(folder: Path, value: str) -> None:
        happens(folder)

    monkeypatch.setattr("test_fuzz.SECONDS", 0.05)
    with pytest.raises(expected):
        read(lambda outcome, count: None)
