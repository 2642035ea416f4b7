"""The model card, written from what a run left in its folder: `config.json` and `all_results.json`.

d2e2s card outputs/14res --name someone/d2e2s-14res --seeds outputs/14res-43 outputs/14res-44
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..configuration_d2e2s import D2E2SConfig
from ..data_scripts.files import write_marked
from ..encoders import hub_name
from ..errors_d2e2s import UserError
from ..evaluation.results import (
    CHOICES,
    Figures,
    data_name,
    mean_and_deviation,
    percent,
    read_run,
    recipe_of,
    trained_with,
)
from ..pipeline_d2e2s import TASK
from .markdown import markdown_table

# What the model-index holds: metric id, end of the figure's name, and the name for people.
METRICS = (
    ("f1", "triplet_f1", "Triplet F1"),
    ("precision", "triplet_precision", "Triplet precision"),
    ("recall", "triplet_recall", "Triplet recall"),
    ("f1", "aspect_f1", "Aspect F1"),
    ("f1", "opinion_f1", "Opinion F1"),
)
KINDS = ("triplet", "aspect", "opinion", "pair")
MEASURES = ("f1", "precision", "recall")
# Prefixes of the figures, and what they were measured on.
SPLITS = {
    "eval": "dev",
    "eval_predicted_syntax": "dev, predicted syntax",
    "test": "test",
    "test_predicted_syntax": "test, predicted syntax",
}
INDEXED = {"test": "test", "eval": "validation"}
TREEBANKS = {"eval_parser": "dev", "test_parser": "test", "parser_test": "the treebank's test part"}
GROUPS = {
    "single_word": "triplets of two single words",
    "multi_word": "triplets with a longer aspect or opinion",
    "one_triplet": "sentences with one triplet",
    "several_triplets": "sentences with several triplets",
}
# Examples for the Hub's page: our own sentences, for those of the data need not be ours to publish.
EXAMPLES = (
    "The food was great but the service was slow.",
    "The battery does not last long, but I love the keyboard.",
    "Nothing special, though the staff was friendly.",
)
CITATION = """@inproceedings{zhao-etal-2024-dual-encoder,
  title     = {Dual Encoder: Exploiting the Potential of Syntactic and Semantic for Aspect Sentiment Triplet
               Extraction},
  author    = {Zhao, Xiaowei and Zhou, Yong and Xu, Xiujuan},
  booktitle = {Proceedings of the 2024 Joint International Conference on Computational Linguistics, Language Resources
               and Evaluation (LREC-COLING 2024)},
  pages     = {5401--5413},
  year      = {2024},
  url       = {https://aclanthology.org/2024.lrec-main.480/}
}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="output folder of the run")
    parser.add_argument("--name", help="what the card calls the model, such as its Hub repository; default: the folder")
    add_card_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Write the card of a run's folder."""
    write_card(options.folder, options.name, options.seeds, options.license)
    print(options.folder / "README.md")


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """What only the user can tell about a model."""
    parser.add_argument(
        "--seeds", nargs="+", type=Path, default=[], help="output folders of the same recipe with other seeds"
    )
    parser.add_argument("--license", help="licence of the weights, as the Hub names it, such as apache-2.0")


def write_card(
    folder: Path, name: str | None = None, seeds: Sequence[Path] = (), licence: str | None = None
) -> ModelCard:
    """Write `README.md` into the folder of a run, unless somebody wrote or changed the one that is there.

    It holds figures of results files and no others.

    Args:
        name: what the card calls the model: its Hub repository; else the folder's name.
        seeds: output folders of the same recipe with other seeds, for mean and standard deviation.
        licence: of the weights.

    Raises:
        UserError: no figures, figures that cannot be read, or seeds that are not seeds of this run.
        OSError: a file that is missing or cannot be written.
    """
    figures, config = read_run(folder), D2E2SConfig.from_pretrained(folder)
    runs = [figures, *map(read_run, seeds)]
    check_seeds(runs, [folder, *seeds])
    carbon = read_emissions(folder)
    name = name or folder.resolve().name
    data = card_data(name, runs, licence, carbon)
    parts = [
        f"# {name}",
        introduction(config, figures),
        limits(config, figures),
        results(runs),
        usage(name, config),
        training(figures, carbon),
        f"## Citation\n\n```bibtex\n{CITATION}\n```",
    ]
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
    write_marked(folder / "README.md", str(card))
    return card


# --- what the run left --------------------------------------------------------------------------------------


