"""The figures of a summary: the same rows for the page and for the CSV."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors_d2e2s import UserError
from .counts import Aspect, Share, Summary, share

# How labels are called that need no telling.
POSITIVE, NEGATIVE, NEUTRAL = ("pos", "positive"), ("neg", "negative"), ("neu", "neutral")
MOST_PERIODS = 24
SHOWN_OPINIONS = 5


@dataclass
class Row:
    """What was said about an aspect: in all, or in one group or period."""

    aspect: str
    counts: Counter[str]
    group: str = ""
    period: str = ""
    opinions: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.counts.total()

    def share(self, label: str) -> Share:
        return share(self.counts[label], self.total)


class Change(NamedTuple):
    """An aspect whose share of a sentiment differs between two groups: the row with more of it, and that with less."""

    more: Row
    less: Row
    label: str

    @property
    def gap(self) -> float:
        """Percent between the nearer bounds of the two intervals; above 0, they do not overlap."""
        return self.more.share(self.label).low - self.less.share(self.label).high


class Figures:
    """The rows of a summary.

    Args:
        min_count: least triplets of an aspect (of a group or period: of its part) to be ranked or compared.
        good, bad: the labels of praise and of blame.

    Attributes:
        aspects, rows: the aspects with at least `min_count` triplets, most frequent first, and their rows.
    """

    def __init__(self, summary: Summary, min_count: int, good: str, bad: str) -> None:
        self.summary, self.min_count, self.good, self.bad = summary, min_count, good, bad
        self.labels = summary.sentiments()
        self.aspects = [aspect for aspect in summary.ranked() if aspect.sentiments.total() >= min_count]
        self.groups = sorted(summary.groups)
        self.period_of = periods(summary.months)
        self.periods = sorted(set(self.period_of.values()))
        self.rows = [Row(aspect.name, aspect.sentiments, opinions=opinions(aspect)) for aspect in self.aspects]

    @staticmethod
    def by_group(aspect: Aspect) -> list[Row]:
        """A row for each group that says something about an aspect, by name."""
        return [Row(aspect.name, counts, group=group) for group, counts in sorted(aspect.groups.items())]

    def by_period(self, aspect: Aspect) -> list[Row]:
        """A row for each period in which something is said about an aspect, in the order of time."""
        counts: dict[str, Counter[str]] = {}
        for month, of_month in sorted(aspect.months.items()):
            counts.setdefault(self.period_of[month], Counter()).update(of_month)
        return [Row(aspect.name, of_period, period=period) for period, of_period in counts.items()]

    def most(self, label: str, other: str, number: int) -> list[Row]:
        """The aspects that are surely more of a sentiment than of another: by the lower bound of its share."""
        rows = [row for row in self.rows if row.counts[label] > row.counts[other]]
        return sorted(rows, key=lambda row: (-row.share(label).low, -row.total, row.aspect))[:number]

    def changes(self, number: int) -> list[Change]:
        """The aspects with the biggest difference between two groups that chance does not explain."""
        changes = (self._change(self.by_group(aspect)) for aspect in self.aspects)
        found = [change for change in changes if change and change.gap > 0]
        return sorted(found, key=lambda change: (-change.gap, change.more.aspect))[:number]

    def _change(self, rows: Sequence[Row]) -> Change | None:
        enough = [row for row in rows if row.total >= self.min_count]
        if len(enough) < 2:
            return None
        more = max(enough, key=lambda row: row.share(self.good).low)
        less = min(enough, key=lambda row: row.share(self.good).high)
        return Change(more, less, self.good)

    def lines(self) -> Iterator[list[Any]]:
        """The CSV: a header, then a line for each aspect, and for each of its groups and periods with triplets."""
        shares = [f"{label} {name}" for label in self.labels for name in ("%", "% from", "% to")]
        yield ["aspect", "group", "period", "triplets", *self.labels, *shares, "opinions"]
        for whole, aspect in zip(self.rows, self.aspects, strict=True):
            for row in (whole, *self.by_group(aspect), *self.by_period(aspect)):
                counts = [row.counts[label] for label in self.labels]
                values = [value for label in self.labels for value in row.share(label)]
                yield [row.aspect, row.group, row.period, row.total, *counts, *values, ", ".join(row.opinions)]


def opinions(aspect: Aspect) -> list[str]:
    """The most frequent ones, with their counts."""
    words: Counter[str] = Counter()
    for (opinion, _), count in aspect.opinions.items():
        words[opinion] += count
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return [f"{opinion} ({count})" for opinion, count in ranked[:SHOWN_OPINIONS]]


def periods(months: Iterable[str]) -> Mapping[str, str]:
    """The period that each month is shown in: itself, or its quarter or year where these would be too many."""
    known = sorted(months)
    quarters = {month: f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}" for month in known}
    if len(known) <= MOST_PERIODS:
        return {month: month for month in known}
    return quarters if len(set(quarters.values())) <= MOST_PERIODS else {month: month[:4] for month in known}


def praise_and_blame(labels: Sequence[str], positive: str | None, negative: str | None) -> tuple[str, str]:
    """The labels of praise and of blame: those that were named, or that go by their usual names.

    Raises:
        UserError: no such label, or none that can be told.
    """
    return _label(labels, positive, POSITIVE, "--positive"), _label(labels, negative, NEGATIVE, "--negative")


def _label(labels: Sequence[str], named: str | None, usual: Sequence[str], option: str) -> str:
    if named is not None:
        if named not in labels:
            raise UserError(f"{option} {named}: no such label among those found: {', '.join(labels)}")
        return named
    known = [label for label in labels if label.casefold() in usual]
    others = [label for label in labels if label.casefold() not in (*POSITIVE, *NEGATIVE, *NEUTRAL)]
    if not known and len(others) == len(labels) and labels:
        raise UserError(f"which label is that of {option[2:]}? The labels are {', '.join(labels)}: give {option}")
    return known[0] if known else usual[0].upper()
