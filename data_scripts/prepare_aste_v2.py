"""ASTE-Data-V2 sentences and D2E2S dependency parses to records, with repaired trees and a report.

From raw files in a folder (`DIR/train_triplets.txt` or `DIR/14res/train_triplets.txt`, the same for the parses):

    python data_scripts/prepare_aste_v2.py --name 14res --text_dir DIR --parse_dir DIR --output_dir OUT

Without `--text_dir` or `--parse_dir` the raw files are downloaded once and kept in the user's cache; those without a
known checksum (16res) only with `--allow_unverified`. Several names write `OUT/NAME/`. The text files are the truth
for tokens and triplets, the parses give heads and deprels only.
Writes `{train,dev,test}.jsonl`, `report.json` and a card; exit code 2 and one line on the first fault of the input.

Data: Xu et al. 2020, "Position-Aware Tagging for Aspect Sentiment Triplet Extraction" (text); Zhao et al. 2024,
"Dual Encoder: Exploiting the Potential of Syntactic and Semantic for Aspect Sentiment Triplet Extraction" (parses).
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.dataset_card import write_dataset_card
from d2e2s.data_scripts.downloads import fetch
from d2e2s.data_scripts.files import write_text
from d2e2s.data_scripts.parse_repair import literal_heads, read_arcs, transfer
from d2e2s.data_scripts.records import (
    SENTIMENTS,
    Record,
    RecordError,
    read_records,
    validate_record,
    write_records,
)

NAMES = ("14res", "14lap", "15res", "16res")
SPLITS = ("train", "dev", "test")
TEXT_FILE = "{split}_triplets.txt"
PARSE_FILE = "{split}_dep_triple_polarity_result.json"
# Branches, as no commit that holds these very files is known to us: what they must hold is said by SHA256.
TEXT_URL = "https://raw.githubusercontent.com/xuuuluuu/SemEval-Triplet-data/master/ASTE-Data-V2-EMNLP2020"
PARSE_URL = "https://raw.githubusercontent.com/TYZY89/D2E2S/main/data"
SHA256: dict[str, str] = {
    "14res/train_triplets.txt": "feec35b67e697ad6908f14e8579fc3a025714485976784db0bf4018ddb32e97e",
    "14res/dev_triplets.txt": "80a7a26e642df87db2c9ae7e1173827cb718c2ff88f11614f5c652163b1d62d1",
    "14res/test_triplets.txt": "e3dcc31f520bc2e654fc6b2c588bb3e0c7f0f24b93a56dc585a3079480d871a5",
    "14res/train_dep_triple_polarity_result.json": "8b529f6fd7a1118ed62fa31ca6d24f07fc410f4fad9b8dead314f8f2e3acde9a",
    "14res/dev_dep_triple_polarity_result.json": "433623973a530f8826c40f372d556d06ed20a1034e950083cb3b0670da86a3eb",
    "14res/test_dep_triple_polarity_result.json": "9023d683849bd052913b63f2a35994fe1b778226ccab7a91a9aa0ed97237861e",
    "14lap/train_triplets.txt": "512ea143794332967b346d76791bba10e0c10c5d20d8e1fa8f6534c2069f9b7c",
    "14lap/dev_triplets.txt": "0adbf20fc75284d5d49523f56ec368d94a9da305e87411e0c627d12cd4510bc0",
    "14lap/test_triplets.txt": "413a3f655409af25bcb03a9499709925349fff3edbc3a7ca95fc6cdf788eeb92",
    "14lap/train_dep_triple_polarity_result.json": "54567b44fc244749e7e6dce12e7ef520c4b6938fae1285e161c4a27130f73358",
    "14lap/dev_dep_triple_polarity_result.json": "648b41f0f681282521b0220bb87ea4af5d32b0d9b8edfbf2ff5f27652a06715a",
    "14lap/test_dep_triple_polarity_result.json": "19542d3a741b103d5d6da16c4e4986f766a20414b59b65667ab06da7ee4d2f45",
    "15res/train_triplets.txt": "11c5abe1de8ad284a8d06596a8be45674e0ec153beb161b8378f88f61bf2b5db",
    "15res/dev_triplets.txt": "14b900f7fa7327c479091d3905c3706c72f35f8af825dc2e114da64cf9f8d270",
    "15res/test_triplets.txt": "1079183e82e91cb2e6c93e79826c47230bca9152631fff5c37bac450062c0153",
    "15res/train_dep_triple_polarity_result.json": "6036063ad47dcfab24f5eda68a4bf8bc692e5387db77d9daf41638e47022cc46",
    "15res/dev_dep_triple_polarity_result.json": "56fa51de1c7d85a29bf82c0a3e35c2292855dd66f49870a727ba60058b411025",
    "15res/test_dep_triple_polarity_result.json": "05e5b974b2be80294de4598d90c6b3ddc43b43075455d50f4fe3ec387cb70f2a",
}
ABOUT = """{name} of ASTE-Data-V2 (Xu et al. 2020, "Position-Aware Tagging for Aspect Sentiment Triplet Extraction"),
review sentences of the SemEval tasks on aspect-based sentiment analysis, with the dependency parses of D2E2S (Zhao et
al. 2024), repaired.

