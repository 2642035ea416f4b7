"""Several sets of records as one to train on, without any sentence that is scored.

    python data_scripts/join.py --input data/14res data/14lap data/mine/train.jsonl --output_dir data/joint \\
        --held_out data/14res data/14lap data/mine/dev.jsonl data/mine/test.jsonl

A folder stands for its train file where it is an input, for its dev and test files where it is held out. Each sentence
is taken once, from the first input that holds it (from the first that knows its triplets, if one does); spaces and
capitals do not count. Writes `train.jsonl`, `report.json` with the ids of what was left out, and a card with the
sources and their licences.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE, as_table, read_dataset_card, write_dataset_card
from d2e2s.data_scripts.files import write_json
from d2e2s.data_scripts.overlap import letters, scored_sentences, split_file, without
from d2e2s.data_scripts.records import Record, RecordError, is_labelled, read_records, write_records


@dataclass
class Source:
    """One input, and what of it was left out, by id."""

    name: str
    file: str
    licence: str
    language: str | None
    sentences: int = 0  # that the joined set takes from it
    held_out: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # it, or an earlier input, holds the sentence already


def join(inputs: Sequence[Path], held_out: Sequence[Path], split: str = "train") -> tuple[list[Record], list[Source]]:
    """The records of all inputs, each sentence once and none that is held out; an id that is taken gets its source's
    name in front.

    Args:
        inputs: files of records, or folders with the split.
        held_out: files of records, or folders whose dev and test files hold what must not be in.

    Raises:
        RecordError: a file that holds no records, or nothing is left.
        OSError: a file or a split that is missing.
    """
    scored = scored_sentences(held_out)
    found: dict[str, tuple[Record, Source]] = {}
    sources = []
    for place in inputs:
        file = split_file(place, split) if place.is_dir() else place
        if file is None:
            raise FileNotFoundError(f"{place}: no {split}.jsonl or {split}.parquet; expected a prepared folder")
        card = read_dataset_card(file.parent)
        name = file.resolve().parent.name
        source = Source(name, f"{name}/{file.name}", card["licence"] or UNKNOWN_LICENCE, card["language"])
        records, source.held_out = without(read_records(file), scored)
        for record in records:
            text = letters(record["tokens"])
            known = found.get(text)
            if known and (is_labelled(known[0]) or not is_labelled(record)):
                source.elsewhere.append(record["id"])
                continue
            if known:
                known[1].elsewhere.append(known[0]["id"])
            found[text] = record, source
        sources.append(source)
    if not found:
        raise RecordError("--held_out", "leaves no sentence", "inputs with more than what is scored")
    return _with_own_ids(list(found.values())), sources


def _with_own_ids(rows: Sequence[tuple[Record, Source]]) -> list[Record]:
    taken: set[str] = set()
    joined = []
    for record, source in rows:
        source.sentences += 1
        name, number = record["id"], 1
        while name in taken:
            name = f"{source.name}:{record['id']}" + (f"-{number}" if number > 1 else "")
            number += 1
        taken.add(name)
        joined.append({**record, "id": name})
    return joined


def common_licence(sources: Sequence[Source]) -> str:
    """The licence of a joined set: theirs if they agree, `other` if they differ, `unknown` if one of them is."""
    licences = {source.licence for source in sources}
    if UNKNOWN_LICENCE in licences:
        return UNKNOWN_LICENCE
    return licences.pop() if len(licences) == 1 else "other"


def card_text(sources: Sequence[Source]) -> str:
    rows = [[s.file, s.licence, *map(str, (s.sentences, len(s.held_out), len(s.elsewhere)))] for s in sources]
    table = as_table(["source", "licence", "sentences", "held out", "in another source"], rows)
    return f"Sentences of several sets, without those that are held out. The licence of each source holds:\n\n{table}"


def main(argv: Sequence[str] | None = None) -> int:
    description = "Several sets of records as one, without what is scored."
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, nargs="+", required=True, help="files of records, or prepared folders")
    add("--held_out", type=Path, nargs="+", default=[], help="files, or folders for their dev and test")
    add("--output_dir", type=Path, required=True, help="gets the split, report.json and a card")
    add("--split", choices=["train", "dev", "test"], default="train", help="to read of folders, and write")
    add("--format", choices=["jsonl", "parquet"], default="jsonl", help="of the records")
    return exit_code(lambda: write_joined(parser.parse_args(argv)))


def write_joined(options: argparse.Namespace) -> None:
    """Read all, then write the records, the report and the card. Errors as for `join`."""
    records, sources = join(options.input, options.held_out, options.split)
    folder = options.output_dir
    write_records(folder / f"{options.split}.{options.format}", records)
    write_json(folder / "report.json", {"sentences": len(records), "sources": [asdict(source) for source in sources]})
    languages = {source.language for source in sources}
    language = languages.pop() if len(languages) == 1 else None
    name, about, licence = folder.resolve().name, card_text(sources), common_licence(sources)
    write_dataset_card(folder, name, about, {options.split: records}, licence, language, options.format)
    for source in sources:
        left_out = f"{len(source.held_out)} held out, {len(source.elsewhere)} in another source or twice"
        print(f"{source.file}: {source.sentences} sentences; left out: {left_out}")
    print(f"{folder}: {len(records)} sentences")


if __name__ == "__main__":
    sys.exit(main())
