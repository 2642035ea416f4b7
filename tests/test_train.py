"""Arguments, threshold, trainer and the whole run, on a tiny random encoder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_models import WINDOW, tiny_encoder
from tiny_runs import launch, main

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline
from d2e2s.checkpoints import for_a_while
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.evaluation.calibration import (
    PairDecisions,
    calibration_figures,
    decoded,
    fit_calibration,
    pair_decisions,
)
from d2e2s.evaluation.results import FOUND_OUT
from d2e2s.evaluation.syntax import evaluate_parser
from d2e2s.evaluation.thresholds import choose_threshold, keep_confident, to_triplets, triplet_figures
from d2e2s.metrics.aste.scoring import triplet_metrics
from d2e2s.prediction.predict import load_pipeline
from d2e2s.reporting.compare import describe
from d2e2s.training.arguments import Arguments, ConfigArguments
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.data import unreachable, warn_of_faults
from d2e2s.training.record import device_name, precision
from d2e2s.training.run import build_trainer, run, start
from d2e2s.training.steps import DivergedError
from d2e2s.training.trainer import TripletTrainer

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_scripts" / "sample_corpus"
SIZES = {"train": 32, "dev": 20, "test": 21}
LABELS = ["POS", "NEG", "NEU"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short sentences of the sample corpus, a few of each split, and a tiny encoder."""
    folder = tmp_path_factory.mktemp("data")
    for split, size in SIZES.items():
        short = [r for r in read_records(SAMPLE / f"{split}.jsonl") if len(r["tokens"]) < 16]
        write_records(folder / f"{split}.jsonl", short[:size])
    tiny_encoder("bert", folder / "encoder")
    return folder


