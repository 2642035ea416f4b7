"""Several models as one: their mean decides, one checkpoint holds them, and dev chooses its threshold."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from model_cases import DEPRELS, RECORDS, inputs_of, small_model, tiny_bert, triplets_of
from tiny_runs import command, main, write_data
from transformers import AutoModel

from d2e2s import (
    D2E2SConfig,
    D2E2SForTripletExtraction,
    D2E2SProcessor,
    TripletExtractionPipeline,
)
from d2e2s.configuration_d2e2s import OWN_FIELDS
from d2e2s.evaluation.results import read_run, recipe_of
from d2e2s.evaluation.syntax import evaluate_parser
from d2e2s.fusion_d2e2s import FUSIONS
from d2e2s.reporting import compare, report
from d2e2s.reporting.drawing import render
from d2e2s.training import models as starts
from d2e2s.training.config_files import parse_arguments

RATES = {"learning_rate": 2e-3, "head_learning_rate": 5e-3}
CHOICE = ("cross_attention", "basic", "basic")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, D2E2SProcessor]:
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def models(tiny: tuple[Path, D2E2SProcessor]) -> list[D2E2SForTripletExtraction]:
    return [small_model(tiny[0], CHOICE, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def inputs(tiny: tuple[Path, D2E2SProcessor]) -> Any:
    return inputs_of(tiny[1])


# --- the model


@torch.no_grad()
def test_probabilities_are_the_means_of_the_models(models: list[D2E2SForTripletExtraction], inputs: Any) -> None:
    ensemble = D2E2SForTripletExtraction.ensemble_of(models)
    output, alone = ensemble(**inputs), [model(**inputs) for model in models]
    spans = torch.stack([each.span_logits.softmax(-1) for each in alone]).mean(0)
    torch.testing.assert_close(output.span_logits.softmax(-1), spans)
    # The models have other candidates each by themselves: give them those of the ensemble.
    readings = [model.read(*(inputs[name] for name in READ)) for model in models]
    pairs = [
        model.pair_scorer(reading.nodes, reading.features, output.aspects, output.opinions).softmax(-1)
        for model, reading in zip(models, readings, strict=True)
    ]
    torch.testing.assert_close(output.pair_logits.softmax(-1), torch.stack(pairs).mean(0))
    assert len({round(float(each.span_logits.sum()), 3) for each in alone}) == 3


READ = ("input_ids", "attention_mask", "word_index", "word_mask", "heads", "token_type_ids")


@torch.no_grad()
def test_a_model_with_itself_says_what_it_says_alone(models: list[D2E2SForTripletExtraction], inputs: Any) -> None:
    alone, twice = models[0], D2E2SForTripletExtraction.ensemble_of([models[0], copy.deepcopy(models[0])])
    twice.config.decision_threshold = 0.0
    assert any(triplets_of(alone(**inputs)))
    for found, expected in zip(triplets_of(twice(**inputs)), triplets_of(alone(**inputs)), strict=True):
        assert found.keys() == expected.keys()
        assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-5)


@torch.no_grad()
def test_one_checkpoint_holds_them(models: list[D2E2SForTripletExtraction], inputs: Any, tmp_path: Path) -> None:
    ensemble = D2E2SForTripletExtraction.ensemble_of(models)
    ensemble.save_pretrained(tmp_path)
    for kind, options in ((D2E2SForTripletExtraction, {}), (AutoModel, {"trust_remote_code": True})):
        loaded: Any = kind.from_pretrained(tmp_path, **options)
        assert loaded.config.ensemble_size == len(loaded.members) == 3
        for name in ("span_logits", "pair_logits"):
            torch.testing.assert_close(loaded.eval()(**inputs)[name], ensemble(**inputs)[name])
    alone = sum(parameter.numel() for parameter in models[0].parameters())
    assert sum(parameter.numel() for parameter in loaded.parameters()) == 3 * alone


def test_it_forgets_what_its_models_chose_on_dev(tiny: tuple[Path, D2E2SProcessor]) -> None:
    chosen = [{"decision_threshold": 0.1 * x, "temperature": 1.0 + x, "score_shift": x / 2} for x in (1, 2)]
    pair = [small_model(tiny[0], CHOICE, seed, **fields) for seed, fields in enumerate(chosen)]
    config = D2E2SForTripletExtraction.ensemble_of(pair).config
    assert (config.decision_threshold, config.temperature, config.score_shift) == (0.5, 1.0, 0.0)
    assert config.ensemble_size == 2
    assert [model.config.ensemble_size for model in pair] == [1, 1]


def test_what_makes_no_ensemble(tiny: tuple[Path, D2E2SProcessor], models: list[D2E2SForTripletExtraction]) -> None:
    join = D2E2SForTripletExtraction.ensemble_of
    with pytest.raises(ValueError, match="at least two different models, got 1"):
        join(models[:1])
    with pytest.raises(ValueError, match="at least two different models, got 3"):
        join([*models[:2], models[0]])
    with pytest.raises(ValueError, match="model 1 of the ensemble is an ensemble: give the models"):
        join([models[0], join(models)])
    other = small_model(tiny[0], ("tin", "basic", "basic"), max_triplets=7, max_candidates=7)
    with pytest.raises(ValueError, match="models 0 and 2 of the ensemble differ in max_candidates, max_triplets$"):
        join([*models[:2], other])


@pytest.fixture(scope="module")
def mixed(tiny: tuple[Path, D2E2SProcessor]) -> list[D2E2SForTripletExtraction]:
    """Models that differ in all that the models of an ensemble may: all fusions are there."""
    choices = [(fusion, "basic", "basic") for fusion in FUSIONS] + [("none", "basic", "none")]
    sizes = {"gcn_heads": 2, "gcn_layers": 1, "graph_size": 24, "head_size": 24, "parser_size": 32}
    sizes |= {"fusion_heads": 2, "parser_loss_weight": 0.1, "graph_consistency_weight": 0.2, "dropout": 0.3}
    trained = {"contrastive_loss_weight": 0.4, "contrastive_temperature": 0.5, "predicted_graph_rate": 0.6}
    other: dict[str, Any] = {"boundary_refinement": True, "syntax": "predicted", "deprel_labels": DEPRELS[:-1]}
    strange = small_model(tiny[0], ("tin", "enhanced", "enhanced"), 9, **sizes, **trained, **other)
    models = [*(small_model(tiny[0], choice, seed) for seed, choice in enumerate(choices)), strange]
    assert all(getattr(strange.config, name) != getattr(models[0].config, name) for name in OWN_FIELDS[3:])
    return models


@pytest.mark.slow
@torch.no_grad()
def test_its_models_may_have_other_fusions_graphs_and_sizes(
    mixed: list[D2E2SForTripletExtraction], inputs: Any, tmp_path: Path
) -> None:
    ensemble = D2E2SForTripletExtraction.ensemble_of(mixed)
    ensemble.save_pretrained(tmp_path)
    # No labels: those of the relations are other ones in one of the models.
    inputs = {name: value for name, value in inputs.items() if name in READ}
    spans = torch.stack([model(**inputs).span_logits.softmax(-1) for model in mixed]).mean(0)
    for kind, options in ((D2E2SForTripletExtraction, {}), (AutoModel, {"trust_remote_code": True})):
        loaded: Any = kind.from_pretrained(tmp_path, **options).eval()
        torch.testing.assert_close(loaded(**inputs).span_logits.softmax(-1), spans)
        torch.testing.assert_close(loaded(**inputs).pair_logits, ensemble(**inputs).pair_logits)
        for config, model in zip(loaded.config.members, mixed, strict=True):
            assert {name: getattr(config, name) for name in OWN_FIELDS} == {
                name: getattr(model.config, name) for name in OWN_FIELDS
            }


def test_raw_text_is_refused_if_any_of_its_models_needs_heads(tiny: tuple[Path, D2E2SProcessor]) -> None:
    control, strict = small_model(tiny[0], ("none", "basic", "none")), small_model(tiny[0], CHOICE, syntax="input")
    ensemble = D2E2SForTripletExtraction.ensemble_of([control, strict])
    both = D2E2SForTripletExtraction.ensemble_of([small_model(tiny[0], CHOICE), strict])
    with pytest.raises(ValueError, match="this model has no parser that it would use"):
        evaluate_parser(both, tiny[1], [RECORDS["two words"]])
    with pytest.raises(ValueError, match="this model needs the heads of every sentence, not raw text"):
        TripletExtractionPipeline(model=ensemble, processor=tiny[1])
    TripletExtractionPipeline(model=control, processor=tiny[1])
    used, not_used = (render("card_usage.md.jinja", name="there", config=model.config) for model in (control, ensemble))
    assert "From raw text" in used and "From raw text" not in not_used


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({"max_candidates": 3, "fusion_tipe": "tin"}, "cannot differ in fusion_tipe, max_candidates$"),
        ({"gcn_heads": 7}, r"others\[1\]: gcn_heads=7 does not divide graph_size"),
        ({"fusion_type": "sum"}, r"others\[1\]: .*fusion_type"),
        ({"dropout": 2.0}, r"others\[1\]: dropout must lie in \[0, 1\], got 2.0"),
        ({"new": 2.0}, r"others\[1\]: models of an ensemble cannot differ in new$"),
    ],
    ids=str,
)
def test_a_configuration_of_models_that_cannot_be(differences: dict[str, Any], message: str) -> None:
    with pytest.raises(StrictDataclassError) as error:
        D2E2SConfig(others=[{}, differences])
    assert re.search(message, str(error.value.__cause__))


def test_it_is_not_trained(models: list[D2E2SForTripletExtraction], inputs: Any) -> None:
    ensemble = D2E2SForTripletExtraction.ensemble_of(models)
    assert not ensemble.training
    ensemble.others[0].train()
    with pytest.raises(ValueError, match="an ensemble is not trained as one"):
        ensemble(**inputs)
    with pytest.raises(ValueError, match="an ensemble is not trained as one"):
        ensemble.train()(**inputs)
    ensemble.eval()


# --- the command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=48, dev=24, test=24)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        assert main(command(data, folder / str(seed), seed=seed, num_train_epochs=12, **RATES, do_predict=False)) == 0
    return [folder / "1", folder / "2"]


def joining(data: Path, output_dir: Path, members: list[Path], **extra: Any) -> list[str]:
    plain = {"encoder_name_or_path": None, "head_size": None, "parser_size": None, "do_train": False, **extra}
    return [*command(data, output_dir, **plain), "--ensemble_of", *map(str, members)]


@pytest.mark.slow
def test_an_ensemble_from_files_to_figures(
    data: Path, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "both"
    assert main(joining(data, folder, runs)) == 0
    figures = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    single = json.loads((runs[0] / "all_results.json").read_text(encoding="utf-8"))
    assert figures["ensemble_size"] == 2 and figures["parameters"] == 2 * single["parameters"]
    assert figures["encoder_parameters"] == 2 * single["encoder_parameters"]
    # Trained on the same data, which is named once.
    [step] = figures["earlier_training"]
    assert step["sentences"] == single["train_sentences"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["decision_threshold"] == figures["decision_threshold"] == figures["test_threshold"]
    assert config["temperature"] == figures["temperature"] != 1
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Its scores are the mean of 2 models trained apart." in card
    assert (
        f"2 models, each trained by itself; their own cards say how. Trained on {step['sentences']} sentences" in card
    )
    assert "`learning_rate`" not in card and "one ensemble. Its decision threshold was selected on dev" in card
    assert figures["seed"] == single["seed"] and figures["arguments"]["config"] == single["arguments"]["config"]
    assert compare.describe(figures)[2] == f"2 × {compare.describe(single)[2]}"
    # It is no further seed of its models' recipe, and what it was made with is not shown as theirs.
    assert recipe_of(figures) != recipe_of({**figures, "ensemble_size": 1})
    assert "The first model's agreement with the given trees" in card
    shown = dict(report.details(report.read_run(folder)))
    assert shown["ensemble size"] == 2 and "--learning_rate" not in shown
    # It is a checkpoint like any other.
    again = tmp_path / "again"
    plain = {"encoder_name_or_path": None, "head_size": None, "parser_size": None, "do_train": False}
    assert main(command(data, again, model_name_or_path=folder, do_eval=True, **plain)) == 0
    scored = json.loads((again / "all_results.json").read_text(encoding="utf-8"))
    assert scored["eval_triplet_f1"] == figures["eval_triplet_f1"]
    predicted = [(at / "predictions_test.jsonl").read_text(encoding="utf-8") for at in (again, folder)]
    assert predicted[0] == predicted[1] and '"score"' in predicted[0]
    # Its record stays.
    assert main(command(data, folder, model_name_or_path=folder, do_eval=True, **plain)) == 2
    assert f"{folder}: holds a model that was trained" in capsys.readouterr().err
    # It is not trained.
    refused = command(data, tmp_path / "trained", model_name_or_path=folder, **{**plain, "do_train": True})
    assert main(refused) == 2
    assert f"{folder}: an ensemble is not trained as one" in capsys.readouterr().err


@pytest.mark.slow
def test_an_ensemble_of_two_fusions_says_so(
    data: Path, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a model went on from a checkpoint and so was told no fusion itself."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(command(data, first, fusion_type="gated", max_steps=1, do_predict=False)) == 0
    plain = {"encoder_name_or_path": None, "head_size": None, "parser_size": None}
    assert main(command(data, second, model_name_or_path=first, max_steps=1, do_predict=False, **plain)) == 0
    on = read_run(second)
    assert on["arguments"]["config"] == read_run(first)["arguments"]["config"]
    assert compare.describe(on)[2] == "gated + enhanced + basic"
    folder = tmp_path / "both"
    assert main(joining(data, folder, [runs[0], second])) == 0
    figures = read_run(folder)
    assert compare.describe(figures)[2] == "2 × cross_attention / gated + enhanced + basic"
    assert figures["arguments"]["config"]["fusion_type"] == ["cross_attention", "gated"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "(fusion `cross_attention`, `gated`, semantic GCN `enhanced`, syntactic GCN `basic`)" in card
    # It says what it is where it is only scored, and nobody changes a part of it.
    scored = tmp_path / "scored"
    plain |= {"model_name_or_path": folder, "do_train": False, "do_eval": True, "do_predict": False}
    assert main(command(data, scored, **plain)) == 0
    assert compare.describe(read_run(scored))[2] == compare.describe(figures)[2]
    assert main(command(data, tmp_path / "changed", fusion_type="tin", **plain)) == 2
    assert "its models differ in fusion_type, which cannot be set for all of them" in capsys.readouterr().err
    # Another does not take its place unasked.
    assert main(joining(data, folder, [second, runs[0]])) == 2
    assert f"{folder} holds a model: put another in its place" in capsys.readouterr().err
    assert main(joining(data, folder, [second, runs[0]], overwrite_output_dir=True)) == 0


@pytest.mark.slow
def test_syntax_is_scored_as_all_of_its_models_use_it(data: Path, runs: list[Path], tmp_path: Path) -> None:
    others = {"control": {"fusion_type": "none"}, "strict": {"syntax": "input"}}
    for name, choice in others.items():
        assert main(command(data, tmp_path / name, **choice, max_steps=1, do_predict=False)) == 0
    found = {}
    for name, members in (("control", ["control", runs[0]]), ("strict", [runs[0], "strict"])):
        folder = tmp_path / f"with {name}"
        assert main(joining(data, folder, [tmp_path / member for member in members])) == 0
        found[name] = read_run(folder)
    # The second model uses given heads, the first has no parser to score; a model that needs heads is given them.
    assert "test_predicted_syntax_triplet_f1" in found["control"] and "test_parser_uas" not in found["control"]
    assert not [figure for figure in found["strict"] if "predicted_syntax" in figure or "parser" in figure]
    assert "test_triplet_f1" in found["strict"]


def test_what_its_models_were_trained_on_is_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last thing last, what only one of them began with first."""
    steps = {name: {"data": name, "sentences": 1} for name in ("other", "first", "joint", "mine")}
    histories = {"a": ["mine"], "b": ["first", "mine"], "c": ["first", "joint", "mine"], "d": ["other", "mine"]}

    def origin(path: str) -> dict[str, Any]:
        return {"encoder": path, "base_model": None, "earlier_training": [steps[name] for name in histories[path]]}

    monkeypatch.setattr(starts, "checkpoint_origin", origin)
    told = starts.ensemble_origin([*histories])
    assert [step["data"] for step in told["earlier_training"]] == ["other", "first", "joint", "mine"]
    assert told["encoder"] == "a"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"do_train": True}, "--ensemble_of makes one model of trained ones: give --do_train false"),
        ({"validation_file": None}, "--ensemble_of needs --validation_file"),
        ({"dropout": 0.5}, "--ensemble_of keeps what its models are: without --dropout"),
        ({"model_name_or_path": "there"}, "give either --encoder_name_or_path"),
        ({"word_splitter": "penn"}, "--word_splitter is for a new model"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(
    extra: dict[str, Any],
    message: str,
    data: Path,
    runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(joining(data, tmp_path / "out", runs, **extra)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_folders_that_do_not_fit(
    data: Path, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert main(command(data, other, max_span_width=5, max_steps=1, do_predict=False)) == 0
    splitter = tmp_path / "splitter"
    assert main(command(data, splitter, word_splitter="whitespace", max_steps=1, do_predict=False)) == 0
    capsys.readouterr()
    for members, message in (
        ([runs[0], runs[0] / ".." / runs[0].name], "--ensemble_of names a checkpoint twice"),
        (runs[:1], f"--ensemble_of {runs[0]}: an ensemble has at least two different models, got 1"),
        ([runs[0], other], "models 0 and 1 of the ensemble differ in max_span_width"),
        ([runs[0], splitter], f"{splitter} and {runs[0]} split words or pieces differently"),
        ([runs[0], tmp_path / "absent"], f"{tmp_path / 'absent'}: no such"),
    ):
        assert main(joining(data, tmp_path / "out", members)) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
def test_it_does_not_take_the_place_of_its_models(
    data: Path, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (runs[0] / "config.json").read_bytes()
    for folder in (runs[0], runs[0] / "inside", tmp_path / "trained"):
        (tmp_path / "trained").mkdir(exist_ok=True)
        (tmp_path / "trained" / "trainer_state.json").touch()
        assert main(joining(data, folder, runs)) == 2
        assert f"{folder}: holds a model that was trained" in capsys.readouterr().err
    assert (runs[0] / "config.json").read_bytes() == before


@pytest.mark.slow
def test_a_file_names_the_models_and_a_later_one_another_start(data: Path, runs: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"ensemble_of: [{runs[0]}, {runs[1]}]\n")
    words = command(data, tmp_path / "out", encoder_name_or_path=None, head_size=None, parser_size=None, do_train=False)
    assert parse_arguments([str(file), *words]).model.ensemble_of == [str(run) for run in runs]
    again = parse_arguments([str(file), *words, f"--model_name_or_path={runs[0]}"]).model
    assert (again.ensemble_of, again.model_name_or_path) == (None, str(runs[0]))