The parses are under the MIT licence (Yong Zhou). The repository of the triplets states no licence, and the terms of
SemEval hold for the sentences: read them before you publish this data."""
LINE_FORM = "sentence####[([aspect word indices], [opinion word indices], 'POS' | 'NEG' | 'NEU'), ...]"
SAME_SENTENCE = 0.5  # a parse whose tokens are less alike than this belongs to another sentence


@dataclass
class SplitReport:
    """What was found in one split; lists hold record ids or entries that begin with one."""

    sentences: int = 0
    triplets: int = 0
    sentences_without_triplet: int = 0
    trees_repaired: int = 0  # heads or deprels that are not the arcs as they stood
    parser_tokens_differ: int = 0
    parsed_as_several_sentences: int = 0
    dropped_tokens_attached: int = 0
    unfit_arcs: int = 0  # only counted with --no_repair
    token_disagreements: list[dict[str, Any]] = field(default_factory=list)
    triplet_disagreements: list[dict[str, Any]] = field(default_factory=list)
    unused_parses: list[str] = field(default_factory=list)
    long_spans: list[dict[str, Any]] = field(default_factory=list)
    aspect_opinion_overlaps: list[str] = field(default_factory=list)
    duplicate_triplets: list[str] = field(default_factory=list)
    duplicate_sentences: list[list[str]] = field(default_factory=list)
    duplicates_with_other_triplets: list[list[str]] = field(default_factory=list)
    implicit_dropped: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


# Raw files


def find_file(
    name: str, split: str, folder: Path | None, pattern: str, url: str, allow_unverified: bool = False
) -> Path:
    """A raw file in `folder` or `folder/name`, or, with no folder, from the user's cache or the network.

    Raises:
        FileNotFoundError: not in the folder, with the places that were looked at, or not to be downloaded.
    """
    file = pattern.format(split=split)
    if folder is None:
        return download(name, file, f"{url}/{name}/{file}", allow_unverified)
    places = [folder / name / file, folder / file]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"no {file} for {name}: looked for {places[0]} and {places[1]}")


def download(name: str, file: str, url: str, allow_unverified: bool = False) -> Path:
    """Fetch a raw file into the user's cache, with a progress bar, checked against its sha256.

    Raises:
        FileNotFoundError: it cannot be had, is another file than the one known, or has no known sha256 and
            `allow_unverified` is false.
    """
    pin = SHA256.get(f"{name}/{file}")
    if pin is None and not allow_unverified:
        raise FileNotFoundError(
            f"{name}/{file}: no checksum is known for this file, so it is not downloaded; pass --text_dir and "
            "--parse_dir with files that you have, or --allow_unverified to use it as downloaded"
        )
    if pin is None:
        print(
            f"WARNING: {name}/{file}: no checksum is known for this file, so it is used as downloaded", file=sys.stderr
        )
    return fetch(url, pin, name, "pass --text_dir and --parse_dir")


def parse_line(line: str, where: str, drop_implicit: bool = False) -> tuple[list[str], list[dict], int]:
    """One line of a text file: its tokens, its triplets, and how many implicit ones were left out.

    Raises:
        RecordError: anything that is not `LINE_FORM`.
    """
    parts = line.split("####")
    if len(parts) != 2:
        raise RecordError(where, f"{len(parts) - 1} '####' in the line", LINE_FORM)
    tokens = [token for token in parts[0].split(" ") if token]
    if not "".join(tokens).strip():
        raise RecordError(where, "empty text before '####'", LINE_FORM)
    try:
        raw = ast.literal_eval(parts[1].strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise RecordError(where, f"unreadable triplets {parts[1].strip()[:60]!r}", LINE_FORM) from None
    if not isinstance(raw, list):
        raise RecordError(where, f"triplets {parts[1].strip()[:60]!r} are no list", LINE_FORM)
    triplets, implicit = [], 0
    for item in raw:
        if not isinstance(item, tuple | list) or len(item) != 3:
            raise RecordError(where, f"triplet {item!r}", LINE_FORM)
        aspect, opinion, sentiment = item
        if drop_implicit and any(indices in ([-1], [-1, -1]) for indices in (aspect, opinion)):
            implicit += 1
            continue
        if not isinstance(sentiment, str) or sentiment not in SENTIMENTS:
            raise RecordError(where, f"sentiment {sentiment!r}", f"one of {', '.join(SENTIMENTS)}")
        spans = {
            "aspect": _span(aspect, len(tokens), f"{where}: aspect"),
            "opinion": _span(opinion, len(tokens), f"{where}: opinion"),
        }
        triplets.append({**spans, "sentiment": sentiment})
    return tokens, triplets, implicit


def _span(indices: object, length: int, where: str) -> list[int]:
    if not isinstance(indices, list) or not indices or any(type(index) is not int for index in indices):
        raise RecordError(where, f"word indices {indices!r}", "a list of whole numbers such as [3, 4]")
    if -1 in indices:
        raise RecordError(where, "implicit term (index -1)", "a term in the text, or --implicit drop")
    if not all(0 <= index < length for index in indices):
        raise RecordError(where, f"word indices {indices} are out of range", f"0 to {length - 1}")
    if indices != list(range(indices[0], indices[0] + len(indices))):
        raise RecordError(where, f"word indices {indices} have gaps", "neighbouring words in rising order")
    return [indices[0], indices[-1] + 1]


def read_parses(path: Path) -> list[dict]:
    """The records of a D2E2S file.

    Raises:
        RecordError: the file is no JSON list.
    """
    try:
        parses = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecordError(str(path), f"not JSON ({error})", "a list of parsed sentences") from None
    if not isinstance(parses, list):
        raise RecordError(str(path), f"a JSON {type(parses).__name__}", "a list of parsed sentences")
    return parses


class ParseBook:
    """Finds the parse of each sentence: the one with its tokens, else the one at its place if that is much alike."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parses = read_parses(path)
        self.by_tokens: dict[str, list[int]] = defaultdict(list)
        for number, parse in enumerate(self.parses):
            try:
                self._check(parse)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                continue  # reported at the sentence that needs it, by find()
            self.by_tokens[" ".join(parse["tokens"])].append(number)
        self.unused = set(range(len(self.parses)))

    @staticmethod
    def _check(parse: dict) -> None:
        """Raise what a record of another form raises."""
        if not all(isinstance(parse[name], list) for name in ("tokens", "pos", "dependency")):
            raise TypeError("a list is expected")
        " ".join(parse["tokens"]).encode()  # half a surrogate pair, which JSON can escape, is in no UTF-8 file
        " ".join(pair[0] for pair in parse["pos"])
        for deprel, head, word in parse["dependency"]:
            deprel.encode()
            if type(head) is not int or type(word) is not int:
                raise ValueError("arc")

    def find(self, tokens: list[str], place: int) -> tuple[dict, str]:
        """The parse of the sentence on line `place` (from 0), and where it stands.

        Raises:
            RecordError: there is none, or it is no D2E2S record.
        """
        text = " ".join(tokens)
        same = [number for number in self.by_tokens.get(text, []) if number in self.unused]
        number = place if place in same or not same else same[0]
        where = f"{self.path}: record {number + 1}"
        if number not in self.unused:
            raise RecordError(f"{self.path}", f"no parse of {text[:60]!r}", "one for every sentence of the text file")
        parse = self.parses[number]
        try:
            self._check(parse)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise RecordError(where, "not a parsed sentence", "tokens, pos and dependency as in D2E2S") from None
        if not same and SequenceMatcher(None, tokens, parse["tokens"], autojunk=False).ratio() < SAME_SENTENCE:
            raise RecordError(where, f"another sentence than {text[:60]!r}", "a parse for every sentence of the text")
        self.unused.discard(number)
        return parse, where


