"""The wheel: what it holds, and that it works in a fresh environment, types included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from elsewhere import run_elsewhere

import d2e2s

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "d2e2s", "data_scripts", "demo", "metrics")
INFO = f"d2e2s-{d2e2s.__version__}.dist-info"
WITHIN = (
    *("py.typed", "cli.py", "encoders.yaml", "modeling_d2e2s.py", "metrics/aste/aste.py"),
    *("demo/app.py", "reporting/templates/card.md.jinja", "reporting/templates/chart.mplstyle"),
    *(f"data_scripts/{name}" for name in ("practice_grammar.yaml", "sample_grammar.yaml", "sample_corpus/train.jsonl")),
    *("reviews-en/model.safetensors", "reviews-en/README.md", "reviews-en/modeling_d2e2s.py"),
)

# The sentences are those of the wheel's own sample corpus.
TRAIN = """
import sys
from pathlib import Path

import d2e2s
from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletTrainer, TripletTrainingArguments, build_model
from d2e2s.data_scripts.records import read_records
from tiny_models import TINY, tiny_encoder

home, out = Path(d2e2s.__file__).parent, Path(sys.argv[1])
assert home.is_relative_to(sys.prefix), home
records = read_records(home / "data_scripts" / "sample_corpus" / "train.jsonl")[:4]
model, processor = build_model(str(tiny_encoder("bert", out / "encoder")), records, **TINY)
args = TripletTrainingArguments(str(out / "saved"), max_steps=1, warmup_steps=0, use_cpu=True, disable_tqdm=True)
before = {name: weight.clone() for name, weight in model.named_parameters()}
trainer = TripletTrainer(model, args, train_dataset=records, eval_dataset=records, processing_class=processor)
trainer.train()
assert any((weight != before[name]).any() for name, weight in model.named_parameters())
again = D2E2SForTripletExtraction.from_pretrained(out / "saved").state_dict()
assert all((again[name] == weight).all() for name, weight in model.state_dict().items())
D2E2SProcessor.from_pretrained(out / "saved")
"""
# What a person writes; `assert_type` fails for Any.
MINE = """
from typing import assert_type

from d2e2s import (
    D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline, TripletTrainer,
    TripletTrainingArguments, build_model, load_pipeline, reviews_en,
)  # fmt: skip

model, processor = build_model("all-MiniLM-L6-v2", [], fusion_type="tin")
assert_type(model, D2E2SForTripletExtraction)
assert_type(processor, D2E2SProcessor)
assert_type(load_pipeline(), TripletExtractionPipeline)
assert_type(reviews_en(), str)
assert_type(D2E2SProcessor.from_pretrained("mine"), D2E2SProcessor)
assert_type(D2E2SForTripletExtraction.from_pretrained("mine").config, D2E2SConfig)
assert_type(D2E2SConfig().decision_threshold, float)
args = TripletTrainingArguments(output_dir="out", head_learning_rate=1e-3)
assert_type(TripletExtractionPipeline(model=model, processor=processor), TripletExtractionPipeline)
assert_type(TripletTrainer(model, args, train_dataset=[], processing_class=processor).args, TripletTrainingArguments)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools takes along what an earlier build has left in `build/`."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for path in (*ROOT.glob("*_d2e2s.py"), *(ROOT / name for name in SOURCES)):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, sources / path.name)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sources)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a fresh environment with the wheel, to which this environment lends all other packages."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    before = {path.name for path in site.iterdir()}
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    assert {path.name for path in site.iterdir()} - before == {"d2e2s", INFO}
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return python


def run(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    """What a command prints; its failure fails the test."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name.split("/")[0] for name in names} == {"d2e2s", INFO}
    travelling = {path.name for path in ROOT.glob("*_d2e2s.py")}
    assert {f"d2e2s/{name}" for name in (*WITHIN, *travelling)} <= names
    assert not [name for name in names if "test" in Path(name).stem and name.endswith(".py")]


@pytest.mark.slow
def test_nothing_else_is_reached_through_the_package(python: Path, tmp_path: Path) -> None:
    """`pip` lies beside the package; were that folder part of it, there would be two of each."""
    tried = "import pip, d2e2s.modeling_d2e2s\ntry: import d2e2s.pip\nexcept ModuleNotFoundError: print('none')"
    assert run(python, "-c", tried, folder=tmp_path).strip() == "none"
    assert run(python.with_name("d2e2s"), "--version").strip() == f"d2e2s {d2e2s.__version__}"


@pytest.mark.slow
def test_trains_saves_and_loads_where_it_is_installed(python: Path, tmp_path: Path) -> None:
    run(python, "-c", TRAIN, tmp_path, folder=tmp_path, PYTHONPATH=str(ROOT / "tests"))
    saved = tmp_path / "saved"
    code = {path.name: path.read_bytes() for path in ROOT.glob("*_d2e2s.py")}
    found = {path.name: path.read_bytes() for path in saved.glob("*.py")}
    assert found.pop("handler.py").startswith((ROOT / "d2e2s" / "serving" / "handler.py").read_bytes())
    assert found == code
    load = "from transformers import AutoModel as A; print(type(A.from_pretrained('saved', trust_remote_code=True)))"
    assert "D2E2SForTripletExtraction" in run_elsewhere(load, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_types_are_ours_for_who_installs_it(checker: str, python: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    options = {
        "mypy": ["--strict", "--cache-dir", str(tmp_path), "--python-executable", str(python)],
        "basedpyright": ["--level", "error", "--pythonpath", str(python)],
    }
    run(sys.executable, "-m", checker, *options[checker], "mine.py", folder=tmp_path)
