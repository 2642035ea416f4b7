"""The model card, written from what a run left in its folder: `config.json` and `all_results.json`.

d2e2s card outputs/14res --name someone/d2e2s-14res --seeds outputs/14res-43 outputs/14res-44
"""

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
from . import drawing
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="output folder of the run")
    parser.add_argument("--name", help="what the card calls the model, such as its Hub repository; default: the folder")
    add_card_arguments(parser)


def run(options: argparse.Namespace) -> None:
    write_card(options.folder, options.name, options.seeds, options.license)
    print(options.folder / "README.md")


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """What only the user can tell about a model."""
    add = parser.add_argument
    add("--seeds", nargs="+", type=Path, default=[], help="output folders of the same recipe with other seeds")
    add("--license", help="licence of the weights, as the Hub names it, such as apache-2.0")


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
    text = drawing.render(
        "card.md.jinja",
        metadata=card_data(name, runs, licence, carbon).to_yaml(),
        name=name,
        config=config,
        figures=figures,
        runs=runs,
        data=data_name(figures),
        start=base_model(figures) or Path(figures["encoder"]).name,
        choices=[_of_all(config, name) for name in CHOICES],
        failures=failures(config, figures),
        scores=scores(runs),
        arguments=arguments(figures),
        carbon=carbon,
        splits=SPLITS,
        treebanks=TREEBANKS,
    )
    card = ModelCard(str(text))
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
        if different := sorted(key for key in first | other if first.get(key) != other.get(key)):
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
    found = of_each(runs, key)
    values: list[tuple[str, Any]] = [(name, value) for value in found[:1]]
    if len(found) > 1:
        mean, deviation = mean_and_deviation(found)
        values.append((f"{name}, mean and standard deviation of {len(runs)} seeds", f"{mean:.4f} ± {deviation:.4f}"))
    return values


# --- tables -------------------------------------------------------------------------------------------------


def failures(config: D2E2SConfig, figures: Figures) -> str:
    """F1 of the kinds of triplets and sentences on one split, worst first; empty if none was scored."""
    names = {**{label: f"`{label}` triplets" for label in config.sentiment_labels}, **GROUPS}
    prefix = next((prefix for prefix in INDEXED if f"{prefix}_triplet_f1" in figures), "")
    keys = {f"{prefix}_triplet_f1_{group}": text for group, text in names.items()}
    rows = sorted((figures[key], text) for key, text in keys.items() if key in figures)
    if not rows:
        return ""
    header = ["worst first", f"triplet F1 on {SPLITS[prefix]}"]
    return markdown_table(header, [[text, percent([value])] for value, text in rows])


def scores(runs: Sequence[Figures]) -> str:
    """Exact-match micro figures in percent; a split that was not scored has no row; empty if none was."""
    figures, several = runs[0], len(runs) > 1
    rows = [
        [split, kind, *(percent([figures[f"{prefix}_{kind}_{measure}"]]) for measure in MEASURES)]
        + [percent(of_each(runs, f"{prefix}_{kind}_f1"))] * several
        for prefix, split in SPLITS.items()
        for kind in KINDS
        if all(f"{prefix}_{kind}_{measure}" in figures for measure in MEASURES)
    ]
    columns = ["split", "what", "F1", "precision", "recall"] + [f"F1 of {len(runs)} seeds"] * several
    return markdown_table(columns, rows) if rows else ""


def arguments(figures: Figures) -> str:
    """Everything that was not left at the model's defaults, and the training arguments."""
    values = {**figures["arguments"]["config"], **trained_with(figures)}
    rows = [[f"`{name}`", str(value)] for name, value in values.items() if value is not None]
    return markdown_table(["argument", "value"], rows)


def _of_all(config: D2E2SConfig, name: str) -> str:
    """The values that a field has in the models of a checkpoint, each once."""
    return ", ".join(f"`{value}`" for value in dict.fromkeys(getattr(member, name) for member in config.members))


def of_each(runs: Sequence[Figures], key: str) -> list[float]:
    """The figure of each run; none if one of them has not measured it."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return values if len(values) == len(runs) else []