@pytest.fixture
def words(data: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Command line of a run into `tmp_path/out`; keyword arguments are added to it."""

    def command(**extra: Any) -> list[str]:
        values = {
            "encoder_name_or_path": data / "encoder",
            "train_file": data / "train.jsonl",
            "validation_file": data / "dev.jsonl",
            "test_file": data / "test.jsonl",
            "output_dir": tmp_path / "out",
            "num_train_epochs": 2,
            "head_size": 16,
            "parser_size": 16,
            "disable_tqdm": True,
            "use_cpu": True,
            "do_train": True,
            "do_eval": True,
            "do_predict": True,
            **extra,
        }
        return [f"--{name}={value}" for name, value in values.items() if value is not None]

    return command


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a whole run that learns a little, started from a configuration file and arguments."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.yaml").write_text(
        f"encoder_name_or_path: {data}/encoder\ntrain_file: {data}/train.jsonl\nvalidation_file: {data}/dev.jsonl\n"
        f"test_file: {data}/test.jsonl\noutput_dir: {folder}/out\nnum_train_epochs: 9\nlearning_rate: 3e-3\n"
        "head_learning_rate: 3e-3\nper_device_train_batch_size: 2\n"
        "do_train: true\ndo_eval: true\ndo_predict: true\nuse_cpu: true\nmax_span_width: 2\nhead_size: 16\n"
    )
    assert main([str(folder / "run.yaml"), "--num_train_epochs", "6", "--seed=7", "--disable_tqdm=true"]) == 0
    return folder / "out"


def figures_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "all_results.json").read_text(encoding="utf-8"))


def make_trainer(arguments: Arguments) -> TripletTrainer:
    records = {name: read_records(getattr(arguments.data, f"{key}_file")) for name, key in
               (("train", "train"), ("dev", "validation"))}  # fmt: skip
    return build_trainer(arguments, records)


# --- arguments --------------------------------------------------------------------------------------------


def test_command_line_overrides_file(words: Callable[..., list[str]], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("learning_rate: 1e-4\nseed: 3\nfusion_type: tin\nboundary_refinement: true\n")
    arguments = parse_arguments([str(file), *words(seed=4, head_learning_rate="1e-2")])
    assert (arguments.training.learning_rate, arguments.training.head_learning_rate) == (1e-4, 1e-2)
    assert arguments.training.seed == 4
    wanted = {"fusion_type": "tin", "boundary_refinement": True, "head_size": 16, "parser_size": 16}
    assert arguments.config_overrides() == wanted


def test_later_file_overrides_earlier(words: Callable[..., list[str]], tmp_path: Path) -> None:
    data, encoder = tmp_path / "data.yaml", tmp_path / "encoder.yaml"
    data.write_text("learning_rate: 1e-4\nseed: 3\nboundary_refinement: true\n")
    encoder.write_text("learning_rate: 2e-4\nboundary_refinement: false\n")
    arguments = parse_arguments([str(data), str(encoder), *words()])
    assert (arguments.training.learning_rate, arguments.training.seed) == (2e-4, 3)
    assert arguments.config_overrides()["boundary_refinement"] is False
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml: no such configuration file"):
        parse_arguments([str(data), str(tmp_path / "absent.yaml"), *words()])


def test_null_takes_back_what_an_earlier_file_says(words: Callable[..., list[str]], tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.yaml" for number in range(3)]
    files[0].write_text("adversarial_distance: 1.0\nearly_stopping_patience: 3\nparser_file: [a, b]\nseed: 3\n")
    files[1].write_text("adversarial_distance: null\nearly_stopping_patience:\nparser_file: null\n")
    files[2].write_text("early_stopping_patience: 2\n")
    arguments = parse_arguments([*map(str, files), *words()])
    training = arguments.training
    assert (training.adversarial_distance, training.early_stopping_patience, training.seed) == (0.0, 2, 3)
    assert not arguments.data.parser_file


def test_where_the_model_starts_from_is_said_by_the_last_source(
    words: Callable[..., list[str]], tmp_path: Path
) -> None:
    plain = words(encoder_name_or_path=None)
    files = {"encoder": tmp_path / "encoder.yaml", "model": tmp_path / "model.yaml"}
    for kind, file in files.items():
        file.write_text(f"{kind}_name_or_path: from-file\n")
    for order, expected in (("encoder model", (None, "from-file")), ("model encoder", ("from-file", None))):
        model = parse_arguments([*(str(files[kind]) for kind in order.split()), *plain]).model
        assert (model.encoder_name_or_path, model.model_name_or_path) == expected
    for argument in (["--model_name_or_path", "x"], ["--model_name_or_path=x"]):
        model = parse_arguments([str(files["encoder"]), *plain, *argument]).model
        assert (model.encoder_name_or_path, model.model_name_or_path) == (None, "x")


def test_every_choice_of_the_model_is_an_argument() -> None:
    own = set(D2E2SConfig.__annotations__) & {f.name for f in fields(D2E2SConfig)}
    assert {f.name for f in fields(ConfigArguments)} == own - set(FOUND_OUT)


def test_defaults_select_on_dev(words: Callable[..., list[str]]) -> None:
    training = parse_arguments(words()).training
    assert training.load_best_model_at_end and training.metric_for_best_model == "triplet_f1"
    assert training.greater_is_better and training.eval_strategy == "epoch"
    assert training.report_to == [] and training.dataloader_pin_memory is False


@pytest.mark.parametrize(("figure", "more_is_better"), [("eval_loss", False), ("loss", False), ("pair_f1", True)])
def test_a_loss_is_better_the_smaller_it_is(figure: str, more_is_better: bool, words: Callable[..., list[str]]) -> None:
    assert parse_arguments(words(metric_for_best_model=figure)).training.greater_is_better is more_is_better


def test_what_accelerate_was_told_to_train_in_is_recorded(
    words: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert precision(parse_arguments(words(bf16=True)).training) == {"bf16": True, "fp16": False}
    assert precision(parse_arguments(words()).training) == {"bf16": False, "fp16": False}
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as `accelerate launch --mixed_precision bf16` does
    arguments = parse_arguments(words())
    trainer = make_trainer(arguments)
    trainer.describe()
    recorded = trainer.figures["arguments"]["training"]
    assert (recorded["bf16"], recorded["fp16"]) == (True, False)


WRONG = {
    "unknown argument": ({"lerning_rate": 1}, "unknown argument --lerning_rate=1; did you mean 'learning_rate'?"),
    "no encoder": ({"encoder_name_or_path": None}, "give either --encoder_name_or_path"),
    "encoder and checkpoint": ({"model_name_or_path": "x"}, "give either --encoder_name_or_path"),
    "no output folder": ({"output_dir": None}, "--output_dir is missing"),
    "nothing to do": ({"do_train": None, "do_eval": None, "do_predict": None}, "nothing to do"),
    "no training file": ({"train_file": None}, "--do_train needs --train_file"),
    "no dev file": ({"validation_file": None, "do_eval": None}, "selection on dev needs --validation_file"),
    "no test file": ({"test_file": None}, "--do_predict needs --test_file"),
    "absent file": ({"train_file": "absent.jsonl"}, "absent.jsonl: no such file"),
    "absent encoder": ({"encoder_name_or_path": "./absent"}, "absent"),
    "fusion": ({"fusion_type": "sum"}, "invalid choice: 'sum' (choose from"),
    "dropout": ({"dropout": 2}, "dropout must lie in [0, 1]"),
    "heads": ({"fusion_heads": 5, "graph_size": 32}, "fusion_heads=5 does not divide"),
    "nothing to resume": ({"resume_from_checkpoint": "true"}, "there is no checkpoint to resume from"),
    "splitter for a checkpoint": (
        {"encoder_name_or_path": None, "model_name_or_path": "x", "word_splitter": "penn"},
        "--word_splitter is for a new model",
    ),
    "threshold without dev": (
        {"do_train": None, "do_eval": None, "choose_threshold": True},
        "--choose_threshold chooses on --validation_file: give --do_eval",
    ),
    "trees without training": (
        {"parser_file": "trees.jsonl", "do_train": None},
        "--parser_file is for training: give --do_train",
    ),
    "absent trees": ({"parser_file": "absent.jsonl"}, "absent.jsonl"),
    "trees for no parser": ({"parser_file": SAMPLE / "dev.jsonl", "syntax": "input"}, "the model has none"),
    "trees without weight": ({"parser_file": SAMPLE / "dev.jsonl", "parser_loss_weight": 0}, "switches that off"),
    "no look at the gradient": ({"max_grad_norm": 0}, "--max_grad_norm must be above 0, got 0.0: a large one"),
    "label smoothing": ({"label_smoothing_factor": 0.1}, "--label_smoothing_factor is for models with one class"),
    "no such checkpoint": ({"resume_from_checkpoint": "absent"}, "absent: --resume_from_checkpoint names no"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_clear_line(
    case: str, words: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    extra, message = WRONG[case]
    try:
        code = main(words(**extra))
    except SystemExit as exit_:  # argparse has printed usage and reason
        code = exit_.code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and "error: " in last and message in last


FILES = {
    "unknown key": ("lerning_rate: 1", "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
    "no mapping": ("- a\n- b", "expected `argument: value` lines, found a list"),
    "no YAML": ("a: [1", "not YAML"),
}


@pytest.mark.parametrize("case", FILES)
def test_errors_of_the_configuration_file(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, message = FILES[case]
    (tmp_path / "run.yaml").write_text(text)
    assert main([str(tmp_path / "run.yaml")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no records"), ('{"id": "1", "tokens": ["a"]}', "no triplets"), ("{", "bad.jsonl:1: no")],
)
def test_errors_of_data_files(
    text: str, message: str, words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    assert main(words(train_file=tmp_path / "bad.jsonl")) == 2
    error = capsys.readouterr().err
    assert message in error and "bad.jsonl" in error


# --- threshold --------------------------------------------------------------------------------------------


def f1_at(rows: np.ndarray, scores: np.ndarray, gold: np.ndarray, threshold: float) -> float:
    kept = to_triplets(keep_confident(rows, scores, threshold), LABELS)
    return triplet_metrics(kept, to_triplets(gold, LABELS))["triplet_f1"]


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, scores with ties, and gold of a few sentences, among few different triplets."""
    sentences, size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    kinds = st.integers(-1, 3)
    rows = np.full((sentences, size, 5), -100)
    gold = np.full((sentences, 3, 5), -100)
    scores = np.full((sentences, size), -100.0, dtype=np.float32)
    for s in range(sentences):
        found = [k for k in draw(st.lists(kinds, max_size=size)) if k >= 0]
        grades = sorted(draw(st.lists(st.integers(1, 9), min_size=len(found), max_size=len(found))), reverse=True)
        for i, (kind, grade) in enumerate(zip(found, grades, strict=True)):
            rows[s, i], scores[s, i] = (kind, kind + 1, 9, 10, kind % 3), grade / 10
        for i, kind in enumerate(draw(st.lists(st.integers(0, 3), max_size=3))):
            gold[s, i] = (kind, kind + 1, 9, 10, kind % 3)
    return rows, scores, gold


@settings(max_examples=150, deadline=None)
@given(candidates())
def test_no_threshold_is_better_than_the_chosen(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    chosen = f1_at(*drawn, choose_threshold(*drawn))
    assert chosen == pytest.approx(max(f1_at(*drawn, t) for t in np.arange(0.05, 1.05, 0.1)))


def test_ties_go_to_the_threshold_nearest_to_one_half() -> None:
    rows = np.array([[[0, 1, 2, 3, 0], [1, 2, 2, 3, 0], [2, 3, 4, 5, 0]]])
    gold = rows[:, [0, 2]]
    scores = np.array([[0.9, 0.4, 0.2]])
    # one kept: 2 * 1 / (1 + 2); three kept: 2 * 2 / (3 + 2)
    assert choose_threshold(rows, scores, gold) == pytest.approx(0.1)
    # two right of two, and then nothing: one cut between 0.9 and 0.1
    assert choose_threshold(rows[:, :1], np.array([[0.9]]), rows[:, :1]) == pytest.approx(0.45)


def test_equal_scores_are_kept_or_dropped_together() -> None:
    rows = np.array([[[0, 1, 2, 3, 0], [1, 2, 2, 3, 0]]])
    scores = np.array([[0.6, 0.6]], dtype=np.float32)
    assert f1_at(rows, scores, rows[:, :1], choose_threshold(rows, scores, rows[:, :1])) == pytest.approx(2 / 3)


def test_threshold_without_any_right_candidate() -> None:
    assert choose_threshold(np.full((2, 1, 5), -100), np.full((2, 1), -100.0), np.zeros((2, 1, 5))) == 0.5


def test_unreachable_counts_aspects_and_opinions() -> None:
    triplets = [
        {"aspect": [0, a], "opinion": [5, 5 + o], "sentiment": "POS"} for a, o in ((1, 3), (3, 1), (4, 4), (1, 1))
    ]
    assert [unreachable([{"triplets": triplets}], width) for width in (1, 3, 4)] == [3, 1, 0]


# --- trainer ----------------------------------------------------------------------------------------------


def test_encoder_and_heads_have_their_own_learning_rates(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words(learning_rate=1e-5, head_learning_rate=2e-3, weight_decay=0.1)))
    model = trainer.model
    encoder = {id(p) for p in model.d2e2s.encoder.parameters()}
    seen = []
    for group in trainer.create_optimizer().param_groups:
        for parameter in group["params"]:
            assert group["lr"] == (1e-5 if id(parameter) in encoder else 2e-3)
            seen.append(id(parameter))
    assert sorted(seen) == sorted(id(p) for p in model.parameters())
    assert {g["weight_decay"] for g in trainer.optimizer.param_groups} == {0.1, 0.0}
    biases = {id(p) for name, p in model.named_parameters() if name.endswith("bias")}
    assert not [p for g in trainer.optimizer.param_groups if g["weight_decay"] for p in g["params"] if id(p) in biases]


def test_frozen_parameters_are_left_alone(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words()))
    trainer.model.d2e2s.encoder.requires_grad_(False)
    assert {group["lr"] for group in trainer.parameter_groups(trainer.model)} == {trainer.args.head_learning_rate}


