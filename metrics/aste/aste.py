"""ASTE metric as an `evaluate` module: `evaluate.load("metrics/aste")`, no network needed."""

import reprlib
from collections.abc import Mapping
from typing import Any

import datasets
import evaluate

from .scoring import SENTIMENTS, triplet_metrics

__all__ = ["ASTE", "triplet_metrics"]

KEYS = {"aspect", "opinion", "sentiment"}

_DESCRIPTION = """
Exact-match scores for aspect sentiment triplet extraction (ASTE): micro precision, recall and F1 of whole
triplets (aspect span, opinion span, sentiment), and of aspects, opinions and aspect-opinion pairs; triplet F1
by sentiment, by single-word and multi-word triplets, and by sentences with one and several gold triplets.
"""

_CITATION = """
@inproceedings{peng2020knowing,
  title     = {Knowing What, How and Why: A Near Complete Solution for Aspect-Based Sentiment Analysis},
  author    = {Peng, Haiyun and Xu, Lu and Bing, Lidong and Huang, Fei and Lu, Wei and Si, Luo},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {34},
  pages     = {8600--8607},
  year      = {2020}
}
"""

_INPUTS = """
Args:
    predictions: for each sentence a list of {"aspect": [start, end], "opinion": [start, end],
        "sentiment": str}; spans are word indices, half open. Further keys, such as a score, are not looked at.
    references: the gold triplets, in the same form and order.
    sentiment_labels: the sentiments that may occur, ["POS", "NEG", "NEU"] unless told.
Returns:
    a dictionary of floats in [0, 1]; `triplet_f1` is the main score.
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ASTE(evaluate.Metric):
    """Records in, scores out; the arithmetic is in `triplet_metrics`."""

    def _info(self) -> evaluate.MetricInfo:
        triplets = datasets.List(
            {
                "aspect": datasets.List(datasets.Value("int64"), length=2),
                "opinion": datasets.List(datasets.Value("int64"), length=2),
                "sentiment": datasets.Value("string"),
            }
        )
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": triplets, "references": triplets}),
            reference_urls=["https://ojs.aaai.org/index.php/AAAI/article/view/6383"],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **others: Any) -> None:
        """Add sentences. Further keys of a triplet are not looked at."""  # evaluate appends to it
        sides = {"predictions": predictions, "references": references}
        super().add_batch(**{name: _known_keys(sentences, name) for name, sentences in sides.items()}, **others)

    def add(self, *, prediction: Any = None, reference: Any = None, **others: Any) -> None:
        """Add one sentence. Further keys of a triplet are not looked at."""
        sides = {"prediction": prediction, "reference": reference}
        super().add(**{name: _known_keys([triplets], name)[0] for name, triplets in sides.items()}, **others)

    def _compute(
        self,
        predictions: list[list[dict[str, Any]]],
        references: list[list[dict[str, Any]]],
        sentiment_labels: tuple[str, ...] = SENTIMENTS,
    ) -> dict[str, float]:
        return triplet_metrics(_tuples(predictions), _tuples(references), sentiment_labels)


def _known_keys(sentences: Any, side: str) -> list[list[dict[str, Any]]]:
    """The triplets without further keys, which Arrow would look for in vain."""
    if sentences is None:
        raise ValueError(f"no {side}: expected a list of triplets for each sentence")
    for number, triplets in enumerate(sentences):
        if triplets is None or not all(isinstance(triplet, Mapping) and triplet.keys() >= KEYS for triplet in triplets):
            raise ValueError(
                f"{side}[{number}] is {reprlib.repr(triplets)}: expected a list of triplets, each with the keys "
                f"{', '.join(sorted(KEYS))}; leave out sentences whose triplets are not known"
            )
    return [[{key: triplet[key] for key in KEYS} for triplet in triplets] for triplets in sentences]


def _tuples(sentences: list[list[dict[str, Any]]]) -> list[list[tuple]]:
    return [[(*t["aspect"], *t["opinion"], t["sentiment"]) for t in triplets] for triplets in sentences]
