"""The model card: what it says comes from the results files, and the Hub's own classes read it."""

from __future__ import annotations

import copy
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_eval_result

from d2e2s import D2E2SConfig, cli
from d2e2s.reporting.card import card_data, dataset_id, eval_results, read_emissions, write_card

MEASURES = ("f1", "precision", "recall")
TRAINING = {"learning_rate": 3e-5, "per_device_eval_batch_size": 32}
Run = Callable[..., Path]


def figures(seed: int = 42, f1: float = 0.5, **more: Any) -> dict[str, Any]:
    """Figures of a run, as `run_aste.py` writes them; those of test are `f1`, those of dev a little lower."""
    values: dict[str, Any] = {
        f"{prefix}_{kind}_{measure}": value
        for prefix, value in (("eval", f1 - 0.125), ("test", f1))
        for kind in ("triplet", "aspect", "opinion", "pair")
        for measure in MEASURES
    }
    values |= {"test_triplet_f1_NEU": 0.0625, "test_triplet_f1_POS": 0.75, "test_triplet_f1_multi_word": 0.25}
    values |= {"eval_threshold": 0.375, "decision_threshold": 0.375, "seed": seed}
    values |= {"temperature": 1.5, "score_shift": -0.25}
    values |= {f"test_ece_{name}": value for name, value in (("before", 0.04), ("after", 0.03), ("returned", 0.02))}
    values |= {"test_samples_per_second": 87.6, "train_runtime": 90.0, "device": "cpu", "processes": 2}
    values |= {"parameters": 1234567, "encoder_parameters": 1000000, "versions": {"torch": "9.9"}}
    values |= {"encoder": "/home/someone/my-encoder", "base_model": None, "train_sentences": 7, "train_triplets": 9}
    values |= {"data_card": {"licence": "cc0-1.0", "language": "en"}}
    training = {"seed": seed, **TRAINING, "output_dir": f"run-{seed}"}
    values["arguments"] = {
        "config": {"dropout": 0.3},
        "data": {"dataset_name": "My reviews (2nd)"},
        "training": training,
    }
    return {**values, **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes the folder of a run."""

    def write(name: str = "run", **more: Any) -> Path:
        folder = tmp_path / name
        D2E2SConfig(max_span_width=5).save_pretrained(folder)
        (folder / "all_results.json").write_text(json.dumps(figures(**more)), encoding="utf-8")
        return folder

    return write


def test_every_figure_is_that_of_the_results_file(run: Run) -> None:
    card = write_card(run(), "someone/model")
    for text in ("| test | triplet | 50.00 | 50.00 | 50.00 |", "| dev | opinion | 37.50 | 37.50 | 37.50 |"):
        assert text in card.text
    for text in (
        "(0.3750)",
        "(temperature 1.500, shift -0.250)",
        "test 0.0400 before, after 0.0300 (0.0200",
        "88 sentences a second",
        "1.5 minutes",
    ):
        assert text in card.text
    for text in ("cpu, 2 processes", "1,234,567", "train 7 sentences / 9 triplets", "torch 9.9", "licence: cc0-1.0"):
        assert text in card.text
    assert "| `learning_rate` | 3e-05 |" in card.text and "| `dropout` | 0.3 |" in card.text


def test_where_it_fails_begins_with_the_worst(run: Run) -> None:
    text = write_card(run()).text
    rows = [text.index(f"| {name} |") for name in ("`NEU` triplets", "triplets with a longer aspect or opinion")]
    assert rows == sorted(rows) and rows[-1] < text.index("| `POS` triplets | 75.00 |")
    assert "more than 5 words" in text


def test_a_local_folder_does_not_leak(run: Run) -> None:
    card = str(write_card(run(), "someone/model"))
    assert "started from `my-encoder`" in card and "/home" not in card
    assert ModelCard(card).data.base_model is None


def test_the_hub_name_of_the_encoder_is_shown(run: Run) -> None:
    card = write_card(run(encoder="all-MiniLM-L6-v2", base_model="sentence-transformers/all-MiniLM-L6-v2"))
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert "started from `sentence-transformers/all-MiniLM-L6-v2`" in card.text


def test_model_index_holds_dev_and_test_and_is_read_again(run: Run) -> None:
    folder = run()
    write_card(folder, "someone/model", licence="apache-2.0")
    data = ModelCard.load(folder / "README.md").data
    found = {(result.dataset_split, result.metric_name): result.metric_value for result in data.eval_results}
    names = ("Triplet F1", "Triplet precision", "Triplet recall", "Aspect F1", "Opinion F1")
    assert found == {(split, name): value for split, value in (("test", 0.5), ("validation", 0.375)) for name in names}
    assert (data.license, data.language, data.model_name) == ("apache-2.0", "en", "someone/model")
    assert [set(example) for example in data.widget] == [{"text"}] * 3
    assert {result.dataset_type for result in data.eval_results} == {"my-reviews-2nd"}


def test_model_index_is_the_one_that_huggingface_hub_makes() -> None:
    """Of its own function, for one metric."""
    ours = card_data("m", [figures()]).to_dict()["model-index"][0]["results"][0]
    theirs = metadata_eval_result(
        model_pretty_name="m",
        task_pretty_name="Aspect Sentiment Triplet Extraction",
        task_id="token-classification",
        metrics_pretty_name="Triplet F1",
        metrics_id="f1",
        metrics_value=0.5,
        dataset_pretty_name="My reviews (2nd)",
        dataset_id="my-reviews-2nd",
        dataset_split="test",
    )["model-index"][0]["results"][0]
    assert ours["metrics"][0].items() <= theirs["metrics"][0].items()
    assert {key: ours[key] for key in ("task", "dataset")} == {key: theirs[key] for key in ("task", "dataset")}


def test_mean_and_spread_over_seeds(run: Run) -> None:
    values = (0.5, 0.625, 0.5625)
    first, *others = (run(f"run-{seed}", seed=seed, f1=f1) for seed, f1 in enumerate(values))
    card = write_card(first, seeds=others)
    mean, spread = statistics.mean(values), statistics.stdev(values)
    assert f"| test | triplet | 50.00 | 50.00 | 50.00 | {100 * mean:.2f} ± {100 * spread:.2f} |" in card.text
    assert "over seeds 0, 1, 2" in card.text
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found["Triplet F1"] == 0.375  # dev, which comes last
    assert found["Aspect F1, mean and standard deviation of 3 seeds"] == f"{mean - 0.125:.4f} ± {spread:.4f}"


def test_a_run_from_before_an_argument_is_another_seed_of_one_that_leaves_it_off(run: Run) -> None:
    first, other = run("run"), run("other", seed=43)
    for folder, told in ((first, {}), (other, {"adversarial_distance": 0.0})):
        results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
        results["arguments"]["training"].pop("adversarial_distance", None)
        results["arguments"]["training"] |= told
        (folder / "all_results.json").write_text(json.dumps(results), encoding="utf-8")
    assert "over seeds 42, 43" in write_card(first, seeds=[other]).text


def test_epochs_do_not_count_where_steps_do(run: Run) -> None:
    first, other = (
        run(name, seed=seed, arguments={**figures()["arguments"], "training": {**TRAINING, "max_steps": 9, **told}})
        for name, seed, told in (("run", 42, {}), ("other", 43, {"num_train_epochs": 12.0}))
    )
    assert "over seeds 42, 43" in write_card(first, seeds=[other]).text


@pytest.mark.parametrize(
    ("told", "shown", "other"),
    [
        ({"max_steps": 400, "num_train_epochs": 12.0}, "| `max_steps` | 400 |", "`num_train_epochs`"),
        ({"max_steps": -1, "num_train_epochs": 12.0}, "| `num_train_epochs` | 12.0 |", "`max_steps`"),
    ],
)
def test_the_length_of_the_training_is_the_one_that_counted(
    told: dict[str, Any], shown: str, other: str, run: Run
) -> None:
    folder = run()
    results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    results["arguments"]["training"] |= told
    (folder / "all_results.json").write_text(json.dumps(results), encoding="utf-8")
    text = write_card(folder).text
    assert shown in text and other not in text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "The epoch and the decision threshold were selected on dev (0.3750)."),
        (
            {"load_best_model_at_end": False},
            "The weights are those of the end of training; the decision threshold was selected on dev (0.3750).",
        ),
    ],
    ids=str,
)
def test_what_dev_selected(told: dict[str, Any], said: str, run: Run) -> None:
    arguments = figures()["arguments"]
    text = write_card(run(arguments={**arguments, "training": {**arguments["training"], **told}})).text
    assert said in text and text.count("on dev (0.3750)") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 42}, "two runs of one seed"),
        ({"processes": 1}, "another recipe than .* (processes)"),
        ({"arguments": {"training": {**TRAINING, "max_steps": 9}}}, "another recipe than .* (max_steps, "),
        ({"encoder": "bert-base-cased"}, "another recipe than .* (encoder)"),
        ({"parser_train_sentences": 2960}, "another recipe than .* (parser_train_sentences)"),
        ({"earlier_training": [{"data": "VADER", "sentences": 9}]}, "another recipe than .* (earlier_training)"),
        ({"arguments": {"config": {"fusion_type": "tin"}}}, "another recipe than .* (dropout, fusion_type)"),
    ],
)
def test_what_is_no_other_seed_is_refused(
    run: Run, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change = copy.deepcopy({"seed": 43, **change})
    if "arguments" in change:
        change["arguments"] = {**figures()["arguments"], **change["arguments"]}
    first, other = run("run"), run("other", **change)
    assert cli.main(["card", str(first), "--seeds", str(other)]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in message.split(" .* "))
    assert not (first / "README.md").exists()


def test_carbon_is_what_codecarbon_measured(run: Run) -> None:
    folder = run()
    assert read_emissions(folder) is None and "CO2" not in str(write_card(folder))
    rows = "emissions,country_name,cpu_model,gpu_model\n0.5,France,Some CPU,\n0.0125,France,Some CPU,\n"
    (folder / "emissions.csv").write_text(rows, encoding="utf-8")
    card = write_card(folder)
    assert card.data.to_dict()["co2_eq_emissions"] == {
        "emissions": 12.5,
        "source": "codecarbon",
        "training_type": "fine-tuning",
        "geographical_location": "France",
        "hardware_used": "Some CPU",
    }
    assert "12.5 g of CO2" in card.text


def test_a_run_that_scored_nothing_has_a_card(run: Run) -> None:
    folder = run()
    values = {name: value for name, value in figures().items() if not name.startswith(("eval", "test"))}
    (folder / "all_results.json").write_text(json.dumps(values), encoding="utf-8")
    card = write_card(folder)
    assert "This run scored nothing." in card.text and card.data.eval_results is None


def test_a_model_that_needs_heads_shows_no_raw_text(run: Run) -> None:
    folder = run()
    D2E2SConfig(syntax="input").save_pretrained(folder)
    text = write_card(folder).text
    assert "From raw text" not in text and "heads=[[2, 4, 4, 0," in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("{", "no results of a run"), ("{}", "no results of a run")],
)
def test_a_folder_without_figures_is_refused(
    run: Run, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run()
    (folder / "all_results.json").unlink()
    if content is not None:
        (folder / "all_results.json").write_text(content, encoding="utf-8")
    assert cli.main(["card", str(folder)]) == 2
    assert "all_results.json" in (error := capsys.readouterr().err) and message in error


def test_names_become_identifiers() -> None:
    assert [dataset_id(name) for name in ("ASTE-Data-V2 14res", "评论", "a/b")] == [
        "aste-data-v2-14res",
        "unnamed",
        "a-b",
    ]
    assert eval_results([figures()])[0].dataset_name == "My reviews (2nd)"
