"""Processes that are killed at random lose no row, write none twice, and leave the shards of an undisturbed run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import kills as faults


@pytest.mark.slow
def test_short_form(tmp_path: Path) -> None:
    """Two kills, 2,000 rows, every way of being bad; processes of their own, killed with SIGKILL."""
    out = tmp_path / "faults.json"
    faults.main(["--rows", "2000", "--bad_rows", "20", "--kills", "2", "--rows_per_shard", "100", "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8"))
    expected = {"rows_in": 2000, "rows_out": 1980, "rejected": 20, "duplicates": 0, "lost": 0, "in_order": True}
    assert {name: result[name] for name in expected} == expected
    assert result["kills"] == len(result["log"]) > 0 and result["processes_killed"] >= result["kills"]
    assert result["same_shards_as_without_kills"] and result["same_shards_with_1_and_2_processes"]
    assert len(result["memory"]["peak_mb"]) == 2 and min(result["memory"]["peak_mb"]) > 0
    assert result["seconds"].keys() == {"1", "2"}


@pytest.mark.parametrize("fault", ["lost", "duplicates", "in_order"])
def test_the_check_finds_faults(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that lacks a row, has one twice, or has two in the wrong order."""
    made = faults.make_corpus(tmp_path / "in", 40, 8, random.Random(0))
    right = {"rows_in": 40, "rows_out": 32, "rejected": 8, "duplicates": 0, "lost": 0, "in_order": True}
    rows = [{"id": number} for number in made.good]
    bad = [{"file": file, "line": line} for file, line in sorted(made.bad)]
    monkeypatch.setattr(faults, "read_rejects", lambda out: bad)
    monkeypatch.setattr(faults, "read_predictions", lambda out: rows)
    assert faults.check(tmp_path, made) == right
    changed = {"lost": rows[1:], "duplicates": [rows[0], *rows], "in_order": [rows[1], rows[0], *rows[2:]]}[fault]
    monkeypatch.setattr(faults, "read_predictions", lambda out: changed)
    assert faults.check(tmp_path, made)[fault] != right[fault]
