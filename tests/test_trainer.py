"""Training from Python, as in every script of the Hugging Face ecosystem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, load_dataset
from tiny_runs import command, main, write_data
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from d2e2s import (
    D2E2SForTripletExtraction,
    D2E2SProcessor,
    DataCollatorForTripletExtraction,
    TripletTrainer,
    TripletTrainingArguments,
    build_model,
)
from d2e2s.checkpoints import check, load_checkpoint
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.ensemble_d2e2s import CHOSEN_ON_DEV
from d2e2s.errors import UserError
from d2e2s.hub import check_pushable
from d2e2s.labels_d2e2s import SENTIMENTS

SMALL = {"head_size": 16, "parser_size": 16}
QUICK: dict[str, Any] = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 3e-3,
    "head_learning_rate": 3e-3,
    "use_cpu": True,
    "disable_tqdm": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=24, dev=12, test=13)


@pytest.fixture(scope="module")
def data(folder: Path) -> DatasetDict:
    files = {"train": "train", "validation": "dev", "test": "test"}
    return load_dataset("json", data_files={split: str(folder / f"{name}.jsonl") for split, name in files.items()})


def make(folder: Path, out: Path, train: Any, dev: Any, **arguments: Any) -> TripletTrainer:
    set_seed(42)
    model, processor = build_model(str(folder / "encoder"), train if isinstance(train, list | Dataset) else (), **SMALL)
    args = TripletTrainingArguments(str(out), **{**QUICK, **arguments})
    return TripletTrainer(model, args, train_dataset=train, eval_dataset=dev, processing_class=processor)


@pytest.fixture(scope="module")
def trained(folder: Path, data: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> TripletTrainer:
    trainer = make(folder, tmp_path_factory.mktemp("out") / "model", data["train"], data["validation"])
    trainer.train()
    return trainer


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "all_results.json").read_text(encoding="utf-8"))


def chosen(model: D2E2SForTripletExtraction) -> tuple[float, ...]:
    return model.config.decision_threshold, model.config.temperature, model.config.score_shift


def test_training_leaves_a_finished_folder(trained: TripletTrainer) -> None:
    out = Path(str(trained.args.output_dir))
    figures = results(out)
    assert {"train_loss", "eval_triplet_f1", "eval_ece_after", "temperature", "train_sentences"} <= figures.keys()
    assert figures["train_sentences"] == 24 and figures["dev_sentences"] == 12
    assert check(out) == ["model.safetensors"] and check_pushable(out) is None  # as `d2e2s push` asks
    model, _ = load_checkpoint(str(out))
    assert chosen(model) == chosen(trained.model) == tuple(figures[name] for name in CHOSEN_ON_DEV)
    assert figures["eval_threshold"] == figures["decision_threshold"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"{100 * figures['eval_triplet_f1']:.2f}" in card
    assert len(read_records(out / "predictions_dev.jsonl")) == 12


@pytest.mark.slow
def test_the_same_arguments_give_the_same_figures_as_the_command(
    folder: Path, data: DatasetDict, trained: TripletTrainer, tmp_path: Path
) -> None:
    by_python = trained.evaluate(data["test"], metric_key_prefix="test")
    assert main(command(folder, tmp_path / "out", **{**QUICK, "do_predict": True})) == 0
    by_command = results(tmp_path / "out")
    measured = [name for name in by_python if not name.endswith(("runtime", "per_second"))]
    assert len(measured) > 20 and {name: by_python[name] for name in measured} == {
        name: by_command[name] for name in measured
    }
    assert by_command["test_sentences"] == by_python["test_sentences"] == 13
    for name in ("eval_triplet_f1", *CHOSEN_ON_DEV, "train_loss"):
        assert by_command[name] == trained.figures[name]


def test_test_decides_nothing(data: DatasetDict, trained: TripletTrainer) -> None:
    before, config = chosen(trained.model), trained.model.config.to_dict()
    figures = trained.evaluate(data["test"], metric_key_prefix="test")
    assert figures["test_threshold"] == before[0] and chosen(trained.model) == before
    kept = results(Path(str(trained.args.output_dir)))
    trained.evaluate(data["train"])  # under the prefix of dev, too
    assert results(Path(str(trained.args.output_dir))) == kept
    trained.predict(data["test"])
    trained.evaluate()
    assert trained.model.config.to_dict() == config


def test_figures_of_test_join_results_and_card(data: DatasetDict, trained: TripletTrainer) -> None:
    out = Path(str(trained.args.output_dir))
    figures = trained.evaluate(data["test"], metric_key_prefix="test")
    assert results(out)["test_triplet_f1"] == figures["test_triplet_f1"]
    assert f"test {len(data['test'])} sentences" in (out / "README.md").read_text(encoding="utf-8")
    assert len(read_records(out / "predictions_test.jsonl")) == 13


@pytest.mark.slow
def test_a_look_at_test_while_it_trains_decides_nothing(folder: Path, data: DatasetDict, tmp_path: Path) -> None:
    thresholds = []

    class Look(TrainerCallback):
        def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
            if "eval_threshold" in kwargs["metrics"]:
                before = chosen(trainer.model)
                figures = trainer.evaluate(data["test"], metric_key_prefix="test")
                thresholds.append((figures["test_threshold"], before[0]))
                thresholds.append((before, chosen(trainer.model)))

    trainer = make(folder, tmp_path / "out", data["train"], data["validation"])
    trainer.add_callback(Look())
    trainer.train()
    assert len(thresholds) == 4 and all(before == after for before, after in thresholds)


@pytest.mark.parametrize("kind", ["DatasetDict", "lists", "features"])
def test_what_data_may_be(kind: str, folder: Path, data: DatasetDict, tmp_path: Path) -> None:
    processor = build_model(str(folder / "encoder"), data["train"], **SMALL)[1]
    train, dev = data["train"].to_list(), data["validation"].to_list()
    given: Any = {
        "DatasetDict": (data, None),
        "lists": (train, dev),
        "features": (Dataset.from_list(processor.encode_records(train)), processor.encode_records(dev)),
    }[kind]
    set_seed(42)
    model, processor = build_model(str(folder / "encoder"), data["train"], **SMALL)
    args = TripletTrainingArguments(str(tmp_path / "out"), **{**QUICK, "num_train_epochs": 1})
    trainer = TripletTrainer(model, args, None, *given, processor)  # as Trainer's, by position
    trainer.train()
    assert len(trainer.train_dataset) == 24 and len(trainer.eval_dataset) == 12
    assert trainer.state.global_step == 6 and results(tmp_path / "out")["eval_triplet_f1"] >= 0


def test_plain_training_arguments_get_our_defaults(folder: Path, data: DatasetDict, tmp_path: Path) -> None:
    model, processor = build_model(str(folder / "encoder"), data["train"], **SMALL)
    ours = TripletTrainingArguments(str(tmp_path / "other"), use_cpu=True)
    plain = TrainingArguments(str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, use_cpu=True)
    trainer = TripletTrainer(model, plain, train_dataset=data["train"], processing_class=processor)
    assert trainer.args.head_learning_rate == ours.head_learning_rate and trainer.args.ema_decay == ours.ema_decay
    assert trainer.args.per_device_train_batch_size == 2 and not trainer.args.remove_unused_columns
    assert type(plain) is TrainingArguments
    trainer.train()
    assert (tmp_path / "out" / "README.md").is_file()


def test_an_explicit_wish_is_kept(tmp_path: Path) -> None:
    args = TripletTrainingArguments(str(tmp_path), eval_strategy="epoch", load_best_model_at_end=True)
    assert args.eval_strategy == "epoch" and args.load_best_model_at_end
    args = TripletTrainingArguments(str(tmp_path), eval_strategy="no", load_best_model_at_end=False)
    assert args.eval_strategy == "no" and not args.load_best_model_at_end


def test_what_is_refused(folder: Path, data: DatasetDict, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="eval_dataset chooses epoch"):
        make(folder, tmp_path / "out", data["train"], None)
    with pytest.raises(UserError, match="no split validation or dev; it has train"):
        make(folder, tmp_path / "out", DatasetDict({"train": data["train"]}), None)
    with pytest.raises(UserError, match="streaming"):
        make(folder, tmp_path / "out", data["train"].to_iterable_dataset(), data["validation"])
    with pytest.raises(UserError, match="build_model: row 1: tokens is None"):
        make(folder, tmp_path / "out", [{"id": "a", "triplets": []}], data["validation"])
    model, processor = build_model(str(folder / "encoder"), data["train"], **SMALL)
    with pytest.raises(UserError, match="processing_class"):
        TripletTrainer(model, TripletTrainingArguments(str(tmp_path)), processing_class=processor.tokenizer)
    smoothed = TrainingArguments(str(tmp_path), label_smoothing_factor=0.1, use_cpu=True)
    with pytest.raises(UserError, match="label_smoothing_factor"):
        TripletTrainer(model, smoothed, processing_class=processor)


# --- labels, and triplets that are not known ------------------------------------------------------------------


def test_other_sentiments_are_learned(folder: Path, tmp_path: Path) -> None:
    records = read_records(folder / "train.jsonl")
    names = ["awful", "bad", "conflict", "good", "great"]
    for number, record in enumerate(records):
        for triplet in record["triplets"]:
            triplet["sentiment"] = names[number % len(names)]
    trainer = make(folder, tmp_path / "out", records, records[:8], num_train_epochs=1)
    trainer.train()
    assert trainer.model.config.sentiment_labels == names
    assert D2E2SProcessor.from_pretrained(tmp_path / "out").sentiment_labels == names
    figures = trainer.evaluate(records[8:], metric_key_prefix="test")
    assert {f"test_triplet_f1_{name}" for name in names} <= figures.keys()
    assert not {f"test_triplet_f1_{name}" for name in SENTIMENTS} & figures.keys()


def test_a_set_of_other_sentiments_trains_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        records = read_records(folder / f"{split}.jsonl")
        for record in records:
            for triplet in record["triplets"]:
                triplet["sentiment"] = "conflict" if triplet["sentiment"] == "NEG" else triplet["sentiment"]
        write_records(tmp_path / f"{split}.jsonl", records)
    words = {**QUICK, "num_train_epochs": 1, "encoder_name_or_path": folder / "encoder"}
    assert main(command(tmp_path, tmp_path / "out", **words)) == 0
    assert "conflict" in json.loads((tmp_path / "out" / "config.json").read_text())["sentiment_labels"]


def test_sentences_whose_triplets_are_not_known(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They train the parser only, and are left out."""
    records = [{**record, "triplets": None} if i % 2 else record for i, record in
               enumerate(read_records(folder / "train.jsonl"))]  # fmt: skip
    trainer = make(folder, tmp_path / "out", records, records, num_train_epochs=1)
    assert len(trainer.train_dataset) == 24 and len(trainer.eval_dataset) == 12
    assert "12 sentences without known triplets are left out" in caplog.text
    trainer.train()
    figures = results(tmp_path / "out")
    assert (figures["train_sentences"], figures["parser_train_sentences"]) == (12, 12)
    model, processor = build_model(str(folder / "encoder"), records, fusion_type="none", **SMALL)
    without = TripletTrainer(model, trainer.args, None, records, records, processor)
    assert len(without.train_dataset) == 12  # no parser to train


