"""The console command `d2e2s`: one parser with sub-commands, each imported only when it runs."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from . import __version__
from .errors import is_mistake, refuse


class Command(NamedTuple):
    """A sub-command.

    Attributes:
        module: has `add_arguments(parser)` and `run(options) -> exit code or None`.
        summary: what it does, in a line.
        extra: extra of the package that it needs.
        more: it takes further arguments, `options.more`, which it reads itself.
    """

    module: str
    summary: str
    extra: str | None = None
    more: bool = False


COMMANDS = {
    "train": Command("training.command", "train and score a model: CONFIG.yaml ... [--argument value ...]", more=True),
    "predict": Command("prediction.command", "triplets of raw text: TEXT|FILE|FOLDER [--model DIR] [--out PATH]"),
    "export": Command("backends.export", "the encoder in int8, for predict --backend openvino: REVIEWS [--model DIR]"),
    "summarize": Command("summaries.command", "what people say about what: FILE|FOLDER --out PAGE.html [TABLE.csv]"),
    "card": Command("reporting.card", "write the model card of a run: DIR [--name ORG/NAME] [--seeds DIR ...]"),
    "push": Command("hub", "push a run, data or the metric to the Hub: DIR ORG/NAME [--private]"),
    "study": Command("study.runner", "compare ways of training, with tests: STUDY.yaml [--workers N]", "study"),
    "search": Command("study.search", "search better arguments on dev: SEARCH.yaml [--trials N]", "search", more=True),
    "report": Command("reporting.report", "a run as one HTML page: RUN --out FILE.html", "report"),
    "compare": Command("reporting.compare", "several runs side by side: RUN ... [--out FILE.html|.md]", "report"),
    "serve": Command("serving.command", "answer over HTTP: [--model DIR] [--replicas N] [--port N]", "serve"),
    "demo": Command("demo.app", "try a checkpoint in the browser: [--model DIR] [--port N]", "demo"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command. This is where a person's mistake becomes one line on stderr; a bug keeps its traceback.

    Returns:
        exit code: 2 for a mistake, otherwise what the command says.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        nearest = f", did you mean {close[0]!r}?" if close else ""
        return refuse(ValueError(f"unknown command {name!r}{nearest}; choose from: {', '.join(COMMANDS)}"))
    try:
        module = None if name is None else import_module(f".{COMMANDS[name].module}", __package__)
    except ModuleNotFoundError as error:
        return _without_extra(str(name), error)
    parser = _parser(name, module)
    options, more = parser.parse_known_args(words)
    options.more = more
    if module is None or name is None:
        parser.print_help()
        return 0
    if more and not COMMANDS[name].more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    try:
        return int(module.run(options) or 0)
    except Exception as error:
        if options.debug or not is_mistake(error):
            raise
        return refuse(error)


def _parser(chosen: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    """The parser with all sub-commands, of which the chosen one knows its arguments."""
    parser = argparse.ArgumentParser(
        prog="d2e2s", description="Aspect sentiment triplet extraction.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"d2e2s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of every error (before the command)")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        reads_help_itself = name == "train"
        sub = commands.add_parser(
            name, help=command.summary, allow_abbrev=False, add_help=not reads_help_itself,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        if name == chosen and module is not None:
            sub.description = (module.__doc__ or "").strip()
            module.add_arguments(sub)
    return parser


def _without_extra(name: str, error: ModuleNotFoundError) -> int:
    """What to install for a command, whose extra is not there."""
    extra = COMMANDS[name].extra
    if extra is None:
        raise error
    return refuse(ValueError(f'd2e2s {name} needs {error.name}: pip install "d2e2s[{extra}]"'))


if __name__ == "__main__":
    sys.exit(main())
