"""One annotated text to records: characters to words, texts to sentences, relations to triplets."""

import argparse
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from d2e2s.data_scripts.aste_lines import moved
from d2e2s.data_scripts.documents import Document, Doubt, Fault, Link, Report, Span
from d2e2s.data_scripts.records import SENTIMENTS, Record
from d2e2s.words_d2e2s import Word, WordSplitter, pack_words, split_sentences

Pair = tuple[tuple[int, int], tuple[int, int]]  # the words [start, end) of an aspect and of an opinion


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
        self.sentiments |= {label: [label] for label in options.sentiments}

    def __call__(self, document: Document) -> list[Record]:
        """A record for each sentence, in order, without heads; one with a mark that could not be used is left out, or
        its triplets are None.

        Raises:
            RecordError: a fault of an annotation, unless faults are to be skipped.
        """
        sentences = self._sentences(document)
        triplets = self._triplets(document, sentences)
        records = []
        for number, sentence in enumerate(sentences):
            record: Record = {
                "id": f"{document.id}-{number + 1}",
                "tokens": [word.text for word in sentence],
                "triplets": sorted(triplets[number], key=lambda item: (item["aspect"], item["opinion"])),
            }
            if how := _doubt(document, sentences, sentence):
                done = "left out" if how == "skip" else "written without its triplets: they are not known"
                what = f"sentence {number + 1}: a mark of it could not be used"
                self.report.note(document.id, "not fully annotated", " ".join(record["tokens"])[:60], what, done)
                record["triplets"] = None
            if how != "skip":
                records.append(record)
        return records

    def _fault(self, document: Document, fault: Fault, *spans: Span | None) -> None:
        """Report a fault of these spans (None: one that is nowhere), and doubt the sentences that it may stand in."""
        self.report.fault(document.id, fault.kind, fault.text, fault)
        how = "unknown" if self.report.on_error == "unknown" else "skip"
        places = [span for span in spans if span is not None]
        if not places or fault.kind == "other text":  # it may stand anywhere
            document.doubts.append(Doubt(0, len(document.text), how))
        document.doubts += [Doubt(min(span[:2]), max(span[:2]), how) for span in places]

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
            spans = moved({"aspect": aspect, "opinion": opinion}, offset)
            triplets[number].append({**spans, "sentiment": sentiment})
            self._describe(document, spans, text)
        return triplets

    def _describe(self, document: Document, spans: dict[str, list[int]], text: str) -> None:
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
                self._fault(document, fault, span)
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
            if not _bare(span.text) or _bare(span.text) not in _bare(text):
                raise Fault("other text", text, document.where, what, f"{span.text!r:.80} as the export says")
            done = "the span is taken, which the tool snapped to words"
            self.report.note(document.id, "text inside its span", text, f"{span.text!r:.80} as the export says", done)
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

    def _pairs(self, document: Document, places: dict[str, Place]) -> dict[Pair, tuple[str, str]]:
        """Sentiment, and text for messages, of each pair of aspect and opinion words; each pair once, none with two."""
        pairs: dict[Pair, tuple[str, str]] = {}
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
                self._fault(document, fault, *(document.spans.get(key) for key in (link.source, link.target)))
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
        expected = f"one of {names}; name yours with --positive, --negative, --neutral, --sentiments"
        raise Fault("no sentiment", text, document.where, what, expected)


def _doubt(document: Document, sentences: Sequence[list[Word]], sentence: list[Word]) -> str | None:
    """What is to become of a sentence: "skip" or "unknown" if a mark of it could not be used.

    A mark that is in no sentence may be of any.
    """

    def touches(doubt: Doubt, words: list[Word]) -> bool:
        return doubt.start < words[-1].end and words[0].start < max(doubt.end, doubt.start + 1)

    found = {
        doubt.how
        for doubt in document.doubts
        if touches(doubt, sentence) or not any(touches(doubt, words) for words in sentences)
    }
    return "skip" if "skip" in found else "unknown" if found else None


def _common(names: Iterable[str], labels: Iterable[str]) -> bool:
    """Whether a label is among the names, in any case."""
    return not {name.strip().casefold() for name in names}.isdisjoint(label.strip().casefold() for label in labels)


def _surface(document: Document, span: Span) -> str:
    return document.text[max(span.start, 0) : max(span.end, 0)]


def _bare(text: str) -> str:
    """The text without white space, which tools trim, and without the `\\n` that some write for a new line."""
    return "".join(text.replace("\\n", " ").split())
