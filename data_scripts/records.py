"""The canonical record: one sentence with its tokens, dependency tree and triplets.

A record is what every other part of the project reads, through
``load_dataset("json" | "parquet", data_files=..., features=FEATURES)``::

    {"id": "train-1", "tokens": ["The", "soup", "was", "superb"],
     "heads": [2, 4, 4, 0], "deprels": ["det", "nsubj", "cop", "root"],
     "triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}]}

Heads are 1-based with 0 for the root; spans are word indices, half open. `heads` and `deprels` may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import Dataset, Features, List, Value

from d2e2s.data_scripts.files import write_atomically, write_text
from d2e2s.errors_d2e2s import UserError
from d2e2s.labels_d2e2s import SENTIMENTS

Record = dict[str, Any]

FEATURES = Features(
    {
        "id": Value("string"),
        "tokens": List(Value("string")),
        "heads": List(Value("int64")),
        "deprels": List(Value("string")),
        "triplets": List(
            {
                "aspect": List(Value("int64"), length=2),
                "opinion": List(Value("int64"), length=2),
                "sentiment": Value("string"),
            }
        ),
    }
)


class RecordError(UserError):
    """A record, or a line of a raw file, that is not what it should be: `where: what; expected ...`."""

    def __init__(self, where: str, what: str, expected: str) -> None:
        super().__init__(f"{where}: {what}; expected {expected}")


def unrooted_words(heads: Sequence[int]) -> list[int]:
    """Words (0-based) from which no walk along the heads reaches the root, because of a cycle."""
    rooted: dict[int, bool] = {-1: True}
    for start in range(len(heads)):
        path, word = [], start
        while word not in rooted:
            rooted[word] = False  # met again on this walk means a cycle
            path.append(word)
            word = heads[word] - 1
        rooted.update(dict.fromkeys(path, rooted[word]))
    return [word for word in range(len(heads)) if not rooted[word]]


def is_tree(heads: Sequence[int]) -> bool:
    """True if every word reaches the root node 0 along `heads` (1-based); several words may hang on 0."""
    return all(0 <= head <= len(heads) for head in heads) and not unrooted_words(heads)


def validate_record(record: Record, where: str) -> None:
    """Check one record.

    Args:
        record: the record, with or without `heads` and `deprels`.
        where: file and line, for the message.

    Raises:
        RecordError: the first fault found, with place, what is wrong and what was expected.
    """
    if not isinstance(record.get("id"), str):
        raise RecordError(where, f"id is {record.get('id')!r}", "a string")
    _check_tokens(record.get("tokens"), where)
    _check_tree(record, where)
    triplets = record.get("triplets")
    if not isinstance(triplets, list):
        raise RecordError(where, f"triplets is {triplets!r}", "a list, empty where there are none")
    for triplet in triplets:
        _check_triplet(triplet, len(record["tokens"]), where)


def _check_tokens(tokens: object, where: str) -> None:
    if not isinstance(tokens, list) or not tokens:
        raise RecordError(where, f"tokens is {tokens!r}", "at least one token")
    for token in tokens:
        if not isinstance(token, str) or not token.strip() or not is_utf8(token):
            raise RecordError(where, f"token {token!r:.60}", "text that is not empty")


def _check_tree(record: Record, where: str) -> None:
    heads, deprels, length = record.get("heads"), record.get("deprels"), len(record["tokens"])
    for name, values, kind in (("heads", heads, int), ("deprels", deprels, str)):
        if values is None:
            continue
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise RecordError(where, f"{name} is {values!r}", f"a list of {kind.__name__}")
        if len(values) != length:
            raise RecordError(where, f"{len(values)} {name} for {length} tokens", "one for each token")
    if heads is None:
        return
    for word, head in enumerate(heads, start=1):
        if not 0 <= head <= length:
            raise RecordError(where, f"head {head} of word {word} is out of range", f"0 (root) to {length}")
    if cycle := unrooted_words(heads):
        words = ", ".join(str(word + 1) for word in cycle)
        raise RecordError(where, f"words {words} hang on a cycle", "every word to reach the root 0")


def _check_triplet(triplet: Any, length: int, where: str) -> None:
    if not isinstance(triplet, dict) or set(triplet) != {"aspect", "opinion", "sentiment"}:
        raise RecordError(where, f"triplet {triplet!r}", "the keys aspect, opinion, sentiment")
    for role in ("aspect", "opinion"):
        span = triplet[role]
        if not isinstance(span, list | tuple) or [type(index) for index in span] != [int, int]:
            raise RecordError(where, f"{role} {span!r}", "[start, end) as two whole numbers")
        if not 0 <= span[0] < span[1] <= length:
            raise RecordError(where, f"{role} {list(span)} does not fit", f"0 <= start < end <= {length}")
    if triplet["sentiment"] not in SENTIMENTS:
        raise RecordError(where, f"sentiment {triplet['sentiment']!r}", f"one of {', '.join(SENTIMENTS)}")


def read_records(path: str | Path) -> list[Record]:
    """Read and check the records of a `.jsonl` or `.parquet` file.

    Raises:
        RecordError: a line that is no JSON or no record, with file and line number; a spreadsheet.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv", ".xlsx") and path.is_file():
        made_by = "what data_scripts/ makes of annotations (docs/own_data.md)"
        raise RecordError(str(path), "a spreadsheet has no spans", f".jsonl or .parquet of records, {made_by}")
    rows: Iterable[tuple[int, Record]]
    if path.suffix == ".parquet":
        rows = enumerate(({k: v for k, v in row.items() if v is not None} for row in _read_parquet(path)), start=1)
    else:
        rows = _read_jsonl(path)
    records = []
    for line, record in rows:
        validate_record(record, f"{path}:{line}")
        records.append(record)
    return records


