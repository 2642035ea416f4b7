"""The package as it is imported: names, registration, versions, recipes. `test_wheel.py` has it installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import datasets
import pytest
import yaml
from tiny_models import tiny_checkpoint
from transformers import AutoConfig, AutoModel
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

import d2e2s
from d2e2s.encoders import embedded_encoders
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
        if name != "TRIPLETS":  # a value, which has no name
            assert getattr(d2e2s, name).__name__ == name
    assert isinstance(d2e2s.TRIPLETS, datasets.List)


def test_classes_are_registered() -> None:
    config = AutoConfig.for_model("d2e2s")
    assert type(config) is d2e2s.D2E2SConfig
    assert AutoModel._model_mapping[type(config)] is d2e2s.D2E2SForTripletExtraction
    assert PROCESSOR_MAPPING[type(config)] is d2e2s.D2E2SProcessor


def fresh(code: str, *arguments: str) -> str:
    """What a fresh process prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_import_alone_imports_nothing_that_takes_long() -> None:
    code = "import d2e2s, sys; print(dir(d2e2s)); print({'torch', 'transformers'} & set(sys.modules))"
    names, imported = fresh(code).splitlines()
    assert set(d2e2s.__all__) < set(ast.literal_eval(names)) and imported == "set()"


FIRST_ANSWER = {
    "python": "from d2e2s import load_pipeline; print(load_pipeline(sys.argv[1], device='cpu')('It was great.'))",
    "command": "from d2e2s.cli import main; main(['predict', 'It was great.', '--model', sys.argv[1]])",
}


@pytest.mark.parametrize("by", FIRST_ANSWER)
def test_a_first_answer_imports_nothing_that_reads_tables(by: str, model: Path) -> None:
    """That takes longer than to load the model: only files wait for it."""
    code = f"import sys; {FIRST_ANSWER[by]}; print({{'datasets', 'evaluate', 'pandas', 'pyarrow'}} & set(sys.modules))"
    answer, imported = fresh(code, str(model)).splitlines()
    assert answer and imported == "set()"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'd2e2s' has no attribute 'D2E2S'"):
        _ = d2e2s.D2E2S


# The first access to a public name registers all classes, before and after code of a checkpoint was loaded.
PACKAGE_FIRST = """
import sys
from d2e2s import D2E2SConfig
from transformers import AutoModel, AutoProcessor

for trust in (False, True):
    for auto in (AutoModel, AutoProcessor):
        print(type(auto.from_pretrained(sys.argv[1], trust_remote_code=trust)).__module__)
"""
CHECKPOINT_FIRST = """
import sys
from transformers import AutoModel

def module(trust):
    return type(AutoModel.from_pretrained(sys.argv[1], trust_remote_code=trust)).__module__.split(".")[0]

try:
    module(False)
except ValueError as error:
    print("trust_remote_code=True" in str(error))
print(module(True))
from d2e2s import D2E2SConfig

print(module(False), module(True))
"""


@pytest.mark.slow
def test_local_classes_are_loaded_where_the_package_comes_first(tmp_path: Path) -> None:
    printed = fresh(PACKAGE_FIRST, str(tiny_checkpoint(tmp_path))).splitlines()
    assert printed == ["d2e2s.modeling_d2e2s", "d2e2s.processing_d2e2s"] * 2


@pytest.mark.slow
def test_local_classes_are_loaded_once_the_package_comes(tmp_path: Path) -> None:
    printed = fresh(CHECKPOINT_FIRST, str(tiny_checkpoint(tmp_path)))
    assert printed.splitlines() == ["True", "transformers_modules", "d2e2s d2e2s"]


@pytest.mark.parametrize("module", ["labels_d2e2s", "data_scripts.files", "metrics.aste.scoring"])
def test_every_part_is_reached_through_the_package(module: str) -> None:
    assert fresh(f"import importlib; print(importlib.import_module('d2e2s.{module}').__name__)") == f"d2e2s.{module}"


def test_constraints_pin_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = re.findall(r'"([a-z][\w-]*)(?:\[python\])?[>=]=', (ROOT / "setup.py").read_text(encoding="utf-8").lower())
    assert len(names) > 30 and set(names) - {"stanza"} <= set(pins)
    assert not [version for version in pins.values() if "+" in version]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipes_hold_known_arguments(path: Path) -> None:
    groups = (ModelArguments, ConfigArguments, DataArguments, TripletTrainingArguments)
    known = {f.name for group in groups for f in fields(group)}
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments = recipe.get("base", recipe)  # of a study or a search: what all its runs share
    assert set(arguments) <= known
    whole = "base" not in recipe and path.stem != "minilm"
    assert not whole or all(recipe[name] for name in ("do_train", "do_eval", "do_predict"))


def test_an_encoder_makes_a_whole_recipe_of_a_data_set() -> None:
    files = [str(ROOT / "configs" / f"{name}.yaml") for name in ("14res", "minilm")]
    arguments = parse_arguments(files)
    training = arguments.training
    assert training.do_train and training.do_eval and training.do_predict
    assert (arguments.model.encoder_name_or_path, training.learning_rate) == ("all-MiniLM-L6-v2", 1.5e-4)


def test_lowest_versions_are_the_lower_bounds() -> None:
    """What CI runs with `lowest.txt` is what setup.py promises; torch has its own line there."""
    required = (ROOT / "setup.py").read_text(encoding="utf-8").split("install_requires=[")[1].split("],\n")[0]
    bounds = dict(re.findall(r'"([A-Za-z_]+)>=([\d.]+)"', required.lower()))
    pins = dict(re.findall(r"(?m)^([a-z_]+)==([\d.]+)$", (ROOT / "lowest.txt").read_text(encoding="utf-8").lower()))
    assert len(bounds) > 10 and bounds | {"torch": pins["torch"]} == pins


def test_quickstart_needs_nothing_but_the_repository() -> None:
    recipe = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text(encoding="utf-8"))
    assert recipe["encoder_name_or_path"] in embedded_encoders()
    for split in ("train_file", "validation_file", "test_file"):
        assert (ROOT / recipe[split]).is_file()
