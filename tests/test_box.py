"""The model in the box: whole, small enough, good enough, and usable with the package and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from test_challenge import CHALLENGE, REQUIRED

from benchmarks.raw_scores import read_gold, score
from d2e2s import TripletExtractionPipeline, cli, load_pipeline, reviews_en
from d2e2s.box import FOLDER, REVIEWS_EN, resolve_model
from d2e2s.checkpoints import SUMS, check

ROOT = Path(__file__).resolve().parents[1]
TEXT = "The rooms are spotless, but the breakfast was cold."
FOUND = {("rooms", "spotless", "POS"), ("breakfast", "cold", "NEG")}
MOST_BYTES = 56e6


@pytest.fixture(scope="module")
def extract() -> TripletExtractionPipeline:
    return load_pipeline(device="cpu")


def strings(triplets: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(one["aspect"]["text"], one["opinion"]["text"], one["sentiment"]) for one in triplets}


def test_it_is_whole_and_small() -> None:
    names = {path.name for path in FOLDER.iterdir() if path.suffix != ".py"}
    assert names == {*check(FOLDER), SUMS}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "all_results.json"} <= names
    assert sum((FOLDER / name).stat().st_size for name in names) <= MOST_BYTES


def test_it_is_float32_in_memory(extract: TripletExtractionPipeline) -> None:
    assert {parameter.dtype for parameter in extract.model.parameters()} == {torch.float32}


def test_it_finds_triplets(extract: TripletExtractionPipeline) -> None:
    assert strings(extract(TEXT)) == FOUND


@pytest.mark.parametrize("text", REQUIRED)
def test_sentences_that_any_model_of_reviews_must_read(text: str, extract: TripletExtractionPipeline) -> None:
    wanted = {(aspect, sentiment) for aspect, _, sentiment in REQUIRED[text]}
    found = {(aspect, sentiment) for aspect, _, sentiment in strings(extract(text))}
    opposite = {(aspect, {"POS": "NEG", "NEG": "POS"}[sentiment]) for aspect, sentiment in wanted}
    assert not found & opposite
    if text.startswith("The "):
        assert found == wanted


def test_the_challenge_set_as_its_card_says(extract: TripletExtractionPipeline) -> None:
    texts, _ = read_gold(CHALLENGE)
    right = score(extract([text["text"] for text in texts]), texts)["right"]
    said = json.loads((ROOT / "results" / "reviews_en.json").read_text(encoding="utf-8"))["challenge"]["right"]
    assert right == pytest.approx(said, abs=0.02)
    assert right["all"] >= 0.65 and right["with_triplets"] >= 0.6 and min(right.values()) >= 0.4


def test_it_is_the_default_of_predict(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", TEXT]) == 0
    assert strings(json.loads(capsys.readouterr().out)["predicted_triplets"]) == FOUND


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_model(REVIEWS_EN) == str(FOLDER) and resolve_model("outputs/mine") == "outputs/mine"
    (tmp_path / REVIEWS_EN).mkdir()
    assert resolve_model(REVIEWS_EN) == REVIEWS_EN


def test_its_code_is_that_of_the_root() -> None:
    folder = Path(reviews_en())
    code = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    assert code == {path.name: path.read_bytes() for path in ROOT.glob("*_d2e2s.py")}
    (folder / "words_d2e2s.py").write_text("stale", encoding="utf-8")
    assert (Path(reviews_en()) / "words_d2e2s.py").read_bytes() == code["words_d2e2s.py"]


def test_it_works_where_the_package_is_not(tmp_path: Path) -> None:
    shutil.copytree(reviews_en(), tmp_path / "model")
    code = """
from transformers import pipeline
extract = pipeline(model="model", trust_remote_code=True, device="cpu")
assert {p.dtype for p in extract.model.parameters()} == {torch.float32}
print([[t["aspect"]["text"], t["opinion"]["text"], t["sentiment"]] for t in extract(sys.argv[1])])
"""
    printed = run_elsewhere(code, tmp_path, TEXT)
    assert {tuple(one) for one in json.loads(printed.replace("'", '"'))} == FOUND


def test_it_is_trained_further_by_its_name(tmp_path: Path) -> None:
    records = ROOT / "data_scripts" / "sample_corpus" / "dev.jsonl"
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)[:8]
    (tmp_path / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    files = [f"--{name}_file={tmp_path / 'train.jsonl'}" for name in ("train", "validation")]
    options = ["--model_name_or_path", REVIEWS_EN, "--do_train", "--max_steps", "1", "--use_cpu", "--disable_tqdm=true"]
    assert cli.main(["train", *files, *options, "--output_dir", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "all_results.json").read_text(encoding="utf-8"))
    assert results["train_sentences"] == 8
    (before,) = results["earlier_training"]
    assert before["data"].startswith("DMASTE") and before["licences"] == ["mit, cc0-1.0"]
