"""CoNLL-U treebanks to records whose triplets are not known, to train and test the parser head on.

    python data_scripts/read_conllu.py --input reviews.conllu --output_dir OUT
    python data_scripts/read_conllu.py --input UD_English-EWT/*.conllu --documents reviews- --output_dir data/ewt

Splits by document, in order: the first 80 % of the documents are train, the next 10 % dev, the rest test.
Format: https://universaldependencies.org/format.html
"""

import argparse
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.records import Record, RecordError, utf8_lines, validate_record, write_records

COLUMNS = 10
NUMBER = re.compile("[0-9]{1,9}")
WORD_NUMBER = re.compile("[0-9]{1,9}([-.][0-9]{1,9})?")


def read_conllu(path: str | Path, keep_subtypes: bool = False) -> list[list[Record]]:
    """The documents of a treebank, each a list of records; words are the syntactic words.

    A multiword token ("don't", line 1-2) is read as its words, an empty node (line 3.1) is no word and is left out.
    A file without `# newdoc` lines is read as one document a sentence.

    Args:
        path: the `.conllu` file.
        keep_subtypes: `nmod:poss` as it is, where the default is the universal relation `nmod`.

    Raises:
        RecordError: a line that is no CoNLL-U or a sentence that is no tree, with file and line number.
    """
    path = Path(path)
    documents: list[list[Record]] = []
    marked = False
    for first_line, comments, rows in _sentences(path):
        starts = any(comment.startswith("newdoc") for comment in comments)
        marked = marked or starts
        if starts or not marked or not documents:
            documents.append([])
        documents[-1].append(_record(path, first_line, comments, rows, keep_subtypes))
    return documents


def _sentences(path: Path) -> Iterator[tuple[int, list[str], list[tuple[int, list[str]]]]]:
    """Each sentence as its first line's number, its comments, and its words' (line number, columns)."""
    lines = ((number, line.rstrip("\r\n")) for number, line in utf8_lines(path))
    for is_sentence, block in groupby(lines, key=lambda numbered: bool(numbered[1])):
        given = list(block) if is_sentence else []
        comments = [line[1:].strip() for _, line in given if line.startswith("#")]
        words = [(number, _columns(line, f"{path}:{number}")) for number, line in given if not line.startswith("#")]
        if rows := [(number, columns) for number, columns in words if NUMBER.fullmatch(columns[0])]:
            yield given[0][0], comments, rows


def _columns(line: str, where: str) -> list[str]:
    columns = line.split("\t")
    if len(columns) != COLUMNS:
        raise RecordError(where, f"{len(columns)} columns", f"{COLUMNS}, with tabs between them")
    if not WORD_NUMBER.fullmatch(columns[0]):
        raise RecordError(where, f"word number {columns[0]!r}", "a number such as 3, 3-4 or 3.1")
    return columns


def _record(
    path: Path, first_line: int, comments: list[str], rows: list[tuple[int, list[str]]], keep_subtypes: bool
) -> Record:
    """One sentence as a record; its id is its `sent_id`, else file name and line."""
    for place, (number, columns) in enumerate(rows, start=1):
        if int(columns[0]) != place:
            raise RecordError(f"{path}:{number}", f"word number {columns[0]}", f"{place}")
        if not NUMBER.fullmatch(columns[6]):
            raise RecordError(f"{path}:{number}", f"head {columns[6]!r}", "a word number, or 0 for the root")
    ids = [comment.partition("=")[2].strip() for comment in comments if comment.startswith("sent_id")]
    deprels = [columns[7] for _, columns in rows]
    record: Record = {
        "id": ids[0] if ids else f"{path.stem}-{first_line}",
        "tokens": [columns[1] for _, columns in rows],
        "heads": [int(columns[6]) for _, columns in rows],
        "deprels": deprels if keep_subtypes else [deprel.partition(":")[0] for deprel in deprels],
        "triplets": None,
    }
    validate_record(record, f"{path}:{first_line}")
    return record


def split_documents(documents: list[list[Record]]) -> dict[str, list[Record]]:
    """Train, dev and test: 80, 10 and 10 % of the documents, in order, so that no document stands in two."""
    dev, test = len(documents) * 8 // 10, len(documents) * 9 // 10
    parts = {"train": documents[:dev], "dev": documents[dev:test], "test": documents[test:]}
    return {split: [record for document in part for record in document] for split, part in parts.items()}


def of_ids(documents: list[list[Record]], prefix: str) -> list[list[Record]]:
    """The documents whose sentences' ids begin with a text, by id.

    Raises:
        RecordError: there is none.
    """
    found = [document for document in documents if document[0]["id"].startswith(prefix)]
    if not found:
        raise RecordError("--documents", f"no sentence has an id that begins with {prefix!r}", "the beginning of one")
    return sorted(found, key=lambda document: str(document[0]["id"]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="CoNLL-U to records, split by document.")
    parser.add_argument("--input", type=Path, nargs="+", required=True, help=".conllu files")
    parser.add_argument("--documents", metavar="PREFIX", help="only documents whose ids begin with this, by id")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--keep_subtypes", action="store_true", help="nmod:poss stays nmod:poss")
    return exit_code(lambda: convert(parser.parse_args(argv)))


def convert(options: argparse.Namespace) -> None:
    """Read all treebanks, then write the splits. Errors as for `read_conllu` and `of_ids`."""
    documents = [each for path in options.input for each in read_conllu(path, options.keep_subtypes)]
    splits = split_documents(of_ids(documents, options.documents) if options.documents else documents)
    for split, records in splits.items():
        write_records(options.output_dir / f"{split}.jsonl", records)
        words = sum(len(record["tokens"]) for record in records)
        print(f"{options.output_dir / split}.jsonl: {len(records)} sentences, {words} words")


if __name__ == "__main__":
    sys.exit(main())
