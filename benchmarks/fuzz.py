"""Generated input for every reader: it is accepted, or refused with the error that is documented. All else is a fault.

    python -m benchmarks.fuzz --examples 100000 --out results/fuzz.json

What is accepted is looked at too: records survive writing and reading, repaired parses are trees, tables have their
column. Exit code 1 if there is a fault; the report then holds the first inputs of each kind.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
from huggingface_hub.errors import StrictDataclassError
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from d2e2s.checkpoints import SUMS, check
from d2e2s.configuration_d2e2s import D2E2SConfig
from d2e2s.data_scripts import from_strings
from d2e2s.data_scripts.annotations import parse_arguments
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
from d2e2s.data_scripts.records import check_records, is_tree, read_records, validate_record, write_records
from d2e2s.errors import UserError
from d2e2s.prediction.readers import read_table
from d2e2s.prediction.tables import check_columns
from d2e2s.prediction.text_lines import TEXT_COLUMN
from d2e2s.training.arguments import (
    ConfigArguments,
    DataArguments,
    ModelArguments,
    TripletTrainingArguments,
)
from d2e2s.training.config_files import _file_arguments
from d2e2s.words_d2e2s import WORD_SPLITTERS, WordSplitter, is_blank, split_sentences

SECONDS = 20  # for one input; more is a hang
SHOWN = 3  # inputs of each kind of fault in the report


class Hang(BaseException):
    """A reader that does not come back."""


@dataclass
class Reader:
    """A reader, what it is fed, and how it may refuse.

    Attributes:
        inputs: strategy of its inputs.
        read: reads one in a folder of its own, and checks what it gets; AssertionError is a fault.
        refusals: errors that are documented.
    """

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any, Path], object]
    refusals: tuple[type[Exception], ...] = (UserError, OSError)


@dataclass
class Outcome:
    """How many inputs were what; `failures` by the error's name, with the first inputs."""

    examples: int = 0
    accepted: int = 0
    refused: int = 0
    failures: int = 0
    seconds: float = 0.0
    kinds: dict[str, list[str]] = field(default_factory=dict)

    def fail(self, error: BaseException, value: Any) -> None:
        self.failures += 1
        shown = self.kinds.setdefault(f"{type(error).__name__}: {str(error)[:80]}", [])
        if len(shown) < SHOWN:
            shown.append(ascii(value)[:400])


# --- inputs -----------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | st.sampled_from(
    ["good", "food", "n't", "(", "##", "####", "NULL", "-LRB-", "\u00b2", "\ufeff", "\x85", "\u2028"]
)
NUMBERS = st.integers(-2, 6) | st.integers() | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | WORDS | st.sampled_from(["POS", "\ud800", "9" * 5000])
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(WORDS, v, max_size=4), max_leaves=8)


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """A text as bytes; one in two is cut off, or has bytes put in."""
    content = draw(texts).encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(content)))
    end = draw(st.sampled_from([content[place:], content[place:], content[place:], b""]))
    return content[:place] + draw(st.just(b"") | st.just(b"") | st.binary(max_size=4)) + end


@st.composite
def trees(draw: st.DrawFn, size: int) -> list[int]:
    """Heads of a random tree: every word hangs on an earlier one of a random order, or on the root."""
    order = draw(st.permutations(range(1, size + 1)))
    heads = [0] * size
    for place, number in enumerate(order):
        heads[number - 1] = draw(st.sampled_from([0, *order[:place]]))
    return heads


@st.composite
def spans(draw: st.DrawFn, size: int) -> list[int]:
    start = draw(st.integers(0, size - 1))
    return [start, draw(st.integers(start + 1, size))]


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    tokens = draw(st.lists(WORDS.filter(str.strip), min_size=1, max_size=5))
    size = len(tokens)
    triplet: st.SearchStrategy[Any] = st.fixed_dictionaries(
        {"aspect": spans(size), "opinion": spans(size), "sentiment": st.sampled_from(["POS", "NEG", "NEU"])}
    )
    record = {"id": draw(WORDS), "tokens": tokens, "triplets": draw(st.lists(triplet, max_size=2))}
    if draw(st.booleans()):
        record |= {"heads": draw(trees(size)), "deprels": draw(st.lists(WORDS, min_size=size, max_size=size))}
    return record


