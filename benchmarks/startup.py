"""How soon the console command answers, against the import of the libraries that the other commands need.

    python -m benchmarks.startup --out results/startup.json

writes and prints the ratio of the median times of `d2e2s --help` and of `python -c "import torch, transformers"`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from d2e2s.data_scripts.files import write_json

from .timing import command_line, environment, interleaved, ratio

COMMANDS = {
    "help": [sys.executable, "-m", "d2e2s.cli", "--help"],
    "import": [sys.executable, "-c", "import torch, transformers"],
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    cpu = torch.device("cpu")
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
    seconds = interleaved({name: [partial(run, words)] for name, words in COMMANDS.items()}, options.rounds, cpu)
    result = {
        "command": command_line(),
        "environment": environment(cpu),
        "seconds": seconds,
        **ratio(seconds["help"], seconds["import"]),
    }
    write_json(options.out, result)
    print(f"d2e2s --help: {result['ratio']:.3f} of the time of: import torch, transformers")


if __name__ == "__main__":
    main()