def test_diverged_loss_stops_before_the_weights_are_spoiled(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words()))
    forward = trainer.model.forward

    def diverge(**inputs: Any) -> Any:
        output = forward(**inputs)
        if trainer.state.global_step == 1:
            output.loss = output.loss * float("nan")
        return output

    trainer.model.forward = diverge
    trainer._signature_columns = None
    with pytest.raises(DivergedError, match=r"loss is nan at step 2: lower --learning_rate"):
        trainer.train()
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_threshold_is_restored_after_an_error() -> None:
    config = D2E2SConfig(decision_threshold=0.7)
    with pytest.raises(KeyError), for_a_while(config, "decision_threshold", 0.0):
        assert config.decision_threshold == 0.0
        raise KeyError
    assert config.decision_threshold == 0.7


def test_predictions_come_in_the_order_of_the_data(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words(per_device_eval_batch_size=3)))
    dataset = trainer.eval_dataset
    output = trainer.predict(dataset)
    lengths = [len(pieces) for pieces in dataset["input_ids"]]
    assert lengths != sorted(lengths, reverse=True)
    for labels, rows in zip(dataset["labels"], output.label_ids.tolist(), strict=True):
        assert [row for row in rows if row[0] != -100] == labels
    alone = trainer.predict(dataset.select([4]))
    kept = alone.predictions[1][0] != -100
    np.testing.assert_array_equal(output.predictions[0][4][: kept.sum()], alone.predictions[0][0][kept])