@st.composite
def spoiled(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """A value of JSON in which, as often as not, a part is another value or gone."""
    value = draw(values)
    if draw(st.booleans()):
        return value
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        new = draw(VALUES | st.just(...) | spoiled(st.just(value[key])))
        return {k: new if k == key else v for k, v in value.items() if k != key or new is not ...}
    if isinstance(value, list) and value:
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(VALUES | spoiled(st.just(value[place]))), *value[place + 1 :]]
    return draw(VALUES)


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return values.map(json.dumps)


def lines_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(texts, max_size=4).map("\n".join)


def any_line_ends(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(texts, st.sampled_from(["\n", "\n", "\r\n", "\r"])).map(
        lambda pair: pair[0].replace("\n", pair[1])
    )


CONLLU_COLUMNS = st.tuples(
    st.integers(1, 3).map(str) | st.sampled_from(["1-2", "1.1", "\u00b2", "_", "9" * 5000]) | WORDS,
    *[WORDS | st.just("_")] * 5,
    st.integers(0, 3).map(str) | st.just("_") | WORDS,
    *[st.just("root") | WORDS] * 3,
).map("\t".join)
COMMENTS = st.sampled_from(["# newdoc", "# sent_id = x", "", "#"])

INDICES = st.lists(st.integers(-1, 4), max_size=3)
TRIPLETS = st.lists(st.tuples(INDICES, INDICES, st.sampled_from(["POS", "NEG", "NEU"]) | WORDS), max_size=2)
ASTE_LINES = st.tuples(
    st.lists(WORDS, max_size=5).map(" ".join), TRIPLETS.map(repr) | spoiled(VALUES).map(repr) | st.text(max_size=20)
).map("####".join)
ARC = st.tuples(st.sampled_from(["ROOT", "root", "dep"]), st.integers(0, 5), st.integers(0, 5))


@st.composite
def arcs(draw: st.DrawFn, size: int) -> list[tuple[str, int, int]]:
    """Arcs of one of the parser's sentences, its one root first; one in four is something else."""
    order = draw(st.permutations(range(1, size + 1)))
    found = [("ROOT", 0, word) for word in order[:1]]
    found += [("dep", draw(st.sampled_from(order[:place])), order[place]) for place in range(1, size)]
    return draw(st.sampled_from([found, found, found, draw(st.lists(ARC, max_size=6))]))


@st.composite
def parses(draw: st.DrawFn) -> dict[str, Any]:
    """A parse of "good food", or of much the same."""
    tokens = draw(st.sampled_from([["good", "food"], ["good", "food"], ["good", "food", "!"]]))
    return {"tokens": tokens, "pos": [[token, "X"] for token in tokens], "dependency": draw(arcs(len(tokens)))}


@st.composite
def sentences_with_parse(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[str, int, int]]]:
    """Tokens of a sentence and of a parser that reads them in its own way, with its arcs."""
    tokens = draw(st.lists(WORDS, min_size=1, max_size=5))
    theirs = draw(st.sampled_from([tokens, tokens[:1], list("".join(tokens)), draw(st.lists(WORDS, min_size=1))]))[:6]
    return tokens, theirs, draw(arcs(len(theirs)))


