"""The package as people install it: names, registration, layout, console command, recipes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

import d2e2s
from d2e2s import cli
from d2e2s.encoders import EMBEDDED_ENCODERS
from d2e2s.training.arguments import (
    ConfigArguments,
    DataArguments,
    ModelArguments,
    TripletTrainingArguments,
)
from d2e2s.training.config_files import parse_arguments

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def test_public_names() -> None:
    for name in d2e2s.__all__:
        assert getattr(d2e2s, name).__name__ == name


def test_classes_are_registered() -> None:
    config = AutoConfig.for_model("d2e2s")
    assert type(config) is d2e2s.D2E2SConfig
    assert AutoModel._model_mapping[type(config)] is d2e2s.D2E2SForTripletExtraction
    assert PROCESSOR_MAPPING[type(config)] is d2e2s.D2E2SProcessor
    assert hasattr(AutoProcessor, "from_pretrained")


@pytest.mark.parametrize("module", ["modeling_d2e2s", "data_scripts.records", "metrics.aste.scoring", "train"])
def test_every_part_is_reached_through_the_package(module: str) -> None:
    code = f"import importlib; print(importlib.import_module('d2e2s.{module}').__name__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == f"d2e2s.{module}", run.stderr


def test_wheel_holds_what_it_needs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build",
        "--build-base",
        str(tmp_path),
        "egg_info",
        "-e",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    library = tmp_path / "lib"
    for path in ("modeling_d2e2s.py", "d2e2s/cli.py", "d2e2s/data_scripts/records.py", "d2e2s/metrics/aste/aste.py"):
        assert (library / path).is_file(), path
    assert (library / "d2e2s/data_scripts/sample_corpus/train.jsonl").is_file()
    assert not list(library.glob("test*"))


def test_constraints_pin_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    required = ("torch", "transformers", "datasets", "evaluate", "accelerate", "numpy", "pytest", "ruff", "mypy")
    assert set(required) <= set(pins)
    assert not [version for version in pins.values() if "+" in version]


PARTS = ["minilm", "from_joint"]  # what an encoder or a second step wants, after the file of a data set
FIRST_STEPS = ["joint"]  # they score nothing


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipes_hold_known_arguments(path: Path) -> None:
    groups = (ModelArguments, ConfigArguments, DataArguments, TripletTrainingArguments)
    known = {f.name for group in groups for f in fields(group)}
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments = recipe.get("base", recipe)  # of a study or a search: what all its runs share
    assert set(arguments) <= known
    whole = "base" not in recipe and path.stem not in (*PARTS, *FIRST_STEPS)
    assert not whole or all(recipe[name] for name in ("do_train", "do_eval", "do_predict"))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_makes_a_whole_recipe_of_a_data_set(part: str) -> None:
    arguments = parse_arguments([str(ROOT / "configs" / f"{name}.yaml") for name in ("14res", part)])
    training, start = arguments.training, arguments.model
    assert training.do_train and training.do_eval and training.do_predict
    assert (start.encoder_name_or_path is None) == (part == "from_joint")


@pytest.mark.parametrize("step", FIRST_STEPS)
def test_a_first_step_holds_out_all_that_its_data_sets_score(step: str) -> None:
    arguments = parse_arguments([str(ROOT / "configs" / f"{step}.yaml")])
    data, training = arguments.data, arguments.training
    assert training.do_train and not training.do_eval and not training.do_predict
    files = [str(data.train_file), *(data.further_train_file or [])]
    scored = {file.replace("train.jsonl", f"{split}.jsonl") for file in files for split in ("dev", "test")}
    assert len(files) > 1 and set(data.held_out_file or []) == scored


def test_lowest_versions_are_the_lower_bounds() -> None:
    """What CI runs with `lowest.txt` is what setup.py promises; torch has its own line there."""
    required = (ROOT / "setup.py").read_text(encoding="utf-8").split("install_requires=[")[1].split("],\n")[0]
    bounds = dict(re.findall(r'"([A-Za-z_]+)>=([\d.]+)"', required.lower()))
    pins = dict(re.findall(r"(?m)^([a-z_]+)==([\d.]+)$", (ROOT / "lowest.txt").read_text(encoding="utf-8").lower()))
    assert len(bounds) > 10 and bounds | {"torch": pins["torch"]} == pins


def test_quickstart_needs_nothing_but_the_repository() -> None:
    recipe = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text(encoding="utf-8"))
    assert recipe["encoder_name_or_path"] in EMBEDDED_ENCODERS
    for split in ("train_file", "validation_file", "test_file"):
        assert (ROOT / recipe[split]).is_file()


def test_console_command_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


def test_console_command_refuses_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "choose from: train" in capsys.readouterr().err


def test_console_command_passes_arguments_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "no_such.yaml"]) == 2
    assert capsys.readouterr().err.strip() == "error: no_such.yaml: no such configuration file"
