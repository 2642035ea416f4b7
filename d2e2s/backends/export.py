"""Write the encoder of a checkpoint in int8, for `--backend openvino`; it calibrates on reviews of yours.

d2e2s export reviews.csv --text_column review --model outputs/mine
d2e2s export data/mine/train.jsonl --text_column tokens --model outputs/mine --check data/mine/dev.jsonl
d2e2s predict reviews.csv --text_column review --model outputs/mine --backend openvino --out triplets.csv

int8 is rounded: with `--check` an export that finds less than the model is refused.
"""

import argparse
import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..box import REVIEWS_EN, resolve_model
from ..checkpoints import reading, seal, staged, weights_digest
from ..data_scripts.files import write_json
from ..data_scripts.records import Record, read_records
from ..errors_d2e2s import UserError
from ..evaluation.thresholds import Counts, micro_f1, sentence_counts
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..prediction.predict import load_pipeline
from ..prediction.readers import read_table
from ..prediction.tables import check_columns
from ..prediction.text_lines import TEXT_COLUMN
from ..words_d2e2s import placed_words
from .openvino import FOLDER, GRAPH, INPUTS, NOTES, WEIGHTS, OpenVINOEncoder, openvino

SENTENCES = 300  # that calibration reads
SENTENCES_AT_ONCE = 8
# How much of the range of activations SmoothQuant (Xiao et al. 2023) moves into the weights before they are rounded.
# With NNCF's 0.95 the features of all-mpnet-base-v2 have a cosine of 0.986 with those of float32, with 0.85 of
# 0.993.
SMOOTHING = 0.85
# What may be lost on the file of `--check`: the larger of half a point of F1 and three triplets.
MAY_LOSE_F1, MAY_LOSE_TRIPLETS = 0.005, 3

Batch = dict[str, Tensor]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("reviews", metavar="FILE", help=f"texts as the model will read them; {SENTENCES} sentences are enough")
    add("--text_column", default=TEXT_COLUMN, help="column with the text, or lists of words (default: %(default)s)")
    add("--model", default=REVIEWS_EN, help="folder of a checkpoint (default: %(default)s, in the box)")
    add("--check", type=Path, metavar="FILE", help="records with triplets, on which both are scored")


def run(options: argparse.Namespace) -> None:
    """Export, and say where it lies and what was lost."""
    folder = Path(resolve_model(options.model))
    if not folder.is_dir():
        raise UserError(f"{options.model}: is no folder: the export is written into the checkpoint's own")
    table = read_table(options.reviews)
    check_columns(table, options.text_column)
    texts = (text for _, column in table.texts(options.text_column) for text in column)
    records = read_records(options.check) if options.check else None
    for line in export(str(folder), texts, records):
        print(line)


def export(model: str, texts: Iterator[Any], records: Sequence[Record] | None = None) -> list[str]:
    """Write `openvino/` into the folder of a checkpoint, whole or not at all.

    Args:
        texts: for calibration. records: on which the export is compared with the model.

    Returns:
        lines for people: where it lies, and what was lost.

    Raises:
        UserError: the extra is not installed, no text to calibrate on, or it lost more than it may.
        OSError: the folder cannot be written.
    """
    openvino()
    extract = load_pipeline(model, "cpu", "float32", batch_size=SENTENCES_AT_ONCE)
    network: Any = extract.model
    batches = encoder_batches(extract, texts)
    before = scored(extract, records) if records else None
    encoder = network.d2e2s.encoder
    graph, notes = quantized(encoder, batches), {"encoder": weights_digest(encoder).hexdigest()}
    with staged(Path(model, FOLDER)) as folder:
        openvino().save_model(graph, folder / GRAPH)
        (folder / GRAPH).with_suffix(".bin").rename(folder / WEIGHTS)
        lines = [f"{Path(model, FOLDER)}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.0f} MB"]
        if records and before is not None:
            network.d2e2s.encoder = OpenVINOEncoder(folder / GRAPH, folder / WEIGHTS)
            lines.append(compared(before, scored(extract, records)))
        write_json(folder / NOTES, notes)
        seal(folder)
    return lines


