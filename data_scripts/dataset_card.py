"""The card of a prepared data set: `README.md` with its licence and its figures, counted from its records.

The card makes `load_dataset(FOLDER)` find the splits, locally and on the Hub, and tells a model card what the model was
trained on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from d2e2s.data_scripts.files import write_marked
from d2e2s.data_scripts.records import SENTIMENTS, Record, is_labelled, sentiment_labels
from d2e2s.errors_d2e2s import UserError

TASK = "aspect-sentiment-triplet-extraction"
UNKNOWN_LICENCE = "unknown"
HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
FORM = """One sentence a row: `tokens`, `heads` (1-based, 0 = root) and `deprels` where it is parsed, and `triplets`,
each with `aspect` and `opinion` (word indices, half open) and `sentiment`."""


def write_dataset_card(
    folder: Path,
    title: str,
    about: str,
    splits: Mapping[str, Sequence[Record]],
    licence: str = UNKNOWN_LICENCE,
    language: str | None = None,
    suffix: str = "jsonl",
) -> bool:
    """Write `README.md` beside the records.

    Args:
        folder: holds `SPLIT.suffix` for each split.
        about: where the data comes from, and what its licence is, for people.
        splits: records of `train`, `dev` and `test`, or of some of them.
        licence: its identifier on the Hub, such as `cc0-1.0`; `unknown` if nobody has stated one.
        language: two letters, or None.

    Returns:
        False if there is a card that somebody wrote or changed: it is kept.

    Raises:
        OSError: it cannot be written.
    """
    files = [{"split": HUB_SPLITS[split], "path": f"{split}.{suffix}"} for split in splits]
    metadata = DatasetCardData(
        pretty_name=title,
        license=licence,
        language=language,
        task_categories=["token-classification"],
        tags=[TASK],
        size_categories=_size(sum(map(len, splits.values()))),
        configs=[{"config_name": "default", "data_files": files}],
    )
    parts = [f"---\n{metadata.to_yaml()}\n---", f"# {title}", about, FORM, _figures(splits)]
    return write_marked(folder / "README.md", "\n\n".join(parts))


def read_dataset_card(folder: Path) -> dict[str, Any]:
    """What the card of a data set says of it: `licence` and `language`, None where there is nothing.

    Raises:
        UserError: metadata that cannot be read.
    """
    path = folder / "README.md"
    try:
        data = DatasetCard.load(path).data if path.is_file() else DatasetCardData()
    except (yaml.YAMLError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{path}: unreadable metadata ({what}); repair its first lines") from None
    return {"licence": data.license, "language": data.language}


def _size(sentences: int) -> str:
    """The Hub's name for a number of examples."""
    return "n<1K" if sentences < 1_000 else "1K<n<10K" if sentences < 10_000 else "10K<n<100K"


def _figures(splits: Mapping[str, Sequence[Record]]) -> str:
    names = columns([record for records in splits.values() for record in records])
    rows = [[split, *(str(counts(records)[name]) for name in names)] for split, records in splits.items()]
    return as_table(["split", *names], rows)


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def columns(records: Sequence[Record]) -> list[str]:
    """What there is to count; sentences whose triplets are not known only if there are any."""
    unknown = ["triplets not known"] * (not all(map(is_labelled, records)))
    labels = dict.fromkeys([*SENTIMENTS, *sentiment_labels(records)])
    return ["sentences", "without a triplet", *unknown, "triplets", *labels, "with a term of several words"]


def counts(records: Sequence[Record]) -> Counter[str]:
    triplets = [triplet for record in records for triplet in record["triplets"] or []]
    found = Counter(triplet["sentiment"] for triplet in triplets)
    found["sentences"], found["triplets"] = len(records), len(triplets)
    found["without a triplet"] = sum(record["triplets"] == [] for record in records)
    found["triplets not known"] = sum(not is_labelled(record) for record in records)
    widths = [[end - start for start, end in (triplet["aspect"], triplet["opinion"])] for triplet in triplets]
    found["with a term of several words"] = sum(max(pair) > 1 for pair in widths)
    return found