# One split


def read_split(
    name: str, split: str, text: Path, parses: Path, options: argparse.Namespace
) -> tuple[list[Record], SplitReport]:
    """The records of one split and what was found on the way.

    Raises:
        RecordError: the first fault, unless `options.on_error` is "skip".
    """
    book, report, records = ParseBook(parses), SplitReport(), []
    for number, line in _lines(text):
        key, place = f"{name}-{split}-{number}", f"{text}:{number}"
        try:
            tokens, triplets, implicit = parse_line(line, place, options.implicit == "drop")
            parse, where = book.find(tokens, number - 1)
            heads, deprels, counts = _tree(tokens, parse, where, options.no_repair)
            record = {"id": key, "tokens": tokens, "heads": heads, "deprels": deprels, "triplets": triplets}
            validate_record(record, place)
        except RecordError as error:
            if options.on_error == "stop":
                raise
            report.skipped.append(str(error))
            continue
        report.implicit_dropped += [key] * implicit
        for count, value in counts.items():
            setattr(report, count, getattr(report, count) + value)
        _compare(record, parse, report)
        records.append(record)
    report.unused_parses = [f"{parses}: record {number + 1}" for number in sorted(book.unused)]
    return records, report


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines; an empty last line is no line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RecordError(str(path), f"byte {error.start} is not UTF-8", "UTF-8 text") from None
    yield from enumerate(lines if lines[-1] else lines[:-1], start=1)


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