REGIONS = st.sampled_from(["a", "b", "c"])
LABELS = st.sampled_from(["Aspect", "Opinion", "Positive", "Negative"]) | WORDS
OFFSETS = st.integers(-1, 12)
TEXTS = st.sampled_from(["Good food", "The food was \U0001f600 good. Not bad!", "a\ud800b"]) | st.text(max_size=12)
LABEL_STUDIO = st.fixed_dictionaries(
    {
        "id": st.integers(1, 3),
        "data": st.fixed_dictionaries({"text": TEXTS}),
        "annotations": st.lists(
            st.fixed_dictionaries(
                {
                    "result": st.lists(
                        st.fixed_dictionaries(
                            {
                                "type": st.just("labels"),
                                "id": REGIONS,
                                "value": st.fixed_dictionaries(
                                    {"start": OFFSETS, "end": OFFSETS, "labels": st.lists(LABELS, max_size=2)}
                                ),
                            }
                        )
                        | st.fixed_dictionaries(
                            {"type": st.just("relation"), "from_id": REGIONS, "to_id": REGIONS, "labels": st.just([])}
                        ),
                        max_size=4,
                    )
                }
            ),
            max_size=2,
        ),
    }
)
DOCCANO = st.fixed_dictionaries(
    {
        "id": st.integers(1, 3),
        "text": TEXTS,
        "entities": st.lists(
            st.fixed_dictionaries(
                {"id": st.integers(1, 3), "label": LABELS, "start_offset": OFFSETS, "end_offset": OFFSETS}
            ),
            max_size=3,
        ),
        "relations": st.lists(
            st.fixed_dictionaries({"from_id": st.integers(1, 3), "to_id": st.integers(1, 3), "type": LABELS}),
            max_size=2,
        ),
    }
)

CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(['"', ",", '""', "007", "NA"])
PLAIN_CELLS = st.text("abc 7", min_size=1, max_size=8)
CSV_LINES = st.tuples(PLAIN_CELLS, PLAIN_CELLS).map(",".join) | st.lists(CELLS, max_size=3).map(",".join)

# Sets that give strings: each in its forms, with terms that stand in the text, elsewhere, several times, or nowhere.
STRING_TEXTS = st.sampled_from(["Good food, bad food.", "The FOOD was good!", "食 good 食", "good\u200b food"]) | TEXTS
TERMS = st.sampled_from(["food", "good", "bad food", "NULL", "", "oo", "食", "x"]) | st.text(max_size=4)
SENTIMENTS = st.sampled_from(["positive", "NEG", "neutral", "7.5#6.2", "0#1", "conflict"]) | WORDS
QUADS = st.lists(st.tuples(TERMS, WORDS, SENTIMENTS, TERMS) | st.tuples(TERMS, TERMS, SENTIMENTS), max_size=3)
ASQP_LINES = st.tuples(STRING_TEXTS, QUADS.map(repr) | spoiled(VALUES).map(repr)).map("####".join)
RANGES = st.tuples(st.integers(-1, 4), st.integers(-1, 4)).map(lambda pair: f"{pair[0]},{pair[1]}")
ACOS_QUADS = st.tuples(RANGES, st.just("FOOD#X"), st.sampled_from("0123"), RANGES).map(" ".join)
ACOS_LINES = st.lists(ACOS_QUADS, max_size=3).map(lambda quads: "\t".join(["good food , bad", *quads]))
STRING_OBJECTS = st.fixed_dictionaries(
    {
        "ID": WORDS,
        "Text": STRING_TEXTS,
        "Quadruplet": st.lists(
            st.fixed_dictionaries({"Aspect": TERMS | st.none(), "Opinion": TERMS, "VA": SENTIMENTS}), max_size=3
        ),
    }
)
STRING_ROWS = st.tuples(STRING_TEXTS.map(lambda text: f'"{text}"'), TERMS, TERMS, SENTIMENTS).map(",".join)
STRING_CSV = st.tuples(
    st.sampled_from(["text,aspect,opinion,sentiment", "text, aspect, opinion, sentiment", "text,aspect"]),
    lines_of(STRING_ROWS | CSV_LINES),
).map("\n".join)
HOW = st.sampled_from(["stop", "skip", "unknown"])

# Few sentences, so that files share them.
SHARED = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b"]) | WORDS,
        "tokens": st.sampled_from([["good"], ["Good"], ["go", "od"], ["bad", "food"]]),
        "triplets": st.sampled_from([None, [], [{"aspect": [0, 1], "opinion": [0, 1], "sentiment": "POS"}]]),
    }
)
RECORD_FILES = lines_of(as_json(SHARED | SHARED | SHARED | spoiled(SHARED)))
LINED_TEXTS = st.lists(st.sampled_from(["good", "food", " ", "\n", "\r\n", "\r", "é", "."]), max_size=9).map("".join)

