"""The console command `d2e2s`: one registry of sub-commands, each imported only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

# name: (module with `main(argv) -> exit code`, what it does)
COMMANDS = {
    "train": ("d2e2s.train", "train and score a model: d2e2s train CONFIG.yaml [--argument value ...]"),
    "predict": ("d2e2s.predict", "triplets of raw text: d2e2s predict TEXT|FILE [--model DIR] [--out FILE]"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; 2 if there is none of that name."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] not in COMMANDS:
        print(f"error: unknown command {words[0]!r}; choose from: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[words[0]]
    return int(import_module(module).main(words[1:]))


def usage() -> str:
    lines = [f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: d2e2s COMMAND [arguments]", "", "commands:", *lines])


if __name__ == "__main__":
    sys.exit(main())
