"""Whole training runs in a second or two: short sentences of the sample corpus on a tiny random encoder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_models import tiny_encoder
from transformers import set_seed

from d2e2s import cli
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.training.config_files import parse_arguments
from d2e2s.training.run import build_trainer
from d2e2s.training.trainer import TripletTrainer

ROOT = Path(__file__).parents[1]


def main(words: Sequence[str]) -> int:
    """`d2e2s train`, in this process: its exit code."""
    return cli.main(["train", *words])


SAMPLE = ROOT / "data_scripts" / "sample_corpus"
FILES = {"train": "train_file", "dev": "validation_file", "test": "test_file"}


def write_data(folder: Path, **sizes: int) -> Path:
    """The first `sizes[split]` short sentences of each split, and the encoder."""
    for split, size in sizes.items():
        short = [record for record in read_records(SAMPLE / f"{split}.jsonl") if len(record["tokens"]) < 16]
        write_records(folder / f"{split}.jsonl", short[:size])
    tiny_encoder("bert", folder / "encoder")
    return folder


def command(data: Path, output_dir: Path, **extra: Any) -> list[str]:
    """Command line of a run that trains, and scores what the folder has; None takes an argument away."""
    files = {name: data / f"{split}.jsonl" for split, name in FILES.items() if (data / f"{split}.jsonl").is_file()}
    values = {
        "encoder_name_or_path": data / "encoder",
        **files,
        "output_dir": output_dir,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "head_size": 16,
        "parser_size": 16,
        "disable_tqdm": True,
        "use_cpu": True,
        "do_train": True,
        "do_predict": "test_file" in files,
        **extra,
    }
    return [f"--{name}={value}" for name, value in values.items() if value is not None]


def make_trainer(data: Path, output_dir: Path, **extra: Any) -> TripletTrainer:
    """The trainer of such a run, with its training and its dev set."""
    arguments = parse_arguments(command(data, output_dir, **extra))
    set_seed(arguments.training.seed)
    return build_trainer(arguments, {name: read_records(data / f"{name}.jsonl") for name in ("train", "dev")})


def launch(*words: str, seconds: int = 240, code: int = 0) -> str:
    """Run `python words` in the root folder and return what it prints; after the time limit all its processes end."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == code, output[-3000:]
    return output


def state_of(folder: Path) -> dict[str, Any]:
    """`trainer_state.json` without what the clock says."""
    state = json.loads((folder / "trainer_state.json").read_text())
    for entry in state["log_history"]:
        for name in [name for name in entry if name.endswith(("runtime", "per_second", "train_loss"))]:
            del entry[name]
    return state
