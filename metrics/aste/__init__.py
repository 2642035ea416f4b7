"""Exact-match scores for aspect sentiment triplet extraction."""

from __future__ import annotations

from pathlib import Path

PATH = str(Path(__file__).resolve().parent)
"""Where the `evaluate` module lies, in a clone and in an installed package: `evaluate.load(PATH)`."""
