"""ASTE text of every kind to records without heads: ASTE-Data-V2, DMASTE, Synthetic, and yours in one of these forms.

From files or folders (`train.txt`, `dev_triplets.txt`, ... in the folder, or in a folder for each set), or downloaded
once from the public repositories, checked against known sums, and kept in the user's cache:

    python data_scripts/from_aste_text.py --input DIR --output_dir data/mine
    python data_scripts/from_aste_text.py --name dmaste synthetic --output_dir data/reviews
    python data_scripts/from_aste_text.py --name 14res --output_dir data/14res-text

`aste_lines.py` says what lines look like. A sentence with a fault, such as a word index out of range, is left out and
listed with its line; `--on_error unknown` writes it with `triplets: null`, `--on_error stop` stops there. `--implicit`
says what becomes of a sentence with a term that is not in the text. A text of more than `--max_words` words is cut
between its sentences; a triplet that this would cut in two is left out and listed.

Several sets are written to `OUTPUT_DIR/NAME`, each with `report.json` and a card; `join.py` makes one set of them.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from d2e2s.data_scripts.aste_lines import Line, LineReader, add_set_options, is_inside
from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE
from d2e2s.data_scripts.prepared import SPLITS, PreparedSet, SplitReport, write_sets
from d2e2s.data_scripts.public_sets import TEXT_SETS, known_set
from d2e2s.data_scripts.records import Record, RecordError, utf8_lines, validate_record
from d2e2s.words_d2e2s import Word, pack_words, split_sentences

SPLIT_NAME = re.compile(r"(?<![a-z])(?:(train)|(dev|valid|validation)|(test))(?![a-z])")
ABOUT = "ASTE text of {name}; `report.json` tells how it was converted."
INSTEAD = "pass --input with files that you have"


@dataclass
class TextReport(SplitReport):
    cut_texts: list[str] = field(default_factory=list)
    triplets_cut_in_two: list[str] = field(default_factory=list)


def read_split(name: str, split: str, path: Path, options: argparse.Namespace) -> tuple[list[Record], TextReport]:
    """The records of one file and what was found on the way.

    Raises:
        RecordError: not UTF-8; or the first fault, if `options.on_error` is "stop".
    """
    report, records = TextReport(), list[Record]()
    read_line = LineReader(options, report)
    for number, line in utf8_lines(path):
        key, place = f"{name}-{split}-{number}", f"{path}:{number}"
        if not line.strip():
            continue
        try:
            parts = list(cut(key, read_line(line, key, place), options, report))
            for record in parts:
                validate_record(record, place)
            records += parts
        except RecordError as error:
            report.fault(error, options.on_error)
    report.describe(records, options.max_span_width)
    return records, report


def cut(key: str, line: Line, options: argparse.Namespace, report: TextReport) -> Iterator[Record]:
    """One record, or, of a text of more than `options.max_words` words, several of whole sentences, as long as may be.

    Where one has a triplet with an implicit term, `options.implicit` says what becomes of it.
    """
    ranges = text_ranges(line.tokens, options.max_words)
    for number, (start, end) in enumerate(ranges, start=1):
        if part := line.part(start, end, options.implicit):
            name = key if len(ranges) == 1 else f"{key}-{number}"
            yield {"id": name, "tokens": part[0], "triplets": part[1]}
    if len(ranges) > 1:
        report.cut_texts.append(key)
        parted = [t for t in line.triplets or [] if not any(is_inside(t, *borders) for borders in ranges)]
        report.triplets_cut_in_two += [key] * len(parted)


def text_ranges(tokens: Sequence[str], max_words: int) -> list[tuple[int, int]]:
    """Ranges [start, end) of whole sentences with at most `max_words` words together; a longer sentence is cut."""
    if len(tokens) <= max_words:
        return [(0, len(tokens))]
    ends = accumulate(len(token) + 1 for token in tokens)
    words = [Word(token, end - 1 - len(token), end - 1) for token, end in zip(tokens, ends, strict=True)]
    ranges: list[tuple[int, int]] = []
    start = 0
    for sentence in split_sentences(" ".join(tokens), words):
        for a, b in pack_words([word.text for word in sentence], [1] * len(sentence), max_words):
            first, end = start + a, start + b
            if ranges and end - ranges[-1][0] <= max_words:
                first = ranges.pop()[0]
            ranges.append((first, end))
        start += len(sentence)
    return ranges


# --- the files of a set -----------------------------------------------------------------------------------


def split_of(path: Path) -> str | None:
    """The split that a file's name says, None if it says none."""
    found = SPLIT_NAME.search(path.stem.lower())
    return SPLITS[found.lastindex - 1] if found and found.lastindex else None


