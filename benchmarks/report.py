"""Results as JSON files, and tables of them in pages of the docs: what every benchmark writes with."""

from __future__ import annotations

from pathlib import Path

from d2e2s.data_scripts.files import write_json as write_json
from d2e2s.reporting.markdown import markdown_table as markdown_table
from d2e2s.reporting.markdown import write_between_marks


def show(text: str, page: Path | None, name: str) -> None:
    """Print a table, and put it between the marks of that name if a page is given."""
    print(text)
    if page:
        write_between_marks(page, name, text)