def _compare(record: Record, parse: dict, report: SplitReport) -> None:
    """Note where the parse file tells another sentence or other triplets than the text file."""
    key = record["id"]
    if parse["tokens"] != record["tokens"]:
        report.token_disagreements.append({"id": key, "text": record["tokens"], "parse": parse["tokens"]})
    ours, theirs = sorted(set(map(_flat, record["triplets"]))), _json_triplets(parse)
    if theirs is not None and ours != theirs:
        report.triplet_disagreements.append({"id": key, "text": ours, "parse": theirs})


def _flat(triplet: dict) -> tuple[int, int, int, int, str]:
    return (*triplet["aspect"], *triplet["opinion"], triplet["sentiment"])


def _json_triplets(parse: dict) -> list[tuple[int, int, int, int, str]] | None:
    """The triplets of a D2E2S record, None where it does not tell them."""
    try:
        spans = [(entity["start"], entity["end"]) for entity in parse["entities"]]
        return sorted(
            {(*spans[pair["head"]], *spans[pair["tail"]], pair["type"][:3].upper()) for pair in parse["sentiments"]}
        )
    except (KeyError, TypeError, IndexError, AttributeError):
        return None


def describe(records: list[Record], report: SplitReport, max_span_width: int) -> None:
    """Fill in what the records themselves show."""
    texts: dict[str, list[Record]] = defaultdict(list)
    report.sentences = len(records)
    for record in records:
        key, triplets = record["id"], record["triplets"]
        texts[" ".join(record["tokens"])].append(record)
        report.triplets += len(triplets)
        report.sentences_without_triplet += not triplets
        for role in ("aspect", "opinion"):
            for start, end in sorted({tuple(triplet[role]) for triplet in triplets}):
                if end - start > max_span_width:
                    report.long_spans.append({"id": key, "role": role, "span": [start, end]})
        counts = Counter(map(_flat, triplets))
        report.aspect_opinion_overlaps += [key for a, b, c, d, _ in counts if a < d and c < b]
        report.duplicate_triplets += [key for count in counts.values() for _ in range(count - 1)]
    for same in (same for same in texts.values() if len(same) > 1):
        ids = [record["id"] for record in same]
        report.duplicate_sentences.append(ids)
        if len({frozenset(map(_flat, record["triplets"])) for record in same}) > 1:
            report.duplicates_with_other_triplets.append(ids)


