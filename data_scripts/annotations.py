"""From texts with marked spans and relations between them to records: what every annotation tool has in common.

A reader (`from_label_studio`, `from_doccano`) turns an export into `Document`s, and `main` does the rest: character
spans to word spans, texts to sentences, documents to train, dev and test. Nothing is left out or changed without a
finding in `report.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE, write_dataset_card
from d2e2s.data_scripts.files import write_text
from d2e2s.data_scripts.records import SENTIMENTS, Record, RecordError, write_records
from d2e2s.words_d2e2s import WORD_SPLITTERS, Word, WordSplitter, pack_words, split_sentences, without_surrogates

SPLITS = ("train", "dev", "test")


class Span(NamedTuple):
    """A marked piece of text, in characters, half open."""

    start: int
    end: int
    labels: list[str]
    text: str | None = None  # what the tool says it is, if it does


class Link(NamedTuple):
    """A relation between two spans, in any direction."""

    source: str
    target: str
    labels: list[str]


@dataclass
class Document:
    """An annotated text. `where` is its file and place, for messages."""

    id: str
    where: str
    text: str
    spans: dict[str, Span]
    links: list[Link]

    def __post_init__(self) -> None:
        self.text = without_surrogates(self.text)


@dataclass
class Finding:
    """Something in the export that is not as it should be, or that training should know; and what was done."""

    id: str
    kind: str
    text: str
    what: str
    done: str


@dataclass
class Report:
    """Collects findings. A *fault* stops the run if `on_error` is "stop", else what it concerns is left out."""

    on_error: str = "stop"
    findings: list[Finding] = field(default_factory=list)

    def note(self, id: str, kind: str, text: str, what: str, done: str) -> None:
        self.findings.append(Finding(id, kind, text, what, done))

    def fault(self, id: str, kind: str, text: str, error: RecordError) -> None:
        if self.on_error == "stop":
            raise error
        self.note(id, kind, text, str(error), "left out")


class Fault(RecordError):
    """A fault of one annotation; `kind` and `text` are for the report."""

    def __init__(self, kind: str, text: str, where: str, what: str, expected: str) -> None:
        super().__init__(where, what, expected)
        self.kind, self.text = kind, text


Reader = Callable[[Path, argparse.Namespace, Report], list[Document]]


# --- reading JSON -----------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        RecordError: not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(str(path), f"byte {error.start} is not UTF-8", "UTF-8 text") from None


def member(item: Any, key: str, kinds: type | tuple[type, ...], where: str, expected: str) -> Any:
    """`item[key]`.

    Raises:
        RecordError: `item` is no object, or has nothing of these types under `key`.
    """
    if not isinstance(item, dict):
        raise RecordError(where, f"{item!r:.60} is no object", expected)
    if not isinstance(item.get(key), kinds) or isinstance(item[key], bool):
        raise RecordError(where, f"{key} is {item.get(key)!r:.60}", expected)
    return item[key]


def collect(documents: Iterable[Document], report: Report) -> list[Document]:
    """The documents with a text, each id once.

    Raises:
        RecordError: an id a second time, unless faults are to be skipped.
    """
    found: dict[str, Document] = {}
    for document in documents:
        if document.id in found:
            error = RecordError(document.where, f"id {document.id} a second time", "each id once")
            report.fault(document.id, "duplicate id", document.text[:60], error)
        elif not document.text.strip():
            report.note(document.id, "empty text", "", document.where, "left out")
        else:
            found[document.id] = document
    return list(found.values())


# --- one document to records ------------------------------------------------------------------------------


class Place(NamedTuple):
    """A span as the words [start, end) of its document, and its role: aspect or opinion."""

    role: str
    start: int
    end: int


def word_span(words: Sequence[Word], start: int, end: int) -> tuple[int, int]:
    """The words [first, last) that the characters [start, end) touch; first >= last if they touch none."""
    first = bisect_right(words, start, key=lambda word: word.end)
    return first, bisect_left(words, end, key=lambda word: word.start)


class Converter:
    """Makes records of documents.

    Args:
        options: the arguments of `main`.
        report: learns what was found.
    """

    def __init__(self, options: argparse.Namespace, report: Report) -> None:
        self.options, self.report = options, report
        self.split_words = WordSplitter(options.word_splitter)
        self.roles = {"aspect": options.aspect_label, "opinion": options.opinion_label}
        self.sentiments = dict(zip(SENTIMENTS, (options.positive, options.negative, options.neutral), strict=True))

    def __call__(self, document: Document) -> list[Record]:
        """A record for each sentence, in order, without heads.

        Raises:
            RecordError: a fault of an annotation, unless faults are to be skipped.
        """
        sentences = self._sentences(document)
        triplets = self._triplets(document, sentences)
        return [
            {
                "id": f"{document.id}-{number + 1}",
                "tokens": [word.text for word in sentence],
                "triplets": sorted(triplets[number], key=lambda item: (item["aspect"], item["opinion"])),
            }
            for number, sentence in enumerate(sentences)
        ]

    def _sentences(self, document: Document) -> list[list[Word]]:
        text, limit = document.text, self.options.max_words
        # A lone control character is a word to the splitter, but white space to a record.
        words = [word for word in self.split_words(text) if not word.text.isspace()]
        sentences = []
        for sentence in split_sentences(text, words):
            parts = pack_words([word.text for word in sentence], [1] * len(sentence), limit)
            sentences += [sentence[a:b] for a, b in parts]
            if len(parts) > 1:
                start, what = text[sentence[0].start :][:60], f"sentence of {len(sentence)} words"
                self.report.note(document.id, "long sentence", start, what, f"cut into {len(parts)}")
        return sentences

    def _triplets(self, document: Document, sentences: list[list[Word]]) -> dict[int, list[dict[str, Any]]]:
        """The triplets of each sentence, by its number."""
        places = self._places(document, [word for sentence in sentences for word in sentence])
        borders = list(accumulate(map(len, sentences)))
        triplets: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for (aspect, opinion), (sentiment, text) in self._pairs(document, places).items():
            numbers = {bisect_right(borders, word) for place in (aspect, opinion) for word in (place[0], place[1] - 1)}
            if len(numbers) > 1:
                what = f"in sentences {min(numbers) + 1} to {max(numbers) + 1} of the text"
                self.report.note(document.id, "crosses sentences", text, what, "triplet left out")
                continue
            number = numbers.pop()
            offset = borders[number] - len(sentences[number])
            spans = {"aspect": _moved(aspect, offset), "opinion": _moved(opinion, offset)}
            triplets[number].append({**spans, "sentiment": sentiment})
            self._describe(document, spans, text)
        return triplets

    def _describe(self, document: Document, spans: dict[str, list[int]], text: str) -> None:
        """Note what makes a triplet hard or impossible to learn."""
        width = max(end - start for start, end in spans.values())
        if width > self.options.max_span_width:
            done = f"kept; out of reach without --max_span_width {width} in training"
            self.report.note(document.id, "long span", text, f"{width} words", done)
        if spans["aspect"][0] < spans["opinion"][1] and spans["opinion"][0] < spans["aspect"][1]:
            self.report.note(document.id, "overlap", text, "aspect and opinion share words", "kept")

    # Spans

    def _places(self, document: Document, words: list[Word]) -> dict[str, Place]:
        """The usable spans of a document by their key."""
        places = {}
        for key, span in document.spans.items():
            try:
                role = self._role(document, span)
                places[key] = Place(role, *self._word_span(document, span, words))
            except Fault as fault:
                self.report.fault(document.id, fault.kind, fault.text, fault)
        linked = {key for link in document.links for key in (link.source, link.target)}
        for key in (key for key in places if key not in linked):
            text, what = _surface(document, document.spans[key]), f"{places[key].role} without relation"
            self.report.note(document.id, "no relation", text, what, "in no triplet")
        return places

    def _role(self, document: Document, span: Span) -> str:
        roles = [role for role, names in self.roles.items() if _common(names, span.labels)]
        if len(roles) != 1:
            names = " or ".join(f"{role} ({', '.join(names)})" for role, names in self.roles.items())
            text = _surface(document, span)
            what = f"labels {span.labels} of {text!r}" if span.labels else f"no label of {text!r}"
            expected = f"one of {names}; name yours with --aspect_label and --opinion_label"
            raise Fault("unknown label", text, document.where, what, expected)
        return roles[0]

    def _word_span(self, document: Document, span: Span, words: list[Word]) -> tuple[int, int]:
        """The words of a span, snapped outward where it does not fall on their borders."""
        text, (start, end) = _surface(document, span), span[:2]
        if not 0 <= start < end <= len(document.text):
            expected = f"0 <= start < end <= {len(document.text)}"
            raise Fault("bad offsets", text, document.where, f"span [{start}, {end})", expected)
        if span.text is not None and _bare(span.text) != _bare(text):
            what = f"span [{start}, {end}) is {text!r:.80}"
            raise Fault("other text", text, document.where, what, f"{span.text!r:.80} as the export says")
        first, last = word_span(words, start, end)
        if first >= last:
            raise Fault("no word", text, document.where, f"span [{start}, {end}) holds no word", "some text")
        self._compare_borders(document, (start, end), (words[first].start, words[last - 1].end))
        return first, last

    def _compare_borders(self, document: Document, marked: tuple[int, int], snapped: tuple[int, int]) -> None:
        old, new = (document.text[slice(*span)] for span in (marked, snapped))
        if old.strip() != new:
            what = f"span [{marked[0]}, {marked[1]}) does not fall on word borders"
            if self.options.off_borders == "fault":
                raise Fault("word borders", old, document.where, f"{what}: {old!r}", f"{new!r}")
            self.report.note(document.id, "word borders", old, what, f"snapped outward to {new!r}")
        elif old != new:
            self.report.note(document.id, "outer white space", old, f"span [{marked[0]}, {marked[1]})", "trimmed")

    # Relations

    def _pairs(
        self, document: Document, places: dict[str, Place]
    ) -> dict[tuple[tuple[int, int], tuple[int, int]], tuple[str, str]]:
        """Sentiment, and text for messages, of each pair of aspect and opinion words; each pair once, none with two."""
        pairs: dict[tuple[tuple[int, int], tuple[int, int]], tuple[str, str]] = {}
        contradictory = set()
        for link in document.links:
            try:
                keys = self._ordered(document, link, places)
                aspect, opinion = (document.spans[key] for key in keys)
                text = f"{_surface(document, aspect)} | {_surface(document, opinion)}"
                sentiment = self._sentiment(document, (link.labels, opinion.labels, aspect.labels), text)
                pair = (places[keys[0]][1:], places[keys[1]][1:])
                if pairs.get(pair, (sentiment,))[0] != sentiment:
                    contradictory.add(pair)
                    what = f"{text!r} is {pairs[pair][0]} and {sentiment}"
                    raise Fault("two sentiments", text, document.where, what, "one sentiment for a pair")
            except Fault as fault:
                self.report.fault(document.id, fault.kind, fault.text, fault)
                continue
            if pair in pairs:
                self.report.note(document.id, "twice", text, sentiment, "kept once")
            pairs[pair] = (sentiment, text)
        return {pair: found for pair, found in pairs.items() if pair not in contradictory}

    def _ordered(self, document: Document, link: Link, places: dict[str, Place]) -> tuple[str, str]:
        """The keys of a relation's aspect and opinion; tools let it be drawn from either end."""
        keys = (link.source, link.target)
        texts = [_surface(document, document.spans[key]) if key in document.spans else key for key in keys]
        for key, text in zip(keys, texts, strict=True):
            if key not in places:
                why = "left out" if key in document.spans else "no span of the export"
                what = f"relation to {text!r}, which is {why}"
                raise Fault("broken relation", " | ".join(texts), document.where, what, "an aspect and an opinion")
        roles = [places[key].role for key in keys]
        if sorted(roles) != ["aspect", "opinion"]:
            what = f"relation {' | '.join(texts)!r} between two {roles[0]}s"
            raise Fault("same role", " | ".join(texts), document.where, what, "an aspect and an opinion")
        return keys if roles[0] == "aspect" else (keys[1], keys[0])

    def _sentiment(self, document: Document, sources: Sequence[list[str]], text: str) -> str:
        """The sentiment of the first of `sources` (labels of relation, opinion, aspect) that tells any."""
        for labels in sources:
            found = [sentiment for sentiment, names in self.sentiments.items() if _common(names, labels)]
            if len(found) > 1:
                raise Fault("two sentiments", text, document.where, f"{text!r} is labelled {labels}", "one sentiment")
            if found:
                return found[0]
        what = f"no sentiment in the labels {sum(sources, [])} of {text!r}"
        names = ", ".join(name for names in self.sentiments.values() for name in names)
        expected = f"one of {names}; name yours with --positive, --negative, --neutral"
        raise Fault("no sentiment", text, document.where, what, expected)


