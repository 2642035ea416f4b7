"""The benchmarks run and write what they promise; how long anything takes is never asserted."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from tiny_models import tiny_checkpoint, tiny_encoder

from benchmarks import backends, engines, operators, parameters, scaling, serving, speed, startup, timing, workload
from benchmarks.report import write_between_marks

TOKENS = ["our", "waiter", "was", "very", "friendly", "but", "the", "food", "is", "not", "good"]
RECORD: dict[str, Any] = {
    "id": "1",
    "tokens": TOKENS,
    "heads": [2, 5, 5, 5, 0, 11, 8, 11, 11, 11, 5],
    "deprels": ["det", *["dep"] * 3, "root", *["dep"] * 6],
    "triplets": [
        {"aspect": [1, 2], "opinion": [3, 5], "sentiment": "POS"},
        {"aspect": [7, 8], "opinion": [9, 11], "sentiment": "NEG"},
    ],
}
RATIOS = (
    *("train_step_cross_attention", "train_step_tin", "evaluate_file_order", "evaluate_grouped", "raw_text"),
    *("raw_text_same_rows", "train_step_literal", "evaluate_literal"),
)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Options of every benchmark for a tiny encoder and three sentences."""
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({**RECORD, "id": str(i)}) + "\n" for i in range(3)), encoding="utf-8")
    encoder = tiny_encoder("bert", tmp_path / "encoder")
    work = ["--encoder_name_or_path", str(encoder), "--data", str(data), "--out", str(tmp_path / "result.json")]
    return [*work, "--threads", "1", "--rounds", "2", "--batch_size", "2"]


@pytest.mark.slow
def test_speed(options: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- speed:begin -->\nold\n<!-- speed:end -->\nafter\n", encoding="utf-8")
    few = ["--literal_rounds", "1", "--literal_batches", "1", "--memory_sides", "cross_attention", "--page", str(page)]
    speed.main([*options, *few])
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert set(RATIOS) <= set(result["ratios"]) and set(result["ratios"]) == set(result["quartiles"])
    assert all(math.isfinite(value) and value > 0 for value in result["ratios"].values())
    assert 0 < result["memory_gb"]["cross_attention"]["before"] < result["memory_gb"]["cross_attention"]["peak"] < 50
    assert len(result["seconds"]["evaluate"]["bare"]) == 2 and result["sentences"] == 3
    assert set(result["raw_text_steps"]) == {"split", "tokenise", "collate", "model", "decode", "other", "total"}
    assert result["environment"]["threads"] == 1
    written = page.read_text(encoding="utf-8")
    assert "old" not in written and "`cross_attention`" in written and written.endswith("<!-- speed:end -->\nafter\n")


@pytest.mark.slow
def test_scaling(options: list[str], tmp_path: Path) -> None:
    scaling.main(
        [*options, "--sentence_length", "8", "--most_values", "2", "--axes", "sentence_length", "max_candidates"]
    )
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [point["sentence_length"] for point in result["points"]["sentence_length"]] == [16, 32]
    assert [point["max_candidates"] for point in result["points"]["max_candidates"]] == [8, 16]
    assert all(point["model_step"] > 0 for points in result["points"].values() for point in points)
    assert set(result["growth"]) == set(result["points"])


def test_exponent() -> None:
    points = [{"length": x, "seconds": 3.0 * x**1.5} for x in (1.0, 2.0, 4.0, 8.0)]
    assert scaling.exponent(points, "length", "seconds") == pytest.approx(1.5)
    assert scaling.exponent([*points, {"length": 9.0, "seconds": -1.0}], "length", "seconds") is None


def test_ratio() -> None:
    found = timing.ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert found == pytest.approx({"ratio": 2.0, "low": 2.0, "high": 2.5})
    assert timing.ratio([3.0], [2.0]) == {"ratio": 1.5, "low": 1.5, "high": 1.5}


def test_interleaved_runs_every_job_and_leaves_out_the_first_round() -> None:
    ran: list[str] = []
    sides = {"a": [lambda: ran.append("a0"), lambda: ran.append("a1")], "b": [lambda: ran.append("b0")]}
    times = timing.interleaved(sides, 2, torch.device("cpu"))
    assert sorted(ran) == ["a0"] * 3 + ["a1"] * 3 + ["b0"] * 3
    assert all({*ran[i : i + 2]} == {"a0", "b0"} and ran[i + 2] == "a1" for i in (0, 3, 6))
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_resized() -> None:
    """Words go on in order; spans and heads point at the same words as before, or the head at the root."""
    cuts = workload.resized([RECORD, RECORD], 8)
    assert [len(cut["tokens"]) for cut in cuts] == [8, 8]
    assert cuts[0]["tokens"] + cuts[1]["tokens"] == (TOKENS + TOKENS)[:16]
    assert cuts[0]["heads"] == [2, 5, 5, 5, 0, 0, 8, 0]
    assert cuts[0]["triplets"] == RECORD["triplets"][:1]
    # Words 8 to 15: "is not good our waiter was very friendly"; the second record's first triplet lies whole inside.
    assert cuts[1]["triplets"] == [{"aspect": [4, 5], "opinion": [6, 8], "sentiment": "POS"}]
    assert cuts[1]["heads"] == [3, 3, 0, 5, 8, 8, 8, 0]
    (long,) = workload.resized([RECORD], 20)
    assert len(long["tokens"]) == 20


def test_write_between_marks_needs_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- other:begin -->\n<!-- other:end -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md: no line <!-- speed:begin -->"):
        write_between_marks(page, "speed", "text\n")


def test_parameters(tmp_path: Path) -> None:
    rows = parameters.count_all(str(tiny_encoder("bert", tmp_path)))
    assert rows["fusion_type=tin"]["total"] > rows["fusion_type=none"]["total"]
    assert "| `fusion_type=none` | 0 k |" in parameters.table(rows)


def test_an_answer_that_is_mixed_up_is_noticed() -> None:
    terms = ({"text": text, "start": 0, "end": 4} for text in ("food", "room"))
    food, room = ({"aspect": term, "sentiment": "POS", "score": 0.9} for term in terms)
    assert serving.same([food], [{**food, "score": 0.9001}]) and serving.same([], [])
    for other in ([], [room], [food, food], [{**food, "score": 0.8}], [{**food, "sentiment": "NEG"}]):
        assert not serving.same([food], other)


def test_operators_are_counted_where_they_launch_something() -> None:
    x, mask = torch.ones(2, 3, 4, device="meta"), torch.ones(2, 3, 4, dtype=torch.bool, device="meta")
    runs = {
        "views and memory": (lambda: x.transpose(1, 2)[:, 1:].new_empty(3), 0),
        "arithmetic": (lambda: (x + 1).softmax(-1), 2),
        "padding": (lambda: torch.nn.functional.pad(x, (0, 1)), 2),
        "masked": (lambda: x.masked_fill(mask, 0.0), 2),
        "library": (lambda: torch.nn.functional.scaled_dot_product_attention(*[x[:, None]] * 3), 1),
    }
    for name, (run, expected) in runs.items():
        assert sum(operators.counted(run)[0].values()) == expected, name
    with pytest.raises(RuntimeError, match="meta"):  # a host synchronisation
        operators.counted(lambda: x.sum().item())


@pytest.mark.slow
def test_operators(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "VARIANTS", {name: workload.VARIANTS[name] for name in ("tin", "cross_attention")})
    before, page = tmp_path / "before.json", tmp_path / "page.md"
    kinds = {kind: {"spans": 1000} for kind in operators.KINDS}
    before.write_text(json.dumps({"commit": "abc", "operators": dict.fromkeys(operators.VARIANTS, kinds)}))
    page.write_text("<!-- operators:begin -->\n<!-- operators:end -->\n", encoding="utf-8")
    operators.main([*options, "--before", str(before), "--page", str(page)])
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["graph_breaks"] == {"tin": [], "cross_attention": []}
    for kinds in result["operators"].values():
        assert set(kinds["evaluation"]) == {"encoding", "fusion", "graph", "modeling", "spans"}
        assert set(kinds["training_backward"]) == {"backward"}
        assert all(0 < sum(counts.values()) < 1000 for counts in kinds.values())
    assert " (1000) |" in page.read_text(encoding="utf-8")


def test_startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("python", "command", "import"):
        monkeypatch.setitem(startup.COMMANDS, name, [sys.executable, "-c", "pass"])
    startup.main(["--rounds", "2", "--out", str(tmp_path / "result.json")])
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [len(times) for times in result["seconds"].values()] == [2] * 4
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"{name}: {result['ratios'][name]['ratio']:.3f} of the time of: import torch, transformers"
        for name in ("help", "python", "command")
    ]