# --- the plain Trainer ------------------------------------------------------------------------------------


def test_the_plain_trainer_works_with_our_collator(folder: Path, data: DatasetDict, tmp_path: Path) -> None:
    model, processor = build_model(str(folder / "encoder"), data["train"], **SMALL)
    args = TrainingArguments(str(tmp_path / "out"), max_steps=1, use_cpu=True, save_strategy="no", report_to="none")
    collate = DataCollatorForTripletExtraction(processor)
    features = data["train"].map(processor.tokenize_records, batched=True, remove_columns=data["train"].column_names)
    assert Trainer(model, args, collate, train_dataset=features).train().global_step == 1
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        Trainer(model, args, collate, train_dataset=data["train"]).train()


# --- data by name -----------------------------------------------------------------------------------------


def card_of(folder: Path, licence: str = "cc0-1.0") -> None:
    splits = "".join(
        f"  - split: {split}\n    path: {name}.jsonl\n"
        for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))
    )
    configs = f"configs:\n- config_name: default\n  data_files:\n{splits}"
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n{configs}---\n\n# Mine\n", encoding="utf-8")


@pytest.mark.slow
def test_data_is_named_as_in_every_script(folder: Path, tmp_path: Path) -> None:
    card_of(folder)
    words = {**QUICK, "num_train_epochs": 1, "do_predict": True, "dataset_name": folder}
    nothing = {"train_file": None, "validation_file": None, "test_file": None}
    assert main(command(folder, tmp_path / "out", **words, **nothing)) == 0
    by_name = results(tmp_path / "out")
    assert main(command(folder, tmp_path / "files", **{**words, "dataset_name": None, "data_label": "Mine"})) == 0
    by_file = results(tmp_path / "files")
    assert by_name["test_triplet_f1"] == by_file["test_triplet_f1"] and by_name["train_loss"] == by_file["train_loss"]
    assert (by_name["data_label"], by_file["data_label"]) == (folder.name, "Mine")
    assert by_name["data_card"]["licence"] == by_file["data_card"]["licence"] == "cc0-1.0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"dataset_name": "ASTE-Data-V2 14res"}, "what cards call the data is --data_label"),
        ({"dataset_config_name": "small"}, "--dataset_config_name is of --dataset_name"),
        ({"dataset_name": "no/such/folder", "train_file": None, "validation_file": None}, "cannot be loaded"),
    ],
)
def test_wrong_names_of_data(
    words: dict[str, Any], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path / "out", test_file=None, do_predict=None, **words)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_a_wrong_row_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = read_records(folder / "train.jsonl")
    records[2]["triplets"] = [{"aspect": [0, 99], "opinion": [0, 1], "sentiment": "POS"}]
    for name in ("train", "dev", "test"):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    card_of(tmp_path)
    files = {"train_file": None, "validation_file": None, "test_file": None}
    words = {**files, "encoder_name_or_path": folder / "encoder", "dataset_name": tmp_path}
    assert main(command(tmp_path, tmp_path / "out", **words)) == 2
    assert f"{tmp_path} train row 3: aspect [0, 99] does not fit" in capsys.readouterr().err


# --- resuming ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"per_device_train_batch_size": 2}, "sentences a step (processes x batch x accumulation) 4, now 2"),
        ({"gradient_accumulation_steps": 2}, "sentences a step (processes x batch x accumulation) 4, now 8"),
        ({"learning_rate": 1e-3}, "learning_rate 0.003, now 0.001"),
    ],
)
def test_a_resumed_run_keeps_its_recipe(
    change: dict[str, Any], named: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {**QUICK, "do_predict": None, "test_file": None}
    assert main(command(folder, tmp_path / "out", **{**words, "num_train_epochs": 1})) == 0
    assert main(command(folder, tmp_path / "out", **{**words, **change}, resume_from_checkpoint=True)) == 2
    assert named in capsys.readouterr().err
    same = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}  # as many sentences a step
    assert main(command(folder, tmp_path / "out", **{**words, **same}, resume_from_checkpoint=True)) == 0
