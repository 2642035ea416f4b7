"""Dev decides calibration and threshold; then test is scored, with the heads that are given and without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from ..configuration_d2e2s import D2E2SConfig
from ..data_scripts.records import Record, write_records
from ..ensemble_d2e2s import CHOSEN_ON_DEV
from ..evaluation.calibration import calibration_figures, decoded, fit_calibration, pair_decisions
from ..evaluation.results import predictions_file
from ..evaluation.syntax import evaluate_parser
from ..evaluation.thresholds import choose_threshold, to_triplets, triplet_figures
from .record import Figures


def calibrate(trainer: Any, records: Sequence[Record] | None, anew: bool = True) -> Figures:
    """Fit the calibration of the model's scores, then its decision threshold, in one pass over the trainer's dev set.

    Args:
        records: those of dev, for `predictions_dev.jsonl`; None writes none.
        anew: False leaves the calibration as it is.

    Returns:
        the figures of dev (`eval_*`), and those of `chosen_on_dev`.
    """
    model, dataset = trainer.model, trainer.eval_dataset
    config = model.config
    with trainer.evaluation_precision():
        decisions = pair_decisions(model, trainer.batches(dataset))
    if anew:
        config.temperature, config.score_shift = fit_calibration(decisions, config)
    order = np.argsort(trainer.longest_first(dataset), kind="stable")
    rows, scores, gold = decoded(decisions, config)
    rows, scores, gold = rows[order], scores[order], gold[order]
    config.decision_threshold = choose_threshold(rows, scores, gold)
    found = triplet_figures(rows, scores, gold, config.sentiment_labels, config.decision_threshold)
    found |= calibration_figures(decisions, config)
    figures = {f"eval_{name}": value for name, value in found.items()}
    trainer.log_metrics("eval", figures)
    write_predictions(trainer, records, rows, scores, "dev")
    return {**figures, **chosen_on_dev(config)}


def chosen_on_dev(config: D2E2SConfig) -> Figures:
    """What of a model's configuration its dev set has chosen."""
    return {name: getattr(config, name) for name in CHOSEN_ON_DEV}


def score(
    trainer: Any, dataset: datasets.Dataset, records: Sequence[Record] | None, prefix: str, split: str | None = None
) -> Figures:
    """Figures of a set at the model's calibration and threshold, its predictions in `predictions_SPLIT.jsonl`.

    Args:
        dataset: the model's inputs. records: the same sentences; None writes no predictions.
        prefix: of the figures. split: for the file's name; default: the prefix.
    """
    output: Any = trainer.predict(dataset, metric_key_prefix=prefix)
    trainer.log_metrics(prefix, output.metrics)
    rows, scores = output.predictions
    write_predictions(trainer, records, rows, scores, split or prefix)
    return output.metrics


def score_syntax(trainer: Any, treebank: Sequence[Record]) -> Figures:
    """How well the model parses, and what its triplets are worth on its own parses.

    Where dev or test has heads that the model would use, it is scored again with the heads hidden
    (`test_predicted_syntax_triplet_f1`), at the same threshold: the one chosen on dev with the heads given. The parser
    is scored on the heads of test (`test_parser_uas`) and of the treebank (`parser_test_uas`).
    """
    config = trainer.model.config
    figures: Figures = {}
    if config.needs_heads:
        return figures
    prefixes = {"dev": "eval", "test": "test"}
    scored = {name: trainer.records[name] for name in prefixes if name in trainer.records}
    parsed = {name: records for name, records in scored.items() if all(record.get("heads") for record in records)}
    for name, records in parsed.items():
        if any(member.uses_parser and member.syntax == "auto" for member in config.members):
            bare = trainer.inputs[name].remove_columns(["heads", "deprels"])
            prefix = f"{prefixes[name]}_predicted_syntax"
            figures |= score(trainer, bare, records, prefix, f"{name}_predicted_syntax")
    if not config.uses_parser:
        return figures
    treebanks = {f"{prefixes[name]}_parser": records for name, records in parsed.items()}
    if treebank:
        treebanks["parser_test"] = list(treebank)
    size = trainer.args.per_device_eval_batch_size
    for prefix, records in treebanks.items():
        scores = evaluate_parser(trainer.model, trainer.processing_class, records, size)
        figures |= {f"{prefix}_{name}": value for name, value in scores.items()}
    return figures


# --- predictions ------------------------------------------------------------------------------------------


def write_predictions(trainer: Any, records: Sequence[Record] | None, rows: Any, scores: Any, split: str) -> None:
    """Each record with `predicted_triplets` that reach the threshold, as JSONL in the order of the input."""
    if records is None or not trainer.is_world_process_zero():
        return
    config = trainer.model.config
    triplets = to_triplets(rows, config.sentiment_labels)
    predicted = [
        {**record, "predicted_triplets": _confident(found, values, config.decision_threshold)}
        for record, found, values in zip(records, triplets, scores, strict=True)
    ]
    write_records(predictions_file(Path(str(trainer.args.output_dir)), split), predicted)


def _confident(triplets: Sequence[tuple], scores: Sequence[float], threshold: float) -> list[dict[str, Any]]:
    """Triplets that reach the threshold, as in a record, with their score. Padding stands behind the triplets."""
    return [
        {"aspect": [a, b], "opinion": [c, d], "sentiment": sentiment, "score": float(score)}
        for (a, b, c, d, sentiment), score in zip(triplets, scores, strict=False)
        if score >= threshold
    ]


def format_prediction(record: Record) -> str:
    """A predicted record for people: the sentence, then one triplet a line."""
    tokens = record["tokens"]
    lines = [
        f"    {_words(tokens, triplet['aspect'])} | {_words(tokens, triplet['opinion'])} | "
        f"{triplet['sentiment']} ({triplet['score']:.2f})"
        for triplet in record["predicted_triplets"]
    ]
    return "\n".join([" ".join(tokens), *(lines or ["    (no triplet)"])])


def _words(tokens: Sequence[str], span: Sequence[int]) -> str:
    return " ".join(tokens[span[0] : span[1]])