# Sentences that stand in several places


def shared_sentences(places: dict[str, list[Record]]) -> list[dict[str, Any]]:
    """For each two places (such as "14res/train") the sentences of the second that the first has too."""
    texts = {place: {" ".join(record["tokens"]) for record in records} for place, records in places.items()}
    names = list(places)
    found = []
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            ids = [record["id"] for record in places[second] if " ".join(record["tokens"]) in texts[first]]
            if ids:
                found.append({"first": first, "second": second, "ids_in_second": ids})
    return found


def leaks(shared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that stand in different splits, of one set or of two that may be pooled: seen before they are scored."""
    return [entry for entry in shared if entry["first"].split("/")[1] != entry["second"].split("/")[1]]


def held_out_texts(folders: list[Path]) -> dict[str, set[str]]:
    """Sentences that another prepared set is scored on, by the split of ours that must not hold them.

    Raises:
        FileNotFoundError: a folder without prepared dev and test.
    """
    texts: dict[str, set[str]] = {}
    for folder in folders:
        for split in ("dev", "test"):
            file = next((f for f in (folder / f"{split}.jsonl", folder / f"{split}.parquet") if f.is_file()), None)
            if file is None:
                raise FileNotFoundError(f"no {split}.jsonl in {folder}: --exclude_shared_with takes a prepared folder")
            texts.setdefault(split, set()).update(" ".join(record["tokens"]) for record in read_records(file))
    dev, test = texts.get("dev", set()), texts.get("test", set())
    return {"train": dev | test, "dev": test, "test": set()}


# The whole command


def prepare(options: argparse.Namespace) -> None:
    """Read all that was asked for, then write it: a fault leaves no file behind.

    Raises:
        RecordError: a fault of the input.
        FileNotFoundError: a raw file that is neither in the folder nor to be had.
    """
    held_out = held_out_texts(options.exclude_shared_with)
    records: dict[str, list[Record]] = {}
    reports: dict[str, SplitReport] = {}
    names: dict[Path, str] = {}
    for name in options.name:
        for split in SPLITS:
            text = find_file(name, split, options.text_dir, TEXT_FILE, TEXT_URL, options.allow_unverified)
            parses = find_file(name, split, options.parse_dir, PARSE_FILE, PARSE_URL, options.allow_unverified)
            if names.setdefault(text, name) != name:
                what = f"is read as {names[text]} and as {name}"
                raise RecordError(str(text), what, f"a folder for each in {text.parent}")
            rows, report = read_split(name, split, text, parses, options)
            seen = [" ".join(row["tokens"]) in held_out.get(split, set()) for row in rows]
            kept = [row for row, drop in zip(rows, seen, strict=True) if not drop]
            report.excluded = [row["id"] for row, drop in zip(rows, seen, strict=True) if drop]
            describe(kept, report, options.max_span_width)
            records[f"{name}/{split}"], reports[f"{name}/{split}"] = kept, report
    shared = shared_sentences(records)
    for name in options.name:
        folder = options.output_dir / name if len(options.name) > 1 else options.output_dir
        for split in SPLITS:
            write_records(folder / f"{split}.{options.format}", records[f"{name}/{split}"])
        _write_report(folder / "report.json", name, reports, shared, options)
        splits = {split: records[f"{name}/{split}"] for split in SPLITS}
        about = ABOUT.format(name=name)
        write_dataset_card(folder, f"ASTE-Data-V2 {name}", about, splits, language="en", suffix=options.format)
        print(f"{name}: written to {folder}")
    print_report(reports, shared)


def _write_report(
    path: Path,
    name: str,
    reports: dict[str, SplitReport],
    shared: list[dict[str, Any]],
    options: argparse.Namespace,
) -> None:
    content = {
        "name": name,
        "arguments": {  # those that the counts depend on; of folders their names only
            "name": options.name,
            "repaired": not options.no_repair,
            "max_span_width": options.max_span_width,
            "on_error": options.on_error,
            "implicit": options.implicit,
            "exclude_shared_with": [folder.resolve().name for folder in options.exclude_shared_with],
        },
        "splits": {split: asdict(reports[f"{name}/{split}"]) for split in SPLITS},
        "shared_sentences": [
            entry for entry in shared if name in (entry["first"].split("/")[0], entry["second"].split("/")[0])
        ],
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_text(path, text)


def print_report(reports: dict[str, SplitReport], shared: list[dict[str, Any]]) -> None:
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
    seen = leaks(shared)
    for entry in seen:
        print(
            f"WARNING: sentences in both {entry['first']} and {entry['second']}: {len(entry['ids_in_second'])}",
            file=sys.stderr,
        )
    if seen:
        print(
            "A model that is trained or chosen on one of two such splits has seen a part of the other; "
            "--exclude_shared_with PREPARED_DIR, a folder written by this script, drops from train what stands in its "
            "dev or test, and from dev what stands in its test",
            file=sys.stderr,
        )


def _first(values: list[Any], limit: int = 8) -> str:
    """The first ids of a list of ids or of entries that hold one."""
    names = []
    for value in values[:limit]:
        value = value["id"] if isinstance(value, dict) else value
        names.append(" = ".join(value) if isinstance(value, list) else value)
    more = f", ... {len(values) - limit} more in report.json" if len(values) > limit else ""
    return ", ".join(names) + more


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="ASTE-Data-V2 and D2E2S parses to records, with repaired trees and a report.",
        epilog=LINE_FORM,
    )
    parser.add_argument("--name", nargs="+", required=True, help=f"sets to prepare, such as {', '.join(NAMES)}")
    parser.add_argument(
        "--text_dir", type=Path, help="folder with train_triplets.txt and the others (default: download)"
    )
    parser.add_argument("--parse_dir", type=Path, help="folder with the D2E2S JSON files (default: download)")
    parser.add_argument("--output_dir", type=Path, required=True, help="written to; OUT/NAME with several names")
    parser.add_argument(
        "--allow_unverified", action="store_true", help="download also files without a known checksum (16res)"
    )
    parser.add_argument("--format", choices=["jsonl", "parquet"], default="jsonl")
    parser.add_argument("--max_span_width", type=int, default=8, help="longer spans are listed (default: 8)")
    parser.add_argument("--on_error", choices=["stop", "skip"], default="stop", help="skip lists what it leaves out")
    parser.add_argument("--implicit", choices=["stop", "drop"], default="stop", help="triplets with index -1")
    parser.add_argument("--no_repair", action="store_true", help="arcs as they stand, to measure the repair")
    parser.add_argument(
        "--exclude_shared_with",
        nargs="+",
        type=Path,
        default=[],
        metavar="PREPARED_DIR",
        help="drop from train what stands in dev or test of that set, and from dev what stands in its test",
    )
    options = parser.parse_args(argv)
    if len(set(options.name)) < len(options.name):
        parser.error(f"--name {' '.join(options.name)}: a name twice; expected each set once")
    unknown = [name for name in options.name if name not in NAMES]
    if unknown and not (options.text_dir and options.parse_dir):
        parser.error(f"--name {unknown[0]}: only {', '.join(NAMES)} can be downloaded; pass --text_dir and --parse_dir")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse_arguments(argv)
    try:
        prepare(options)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
