"""A small budget of what `python -m benchmarks.fuzz` does at length, and whether it would notice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from benchmarks.fuzz import READERS, Outcome, Reader, fuzz, main
from d2e2s.errors import UserError

EXAMPLES = 30


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_reader(name: str) -> None:
    outcome = fuzz(READERS[name], EXAMPLES, number=1)
    assert not outcome.failures, json.dumps(outcome.kinds, indent=1)
    assert outcome.refused or name in ("words", "line_ends")  # any text has words, any offsets may be right
    assert outcome.examples >= EXAMPLES // 2 and outcome.accepted + outcome.refused == outcome.examples


def test_faults_are_noticed() -> None:
    def read(value: int, folder: Path) -> None:
        assert value != 1
        if value == 2:
            raise KeyError("x")
        if value == 3:
            time.sleep(60)
        if value > 3:
            raise UserError("documented")

    outcome: Outcome = fuzz(Reader(st.integers(0, 9), read), 100, number=1, seconds=0.05)
    assert {kind.split(":")[0] for kind in outcome.kinds} == {"AssertionError", "KeyError", "Hang"}
    assert outcome.accepted and outcome.refused
    assert outcome.accepted + outcome.refused + outcome.failures == outcome.examples


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(value: Any, folder: Path) -> None:
        raise KeyError(value)

    words = ["--examples", "10", "--readers", "aste_text", "--out", str(tmp_path / "fuzz.json")]
    assert main(words) == 0
    report = json.loads((tmp_path / "fuzz.json").read_text())
    assert report["examples"] == 10 == report["accepted"] + report["refused"] and report["failures"] == 0
    monkeypatch.setitem(READERS, "aste_text", Reader(st.just("x"), broken))
    assert main(words) == 1
    assert json.loads((tmp_path / "fuzz.json").read_text())["readers"]["aste_text"]["kinds"] == {
        "KeyError: 'x'": ["'x'"]
    }
