"""Triplets for texts of the command line, or for a column of a file, into a file that keeps every column.

d2e2s predict "The food was great but the service was slow." --model outputs/quickstart
d2e2s predict reviews.csv --text_column review --out triplets.jsonl
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import datasets
import torch
import transformers
from datasets import Features, Value
from rich.console import Console
from rich.text import Text
from tqdm.auto import tqdm
from transformers import PreTrainedConfig

from .checkpoints import check_model, reading
from .configuration_d2e2s import D2E2SConfig
from .encoders import fit_window
from .errors import EXPECTED, refuse
from .lines import TEXT_COLUMN
from .modeling_d2e2s import D2E2SForTripletExtraction
from .pipeline_d2e2s import TASK, TripletExtractionPipeline
from .processing_d2e2s import D2E2SProcessor
from .rows import FORMATS
from .table_writers import TRIPLETS, check_output, rows_of, to_json, write_table
from .tables import OUTPUT_COLUMN, Columns, Table, check_columns, read_table

QUICKSTART = "outputs/quickstart"
# Of files that are often tried and cannot be read: no review ends so.
OTHER_FORMATS = {".json", ".xlsx", ".xls", ".ods", ".pdf", ".docx", ".xml", ".html", ".md", ".gz", ".zip"}
COLOURS = {"POS": "green", "NEG": "red", "NEU": "yellow"}

OF_FOLDERS = ("share", "file_column", "rows_per_shard")  # arguments for --out FOLDER only

Batch = TypeVar("Batch")


def load_pipeline(
    model: str, device: str | int | torch.device | None = None, dtype: str = "auto", **options: Any
) -> TripletExtractionPipeline:
    """The pipeline of a checkpoint, with the code of this package.

    Args:
        model: folder or Hub name of a D2E2S checkpoint.
        device, options: as for `TripletExtractionPipeline`; no device = the first accelerator there is, or the CPU.
        dtype: as for `from_pretrained`.

    Raises:
        ValueError: another kind of model, or damaged weights.
        OSError: there is no such checkpoint.
    """
    check_model(model)
    with reading(model):
        kind = PreTrainedConfig.get_config_dict(model)[0].get("model_type")
    if kind != D2E2SConfig.model_type:
        raise ValueError(f"{model}: no D2E2S checkpoint (its model_type is {kind!r})")
    with reading(model):
        network = D2E2SForTripletExtraction.from_pretrained(model, dtype=dtype, use_safetensors=True)
        processor = fit_window(D2E2SProcessor.from_pretrained(model), network.d2e2s.encoder)
    place: Any = device  # the base class takes names as well
    try:
        return TripletExtractionPipeline(network, processor=processor, task=TASK, device=place, **options)
    except (RuntimeError, AssertionError) as error:  # what torch raises for a device that is not there
        raise ValueError(f"device {device!r} cannot be used: {error}") from None


def predicted(
    extract: TripletExtractionPipeline,
    table: Table,
    text_column: str = TEXT_COLUMN,
    output_column: str = OUTPUT_COLUMN,
    **options: Any,
) -> Iterator[Columns]:
    """The batches of a table with a column of triplets added.

    Args:
        options: of the pipeline's call, such as `threshold`.

    Raises:
        ValueError: no such column, a column of the output's name, or a row without text.
    """
    check_columns(table, text_column, output_column)
    for batch, texts in table.texts(text_column):
        yield {**batch, output_column: extract(texts, **options)}


def with_progress(extract: TripletExtractionPipeline, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, with a bar of sentences a second on stderr if that is a terminal."""
    with tqdm(unit="sentence", disable=None, smoothing=0) as bar:
        extract.progress = bar.update
        try:
            yield from batches
        finally:
            extract.progress = None


def write_predictions(
    extract: TripletExtractionPipeline,
    table: Table,
    output_path: str,
    text_column: str = TEXT_COLUMN,
    output_column: str = OUTPUT_COLUMN,
    **options: Any,
) -> None:
    """Write a table with its triplets to a file, see `write_table`; `options` are those of the pipeline's call.

    Raises:
        ValueError, OSError: see `read_table`, `predicted`, `write_table`. Nothing is written then.
    """
    batches = with_progress(extract, predicted(extract, table, text_column, output_column, **options))
    features = Features({**table.features, output_column: TRIPLETS})
    write_table(output_path, batches, features, table.as_json, output_column)