def check_seeds(runs: Sequence[Figures], folders: Sequence[Path]) -> None:
    """Whether the runs differ in their seed, and in nothing else that their figures depend on.

    Raises:
        UserError: which run differs, and in what.
    """
    first = recipe_of(runs[0])
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        other = recipe_of(run)
        different = sorted(key for key in first | other if first.get(key) != other.get(key))
        if different:
            raise UserError(
                f"{folder}: another recipe than {folders[0]} ({', '.join(different)}); --seeds takes others"
            )
    if len({run["seed"] for run in runs}) < len(runs):
        raise UserError(f"two runs of one seed among {', '.join(map(str, folders))}: give each seed once")


def base_model(figures: Figures) -> str | None:
    """Hub name of what the training started from; None for a folder."""
    return figures["base_model"] if "base_model" in figures else hub_name(figures["encoder"])


def read_emissions(folder: Path) -> dict[str, Any] | None:
    """What codecarbon measured (`--report_to codecarbon`), in the Hub's form; None if it did not."""
    path = folder / "emissions.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "emissions": 1000 * float(last["emissions"]),  # kilograms there, grams here
        "source": "codecarbon",
        "training_type": "fine-tuning",
        "geographical_location": last.get("country_name") or None,
        "hardware_used": last.get("gpu_model") or last.get("cpu_model") or None,
    }


# --- metadata -----------------------------------------------------------------------------------------------


def card_data(
    name: str, runs: Sequence[Figures], licence: str | None = None, carbon: Mapping[str, Any] | None = None
) -> ModelCardData:
    """Metadata with the model-index: this model's figures, and the mean over the seeds where there are several.

    There is no `pipeline_tag`: the Hub has none for this task, and would show a snippet that does not run.
    """
    language = runs[0].get("data_card", {}).get("language")
    return ModelCardData(
        model_name=name,
        library_name="transformers",
        license=licence,
        language=language,
        base_model=base_model(runs[0]),
        tags=["d2e2s", TASK, "absa"],
        metrics=list(MEASURES),
        widget=[{"text": text} for text in EXAMPLES] if language in ("en", ["en"]) else None,
        co2_eq_emissions={key: value for key, value in carbon.items() if value is not None} if carbon else None,
        eval_results=eval_results(runs) or None,
    )


def eval_results(runs: Sequence[Figures]) -> list[EvalResult]:
    """One entry for each metric and scored split."""
    dataset = data_name(runs[0])
    return [
        EvalResult(
            task_type="token-classification",
            task_name="Aspect Sentiment Triplet Extraction",
            dataset_type=dataset_id(dataset),
            dataset_name=dataset,
            dataset_split=split,
            metric_type=metric,
            metric_name=label,
            metric_value=value,
        )
        for prefix, split in INDEXED.items()
        for metric, key, name in METRICS
        for label, value in _values(runs, f"{prefix}_{key}", name)
    ]


