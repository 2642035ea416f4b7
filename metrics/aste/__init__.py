"""Exact-match scores for aspect sentiment triplet extraction."""

from pathlib import Path

PATH = str(Path(__file__).resolve().parent)
"""Where the `evaluate` module lies, in a clone and in an installed package: `evaluate.load(PATH)`."""
