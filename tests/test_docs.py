"""The documentation: site, notebook, drawings, and the files that people and tools look for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hub_double import running
from nbclient import NotebookClient

import d2e2s
from d2e2s.fusion_d2e2s import FUSIONS

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("metrics/*/README.md")]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_site_has_every_page(site: Path) -> None:
    pages = {page.stem for page in ROOT.glob("docs/*.md")}
    pages |= {"notebook", "data", "sample_corpus", "metric", "contributing", "changelog"}
    built = {page.parent.name for page in site.glob("*/index.html")}
    assert pages <= built
    navigation = (site / "index.html").read_text(encoding="utf-8")
    assert [page for page in sorted(pages) if f'href="{page}/"' not in navigation] == [], "not in nav of mkdocs.yml"


@pytest.mark.slow
def test_reference_holds_the_public_classes(site: Path) -> None:
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name in d2e2s.__all__:
        assert re.search(rf'id="d2e2s\.[\w.]+\.{name}"', text), name
    assert "fusion_type" in text and "decision_threshold" in text


@pytest.mark.slow
def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]*\ssrc=["']?https?://|<link[^>]*stylesheet[^>]*href=["']?https?://"""
    )
    for page in site.rglob("*.html"):
        assert not loaded.search(page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert ":" in target or (page.parent / target).exists(), target


def test_ci_runs_every_block_of_the_readme_that_is_marked() -> None:
    """`train-python` by the test below, which the block `tests` runs."""
    marked = re.findall(r"<!-- ci: (\S+) -->", (ROOT / "README.md").read_text(encoding="utf-8"))
    marked.remove("train-python")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert len(marked) > 3 and f"for name in {' '.join(sorted(marked))}; do readme" in script
    assert all(f'"$work/{name}"' in script.partition("done")[2] for name in marked)


@pytest.mark.parametrize("fusion", [*FUSIONS, "none"])
def test_each_fusion_has_a_drawing_on_the_page(fusion: str) -> None:
    assert f"images/fusion_{fusion}.svg" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert (IMAGES / f"fusion_{fusion}.svg").is_file()


@pytest.mark.parametrize("image", sorted(IMAGES.glob("*.svg")), ids=lambda image: image.stem)
def test_drawings_say_what_they_show_in_light_and_dark(image: Path) -> None:
    root = ElementTree.parse(image).getroot()
    assert root.find(f"{SVG}title") is not None and root.find(f"{SVG}desc") is not None
    assert "prefers-color-scheme: dark" in image.read_text(encoding="utf-8")


@pytest.mark.parametrize("image", sorted(IMAGES.glob("fusion_*.svg")), ids=lambda image: image.stem)
def test_boxes_of_a_drawing_do_not_overlap(image: Path) -> None:
    boxes = [
        [float(box.attrib[name]) for name in ("x", "y", "width", "height")]
        for box in ElementTree.parse(image).getroot().iter(f"{SVG}rect")
        if "box" in box.attrib["class"]
    ]
    for number, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[number + 1 :]:
            assert x + width < left or left + wide < x or y + height < top or top + high < y


def readme_block(name: str) -> str:
    """What stands in README's fenced block after the line `<!-- ci: NAME -->`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.split(f"<!-- ci: {name} -->\n```")[1].partition("\n")[2].partition("```")[0]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_readme_trains_in_python_and_pushes(tmp_path: Path) -> None:
    """As written, in a folder that has the sample corpus where the repository has it; the Hub is the double."""
    (tmp_path / "data_scripts").symlink_to(ROOT / "data_scripts")
    with running() as double:
        settings = {**os.environ, **double.environment, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", readme_block("train-python")]
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = float(done.stdout.split()[-1])
    results = json.loads((tmp_path / "outputs" / "my-model" / "all_results.json").read_text(encoding="utf-8"))
    assert results["test_triplet_f1"] == printed > 0.5
    pushed = double.repositories["models", "someone/my-model"].files
    assert {"README.md", "SHA256SUMS", "all_results.json", "model.safetensors", "modeling_d2e2s.py"} <= set(pushed)
    assert f"{100 * printed:.2f}" in pushed["README.md"].decode()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_notebook_runs_from_zero_to_triplets() -> None:
    """It trains for a minute or two."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert "POS" in _printed(notebook) and "service" in _printed(notebook)


def test_notebook_is_valid_and_shows_what_came_out() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "service      [27, 34)  slow         NEG" in _printed(notebook)
    assert "F1 on test" not in _printed(notebook), "figures of a run that nobody can look up"


def _printed(notebook: Any) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def test_citation_names_the_papers_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == d2e2s.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    papers = [citation["preferred-citation"], *citation["references"]]
    assert [paper["authors"][0]["family-names"] for paper in papers] == ["Zhao", "Peng", "Xu"]


def test_changelog_has_this_version() -> None:
    assert f"## {d2e2s.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