def show(row: dict[str, Any], text_column: str, output_column: str, console: Console) -> None:
    """Print a row: coloured triplets in a terminal, one JSON object a line elsewhere."""
    if not console.is_terminal:
        print(to_json(row))
        return
    text = row[text_column] if isinstance(row[text_column], str) else " ".join(row[text_column])
    console.print(coloured(text, row[output_column]))
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run `d2e2s predict`; errors of input or output are one line on stderr and exit code 2."""
    arguments = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said once, below
    transformers.logging.disable_progress_bar()
    try:
        run(arguments)
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (*EXPECTED, TypeError) as error:
        return refuse(error)
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Predict what the arguments ask for.

    Raises:
        ValueError, OSError: input, output or a checkpoint that cannot be used.
    """
    columns = (arguments.text_column, arguments.output_column)
    options = {name: getattr(arguments, name) for name in ("threshold", "top_k", "aspects")}
    if arguments.out is not None and is_folder(arguments.out):
        return _run_corpus(arguments, options)
    table = _input_table(arguments.inputs)
    for name in OF_FOLDERS:
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name} is for many files: give --out a folder")
    check_columns(table, *columns)
    if arguments.out is not None:
        check_output(arguments.out, table.name)
    model = model_or_quickstart(arguments.model)
    extract = load_pipeline(model, arguments.device, arguments.dtype, batch_size=arguments.batch_size)
    if arguments.out is not None:
        write_predictions(extract, table, arguments.out, *columns, **options)
    else:
        console = Console()
        for row in rows_of(predicted(extract, table, *columns, **options)):
            show(row, *columns, console)
    if table.empty:
        print(f"{table.name}: {table.empty} rows without text have no triplets", file=sys.stderr)


def is_folder(out: str) -> bool:
    """Whether the output is a folder of shards, rather than one file."""
    return out.endswith(("/", os.sep)) or os.path.isdir(out) or not Path(out).suffix


def _run_corpus(arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    from .corpus import predict_corpus  # which stands on this module

    names = ("device", "dtype", "batch_size", "text_column", "output_column", *OF_FOLDERS)
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    predict_corpus(arguments.inputs, arguments.out, model_or_quickstart(arguments.model), **given, **options)


def _input_table(inputs: Sequence[str]) -> Table:
    """The file that was named, or the texts themselves."""
    files = [name for name in inputs if _names_file(name)]
    folders = [name for name in files if os.path.isdir(name)]
    if folders:
        raise ValueError(f"{folders[0]}: is a folder: give --out a folder as well")
    if files and len(inputs) > 1:
        raise ValueError(
            f"give either texts or one file, got {len(inputs)} arguments and among them {files[0]}; "
            "for several files give --out a folder"
        )
    if files:
        return read_table(files[0])
    for text in inputs:
        if not text.strip():
            raise ValueError("the text is empty")
    return Table("command line", Features({TEXT_COLUMN: Value("string")}), [{TEXT_COLUMN: list(inputs)}])


def _names_file(argument: str) -> bool:
    """Whether it is meant as a file or folder; one that is not there is told, and not read as a review."""
    path, one_word = Path(argument), len(argument.split()) == 1
    known = path.suffix.lower() in {*FORMATS, *OTHER_FORMATS} and len(argument) < 256 and "\n" not in argument
    folder = one_word and argument.endswith(("/", os.sep))
    return (known and not path.stem[-1:].isspace()) or folder or os.path.exists(argument)


def model_or_quickstart(name: str | None) -> str:
    """The model that was named, or else that of the quick start.

    Raises:
        ValueError: none was named, and that one was not trained.
    """
    if name is not None:
        return name
    if os.path.isfile(os.path.join(QUICKSTART, "config.json")):
        return QUICKSTART
    raise ValueError(
        f"no model: give --model (folder or Hub name of a D2E2S checkpoint), or train {QUICKSTART}: "
        "python run_aste.py configs/quickstart.yaml"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="d2e2s predict", description="Extract triplets from raw text.")
    add = parser.add_argument
    kinds = ", ".join(FORMATS)
    add(
        "inputs",
        nargs="+",
        metavar="TEXT|FILE",
        help=f"texts, or one file ({kinds}); files and folders for --out FOLDER",
    )
    add("--model", help=f"folder or Hub name of a D2E2S checkpoint; default: {QUICKSTART}, if it was trained")
    add("--out", metavar="FILE", help="write rows and triplets to this .jsonl, .parquet or .csv file, or folder")
    add("--text_column", default=TEXT_COLUMN, help="column with the text, or lists of words (default: %(default)s)")
    add("--output_column", default=OUTPUT_COLUMN, help="column for the triplets (default: %(default)s)")
    add("--threshold", type=float, help="lowest score of a triplet; default: the model's own")
    add("--top_k", type=int, help="only the best triplets of each text")
    add("--aspects", nargs="+", metavar="ASPECT", help="only triplets of these aspects")
    add("--batch_size", type=_positive, help="sentences a batch (default: 32)")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default: the first accelerator there is")
    add("--file_column", metavar="NAME", help="--out FOLDER: also a column with the file that each row is from")
    add("--rows_per_shard", type=_positive, help="--out FOLDER: rows of one file of it (default: 5000)")
    add("--share", type=_share, metavar="I/N", help="--out FOLDER: do only this share of the work, 0/N to N-1/N")
    dtypes = ("auto", "float32", "bfloat16", "float16")
    add("--dtype", default="auto", choices=dtypes, help="number format of the model (default: as saved)")
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
