"""The forms of sets that give aspects and opinions as strings, or as word indices: lines, JSON objects, tables."""

import argparse
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from d2e2s.data_scripts.aste_lines import read_literal
from d2e2s.data_scripts.documents import read_text
from d2e2s.data_scripts.records import RecordError, parse_json

ORDERS = {3: ["aspect", "opinion", "sentiment"], 4: ["aspect", "category", "sentiment", "opinion"]}
LINE_FORM = (
    "text####[['aspect', 'category', 'positive', 'opinion'], ...], or text and, with tabs, '0,2 FOOD#QUALITY 2 3,4'"
)
ACOS_QUAD = re.compile(r"(-?\d{1,6}),(-?\d{1,6}) (\S+) ([012]) (-?\d{1,6}),(-?\d{1,6})")
ACOS_SENTIMENTS = {"0": "negative", "1": "neutral", "2": "positive"}
JSON_FORM = "an object with a text and a list of objects with an aspect, an opinion and a sentiment"
VALENCES = (1, 9)


class Term(NamedTuple):
    """An aspect or an opinion: a string, or a place in the text that is known; neither is an implicit one."""

    text: str = ""
    place: tuple[int, int] | None = None

    @property
    def is_implicit(self) -> bool:
        return self.place is None and self.text.strip().casefold() in ("", "null")


class Triplet(NamedTuple):
    """What a file says of a text."""

    aspect: Term
    opinion: Term
    sentiment: str


class Source(NamedTuple):
    """A text of a file; `where` is for messages."""

    id: str
    where: str
    text: str
    triplets: list[Triplet]


OnFault = Callable[[str, RecordError], None]  # of the text of this name, which is then left out


def read_sources(path: Path, options: argparse.Namespace, on_fault: OnFault) -> Iterator[Source]:
    """The texts of a file in the form that its name says. Raises RecordError: it cannot be read at all."""
    forms = {".csv": read_table, ".tsv": read_table, ".json": read_objects, ".jsonl": read_objects}
    return forms.get(path.suffix.lower(), read_lines)(path, options, on_fault)


# --- lines ------------------------------------------------------------------------------------------------


