"""A search on a tiny model: trials are kept, gone on with, and the best becomes a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from tiny_models import tiny_encoder

from d2e2s import cli
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.study.plan import Values
from d2e2s.study.search import read_space, suggest
from d2e2s.training.averaging import AveragedWeights
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.steps import DivergedError
from d2e2s.training.trainer import TripletTrainer

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_scripts" / "sample_corpus"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A search over an argument of the training and one of the model, on a few sentences."""
    for split in ("train", "dev"):
        short = [record for record in read_records(SAMPLE / f"{split}.jsonl") if len(record["tokens"]) < 12]
        write_records(tmp_path / f"{split}.jsonl", short[:8])
    base = {
        "encoder_name_or_path": str(tiny_encoder("bert", tmp_path / "encoder")),
        "train_file": str(tmp_path / "train.jsonl"),
        "validation_file": str(tmp_path / "dev.jsonl"),
        "num_train_epochs": 2,
        "head_size": 16,
        "parser_size": 16,
        "lr_scheduler_type": "cosine",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    space = {"learning_rate": {"low": "1e-4", "high": "1e-2", "log": True}, "fusion_type": ["tin", "none"]}
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump({"base": base, "space": space}))
    return path


@pytest.mark.slow
def test_search(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, fusions = [], []
    create = TripletTrainer.create_optimizer

    def seen(self: TripletTrainer, *args: Any) -> Any:
        rates.append(self.args.learning_rate)
        fusions.append(self.model.config.fusion_type)
        return create(self, *args)

    monkeypatch.setattr(TripletTrainer, "create_optimizer", seen)
    words = [str(configuration), "--output_dir", str(tmp_path / "out"), "--head_size", "24"]
    assert cli.main(["search", *words, "--trials", "2"]) == 0
    assert cli.main(["search", *words, "--trials", "3"]) == 0  # goes on: one more
    assert cli.main(["search", *words, "--trials", "3"]) == 0  # nothing left to do
    study = optuna.load_study(study_name="triplet_f1", storage=f"sqlite:///{tmp_path / 'out' / 'trials.db'}")
    assert [trial.params["learning_rate"] for trial in study.trials] == rates and len(set(rates)) == 3
    assert [trial.params["fusion_type"] for trial in study.trials] == fusions
    lines = capsys.readouterr().out.splitlines()
    assert f"d2e2s train {tmp_path / 'out' / 'best.yaml'}" == lines[-1]
    best = parse_arguments([str(tmp_path / "out" / "best.yaml")])
    assert best.training.learning_rate == study.best_params["learning_rate"]
    assert best.config.fusion_type == study.best_params["fusion_type"] and best.config.head_size == 24
    assert best.training.load_best_model_at_end and best.training.lr_scheduler_type == "cosine"
    assert not list((tmp_path / "out").rglob("*.safetensors"))


@pytest.mark.slow
def test_trials_are_worth_their_triplet_f1_whatever_chooses_their_epoch(configuration: Path) -> None:
    """A loss is more than 1 where little was learned."""
    out = configuration.parent / "out"
    words = [str(configuration), "--output_dir", str(out), "--metric_for_best_model", "eval_loss"]
    assert cli.main(["search", *words, "--trials", "1"]) == 0
    study = optuna.load_study(study_name="triplet_f1", storage=f"sqlite:///{out / 'trials.db'}")
    assert study.best_value < 0.5


@pytest.mark.slow
def test_a_search_goes_on_with_its_own_trials_only(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data is another search; a spelling with hyphens is none."""
    words = [str(configuration), "--output_dir", str(tmp_path / "out"), "--trials", "1"]
    assert cli.main(["search", *words, "--num-train-epochs", "1", "--head-size", "24"]) == 0
    assert cli.main(["search", *words, "--num_train_epochs", "1", "--head_size=24"]) == 0
    assert parse_arguments([str(tmp_path / "out" / "best.yaml")]).config.head_size == 24
    assert (
        cli.main(
            [
                "search",
                *words,
                "--num_train_epochs",
                "1",
                "--head_size",
                "24",
                "--train_file",
                str(SAMPLE / "dev.jsonl"),
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert "was begun with train_file" in error and "give the search another --output_dir" in error


def test_a_search_trains_on_triplets_alone(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(configuration), "--output_dir", str(tmp_path / "out"), "--trials", "1"]
    assert cli.main(["search", *words, "--parser_file", str(SAMPLE / "train.jsonl")]) == 2
    assert "leave --parser_file to the training that follows it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("end", ["pruned", "diverged"])
def test_nothing_is_kept_of_a_bad_trial(
    end: str, configuration: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the average of its weights, which has its model, and which each step of later trials would go on with."""
    averages, create = [], TripletTrainer.create_optimizer

    def seen(self: TripletTrainer, *args: Any) -> Any:
        optimizer = create(self, *args)
        averages.append(sum(isinstance(callback, AveragedWeights) for callback in self.callback_handler.callbacks))
        return optimizer

    def diverged(self: TripletTrainer, *args: Any) -> Any:
        raise DivergedError

    monkeypatch.setattr(TripletTrainer, "create_optimizer", seen)
    if end == "pruned":
        monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: True)
    else:
        monkeypatch.setattr(TripletTrainer, "_clip_grad_norm", diverged)
    assert (
        cli.main(["search", str(configuration), "--output_dir", str(configuration.parent / "out"), "--trials", "3"])
        == 2
    )
    assert averages == [1, 1, 1]
    assert "no trial came to its end" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "space", "epochs"),
    [
        ({"early_stopping_patience": 1}, {"token_mask_rate": [0.1, 0.2]}, [2, 2]),
        ({}, {"early_stopping_patience": [2, None, 1]}, [3, 4, 2]),
    ],
    ids=["of all trials", "of each trial its own"],
)
def test_patience(
    base: Values, space: Values, epochs: list[int], configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dev never gets better: a trial ends after 1 + patience epochs, whatever the trials before it were."""
    still = {"learning_rate": 0, "head_learning_rate": 0, "num_train_epochs": 4}
    blocks = yaml.safe_load(configuration.read_text())
    configuration.write_text(yaml.safe_dump({"base": {**blocks["base"], **still, **base}, "space": space}))
    trained, train = [], TripletTrainer.train

    def seen(self: TripletTrainer, *args: Any, **kwargs: Any) -> Any:
        output = train(self, *args, **kwargs)
        trained.append(self.state.epoch)
        return output

    monkeypatch.setattr(TripletTrainer, "train", seen)
    monkeypatch.setattr("d2e2s.study.search.suggest", lambda trial, name, choice: choice[trial.number])
    words = ["--output_dir", str(configuration.parent / "out"), "--trials", str(len(epochs))]
    assert cli.main(["search", str(configuration), *words]) == 0
    assert trained == epochs


def test_patience_needs_evaluation(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = yaml.safe_load(configuration.read_text())
    base = {**blocks["base"], "eval_strategy": "no", "output_dir": str(configuration.parent / "out")}
    configuration.write_text(yaml.safe_dump({"base": base, "space": {"early_stopping_patience": [1, 2]}}))
    assert cli.main(["search", str(configuration)]) == 2
    assert "--early_stopping_patience waits for a better dev figure" in capsys.readouterr().err


def test_suggest() -> None:
    values = {"a": 3, "b": 2e-4, "c": 0.3, "d": "tin"}
    trial = optuna.trial.FixedTrial(values)
    assert suggest(trial, "a", {"low": 1, "high": 5}) == 3
    assert suggest(trial, "b", {"low": "1e-5", "high": "1e-3", "log": True}) == 2e-4
    assert suggest(trial, "c", {"low": 0, "high": 0.4}) == 0.3
    assert suggest(trial, "d", ["tin", "none"]) == "tin"
    kinds = {name: type(value).__name__ for name, value in trial.distributions.items()}
    assert kinds == {"a": "IntDistribution", "b": "FloatDistribution", "c": "FloatDistribution",
                     "d": "CategoricalDistribution"}  # fmt: skip
    assert trial.distributions["b"].log


WRONG: dict[str, tuple[Any, str]] = {
    "unknown argument": ({"lerning_rate": [1, 2]}, "'lerning_rate' is no argument of the training or the model"),
    "one value": ({"dropout": [0.1]}, "expected a list of values or {low, high, log}"),
    "upside down": ({"dropout": {"low": 0.4, "high": 0.1}}, "expected numbers with low < high"),
    "no number": ({"dropout": {"low": "a", "high": 0.1}}, "expected numbers with low < high"),
    "unknown key": ({"dropout": {"low": 0, "high": 0.1, "step": 1}}, "expected a list of values"),
    "no space": (None, "expected `name: value` lines"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_clear_line(case: str, configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space, message = WRONG[case]
    blocks = yaml.safe_load(configuration.read_text())
    configuration.write_text(yaml.safe_dump({**blocks, "space": space}))
    assert cli.main(["search", str(configuration)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


def test_errors_of_files_and_words(configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["search", str(tmp_path / "absent.yaml")]) == 2
    (tmp_path / "bad.yaml").write_text("a: [1")
    assert cli.main(["search", str(tmp_path / "bad.yaml")]) == 2
    (tmp_path / "bad.yaml").write_text("base: {a: 1}")
    assert cli.main(["search", str(tmp_path / "bad.yaml")]) == 2
    test = ["--do_predict", "true", "--test_file", str(tmp_path / "dev.jsonl")]
    assert cli.main(["search", str(configuration), *test]) == 2
    assert cli.main(["search", str(configuration), "--lerning_rate", "1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = [
        "no such configuration",
        "not YAML",
        "expected the blocks",
        "a search never reads test",
        "unknown argument",
    ]
    assert [part in line for part, line in zip(expected, lines, strict=True)] == [True] * 5


def test_the_shipped_configuration() -> None:
    base, space = read_space(ROOT / "configs" / "search.yaml")
    assert {"learning_rate", "fusion_type"} <= set(space) and "test_file" not in base
