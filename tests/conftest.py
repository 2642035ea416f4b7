"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from tiny_models import tiny_checkpoint

from d2e2s import TripletExtractionPipeline
from d2e2s.prediction.predict import load_pipeline

ROOT = Path(__file__).resolve().parents[1]

# The models of the tests are tiny: threads would only wait for one another.
torch.set_num_threads(1)

# `pytest tests/test_fuzz.py --hypothesis-profile long`
settings.register_profile(
    "long", max_examples=4000, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the public benchmark files; its absence is a skip for users and a failure in CI."""
    folder = Path(os.environ.get("D2E2S_DATA", ROOT.parent / "shared" / "data"))
    if folder.is_dir():
        return folder
    message = f"benchmark data not found at {folder}: set D2E2S_DATA to the folder that holds aste_v2/"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A program that was tested before may have set another number, on which last digits depend."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def plain_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what this processor does fast nothing is said on stderr."""
    monkeypatch.setattr("d2e2s.backends.cpu.cpu_formats", tuple)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny checkpoint with random weights."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def extract(model: Path) -> TripletExtractionPipeline:
    """Its pipeline."""
    return load_pipeline(str(model), device="cpu")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, see `browsing.start`."""
    import browsing  # selenium is not where only the core is tested

    found = browsing.start()
    yield found
    found.quit()
