"""From texts with marked spans and relations between them to records: what every annotation tool has in common.

A reader (`from_label_studio`, `from_doccano`, `from_strings`) turns an export into `Document`s, `converter.py` makes
records of one, and `main` does the rest: splits, files and report. Nothing is left out or changed without a finding in
`report.json`.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.converter import Converter
from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE, columns, counts, write_dataset_card
from d2e2s.data_scripts.documents import Document, Report
from d2e2s.data_scripts.files import write_text
from d2e2s.data_scripts.overlap import letters
from d2e2s.data_scripts.prepared import SPLITS
from d2e2s.data_scripts.records import RecordError, write_records
from d2e2s.words_d2e2s import WORD_SPLITTERS, without_surrogates

Reader = Callable[[Path, argparse.Namespace, Report], list[Document]]


def split_documents(
    documents: Sequence[Document], shares: Sequence[float], seed: int, report: Report
) -> dict[str, list[Document]]:
    """Train, dev and test, by document; documents of the same text stay together.

    A split with a share above 0 gets at least one text.

    Raises:
        RecordError: fewer different texts than splits.
    """
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        groups[letters(document.text)].append(document)
    for first, *others in groups.values():
        for document in others:
            report.note(document.id, "same text", document.text[:60], f"text of {first.id}", "kept in the same split")
    texts = list(groups)
    random.Random(seed).shuffle(texts)
    dev, test = (max(1, round(share * len(texts))) if share else 0 for share in shares[1:])
    train = len(texts) - dev - test
    if train < 1:
        what = f"{len(texts)} annotated texts for --split {' '.join(map(str, shares))}"
        raise RecordError("export", what, "at least one text for each of train, dev and test")
    parts = (texts[:train], texts[train : train + dev], texts[train + dev :])
    return {
        split: [document for text in part for document in groups[text]]
        for split, part, share in zip(SPLITS, parts, shares, strict=True)
        if share
    }


def read_splits(read: Reader, options: argparse.Namespace, report: Report) -> dict[str, list[Document]]:
    """The documents of train, dev and test: of a file for each, or of one that is split. Errors as for `convert`."""
    if not (options.dev_input or options.test_input):
        return split_documents(read(options.input, options, report), options.split, options.seed, report)
    inputs = {"train": options.input, "dev": options.dev_input, "test": options.test_input}
    splits: dict[str, list[Document]] = {}
    seen: dict[str, str] = {}
    for split, path in inputs.items():
        if path is None:
            continue
        splits[split] = read(path, options, report)
        for document in splits[split]:
            document.id = f"{split}-{document.id}"
            other = seen.setdefault(letters(document.text), split)
            if other != split:
                done = "kept; data_scripts/join.py leaves out of one file what stands in others"
                report.note(document.id, "text in two splits", document.text[:60], f"stands in {other} too", done)
    return splits


def convert(read: Reader, options: argparse.Namespace) -> None:
    """Read and convert all, then write it: a fault leaves no file behind.

    Raises:
        RecordError: a fault of the export, or of an annotation unless faults are to be skipped; nothing is left.
        OSError: a file that is missing or cannot be written.
    """
    report = Report(options.on_error)
    splits = read_splits(read, options, report)
    to_records = Converter(options, report)
    records = {split: [row for doc in part for row in to_records(doc)] for split, part in splits.items()}
    paths = {split: options.output_dir / f"{split}.{options.format}" for split in SPLITS}
    for split, path in paths.items():
        if split not in records and path.exists():
            raise RecordError(str(path), "a file of an earlier split", "it to be removed, or a share for it")
        if not records.get(split, [{}]):
            first = report.findings[0][1]["what"] if report.findings else "no text"
            what = f"no sentence is left for {split}"
            raise RecordError(str(options.input), what, f"some; the first finding: {first}")
    for split, rows in records.items():
        write_records(paths[split], rows)
    names = columns([row for rows in records.values() for row in rows])
    kinds = sorted({kind for kind, _ in report.findings})
    content = {
        "input": options.input.name,
        "word_splitter": options.word_splitter,
        "seed": options.seed,
        "splits": {
            split: {"documents": len(splits[split])} | {name.replace(" ", "_"): counts(rows)[name] for name in names}
            for split, rows in records.items()
        },
        "findings": {kind: [entry for its, entry in report.findings if its == kind] for kind in kinds},
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_text(options.output_dir / "report.json", without_surrogates(text))
    folder, about = options.output_dir, "Annotated reviews; `report.json` tells how they were converted."
    name, licence, language = folder.resolve().name, options.license, options.language
    write_dataset_card(folder, name, about, records, licence, language, options.format)
    _print(content, folder)


def _print(content: dict[str, Any], folder: Path) -> None:
    """Print the counts of each split, and how often what was found with the first case of each kind."""
    for split, found in content["splits"].items():
        print(f"{folder / split}: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in found.items()))
    for kind, entries in content["findings"].items():
        first = entries[0]
        print(f"  {kind}: {len(entries)}, first {first['id']} {first['text']!r}: {first['what']}: {first['done']}")
    print(f"All of it with ids: {folder / 'report.json'}")


def argument_parser(description: str, on_error: str = "stop") -> argparse.ArgumentParser:
    """The options of every reader's command; `on_error` is the default of one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, required=True, help="the export")
    add("--dev_input", type=Path, help="an export that is dev: then --input is train, and is not split")
    add("--test_input", type=Path, help="an export that is test")
    add("--output_dir", type=Path, required=True, help="gets train, dev and test and report.json")
    add("--format", choices=["jsonl", "parquet"], default="jsonl", help="of the records")
    add("--text_column", default="text", help="field of the export that holds the text")
    add("--positive", nargs="+", default=["Positive", "POS"], help="labels that say POS; letter case does not matter")
    add("--negative", nargs="+", default=["Negative", "NEG"], help="that say NEG")
    add("--neutral", nargs="+", default=["Neutral", "NEU"], help="that say NEU")
    add("--sentiments", nargs="+", default=[], metavar="LABEL", help="further sentiments, such as conflict")
    add("--word_splitter", choices=list(WORD_SPLITTERS), default="penn", help="penn for English, else mostly unicode")
    add("--off_borders", choices=["snap", "fault"], default="snap", help="spans that begin or end inside a word")
    how = "skip lists what has a fault and leaves its sentence out; unknown lists it and writes it with triplets: null"
    add("--on_error", choices=["stop", "skip", "unknown"], default=on_error, help=how)
    add("--max_words", type=int, default=128, help="longer sentences are cut, at a comma if there is one")
    add("--max_span_width", type=int, default=8, help="wider spans are listed")
    add("--split", nargs=3, type=float, default=[0.8, 0.1, 0.1], metavar="SHARE", help="of train, dev, test")
    add("--seed", type=int, default=42, help="of the split")
    add("--license", default=UNKNOWN_LICENCE, help="of the data, for its card: the Hub's name of it, such as cc-by-4.0")
    add("--language", help="of the data, for its card: two letters")
    return parser


def checked_arguments(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, or exit code 2 with what is wrong with one."""
    options = parser.parse_args(argv)
    if abs(sum(options.split) - 1) > 1e-6 or min(options.split) < 0 or not options.split[0]:
        parser.error(f"--split {' '.join(map(str, options.split))}: expected shares that sum to 1, the first above 0")
    if options.max_words < 1:
        parser.error(f"--max_words {options.max_words}: expected at least 1")
    return options


def parse_arguments(description: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a tool whose users name their labels."""
    parser = argument_parser(description)
    parser.add_argument("--aspect_label", nargs="+", default=["Aspect"], help="labels of an aspect")
    parser.add_argument("--opinion_label", nargs="+", default=["Opinion"], help="labels of an opinion")
    return checked_arguments(parser, argv)


def main(read: Reader, description: str, argv: Sequence[str] | None = None) -> int:
    """The command of a reader: 0, or 2 after one line on the first fault."""
    return exit_code(lambda: convert(read, parse_arguments(description, argv)))
