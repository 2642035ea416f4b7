"""The canonical record: one sentence with its tokens, dependency tree and triplets.

A record is what every other part of the project reads, through
``load_dataset("json" | "parquet", data_files=..., features=FEATURES)``::

    {"id": "train-1", "tokens": ["The", "soup", "was", "superb"],
     "heads": [2, 4, 4, 0], "deprels": ["det", "nsubj", "cop", "root"],
     "triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}]}

Heads are 1-based with 0 for the root; spans are word indices, half open. `heads` and `deprels` may be absent. A
sentiment is any label: POS, NEG and NEU, or those of the data. `triplets` is null where they are not known: such a
sentence trains the parser only and is left out of scoring.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import Dataset, Features, List, Value

from d2e2s.data_scripts.files import write_atomically, write_text
from d2e2s.errors_d2e2s import UserError
from d2e2s.labels_d2e2s import SENTIMENTS

Record = dict[str, Any]

SPAN = List(Value("int64"), length=2)
FEATURES = Features(
    {
        "id": Value("string"),
        "tokens": List(Value("string")),
        "heads": List(Value("int64")),
        "deprels": List(Value("string")),
        "triplets": List({"aspect": SPAN, "opinion": SPAN, "sentiment": Value("string")}),
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


def is_labelled(record: Record) -> bool:
    """Whether the triplets of a record are known."""
    return record["triplets"] is not None


def sentiment_labels(records: Iterable[Record]) -> list[str]:
    """The sentiments of the data: POS, NEG and NEU if it has no others, else those that it has, these three first."""
    found = {triplet["sentiment"] for record in records for triplet in record["triplets"] or []}
    others = sorted(found.difference(SENTIMENTS))
    return [label for label in SENTIMENTS if label in found or not others] + others


def validate_record(record: Record, where: str, sentiments: Collection[str] | None = None) -> None:
    """Check one record.

    Args:
        record: the record, with or without `heads` and `deprels`.
        where: file and line, for the message.
        sentiments: the labels that there are; any, if there are none.

    Raises:
        RecordError: the first fault found, with place, what is wrong and what was expected.
    """
    if not isinstance(record.get("id"), str) or not is_utf8(record["id"]):
        raise RecordError(where, f"id is {record.get('id')!r}", "a string")
    _check_tokens(record.get("tokens"), where)
    _check_tree(record, where)
    triplets = record.get("triplets", ...)
    if triplets is not None and not isinstance(triplets, list):
        what = "no triplets" if triplets is ... else f"triplets is {triplets!r:.60}"
        raise RecordError(where, what, "a list, empty where there are none, or null where they are not known")
    for triplet in triplets or []:
        _check_triplet(triplet, len(record["tokens"]), where, sentiments)


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
    for word, head in enumerate(heads or [], start=1):
        if not 0 <= head <= length:
            raise RecordError(where, f"head {head} of word {word} is out of range", f"0 (root) to {length}")
    if cycle := unrooted_words(heads or []):
        words = ", ".join(str(word + 1) for word in cycle)
        raise RecordError(where, f"words {words} hang on a cycle", "every word to reach the root 0")


def _check_triplet(triplet: Any, length: int, where: str, sentiments: Collection[str] | None) -> None:
    if not isinstance(triplet, dict) or set(triplet) != {"aspect", "opinion", "sentiment"}:
        raise RecordError(where, f"triplet {triplet!r}", "the keys aspect, opinion, sentiment")
    for role in ("aspect", "opinion"):
        span = triplet[role]
        if not isinstance(span, list | tuple) or [type(index) for index in span] != [int, int]:
            raise RecordError(where, f"{role} {span!r}", "[start, end) as two whole numbers")
        if not 0 <= span[0] < span[1] <= length:
            raise RecordError(where, f"{role} {list(span)} does not fit", f"0 <= start < end <= {length}")
    label = triplet["sentiment"]
    if not isinstance(label, str) or not label or label != label.strip() or not is_utf8(label):
        raise RecordError(where, f"sentiment {label!r}", "a label such as POS, without white space around it")
    if sentiments is not None and label not in sentiments:
        raise RecordError(where, f"sentiment {label!r}", f"one of {', '.join(sentiments)}")


def read_records(path: str | Path, sentiments: Collection[str] | None = None) -> list[Record]:
    """Read and check the records of a `.jsonl` or `.parquet` file; `sentiments` as for `validate_record`.

    Raises:
        RecordError: a line that is no JSON or no record, with file and line number; another kind of file.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rows = _read_parquet(path) if _is_parquet(path) else _read_jsonl(path)
    return [_checked(row, f"{path}:{line}", sentiments) for line, row in rows]


def check_records(
    rows: Iterable[Mapping[str, Any]], where: str, sentiments: Collection[str] | None = None
) -> list[Record]:
    """The rows of a split of `datasets` as records.

    Args:
        rows: a `Dataset`, or any rows; a field that is None, as columns have them for absent ones, is left out.
        where: data set and split, for the message: `data/mine train`.
        sentiments: as for `validate_record`.

    Raises:
        RecordError: a row that is no record, with `where` and its number from 1.
    """
    return [_checked(row, f"{where} row {number}", sentiments) for number, row in enumerate(rows, start=1)]


def _checked(row: Mapping[str, Any], where: str, sentiments: Collection[str] | None) -> Record:
    record = {key: value for key, value in row.items() if value is not None or key == "triplets"}
    validate_record(record, where, sentiments)
    return record


def _is_parquet(path: Path) -> bool:
    """Which of the two kinds of files a name says.

    Raises:
        RecordError: it says another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".parquet"):
        is_sheet = suffix in (".csv", ".tsv", ".xlsx")
        what = "a spreadsheet has no spans" if is_sheet else f"{suffix or 'no suffix'} is no kind of file for records"
        made_by = "what data_scripts/ makes of annotations (docs/own_data.md)"
        raise RecordError(str(path), what, f".jsonl or .parquet of records, {made_by}")
    return suffix == ".parquet"


def _read_parquet(path: Path) -> Iterable[tuple[int, Record]]:
    try:
        return enumerate(pyarrow.parquet.read_table(path, partitioning=None).to_pylist(), start=1)
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
        RecordError: another kind of file; a row that is no record, or (Parquet) has other fields too. The file is then
            left as it was.
    """
    path, checked = Path(path), list[Record]()
    is_parquet = _is_parquet(path)
    for number, row in enumerate(rows, start=1):  # as they come: a parser may take hours for all of them
        validate_record(row, f"{path}:{number}")
        if is_parquet and (others := sorted(row.keys() - FEATURES.keys())):
            raise RecordError(str(path), f"records with {', '.join(others)}", "the fields of a record alone, or .jsonl")
        checked.append(row)
    if is_parquet:
        columns = {name: [row.get(name) for row in checked] for name in FEATURES}
        dataset = Dataset.from_dict(columns, features=FEATURES)
        write_atomically(path, lambda temporary: dataset.to_parquet(str(temporary)))
    else:
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in checked))
