"""The console command: quick to answer, one line for a person's mistake, a traceback for a bug."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_checkpoint

from d2e2s import cli
from d2e2s.errors import UserError

ROOT = Path(__file__).parents[1]
BUGS = (ValueError, KeyError, TypeError)
# Where each stage of a prediction does its work.
STAGES = {
    "model": "d2e2s.modeling_d2e2s.D2E2SForTripletExtraction.forward",
    "decoder": "d2e2s.modeling_d2e2s.decode",
    "writer": "d2e2s.prediction.writers._write_jsonl",
}
ANSWERED = """
import sys
from d2e2s.cli import main

try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(code, sorted({"torch", "transformers", "datasets"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


def plant(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(place, broken)


@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("", 0), ("--version", 0), ("trian", 2)])
def test_answers_before_it_imports_what_takes_long(words: str, code: int) -> None:
    command = [sys.executable, "-c", ANSWERED, *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == f"{code} []"


def test_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if not re.search(rf"(?m)^    {name}\s", printed)] == []


def test_a_mistyped_command_is_one_line_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: unknown command 'trian', did you mean 'train'?") and line.count("\n") == 1
    assert line.strip().endswith(f"choose from: {', '.join(cli.COMMANDS)}")


def test_arguments_go_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "no_such.yaml"]) == 2
    assert capsys.readouterr().err.strip() == "error: no_such.yaml: no such configuration file"


def test_an_argument_that_no_command_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["card", "folder", "--sedes", "43"])
    assert capsys.readouterr().err.strip().endswith("error: unrecognized arguments: --sedes 43")


@pytest.mark.parametrize("mistake", [UserError("data.csv: no column\n'text'"), FileNotFoundError("no such file")])
def test_a_mistake_is_one_line_and_code_2(
    mistake: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, "d2e2s.reporting.card.run", mistake)
    assert cli.main(["card", "folder"]) == 2
    assert capsys.readouterr().err == f"error: {' '.join(str(mistake).split())}\n"


def test_debug_shows_the_traceback_of_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "d2e2s.reporting.card.run", UserError("no column"))
    with pytest.raises(UserError, match="no column"):
        cli.main(["--debug", "card", "folder"])


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_bug_keeps_its_traceback(
    stage: str, bug: type[Exception], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, STAGES[stage], bug("7 is not in list"))
    reviews = tmp_path / "reviews.jsonl"
    reviews.write_text(json.dumps({"text": "The food was great."}) + "\n")
    with pytest.raises(bug, match="7 is not in list"):
        cli.main(["predict", str(reviews), "--model", str(model), "--out", str(tmp_path / "out.jsonl")])
