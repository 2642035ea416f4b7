"""A study from its configuration to its page: real runs of tiny models, and pages of results whose answer is known."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tiny_models import tiny_encoder

from d2e2s import cli
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.evaluation.thresholds import micro_f1
from d2e2s.reporting.charts import COLOURS
from d2e2s.study.page import write_report
from d2e2s.study.plan import (
    PREDICTIONS,
    Question,
    Run,
    check_runs,
    collect,
    from_text,
    read_results,
    read_study,
    slug,
    to_text,
    write_yaml,
)
from d2e2s.study.runner import Runner
from d2e2s.study.significance import read_counts
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.run import run as train
from d2e2s.training.trainer import TripletTrainer

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_scripts" / "sample_corpus"
SIZES = {"train": 16, "dev": 16, "test": 20}
CONDITIONS = {"workers": 1, "threads": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, size in SIZES.items():
        short = [record for record in read_records(SAMPLE / f"{split}.jsonl") if len(record["tokens"]) < 16]
        write_records(folder / "toy" / f"{split}.jsonl", short[:size])
    tiny_encoder("bert", folder / "encoder")
    return folder


def blocks(data: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration of two rows that are trained and one that hides heads."""
    base = {
        "encoder_name_or_path": str(data / "encoder"),
        "train_file": f"{data}/{{dataset}}/train.jsonl",
        "validation_file": f"{data}/{{dataset}}/dev.jsonl",
        "test_file": f"{data}/{{dataset}}/test.jsonl",
        "num_train_epochs": 2,
        "head_size": 16,
        "parser_size": 16,
        "use_cpu": True,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
    }
    return {
        "base": base,
        "rows": {
            "TIN + basic": {"fusion_type": "tin", "semantic_gcn": "basic"},
            "control": {"fusion_type": "none"},
            "own parses": {"without_heads_of": "TIN + basic"},
        },
        "datasets": {"toy": None},
        "seeds": [3],
        "questions": [{"against": "TIN + basic"}, {"against": "control", "rows": ["TIN + basic"]}],
        "output_dir": str(folder / "outputs"),
        "results": str(folder / "results.jsonl"),
        "page": str(folder / "docs" / "page.md"),
        **changes,
    }


