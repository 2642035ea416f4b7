"""The arithmetic of the ASTE metric: standard library only, so that training can score without `evaluate`."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from operator import index

Triplet = tuple[int, int, int, int, str]
"""(aspect_start, aspect_end, opinion_start, opinion_end, sentiment): word indices, half open."""

SENTIMENTS = ("POS", "NEG", "NEU")
_MEASURES = ("precision", "recall", "f1")


@dataclass
class Count:
    """Correct, predicted and gold items of one kind; precision, recall and F1 follow, with 0/0 = 0.0."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def add(self, predicted: Set[Hashable], gold: Set[Hashable]) -> None:
        """Count the items of one sentence, or of one group of them."""
        self.correct += len(predicted & gold)
        self.predicted += len(predicted)
        self.gold += len(gold)

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        total = self.predicted + self.gold
        return 2 * self.correct / total if total else 0.0


def triplet_metrics(
    predictions: Sequence[Iterable[Sequence]],
    references: Sequence[Iterable[Sequence]],
    sentiment_labels: Sequence[str] = SENTIMENTS,
) -> dict[str, float]:
    """Exact-match micro precision, recall and F1 of triplets and of their parts.

    Every item is counted once per sentence, on both sides: a triplet written twice is one triplet, an aspect
    with two opinions is one aspect. Counts are summed over sentences before the division. A score whose
    denominator is zero is 0.0. Task and exact match follow Peng et al. (2020), "Knowing What, How and Why".

    Args:
        predictions: for each sentence its predicted triplets, (aspect_start, aspect_end, opinion_start,
            opinion_end, sentiment), in word indices, half open. Their order is of no account.
        references: the gold triplets in the same form, one entry a sentence, in the order of `predictions`.
        sentiment_labels: the sentiments that may occur; each gets its own `triplet_f1_<label>`.

    Returns:
        Values in [0, 1]: `<kind>_precision`, `<kind>_recall` and `<kind>_f1` for the kinds `triplet` (the
        main one), `aspect`, `opinion` and `pair` (spans without the sentiment), and `triplet_f1_<group>` for

        - each sentiment label;
        - `multi_word` (aspect or opinion has more than one word) and `single_word`;
        - `one_triplet` and `several_triplets`: sentences with exactly one, or more, distinct gold triplets.
          Sentences without any belong to neither, and count in the other scores only.

    Raises:
        ValueError: the numbers of sentences differ, a triplet does not have five values, a span is not
            0 <= start < end in whole numbers, or a sentiment is not in `sentiment_labels`.
    """
    if len(predictions) != len(references):
        raise ValueError(
            f"predictions have {len(predictions)} sentences, references {len(references)}: give one list each"
        )
    groups = [*sentiment_labels, "single_word", "multi_word", "one_triplet", "several_triplets"]
    kinds: dict[str, Count] = {name: Count() for name in ("triplet", "aspect", "opinion", "pair")}
    counts: dict[str, Count] = {name: Count() for name in groups}
    for number, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
        found = set(_checked(predicted, f"predictions[{number}]", sentiment_labels))
        true = set(_checked(gold, f"references[{number}]", sentiment_labels))
        _count_kinds(kinds, found, true)
        _count_groups(counts, found, true)
    return _scores(kinds, counts)


def _scores(kinds: dict[str, Count], groups: dict[str, Count]) -> dict[str, float]:
    scores = {f"{kind}_{name}": getattr(count, name) for kind, count in kinds.items() for name in _MEASURES}
    return scores | {f"triplet_f1_{group}": count.f1 for group, count in groups.items()}


def _count_kinds(counts: dict[str, Count], predicted: set[Triplet], gold: set[Triplet]) -> None:
    counts["triplet"].add(predicted, gold)
    counts["aspect"].add({t[:2] for t in predicted}, {t[:2] for t in gold})
    counts["opinion"].add({t[2:4] for t in predicted}, {t[2:4] for t in gold})
    counts["pair"].add({t[:4] for t in predicted}, {t[:4] for t in gold})


def _count_groups(counts: dict[str, Count], predicted: set[Triplet], gold: set[Triplet]) -> None:
    grouped_predicted, grouped_gold = _by_group(predicted), _by_group(gold)
    for group in grouped_predicted.keys() | grouped_gold.keys():
        counts[group].add(grouped_predicted[group], grouped_gold[group])
    if gold:
        counts["one_triplet" if len(gold) == 1 else "several_triplets"].add(predicted, gold)


def _by_group(triplets: set[Triplet]) -> defaultdict[str, set[Triplet]]:
    groups: defaultdict[str, set[Triplet]] = defaultdict(set)
    for triplet in triplets:
        aspect_start, aspect_end, opinion_start, opinion_end, sentiment = triplet
        longest = max(aspect_end - aspect_start, opinion_end - opinion_start)
        groups[sentiment].add(triplet)
        groups["multi_word" if longest > 1 else "single_word"].add(triplet)
    return groups


def _checked(triplets: Iterable[Sequence], where: str, sentiments: Sequence[str]) -> Iterator[Triplet]:
    for number, triplet in enumerate(triplets):
        place = f"{where}[{number}]"
        if len(triplet) != 5:
            raise ValueError(
                f"{place}: {triplet!r} has {len(triplet)} values, "
                "expected (aspect_start, aspect_end, opinion_start, opinion_end, sentiment)"
            )
        aspect = _span(triplet[0], triplet[1], f"{place} aspect")
        opinion = _span(triplet[2], triplet[3], f"{place} opinion")
        if triplet[4] not in sentiments:
            known = ", ".join(sentiments)
            raise ValueError(f"{place}: unknown sentiment {triplet[4]!r}, expected one of {known}")
        yield *aspect, *opinion, triplet[4]


def _span(start: object, end: object, where: str) -> tuple[int, int]:
    try:
        first, last = index(start), index(end)  # type: ignore[arg-type]  # numpy and torch integers pass, floats do not
    except TypeError:
        raise ValueError(f"{where}: span [{start!r}, {end!r}) is not made of whole numbers") from None
    if not 0 <= first < last:
        raise ValueError(f"{where}: span [{first}, {last}) is not 0 <= start < end (half open, word indices)")
    return first, last
