"""What `test_fuzz.py` feeds to the readers: good input, and the same spoilt, cut off or with bytes put in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

import pyarrow
import pyarrow.parquet
from hypothesis import strategies as st

from d2e2s.configuration_d2e2s import D2E2SConfig
from d2e2s.prediction.text_lines import TEXT_COLUMN
from d2e2s.training.arguments import ConfigArguments, DataArguments, ModelArguments, TripletTrainingArguments

NO_SURROGATES = st.characters(exclude_categories=["Cs"])
ODD_WORDS = ["good", "food", "n't", "(", "##", "####", "NULL", "-LRB-", "\u00b2", "\ufeff", "\x85", "\u2028"]
WORDS = st.text(NO_SURROGATES, min_size=1, max_size=6) | st.sampled_from(ODD_WORDS)
TEXTS = st.sampled_from(["Good food", "The food was \U0001f600 good. Not bad!", "a\ud800b"]) | st.text(max_size=12)
NUMBERS = st.integers(-2, 6) | st.integers() | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | WORDS | st.sampled_from(["POS", "\ud800", "9" * 5000])
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(WORDS, v, max_size=4), max_leaves=8)
SENTIMENTS = st.sampled_from(["POS", "NEG", "NEU"])
HOW = st.sampled_from(["stop", "skip", "unknown"])


# --- what spoils, and what makes files --------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """A text as bytes; one in two is cut off, or has bytes put in."""
    content = draw(texts).encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(content)))
    end = draw(st.sampled_from([content[place:]] * 3 + [b""]))
    return content[:place] + draw(st.just(b"") | st.just(b"") | st.binary(max_size=4)) + end


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


def json_lines(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return lines_of(as_json(spoiled(values)))


def any_line_ends(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda text, end: text.replace("\n", end), texts, st.sampled_from(["\n", "\n", "\r\n", "\r"]))


# --- records and trees ------------------------------------------------------------------------------------


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
    triplet = st.fixed_dictionaries({"aspect": spans(size), "opinion": spans(size), "sentiment": SENTIMENTS})
    record = {"id": draw(WORDS), "tokens": tokens, "triplets": draw(st.lists(triplet, max_size=2))}
    if draw(st.booleans()):
        record |= {"heads": draw(trees(size)), "deprels": draw(st.lists(WORDS, min_size=size, max_size=size))}
    return record


RECORD_LINES = damaged(json_lines(records()))
ROWS = st.lists(spoiled(records()).filter(lambda row: isinstance(row, dict)), max_size=3)

# Few sentences, so that files share them.
SHARED = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b"]) | WORDS,
        "tokens": st.sampled_from([["good"], ["Good"], ["go", "od"], ["bad", "food"]]),
        "triplets": st.sampled_from([None, [], [{"aspect": [0, 1], "opinion": [0, 1], "sentiment": "POS"}]]),
    }
)
SHARED_LINES = lines_of(as_json(SHARED | SHARED | SHARED | spoiled(SHARED)))

CONLLU_LINES = st.tuples(
    st.integers(1, 3).map(str) | st.sampled_from(["1-2", "1.1", "\u00b2", "_", "9" * 5000]) | WORDS,
    *[WORDS | st.just("_")] * 5,
    st.integers(0, 3).map(str) | st.just("_") | WORDS,
    *[st.just("root") | WORDS] * 3,
).map("\t".join)
CONLLU = damaged(lines_of(CONLLU_LINES | st.sampled_from(["# newdoc", "# sent_id = x", "", "#"])))


# --- ASTE text and its parses -----------------------------------------------------------------------------

INDICES = st.lists(st.integers(-1, 4), max_size=3)
TRIPLETS = st.lists(st.tuples(INDICES, INDICES, SENTIMENTS | WORDS), max_size=2)
ASTE_LINES = st.tuples(
    st.lists(WORDS, max_size=5).map(" ".join), TRIPLETS.map(repr) | spoiled(VALUES).map(repr) | st.text(max_size=20)
).map("####".join)
ASTE_TEXT = damaged(lines_of(ASTE_LINES))
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
    tokens = ["good", "food", *draw(st.sampled_from([[], [], ["!"]]))]
    return {"tokens": tokens, "pos": [[token, "X"] for token in tokens], "dependency": draw(arcs(len(tokens)))}


@st.composite
def parsed_sentences(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[str, int, int]]]:
    """Tokens of a sentence and of a parser that reads them in its own way, with its arcs."""
    tokens = draw(st.lists(WORDS, min_size=1, max_size=5))
    theirs = draw(st.sampled_from([tokens, tokens[:1], list("".join(tokens)), draw(st.lists(WORDS, min_size=1))]))[:6]
    return tokens, theirs, draw(arcs(len(theirs)))


PARSES = damaged(as_json(spoiled(st.lists(spoiled(parses()), max_size=2))))


# --- annotation tools -------------------------------------------------------------------------------------

REGIONS = st.sampled_from(["a", "b", "c"])
NUMBERED = st.integers(1, 3)
OFFSETS = st.integers(-1, 12)
LABELS = st.sampled_from(["Aspect", "Opinion", "Positive", "Negative"]) | WORDS
MARK = st.fixed_dictionaries({"start": OFFSETS, "end": OFFSETS, "labels": st.lists(LABELS, max_size=2)})
REGION = st.fixed_dictionaries({"type": st.just("labels"), "id": REGIONS, "value": MARK})
RELATION = st.fixed_dictionaries(
    {"type": st.just("relation"), "from_id": REGIONS, "to_id": REGIONS, "labels": st.just([])}
)
ANNOTATION = st.fixed_dictionaries({"result": st.lists(REGION | RELATION, max_size=4)})
TASK = st.fixed_dictionaries(
    {
        "id": NUMBERED,
        "data": st.fixed_dictionaries({"text": TEXTS}),
        "annotations": st.lists(ANNOTATION, max_size=2),
    }
)
LABEL_STUDIO = damaged(as_json(st.lists(spoiled(TASK), max_size=2)))

ENTITY = st.fixed_dictionaries({"id": NUMBERED, "label": LABELS, "start_offset": OFFSETS, "end_offset": OFFSETS})
LINK = st.fixed_dictionaries({"from_id": NUMBERED, "to_id": NUMBERED, "type": LABELS})
DOCUMENT = st.fixed_dictionaries(
    {
        "id": NUMBERED,
        "text": TEXTS,
        "entities": st.lists(ENTITY, max_size=3),
        "relations": st.lists(LINK, max_size=2),
    }
)
DOCCANO = damaged(json_lines(DOCUMENT))

LINED_TEXTS = st.lists(st.sampled_from(["good", "food", " ", "\n", "\r\n", "\r", "é", "."]), max_size=9).map("".join)
PLACES = st.lists(st.tuples(OFFSETS, OFFSETS), max_size=3)


# --- tables and words -------------------------------------------------------------------------------------

CELLS = st.text(NO_SURROGATES, max_size=8) | st.sampled_from(['"', ",", '""', "007", "NA"])
PLAIN_CELLS = st.text("abc 7", min_size=1, max_size=8)
CSV_LINES = st.tuples(PLAIN_CELLS, PLAIN_CELLS).map(",".join) | st.lists(CELLS, max_size=3).map(",".join)
HEADERS = st.sampled_from(["text,id", "id, text", "text ,id", "id", "text,text ", '"text', "\ufefftext,id"])
CSV_TEXTS = st.tuples(HEADERS, lines_of(CSV_LINES)).map("\n".join)
CSV = damaged(any_line_ends(CSV_TEXTS))
TSV = damaged(any_line_ends(CSV_TEXTS.map(lambda text: text.replace(",", "\t"))))
NO_TEXTS = st.none() | st.just(float("nan"))
JSON_ROWS = st.fixed_dictionaries({"text": TEXTS | NO_TEXTS, "id": st.integers(0, 9)})
JSONL = damaged(any_line_ends(json_lines(JSON_ROWS)))
TEXT_LINES = damaged(any_line_ends(st.text(max_size=40)))


def parquet_of(rows: list[str | None]) -> bytes:
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({TEXT_COLUMN: pyarrow.array(rows, pyarrow.string())}), buffer)
    return buffer.getvalue().to_pybytes()


GOOD_TEXTS = TEXTS.filter(lambda text: "\ud800" not in text)
PARQUET = st.lists(st.none() | GOOD_TEXTS, max_size=3).map(parquet_of) | damaged(st.just("PAR1"))

MARKED_WORDS = st.sampled_from(["good", "food", "com", "n't", *"I1.-*_食😀 \n\u200b\u00ad\u200d\u0301"])
MARKED_TEXTS = st.lists(MARKED_WORDS | st.text(max_size=4), max_size=12).map("".join)


# --- sets that give strings, with terms that stand in the text, elsewhere, several times, or nowhere -------

STRING_TEXTS = st.sampled_from(["Good food, bad food.", "The FOOD was good!", "食 good 食", "good\u200b food"]) | TEXTS
TERMS = st.sampled_from(["food", "good", "bad food", "NULL", "", "oo", "食", "x"]) | st.text(max_size=4)
POLARITIES = st.sampled_from(["positive", "NEG", "neutral", "7.5#6.2", "0#1", "conflict"]) | WORDS
QUADS = st.lists(st.tuples(TERMS, WORDS, POLARITIES, TERMS) | st.tuples(TERMS, TERMS, POLARITIES), max_size=3)
ASQP_LINES = st.tuples(STRING_TEXTS, QUADS.map(repr) | spoiled(VALUES).map(repr)).map("####".join)
RANGES = st.builds("{},{}".format, st.integers(-1, 4), st.integers(-1, 4))
ACOS_QUADS = st.tuples(RANGES, st.just("FOOD#X"), st.sampled_from("0123"), RANGES).map(" ".join)
ACOS_LINES = st.lists(ACOS_QUADS, max_size=3).map(lambda quads: "\t".join(["good food , bad", *quads]))
STRING_LINES = damaged(lines_of(ASQP_LINES | ACOS_LINES))

QUADRUPLETS = st.fixed_dictionaries({"Aspect": TERMS | st.none(), "Opinion": TERMS, "VA": POLARITIES})
STRING_OBJECTS = st.fixed_dictionaries(
    {"ID": WORDS, "Text": STRING_TEXTS, "Quadruplet": st.lists(QUADRUPLETS, max_size=3)}
)
STRING_JSON = damaged(json_lines(STRING_OBJECTS))

STRING_HEADERS = ["text,aspect,opinion,sentiment", "text, aspect, opinion, sentiment", "text,aspect"]
STRING_ROWS = st.tuples(STRING_TEXTS.map('"{}"'.format), TERMS, TERMS, POLARITIES).map(",".join)
STRING_CSV = damaged(
    any_line_ends(st.tuples(st.sampled_from(STRING_HEADERS), lines_of(STRING_ROWS | CSV_LINES)).map("\n".join))
)


# --- configurations and checksums -------------------------------------------------------------------------

GROUPS = (ModelArguments, ConfigArguments, DataArguments, TripletTrainingArguments)
KNOWN = {field.name for group in GROUPS for field in fields(group) if field.init}
ODD_YAML = st.sampled_from(["*a", "&a [*a]", "!!x"])
YAML_VALUES = LEAVES.map(json.dumps) | st.text(max_size=12) | as_json(VALUES) | ODD_YAML
YAML = damaged(lines_of(st.tuples(st.sampled_from(sorted(KNOWN)) | WORDS, YAML_VALUES).map(": ".join)))
CONFIG_FIELDS = sorted(field.name for field in fields(D2E2SConfig))
CONFIG = st.dictionaries(st.sampled_from(CONFIG_FIELDS), VALUES, max_size=3)
DIGESTS = st.text("0123456789abcdef", max_size=64) | st.just(hashlib.sha256(b"x").hexdigest())
SUMS = lines_of(st.tuples(DIGESTS, st.sampled_from(["x", "../x", "/etc/passwd", "", "y"])).map("  ".join))
