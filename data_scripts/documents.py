"""Annotated texts as a reader of exports gives them, and what it found on the way."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from d2e2s.data_scripts.records import RecordError, parse_json
from d2e2s.words_d2e2s import without_surrogates


class Span(NamedTuple):
    """A marked piece of text, in characters, half open."""

    start: int
    end: int
    labels: list[str]
    text: str | None = None  # what the tool says it is, if it does


class Link(NamedTuple):
    """A relation between two spans, in any direction."""

    source: str
    target: str
    labels: list[str]


class Doubt(NamedTuple):
    """Characters [start, end) that a mark which could not be used speaks of: their sentences lack a triplet."""

    start: int
    end: int
    how: str  # "skip" leaves such a sentence out, "unknown" says that its triplets are not known


@dataclass
class Document:
    """An annotated text. `where` is its file and place, for messages."""

    id: str
    where: str
    text: str
    spans: dict[str, Span]
    links: list[Link]
    doubts: list[Doubt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = without_surrogates(self.text)


@dataclass
class Report:
    """Collects findings: what in the export is not as it should be, or training should know; and what was done.

    A *fault* stops the run if `on_error` is "stop", else the mark that it concerns is left out: the sentence too, if it
    is "skip"; if it is "unknown", the sentence's triplets are not known.
    """

    on_error: str = "stop"
    findings: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # kind, and what `report.json` says of it

    def note(self, id: str, kind: str, text: str, what: str, done: str) -> None:
        self.findings.append((kind, {"id": id, "text": text, "what": what, "done": done}))

    def fault(self, id: str, kind: str, text: str, error: RecordError) -> None:
        if self.on_error == "stop":
            raise error
        self.note(id, kind, text, str(error), "left out")


class Fault(RecordError):
    """A fault of one annotation; `kind` and `text` are for the report."""

    def __init__(self, kind: str, text: str, where: str, what: str, expected: str) -> None:
        super().__init__(where, what, expected)
        self.kind, self.text = kind, text


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        RecordError: not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(str(path), f"byte {error.start} is not UTF-8", "UTF-8 text") from None


def read_list(path: Path, expected: str) -> list[Any]:
    """The list in a file of JSON.

    Raises:
        RecordError: not UTF-8, no JSON, or no list.
    """
    items = parse_json(read_text(path), str(path), expected)
    if not isinstance(items, list):
        raise RecordError(str(path), f"a JSON {type(items).__name__}", expected)
    return items


def member(item: Any, key: str, kinds: type | tuple[type, ...], where: str, expected: str) -> Any:
    """`item[key]`.

    Raises:
        RecordError: `item` is no object, or has nothing of these types under `key`.
    """
    if not isinstance(item, dict):
        raise RecordError(where, f"{item!r:.60} is no object", expected)
    if not isinstance(item.get(key), kinds) or isinstance(item[key], bool):
        raise RecordError(where, f"{key} is {item.get(key)!r:.60}", expected)
    return item[key]


def inside_word(text: str, place: int) -> bool:
    """Whether a letter or digit stands on both sides of a place in a text."""
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def collect(documents: Iterable[Document], report: Report) -> list[Document]:
    """The documents with a text, each id once.

    Raises:
        RecordError: an id a second time, unless faults are to be skipped.
    """
    found: dict[str, Document] = {}
    for document in documents:
        if document.id in found:
            error = RecordError(document.where, f"id {document.id} a second time", "each id once")
            report.fault(document.id, "duplicate id", document.text[:60], error)
        elif not document.text.strip():
            report.note(document.id, "empty text", "", document.where, "left out")
        else:
            found[document.id] = document
    return list(found.values())
