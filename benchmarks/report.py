"""What every benchmark has in common: its options, results as JSON files, and tables of them in pages of the docs."""

import argparse
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.files import write_json as write_json
from d2e2s.reporting.markdown import markdown_table as markdown_table
from d2e2s.reporting.markdown import write_between_marks


def option_parser(text: str | None, out: str = "the results, JSON", page: bool = True) -> argparse.ArgumentParser:
    """The options of a program: its module's text as help, where the results go, and, if it has one, its page."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help=out)
    if page:
        parser.add_argument("--page", type=Path, help="also write the tables between the marks of this page")
    return parser


def publish(options: argparse.Namespace, result: dict[str, Any], text: str, name: str) -> None:
    """Write the results to `--out`, settings such as a device by their names, and show the text made of them."""
    write_json(options.out, result, default=str)
    show(text, options.page, name)


def show(text: str, page: Path | None, name: str) -> None:
    """Print a table, and put it between the marks of that name if a page is given."""
    print(text)
    if page:
        write_between_marks(page, name, text)
