"""How soon there is help, and a first answer, in Python and by the command, against the import of the libraries.

    python -m benchmarks.startup --out results/startup.json

writes and prints the ratio of each one's median time to that of `python -c "import torch, transformers"`; every time is
that of a process of its own, from its start to its end, on a CPU.
"""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from .report import option_parser, write_json
from .timing import CPU, about, interleaved, ratio

REVIEW = "The food was great but the service was slow."
ANSWER = f"from d2e2s import load_pipeline; print(load_pipeline(device='cpu')({REVIEW!r}))"
COMMANDS = {
    "help": [sys.executable, "-m", "d2e2s.cli", "--help"],
    "python": [sys.executable, "-c", ANSWER],
    "command": [sys.executable, "-m", "d2e2s.cli", "predict", REVIEW, "--device", "cpu"],
    "import": [sys.executable, "-c", "import torch, transformers"],
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, page=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    seconds = interleaved({name: [partial(run, words)] for name, words in COMMANDS.items()}, options.rounds, CPU)
    ratios = {name: ratio(seconds[name], seconds["import"]) for name in COMMANDS if name != "import"}
    write_json(options.out, {**about(), "seconds": seconds, "ratios": ratios})
    for name, found in ratios.items():
        print(f"{name}: {found['ratio']:.3f} of the time of: import torch, transformers")


if __name__ == "__main__":
    main()
