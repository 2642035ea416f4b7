"""Results as JSON files, and tables of them in pages of the docs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def write_between_marks(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's lines `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        ValueError: the page has no such lines.
    """
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not pattern.search(old):
        raise ValueError(f"{page}: no line {begin.strip()} followed by {end}")
    page.write_text(pattern.sub(lambda _: begin + text + end, old), encoding="utf-8")
