"""A Label Studio export with relations to records.

    python data_scripts/from_label_studio.py --input export.json --output_dir data/mine

Export the project as "JSON" (JSON-MIN, CSV and CONLL have no relations). An aspect and an opinion are labelled spans of
a `<Text>`, joined by a relation. The sentiment is the label of the relation, or else a choice (`perRegion`) or a
further label of the opinion or the aspect. `docs/own_data.md` has a labelling configuration to paste.

Of several annotations of a task one is used: the ground truth, else the newest; cancelled ones and predictions are not.
Tasks without an annotation are left out; an annotation without any span is a text that has no triplet.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from d2e2s.data_scripts import annotations as _annotations
from d2e2s.data_scripts.documents import Document, Link, Report, Span, collect, member, read_list
from d2e2s.data_scripts.records import RecordError

EXPECTED = 'a task of the "JSON" export (JSON-MIN has no relations)'
SPAN_TYPES = ("labels", "choices")


def read_label_studio(path: Path, options: argparse.Namespace, report: Report) -> list[Document]:
    """The annotated texts of an export.

    Raises:
        RecordError: no JSON list; or a malformed task, unless faults are to be skipped.
    """
    tasks = read_list(path, "a list of tasks, the JSON export of a project")
    return collect(_documents(path, tasks, options.text_column, report), report)


def _documents(path: Path, tasks: list[Any], text_column: str, report: Report) -> Iterator[Document]:
    for number, task in enumerate(tasks, start=1):
        name = str(task.get("id", number) if isinstance(task, dict) else number)
        try:
            if document := _document(task, f"{path}: task {name}", name, text_column, report):
                yield document
        except RecordError as error:
            report.fault(name, "malformed", "", error)


def _document(task: Any, where: str, name: str, text_column: str, report: Report) -> Document | None:
    """A task's text with its annotation, or None if it has none.

    Raises:
        RecordError: malformed.
    """
    annotations = member(task, "annotations", list, where, EXPECTED)
    data = member(task, "data", dict, where, EXPECTED)
    text = member(data, text_column, str, where, f"text; its fields are {', '.join(data)}: name it with --text_column")
    done = [item for item in annotations if isinstance(item, dict) and not item.get("was_cancelled")]
    if not done:
        what = f"{len(annotations)} annotations, all cancelled" if annotations else "no annotation"
        report.note(name, "not annotated", text[:60], what, "left out")
        return None
    chosen = max(reversed(done), key=lambda item: (bool(item.get("ground_truth")), str(item.get("updated_at") or "")))
    if len(done) > 1:
        which = "the ground truth" if chosen.get("ground_truth") else "the newest"
        what = f"{len(done)} annotations"
        report.note(name, "several annotations", text[:60], what, f"used {chosen.get('id')}, {which}")
    results = member(chosen, "result", list, where, "the list of results of an annotation")
    return Document(name, where, text, _spans(results, text, where), _links(results, where))


def _spans(results: list[Any], text: str, where: str) -> dict[str, Span]:
    """Spans by region; labels and choices of one region are put together."""
    spans: dict[str, Span] = {}
    for item in results:
        kind = member(item, "type", str, where, "a result with its type")
        if kind not in SPAN_TYPES or "start" not in member(item, "value", dict, where, "a result with its value"):
            continue  # a relation, a comment, or a choice for the whole text
        key, value = member(item, "id", str, where, "the id of a region"), item["value"]
        start, end = (member(value, border, int, where, "character offsets in a <Text>") for border in ("start", "end"))
        labels = [str(label) for label in value.get(kind) or []]
        if key in spans:
            spans[key].labels.extend(labels)
        else:
            surface = value.get("text")
            spans[key] = _in_characters(Span(start, end, labels, surface if isinstance(surface, str) else None), text)
    return spans


def _links(results: list[Any], where: str) -> list[Link]:
    found = [item for item in results if item["type"] == "relation"]
    for item in found:
        for end in ("from_id", "to_id"):
            member(item, end, str, where, "the id of a region")
    return [Link(item["from_id"], item["to_id"], [str(x) for x in item.get("labels") or []]) for item in found]


def _in_characters(span: Span, text: str) -> Span:
    """The span in characters: older versions counted UTF-16 units, two for an emoji.

    The export says what the span's text is, or a part of it: older versions snapped a span to words, but not its text.
    """
    if span.text is None or text.isascii():
        return span
    units = text.encode("utf-16-le", "surrogatepass")
    start, end = (len(units[: 2 * place].decode("utf-16-le", "ignore")) for place in span[:2])
    wanted = span.text.strip()

    def likeness(other: Span) -> int:
        surface = text[other.start : other.end].strip()
        return 2 * (surface == wanted) + (wanted in surface)

    return max(span, span._replace(start=start, end=end), key=likeness)


def main(argv: Sequence[str] | None = None) -> int:
    return _annotations.main(read_label_studio, "Label Studio JSON export to records.", argv)


if __name__ == "__main__":
    sys.exit(main())
