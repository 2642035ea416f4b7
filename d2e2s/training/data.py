"""Records to train on and to score: from files or `datasets`, checked, and as the model's inputs."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import yaml
from huggingface_hub import DatasetCard

from ..checkpoints import some
from ..data_scripts.dataset_card import read_dataset_card
from ..data_scripts.prepared import flat
from ..data_scripts.records import Record, check_records, is_labelled, read_records
from ..errors_d2e2s import UserError
from ..evaluation.syntax import MAX_WORDS, encode_trees, warn_skipped
from ..processing_d2e2s import D2E2SProcessor, universal_relation

logger = logging.getLogger("d2e2s")

# A split here: its names in data sets.
SPLITS = {"train": ("train",), "dev": ("validation", "dev"), "test": ("test",)}


# --- reading ----------------------------------------------------------------------------------------------


def read_file(path: str) -> list[Record]:
    """The records of a file; at least one.

    Raises:
        RecordError: a line that is no record. FileNotFoundError: no such file. UserError: no record.
    """
    return _not_empty(read_records(path), path)


def load_splits(
    name: str, config: str | None, wanted: Iterable[str], welcome: Iterable[str] = ()
) -> dict[str, datasets.Dataset]:
    """Splits of a data set of the Hub, or of a folder, by `datasets.load_dataset`.

    Args:
        wanted: of `train`, `dev` (`validation` on the Hub) and `test`. welcome: also these, if they are there.

    Raises:
        UserError: there is no such data, or it lacks a split.
        OSError: the Hub cannot be reached.
    """
    try:
        found = datasets.load_dataset(name, config)
    except (ValueError, RuntimeError, FileNotFoundError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"--dataset_name {name}: cannot be loaded: {error}") from error
    there = [split for split in welcome if any(split_name in found for split_name in SPLITS[split])]
    return {split: split_of(found, split, f"--dataset_name {name}") for split in dict.fromkeys([*wanted, *there])}


def split_of(found: Mapping[str, Any], split: str, where: str) -> Any:
    """One split of several.

    Raises:
        UserError: there is none of its names.
    """
    for name in SPLITS[split]:
        if name in found:
            return found[name]
    raise UserError(f"{where}: no split {' or '.join(SPLITS[split])}; it has {', '.join(map(str, found))}")


def records_of(rows: Iterable[Mapping[str, Any]], where: str) -> list[Record]:
    """The rows of a split as checked records; at least one.

    Raises:
        UserError: a row that is no record, with its place; or no row.
    """
    return _not_empty(check_records(rows, where), where)


def _not_empty(records: list[Record], where: str) -> list[Record]:
    if not records:
        raise UserError(f"{where}: no records; expected at least one")
    return records


def labelled(records: Sequence[Record], where: str) -> list[Record]:
    """The records whose triplets are known; how many others there are is said."""
    known = [record for record in records if is_labelled(record)]
    if not known:
        raise UserError(f"{where}: of no sentence the triplets are known")
    if len(known) < len(records):
        logger.warning("%s: %d sentences without known triplets are left out", where, len(records) - len(known))
    return known


def read_trees(path: str) -> list[Record]:
    """Records of a file whose trees are wanted and whose triplets, if any, are not.

    Raises:
        UserError: a record without heads, with file and number. OSError: no such file.
    """
    records = read_file(path)
    for number, record in enumerate(records, start=1):
        if "heads" not in record:
            raise UserError(f"{path}: record {number} ({record['id']}) has no heads: data_scripts/parse.py adds them")
    if unused := sum(len(record.get("triplets") or ()) for record in records):
        logger.warning("%s: its %d triplets are not used: it serves the parser only", path, unused)
    return records


# --- what the data says -----------------------------------------------------------------------------------


def relations_in(records: Iterable[Record]) -> list[str]:
    """The universal relations in the records' trees, sorted: what the parser can tell apart whatever the treebank."""
    return sorted({universal_relation(deprel) for record in records for deprel in record.get("deprels") or ()})


