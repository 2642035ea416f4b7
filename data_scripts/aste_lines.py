"""Lines of ASTE text: the sentence, `####`, its triplets as word indices.

    The food is great .####[([1], [3], 'POS')]
    The battery of this thing lasts .####[([1, 4], [5], 'POS'), ([-1], [5], 'POS')]####Electronics

ASTE-Data-V2 (Xu et al. 2020) lists all the words of a term. DMASTE (Xu et al. 2023), whose lines end with a
sub-domain, gives the first and the last of them, and `[-1]` for a term that is implicit: not in the text. Sentiments
are `POS`, `NEG`, `NEU` or words for them.
"""

import argparse
import ast
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from d2e2s.data_scripts.prepared import SplitReport
from d2e2s.data_scripts.records import SENTIMENTS, RecordError

ROLES = ("aspect", "opinion")
LINE_FORM = "sentence####[([aspect word indices], [opinion word indices], 'POS' | 'NEG' | 'NEU'), ...]"
SENTIMENT_WORDS = {name.lower(): name for name in SENTIMENTS} | dict(positive="POS", negative="NEG", neutral="NEU")


class Line(NamedTuple):
    """A sentence, its triplets of terms in the text (None where they are not known), and, for each triplet with an
    implicit term, the place [start, end) of the other one: all of the text, if that is implicit too.
    """

    tokens: list[str]
    triplets: list[dict[str, Any]] | None
    implicit: list[list[int]]

    def part(self, start: int, end: int, implicit: str) -> tuple[list[str], list[dict[str, Any]] | None] | None:
        """The words [start, end) and the triplets inside, None if they are not known; or nothing.

        Args:
            implicit: "skip" gives nothing where a triplet has an implicit term, "unknown" no triplets, else it is
                left out.
        """
        has_implicit = any(first < end and start < last for first, last in self.implicit)
        if has_implicit and implicit == "skip":
            return None
        if self.triplets is None or (has_implicit and implicit == "unknown"):
            return self.tokens[start:end], None
        return self.tokens[start:end], [moved(t, start) for t in self.triplets if is_inside(t, start, end)]


def is_inside(triplet: Mapping[str, Any], start: int, end: int) -> bool:
    """Whether all of a triplet is among the words [start, end)."""
    return all(start <= triplet[role][0] and triplet[role][1] <= end for role in ROLES)


