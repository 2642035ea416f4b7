"""The console command `d2e2s`: one registry of sub-commands, each imported only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

# name: (module with `main(argv) -> exit code`, what it does)
COMMANDS = {
    "train": ("d2e2s.train", "train and score a model: d2e2s train CONFIG.yaml ... [--argument value ...]"),
    "ratings": ("d2e2s.ratings", "let an encoder learn ratings of texts first: d2e2s ratings FILE --output_dir DIR"),
    "predict": ("d2e2s.predict", "triplets of raw text: d2e2s predict TEXT|FILE [--model DIR] [--out FILE]"),
    "card": ("d2e2s.card", "write the model card of a run: d2e2s card DIR [--name ORG/NAME] [--seeds DIR ...]"),
    "push": ("d2e2s.hub", "push a run, data or the metric to the Hub: d2e2s push DIR ORG/NAME [--private]"),
    "study": ("d2e2s.study", "compare ways of training, with tests: d2e2s study STUDY.yaml [--workers N]"),
    "search": ("d2e2s.search", "search for better arguments on dev: d2e2s search SEARCH.yaml [--trials N]"),
    "report": ("d2e2s.report", "a run as one HTML page: d2e2s report RUN --out FILE.html"),
    "compare": ("d2e2s.compare", "several runs side by side: d2e2s compare RUN ... [--out FILE.html|.md|.json]"),
    "demo": ("d2e2s.demo.app", "try a checkpoint in the browser: d2e2s demo [--model DIR] [--port N]"),
}
# Commands that need an extra of the package, and which.
EXTRAS = {"study": "study", "search": "search", "report": "report", "compare": "report", "demo": "demo"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; 2 if there is none of that name."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] not in COMMANDS:
        print(f"error: unknown command {words[0]!r}; choose from: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        module = import_module(COMMANDS[words[0]][0])
    except ModuleNotFoundError as error:
        if words[0] not in EXTRAS:
            raise
        install = f'pip install "d2e2s[{EXTRAS[words[0]]}]"'
        print(f"error: d2e2s {words[0]} needs {error.name}: {install}", file=sys.stderr)
        return 2
    return int(module.main(words[1:]))


def usage() -> str:
    lines = [f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: d2e2s COMMAND [arguments]", "", "commands:", *lines])


if __name__ == "__main__":
    sys.exit(main())
