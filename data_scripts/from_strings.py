"""Sets that give aspects and opinions as strings, without offsets, to records.

    python data_scripts/from_strings.py --input train.txt --dev_input dev.txt --test_input test.txt --output_dir OUT
    python data_scripts/from_strings.py --input reviews.csv --output_dir data/mine

What is read, by the file's name:

- `.csv`, `.tsv`: a row for each triplet, with the columns `text`, `aspect`, `opinion` and `sentiment` (others are named
  with `--text_column` and the like); a row with nothing but a text is one without triplets.
- `.jsonl`, `.json`: objects with a text and a list of objects that have `Aspect`, `Opinion` and a sentiment
  (`Sentiment`, `Polarity`, or `VA` of DimABSA, whose valence, from 1 to 9, stands before a `#`), in any letter case.
- any other: lines of ASQP, `text####[['aspect', 'category', 'positive', 'opinion'], ...]` (`--order` names another
  order; three strings are aspect, opinion, sentiment), or of ACOS, with tabs and word indices.

A term is looked for in its text, in other letter case too; of several places the nearest pair is taken, and listed. One
that is not found is a fault: its sentence is left out and listed (see `--on_error`). `NULL` is an implicit term: see
`--implicit`.
"""

import argparse
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from d2e2s.data_scripts.annotations import argument_parser, checked_arguments, convert
from d2e2s.data_scripts.aste_lines import ROLES, add_implicit_option
from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.documents import Document, Doubt, Fault, Link, Report, Span, collect, inside_word
from d2e2s.data_scripts.records import RecordError
from d2e2s.data_scripts.string_forms import Source, Term, Triplet, read_sources
from d2e2s.words_d2e2s import WordSplitter

Place = tuple[int, int]


def read_strings(path: Path, options: argparse.Namespace, report: Report) -> list[Document]:
    """The texts of a file, their terms placed.

    Raises:
        RecordError: a file that cannot be read; or a fault, unless faults are to be skipped.
    """
    placer = Placer(options, report)
    sources = read_sources(path, options, lambda name, error: report.fault(name, "malformed", "", error))
    return collect((placer(source) for source in sources), report)


class Placer:
    """Finds the terms of a text in it.

    Args:
        options: the arguments of `main`.
        report: learns what was not found, and what was found more than once.
    """

    def __init__(self, options: argparse.Namespace, report: Report) -> None:
        self.implicit, self.report = options.implicit, report
        self.split_words = WordSplitter(options.word_splitter)

    def __call__(self, source: Source) -> Document:
        """The text with its terms as spans and its triplets as links.

        Raises:
            RecordError: a term that is not found, or implicit, if that is to stop the run.
        """
        document = Document(source.id, source.where, source.text, {}, [])
        for triplet in source.triplets:
            places = [self._places(document.text, term) for term in triplet[:2]]
            text = " | ".join(document.text[slice(*term.place)] if term.place else term.text for term in triplet[:2])
            if any(term.is_implicit for term in triplet[:2]):
                self._note_implicit(document, places, text)
            elif all(places):
                self._link(document, places, triplet, text)
            else:
                missing = " and ".join(repr(t.text) for t, found in zip(triplet[:2], places, strict=True) if not found)
                fault = Fault("not found", text, document.where, f"{missing:.99} not in the text", "words of the text")
                self.report.fault(document.id, fault.kind, fault.text, fault)
                _doubt(document, places, "unknown" if self.report.on_error == "unknown" else "skip")
        return document

    def _places(self, text: str, term: Term) -> list[Place]:
        """Where a term stands at the borders of words, in any letter case if not in its own."""
        if term.place or term.is_implicit:
            return [term.place] if term.place else []
        borders = {place for word in self.split_words(text) for place in word[1:]}
        pattern = r"\s+".join(map(re.escape, term.text.split()))
        for flags in (re.NOFLAG, re.IGNORECASE):
            places = [match.span() for match in re.finditer(pattern, text, flags)]
            whole = [p for p in places if all(at in borders or not inside_word(text, at) for at in p)]
            if whole:
                return whole
        return []

    def _link(self, document: Document, places: list[list[Place]], triplet: Triplet, text: str) -> None:
        """Join the nearest of the places."""
        pairs = sorted(itertools.product(*places), key=lambda pair: _distance(*pair))
        if len(pairs) > 1:
            ties = sum(_distance(*pair) == _distance(*pairs[0]) for pair in pairs)
            what = f"{len(pairs)} pairs of places" + f", {ties} of them equally near" * (ties > 1)
            done = f"taken at {' and '.join(f'[{start}, {end})' for start, end in pairs[0])}"
            self.report.note(document.id, "several places", text, what, done)
        keys = [f"{role} {place}" for role, place in zip(ROLES, pairs[0], strict=True)]
        for key, role, place in zip(keys, ROLES, pairs[0], strict=True):
            document.spans[key] = Span(*place, [role])
        document.links.append(Link(keys[0], keys[1], [triplet.sentiment]))

    def _note_implicit(self, document: Document, places: list[list[Place]], text: str) -> None:
        if self.implicit == "stop":
            raise RecordError(document.where, f"implicit term in {text!r:.60}", "terms in the text, or --implicit drop")
        done = {"drop": "triplet left out", "skip": "sentence left out", "unknown": "triplets not known"}
        self.report.note(document.id, "implicit term", text, "a term that is not in the text", done[self.implicit])
        if self.implicit != "drop":
            _doubt(document, places, self.implicit)


def _doubt(document: Document, places: list[list[Place]], how: str) -> None:
    """The sentence of the term that has one place, or, if none has, the whole text."""
    known = [found[0] for found in places if len(found) == 1] or [(0, len(document.text))]
    document.doubts += [Doubt(*place, how) for place in known]


def _distance(aspect: Place, opinion: Place) -> tuple[bool, int]:
    """How far two places are apart; those that share characters are farthest."""
    gap = max(opinion[0] - aspect[1], aspect[0] - opinion[1])
    return gap < 0, gap


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of `main`, or exit code 2 with what is wrong with one."""
    parser = argument_parser("Strings of aspects and opinions to records.", on_error="skip")
    for name in (*ROLES, "sentiment"):
        parser.add_argument(f"--{name}_column", default=name, help=f"column or field of the {name}")
    fields = ["aspect", "category", "sentiment", "opinion"]
    parser.add_argument("--order", nargs="+", choices=fields, help="of the strings in a line of ASQP")
    add_implicit_option(parser, "drop")
    between = "valences of DimABSA from and to which a sentiment is neutral"
    parser.add_argument("--neutral_valence", nargs=2, type=float, default=[4.5, 5.5], metavar="VALENCE", help=between)
    parser.set_defaults(aspect_label=["aspect"], opinion_label=["opinion"])
    options = checked_arguments(parser, argv)
    if options.order and not {"aspect", "opinion", "sentiment"} <= set(options.order):
        parser.error(f"--order {' '.join(options.order)}: expected aspect, opinion and sentiment among them")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    return exit_code(lambda: convert(read_strings, parse_arguments(argv)))


if __name__ == "__main__":
    sys.exit(main())