def read_lines(path: Path, options: argparse.Namespace, on_fault: OnFault) -> Iterator[Source]:
    """Lines of ASQP or ACOS."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            text, triplets = _asqp(line, where, options.order) if "####" in line else _acos(line, where)
            yield Source(str(number), where, text, triplets)
        except RecordError as error:
            on_fault(f"line {number}", error)


def _asqp(line: str, where: str, given: list[str] | None) -> tuple[str, list[Triplet]]:
    text, _, quads = line.partition("####")
    triplets = []
    for item in read_literal(quads, where, LINE_FORM):
        values = list(item) if isinstance(item, list | tuple) else [item]
        order = given or ORDERS.get(len(values), ORDERS[4])
        if len(values) != len(order) or not all(isinstance(value, str) for value in values):
            raise RecordError(where, f"{item!r:.60}", f"strings of {', '.join(order)}; another order goes to --order")
        named = dict(zip(order, values, strict=True))
        triplets.append(Triplet(Term(named["aspect"]), Term(named["opinion"]), named["sentiment"]))
    return text.strip(), triplets


def _acos(line: str, where: str) -> tuple[str, list[Triplet]]:
    text, *quads = line.split("\t")
    if not quads:
        raise RecordError(where, f"neither '####' nor a tab in {line!r:.60}", LINE_FORM)
    words = [match.span() for match in re.finditer(r"\S+", text)]
    triplets = []
    for quad in filter(None, map(str.strip, quads)):
        found = ACOS_QUAD.fullmatch(quad)
        if found is None:
            raise RecordError(where, f"{quad!r:.60}", LINE_FORM)
        aspect, opinion = (_at(int(found[i]), int(found[i + 1]), words, where) for i in (1, 5))
        triplets.append(Triplet(aspect, opinion, ACOS_SENTIMENTS[found[4]]))
    return text, triplets


def _at(first: int, end: int, words: Sequence[tuple[int, int]], where: str) -> Term:
    if (first, end) == (-1, -1):
        return Term()
    if not 0 <= first < end <= len(words):
        raise RecordError(where, f"words {first},{end} are out of range", f"0 <= first < end <= {len(words)}")
    return Term(place=(words[first][0], words[end - 1][1]))


# --- JSON -------------------------------------------------------------------------------------------------


def read_objects(path: Path, options: argparse.Namespace, on_fault: OnFault) -> Iterator[Source]:
    """JSON objects, one a line or in a list."""
    content = read_text(path)
    items: list[Any] = content.split("\n")
    if content.lstrip().startswith("["):
        items = parse_json(content, str(path), JSON_FORM)
    for number, item in enumerate(items, start=1):
        where = f"{path}:{number}"
        if isinstance(item, str) and not item.strip():
            continue
        try:
            item = parse_json(item, where, JSON_FORM) if isinstance(item, str) else item
            yield _source(_fields(item, where), str(number), where, options)
        except RecordError as error:
            on_fault(f"text {number}", error)


def _fields(item: Any, where: str) -> dict[str, Any]:
    """The fields of an object by their names in small letters."""
    if not isinstance(item, dict):
        raise RecordError(where, f"{item!r:.60} is no object", JSON_FORM)
    return {key.casefold().strip(): value for key, value in item.items()}


def _source(fields: dict[str, Any], number: str, where: str, options: argparse.Namespace) -> Source:
    text, name = fields.get(options.text_column.casefold()), str(fields.get("id", number))
    if not isinstance(text, str):
        what = f"{options.text_column} is {text!r:.60}"
        raise RecordError(where, what, f"text; its fields are {', '.join(fields):.200}: name it with --text_column")
    lists = [value for value in fields.values() if isinstance(value, list) and all(isinstance(x, dict) for x in value)]
    lists = [value for value in lists if value] or lists[:1]
    if len(lists) != 1:
        raise RecordError(where, f"{len(lists)} lists of objects", JSON_FORM)
    return Source(name, where, text, [_triplet(_fields(each, where), where, options) for each in lists[0]])


def _triplet(fields: dict[str, Any], where: str, options: argparse.Namespace) -> Triplet:
    aspect, opinion = (fields.get(name.casefold(), ...) for name in (options.aspect_column, options.opinion_column))
    names = (options.sentiment_column.casefold(), "polarity", "va")
    sentiment = next((fields[name] for name in names if fields.get(name) is not None), None)
    aspect, opinion = aspect or "", opinion or ""
    if not (isinstance(aspect, str) and isinstance(opinion, str) and isinstance(sentiment, str)):
        raise RecordError(where, f"{fields!r:.80}", "an aspect, an opinion and a sentiment, as text")
    return Triplet(Term(aspect), Term(opinion), _named(sentiment, where, options))


def _named(sentiment: str, where: str, options: argparse.Namespace) -> str:
    """The sentiment; of a valence and an arousal such as `7.50#6.25` what the valence says."""
    valence, mark, _ = sentiment.partition("#")
    if not mark:
        return sentiment
    try:
        value = float(valence)
    except ValueError:
        value = float("nan")
    if not VALENCES[0] <= value <= VALENCES[1]:
        raise RecordError(where, f"valence {sentiment!r:.40}", "a number from 1 to 9, as in 7.50#6.25")
    low, high = options.neutral_valence
    return "positive" if value > high else "negative" if value < low else "neutral"


# --- tables -----------------------------------------------------------------------------------------------


def read_table(path: Path, options: argparse.Namespace, on_fault: OnFault) -> Iterator[Source]:
    """A table with a row for each triplet; the rows of one text are one text."""
    content = io.StringIO(read_text(path).replace("\r\n", "\n").replace("\r", "\n"))
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = csv.reader(content, delimiter=delimiter, skipinitialspace=True)
    try:
        names, *lines = [[cell.strip() for cell in row] + [str(rows.line_num)] for row in rows if any(row)] or [[""]]
    except csv.Error as error:
        raise RecordError(f"{path}:{rows.line_num}", str(error), "rows of a table") from None
    wanted = [getattr(options, f"{name}_column") for name in ("text", "aspect", "opinion", "sentiment")]
    for name in wanted:
        if name not in names[:-1]:
            how = "name yours with --text_column, --aspect_column, --opinion_column, --sentiment_column"
            raise RecordError(f"{path}:1", f"no column {name!r} among {', '.join(names[:-1]):.200}", how)
    sources: dict[str, Source] = {}
    for row in lines:
        where = f"{path}:{row[-1]}"
        if len(row) != len(names):
            what, expected = f"{len(row) - 1} columns", f"{len(names) - 1}, as in the first line"
            on_fault(f"line {row[-1]}", RecordError(where, what, expected))
            continue
        text, aspect, opinion, sentiment = (row[names.index(name)] for name in wanted)
        source = sources.setdefault(text, Source(str(len(sources) + 1), where, text, []))
        if aspect or opinion or sentiment:
            source.triplets.append(Triplet(Term(aspect), Term(opinion), sentiment))
    yield from sources.values()
