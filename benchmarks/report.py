"""Results as JSON files, and tables of them in pages of the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from d2e2s.reporting.markdown import markdown_table as markdown_table
from d2e2s.reporting.markdown import write_between_marks as write_between_marks


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
