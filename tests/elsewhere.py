"""Runs code in a fresh process where this package cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Refuses this package and its modules should they be installed.
REFUSE = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "d2e2s" or (path is None and name.endswith("_d2e2s")):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Refuse())
import torch
from transformers.utils import logging

torch.set_num_threads(1)
logging.disable_progress_bar()
"""
AFTER = """
assert not [name for name in sys.modules if name.split(".")[0] == "d2e2s"]
"""


def run_elsewhere(code: str, folder: Path, *arguments: str, **environment: str) -> str:
    """What `code` prints. Its working folder is `folder`, its caches lie there, and it is offline unless told.

    `sys.argv[1:]` are the arguments; the environment is ours with `environment` on top.
    """
    caches = {name: str(folder / "cache") for name in ("HF_HOME", "HF_MODULES_CACHE")}
    settings = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **caches, **environment}
    command = [sys.executable, "-I", "-c", REFUSE + code + AFTER, *arguments]
    options = {"cwd": folder, "env": {**os.environ, **settings}, "capture_output": True, "text": True}
    done = subprocess.run(command, timeout=600, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