MARKED_WORDS = st.sampled_from(
    [
        "good",
        "food",
        "I",
        ".",
        "-",
        "*",
        "_",
        "\u200b",
        "\u00ad",
        "\u200d",
        " ",
        "\n",
        "com",
        "1",
        "n't",
        "食",
        "😀",
        "\u0301",
    ]
)
HEADERS = st.sampled_from(["text,id", "id, text", "text ,id", "id", "text,text ", '"text', "\ufefftext,id"])
CSV = st.tuples(HEADERS, lines_of(CSV_LINES)).map("\n".join)
NO_TEXTS = st.none() | st.just(float("nan"))
JSON_ROWS = lines_of(as_json(spoiled(st.fixed_dictionaries({"text": TEXTS | NO_TEXTS, "id": st.integers(0, 9)}))))

KNOWN = {f.name for group in (ModelArguments, ConfigArguments, DataArguments, TripletTrainingArguments)
         for f in fields(group) if f.init}  # fmt: skip
YAML_VALUES = (
    LEAVES.map(json.dumps) | st.text(max_size=12) | as_json(VALUES) | st.sampled_from(["*a", "&a [*a]", "!!x"])
)
YAML = lines_of(st.tuples(st.sampled_from(sorted(KNOWN)) | WORDS, YAML_VALUES).map(": ".join))
CONFIG_FIELDS = sorted(f.name for f in fields(D2E2SConfig))
SUM_LINES = st.tuples(st.text("0123456789abcdef", max_size=64), st.sampled_from(["x", "../x", "/etc/passwd", "", "y"]))


# --- readers ----------------------------------------------------------------------------------------------


def read_and_write_records(content: bytes, folder: Path) -> None:
    path = write(folder / "x.jsonl", content)
    found = read_records(path)
    for suffix in (".jsonl", ".parquet"):
        write_records(folder / f"y{suffix}", found)
        known = [{key: row[key] for key in ("id", "tokens", "triplets")} for row in found]
        again = read_records(folder / f"y{suffix}")
        assert [{key: row[key] for key in ("id", "tokens", "triplets")} for row in again] == known


def read_treebank(content: bytes, folder: Path) -> None:
    for document in read_conllu(write(folder / "x.conllu", content)):
        assert document and all(is_tree(record["heads"]) for record in document)


def read_aste_line(line: str, folder: Path) -> None:
    tokens, triplets, _ = parse_line(line, "x:1")
    validate_record({"id": "x", "tokens": tokens, "triplets": triplets}, "x:1")


def read_parses(content: bytes, folder: Path) -> None:
    book = ParseBook(write(folder / "x.json", content))
    parse, _ = book.find(["good", "food"], 0)
    repair((["good", "food"], [pair[0] for pair in parse["pos"]], parse["dependency"]), folder)


def repair(value: tuple[list[str], list[str], list[Any]], folder: Path) -> None:
    tokens, parser_tokens, arcs = value
    tree = transfer(tokens, read_arcs(parser_tokens, arcs))
    assert len(tree.heads) == len(tree.deprels) == len(tokens) and is_tree(tree.heads)


def convert(read: Callable[..., Any], on_error: str) -> Callable[[bytes, Path], None]:
    def run(content: bytes, folder: Path) -> None:
        path = write(folder / "x.json", content)
        options = parse_arguments("", ["--input", str(path), "--output_dir", str(folder), "--on_error", on_error])
        report = Report(on_error)
        to_records = Converter(options, report)
        for document in read(path, options, report):
            for record in to_records(document):
                validate_record(record, "x")

    return run


def place_strings(suffix: str) -> Callable[[tuple[str, str, bytes], Path], None]:
    def run(value: tuple[str, str, bytes], folder: Path) -> None:
        on_error, implicit, content = value
        path = write(folder / f"x{suffix}", content)
        words = ["--input", str(path), "--output_dir", str(folder), "--on_error", on_error, "--implicit", implicit]
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

    return run