def test_evaluation_shows_all_candidates_and_the_model_filters_alike(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words()))
    rows, scores = trainer.predict(trainer.eval_dataset).predictions
    threshold = float(np.median(scores[scores >= 0]))
    trainer.model.config.decision_threshold = threshold
    features = [trainer.eval_dataset[i] for i in range(len(trainer.eval_dataset))]
    with torch.inference_mode():
        own = trainer.model.eval()(**trainer.data_collator(features))
    expected = to_triplets(keep_confident(rows, scores, threshold), LABELS)
    assert [sorted(s) for s in to_triplets(own.triplets.numpy(), LABELS)] == [sorted(s) for s in expected]


@pytest.mark.parametrize("extra", [{"bf16_full_eval": True}, {"fp16_full_eval": True}], ids=str)
def test_rounded_evaluation_leaves_the_weights_as_they_were(
    extra: dict[str, bool], words: Callable[..., list[str]]
) -> None:
    trainer = make_trainer(parse_arguments(words(**extra)))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    seen = set()
    trainer.model.span_scorer.register_forward_pre_hook(lambda _, inputs: seen.add(inputs[0].dtype))
    trainer.evaluate()
    assert seen == {torch.bfloat16 if "bf16_full_eval" in extra else torch.float16}
    after = trainer.model.state_dict()
    assert {value.dtype for value in after.values() if value.is_floating_point()} == {torch.float32}
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize(
    "extra", [{"bf16": True}, {"activation_checkpointing": True}, {"lr_scheduler_type": "cosine"}], ids=str
)
def test_variants_of_training(extra: dict[str, Any], words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(
        parse_arguments(words(max_steps=2, eval_strategy="no", load_best_model_at_end=False, **extra))
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert any(name.startswith("d2e2s.encoder.") for name in changed)
    if "activation_checkpointing" in extra:
        assert trainer.model.d2e2s.encoder.is_activation_checkpointing


# --- the whole run ----------------------------------------------------------------------------------------


def test_run_writes_everything(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "all_results.json"} <= names
    assert {"predictions_dev.jsonl", "predictions_test.jsonl", "modeling_d2e2s.py", "processing_d2e2s.py"} <= names
    assert {path.name for path in Path(__file__).parents[1].glob("*_d2e2s.py")} - {"pipeline_d2e2s.py"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt"))}


def test_figures_are_those_of_the_predictions(finished: Path) -> None:
    figures = figures_of(finished)
    assert figures["seed"] == 7 and figures["epoch"] == 6.0
    assert figures["arguments"]["config"] == {"max_span_width": 2, "head_size": 16}
    for prefix, split in (("eval", "dev"), ("test", "test")):
        records = read_records(finished / f"predictions_{split}.jsonl")
        assert len(records) == SIZES[split] == figures[f"{split}_sentences"]
        as_tuples = [
            [[(*t["aspect"], *t["opinion"], t["sentiment"]) for t in r[key]] for r in records]
            for key in ("predicted_triplets", "triplets")
        ]
        expected = triplet_metrics(*as_tuples)
        assert {key: figures[f"{prefix}_{key}"] for key in expected} == expected


def test_dev_chooses_the_threshold_and_test_uses_it(finished: Path) -> None:
    figures = figures_of(finished)
    saved = json.loads((finished / "config.json").read_text())["decision_threshold"]
    assert figures["eval_threshold"] == figures["test_threshold"] == figures["decision_threshold"] == saved
    assert saved != D2E2SConfig().decision_threshold and figures["eval_triplet_f1"] > 0  # it learned, so dev chose
    found = [t for record in read_records(finished / "predictions_test.jsonl") for t in record["predicted_triplets"]]
    assert found and all(triplet["score"] >= saved for triplet in found)


def test_scores_do_not_go_where_a_model_was_trained(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = figures_of(finished)
    words = ["--model_name_or_path", str(finished), "--do_predict", "--test_file", str(SAMPLE / "test.jsonl")]
    assert main([*words, "--use_cpu", "--output_dir", str(finished)]) == 2
    assert f"{finished}: holds a model that was trained; give its scores an --output_dir" in capsys.readouterr().err
    assert figures_of(finished) == before


def test_a_run_tells_two_sentiments_of_one_pair(
    words: Callable[..., list[str]], data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = read_records(data / "train.jsonl")
    pair = {"aspect": [0, 1], "opinion": [1, 2]}
    first = {**first, "triplets": [{**pair, "sentiment": label} for label in ("POS", "NEG")]}
    write_records(tmp_path / "train.jsonl", [first, *others])
    run(parse_arguments(words(train_file=tmp_path / "train.jsonl", max_steps=1, do_predict=None)))
    assert [text for text in caplog.messages if "two sentiments" in text and first["id"] in text]


def test_two_sentiments_of_one_pair_are_told(caplog: pytest.LogCaptureFixture) -> None:
    pair = {"aspect": [0, 1], "opinion": [2, 3]}
    once, twice, both = (
        [{**pair, "sentiment": label} for label in labels] for labels in (["POS"], ["POS", "POS"], ["POS", "NEG"])
    )
    records = [{"id": name, "triplets": triplets} for name, triplets in zip("abc", (once, twice, both), strict=True)]
    warn_of_faults("dev", records, 8)
    assert caplog.messages == [
        "dev: 1 sentences give one aspect and opinion two sentiments, of which the model learns and finds one: c"
    ]


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2"])
def test_sentences_fit_the_positions_of_the_encoder(kind: str, words: Callable[..., list[str]], tmp_path: Path) -> None:
    """Where the tokenizer names no limit, as of an encoder that somebody trained with few positions."""
    folder = tiny_encoder(kind, tmp_path / kind)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    arguments = parse_arguments(words(encoder_name_or_path=folder))
    model, processor = start(arguments, read_records(SAMPLE / "dev.jsonl"))
    assert processor.window == (512 if kind == "deberta-v2" else WINDOW)
    extract = TripletExtractionPipeline(model, processor=processor)
    extract("the food was good and " * 60)  # longer than the window
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    processor.save_pretrained(saved)
    assert D2E2SProcessor.from_pretrained(saved).window == processor.window
    settings = json.loads((saved / "processor_config.json").read_text())
    (saved / "processor_config.json").write_text(json.dumps({**settings, "max_length": None}))  # as it was saved before
    assert load_pipeline(str(saved), device="cpu").processor.window == processor.window
    arguments = parse_arguments(words(encoder_name_or_path=None, model_name_or_path=saved))
    assert start(arguments, [])[1].window == processor.window


def test_best_epoch_on_dev_is_the_one_kept(finished: Path) -> None:
    state = json.loads((finished / "trainer_state.json").read_text())
    scores = [entry["eval_triplet_f1"] for entry in state["log_history"] if "eval_triplet_f1" in entry]
    assert len(scores) == 6
    assert max(scores) > min(scores)  # there is something to choose
    model, decisions = dev_decisions(finished)
    model.config.temperature, model.config.score_shift = 1.0, 0.0  # while it trains it is not calibrated
    found = decoded(decisions, model.config)
    figures = triplet_figures(*found, model.config.sentiment_labels, choose_threshold(*found))
    assert figures["triplet_f1"] == pytest.approx(max(scores))


def dev_decisions(folder: Path) -> tuple[D2E2SForTripletExtraction, list[PairDecisions]]:
    """A saved model, and what it has to decide on dev."""
    model = D2E2SForTripletExtraction.from_pretrained(folder)
    processor = D2E2SProcessor.from_pretrained(folder)
    records = read_records(folder / "predictions_dev.jsonl")
    columns = ([record[key] for record in records] for key in ("tokens", "heads", "deprels", "triplets"))
    return model, pair_decisions(model, [processor(*columns)])


def test_saved_model_gives_the_predictions_of_the_run(finished: Path) -> None:
    model = D2E2SForTripletExtraction.from_pretrained(finished).eval()
    processor = D2E2SProcessor.from_pretrained(finished)
    records = read_records(finished / "predictions_test.jsonl")
    inputs = processor(*([r[key] for r in records] for key in ("tokens", "heads", "deprels")))
    with torch.inference_mode():
        found = processor.post_process_triplets(model(**inputs), inputs)
    for record, triplets in zip(records, found, strict=True):
        mine = {(t["aspect"]["start"], t["aspect"]["end"], t["opinion"]["start"], t["sentiment"]) for t in triplets}
        assert mine == {(*t["aspect"], t["opinion"][0], t["sentiment"]) for t in record["predicted_triplets"]}


def test_calibration_of_dev_is_saved_and_used(finished: Path) -> None:
    """The scores of the predictions are those of the pair logits at the calibration that dev likes best."""
    figures, config = figures_of(finished), json.loads((finished / "config.json").read_text())
    assert figures["temperature"] == config["temperature"] != 1
    assert figures["score_shift"] == config["score_shift"] != 0
    names = (
        "eval_ece_before",
        *(f"{prefix}_ece_{name}" for prefix in ("eval", "test") for name in ("after", "returned")),
    )
    assert all(0 <= figures[name] <= 1 for name in names)
    model, decisions = dev_decisions(finished)
    fitted = (figures["temperature"], figures["score_shift"])
    assert fit_calibration(decisions, model.config) == pytest.approx(fitted, rel=1e-3)
    expected = calibration_figures(decisions, model.config)
    assert {name: figures[f"eval_{name}"] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_parser_and_its_triplets_are_scored(finished: Path) -> None:
    """Given heads hidden, the figures are those of the same file without heads, at the same threshold."""
    figures = figures_of(finished)
    model = D2E2SForTripletExtraction.from_pretrained(finished)
    processor = D2E2SProcessor.from_pretrained(finished)
    for prefix, split in (("eval", "dev"), ("test", "test")):
        records = read_records(finished / f"predictions_{split}.jsonl")
        scores = evaluate_parser(model, processor, records)
        assert {f"{prefix}_parser_{name}": value for name, value in scores.items()}.items() <= figures.items()
        with torch.inference_mode():
            rows = model(**processor([record["tokens"] for record in records])).triplets.numpy()
        gold = [[(*t["aspect"], *t["opinion"], t["sentiment"]) for t in record["triplets"]] for record in records]
        expected = triplet_metrics(to_triplets(rows, LABELS), gold)["triplet_f1"]
        assert figures[f"{prefix}_predicted_syntax_triplet_f1"] == pytest.approx(expected)
        assert figures[f"{prefix}_predicted_syntax_threshold"] == figures["decision_threshold"]


def test_card_holds_the_figures_of_the_run(finished: Path) -> None:
    card, figures = ModelCard.load(finished / "README.md"), figures_of(finished)
    results = {
        (r.dataset_split, r.metric_type): r.metric_value
        for r in card.data.eval_results
        if r.metric_name.startswith("Triplet")
    }
    expected = {
        (split, metric): figures[f"{prefix}_triplet_{metric}"]
        for prefix, split in (("eval", "validation"), ("test", "test"))
        for metric in ("f1", "precision", "recall")
    }
    assert results == expected
    shown = [f"{100 * figures[f'test_{name}']:.2f}" for name in ("predicted_syntax_triplet_f1", "parser_uas")]
    shown += [f"{figures[f'test_ece_{name}']:.4f}" for name in ("after", "returned")]
    assert all(text in card.text for text in shown)
    assert f"{100 * figures['test_triplet_f1']:.2f}" in card.text
    assert 'from_pretrained("out", trust_remote_code=True)' in card.text
    assert str(finished.parent) not in str(card)


def test_checkpoint_is_scored_again_to_the_same_figures(
    finished: Path, words: Callable[..., list[str]], tmp_path: Path
) -> None:
    words_ = words(encoder_name_or_path=None, model_name_or_path=finished, do_train=None, do_eval=None,
                   validation_file=None, head_size=None, parser_size=None)  # fmt: skip
    again = run(parse_arguments(words_))
    first = figures_of(finished)
    assert {k: v for k, v in again.items() if k.startswith("test_triplet")} == {
        k: v for k, v in first.items() if k.startswith("test_triplet")
    }
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.fixture
def again(finished: Path, words: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Command line that scores the finished checkpoint on dev and test."""
    plain = {"encoder_name_or_path": None, "model_name_or_path": finished, "do_train": None, "head_size": None}
    return lambda **extra: words(**{**plain, "parser_size": None, **extra})


def test_scoring_leaves_the_threshold_of_the_checkpoint(
    finished: Path, again: Callable[..., list[str]], tmp_path: Path, data: Path
) -> None:
    """Its own, whatever data it is scored on; chosen anew only where that is asked for."""
    chosen, other = tmp_path / "checkpoint", data / "train.jsonl"
    model = D2E2SForTripletExtraction.from_pretrained(finished)
    model.config.decision_threshold = 0.123
    model.save_pretrained(chosen)
    D2E2SProcessor.from_pretrained(finished).save_pretrained(chosen)
    figures = run(parse_arguments(again(model_name_or_path=chosen, validation_file=other)))
    names = ("eval_threshold", "test_threshold", "decision_threshold", "eval_predicted_syntax_threshold")
    assert {figures[name] for name in names} == {0.123}
    for record in read_records(tmp_path / "out" / "predictions_dev.jsonl"):
        assert all(triplet["score"] >= 0.123 for triplet in record["predicted_triplets"])
    anew = run(parse_arguments(again(model_name_or_path=chosen, validation_file=other, choose_threshold=True)))
    assert len({anew[name] for name in names}) == 1 and anew["decision_threshold"] != 0.123
    assert anew["eval_triplet_f1"] >= figures["eval_triplet_f1"]
    assert json.loads((chosen / "config.json").read_text())["decision_threshold"] == 0.123


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"max_span_width": 12}, r"--max_span_width\); of another size: \S*width\S*"),
        ({"fusion_type": "tin"}, r"--fusion_type\); missing: \S*fusion\S*"),
        ({"syntax": "input"}, r"--syntax\); not used: \S*parser\S*"),
    ],
    ids=str,
)
def test_overrides_that_the_weights_do_not_fit_are_refused(
    extra: dict[str, Any], found: str, again: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(again(**extra)) == 2
    error = capsys.readouterr().err
    assert re.search(found, error.splitlines()[-1])
    assert error.count("error: ") == 1 and "Traceback" not in error and "REPORT" not in error


def test_training_names_what_starts_anew(again: Callable[..., list[str]], caplog: pytest.LogCaptureFixture) -> None:
    model, _ = start(parse_arguments(again(max_span_width=12, do_train=True)), [])
    assert model.config.max_span_width == 12 and all(torch.isfinite(p).all() for p in model.parameters())
    said = [record.message for record in caplog.records if "starts anew" in record.message]
    assert len(said) == 1 and "of another size: " in said[0]


def test_an_encoder_is_no_checkpoint(
    data: Path, again: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(again(model_name_or_path=data / "encoder")) == 2
    assert "an encoder goes to --encoder_name_or_path" in capsys.readouterr().err.splitlines()[-1]


def test_checkpoint_keeps_its_word_splitter(data: Path, again: Callable[..., list[str]]) -> None:
    _, processor = start(parse_arguments(again()), [])
    assert processor.word_splitter == D2E2SProcessor(processor.tokenizer, word_splitter="penn").word_splitter


def test_unreachable_triplets_are_counted(finished: Path) -> None:
    expected = unreachable(read_records(finished / "predictions_test.jsonl"), 2)
    assert figures_of(finished)["test_unreachable_triplets"] == expected > 0


@pytest.mark.slow
def test_two_runs_with_one_seed_are_one(words: Callable[..., list[str]], tmp_path: Path) -> None:
    runs = [run(parse_arguments(words(output_dir=tmp_path / str(i), num_train_epochs=1))) for i in range(2)]
    assert runs[0]["train_loss"] == runs[1]["train_loss"]
    weights = [(tmp_path / str(i) / "model.safetensors").read_bytes() for i in range(2)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_resumed_run_ends_where_an_uninterrupted_one_does(
    words: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(parse_arguments(words(output_dir=tmp_path / "whole")))
    step = TripletTrainer.training_step

    def interrupted(self: TripletTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TripletTrainer, "training_step", interrupted)
        run(parse_arguments(words()))
    resumed = run(parse_arguments(words(resume_from_checkpoint="true")))
    assert resumed["test_triplet_f1"] == whole["test_triplet_f1"]
    ends = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", "out")]
    assert ends[0] == ends[1]


def test_checkpoints_of_another_run_are_not_mixed_up(
    words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "out" / "checkpoint-999"
    old.mkdir(parents=True)
    assert main(words()) == 2
    assert "holds checkpoints of an earlier run" in capsys.readouterr().err and old.is_dir()
    predictions = tmp_path / "out" / "predictions_test.jsonl"
    predictions.write_text("of the model before", encoding="utf-8")
    assert main(words(overwrite_output_dir=True, num_train_epochs=1, do_predict=None)) == 0
    assert not old.exists() and not predictions.exists()


@pytest.mark.slow
def test_a_model_without_checkpoints_is_not_replaced_unasked(
    words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"save_strategy": "no", "load_best_model_at_end": False, "max_steps": 1, "do_predict": None}
    assert main(words(**plain)) == 0
    model = tmp_path / "out" / "model.safetensors"
    before = model.read_bytes()
    capsys.readouterr()
    assert main(words(**plain, seed=7)) == 2
    assert f"{tmp_path / 'out'} holds a model: put another in its place" in capsys.readouterr().err
    # Nor by what goes on from a checkpoint of another folder.
    other = tmp_path / "other"
    assert main(words(output_dir=other, num_train_epochs=1, do_predict=None)) == 0
    [checkpoint] = other.glob("checkpoint-*")
    assert main(words(num_train_epochs=2, do_predict=None, resume_from_checkpoint=checkpoint)) == 2
    assert f"{tmp_path / 'out'} holds a model: put another in its place" in capsys.readouterr().err
    assert model.read_bytes() == before
    assert main(words(**plain, seed=7, overwrite_output_dir=True)) == 0
    assert model.read_bytes() != before


def test_failed_start_deletes_nothing(words: Callable[..., list[str]], tmp_path: Path) -> None:
    """Checkpoints of the earlier run go when the training starts, and other folders never."""
    old, own = tmp_path / "out" / "checkpoint-999", tmp_path / "out" / "checkpoint-notes"
    for folder in (old, own):
        folder.mkdir(parents=True)
    assert main(words(overwrite_output_dir=True, encoder_name_or_path="./absent")) == 2
    assert main(words(overwrite_output_dir=True, syntax="input", parser_file=SAMPLE / "dev.jsonl")) == 2
    assert old.is_dir() and own.is_dir()


def test_pushed_repository_has_the_card(
    words: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each push, the card that lies in the folder: the last one is ours, with the figures and the Hub's name."""
    pushed: list[str | None] = []

    class Hub:
        def create_repo(self, name: str, **kwargs: Any) -> SimpleNamespace:
            return SimpleNamespace(repo_id=f"someone/{name}")

        def upload_folder(self, folder_path: str, **kwargs: Any) -> None:
            assert kwargs["repo_id"] == "someone/out"
            card = Path(folder_path, "README.md")
            pushed.append(card.read_text(encoding="utf-8") if card.is_file() else None)

    monkeypatch.setattr("transformers.trainer.hf_api", Hub)
    run(parse_arguments(words(num_train_epochs=1, push_to_hub=True, hub_strategy="end")))
    assert len(pushed) == 1 and pushed[0] == (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert 'from_pretrained("someone/out", trust_remote_code=True)' in pushed[-1] and "Triplet F1" in pushed[-1]


def test_early_stopping(words: Callable[..., list[str]]) -> None:
    figures = run(parse_arguments(words(early_stopping_patience=1, num_train_epochs=9, learning_rate=0,
                                        head_learning_rate=0, do_predict=None)))  # fmt: skip
    assert figures["epoch"] == 2.0


def test_predictions_are_shown(words: Callable[..., list[str]], data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(parse_arguments(words(num_train_epochs=1, show_predictions=2)))
    shown = capsys.readouterr().out
    sentences = [" ".join(record["tokens"]) for record in read_records(data / "test.jsonl")]
    assert sentences[0] in shown and sentences[1] in shown and sentences[2] not in shown


@pytest.mark.slow
def test_training_that_goes_on_says_what_the_checkpoint_was_trained_on(
    words: Callable[..., list[str]], finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the figures, the card and the comparison: the encoder stays the encoder, however often it goes on."""
    before = json.loads((finished / "all_results.json").read_text(encoding="utf-8"))
    plain = {"encoder_name_or_path": None, "head_size": None, "parser_size": None, "num_train_epochs": 1}
    once = run(parse_arguments(words(**plain, model_name_or_path=finished)))
    title = before["data_label"]
    step = {"data": title, "sentences": SIZES["train"], "licences": ["not stated"]}
    assert once["earlier_training"] == [step] and "earlier_training" not in before
    assert (once["encoder"], once["base_model"]) == (before["encoder"], before["base_model"])
    said = f" Before that, trained on {SIZES['train']} sentences of {title} (licence: not stated)."
    assert (tmp_path / "out" / "README.md").read_text(encoding="utf-8").count(said) == 1
    first = shutil.move(tmp_path / "out", tmp_path / "first")
    twice = run(parse_arguments(words(**plain, model_name_or_path=first)))
    assert twice["earlier_training"] == [step, step] and twice["encoder"] == before["encoder"]
    assert (tmp_path / "out" / "README.md").read_text(encoding="utf-8").count(said) == 2
    assert describe(twice)[0].endswith(2 * f", after {SIZES['train']} sentences of {title}")
    (first / "all_results.json").write_text("{}", encoding="utf-8")
    shutil.rmtree(tmp_path / "out")
    unknown = run(parse_arguments(words(**plain, model_name_or_path=first)))
    assert "earlier_training" not in unknown and unknown["encoder"] == str(first)
    assert "what the checkpoint was trained on is not known" in caplog.text


def test_trees_join_the_training_and_are_scored(
    words: Callable[..., list[str]], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two files of trees with relations of their own; their triplets are not learned, so their sentiments neither."""
    trees = []
    for name in ("dev", "test"):
        trees.append(tmp_path / f"{name}.jsonl")
        rows = [{**r, "deprels": ["nmod:poss"] * len(r["tokens"])} for r in read_records(data / f"{name}.jsonl")]
        write_records(trees[-1], [{**row, "triplets": []} for row in rows])
    plain = words(num_train_epochs=1, parser_test_file=trees[1])
    figures = run(parse_arguments([*plain, "--parser_file", *map(str, trees)]))
    assert figures["parser_train_sentences"] == SIZES["dev"] + SIZES["test"]
    assert figures["train_sentences"] == SIZES["train"]
    assert figures["parser_test_words"] == sum(len(r["tokens"]) for r in read_records(trees[1]))
    assert figures["parser_test_uas"] == figures["test_parser_uas"]
    labels = json.loads((tmp_path / "out" / "config.json").read_text())["deprel_labels"]
    assert "nmod" in labels and not any(":" in label for label in labels)


def test_nothing_is_said_about_a_parser_that_is_not_there(words: Callable[..., list[str]]) -> None:
    figures = run(parse_arguments(words(num_train_epochs=1, syntax="input")))
    assert not [name for name in figures if "parser_" in name or "predicted_syntax" in name]


# --- two processes ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_score_like_one(again: Callable[..., list[str]], tmp_path: Path) -> None:
    """An odd number of sentences in batches of 4, so that the last batch is not the same for both."""
    one, two = tmp_path / "one", tmp_path / "two"
    run(parse_arguments(again(output_dir=one, per_device_eval_batch_size=4)))
    launch("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "run_aste.py",
           *again(output_dir=two, per_device_eval_batch_size=4))  # fmt: skip
    first, second = figures_of(one), figures_of(two)
    assert (first["processes"], second["processes"]) == (1, 2)
    names = [name for name in first if re.match("(eval|test)_.*(f1|precision|recall|ece|uas|las|threshold)", name)]
    assert len(names) > 20
    assert {name: second[name] for name in names} == pytest.approx({name: first[name] for name in names}, abs=1e-5)
    for split in ("dev", "test"):
        records = [read_records(folder / f"predictions_{split}.jsonl") for folder in (one, two)]
        kept = [[[t | {"score": 0} for t in r["predicted_triplets"]] for r in rows] for rows in records]
        assert kept[0] == kept[1]


@pytest.mark.slow
def test_two_processes_train_into_one_folder(words: Callable[..., list[str]], tmp_path: Path) -> None:
    """By the configuration for the CPU, over the checkpoint of an earlier run: both wait until it is gone."""
    old = tmp_path / "out" / "checkpoint-999"
    old.mkdir(parents=True)
    launch("-m", "accelerate.commands.launch", "--config_file", "configs/accelerate/cpu.yaml",
           "--main_process_port", "0", "run_aste.py",
           *words(overwrite_output_dir=True, num_train_epochs=1, do_predict=None))  # fmt: skip
    figures = figures_of(tmp_path / "out")
    assert figures["processes"] == 2 and np.isfinite(figures["train_loss"])
    assert (tmp_path / "out" / "model.safetensors").is_file() and not old.exists()


# --- averaged weights -------------------------------------------------------------------------------------


def test_the_average_is_what_a_run_saves(words: Callable[..., list[str]], tmp_path: Path) -> None:
    once = {"num_train_epochs": 1, "eval_strategy": "no", "load_best_model_at_end": False, "save_strategy": "epoch"}
    assert main(words(**once)) == 0
    checkpoint = next((tmp_path / "out").glob("checkpoint-*"))
    saved, best = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", checkpoint))
    training = load_file(checkpoint / "training_weights.safetensors")
    assert all(torch.equal(saved[name], best[name]) for name in saved)
    assert saved.keys() == training.keys()
    assert not any(torch.equal(saved[name], training[name]) for name in saved if name.endswith("output.weight"))


def test_a_run_that_averaged_is_not_resumed_without(
    words: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(num_train_epochs=1)) == 0
    assert main(words(resume_from_checkpoint=True, ema_decay=0)) == 2
    assert "its run had ema_decay 0.99, now 0.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ema_decay", "token_mask_rate"])
def test_share_outside_its_range_is_refused(name: str, words: Callable[..., list[str]]) -> None:
    with pytest.raises(ValueError, match=rf"--{name} must lie in \[0, 1\), got 1.0"):
        parse_arguments(words(**{name: 1}))


def test_pieces_are_hidden_in_training_only(words: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, seen = make_trainer(parse_arguments(words(max_steps=1, token_mask_rate=0.5))), {True: 0, False: 0}
    mask, forward = trainer.processing_class.tokenizer.mask_token_id, D2E2SForTripletExtraction.forward

    def watched(self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        seen[self.training] += int((input_ids == mask).sum())
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(D2E2SForTripletExtraction, "forward", watched)
    trainer.train()
    assert seen[True] > 20 and seen[False] == 0


def test_a_tokenizer_without_a_mask_token_is_told(words: Callable[..., list[str]]) -> None:
    trainer = make_trainer(parse_arguments(words(max_steps=1)))
    trainer.processing_class.tokenizer.mask_token = None
    with pytest.raises(ValueError, match="no mask token.*--token_mask_rate 0"):
        trainer.train()


def test_figures_name_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    assert device_name(torch.device("cuda", 1)) == "GPU of cuda:1"
    assert device_name(torch.device("cpu")) == "cpu"