def unreachable(records: Sequence[Record], max_span_width: int) -> int:
    """Gold triplets with an aspect or opinion of more than `max_span_width` words."""
    return sum(
        any(end - start > max_span_width for start, end in (triplet["aspect"], triplet["opinion"]))
        for record in records
        for triplet in record.get("triplets") or ()
    )


def contradictory(records: Sequence[Record]) -> list[str]:
    """Ids of the records in which one aspect and opinion have two sentiments."""
    triplets = [(record["id"], set(map(flat, record.get("triplets") or ()))) for record in records]
    return [name for name, found in triplets if len({triplet[:4] for triplet in found}) < len(found)]


def warn_of_faults(name: str, records: Sequence[Record], max_span_width: int) -> None:
    """Say what of a split the model cannot learn or find."""
    total = sum(len(record.get("triplets") or ()) for record in records)
    if count := unreachable(records, max_span_width):
        logger.warning(
            "%s: %d of %d triplets have a span of more than %d words: they cannot be predicted and count as misses "
            "(--max_span_width)", name, count, total, max_span_width,
        )  # fmt: skip
    if ids := contradictory(records):
        logger.warning(
            "%s: %d sentences give one aspect and opinion two sentiments, of which the model learns and finds one: %s",
            name, len(ids), some(ids),
        )  # fmt: skip


def counts(name: str, records: Sequence[Record], max_span_width: int) -> dict[str, int]:
    """How much a split holds, for the results: `NAME_sentences`, `NAME_triplets`, `NAME_unreachable_triplets`."""
    known = [record for record in records if is_labelled(record)]
    parsed = {f"parser_{name}_sentences": len(records) - len(known)} if len(known) < len(records) else {}
    return {
        **parsed,
        f"{name}_sentences": len(known),
        f"{name}_triplets": sum(len(record.get("triplets") or ()) for record in records),
        f"{name}_unreachable_triplets": unreachable(records, max_span_width),
    }


def data_card(place: str) -> dict[str, Any]:
    """Licence and language that the card of a folder or of a data set on the Hub states; empty if there is none."""
    if Path(place).is_dir() and place:
        return read_dataset_card(Path(place))
    if place.count("/") != 1:
        return {}
    try:
        stated = DatasetCard.load(place).data.to_dict()
    except (OSError, ValueError, yaml.YAMLError):  # no such card, none that can be read, or no network
        return {}
    return {"licence": stated.get("license"), "language": stated.get("language")}


def name_of(dataset: Any) -> str:
    """What `load_dataset` calls the data that a split is of; empty if it was loaded from files."""
    if isinstance(dataset, Mapping):
        dataset = next(iter(dataset.values()), None)
    info = getattr(dataset, "info", None)
    name = getattr(info, "dataset_name", None) or ""
    return "" if name == getattr(info, "builder_name", None) else name


# --- the model's inputs -----------------------------------------------------------------------------------


def tokenized(processor: D2E2SProcessor, records: Sequence[Record], name: str) -> datasets.Dataset:
    """Model inputs of the records, one row each, made once; `id` is for errors.

    Raises:
        UserError: a sentence longer than the encoder takes, or a label that the model does not know.
    """
    columns = {key: [record.get(key) for record in records] for key in ("tokens", "heads", "deprels", "triplets")}
    try:
        features = processor.tokenize_records(columns)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return datasets.Dataset.from_dict({**features, "id": [record["id"] for record in records]})


def trees_that_fit(processor: D2E2SProcessor, records: Sequence[Record]) -> list[Record]:
    """Parsed sentences for the parser alone, their triplets unknown; too long ones are left out, and counted."""
    sizes = [len(row["input_ids"]) for row in encode_trees(processor, records)]
    fits = [
        {**record, "triplets": None}
        for record, size in zip(records, sizes, strict=True)
        if size <= processor.window and len(record["tokens"]) <= MAX_WORDS
    ]
    warn_skipped(len(records) - len(fits), f"{MAX_WORDS} words or {processor.window} word pieces")
    return fits


def lengths_of(dataset: Any) -> list[int]:
    """Word pieces of each sentence of a tokenised data set."""
    return [len(pieces) for pieces in dataset["input_ids"]]