def find_sets(places: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """The files of each set by split, by the name of the folder that they are in.

    A file whose name says no split is train where it was named itself.

    Raises:
        FileNotFoundError: a place that does not exist, or a folder without such files.
        RecordError: two files for one split.
    """
    sets: dict[str, dict[str, Path]] = {}
    for place in places:
        files = [place] if place.is_file() else sorted(file for file in place.glob("**/*.txt") if split_of(file))
        if not files:
            what = "no .txt file with train, dev or test in its name" if place.is_dir() else "no such file"
            raise FileNotFoundError(f"{place}: {what}")
        for file in files:
            splits = sets.setdefault(file.resolve().parent.name, {})
            split = split_of(file) or "train"
            if splits.setdefault(split, file) != file:
                raise RecordError(str(file), f"{split} is read from {splits[split]} already", "one file for a split")
    return sets


def named_sets(names: Sequence[str]) -> list[str]:
    """The names of public sets, where `dmaste` stands for all its domains."""
    return [each for each in TEXT_SETS if each in names or each.split("/")[0] in names]


def read_set(name: str, files: Mapping[str, Path], options: argparse.Namespace) -> PreparedSet:
    """A set of the files of its splits; of a public set the card says what it is. Errors as for `convert`."""
    if public := known_set(files.values()):
        found = PreparedSet(name, f"{name}, ASTE text", public.about, licence=public.licence, language="en")
    else:
        found = PreparedSet(name, name, ABOUT.format(name=name), licence=options.license, language=options.language)
    for split in (split for split in SPLITS if split in files):
        found.records[split], found.reports[split] = read_split(name, split, files[split], options)
    return found


def convert(options: argparse.Namespace) -> None:
    """Read all that was asked for, then write it: a fault leaves no file behind.

    Raises:
        RecordError: a fault, if faults are to stop the run; nothing to be read.
        OSError: a file that is missing, cannot be had, or cannot be written.
    """
    sets = {}
    for public in map(TEXT_SETS.__getitem__, named_sets(options.name)):
        sets[public.name] = {split: public.download(split, INSTEAD, options.allow_unverified) for split in public.files}
    for name, files in find_sets(options.input).items():
        if sets.setdefault(name, files) is not files:
            raise RecordError("--input", f"a folder {name}, as --name says too", "each set once")
    prepared = [read_set(name, files, options) for name, files in sets.items()]
    names = ("implicit", "on_error", "max_words", "max_span_width")
    arguments = {name: getattr(options, name) for name in names}
    write_sets(prepared, options.output_dir, options.format, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="ASTE text to records.", epilog=f"Sets: {', '.join(TEXT_SETS)}.")
    add = parser.add_argument
    add("--input", nargs="+", type=Path, default=[], help="text files, or folders of them")
    how = "public sets to download, see below; dmaste is all domains"
    add("--name", nargs="+", default=[], metavar="SET", help=how)
    add_set_options(parser, implicit="drop", on_error="skip", unknown=True)
    add("--max_words", type=int, default=128, help="longer texts are cut between sentences (default: 128)")
    how = "of --input, for its card, as the Hub names it; public sets have theirs"
    add("--license", default=UNKNOWN_LICENCE, help=how)
    add("--language", help="of --input, for its card: two letters")
    options = parser.parse_args(argv)
    if not options.input and not options.name:
        parser.error("nothing to read: pass --input or --name")
    if unknown := [name for name in options.name if not named_sets([name])]:
        parser.error(f"--name {unknown[0]}: no such set; expected some of dmaste, {', '.join(TEXT_SETS)}")
    if options.max_words < 1:
        parser.error(f"--max_words {options.max_words}: expected at least 1")
    return exit_code(lambda: convert(options))


if __name__ == "__main__":
    sys.exit(main())