def test_rate_of_an_engine_begins_when_every_worker_has_written_twice(tmp_path: Path) -> None:
    """Of files of 100 rows, written 60 s apart by two workers at first, then a second apart."""
    for number, second in enumerate([0, 60, 120, 180, *range(181, 187)]):
        path = tmp_path / "below" / f"{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table({"id": range(100)}), path)
        os.utime(path, (second, second))
    assert engines.rate(tmp_path, 2) == 600 / 6
    with pytest.raises(ValueError, match="10 files of 3 workers are too few: give more --rows"):
        engines.rate(tmp_path, 3)


@pytest.mark.slow
def test_plain_side_of_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program, with the side that needs no engine, twice."""
    monkeypatch.setattr(engines, "ROWS_AT_ONCE", 2)
    model, data, page = tiny_checkpoint(tmp_path / "model"), tmp_path / "data.jsonl", tmp_path / "page.md"
    data.write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    page.write_text("<!-- engines:begin -->\n<!-- engines:end -->\n", encoding="utf-8")
    words = ["--model", str(model), "--data", str(data), "--rows", "20", "--workers", "1", "2", "--rounds", "1"]
    engines.main([*words, "--sides", "plain", "--out", str(tmp_path / "out.jsonl"), "--page", str(page)])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["workers"], line["rows"], line["overhead"]) for line in lines] == [(1, [20], 0), (2, [20], 0)]
    assert "| plain | 2 |" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "SIDES", {name: backends.SIDES[name] for name in [*backends.SIDES][:2]})
    model, data, out = tiny_checkpoint(tmp_path / "model"), tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    data.write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    backends.main(
        [str(model), "--data", str(data), "--score", str(data), str(data), "--out", str(out), "--rounds", "2"]
    )
    exact, other = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert exact["times_float32"]["ratio"] == 1 and exact["texts_with_other_triplets"] == 0
    assert other["side"] == "torch, bfloat16" and len(other["f1_of_each_file"]) == 2
