"""A prepared set as it is written: records of each split, `report.json` with what was found, and the card."""

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE, write_dataset_card
from d2e2s.data_scripts.files import write_json
from d2e2s.data_scripts.overlap import leaks, letters, shared_sentences
from d2e2s.data_scripts.records import Record, RecordError, is_labelled, write_records

SPLITS = ("train", "dev", "test")


@dataclass
class SplitReport:
    """What was found in one split; lists hold record ids, entries that begin with one, or messages."""

    sentences: int = 0
    triplets: int = 0
    sentences_without_triplet: int = 0
    triplets_not_known: int = 0
    long_spans: list[dict[str, Any]] = field(default_factory=list)
    aspect_opinion_overlaps: list[str] = field(default_factory=list)
    duplicate_triplets: list[str] = field(default_factory=list)
    duplicate_sentences: list[list[str]] = field(default_factory=list)
    duplicates_with_other_triplets: list[list[str]] = field(default_factory=list)
    implicit_triplets: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def fault(self, error: RecordError, on_error: str) -> None:
        """Raise the error if `on_error` is "stop", else note it."""
        if on_error == "stop":
            raise error
        self.faults.append(str(error))

    def describe(self, records: Sequence[Record], max_span_width: int) -> None:
        """Fill in what the records themselves show."""
        same: dict[str, list[Record]] = defaultdict(list)
        self.sentences = len(records)
        self.triplets_not_known = sum(not is_labelled(record) for record in records)
        for record in records:
            same[letters(record["tokens"])].append(record)
            self._describe(record["id"], record["triplets"] or [], max_span_width)
            self.sentences_without_triplet += record["triplets"] == []
        for group in (group for group in same.values() if len(group) > 1):
            ids = [record["id"] for record in group]
            self.duplicate_sentences.append(ids)
            if len({frozenset(map(flat, record["triplets"] or [])) for record in group}) > 1:
                self.duplicates_with_other_triplets.append(ids)

    def _describe(self, key: str, triplets: Sequence[dict[str, Any]], max_span_width: int) -> None:
        self.triplets += len(triplets)
        for role in ("aspect", "opinion"):
            for start, end in sorted({tuple(triplet[role]) for triplet in triplets}):
                if end - start > max_span_width:
                    self.long_spans.append({"id": key, "role": role, "span": [start, end]})
        counts = Counter(map(flat, triplets))
        self.aspect_opinion_overlaps += [key for a, b, c, d, _ in counts if a < d and c < b]
        self.duplicate_triplets += [key for count in counts.values() for _ in range(count - 1)]


def flat(triplet: Mapping[str, Any]) -> tuple[int, int, int, int, str]:
    """A triplet as a value that can be compared: aspect, opinion, sentiment."""
    return (*triplet["aspect"], *triplet["opinion"], triplet["sentiment"])


@dataclass
class PreparedSet:
    """Records and findings of each split of a set, and what its card says."""

    name: str
    title: str
    about: str
    records: dict[str, list[Record]] = field(default_factory=dict)
    reports: dict[str, SplitReport] = field(default_factory=dict)
    licence: str = UNKNOWN_LICENCE
    language: str | None = None


def write_sets(sets: Sequence[PreparedSet], folder: Path, suffix: str, arguments: Mapping[str, Any]) -> None:
    """Write one set to `folder`, several to `folder/NAME`, and print what was found.

    Args:
        suffix: `jsonl` or `parquet`.
        arguments: those that the counts depend on, for `report.json`; of folders their names only.

    Raises:
        RecordError: a set of no sentences.
        OSError: a file that cannot be written.
    """
    shared = shared_sentences({f"{each.name}/{split}": rows for each in sets for split, rows in each.records.items()})
    for each in sets:
        if not any(each.records.values()):
            first = next((fault for report in each.reports.values() for fault in report.faults), "-")
            raise RecordError(each.name, "no sentence is left", f"some; the first fault: {first}")
    for each in sets:
        place = folder / each.name if len(sets) > 1 else folder
        for split, records in each.records.items():
            write_records(place / f"{split}.{suffix}", records)
        own = [entry for entry in shared if each.name in (entry[key].split("/")[0] for key in ("first", "second"))]
        content = {
            "name": each.name,
            "arguments": arguments,
            "splits": {split: asdict(report) for split, report in each.reports.items()},
            "shared_sentences": own,
        }
        write_json(place / "report.json", content, indent=1)
        write_dataset_card(place, each.title, each.about, each.records, each.licence, each.language, suffix)
        print(f"{each.name}: written to {place}")
    print_report({f"{each.name}/{split}": report for each in sets for split, report in each.reports.items()}, shared)


def print_report(reports: Mapping[str, SplitReport], shared: Sequence[dict[str, Any]]) -> None:
    """Print what is in report.json, a line for each count and the first ids of each list."""
    for place, report in reports.items():
        print(f"\n{place}")
        for key, value in asdict(report).items():
            if isinstance(value, int):
                print(f"  {key.replace('_', ' '):30} {value}")
            elif value:
                print(f"  {key.replace('_', ' '):30} {len(value)}: {_first(value)}")
    if shared:
        print("\nsentences in two places")
    for entry in shared:
        ids = entry["ids_in_second"]
        print(f"  {entry['first']} and {entry['second']}: {len(ids)}: {_first(ids)}")
    for entry in (seen := leaks(shared)):
        counts = f"sentences in both {entry['first']} and {entry['second']}: {len(entry['ids_in_second'])}"
        print(f"WARNING: {counts}", file=sys.stderr)
    if seen:
        print(
            "A model that is trained or chosen on one of two such splits has seen a part of the other: join.py writes "
            "a training set without what stands in files that are scored",
            file=sys.stderr,
        )


def _first(values: Sequence[Any], limit: int = 8) -> str:
    """The first ids of a list of ids or of entries that hold one."""
    names = []
    for value in values[:limit]:
        value = value["id"] if isinstance(value, dict) else value
        names.append(" = ".join(value) if isinstance(value, list) else value)
    more = f", ... {len(values) - limit} more in report.json" if len(values) > limit else ""
    return ", ".join(names) + more