def _read_parquet(path: Path) -> list[Record]:
    try:
        return pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    except pyarrow.ArrowException as error:
        raise RecordError(str(path), f"no Parquet ({error})", "a Parquet file of records") from None


def is_utf8(text: str) -> bool:
    """Whether the text can be written: half of a surrogate pair, which JSON can escape, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def utf8_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text file, without a byte order mark.

    Raises:
        RecordError: a line that is not UTF-8, with its number.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not is_utf8(line):
                raise RecordError(f"{path}:{number}", "not UTF-8", "a file saved as UTF-8")
            yield number, line


def parse_json(text: str, where: str, expected: str) -> Any:
    """The value of a JSON text.

    Raises:
        RecordError: no JSON, nested too deep, or a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(where, f"no JSON ({error.__dict__.get('msg', error)})", expected) from None


def _read_jsonl(path: Path) -> Iterable[tuple[int, Record]]:
    for number, line in utf8_lines(path):
        if line.strip():
            record = parse_json(line, f"{path}:{number}", "one record a line")
            if not isinstance(record, dict):
                raise RecordError(f"{path}:{number}", f"JSON {type(record).__name__}", "one record a line")
            yield number, record


def write_records(path: str | Path, rows: Iterable[Record]) -> None:
    """Check and write records as `.jsonl` or `.parquet`; the file appears whole or not at all.

    Raises:
        RecordError: a row that is no record, or (Parquet) has other fields too; the file is then left as it was.
    """
    path, checked = Path(path), list[Record]()
    for number, row in enumerate(rows, start=1):  # as they come: a parser may take hours for all of them
        validate_record(row, f"{path}:{number}")
        if path.suffix == ".parquet" and (others := sorted(row.keys() - FEATURES.keys())):
            raise RecordError(str(path), f"records with {', '.join(others)}", "the fields of a record alone, or .jsonl")
        checked.append(row)
    if path.suffix == ".parquet":
        columns = {name: [row.get(name) for row in checked] for name in FEATURES}
        dataset = Dataset.from_dict(columns, features=FEATURES)
        write_atomically(path, lambda temporary: dataset.to_parquet(str(temporary)))
    else:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in checked)
        write_text(path, text)
