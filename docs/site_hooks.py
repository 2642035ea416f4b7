"""What makes the site of more than `docs/`: pages that lie elsewhere, the notebook, sources for the reference.

`mkdocs` calls the `on_*` functions.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "build" / "site_sources" / "d2e2s"
NOTEBOOK = "notebooks/quickstart.ipynb"
# Page of the site: where its text lies.
ELSEWHERE = {
    "index.md": "README.md",
    "notebook.md": NOTEBOOK,
    "data.md": "data_scripts/README.md",
    "sample_corpus.md": "data_scripts/sample_corpus/README.md",
    "metric.md": "metrics/aste/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
PAGES = {source: page for page, source in ELSEWHERE.items()}
REFERENCE = re.compile(r"\[(`[\w.]+`)\](?!\()")  # how docstrings of transformers name a class
METADATA = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # the block that the Hub reads
LINK = re.compile(r"(?<!`)(!?\[[^\]]*\])\(([^)\s#]+)(#[^)]*)?\)")


def on_startup(**kwargs: Any) -> None:
    """Lay the package out as it is imported, the root files beside the others: the reference is read, not imported."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    for source, place in (("d2e2s", "."), ("data_scripts", "data_scripts"), ("metrics", "metrics")):
        shutil.copytree(ROOT / source, SOURCES / place, ignore=shutil.ignore_patterns("__pycache__", "reviews-en"))
    for path in ROOT.glob("*_d2e2s.py"):
        shutil.copy(path, SOURCES)
    for path in SOURCES.rglob("*.py"):
        path.write_text(REFERENCE.sub(r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere."""
    for page, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = notebook_page(json.loads(text)) if source == NOTEBOOK else METADATA.sub("", text)
        files.append(File.generated(config, page, content=site_links(text, Path(source).parent)))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Links of the pages in `docs/` to what lies outside it."""
    return markdown if page.file.src_uri in ELSEWHERE else site_links(markdown, Path("docs"))


def site_links(text: str, folder: Path) -> str:
    """Links from a file in `folder` of the repository as links of the site; what is no page of it stays as text."""

    def replaced(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target:
            return match[0]
        path = os.path.normpath(folder / target)
        page = PAGES.get(path)
        if page is None and path.startswith("docs/") and (ROOT / path).is_file():
            page = path.removeprefix("docs/")
        return f"{label}({page}{anchor})" if page else label.strip("![]")

    return LINK.sub(replaced, text)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Cells of a notebook as Markdown, with the printed output that is saved in it."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        printed = "".join("".join(output.get("text", "")) for output in cell.get("outputs", []))
        if printed.strip():
            parts.append(f"```\n{printed.strip()}\n```")
    return "\n\n".join(parts)
