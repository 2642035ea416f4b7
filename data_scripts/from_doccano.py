"""A Doccano export with relations to records.

    python data_scripts/from_doccano.py --input all.jsonl --output_dir data/mine

The project is of the type "Sequence Labeling" with relations, exported as "JSONL(Relation)": a text a line with its
`entities` and `relations`. The sentiment is the type of the relation, or else the label of the opinion or the aspect
(as in `--opinion_label Good Bad --positive Good --negative Bad`).

Doccano does not say which texts were looked at: tick "Export only approved documents", or every text without an entity
is taken for one that has no triplet.

The export has no text of a span to compare: where spans begin or end inside words, and do not if each line end of the
text is counted as one character more or less, as Windows and browsers differ in it, they are moved, with a finding.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from d2e2s.data_scripts import annotations as _annotations
from d2e2s.data_scripts.documents import Document, Link, Report, Span, collect, inside_word, member
from d2e2s.data_scripts.records import RecordError, parse_json, utf8_lines

EXPECTED = 'a line of the "JSONL(Relation)" export, with text, entities and relations'


def read_doccano(path: Path, options: argparse.Namespace, report: Report) -> list[Document]:
    """The texts of an export.

    Raises:
        RecordError: a malformed line, unless faults are to be skipped; not UTF-8.
    """
    return collect(_documents(path, options.text_column, report), report)


def _documents(path: Path, text_column: str, report: Report) -> Iterator[Document]:
    for number, line in utf8_lines(path):
        if not line.strip():
            continue
        try:
            yield realigned(_document(line, f"{path}:{number}", number, text_column), report)
        except RecordError as error:
            report.fault(f"line {number}", "malformed", "", error)


def _document(line: str, where: str, number: int, text_column: str) -> Document:
    item = parse_json(line, where, EXPECTED)
    text = member(item, text_column, str, where, f"{EXPECTED}; another field of text is named with --text_column")
    entities = member(item, "entities", list, where, EXPECTED)
    relations = member(item, "relations", list, where, EXPECTED)
    spans = dict(_span(entity, where) for entity in entities)
    return Document(str(item.get("id", number)), where, text, spans, [_link(item, where) for item in relations])


def _span(entity: Any, where: str) -> tuple[str, Span]:
    key = member(entity, "id", (int, str), where, "an entity with its id")
    expected = "an entity with its offsets"
    start, end = (member(entity, f"{name}_offset", int, where, expected) for name in ("start", "end"))
    return str(key), Span(start, end, [member(entity, "label", str, where, "an entity with its label")])


def _link(relation: Any, where: str) -> Link:
    expected = "the id of an entity"
    source, target = (member(relation, f"{name}_id", (int, str), where, expected) for name in ("from", "to"))
    return Link(str(source), str(target), [member(relation, "type", str, where, "a relation with its type")])


def realigned(document: Document, report: Report) -> Document:
    """The document, with its spans moved if their offsets count line ends in another way than its text."""
    text, spans = document.text, document.spans
    places: dict[str, list[int]] = {}  # of each character as they were counted, its place in the text
    if "\r\n" in text:
        places["one character"] = [i for i in range(len(text)) if not text.startswith("\r\n", i)]
    elif "\n" in text:
        places["two characters"] = [i for i, character in enumerate(text) for _ in range(1 + (character == "\n"))]
    fewest = sum(off_borders(text, *span[:2]) for span in spans.values())
    for counted, place in places.items():
        if not all(0 <= span.start < span.end <= len(place) for span in spans.values()):
            continue
        moved = {key: s._replace(start=place[s.start], end=place[s.end - 1] + 1) for key, s in spans.items()}
        found = sum(off_borders(text, *span[:2]) for span in moved.values())
        if found < fewest:
            what = f"{fewest} of {len(spans)} spans begin or end inside a word, {found} if a line end is {counted}"
            report.note(document.id, "line ends", text[:60], what, "offsets moved")
            document.spans = moved
    return document


def off_borders(text: str, start: int, end: int) -> bool:
    """Whether a span begins or ends inside a word, at white space, or beyond the text."""
    surface = text[max(start, 0) : max(end, 0)]
    return not surface or surface != surface.strip() or inside_word(text, start) or inside_word(text, end)


def main(argv: Sequence[str] | None = None) -> int:
    return _annotations.main(read_doccano, "Doccano JSONL(Relation) export to records.", argv)


if __name__ == "__main__":
    sys.exit(main())
