"""A run that is cut off: what it leaves is whole, and what goes on from it ends bit for bit where it would have."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tiny_runs import command, launch, main, make_trainer, state_of, write_data
from transformers.trainer_callback import TrainerCallback

from d2e2s.checkpoints import (
    SUMS,
    CheckpointError,
    all_or_nothing,
    check,
    check_whole,
    check_writable,
    last_whole,
    reading,
    seal,
    staged,
    writing,
)
from d2e2s.training.steps import DivergedError
from d2e2s.training.trainer import TripletTrainer

# Checkpoints in the middle of epochs; a seed that the tests on the data do not share.
OFTEN = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "steps", "eval_steps": 3, "seed": 5}
STEPS = 16  # 32 sentences, 4 a step, 2 epochs

# Runs the rest of its arguments, and kills itself: at a step, or half way through the optimiser's file of a checkpoint.
KILLED = """
import os, signal, sys
import torch
from tiny_runs import main
from d2e2s.training.trainer import TripletTrainer

place, number = sys.argv[1], int(sys.argv[2])
step, save = TripletTrainer.training_step, torch.save

def killed_step(self, *args, **kwargs):
    if place == "step" and self.state.global_step == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)

def killed_save(value, path, *args, **kwargs):
    save(value, path, *args, **kwargs)
    if place == "writing" and str(path).endswith(f"checkpoint-{number}/optimizer.pt"):
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

TripletTrainer.training_step, torch.save = killed_step, killed_save
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=32, dev=9, test=5)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of the run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(command(data, folder, **OFTEN)) == 0
    return folder


def assert_same_end(folder: Path, whole: Path) -> None:
    """Weights and what dev decided bit for bit, and the same course on the way."""
    for name in ("model.safetensors", "config.json", "predictions_dev.jsonl", "predictions_test.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    mine, expected = state_of(folder), state_of(whole)
    for state in (mine, expected):
        state["best_model_checkpoint"] = Path(state["best_model_checkpoint"]).name
    assert mine == expected


# --- killed, and resumed ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_kills_change_nothing(data: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SIGKILL at a random step, and again while a checkpoint is written: that one is passed over, and it is said."""
    out, step = tmp_path / "out", random.SystemRandom().randrange(4, 9)
    words = command(data, out, **OFTEN)
    launch("-c", KILLED, "step", str(step), *words, code=-9)
    first = last_whole(out)
    assert first == str(out / f"checkpoint-{step // 3 * 3}"), step
    launch("-c", KILLED, "writing", "12", *words, "--resume_from_checkpoint=true", code=-9)
    assert (out / "checkpoint-12" / "optimizer.pt").is_file()
    caplog.clear()
    assert main([*words, "--resume_from_checkpoint=true"]) == 0
    said = [record.message for record in caplog.records if record.name == "d2e2s"]
    assert f"passed over: {out}/checkpoint-12: was not finished: its run ended while it was being written" in said
    assert f"going on from {out}/checkpoint-9" in said
    assert_same_end(out, whole)


@contextmanager
def interrupted(name: str, when: Callable[[TripletTrainer], bool]) -> Iterator[None]:
    """A method of the trainer raises KeyboardInterrupt at a moment."""
    method = getattr(TripletTrainer, name)

    def stop(self: TripletTrainer, *args: Any, **kwargs: Any) -> Any:
        if when(self):
            raise KeyboardInterrupt
        return method(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TripletTrainer, name, stop)
        yield


@pytest.mark.slow
def test_a_trainer_goes_on_after_an_interruption(data: Path, tmp_path: Path) -> None:
    """As in a notebook: the weights are those of a run that nothing interrupts, and averaged once."""
    whole = make_trainer(data, tmp_path / "whole", **OFTEN)
    whole.train()
    trainer = make_trainer(data, tmp_path / "out", **OFTEN)
    with interrupted("training_step", lambda trainer: trainer.state.global_step == 7):
        trainer.train()
    assert trainer.averaged is None
    trainer.train(resume_from_checkpoint=True)
    expected = whole.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in trainer.model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patience", "name", "epoch"),
    [(2, "training_step", 2.5), (1, "_load_best_model", 0)],
    ids=["patience used up in part", "out of patience, before the best model is loaded"],
)
def test_early_stopping_is_remembered(patience: int, name: str, epoch: float, data: Path, tmp_path: Path) -> None:
    """Dev never gets better: the run ends after 1 + patience epochs, interrupted or not, and not a step later."""
    still = {"learning_rate": 0, "head_learning_rate": 0, "num_train_epochs": 9, "early_stopping_patience": patience}
    words = command(data, tmp_path / "out", per_device_train_batch_size=16, do_predict=None, **still)
    with interrupted(name, lambda trainer: (trainer.state.epoch or 0) >= epoch):
        main(words)
    assert main([*words, "--resume_from_checkpoint=true"]) == 0
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == 2 * (1 + patience)


