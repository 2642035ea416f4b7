"""Sentences that stand in two places: what counts as the same one, and how to leave them out.

Spaces and capitals do not count: another set may have split the same review in another way.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.records import Record, read_records


def letters(text: str | Sequence[str]) -> str:
    """What equal texts (a string, or its words) have in common: all but white space, in small letters."""
    return "".join("".join(text).split()).casefold()


def sentences(records: Iterable[Record]) -> set[str]:
    """The `letters` of each record."""
    return {letters(record["tokens"]) for record in records}


def without(records: Iterable[Record], held_out: set[str]) -> tuple[list[Record], list[str]]:
    """The records whose sentence is not among `held_out` (of `sentences`), and the ids of the others."""
    kept, left_out = [], []
    for record in records:
        if letters(record["tokens"]) in held_out:
            left_out.append(record["id"])
        else:
            kept.append(record)
    return kept, left_out


def split_file(folder: Path, split: str) -> Path | None:
    """The file of a split (`train`, `dev`, `test`) in a prepared folder, None if there is none."""
    return next((f for f in (folder / f"{split}.jsonl", folder / f"{split}.parquet") if f.is_file()), None)


def scored_files(place: Path) -> list[Path]:
    """The dev and test files of a prepared folder; a file is itself.

    Raises:
        FileNotFoundError: a folder with neither.
    """
    if not place.is_dir():
        return [place]
    files = [file for split in ("dev", "test") if (file := split_file(place, split))]
    if not files:
        raise FileNotFoundError(f"{place}: neither dev nor test of records; expected a prepared folder, or a file")
    return files


def scored_sentences(places: Iterable[Path]) -> set[str]:
    """The `sentences` of files, and of the dev and test files of folders."""
    return {text for place in places for file in scored_files(place) for text in sentences(read_records(file))}


def shared_sentences(places: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """For each two places (such as "14res/train") the sentences of the second that the first has too."""
    texts = {place: sentences(records) for place, records in places.items()}
    pairs = ((first, second, without(places[second], texts[first])[1]) for first, second in combinations(places, 2))
    return [{"first": first, "second": second, "ids_in_second": ids} for first, second, ids in pairs if ids]


def leaks(shared: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that stand in different splits, of one set or of two that may be pooled: seen before they are scored."""
    return [entry for entry in shared if entry["first"].split("/")[1] != entry["second"].split("/")[1]]
