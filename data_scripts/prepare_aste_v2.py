"""ASTE-Data-V2 sentences and D2E2S dependency parses to records, with repaired trees and a report.

From raw files in a folder (`DIR/train_triplets.txt` or `DIR/14res/train_triplets.txt`, the same for the parses):

    python data_scripts/prepare_aste_v2.py --name 14res --text_dir DIR --parse_dir DIR --output_dir OUT

Without `--text_dir` or `--parse_dir` the raw files are downloaded once and kept in the user's cache; those without a
known checksum (16res) only with `--allow_unverified`. Several names write `OUT/NAME/`. The text files are the truth
for tokens and triplets, the parses give heads and deprels only; `from_aste_text.py` takes the texts alone.
Writes `{train,dev,test}.jsonl`, `report.json` and a card; exit code 2 and one line on the first fault of the input.

Data: Xu et al. 2020, "Position-Aware Tagging for Aspect Sentiment Triplet Extraction" (text); Zhao et al. 2024,
"Dual Encoder: Exploiting the Potential of Syntactic and Semantic for Aspect Sentiment Triplet Extraction" (parses).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.aste_lines import LineReader, add_set_options, parse_line
from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.overlap import sentences, split_file, without
from d2e2s.data_scripts.parse_book import ParseBook, told_triplets
from d2e2s.data_scripts.parse_repair import literal_heads, read_arcs, transfer
from d2e2s.data_scripts.prepared import SPLITS, PreparedSet, SplitReport, flat, write_sets
from d2e2s.data_scripts.public_sets import ABOUT_ASTE_V2, ASTE_V2, PARSES_URL, TEXT_SETS, download
from d2e2s.data_scripts.records import Record, RecordError, read_records, utf8_lines, validate_record

__all__ = ["ParseBook", "parse_line", "prepare"]
PARSE_FILE = "{split}_dep_triple_polarity_result.json"
PARSES = """, with the dependency parses of D2E2S (Zhao et al. 2024), repaired.