def test_resuming_without_a_whole_checkpoint(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = tmp_path / "out" / "checkpoint-3"
    part.mkdir(parents=True)
    (part / "trainer_state.json").write_text("{}")
    words = command(data, tmp_path / "out")
    assert main([*words, "--resume_from_checkpoint=true"]) == 2
    assert "there is no checkpoint to resume from" in capsys.readouterr().err.splitlines()[-1]
    assert main([*words, f"--resume_from_checkpoint={part}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {part}: was not finished")
    assert part.is_dir()


# --- a disk that is full, a folder that cannot be written -------------------------------------------------


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: writes fail as on a full disk, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["model.safetensors", "optimizer.pt"])
def test_full_disk_costs_a_checkpoint_and_not_the_run(
    lacking: str, data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "out", command(data, tmp_path / "out", **OFTEN)
    files = next(whole.glob("checkpoint-*"))
    save, room = TripletTrainer._save_checkpoint, (files / lacking).stat().st_size - 1

    def with_little_room(self: TripletTrainer, *args: Any) -> None:
        with file_limit(room if self.state.global_step == 6 else 1 << 30):
            save(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TripletTrainer, "_save_checkpoint", with_little_room)
        assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "checkpoint-6: cannot be written, is there room on the disk?" in error
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-3"]
    check_whole(out / "checkpoint-3")
    if lacking == "optimizer.pt":
        assert main([*words, "--resume_from_checkpoint=true"]) == 0
        assert_same_end(out, whole)


def test_full_disk_leaves_the_model_that_stood_there(data: Path, whole: Path, tmp_path: Path) -> None:
    old = tmp_path / "out"
    shutil.copytree(whole, old)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    trainer = make_trainer(data, old)
    with file_limit(1000), pytest.raises(OSError, match="cannot be written, is there room on the disk"):
        trainer.save_model()
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    trainer.save_model()
    assert (old / "model.safetensors").read_bytes() != before[old / "model.safetensors"]
    assert check(old) == ["model.safetensors"]


def test_folder_that_cannot_be_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before the training, whoever asks: no one makes a file below a file, or in /proc."""
    (tmp_path / "file").write_text("")
    folders = [tmp_path / "file" / "out", *([Path("/proc/self")] if Path("/proc/self").is_dir() else [])]
    for folder in folders:
        assert main(command(data, folder)) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"error: {folder}: cannot be written")
    check_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


# --- nothing but tensors is loaded ------------------------------------------------------------------------


class Payload:
    """What runs if anything unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def poisoned(whole: Path, folder: Path, name: str, trace: Path) -> Path:
    """A checkpoint whose file of this name holds more than tensors, with checksums that fit."""
    checkpoint = shutil.copytree(max(whole.glob("checkpoint-*")), folder / name)
    torch.save({"state": Payload(trace)}, checkpoint / name)
    seal(checkpoint)
    return checkpoint


def test_no_code_of_a_checkpoint_runs(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, trainer = tmp_path / "trace", make_trainer(data, tmp_path / "out")
    trainer.create_optimizer_and_scheduler(1)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu")
    for name, load in (
        ("optimizer.pt", trainer._load_optimizer_and_scheduler),
        ("scheduler.pt", trainer._load_optimizer_and_scheduler),
        ("rng_state.pth", trainer._load_rng_state),
        ("scaler.pt", trainer._load_scaler),
    ):
        checkpoint = poisoned(whole, tmp_path, name, trace)
        with pytest.raises(CheckpointError, match="holds a file that is damaged or is more than tensors"):
            load(str(checkpoint))
        assert not trace.exists(), name
    assert main(command(data, tmp_path / "out", **OFTEN, resume_from_checkpoint=tmp_path / "optimizer.pt")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}/optimizer.pt: holds a file")
    assert not trace.exists()
    torch.load(tmp_path / "optimizer.pt" / "optimizer.pt", weights_only=False)
    assert trace.exists()  # the payload is a real one


def test_scaler_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    trainer = make_trainer(data, tmp_path / "out")
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    trainer.accelerator.scaler.scale(torch.ones(1))
    trainer._save_scaler(str(tmp_path))
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu")
    trainer._load_scaler(str(tmp_path))
    assert trainer.accelerator.scaler.state_dict()["scale"] == 64.0
    trainer.accelerator.scaler = None
    with pytest.raises(CheckpointError, match="resume it with --fp16"):
        trainer._load_scaler(str(tmp_path))


@pytest.mark.slow
def test_every_pickle_is_read_as_tensors_only(data: Path, whole: Path, tmp_path: Path) -> None:
    out, load, seen = tmp_path / "out", torch.load, []

    def recorded(path: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((Path(path).name, kwargs.get("weights_only")))
        return load(path, *args, **kwargs)

    shutil.copytree(whole, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", recorded)
        assert main(command(data, out, **OFTEN, resume_from_checkpoint=min(out.glob("checkpoint-*")))) == 0
    assert set(seen) == {(name, True) for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")}


def test_weights_of_another_model_are_not_resumed(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = max(whole.glob("checkpoint-*"))
    for extra, said in (({"head_size": 24}, "size mismatch"), ({"fusion_type": "tin"}, "weights do not fit")):
        words = command(data, tmp_path / "out", **{**OFTEN, **extra}, resume_from_checkpoint=checkpoint)
        assert main(words) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


# --- a loss that is no number -----------------------------------------------------------------------------


def test_diverged_loss_names_the_sentences(data: Path, tmp_path: Path) -> None:
    trainer = make_trainer(data, tmp_path / "out", token_mask_rate=0)
    forward, batches = trainer.model.forward, []

    def diverge(**inputs: Any) -> Any:
        output = forward(**inputs)
        batches.append(inputs["input_ids"])
        if trainer.state.global_step == 1:
            output.loss = output.loss * float("inf")
        return output

    trainer.model.forward = diverge
    with pytest.raises(DivergedError, match=r"^loss is (inf|nan) at step 2: .*; sentences of the step: ") as raised:
        trainer.train()
    ids = str(raised.value).rpartition(": ")[2].split(", ")
    texts = {row["id"]: tuple(row["input_ids"]) for row in trainer.train_dataset}
    assert [texts[key] for key in ids] == [tuple(row[row != 0].tolist()) for row in batches[1]]


def test_diverged_gradient_stops_before_the_weights_are_spoiled(data: Path, tmp_path: Path) -> None:
    trainer = make_trainer(data, tmp_path / "out")

    class Spoil(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            weight = trainer.model.span_scorer.output.weight
            weight.register_hook(lambda gradient: gradient * float("nan"))

    trainer.add_callback(Spoil())
    with pytest.raises(DivergedError, match=r"^norm of the gradient is nan at step 1: .*sentences of the step: \S+"):
        trainer.train()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


# --- checksums and folders --------------------------------------------------------------------------------


def checkpoint_at(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    seal(checkpoint)
    return checkpoint


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    checkpoint = checkpoint_at(tmp_path, 1)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert f"{digest}  model.safetensors\n" in (checkpoint / SUMS).read_text().splitlines(keepends=True)
    assert check(checkpoint) == ["model.safetensors", "trainer_state.json"]
    assert check(tmp_path) == []


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda path: os.truncate(path / "model.safetensors", 3), "damaged or changed since"),
    "a byte changed": (lambda path: (path / "model.safetensors").write_bytes(b"Weights"), "damaged or changed since"),
    "empty": (lambda path: (path / "model.safetensors").write_bytes(b""), "damaged or changed since"),
    "missing": (lambda path: (path / "model.safetensors").unlink(), "missing, though SHA256SUMS lists it"),
    "not sealed": (lambda path: (path / SUMS).unlink(), "was not finished"),
    "sealed too early": (lambda path: seal(path, "*.safetensors"), "was not finished"),
    "no checksums": (lambda path: (path / SUMS).write_bytes(b"\xff\xfe\n"), "SHA256SUMS:1: no checksum and name"),
    "a file elsewhere": (lambda path: (path / SUMS).write_text("0  ../x\n"), "SHA256SUMS:1: no checksum and name"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_passed_over(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    change, message = DAMAGE[damage]
    older, newer = checkpoint_at(tmp_path, 8), checkpoint_at(tmp_path, 10)  # 10 is newer, whatever its name's order
    assert last_whole(tmp_path) == str(newer)
    change(newer)
    with caplog.at_level(logging.WARNING, "d2e2s"):
        assert last_whole(tmp_path) == str(older)
    assert message in caplog.text
    shutil.rmtree(older)
    assert last_whole(tmp_path) is None


def test_new_files_come_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_text("old")
    (tmp_path / "model.safetensors.index.json").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".writing-left").mkdir()
    with staged(tmp_path) as new:
        (new / "model.safetensors").write_text("new")
        (new / "part").mkdir()
        (new / "part" / "file").write_text("new")
        assert not (tmp_path / "model.safetensors").exists()
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"model.safetensors", "part/file", "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "part", "notes.txt"}


def test_errors_of_the_libraries_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="^out: the weights are damaged: header too small"), reading("out"):
        raise SafetensorError("header too small")
    for error in (RuntimeError("size mismatch"), EOFError("no more")):
        with (
            pytest.raises(CheckpointError, match=f"^out: cannot be loaded, or does not fit .*: {error}"),
            reading("out"),
        ):
            raise error
    with pytest.raises(CheckpointError, match="more than tensors"), reading("out"):
        raise pickle.UnpicklingError
    with pytest.raises(OSError, match="cannot be written"), writing(tmp_path):
        raise RuntimeError("PytorchStreamWriter failed")
    with pytest.raises(OSError, match="cannot be written"), all_or_nothing(tmp_path / "a", True):
        (tmp_path / "a").mkdir()
        raise OSError(28, "No space left on device")
    assert not (tmp_path / "a").exists()
