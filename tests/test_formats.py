"""Saved checkpoints last: one of each format is kept here, and has to answer as it did when it was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline
from d2e2s.configuration_d2e2s import FORMAT_VERSION, UPGRADES, upgraded

DATA = Path(__file__).parent / "data"
SAVED = DATA / "checkpoint-v1"
VERSIONS = (1, 2, 3)
# Scores are float32 softmaxes; machines and versions of torch round their sums differently.
TOLERANCE = 1e-4


def answers(folder: Path, texts: list[str]) -> list[Any]:
    model = D2E2SForTripletExtraction.from_pretrained(folder)
    extract = TripletExtractionPipeline(model=model, processor=D2E2SProcessor.from_pretrained(folder))
    return extract(texts, return_tree=True)


def check_answers(folder: Path, kept: Path = SAVED) -> None:
    saved = json.loads((kept / "predictions.json").read_text(encoding="utf-8"))
    texts = [entry.pop("text") for entry in saved]
    for found, expected in zip(answers(folder, texts), saved, strict=True):
        for side in (found, expected):
            side["scores"] = [triplet.pop("score") for triplet in side["triplets"]]
        assert found.pop("scores") == pytest.approx(expected.pop("scores"), abs=TOLERANCE)
        assert found == expected


def with_config(folder: Path, **changes: Any) -> Path:
    """The saved checkpoint with other fields in its configuration; None takes a field away."""
    shutil.copytree(SAVED, folder, dirs_exist_ok=True)
    fields = {**json.loads((folder / "config.json").read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_a_checkpoint_of_each_format_answers_as_it_did(version: int) -> None:
    kept = DATA / f"checkpoint-v{version}"
    assert json.loads((kept / "config.json").read_text(encoding="utf-8"))["format_version"] == version
    check_answers(kept, kept)


def test_there_is_a_checkpoint_of_each_format() -> None:
    assert tuple(range(1, FORMAT_VERSION + 1)) == VERSIONS
    for version, fusions in ((2, ["cross_attention"] * 2), (3, ["cross_attention", "tin"])):
        members = D2E2SForTripletExtraction.from_pretrained(DATA / f"checkpoint-v{version}").members
        assert [member.config.fusion_type for member in members] == fusions


@pytest.mark.parametrize("version", VERSIONS)
def test_the_saved_checkpoint_is_small_and_its_answers_say_something(version: int) -> None:
    kept = DATA / f"checkpoint-v{version}"
    assert sum(file.stat().st_size for file in kept.iterdir()) < 300_000
    saved = json.loads((kept / "predictions.json").read_text(encoding="utf-8"))
    sentiments = {triplet["sentiment"] for entry in saved for triplet in entry["triplets"]}
    assert len(sentiments) > 1 and any(not entry["triplets"] for entry in saved)


def test_format_0_is_upgraded_when_loaded(tmp_path: Path) -> None:
    """It has no version in it; the upgrade fills in what it meant, whatever today's default is."""
    old = with_config(tmp_path, format_version=None, temperature=None)
    config = AutoConfig.from_pretrained(old)
    assert (config.format_version, config.temperature) == (FORMAT_VERSION, 1.0)
    config.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["format_version"] == FORMAT_VERSION


def test_format_0_answers_as_it_did(tmp_path: Path) -> None:
    check_answers(with_config(tmp_path, format_version=None))


def test_every_format_has_an_upgrade() -> None:
    assert sorted(UPGRADES) == list(range(FORMAT_VERSION))


def test_upgrades_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d2e2s.configuration_d2e2s.FORMAT_VERSION", 4)
    monkeypatch.setitem(UPGRADES, 3, lambda fields: {**fields, "dropout": fields["temperature"] / 4})
    old = {"temperature": 1.0, "others": [], "dropout": 0.25, "format_version": 4}
    assert upgraded({"dropout": 0.1}) == old
    assert upgraded({"format_version": 4, "dropout": 0.1}) == {"format_version": 4, "dropout": 0.1}


def test_format_2_held_models_of_one_configuration() -> None:
    assert upgraded({"format_version": 2, "ensemble_size": 3})["others"] == [{}, {}]
    assert upgraded({"format_version": 2})["others"] == []
    for size in (0, "two", True):
        with pytest.raises(ValueError, match=f"ensemble_size must be a whole number, at least 1, got {size!r}"):
            upgraded({"format_version": 2, "ensemble_size": size})


def test_newer_format_is_refused(tmp_path: Path) -> None:
    newer = with_config(tmp_path, format_version=FORMAT_VERSION + 1)
    with pytest.raises(StrictDataclassError) as error:
        D2E2SForTripletExtraction.from_pretrained(newer)
    assert "is newer than" in str(error.value.__cause__) and "upgrade d2e2s" in str(error.value.__cause__)


def test_a_new_configuration_has_the_newest_format() -> None:
    assert D2E2SConfig().format_version == FORMAT_VERSION
