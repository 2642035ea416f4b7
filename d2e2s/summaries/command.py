"""What people say about what: triplets counted by aspect, on one page and in one table.

d2e2s summarize triplets.csv --out summary.html
d2e2s summarize examples/reviews.csv --by product --date_column date --out summary.html summary.csv
d2e2s summarize predictions/ --by shop --merge synonyms.yaml --out summary.html

Reads what `d2e2s predict` writes (a file, or the folder of a corpus), or reviews, whose triplets it finds first.
"""

import argparse
import csv
import sys
from pathlib import Path

import transformers
from datasets import logging as datasets_logging

from ..box import REVIEWS_EN
from ..checkpoints import check_writable
from ..data_scripts.files import write_atomically, write_text
from ..errors_d2e2s import UserError
from ..prediction.predict import load_pipeline
from ..prediction.tables import OUTPUT_COLUMN
from ..prediction.text_lines import TEXT_COLUMN
from ..prediction.writers import harmless
from .counts import Summary
from .figures import Figures, praise_and_blame
from .names import Names, read_merged
from .page import render
from .sources import Source

SUFFIXES = (".html", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="FILE|FOLDER", help="triplets that `d2e2s predict` has written, or a file of reviews")
    add("--out", nargs="+", type=Path, required=True, help="the page (.html), the table (.csv), or both")
    add("--by", metavar="COLUMN", help="compare the groups that this column names, such as product")
    add("--date_column", metavar="COLUMN", help="show change over time, by the days in this column")
    add("--merge", type=Path, metavar="FILE", help="YAML of names that mean the same: battery: [battery life, accu]")
    add("--min_count", type=int, default=5, help="least triplets of an aspect that is shown (default: %(default)s)")
    add("--positive", metavar="LABEL", help="label of praise, if it is not called so (default: POS)")
    add("--negative", metavar="LABEL", help="label of blame (default: NEG)")
    add("--title", help="of the page")
    add("--text_column", default=TEXT_COLUMN, help="column with the text (default: %(default)s)")
    add("--output_column", default=OUTPUT_COLUMN, help="column with the triplets (default: %(default)s)")
    add("--model", default=REVIEWS_EN, help="that finds the triplets of reviews (default: %(default)s, in the box)")
    add("--device", help="of the model: cpu, cuda, ...; default: the first accelerator there is")


def run(options: argparse.Namespace) -> None:
    """Read, count, write.

    Raises:
        UserError, OSError: input or output that cannot be used.
    """
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    _check(options)
    names = Names(read_merged(options.merge) if options.merge else None)
    columns = (options.text_column, options.output_column, options.by, options.date_column)
    source = Source(lambda: load_pipeline(options.model, options.device), *columns)
    summary = Summary(names).add(source.read(options.source))
    _check_found(options, summary)
    good, bad = praise_and_blame(summary.sentiments(), options.positive, options.negative)
    figures = Figures(summary, options.min_count, good, bad)
    for path in options.out:
        write(path, figures, options.title or f"What people say: {Path(options.source).stem}")
    for note in summary.notes():
        print(note, file=sys.stderr)
    for path in options.out:
        print(path)


def _check(options: argparse.Namespace) -> None:
    if options.min_count < 1:
        raise UserError(f"--min_count {options.min_count}: expected at least 1")
    for path in options.out:
        if path.suffix not in SUFFIXES:
            raise UserError(f"--out {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
        if path.exists() and Path(options.source).exists() and path.samefile(options.source):
            raise UserError(f"--out {path}: is the file that is read; give the output another name")
        check_writable(path.parent)


def _check_found(options: argparse.Namespace, summary: Summary) -> None:
    if options.by is not None and not summary.groups:
        raise UserError(f"--by {options.by}: empty in all {summary.reviews} reviews; name another column")
    if options.date_column is not None and not summary.months:
        raise UserError(
            f"--date_column {options.date_column}: no day in {summary.reviews} reviews; name another column"
        )


def write(path: Path, figures: Figures, title: str) -> None:
    """The page or the table, as the file's name says; whole or not at all."""
    if path.suffix == ".html":
        write_text(path, render(figures, title))
    else:
        write_atomically(path, lambda temporary: _write_csv(temporary, figures))


def _write_csv(path: Path, figures: Figures) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark tells spreadsheets that it is UTF-8
        csv.writer(file).writerows(map(harmless, line) for line in figures.lines())