def moved(triplet: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """The triplet as it stands in a text that begins `offset` words later."""
    return {**triplet, **{role: [place - offset for place in triplet[role]] for role in ROLES}}


def named_sentiment(word: object, where: str, words: Mapping[str, str]) -> str:
    """The label of a word for a sentiment, in any letter case.

    Raises:
        RecordError: it is none of `words`.
    """
    if not isinstance(word, str) or word.strip().lower() not in words:
        labels = ", ".join(dict.fromkeys(words.values()))
        raise RecordError(where, f"sentiment {word!r:.60}", f"one of {labels}; name others with --sentiments")
    return words[word.strip().lower()]


def parse_line(line: str, where: str, allow_implicit: bool = False) -> Line:
    """One line of a text file.

    Args:
        line: with or without its line end.
        where: file and line, for messages.
        allow_implicit: implicit terms are taken, where otherwise they are a fault.

    Raises:
        RecordError: anything that is not `LINE_FORM`.
    """
    tokens, text, are_ranges = split_line(line, where)
    return Line(tokens, *parse_triplets(text, len(tokens), where, are_ranges, allow_implicit, SENTIMENT_WORDS))


def split_line(line: str, where: str) -> tuple[list[str], str, bool]:
    """The words of a line, the text of its triplets, and whether their indices are ranges, as in DMASTE.

    Raises:
        RecordError: no text, or no triplets.
    """
    parts = line.split("####")
    if len(parts) not in (2, 3):
        raise RecordError(where, f"{len(parts) - 1} '####' in the line", LINE_FORM)
    tokens = [token for token in parts[0].split(" ") if token]
    if not "".join(tokens).strip():
        raise RecordError(where, "empty text before '####'", LINE_FORM)
    return with_whole_negations(tokens), parts[1], len(parts) == 3


def with_whole_negations(tokens: list[str]) -> list[str]:
    """Words where "do n't" is cut as in the benchmarks and by the splitter of raw text; DMASTE has "don 't"."""
    words = list(tokens)
    for i, (word, after) in enumerate(pairwise(tokens)):
        if after.lower() == "'t" and word.lower().endswith("n") and len(word) > 1:
            words[i : i + 2] = word[:-1], word[-1] + after
    return words


def parse_triplets(
    text: str, length: int, where: str, are_ranges: bool, allow_implicit: bool, words: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """The triplets of a line of `length` words, and the places of those with an implicit term. As for `parse_line`."""
    raw = read_literal(text, where, LINE_FORM)
    triplets, implicit = list[dict[str, Any]](), list[list[int]]()
    for item in raw:
        if not isinstance(item, tuple | list) or len(item) != 3:
            raise RecordError(where, f"triplet {item!r:.60}", LINE_FORM)
        terms = dict(zip(ROLES, item, strict=False))
        if allow_implicit:
            terms = {role: indices for role, indices in terms.items() if indices not in ([-1], [-1, -1])}
        spans = {role: _span(indices, length, f"{where}: {role}", are_ranges) for role, indices in terms.items()}
        sentiment = named_sentiment(item[2], where, words)
        if len(spans) < 2:
            implicit.append(next(iter(spans.values()), [0, length]))
        else:
            triplets.append({**spans, "sentiment": sentiment})
    return triplets, implicit


def read_literal(text: str, where: str, form: str) -> list[Any]:
    """The list behind the `####` of a line; `form` is what is expected.

    Raises:
        RecordError: no list as Python writes it.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # a fault is said in our own words
            values = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise RecordError(where, f"unreadable triplets {text.strip()[:60]!r}", form) from None
    if not isinstance(values, list):
        raise RecordError(where, f"triplets {text.strip()[:60]!r} are no list", form)
    return values


def _span(indices: object, length: int, where: str, is_range: bool) -> list[int]:
    if not isinstance(indices, list) or not indices or any(type(index) is not int for index in indices):
        raise RecordError(where, f"word indices {indices!r:.60}", "a list of whole numbers such as [3, 4]")
    if -1 in indices:
        raise RecordError(where, "implicit term (index -1)", "a term in the text, or --implicit drop")
    if not all(0 <= index < length for index in indices):
        raise RecordError(where, f"word indices {indices} are out of range", f"0 to {length - 1}")
    first, last = indices[0], indices[-1]
    if is_range and (len(indices) > 2 or first > last):
        raise RecordError(where, f"word indices {indices} are no range", "[first, last], as the line has a sub-domain")
    if not is_range and indices != list(range(first, first + len(indices))):
        raise RecordError(where, f"word indices {indices} have gaps", "neighbouring words in rising order")
    return [first, last + 1]


class LineReader:
    """Reads lines as the options of a command say.

    Args:
        options: with `implicit` "stop" an implicit term is a fault; with `on_error` "unknown" a fault of the triplets
            makes them unknown; `sentiments` are further labels.
        report: learns what was found.
    """

    def __init__(self, options: argparse.Namespace, report: SplitReport) -> None:
        self.implicit, self.on_error = options.implicit, options.on_error
        self.words = {**SENTIMENT_WORDS, **{label.lower(): label for label in options.sentiments}}
        self.report = report

    def __call__(self, line: str, key: str, where: str) -> Line:
        """What a line says; its triplets are None if a fault makes them unknown.

        Raises:
            RecordError: a fault, unless it makes the triplets unknown.
        """
        tokens, text, are_ranges = split_line(line, where)
        try:
            found = parse_triplets(text, len(tokens), where, are_ranges, self.implicit != "stop", self.words)
        except RecordError as error:
            if self.on_error != "unknown":
                raise
            self.report.faults.append(str(error))
            return Line(tokens, None, [])
        self.report.implicit_triplets += [key] * len(found[1])
        return Line(tokens, *found)


def add_implicit_option(parser: argparse.ArgumentParser, default: str) -> None:
    how = "of a sentence with an implicit term: drop those triplets, skip it, or write it with triplets: null (unknown)"
    parser.add_argument("--implicit", choices=["stop", "drop", "skip", "unknown"], default=default, help=how)


def add_set_options(parser: argparse.ArgumentParser, implicit: str, on_error: str, unknown: bool) -> None:
    """Where a set goes, and the options of `LineReader`, with two defaults; `unknown`: whether `on_error` has it."""
    add = parser.add_argument
    add("--output_dir", type=Path, required=True, help="written to; OUT/NAME with several sets")
    add("--format", choices=["jsonl", "parquet"], default="jsonl", help="of the records (default: jsonl)")
    add("--allow_unverified", action="store_true", help="download also files without a known checksum (16res)")
    add("--max_span_width", type=int, default=8, help="wider spans are listed (default: 8)")
    add_implicit_option(parser, implicit)
    how = "skip lists the sentence and leaves it out" + "; unknown lists it and writes it with triplets: null" * unknown
    add("--on_error", choices=["stop", "skip", *["unknown"] * unknown], default=on_error, help=how)
    add("--sentiments", nargs="+", default=[], metavar="LABEL", help="further ones, such as conflict")