The parses are under the MIT licence (Yong Zhou)"""
INSTEAD = "pass --text_dir and --parse_dir with files that you have"


@dataclass
class ParsedReport(SplitReport):
    trees_repaired: int = 0  # heads or deprels that are not the arcs as they stood
    parser_tokens_differ: int = 0
    parsed_as_several_sentences: int = 0
    dropped_tokens_attached: int = 0
    unfit_arcs: int = 0  # only counted with --no_repair
    token_disagreements: list[dict[str, Any]] = field(default_factory=list)
    triplet_disagreements: list[dict[str, Any]] = field(default_factory=list)
    unused_parses: list[str] = field(default_factory=list)


def find_files(name: str, split: str, options: argparse.Namespace) -> tuple[Path, Path]:
    """The text and the parses of a split: in the given folders (or their folder `name`), or downloaded.

    Raises:
        FileNotFoundError: not there, with the places that were looked at, or not to be downloaded.
    """
    text, parses = f"{split}_triplets.txt", PARSE_FILE.format(split=split)
    unverified = options.allow_unverified
    return (
        _in_folder(options.text_dir, name, text)
        if options.text_dir
        else TEXT_SETS[name].download(split, INSTEAD, unverified),
        _in_folder(options.parse_dir, name, parses)
        if options.parse_dir
        else download(name, parses, f"{PARSES_URL}/{name}", INSTEAD, unverified),
    )


def _in_folder(folder: Path, name: str, file: str) -> Path:
    places = [folder / name / file, folder / file]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"no {file} for {name}: looked for {places[0]} and {places[1]}")
    return found


def read_split(
    name: str, split: str, text: Path, parses: Path, options: argparse.Namespace
) -> tuple[list[Record], ParsedReport]:
    """The records of one split and what was found on the way.

    Raises:
        RecordError: the first fault, unless `options.on_error` is "skip".
    """
    book, report, records = ParseBook(parses), ParsedReport(), list[Record]()
    read_line = LineReader(options, report)
    for number, line in utf8_lines(text):
        key, place = f"{name}-{split}-{number}", f"{text}:{number}"
        try:
            found = read_line(line, key, place)
            if (sentence := found.part(0, len(found.tokens), options.implicit)) is None:
                continue
            tokens, triplets = sentence
            parse, where = book.find(tokens, number - 1)
            heads, deprels, counts = _tree(tokens, parse, where, options.no_repair)
            record = {"id": key, "tokens": tokens, "heads": heads, "deprels": deprels, "triplets": triplets}
            validate_record(record, place)
        except RecordError as error:
            report.fault(error, options.on_error)
            continue
        for count, value in counts.items():
            setattr(report, count, getattr(report, count) + value)
        _compare(record, parse, report)
        records.append(record)
    report.unused_parses = [f"{parses}: record {number + 1}" for number in sorted(book.unused)]
    return records, report


def _tree(tokens: list[str], parse: dict, where: str, no_repair: bool) -> tuple[list[int], list[str], dict[str, int]]:
    """Heads and deprels of a sentence, and by how much its parse raises which count of the report."""
    arcs, parser_tokens = parse["dependency"], [pair[0] for pair in parse["pos"]]
    try:
        flat = read_arcs(parser_tokens, arcs)
        tree = transfer(tokens, flat)
    except ValueError as error:
        raise RecordError(where, str(error), "a tree over the tokens in pos") from None
    literal = literal_heads(len(tokens), arcs)
    counts = {
        "parser_tokens_differ": int(parser_tokens != tokens),
        "parsed_as_several_sentences": int(flat.heads.count(0) > 1),
    }
    if no_repair:
        return literal[0], literal[1], {**counts, "unfit_arcs": literal[2]}
    counts["trees_repaired"] = int((tree.heads, tree.deprels) != literal[:2])
    counts["dropped_tokens_attached"] = len(tree.attached)
    return tree.heads, tree.deprels, counts


def _compare(record: Record, parse: dict, report: ParsedReport) -> None:
    """Note where the parse file tells another sentence or other triplets than the text file."""
    key = record["id"]
    if parse["tokens"] != record["tokens"]:
        report.token_disagreements.append({"id": key, "text": record["tokens"], "parse": parse["tokens"]})
    ours, theirs = sorted(set(map(flat, record["triplets"] or []))), told_triplets(parse)
    if theirs is not None and ours != theirs:
        report.triplet_disagreements.append({"id": key, "text": ours, "parse": theirs})


def scored_elsewhere(folders: Sequence[Path]) -> dict[str, set[str]]:
    """Sentences that other prepared sets are scored on, by the split of ours that must not hold them.

    Raises:
        FileNotFoundError: a folder without prepared dev and test.
    """
    texts: dict[str, set[str]] = {"dev": set(), "test": set()}
    for folder in folders:
        for split, found in texts.items():
            if (file := split_file(folder, split)) is None:
                raise FileNotFoundError(f"no {split}.jsonl in {folder}: --exclude_shared_with takes a prepared folder")
            found |= sentences(read_records(file))
    return {"train": texts["dev"] | texts["test"], "dev": texts["test"], "test": set()}


def prepare(options: argparse.Namespace) -> None:
    """Read all that was asked for, then write it: a fault leaves no file behind.

    Raises:
        RecordError: a fault of the input.
        FileNotFoundError: a raw file that is neither in the folder nor to be had.
    """
    held_out = scored_elsewhere(options.exclude_shared_with)
    sets, names = [], dict[Path, str]()
    for name in options.name:
        about = ABOUT_ASTE_V2.format(name=name, parses=PARSES)
        prepared = PreparedSet(name, f"ASTE-Data-V2 {name}", about, language="en")
        for split in SPLITS:
            text, parses = find_files(name, split, options)
            if names.setdefault(text, name) != name:
                what = f"is read as {names[text]} and as {name}"
                raise RecordError(str(text), what, f"a folder for each in {text.parent}")
            records, report = read_split(name, split, text, parses, options)
            prepared.records[split], report.excluded = without(records, held_out[split])
            report.describe(prepared.records[split], options.max_span_width)
            prepared.reports[split] = report
        sets.append(prepared)
    arguments = {
        "name": options.name,
        "repaired": not options.no_repair,
        "max_span_width": options.max_span_width,
        "on_error": options.on_error,
        "implicit": options.implicit,
        "exclude_shared_with": [folder.resolve().name for folder in options.exclude_shared_with],
    }
    write_sets(sets, options.output_dir, options.format, arguments)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    description = "ASTE-Data-V2 and D2E2S parses to records, with repaired trees and a report."
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("--name", nargs="+", required=True, help=f"sets to prepare, such as {', '.join(ASTE_V2)}")
    add("--text_dir", type=Path, help="folder with train_triplets.txt and the others (default: download)")
    add("--parse_dir", type=Path, help="folder with the D2E2S JSON files (default: download)")
    add_set_options(parser, implicit="stop", on_error="stop", unknown=False)
    add("--no_repair", action="store_true", help="arcs as they stand, to measure the repair")
    how = "drop from train what stands in dev or test of that set, and from dev what stands in its test"
    add("--exclude_shared_with", nargs="+", type=Path, default=[], metavar="PREPARED_DIR", help=how)
    options = parser.parse_args(argv)
    if len(set(options.name)) < len(options.name):
        parser.error(f"--name {' '.join(options.name)}: a name twice; expected each set once")
    unknown = [name for name in options.name if name not in ASTE_V2]
    if unknown and not (options.text_dir and options.parse_dir):
        what = f"--name {unknown[0]}: only {', '.join(ASTE_V2)} can be downloaded"
        parser.error(f"{what}; pass --text_dir and --parse_dir")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    return exit_code(lambda: prepare(parse_arguments(argv)))


if __name__ == "__main__":
    sys.exit(main())
