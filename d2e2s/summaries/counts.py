"""Triplets counted by aspect: sentiments, opinions, examples; by group and over time. One pass, in bounded memory."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, Self
from zlib import crc32

from ..errors_d2e2s import UserError
from .names import Names

MOST_ASPECTS, MOST_OPINIONS, MOST_GROUPS = 100_000, 1_000, 1_000  # the rarest go, and are counted
EXAMPLES = 3  # of each aspect and sentiment
EXCERPT = 160  # characters of an example on either side of its triplet
LEVEL = 1.96  # standard deviations of a 95 % interval

Triplet = Mapping[str, Any]


class Review(NamedTuple):
    """A text with its triplets, as the pipeline gives them (characters of a term may be missing).

    Attributes:
        group, month: where and when (`2024-05`) it was written, if that is asked for.
    """

    text: str
    triplets: Sequence[Triplet]
    group: str | None = None
    month: str | None = None


class Example(NamedTuple):
    """A piece of a review and its one triplet, in characters of the piece."""

    text: str
    triplet: Triplet


@dataclass(slots=True)
class Aspect:
    """What was said about an aspect; the sums of `groups` and `months` are those of the reviews that have one.

    Attributes:
        opinions_left_out: triplets whose opinion was too rare to be kept, among too many others.
        examples: for each sentiment some, by the checksum of their review.
    """

    sentiments: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)  # as it was written
    opinions: Counter[tuple[str, str]] = field(default_factory=Counter)  # words and sentiment
    opinions_left_out: int = 0
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    months: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, dict[int, Example]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How it is written most often; of several such the one in small letters."""
        return min(self.names, key=lambda name: (-self.names[name], name.swapcase()))

    def add(self, triplet: Triplet, review: Review) -> None:
        sentiment = triplet["sentiment"]
        self.sentiments[sentiment] += 1
        self.names[" ".join(triplet["aspect"]["text"].split())] += 1
        self.opinions[triplet["opinion"]["text"].casefold(), sentiment] += 1
        if len(self.opinions) > MOST_OPINIONS:
            self._drop_rare()
        for counts, key in ((self.groups, review.group), (self.months, review.month)):
            if key is not None:
                counts.setdefault(key, Counter())[sentiment] += 1
        self._keep(triplet, review)

    def _drop_rare(self) -> None:
        """Half of the opinions: the rarest."""
        before = self.opinions.total()
        self.opinions = Counter(dict(self.opinions.most_common(MOST_OPINIONS // 2)))
        self.opinions_left_out += before - self.opinions.total()

    def _keep(self, triplet: Triplet, review: Review) -> None:
        """The examples of the lowest checksums: from anywhere in the file, the same at every run, a text once."""
        rank = crc32(review.text.encode(errors="replace"))
        kept = self.examples.setdefault(triplet["sentiment"], {})
        if rank in kept or (len(kept) == EXAMPLES and rank > max(kept)):
            return
        if found := excerpt(review.text, triplet):
            kept[rank] = found
        if len(kept) > EXAMPLES:
            del kept[max(kept)]


class Share(NamedTuple):
    """How much of something is of one sentiment, and its 95 % interval, all in percent."""

    share: float
    low: float
    high: float


def share(part: int, whole: int) -> Share:
    """Wilson's interval (1927), which also holds for few and for extreme counts; percent with one decimal."""
    if not whole:
        return Share(0.0, 0.0, 100.0)
    p, z = part / whole, LEVEL**2 / whole
    centre, half = (p + z / 2) / (1 + z), math.sqrt(z * (p * (1 - p) + z / 4)) / (1 + z)
    return Share(*(round(100 * min(max(value, 0.0), 1.0), 1) for value in (p, centre - half, centre + half)))


class Summary:
    """Counts triplets, review by review.

    Args:
        names: what tells which aspects are the same.

    Attributes:
        reviews, triplets: how many were read. aspects: what was said, by key.
        left_out: triplets of aspects that were too rare to be kept in memory, among too many others.
        without_group, without_day: reviews for which it is not known.
    """

    def __init__(self, names: Names | None = None) -> None:
        self.names = names or Names()
        self.aspects: dict[str, Aspect] = {}
        self.groups: set[str] = set()
        self.months: set[str] = set()
        self.reviews = self.triplets = self.left_out = self.without_group = self.without_day = 0

    def add(self, reviews: Iterable[Review]) -> Self:
        """Count reviews.

        Raises:
            UserError: more groups than anybody compares.
        """
        for review in reviews:
            self.reviews += 1
            self._note(review)
            for triplet in review.triplets:
                self.triplets += 1
                self.aspects.setdefault(self.names(triplet["aspect"]["text"]), Aspect()).add(triplet, review)
            if len(self.aspects) > MOST_ASPECTS:
                self._drop_rare()
        return self

    def _note(self, review: Review) -> None:
        self.without_day += review.month is None
        self.without_group += review.group is None
        if review.month is not None:
            self.months.add(review.month)
        if review.group is not None:
            self.groups.add(review.group)
            if len(self.groups) > MOST_GROUPS:
                raise UserError(f"--by: more than {MOST_GROUPS} different values; name a column with few of them")

    def _drop_rare(self) -> None:
        """Half of the aspects: the rarest."""
        ranked = sorted(self.aspects.items(), key=lambda item: (-item[1].sentiments.total(), item[0]))
        for key, aspect in ranked[MOST_ASPECTS // 2 :]:
            self.left_out += aspect.sentiments.total()
            del self.aspects[key]

    def ranked(self) -> list[Aspect]:
        """The aspects, most frequent first."""
        return sorted(self.aspects.values(), key=lambda aspect: (-aspect.sentiments.total(), aspect.name))

    def notes(self) -> Iterator[str]:
        """What the figures leave out, a sentence each."""
        if self.left_out:
            yield f"{self.left_out} triplets of the rarest aspects were not kept."
        if rare := sum(aspect.opinions_left_out for aspect in self.aspects.values()):
            yield f"Of {rare} triplets the opinion, a rare one, was not kept: an opinion may count too low by them."
        if self.groups and self.without_group:
            yield f"{self.without_group} reviews have no group."
        if self.months and self.without_day:
            yield f"{self.without_day} reviews have no day."

    def sentiments(self) -> list[str]:
        """The labels that were found: the usual ones in the usual order, then others."""
        found = {label for aspect in self.aspects.values() for label in aspect.sentiments}
        usual = [label for label in ("POS", "NEU", "NEG") if label in found]
        return usual + sorted(found - set(usual))


def excerpt(text: str, triplet: Triplet) -> Example | None:
    """What stands around a triplet; terms without characters are looked for, None if they are not there."""
    pairs = product(*(_places(text, triplet[role]) for role in ("aspect", "opinion")))
    spans = min(pairs, key=_reach, default=None)
    if spans is None:
        return None
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    begin, end = _border(text, first - EXCERPT, first), _border(text, last + EXCERPT, last)
    before = "… " if begin > 0 else ""
    piece = before + text[begin:end] + (" …" if end < len(text) else "")
    moved = [{"text": text[a:b], "start": a - begin + len(before), "end": b - begin + len(before)} for a, b in spans]
    return Example(piece, {"aspect": moved[0], "opinion": moved[1], "sentiment": triplet["sentiment"]})


def _places(text: str, term: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Where a term stands; without its characters, wherever it stands as whole words."""
    if term.get("start") is not None:
        return [(term["start"], term["end"])]
    return [found.span() for found in re.finditer(rf"(?<!\w){re.escape(term['text'])}(?!\w)", text)]


def _reach(spans: Sequence[tuple[int, int]]) -> int:
    """Characters from the first of a pair to the last: an opinion is more likely about the aspect that is near."""
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _border(text: str, wanted: int, least: int) -> int:
    """A place between words, at or inside of the one that is wanted."""
    if wanted <= 0 or wanted >= len(text):
        return min(max(wanted, 0), len(text))
    place = text.rfind(" ", least, wanted) if wanted > least else text.find(" ", wanted, least) + 1
    return place if place > 0 else least
