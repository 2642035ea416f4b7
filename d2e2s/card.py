"""The model card, written from the figures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .arguments import Arguments
from .data_scripts.records import Record, write_atomically
from .encoders import hub_name
from .modeling_d2e2s import D2E2SForTripletExtraction

TASK = "aspect-sentiment-triplet-extraction"
METRICS = {
    "triplet_f1": "Triplet F1",
    "triplet_precision": "Triplet precision",
    "triplet_recall": "Triplet recall",
}
KINDS = ("triplet", "aspect", "opinion", "pair")
# Prefixes of the figures, and what they were measured on.
SPLITS = {
    "eval": "dev",
    "eval_predicted_syntax": "dev, predicted syntax",
    "test": "test",
    "test_predicted_syntax": "test, predicted syntax",
}
TREEBANKS = {"eval_parser": "dev", "test_parser": "test", "parser_test": "the treebank's test part"}
# Arguments of the training that make the recipe.
RECIPE = (
    "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
    "head_learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim",
    "early_stopping_patience", "bf16", "fp16", "seed",
)  # fmt: skip


def write_card(
    arguments: Arguments,
    model: D2E2SForTripletExtraction,
    figures: Mapping[str, Any],
    splits: Mapping[str, Sequence[Record]],
    repository: str | None = None,
) -> None:
    """Write `README.md` into the output folder; it holds figures of this run and no others.

    Args:
        repository: Hub repository that the model is pushed to; else the card names `hub_model_id`, or the folder.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = arguments.output_dir
    name = repository or arguments.training.hub_model_id or folder.resolve().name
    parts = [
        f"# {name}",
        introduction(arguments, model),
        results(figures),
        usage(name, splits),
        recipe(arguments, figures),
    ]
    data = card_data(arguments, name, figures)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
    write_atomically(folder / "README.md", lambda temporary: temporary.write_text(str(card), encoding="utf-8"))


def card_data(arguments: Arguments, name: str, figures: Mapping[str, Any]) -> ModelCardData:
    """Metadata with the model-index: triplet F1, precision and recall of the splits that were scored."""
    encoder = arguments.model.encoder_name_or_path
    return ModelCardData(
        model_name=name,
        library_name="transformers",
        base_model=hub_name(encoder) if encoder else None,
        tags=["d2e2s", TASK, "absa"],
        eval_results=eval_results(arguments.data.title(), figures) or None,
    )


def eval_results(dataset: str, figures: Mapping[str, Any]) -> list[EvalResult]:
    """One entry for each metric and scored split."""
    return [
        EvalResult(
            task_type="token-classification",
            task_name="Aspect Sentiment Triplet Extraction",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type=metric.removeprefix("triplet_"),
            metric_name=label,
            metric_value=figures[f"{prefix}_{metric}"],
        )
        for prefix, split in (("test", "test"), ("eval", "validation"))
        for metric, label in METRICS.items()
        if f"{prefix}_{metric}" in figures
    ]


def introduction(arguments: Arguments, model: D2E2SForTripletExtraction) -> str:
    config = model.config
    start = arguments.model.encoder_name_or_path or arguments.model.model_name_or_path
    return (
        "Finds (aspect, opinion, sentiment) triplets in review sentences: which thing is judged, by which words, and "
        f"whether that is {', '.join(config.sentiment_labels)}. A D2E2S model (fusion `{config.fusion_type}`, semantic "
        f"GCN `{config.semantic_gcn}`, syntactic GCN `{config.syntactic_gcn}`) that started from `{start}`.\n\n"
        f"It finds no aspect or opinion of more than {config.max_span_width} words, and none that is only implied. "
        f"Trained on `{arguments.data.title()}`: expect less on other domains and languages."
    )


def results(figures: Mapping[str, Any]) -> str:
    """Table of exact-match micro figures in percent; a split that was not scored has no row."""
    rows = [
        f"| {split} | {kind} | " + " | ".join(f"{100 * figures[f'{prefix}_{kind}_{m}']:.2f}" for m in measures) + " |"
        for prefix, split in SPLITS.items()
        for measures in [("f1", "precision", "recall")]
        for kind in KINDS
        if all(f"{prefix}_{kind}_{measure}" in figures for measure in measures)
    ]
    if not rows:
        return "## Results\n\nThis run scored nothing."
    sizes = [
        f"{name} {figures[f'{name}_sentences']} sentences / {figures[f'{name}_triplets']} triplets"
        for name in ("train", "dev", "test")
        if f"{name}_sentences" in figures
    ]
    head = ["| split | what | F1 | precision | recall |", "|---|---|---|---|---|"]
    selection = "The epoch and the decision threshold were selected on dev" if "eval_threshold" in figures else ""
    selection = selection or "Nothing was selected on dev; the decision threshold"
    note = f"Exact match, micro average, one seed. {selection} ({figures['decision_threshold']:.4f}). "
    note += f"Full splits: {'; '.join(sizes)}."
    notes = [note, *calibration(figures), *parser(figures)]
    return "\n".join(["## Results", "", *head, *rows, "", "\n\n".join(notes)])


def calibration(figures: Mapping[str, Any]) -> list[str]:
    """What the scores are worth: a paragraph, or none."""
    errors = [
        f"{split} {figures[f'{prefix}_ece_before']:.4f} before, {figures[f'{prefix}_ece_after']:.4f} after "
        f"({figures[f'{prefix}_ece_returned']:.4f} over the triplets returned)"
        for prefix, split in SPLITS.items()
        if f"{prefix}_ece_before" in figures
    ]
    fitted = f" (T = {figures['temperature']:.3f})" if "temperature" in figures else ""
    text = f"Scores are calibrated on dev by one temperature{fitted}. Expected calibration error of the candidate "
    return [f"{text}triplets, 15 bins: {'; '.join(errors)}."] if errors else []


def parser(figures: Mapping[str, Any]) -> list[str]:
    """How well the model parses: a paragraph, or none."""
    scores = [
        f"{name} UAS {100 * figures[f'{prefix}_uas']:.2f}"
        + (f", LAS {100 * figures[f'{prefix}_las']:.2f}" if f"{prefix}_las" in figures else "")
        for prefix, name in TREEBANKS.items()
        if f"{prefix}_uas" in figures
    ]
    text = "The built-in parser's agreement with the given trees, all words, maximum spanning tree: "
    return [f"{text}{'; '.join(scores)}."] if scores else []


def usage(name: str, splits: Mapping[str, Sequence[Record]]) -> str:
    """A snippet that needs `transformers` and `torch` only."""
    records = next((splits[split] for split in ("test", "dev", "train") if splits.get(split)), None)
    words = list(records[0]["tokens"]) if records else ["Great", "food", "."]
    return f"""## Use

```python
import torch
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("{name}", trust_remote_code=True)
model = AutoModel.from_pretrained("{name}", trust_remote_code=True).eval()
inputs = processor(words=[{words!r}], return_tensors="pt")
with torch.inference_mode():
    outputs = model(**inputs)
print(processor.post_process_triplets(outputs, inputs))
```"""


def recipe(arguments: Arguments, figures: Mapping[str, Any]) -> str:
    """Everything that was not left at the model's defaults, and the training arguments that matter."""
    training = arguments.training.to_dict()
    values = {**arguments.config_overrides(), **{name: training[name] for name in RECIPE}}
    rows = [f"| `{name}` | {value} |" for name, value in values.items() if value is not None]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    note = (
        f"{figures['parameters']:,} parameters, of which {figures['encoder_parameters']:,} in the encoder; {versions}."
    )
    return "\n".join(["## Training", "", "| argument | value |", "|---|---|", *rows, "", note])