def read_aste_split(value: tuple[str, str, bytes], folder: Path) -> None:
    on_error, implicit, content = value
    options = argparse.Namespace(on_error=on_error, implicit=implicit, sentiments=[], max_words=3, max_span_width=2)
    found, report = read_split("x", "train", write(folder / "x.txt", content), options)
    assert report.faults or len({record["id"] for record in found}) == len(found)
    for record in found:
        validate_record(record, "x")
        assert len(record["tokens"]) <= options.max_words


def check_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    found = check_records(rows, "x")
    write_records(folder / "x.jsonl", found)
    assert len(read_records(folder / "x.jsonl")) == len(rows)


def realign(value: tuple[str, list[tuple[int, int]]], folder: Path) -> None:
    text, places = value
    spans = {str(number): Span(*place, ["Aspect"]) for number, place in enumerate(places)}
    document, report = Document("x", "x", text, dict(spans), []), Report()
    found = realigned(document, report).spans
    faults, left = (sum(off_borders(text, *span[:2]) for span in some.values()) for some in (spans, found))
    assert document.text == text and found.keys() == spans.keys()
    assert found == spans or (left < faults and report.findings)
    assert found == spans or all(0 <= span.start < span.end <= len(text) for span in found.values())


def join_files(contents: tuple[str, str, str], folder: Path) -> None:
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


def read_rows(suffix: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        table = read_table(str(write(folder / f"x{suffix}", content)))
        check_columns(table, TEXT_COLUMN)
        for batch, texts in table.texts(TEXT_COLUMN):
            assert all(len(column) == len(texts) for column in batch.values())

    return read


def split_words(text: str, folder: Path) -> None:
    for name, version in product(WORD_SPLITTERS, (1, 2)):
        words = WordSplitter(name, version)(text)
        assert all(text[word.start : word.end] == word.text for word in words)
        assert all(one.end <= next_.start for one, next_ in pairwise(words))
        left = set(range(len(text))).difference(*(range(word.start, word.end) for word in words))
        assert all(is_blank(text[place]) for place in left)
        assert [word for sentence in split_sentences(text, words) for word in sentence] == words


def read_parquet(value: Any, folder: Path) -> None:
    content = value if isinstance(value, bytes) else parquet_of(value)
    read_rows(".parquet")(content, folder)


def parquet_of(rows: list[Any]) -> bytes:
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({TEXT_COLUMN: pyarrow.array(rows, pyarrow.string())}), buffer)
    return buffer.getvalue().to_pybytes()


def read_configuration(content: bytes, folder: Path) -> None:
    source = _file_arguments(write(folder / "x.yaml", content), KNOWN)
    assert all(isinstance(word, str) for word in source.words) and source.unset <= KNOWN


def read_model_configuration(value: dict[str, Any], folder: Path) -> None:
    config = D2E2SConfig.from_dict(value)
    assert config.head_size > 0 and config.sentiment_labels


def read_checksums(lines: list[tuple[str, str]], folder: Path) -> None:
    write(folder / "x", b"x")
    write(folder / SUMS, "".join(f"{digest}  {name}\n" for digest, name in lines).encode())
    assert not check(folder)  # no digest of these is right


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


