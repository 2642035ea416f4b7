"""The house: few rooms, imports that run downwards only, files of a length that can be read."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAVELLING = sorted(ROOT.glob("*_d2e2s.py"))
# Without the code that is put beside the model in the box.
PACKAGE = [path for path in (ROOT / "d2e2s").rglob("*.py") if path.parent.name != "reviews-en"]
BESIDE = [path for room in ("data_scripts", "demo", "metrics") for path in (ROOT / room).rglob("*.py")]
CODE = [*TRAVELLING, *PACKAGE, *BESIDE]
LIBRARIES = {"torch", "transformers", "tokenizers", "huggingface_hub", *sys.stdlib_module_names}
LONGEST = 450
# Of a room, or of a module at the top of the package, from below; what travels with a checkpoint is in 0.
STRATA = {
    **dict.fromkeys(("data_scripts", "metrics"), 1),
    **dict.fromkeys(("errors", "box", "checkpoints", "encoders"), 2),
    **dict.fromkeys(("evaluation", "prediction", "backends", "engines", "serving"), 3),
    **dict.fromkeys(("reporting", "summaries"), 4),
    **dict.fromkeys(("hub", "demo"), 5),  # which push a card, and draw as reports do
    **{"training": 6, "study": 7, "cli": 8},
}


def name_of(path: Path) -> str:
    """As it is imported: `d2e2s.prediction.parts`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in ("d2e2s", *parts[parts[0] == "d2e2s" :]) if part != "__init__")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Full names that a file imports, wherever in it, and how many dots were written before each."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = resolve_name("." * node.level + (node.module or ""), package)
            yield from ((f"{home}.{alias.name}", node.level) for alias in node.names)


def stratum(module: str) -> int:
    return 0 if module.endswith("_d2e2s") else STRATA[module.split(".")[1]]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Module of ours: those that it imports. The package itself, which imports when it is asked, is left out."""
    names = {name_of(path) for path in CODE} - {"d2e2s"}
    edges: dict[str, set[str]] = {name: set() for name in names}
    for path in CODE:
        for target, _ in imported(path):
            found = next((name for name in (target, target.rpartition(".")[0]) if name in names), None)
            if found is not None and name_of(path) in names:
                edges[name_of(path)].add(found)
    return edges


def test_no_import_goes_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()


def test_no_import_runs_upwards(graph: dict[str, set[str]]) -> None:
    upward = [f"{a} -> {b}" for a, targets in graph.items() for b in sorted(targets) if stratum(b) > stratum(a)]
    assert not upward, upward


def test_few_modules_stand_at_the_top() -> None:
    assert len(list((ROOT / "d2e2s").glob("*.py"))) <= 8


@pytest.mark.parametrize("path", [*ROOT.glob("*.py"), *PACKAGE], ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_few_modules_know_all_arguments() -> None:
    """`Arguments` is for where it is defined, what fills it, and what hands each step its part."""
    knowing = [
        name_of(path)
        for path in PACKAGE
        if any("Arguments" in (getattr(node, "id", None), getattr(node, "name", None)) for node in ast.walk(tree(path)))
    ]
    assert "d2e2s.training.arguments" in knowing and len(knowing) <= 3, knowing


@pytest.mark.parametrize("path", TRAVELLING, ids=name_of)
def test_what_travels_imports_what_is_everywhere(path: Path) -> None:
    """And each other as `from .x_d2e2s import Name`, which is what the loader of checkpoints follows."""
    for name, dots in imported(path):
        ours = dots == 1 and name.split(".")[1].endswith("_d2e2s") and name.count(".") == 2
        assert ours or (dots == 0 and name.split(".")[0] in LIBRARIES), name
