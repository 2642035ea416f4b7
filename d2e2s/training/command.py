"""`d2e2s train`, which is `run_aste.py`: arguments from YAML files and the command line, then the run."""

import argparse

from .config_files import parse_arguments
from .run import run as run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own: all are those of `parse_arguments`."""


def run(options: argparse.Namespace) -> None:
    run_arguments(parse_arguments(options.more))