@pytest.fixture
def configuration(data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration with some blocks changed."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(blocks(data, tmp_path, **changes), sort_keys=False))
        return path

    return write


def no_process(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a run was started")


# --- real runs --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_whole_study(
    configuration: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Two runs at once, one of which cannot be; then again: what is finished stays, and what failed is tried again."""
    monkeypatch.chdir(ROOT)  # where `python -m d2e2s.training.run` finds the package, installed or not
    bad = {"fusion_heads": 5, "graph_size": 16}
    rows = {**blocks(tmp_path, tmp_path)["rows"], "bad heads": bad}
    path = configuration(rows=rows, datasets={"toy": {"rows": ["TIN + basic", "own parses", "bad heads"]}})
    assert cli.main(["study", str(path), "--workers", "2", "--threads", "1"]) == 1
    captured = capsys.readouterr()
    assert "toy/bad-heads-seed3: exit code 2: error: fusion_heads=5 does not divide" in captured.err
    assert "toy/tin-basic-seed3: test triplet F1" in captured.out

    folder, study = tmp_path / "outputs" / "toy" / "tin-basic-seed3", read_study(path)
    result = json.loads((tmp_path / "results.jsonl").read_text())
    assert result["name"] == "toy/tin-basic-seed3"
    assert result["arguments"]["config"]["fusion_type"] == "tin" and result["seed"] == 3
    own = json.loads((folder / "all_results.json").read_text())
    assert own.items() <= result.items() and set(result) - set(own) == {"name", "study"}
    for key in ("test", "test_predicted_syntax"):
        counts = from_text(result["study"]["counts"][key])
        assert counts.shape == (SIZES["test"], 3)
        assert micro_f1(counts) == pytest.approx(own[f"{key}_triplet_f1"])
    assert not list(folder.glob("checkpoint-*")) and not (folder / "model.safetensors").exists()
    arguments = parse_arguments([str(folder / "run.yaml")])  # what it takes to run it again by hand
    assert arguments.training.seed == 3 and arguments.config.fusion_type == "tin"

    page = (tmp_path / "docs" / "page.md").read_text()
    assert "| bad heads | not measured | not measured |" in page
    assert f"{100 * own['test_triplet_f1']:.2f}" in page
    monkeypatch.setattr(subprocess, "Popen", no_process)
    assert cli.main(["study", str(path), "--only", "tin-basic"]) == 0
    assert "1 runs, 1 of them finished before" in capsys.readouterr().out
    assert read_results(study) == {"toy/tin-basic-seed3": result}


@pytest.mark.slow
def test_an_interrupted_run_goes_on(
    configuration: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From its checkpoint, if it was made with the same arguments."""
    monkeypatch.chdir(ROOT)
    study = read_study(configuration())
    runner, run = Runner(study, workers=1, threads=1), study.runs()[1]
    folder = study.folder(run)
    write_yaml(folder / "run.yaml", runner._file_arguments(run))

    def interrupted(self: TripletTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 1:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    step = TripletTrainer.training_step
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TripletTrainer, "training_step", interrupted)
        train(parse_arguments([str(folder / "run.yaml")]))
    assert (folder / "checkpoint-1").is_dir() and not read_results(study)
    assert runner.execute([run]) == []
    assert "going on from" in (folder / "log.txt").read_text()
    results = read_results(study)
    assert results[run.name]["epoch"] == 2.0

    # Finished, but stopped before its line of results was written: collected, not run again.
    study.results.unlink()
    monkeypatch.setattr(subprocess, "Popen", no_process)
    assert runner.execute([run]) == [] and read_results(study) == results


def test_changed_arguments_are_not_mixed_with_what_was_run(configuration: Callable[..., Path]) -> None:
    study = read_study(configuration())
    runner, run = Runner(study, workers=1, threads=1), study.runs()[0]
    write_yaml(study.folder(run) / "run.yaml", runner._file_arguments(run))
    (study.folder(run) / "all_results.json").write_text("{}")
    assert runner._finished(run)
    assert not runner._finished(Run(run.dataset, run.row, run.seed, {**run.arguments, "learning_rate": 1e-3}))


# --- results of known answer ------------------------------------------------------------------------------


def write_result(study_file: Path, run: Run, quality: float, sentences: int = 120) -> None:
    """A finished run whose model finds each of two gold triplets a sentence with probability `quality`."""
    study, rng = read_study(study_file), np.random.default_rng([run.seed, len(run.row)])
    folder = study.folder(run)
    words = {"tokens": ["a", "b", "c", "d"]}
    triplets = [{"aspect": [i, i + 1], "opinion": [3, 4], "sentiment": "POS"} for i in range(2)]
    records = [{"id": str(i), **words, "triplets": triplets} for i in range(sentences)]
    wrong = {**triplets[0], "sentiment": "NEG"}
    for name in ("predictions_test.jsonl", "predictions_test_predicted_syntax.jsonl"):
        found = [[t if rng.random() < quality else wrong for t in triplets] for _ in records]
        write_records(folder / name, [{**r, "predicted_triplets": p} for r, p in zip(records, found, strict=True)])
    counts = {key: read_counts(folder / name) for key, name in PREDICTIONS.items()}
    figures: dict[str, Any] = {f"{key}_triplet_f1": float(micro_f1(found)) for key, found in counts.items()}
    figures |= {"eval_triplet_f1": quality, "eval_predicted_syntax_triplet_f1": quality, "seed": run.seed}
    figures |= {"parameters": 1_500_000, "device": "cpu", "versions": {"torch": "0"}, "test_sentences": sentences}
    figures |= {"train_seconds_per_step": 0.25, "train_peak_memory_gb": 1.5, "encoder": "e"}
    figures["arguments"] = {"config": {}, "data": {}, "training": {}}
    (folder / "all_results.json").write_text(json.dumps(figures))
    collect(study, run, CONDITIONS)


def tables(page: str) -> dict[str, dict[str, dict[str, str]]]:
    """The cells of the page's tables: by the name of the first column, then the row, then the column."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for block in page.split("\n\n"):
        if block.startswith("| "):
            header, _, *rows = ([cell.strip() for cell in line.split(" | ")] for line in block.splitlines())
            cells = {row[0].strip("| "): dict(zip(header[1:], row[1:], strict=True)) for row in rows}
            found[header[0].strip("| ")] = cells
    return found


@pytest.mark.parametrize(
    ("qualities", "verdict"), [((0.9, 0.6), "better"), ((0.6, 0.9), "worse"), ((0.7, 0.7), "no difference shown")]
)
def test_the_tables_say_what_the_runs_came_to(
    qualities: tuple[float, float], verdict: str, configuration: Callable[..., Path], tmp_path: Path
) -> None:
    path = configuration(seeds=[1, 2, 3])
    study = read_study(path)
    for run in study.runs():
        write_result(path, run, dict(zip(("TIN + basic", "control"), qualities, strict=True))[run.row])
    assert cli.main(["study", str(path), "--report_only"]) == 0
    page = (tmp_path / "docs" / "page.md").read_text()
    found = tables(page)
    asked = found["against control"]
    assert list(asked) == ["TIN + basic"] and asked["TIN + basic"]["verdict |"].rstrip(" |") == verdict
    p_holm = float(asked["TIN + basic"]["p, Holm"].removeprefix("< "))
    assert (p_holm < 0.05) == (verdict != "no difference shown")
    others = found["against TIN + basic"]
    opposite = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    assert list(others) == ["control", "own parses"] and others["control"]["verdict |"].rstrip(" |") == opposite
    scores = [micro_f1(counts_of(path, seed)) for seed in (1, 2, 3)]
    shown = f"{100 * np.mean(scores):.2f} ± {100 * np.std(scores, ddof=1):.2f}"
    rows = found["row"]
    assert rows["TIN + basic"] | {"test F1": shown, "seeds": "1, 2, 3"} == rows["TIN + basic"]
    assert rows["own parses"]["test F1"] != shown and rows["own parses"]["dev F1"] == rows["TIN + basic"]["dev F1"]
    assert rows["control"]["parameters"] == "1.50 M" and rows["control"]["seconds a step"] == "0.250"
    plot = (tmp_path / "docs" / "images" / "page-toy.svg").read_text()
    assert f"Mean and standard deviation, in percent: TIN + basic {shown}" in plot
    assert "prefers-color-scheme: dark" in plot and not any(colour in plot for colour in COLOURS)


def counts_of(path: Path, seed: int) -> Any:
    study = read_study(path)
    return from_text(read_results(study)[f"toy/tin-basic-seed{seed}"]["study"]["counts"]["test"])


def test_the_report_needs_no_predictions(configuration: Callable[..., Path], tmp_path: Path) -> None:
    """Results alone give the same p-values again; a missing seed is left out on both sides."""
    path = configuration(seeds=[1, 2, 3])
    study = read_study(path)
    for run in study.runs():
        if (run.row, run.seed) != ("control", 2):
            write_result(path, run, 0.7)
            for file in study.folder(run).iterdir():
                file.unlink()
    write_report(study, path, 199)
    page = study.page.read_text()
    write_report(study, path, 199)
    assert study.page.read_text() == page
    assert tables(page)["row"]["control"]["seeds"] == "1, 3"
    assert tables(page)["against control"]["TIN + basic"]["p, seeds"] != "not measured"


def test_one_line_is_replaced_and_the_others_stay(configuration: Callable[..., Path]) -> None:
    path = configuration(seeds=[1, 2])
    study = read_study(path)
    for run in reversed(study.runs()):
        write_result(path, run, 0.5)
    before = read_results(study)
    assert list(json.loads(line)["name"] for line in study.results.read_text().splitlines()) == sorted(before)
    changed = study.runs()[0]
    write_result(path, changed, 0.9)
    after = read_results(study)
    assert after.pop(changed.name) != before.pop(changed.name) and after == before
    other = read_study(configuration(seeds=[3]))  # lines of runs that it does not ask for stay too
    write_result(path, other.runs()[0], 0.5)
    assert len(study.results.read_text().splitlines()) == 5


def test_nothing_measured_is_said_to_be_so(configuration: Callable[..., Path], tmp_path: Path) -> None:
    assert cli.main(["study", str(configuration()), "--report_only"]) == 0
    page = (tmp_path / "docs" / "page.md").read_text()
    assert "Not measured: TIN + basic; control; own parses." in page and "svg" not in page


def test_the_rest_of_the_page_stays(configuration: Callable[..., Path], tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("# Mine\n\n<!-- study:begin -->\nbefore this\n<!-- study:end -->\n\n<b>My</b> own words.\n")
    write_report(read_study(configuration()), Path("study.yaml"))
    text = page.read_text()
    assert text.startswith("# Mine\n") and text.endswith("own words.\n") and "before this" not in text


# --- configurations ---------------------------------------------------------------------------------------


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown block": ({"row": {}}, "unknown block 'row'; choose from: base, rows"),
    "no rows": ({"rows": {}}, "rows is {}"),
    "rows as a list": ({"rows": ["a"]}, "rows is ['a']; expected `name: value` lines"),
    "seeds twice": ({"seeds": [1, 1]}, "expected a list of different whole numbers"),
    "no seeds": ({"seeds": 42}, "seeds is 42"),
    "same file name": ({"rows": {"a b": {}, "A-B": {}}}, "row 'a b': its file name would be 'a-b'"),
    "heads of no row": ({"rows": {"a": {"without_heads_of": "b"}}}, "names a row that is trained, not 'b'"),
    "unknown row of a data set": ({"datasets": {"toy": {"rows": ["x"]}}}, "datasets: toy: there is no row 'x'"),
    "source row left out": ({"datasets": {"toy": {"rows": ["own parses"]}}}, "needs row 'TIN + basic'"),
    "unknown row of a question": (
        {"questions": [{"rows": ["x"], "against": "control"}]},
        "questions: there is no row 'x'",
    ),
    "question against nothing": ({"questions": [{"rows": ["control"]}]}, "'against' is missing"),
    "unknown argument": (
        {"rows": {"a": {"lerning_rate": 1}}, "questions": []},
        "toy/a-seed3: unknown key 'lerning_rate'",
    ),
    "no test": (
        {"base": {"encoder_name_or_path": "e", "train_file": "a", "validation_file": "b", "do_train": True}},
        "toy/tin-basic-seed3: a study compares figures of test: give do_train and do_predict",
    ),
    "no data": ({"datasets": {"absent": None}}, "absent/train.jsonl; prepare the data first"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_clear_line(
    case: str, configuration: Callable[..., Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, message = WRONG[case]
    monkeypatch.setattr(subprocess, "Popen", no_process)
    assert cli.main(["study", str(configuration(**changes))]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error


def test_errors_of_files(
    configuration: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", str(tmp_path / "absent.yaml")]) == 2
    (tmp_path / "bad.yaml").write_text("a: [1")
    assert cli.main(["study", str(tmp_path / "bad.yaml")]) == 2
    path = configuration()
    assert cli.main(["study", str(path), "--only", "nothing"]) == 2
    study = read_study(path)
    write_result(path, study.runs()[0], 0.5)
    assert cli.main(["study", str(configuration(base={**study.base, "num_train_epochs": 3})), "--report_only"]) == 2
    study.results.write_text("{}")
    assert cli.main(["study", str(path), "--report_only"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "no such configuration of a study" in lines[0] and "bad.yaml: not YAML" in lines[1]
    assert "--only nothing: no run's name contains it; such as toy/tin-basic-seed3" in lines[2]
    assert "toy/tin-basic-seed3 was run with num_train_epochs 2, other than now; delete its line" in lines[3]
    assert "results.jsonl:1: no results of a run" in lines[4]


def test_predictions_of_another_run_are_refused(configuration: Callable[..., Path]) -> None:
    path = configuration()
    study = read_study(path)
    run = study.runs()[0]
    write_result(path, run, 0.5)
    records = read_records(study.folder(run) / "predictions_test.jsonl")
    write_records(study.folder(run) / "predictions_test.jsonl", [{**r, "predicted_triplets": []} for r in records])
    with pytest.raises(ValueError, match=r"predictions_test\.jsonl: F1 is 0\.0, not the run's"):
        collect(study, run, CONDITIONS)


def test_text_of_counts() -> None:
    counts = np.array([[1, 2, 3], [0, 11, 4]])
    assert to_text(counts) == {"correct": "1 0", "predicted": "2 11", "gold": "3 4"}
    np.testing.assert_array_equal(from_text(to_text(counts)), counts)


def test_a_configuration_may_extend_another(configuration: Callable[..., Path], tmp_path: Path) -> None:
    first = read_study(configuration())
    (tmp_path / "other.yaml").write_text("extends: study.yaml\nbase: {bf16: true}\nseeds: [8]\n")
    other = read_study(tmp_path / "other.yaml")
    assert other.base == {**first.base, "bf16": True} and other.seeds == [8] and other.rows == first.rows


def test_without_questions_all_rows_are_tested_against_the_first(configuration: Callable[..., Path]) -> None:
    study = read_study(configuration(questions=None))
    assert study.questions == [Question("TIN + basic", ["control", "own parses"])]


def test_slug() -> None:
    assert slug("TIN + enhanced SemGCN, 8 heads:") == "tin-enhanced-semgcn-8-heads"


@pytest.mark.parametrize("name", ["study", "study_base"])
def test_shipped_configurations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their arguments are such as run_aste.py takes."""
    study = read_study(ROOT / "configs" / f"{name}.yaml")
    monkeypatch.chdir(tmp_path)
    for run in study.runs():
        for file in ("train_file", "validation_file", "test_file"):
            Path(run.arguments[file]).parent.mkdir(parents=True, exist_ok=True)
            Path(run.arguments[file]).touch()
    known = [replace(run, arguments={**run.arguments, "bf16": False}) for run in study.runs()]  # True wants a GPU
    check_runs(known)
    assert len(study.seeds) >= 3 and set(study.datasets) == {"14res", "14lap", "15res"}
    assert study.rows["control: encoder and span heads only"] == {"fusion_type": "none"}
