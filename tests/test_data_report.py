"""Counts of prepared data sets: from report.json to results files and pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import data_report
from d2e2s.data_scripts import prepare_aste_v2

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "data"
PAGE = "# Data\n\n<!-- data:begin -->\nold\n<!-- data:end -->\nend\n"


def page(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def test_the_page_shows_the_results_files() -> None:
    text = data_report.page_text(data_report.read_counts(RESULTS))
    assert f"<!-- data:begin -->\n{text}<!-- data:end -->" in page("data_scripts", "README.md")


@pytest.mark.parametrize("key", data_report.SHARES)
def test_the_page_on_dess_tells_the_same_shares(key: str) -> None:
    text = " ".join(page("docs", "from_dess.md").split())
    assert data_report.share(data_report.read_counts(RESULTS), key) in text


@pytest.mark.slow
def test_results_files_are_counts_of_the_real_sets(shared_data: Path, tmp_path: Path) -> None:
    """Preparing with the arguments that a file names gives the file."""
    (names,) = {tuple(counts["arguments"]["name"]) for counts in data_report.read_counts(RESULTS)}
    raw = ["--text_dir", str(shared_data / "aste_v2"), "--parse_dir", str(shared_data / "d2e2s_parsed")]
    assert prepare_aste_v2.main(["--name", *names, *raw, "--output_dir", str(tmp_path / "data")]) == 0
    data_report.main([*(str(tmp_path / "data" / name / "report.json") for name in names), "--out", str(tmp_path)])
    for name in names:
        assert (tmp_path / f"{name}.json").read_bytes() == (RESULTS / f"{name}.json").read_bytes()


def small_report(folder: Path) -> Path:
    found = {"sentences": 4, "triplets": 5, "trees_repaired": 1, "parser_tokens_differ": 2}
    report = {
        "name": "own",
        "arguments": {"name": ["own"], "on_error": "stop"},
        "splits": {"train": {**found, "parsed_as_several_sentences": 0, "skipped": ["a", "b"]}},
        "shared_sentences": [{"first": "own/train", "second": "own/dev", "ids_in_second": ["x", "y", "z"]}],
    }
    path = folder / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def test_lists_become_counts_and_the_page_is_filled(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    out = tmp_path / "results"
    data_report.main([str(small_report(tmp_path)), "--out", str(out), "--page", str(tmp_path / "page.md")])
    (counts,) = data_report.read_counts(out)
    assert counts["splits"]["train"]["skipped"] == 2
    assert counts["arguments"] == {"name": ["own"], "on_error": "stop"}
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| own | train | 4 | 5 | 1 | 2 | 0 |" in text
    assert "trees changed: 25.0 to 25.0 %; parser's tokens differ: 50.0 to 50.0 %" in text
    assert "| own/train | own/dev | 3 |" in text
    assert "old" not in text and text.endswith("<!-- data:end -->\nend\n")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "x", "arguments": {}, "splits": []}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="report.json: not a report.json of prepare_aste_v2.py"):
        data_report.main([str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