ROW_COUNT = st.lists(st.none() | TEXTS.filter(lambda text: "\ud800" not in text), max_size=3)
READERS: dict[str, Reader] = {
    "records": Reader(damaged(lines_of(as_json(spoiled(records())))), read_and_write_records),
    "conllu": Reader(damaged(lines_of(CONLLU_COLUMNS | COMMENTS)), read_treebank),
    "aste_text": Reader(ASTE_LINES, read_aste_line),
    "aste_parses": Reader(
        damaged(as_json(spoiled(st.lists(spoiled(parses()), max_size=2)))), read_parses, (ValueError, OSError)
    ),
    "parse_repair": Reader(sentences_with_parse(), repair, (ValueError,)),
    "label_studio": Reader(
        damaged(as_json(st.lists(spoiled(LABEL_STUDIO), max_size=2))), convert(read_label_studio, "stop")
    ),
    "label_studio_skip": Reader(
        damaged(as_json(st.lists(spoiled(LABEL_STUDIO), max_size=2))), convert(read_label_studio, "skip")
    ),
    "doccano": Reader(damaged(lines_of(as_json(spoiled(DOCCANO)))), convert(read_doccano, "stop")),
    "doccano_skip": Reader(damaged(lines_of(as_json(spoiled(DOCCANO)))), convert(read_doccano, "skip")),
    "strings_lines": Reader(st.tuples(HOW, HOW, damaged(lines_of(ASQP_LINES | ACOS_LINES))), place_strings(".txt")),
    "strings_json": Reader(
        st.tuples(HOW, HOW, damaged(lines_of(as_json(spoiled(STRING_OBJECTS))))), place_strings(".jsonl")
    ),
    "strings_table": Reader(st.tuples(HOW, HOW, damaged(any_line_ends(STRING_CSV))), place_strings(".csv")),
    "aste_split": Reader(st.tuples(HOW, HOW, damaged(lines_of(ASTE_LINES))), read_aste_split),
    "rows": Reader(st.lists(spoiled(records()).filter(lambda row: isinstance(row, dict)), max_size=3), check_rows),
    "line_ends": Reader(st.tuples(LINED_TEXTS, st.lists(st.tuples(OFFSETS, OFFSETS), max_size=3)), realign),
    "join": Reader(st.tuples(RECORD_FILES, RECORD_FILES, RECORD_FILES), join_files),
    "table_csv": Reader(damaged(any_line_ends(CSV)), read_rows(".csv")),
    "table_tsv": Reader(damaged(any_line_ends(CSV.map(lambda text: text.replace(",", "\t")))), read_rows(".tsv")),
    "table_jsonl": Reader(damaged(any_line_ends(JSON_ROWS)), read_rows(".jsonl")),
    "table_txt": Reader(damaged(any_line_ends(st.text(max_size=40))), read_rows(".txt")),
    "words": Reader(st.lists(MARKED_WORDS | st.text(max_size=4), max_size=12).map("".join), split_words),
    "table_parquet": Reader(ROW_COUNT | damaged(st.just("PAR1")), read_parquet),
    "run_configuration": Reader(damaged(YAML), read_configuration),
    "model_configuration": Reader(
        st.dictionaries(st.sampled_from(CONFIG_FIELDS), VALUES, max_size=3),
        read_model_configuration,
        (ValueError, StrictDataclassError),
    ),
    "checksums": Reader(st.lists(SUM_LINES, max_size=3), read_checksums),
}


# --- running ----------------------------------------------------------------------------------------------


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hang` after that long; on systems that have alarms."""

    def ring(*_: Any) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(reader: Reader, examples: int, number: int, seconds: float = SECONDS) -> Outcome:
    """Feed a reader `examples` inputs, drawn with the seed `number`."""
    outcome = Outcome()
    started = time.perf_counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs)
    def feed(value: Any) -> None:
        outcome.examples += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                with time_limit(seconds):
                    reader.read(value, Path(folder))
                outcome.accepted += 1
            except reader.refusals:
                outcome.refused += 1
            except (Exception, Hang) as error:
                outcome.fail(error, value)

    feed()
    outcome.seconds = round(time.perf_counter() - started, 1)
    return outcome


def run(examples: int, number: int, names: Sequence[str]) -> dict[str, Any]:
    """The report: counts of each reader, which share the examples evenly, and their sums."""
    outcomes = {}
    for name in names:
        outcomes[name] = vars(fuzz(READERS[name], -(-examples // len(names)), number))
        print(name, {key: value for key, value in outcomes[name].items() if key != "kinds"}, flush=True)
    total: Counter[str] = Counter()
    for outcome in outcomes.values():
        total.update({key: outcome[key] for key in ("examples", "accepted", "refused", "failures")})
    return {"seed": number, **total, "readers": outcomes}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Feed every reader generated input.")
    parser.add_argument("--examples", type=int, default=100_000, help="inputs of all readers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="+", choices=list(READERS), default=list(READERS), metavar="NAME")
    parser.add_argument("--out", type=Path, required=True, help="the report, JSON")
    options = parser.parse_args(argv)
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    report = run(options.examples, options.seed, options.readers)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print({key: value for key, value in report.items() if key != "readers"})
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
