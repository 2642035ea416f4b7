"""What choosing the decision threshold costs: some sentences of dev choose it, and the others are scored.

    python -m benchmarks.threshold outputs/15res-seed42 outputs/15res-seed43 --validation_file data/15res/dev.jsonl \
        --out results/threshold_15res.json

The threshold nearest to 0.5 within one standard error of the best F1, by which the training chooses, beside the one
with the best F1; for each model alone, and for all of them as one. Temperatures, which dev chose as well, are left out.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor
from d2e2s.data_scripts.records import Record, read_records
from d2e2s.evaluation import PADDING, Rows, Scores, choose_threshold, triplet_figures
from d2e2s.processing_d2e2s import DataCollatorForTripletExtraction

from .report import write_json
from .timing import command_line

RULES = {"best_f1": 0.0, "one_standard_error": 1.0}  # standard errors below the best that count as good
SHARES = (0.5, 0.8)  # of the sentences, which choose
BATCH_SIZE = 32
Scored = tuple[Rows, Scores]


@torch.inference_mode()
def score(model: D2E2SForTripletExtraction, processor: D2E2SProcessor, records: Sequence[Record]) -> Scored:
    """All candidates (S, K, 5) of the sentences and their scores (S, K), without temperature."""
    collate = DataCollatorForTripletExtraction(processor, return_labels=False)
    model.config.temperature = 1.0
    rows, scores = [], []
    for start in range(0, len(records), BATCH_SIZE):
        output = model(**collate(records[start : start + BATCH_SIZE]), threshold=0.0)
        rows.append(output.triplets.numpy())
        scores.append(output.scores.numpy())
    return np.concatenate(rows), np.concatenate(scores)


def gold_rows(records: Sequence[Record], sentiments: Sequence[str]) -> Rows:
    """Gold triplets (S, M, 5) of the records."""
    gold = np.full((len(records), max(len(record["triplets"]) for record in records), 5), PADDING)
    for row, record in zip(gold, records, strict=True):
        for i, triplet in enumerate(record["triplets"]):
            row[i] = (*triplet["aspect"], *triplet["opinion"], sentiments.index(triplet["sentiment"]))
    return gold


def compare_rules(
    scored: Scored, gold: Rows, sentiments: Sequence[str], share: float, draws: int, seed: int = 0
) -> dict[str, Any]:
    """Mean F1 of each rule on the sentences that did not choose, over draws of those that did; and of what it chose."""
    rows, scores = scored
    random = np.random.default_rng(seed)
    found: dict[str, list[dict[str, float]]] = {rule: [] for rule in RULES}
    for _ in range(draws):
        some, others = np.split(random.permutation(len(rows)), [round(share * len(rows))])
        for rule, errors in RULES.items():
            threshold = choose_threshold(rows[some], scores[some], gold[some], errors)
            found[rule].append(triplet_figures(rows[others], scores[others], gold[others], sentiments, threshold))
    return {
        rule: {name: statistics.mean(figures[name] for figures in each) for name in ("triplet_f1", "threshold")}
        for rule, each in found.items()
    }


def measure(paths: Sequence[str], records: Sequence[Record], draws: int) -> dict[str, Any]:
    """The rules' figures for each model alone, and for all as one, by the share of the sentences that choose."""
    models = [D2E2SForTripletExtraction.from_pretrained(path, dtype=torch.float32).eval() for path in paths]
    processor = D2E2SProcessor.from_pretrained(paths[0])
    sentiments = models[0].config.sentiment_labels
    gold = gold_rows(records, sentiments)
    alone = [score(model, processor, records) for model in models]
    together = score(D2E2SForTripletExtraction.ensemble_of(models).eval(), processor, records)
    return {
        str(share): {
            "alone": [compare_rules(scored, gold, sentiments, share, draws) for scored in alone],
            "as_one": compare_rules(together, gold, sentiments, share, draws),
        }
        for share in SHARES
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("models", nargs="+", help="checkpoints that differ in their seed alone")
    parser.add_argument("--validation_file", required=True, help="the sentences that chose their thresholds")
    parser.add_argument("--draws", type=int, default=200, help="of the sentences that choose")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    options = parser.parse_args(argv)
    records = read_records(options.validation_file)
    found = measure(options.models, records, options.draws)
    result = {"command": command_line(), "sentences": len(records), "draws": options.draws, "shares": found}
    write_json(options.out, result)


if __name__ == "__main__":
    main()