def encoder_batches(extract: TripletExtractionPipeline, texts: Iterator[Any]) -> list[Batch]:
    """What the pipeline gives its encoder for the first texts, until `SENTENCES` sentences are read.

    Raises:
        UserError: there is no text.
    """
    seen: list[Batch] = []

    def keep(_: nn.Module, __: Any, inputs: dict[str, Any]) -> None:
        seen.append({name: inputs[name] for name in INPUTS if inputs.get(name) is not None})

    network: Any = extract.model
    with network.d2e2s.encoder.register_forward_pre_hook(keep, with_kwargs=True):
        while sum(len(batch["input_ids"]) for batch in seen) < SENTENCES and (some := list(islice(texts, SENTENCES))):
            extract(some)
    if not seen:
        raise UserError("there is no text to calibrate on")
    return seen


class States(nn.Module):
    """An encoder whose inputs stand in a row and whose output is one tensor, for the exporter."""

    def __init__(self, encoder: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.encoder(**dict(zip(self.names, inputs, strict=True))).last_hidden_state


def quantized(encoder: nn.Module, batches: Sequence[Batch]) -> Any:
    """The encoder as an OpenVINO graph in int8, for any number of sentences of any length.

    Raises:
        UserError: NNCF is not installed, or the exporter cannot read this encoder.
    """
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise UserError(f'd2e2s export needs {error.name}: pip install "d2e2s[openvino]"') from None
    logging.getLogger("nncf").setLevel(logging.ERROR)
    names = list(batches[0])
    example = tuple(torch.cat([batches[0][name]] * 2)[:2] for name in names)
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    kind = getattr(encoder.config, "model_type", None)
    with reading(f"encoder of type {kind!r}"), warnings.catch_warnings(action="ignore"), _own_logging():
        program = torch.export.export(States(encoder, names), example, dynamic_shapes=(tuple([dynamic] * len(names)),))
        graph = openvino().convert_model(program)
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    data = nncf.Dataset([[batch[name].numpy() for name in names] for batch in batches])
    smoothing = nncf.AdvancedSmoothQuantParameters(matmul=SMOOTHING)
    options = {"advanced_parameters": nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smoothing)}
    with contextlib.redirect_stdout(sys.stderr):  # bars of its progress
        return nncf.quantize(graph, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches), **options)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """The converter leaves the root with its own level, filter and handler, so that nobody else is heard any more."""
    root = logging.root
    level, filters, handlers = root.level, list(root.filters), [(handler, handler.level) for handler in root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, [handler for handler, _ in handlers]
        for handler, level in handlers:
            handler.setLevel(level)


# --- what is lost -----------------------------------------------------------------------------------------


def scored(extract: TripletExtractionPipeline, records: Sequence[Record]) -> Counts:
    """Counts of right, found and gold triplets of each labelled record, `(S, 3)`, from its words alone."""
    labelled = [record for record in records if record["triplets"] is not None]
    found = [
        {(*_place(triplet["aspect"]), *_place(triplet["opinion"]), triplet["sentiment"]) for triplet in triplets}
        for triplets in extract([list(record["tokens"]) for record in labelled])
    ]
    return sentence_counts(found, [_gold(record) for record in labelled])


def _place(term: dict[str, Any]) -> tuple[int, int]:
    return term["start"], term["end"]


def _gold(record: Record) -> list[tuple[int, int, int, int, str]]:
    """The triplets of a record by their characters in `" ".join(tokens)`."""
    words = placed_words(record["tokens"], str(record["id"]))

    def place(span: Sequence[int]) -> tuple[int, int]:
        return words[span[0]].start, words[span[1] - 1].end

    return [(*place(t["aspect"]), *place(t["opinion"]), t["sentiment"]) for t in record["triplets"]]


def compared(before: Counts, after: Counts) -> str:
    """Triplet F1 of both in a line.

    Raises:
        UserError: more is lost than may be.
    """
    exact, rounded = float(micro_f1(before)), float(micro_f1(after))
    line = f"triplet F1 {100 * exact:.2f} in float32, {100 * rounded:.2f} in int8"
    three_triplets = 2 * MAY_LOSE_TRIPLETS / max(1, int(before[:, 1:].sum()))
    if exact - rounded > max(MAY_LOSE_F1, three_triplets) + 1e-9:  # what rounding makes of a difference
        raise UserError(f"{line}: too much is lost, nothing was written; calibrate on texts more like those of --check")
    return line