def _common(names: Iterable[str], labels: Iterable[str]) -> bool:
    """Whether a label is among the names, in any case."""
    return not {name.strip().casefold() for name in names}.isdisjoint(label.strip().casefold() for label in labels)


def _moved(span: tuple[int, int], offset: int) -> list[int]:
    return [span[0] - offset, span[1] - offset]


def _surface(document: Document, span: Span) -> str:
    return document.text[max(span.start, 0) : max(span.end, 0)]


def _bare(text: str) -> str:
    """The text without white space, which tools trim, and without the `\\n` that some write for a new line."""
    return "".join(text.replace("\\n", " ").split())


# --- the whole command ------------------------------------------------------------------------------------


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
        groups[document.text].append(document)
    for text, same in groups.items():
        for document in same[1:]:
            report.note(document.id, "same text", text[:60], f"text of {same[0].id}", "kept in the same split")
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


def convert(read: Reader, options: argparse.Namespace) -> None:
    """Read and convert all, then write it: a fault leaves no file behind.

    Raises:
        RecordError: a fault of the export, or of an annotation unless faults are to be skipped.
        OSError: a file that is missing or cannot be written.
    """
    report = Report(options.on_error)
    documents = read(options.input, options, report)
    to_records = Converter(options, report)
    splits = split_documents(documents, options.split, options.seed, report)
    records = {split: [row for doc in part for row in to_records(doc)] for split, part in splits.items()}
    paths = {split: options.output_dir / f"{split}.{options.format}" for split in SPLITS}
    for split in (split for split in SPLITS if split not in records and paths[split].exists()):
        raise RecordError(str(paths[split]), "a file of an earlier split", "it to be removed, or a share for it")
    for split, rows in records.items():
        write_records(paths[split], rows)
    content = {
        "input": options.input.name,
        "word_splitter": options.word_splitter,
        "seed": options.seed,
        "splits": {split: _counts(splits[split], records[split]) for split in splits},
        "findings": _by_kind(report),
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_text(options.output_dir / "report.json", without_surrogates(text))
    name, about = options.output_dir.resolve().name, "Annotated reviews; `report.json` tells how they were converted."
    write_dataset_card(
        options.output_dir, name, about, records, options.license, options.language, suffix=options.format
    )
    _print(content, options.output_dir)


def _counts(documents: Sequence[Document], records: Sequence[Record]) -> dict[str, int]:
    sentiments = Counter(triplet["sentiment"] for record in records for triplet in record["triplets"])
    return {
        "documents": len(documents),
        "sentences": len(records),
        "sentences_without_triplet": sum(not record["triplets"] for record in records),
        "triplets": sentiments.total(),
        **{sentiment: sentiments[sentiment] for sentiment in SENTIMENTS},
    }


def _by_kind(report: Report) -> dict[str, list[dict[str, str]]]:
    findings: dict[str, list[dict[str, str]]] = defaultdict(list)
    for finding in report.findings:
        entry = asdict(finding)
        findings[entry.pop("kind")].append(entry)
    return dict(sorted(findings.items()))


def _print(content: dict[str, Any], folder: Path) -> None:
    """Print the counts of each split, and how often what was found with the first case of each kind."""
    for split, counts in content["splits"].items():
        print(f"{folder / split}: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    for kind, entries in content["findings"].items():
        first = entries[0]
        print(f"  {kind}: {len(entries)}, first {first['id']} {first['text']!r}: {first['what']}: {first['done']}")
    print(f"All of it with ids: {folder / 'report.json'}")


def parse_arguments(description: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--input", type=Path, required=True, help="the export")
    add("--output_dir", type=Path, required=True, help="gets train, dev and test and report.json")
    add("--format", choices=["jsonl", "parquet"], default="jsonl", help="of the records")
    add("--text_column", default="text", help="field of the export that holds the text")
    add("--aspect_label", nargs="+", default=["Aspect"], help="labels of an aspect; letter case does not matter")
    add("--opinion_label", nargs="+", default=["Opinion"], help="labels of an opinion")
    add("--positive", nargs="+", default=["Positive", "POS"], help="labels of a relation or span that say POS")
    add("--negative", nargs="+", default=["Negative", "NEG"], help="that say NEG")
    add("--neutral", nargs="+", default=["Neutral", "NEU"], help="that say NEU")
    add("--word_splitter", choices=list(WORD_SPLITTERS), default="penn", help="penn for English, else mostly unicode")
    add("--off_borders", choices=["snap", "fault"], default="snap", help="spans that begin or end inside a word")
    add("--on_error", choices=["stop", "skip"], default="stop", help="skip leaves out what has a fault, and lists it")
    add("--max_words", type=int, default=128, help="longer sentences are cut, at a comma if there is one")
    add("--max_span_width", type=int, default=8, help="wider spans are listed")
    add("--split", nargs=3, type=float, default=[0.8, 0.1, 0.1], metavar="SHARE", help="of train, dev, test")
    add("--seed", type=int, default=42, help="of the split")
    add("--license", default=UNKNOWN_LICENCE, help="of the data, for its card: the Hub's name of it, such as cc-by-4.0")
    add("--language", help="of the data, for its card: two letters")
    options = parser.parse_args(argv)
    if abs(sum(options.split) - 1) > 1e-6 or min(options.split) < 0 or not options.split[0]:
        parser.error(f"--split {' '.join(map(str, options.split))}: expected shares that sum to 1, the first above 0")
    if options.max_words < 1:
        parser.error(f"--max_words {options.max_words}: expected at least 1")
    return options


def main(read: Reader, description: str, argv: Sequence[str] | None = None) -> int:
    """The command of a reader: 0, or 2 after one line on the first fault."""
    try:
        convert(read, parse_arguments(description, argv))
    except (RecordError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0
