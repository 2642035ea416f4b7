"""Triplets for texts of the command line, or for a column of a file, into a file that keeps every column.

d2e2s predict "The food was great but the service was slow."
d2e2s predict reviews.csv --text_column review --out triplets.jsonl
cat reviews.txt | d2e2s predict - --model outputs/14res
d2e2s predict reviews/ --out predictions/ --model outputs/14res
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import transformers
from rich.console import Console
from rich.text import Text

from ..box import REVIEWS_EN
from ..errors_d2e2s import UserError
from ..words_d2e2s import is_blank
from .predict import BACKENDS, TORCH, load_pipeline, predicted, say_faster, say_missing, write_predictions
from .tables import (
    FORMATS,
    OUTPUT_COLUMN,
    STDIN,
    Table,
    check_columns,
    read_stdin,
    rows_of,
    text_of,
    text_table,
    to_json,
)
from .text_lines import TEXT_COLUMN

# Of files that are often tried and cannot be read: no review ends so.
OTHER_FORMATS = {".json", ".xlsx", ".xls", ".ods", ".pdf", ".docx", ".xml", ".html", ".md", ".gz", ".zip"}
COLOURS = {"POS": "green", "NEG": "red", "NEU": "yellow"}

OPTIONS = ("threshold", "top_k", "aspects", "window_words")  # of the pipeline
# Arguments for --out FOLDER only.
OF_FOLDERS = ("share", "file_column", "rows_per_shard", "engine", "ray_address")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kinds = ", ".join(FORMATS)
    inputs = f"texts; one file ({kinds}); - for standard input, a text a line; files and folders for --out FOLDER"
    add("inputs", nargs="+", metavar="TEXT|FILE|-", help=inputs)
    add("--model", default=REVIEWS_EN, help="folder or Hub name of a checkpoint (default: %(default)s, in the box)")
    add("--out", metavar="FILE", help="write rows and triplets to this .jsonl, .parquet or .csv file, or folder")
    add("--text_column", default=TEXT_COLUMN, help="column with the text, or lists of words (default: %(default)s)")
    add("--output_column", default=OUTPUT_COLUMN, help="column for the triplets (default: %(default)s)")
    add("--threshold", type=float, help="lowest score of a triplet; default: the model's own")
    add("--top_k", type=int, help="only the best triplets of each text")
    add("--aspects", nargs="+", metavar="ASPECT", help="only triplets of these aspects")
    add("--batch_size", type=_positive, help="sentences a batch (default: 32)")
    words = "words read at once of long text without full stops; 0: as many as fit; default: the model's own"
    add("--window_words", type=int, metavar="N", help=words)
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default: the first accelerator there is")
    add("--file_column", metavar="NAME", help="--out FOLDER: also a column with the file that each row is from")
    add("--rows_per_shard", type=_positive, help="--out FOLDER: rows of one file of it (default: 5000)")
    add("--share", type=_share, metavar="I/N", help="--out FOLDER: do only this share of the work, 0/N to N-1/N")
    add("--engine", choices=("ray",), help="--out FOLDER: the work as tasks of Ray, here or on a cluster")
    add("--ray_address", metavar="ADDRESS", help="--engine ray: the cluster, auto = this machine's; default: start one")
    dtypes = ("auto", "float32", "bfloat16", "float16")
    add("--dtype", default="auto", choices=dtypes, help="number format of the model (default: as saved)")
    backends = "openvino: int8 on a CPU, after d2e2s export (default: torch)"
    add("--backend", default=TORCH, choices=BACKENDS, help=backends)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def _share(text: str) -> tuple[int, int]:
    try:
        number, count = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected I/N such as 0/8, got {text!r}") from None
    if not 0 <= number < count:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, got {text!r}")
    return number, count


def run(options: argparse.Namespace) -> None:
    """Predict, until it is done or the reader of a pipe has had enough."""
    try:
        predict(options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def predict(arguments: argparse.Namespace) -> None:
    """Predict what the arguments ask for.

    Raises:
        UserError, OSError: input, output or a checkpoint that cannot be used.
    """
    transformers.logging.disable_progress_bar()
    columns = (arguments.text_column, arguments.output_column)
    options = {name: getattr(arguments, name) for name in OPTIONS}
    if arguments.out is not None and is_folder(arguments.out):
        return _run_corpus(arguments, options)
    table = _input_table(arguments.inputs)
    for name in OF_FOLDERS:
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} is for many files: give --out a folder")
    check_columns(table, *columns)
    if arguments.out is not None:
        _quiet_datasets()
        from .writers import check_output

        check_output(arguments.out, table.name)
    loaded = (arguments.model, arguments.device, arguments.dtype, arguments.backend)
    extract = load_pipeline(*loaded, batch_size=arguments.batch_size)
    if arguments.out is not None:
        say_faster(extract)
        write_predictions(extract, table, arguments.out, *columns, **options)
    else:
        console = Console()
        for row in rows_of(predicted(extract, table, *columns, **options)):
            show(row, *columns, console)
    if table.empty:
        print(f"{table.name}: {table.empty} rows without text have no triplets", file=sys.stderr)
    say_missing(extract, arguments.aspects, f"{table.name}: its texts")


def _quiet_datasets() -> None:
    """Have what goes wrong with a file said once, in one line.

    `datasets`, and the readers and writers that need it, are imported for files alone: it takes longer than the answer
    to a text.
    """
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)


def is_folder(out: str) -> bool:
    """Whether the output is a folder of shards, rather than one file."""
    return out.endswith(("/", os.sep)) or os.path.isdir(out) or not Path(out).suffix


def _run_corpus(arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    names = ("device", "dtype", "backend", "batch_size", "text_column", "output_column", *OF_FOLDERS)
    if STDIN in arguments.inputs:
        raise UserError("standard input (-) goes into one file: give --out a file such as triplets.jsonl")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    engine, address = given.pop("engine", None), given.pop("ray_address", None)
    if engine is None and address is not None:
        raise UserError("--ray_address is for --engine ray")
    _quiet_datasets()
    if engine is None:
        from .corpus import predict_corpus  # and what several processes need

        predict_corpus(arguments.inputs, arguments.out, arguments.model, **given, **options)
    elif "share" in given:
        raise UserError("--share is for processes that share the work by themselves; --engine ray does all of it")
    else:
        _on_ray(address)(arguments.inputs, arguments.out, arguments.model, address=address, **given, **options)


def _on_ray(address: str | None) -> Callable[..., Any]:
    """`predict_corpus` of Ray, which is imported for it; a Ray of this machine alone opens no port to others."""
    if address is None:  # whatever its name says; it is read at the import
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        from ..engines import ray
    except ModuleNotFoundError as error:
        raise UserError(f'--engine ray needs {error.name}: pip install "d2e2s[ray]"') from None
    return ray.predict_corpus


def _input_table(inputs: Sequence[str]) -> Table:
    """The file that was named, standard input, or the texts themselves."""
    files = [name for name in inputs if name == STDIN or _names_file(name)]
    if folders := [name for name in files if os.path.isdir(name)]:
        raise UserError(f"{folders[0]}: is a folder: give --out a folder as well")
    if files and len(inputs) > 1:
        raise UserError(
            f"give either texts or one file, got {len(inputs)} arguments and among them {files[0]}; "
            "for several files give --out a folder"
        )
    if files == [STDIN]:
        return read_stdin()
    if files:
        _quiet_datasets()
        from .readers import read_table

        return read_table(files[0])
    for text in inputs:
        if is_blank(text):
            raise UserError("the text is empty")
    return text_table("command line", list(inputs))


def _names_file(argument: str) -> bool:
    """Whether it is meant as a file or folder; one that is not there is told, and not read as a review."""
    path, one_word = Path(argument), len(argument.split()) == 1
    known = path.suffix.lower() in {*FORMATS, *OTHER_FORMATS} and len(argument) < 256 and "\n" not in argument
    folder = one_word and argument.endswith(("/", os.sep))
    return (known and not path.stem[-1:].isspace()) or folder or os.path.exists(argument)


def show(row: dict[str, Any], text_column: str, output_column: str, console: Console) -> None:
    """Print a row: coloured triplets in a terminal, one JSON object a line elsewhere."""
    if not console.is_terminal:
        print(to_json(row))
        return
    console.print(coloured(text_of(row[text_column]), row[output_column]))
    for triplet in row[output_column]:
        colour = COLOURS.get(triplet["sentiment"], "magenta")
        line = Text("  ").append(triplet["aspect"]["text"], "bold cyan").append(" | ")
        line.append(triplet["opinion"]["text"], f"bold {colour}").append(f" | {triplet['sentiment']}", colour)
        console.print(line.append(f" {triplet['score']:.2f}", "dim"))
    if not row[output_column]:
        console.print("  (no triplet)", style="dim")


def coloured(text: str, triplets: Sequence[dict[str, Any]]) -> Text:
    """The text with its aspects and opinions marked."""
    marked = Text(text)
    for triplet in triplets:
        opinion, colour = triplet["opinion"], COLOURS.get(triplet["sentiment"], "magenta")
        marked.stylize("bold cyan underline", triplet["aspect"]["start"], triplet["aspect"]["end"])
        marked.stylize(f"bold {colour}", opinion["start"], opinion["end"])
    return marked