def dataset_id(name: str) -> str:
    """The name as the Hub wants an identifier: letters, digits, `-`, `_` and `.`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.").lower() or "unnamed"


def _values(runs: Sequence[Figures], key: str, name: str) -> list[tuple[str, Any]]:
    """The value of this model, and of all seeds."""
    found = _of_each(runs, key)
    values: list[tuple[str, Any]] = [(name, value) for value in found[:1]]
    if len(found) > 1:
        mean, deviation = mean_and_deviation(found)
        values.append((f"{name}, mean and standard deviation of {len(runs)} seeds", f"{mean:.4f} ± {deviation:.4f}"))
    return values


# --- sections -----------------------------------------------------------------------------------------------


def introduction(config: D2E2SConfig, figures: Figures) -> str:
    start = base_model(figures) or Path(figures["encoder"]).name
    several = f" Its scores are the mean of {config.ensemble_size} models trained apart." * (config.ensemble_size > 1)
    fusion, semantic, syntactic = (_of_all(config, name) for name in CHOICES)
    return (
        "Finds (aspect, opinion, sentiment) triplets in review sentences: which thing is judged, by which words, and "
        f"whether that is {', '.join(config.sentiment_labels)}. A D2E2S model (fusion {fusion}, "
        f"semantic GCN {semantic}, syntactic GCN {syntactic}) that started from `{start}`.{several}"
    )


def _of_all(config: D2E2SConfig, name: str) -> str:
    """The values that a field has in the models of a checkpoint, each once."""
    return ", ".join(f"`{value}`" for value in dict.fromkeys(getattr(member, name) for member in config.members))


def limits(config: D2E2SConfig, figures: Figures) -> str:
    """Where it fails: by construction, and by its figures."""
    names = {**{label: f"`{label}` triplets" for label in config.sentiment_labels}, **GROUPS}
    prefix = next((prefix for prefix in INDEXED if f"{prefix}_triplet_f1" in figures), None)
    keys = {f"{prefix}_triplet_f1_{group}": text for group, text in names.items()}
    rows = sorted((figures[key], text) for key, text in keys.items() if key in figures)
    parts = [
        "## Where it fails",
        f"It finds no aspect or opinion of more than {config.max_span_width} words, none that is only implied, and no "
        f"pair across sentences. Trained on {data_name(figures)}: expect less on other domains and languages.",
    ]
    if rows and prefix is not None:
        header = ["worst first", f"triplet F1 on {SPLITS[prefix]}"]
        parts.append(markdown_table(header, [[text, percent([value])] for value, text in rows]).strip())
    return "\n\n".join(parts)


def results(runs: Sequence[Figures]) -> str:
    """Table of exact-match micro figures in percent; a split that was not scored has no row."""
    figures, several = runs[0], len(runs) > 1
    rows = [
        [split, kind, *(percent([figures[f"{prefix}_{kind}_{measure}"]]) for measure in MEASURES)]
        + [percent(_of_each(runs, f"{prefix}_{kind}_f1"))] * several
        for prefix, split in SPLITS.items()
        for kind in KINDS
        if all(f"{prefix}_{kind}_{measure}" in figures for measure in MEASURES)
    ]
    if not rows:
        return "## Results\n\nThis run scored nothing."
    columns = ["split", "what", "F1", "precision", "recall"] + [f"F1 of {len(runs)} seeds"] * several
    notes = [*_selection(runs), *calibration(figures), *parser(figures), *speed(figures)]
    return "\n\n".join(["## Results", markdown_table(columns, rows).strip(), *notes])


def _of_each(runs: Sequence[Figures], key: str) -> list[float]:
    """The figure of each run; none if one of them has not measured it."""
    return [run[key] for run in runs] if all(key in run for run in runs) else []


def _selection(runs: Sequence[Figures]) -> list[str]:
    """How the figures came about: a paragraph."""
    figures = runs[0]
    sizes = [
        f"{name} {figures[f'{name}_sentences']} sentences / {figures[f'{name}_triplets']} triplets"
        for name in ("train", "dev", "test")
        if f"{name}_sentences" in figures
    ]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    what = "ensemble" if "ensemble_size" in figures else "seed"
    counted = f"one {what}" if len(runs) == 1 else f"this model and mean ± standard deviation over {what}s {seeds}"
    threshold = f" ({figures['decision_threshold']:.4f})" if "decision_threshold" in figures else ""
    return [
        f"Exact match, micro average, {counted}. {_chosen_on_dev(figures)}{threshold}. Full splits: {'; '.join(sizes)}."
    ]


def _chosen_on_dev(figures: Figures) -> str:
    if "ensemble_size" in figures:
        return "Its decision threshold was selected on dev, and of its models what their own cards say"
    if "eval_threshold" not in figures:
        return "Nothing was selected on dev, nor was the decision threshold"
    if not figures["arguments"]["training"].get("load_best_model_at_end", True):
        return "The weights are those of the end of training; the decision threshold was selected on dev"
    return "The epoch and the decision threshold were selected on dev"


def _before(figures: Figures, prefix: str) -> str:
    """The error of the model's own probabilities, where it was measured: on dev."""
    key = f"{prefix}_ece_before"
    return f"{figures[key]:.4f} before, after " if key in figures else ""


def calibration(figures: Figures) -> list[str]:
    """What the scores are worth: a paragraph, or none."""
    errors = [
        f"{split} {_before(figures, prefix)}{figures[f'{prefix}_ece_after']:.4f} "
        f"({figures[f'{prefix}_ece_returned']:.4f} over the triplets returned)"
        for prefix, split in SPLITS.items()
        if f"{prefix}_ece_after" in figures
    ]
    fitted = ""
    if "score_shift" in figures:  # not in results of before
        fitted = f" (temperature {figures['temperature']:.3f}, shift {figures['score_shift']:.3f})"
    text = f"Scores are calibrated on dev{fitted}. Expected calibration error of the candidate "
    return [f"{text}triplets, 15 bins: {'; '.join(errors)}."] if errors else []


