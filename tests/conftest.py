"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

# The models of the tests are tiny: threads would only wait for one another.
torch.set_num_threads(1)


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