def parser(figures: Figures) -> list[str]:
    """How well the model parses: a paragraph, or none."""
    scores = [
        f"{name} UAS {100 * figures[f'{prefix}_uas']:.2f}"
        + (f", LAS {100 * figures[f'{prefix}_las']:.2f}" if f"{prefix}_las" in figures else "")
        for prefix, name in TREEBANKS.items()
        if f"{prefix}_uas" in figures
    ]
    whose = "The first model's" if "ensemble_size" in figures else "The built-in parser's"
    text = f"{whose} agreement with the given trees, all words, maximum spanning tree: "
    return [f"{text}{'; '.join(scores)}."] if scores else []


def speed(figures: Figures) -> list[str]:
    """How fast the test file was scored: a paragraph, or none."""
    if "test_samples_per_second" not in figures:
        return []
    size, rate = figures["arguments"]["training"]["per_device_eval_batch_size"], figures["test_samples_per_second"]
    return [f"Scoring test ran at {rate:.0f} sentences a second ({machine(figures)}, batches of {size})."]


def machine(figures: Figures) -> str:
    processes = figures.get("processes", 1)
    return f"{figures['device']}, {processes} process{'es' * (processes > 1)}"


def usage(name: str, config: D2E2SConfig) -> str:
    """Snippets that need `transformers` and `torch` only."""
    raw = f"""From raw text:

```python
from transformers import pipeline

extract = pipeline(model="{name}", trust_remote_code=True)
print(extract("{EXAMPLES[0]}"))
```

"""
    words = EXAMPLES[0].removesuffix(".").split() + ["."]
    heads = f", heads=[{[2, 4, 4, 0, 9, 7, 9, 9, 4, 4]}]" if config.needs_heads else ""
    return f"""## Use

{"" if config.needs_heads else raw}From words:

```python
import torch
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("{name}", trust_remote_code=True)
model = AutoModel.from_pretrained("{name}", trust_remote_code=True).eval()
inputs = processor(words=[{words!r}]{heads}, return_tensors="pt")
with torch.inference_mode():
    outputs = model(**inputs)
print(processor.post_process_triplets(outputs, inputs))
```"""


def training(figures: Figures, carbon: Mapping[str, Any] | None) -> str:
    """The data, everything that was not left at the model's defaults, the training arguments, and what it cost."""
    parts = [f"Data: {data_name(figures)}; licence: {_licence(figures)}.{earlier_training(figures)}"]
    if "ensemble_size" in figures:  # what it was made with is not what its models were trained with
        parts = [ensemble_training(figures)]
    else:
        values = {**figures["arguments"]["config"], **trained_with(figures)}
        rows = [[f"`{name}`", str(value)] for name, value in values.items() if value is not None]
        parts.append(markdown_table(["argument", "value"], rows).strip())
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    size = (
        f"{figures['parameters']:,} parameters, of which {figures['encoder_parameters']:,} in the encoder; {versions}."
    )
    return "\n\n".join(["## Training", *parts, "\n".join([size, *cost(figures, carbon)])])


def _licence(figures: Figures) -> str:
    return figures.get("data_card", {}).get("licence") or "not stated"


def earlier_training(figures: Figures) -> str:
    """What the checkpoint that the training went on from was trained on, a sentence for each time."""
    return "".join(
        f" Before that, trained on {step['sentences']} sentences of {step['data']} "
        f"(licence: {', '.join(step['licences'])})."
        for step in reversed(figures.get("earlier_training", []))
    )


def ensemble_training(figures: Figures) -> str:
    """What the models of an ensemble were trained on, the last first: a sentence."""
    steps = [
        f"{step['sentences']} sentences of {step['data']} (licence: {', '.join(step['licences'])})"
        for step in reversed(figures["earlier_training"])
    ]
    on = f" Trained on {', and before on '.join(steps)}." if steps else ""
    return f"{figures['ensemble_size']} models, each trained by itself; their own cards say how.{on}"


def cost(figures: Figures, carbon: Mapping[str, Any] | None) -> list[str]:
    """Time and, if it was measured, carbon dioxide: a sentence each."""
    sentences = []
    if "train_runtime" in figures:
        minutes = figures["train_runtime"] / 60
        what = "This training" if figures.get("earlier_training") else "Training"
        sentences.append(f"{what} took {minutes:.1f} minutes ({machine(figures)}).")
    if carbon is not None:
        sentences.append(f"Measured with codecarbon: {carbon['emissions']:.1f} g of CO2 equivalents.")
    return sentences
