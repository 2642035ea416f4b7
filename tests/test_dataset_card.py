"""Cards of data sets: figures counted from the records, splits that `load_dataset` finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from d2e2s.data_scripts import make_sample_corpus
from d2e2s.data_scripts.dataset_card import read_dataset_card, write_dataset_card
from d2e2s.data_scripts.records import Record, write_records

SAMPLE = Path(make_sample_corpus.__file__).parent / "sample_corpus"


def record(number: int, *triplets: tuple[int, int, int, int, str]) -> Record:
    rows = [{"aspect": [a, b], "opinion": [c, d], "sentiment": s} for a, b, c, d, s in triplets]
    return {"id": str(number), "tokens": list("abcdef"), "triplets": rows}


SPLITS = {
    "train": [record(1, (0, 1, 2, 3, "POS"), (0, 2, 3, 4, "NEG")), record(2)],
    "test": [record(3, (0, 1, 2, 4, "NEU"))],
}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_card_counts_the_records_and_names_the_splits(tmp_path: Path, suffix: str) -> None:
    for split, records in SPLITS.items():
        write_records(tmp_path / f"{split}.{suffix}", records)
    assert write_dataset_card(tmp_path, "Letters", "About.", SPLITS, "cc-by-4.0", "en", suffix)
    card = DatasetCard.load(tmp_path / "README.md")
    assert "| train | 2 | 1 | 2 | 1 | 1 | 0 | 1 |" in card.text and "| test | 1 | 0 | 1 | 0 | 0 | 1 | 1 |" in card.text
    assert (card.data.license, card.data.language, card.data.size_categories) == ("cc-by-4.0", "en", "n<1K")
    assert read_dataset_card(tmp_path) == {"licence": "cc-by-4.0", "language": "en"}
    loaded = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2, "test": 1}
    assert loaded["train"][0]["triplets"] == SPLITS["train"][0]["triplets"]


def test_a_card_that_somebody_wrote_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nMine.", encoding="utf-8")
    assert not write_dataset_card(tmp_path, "Letters", "About.", SPLITS)
    assert (tmp_path / "README.md").read_text(encoding="utf-8").endswith("Mine.")
    assert read_dataset_card(tmp_path) == {"licence": "mit", "language": None}


def test_our_own_card_is_written_again(tmp_path: Path) -> None:
    assert write_dataset_card(tmp_path, "Letters", "About.", SPLITS)
    assert write_dataset_card(tmp_path, "Letters", "Otherwise.", SPLITS)
    assert "Otherwise." in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert read_dataset_card(tmp_path)["licence"] == "unknown"


def test_our_card_that_somebody_changed_is_kept(tmp_path: Path) -> None:
    """Though the line stays that says that we wrote it."""
    card = tmp_path / "README.md"
    assert write_dataset_card(tmp_path, "Letters", "About.", SPLITS)
    changed = card.read_text(encoding="utf-8").replace("About.", "About these letters.")
    card.write_text(changed, encoding="utf-8")
    assert not write_dataset_card(tmp_path, "Letters", "Otherwise.", SPLITS)
    assert card.read_text(encoding="utf-8") == changed


def test_no_card_says_nothing(tmp_path: Path) -> None:
    assert read_dataset_card(tmp_path) == {"licence": None, "language": None}


def test_metadata_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: [mit\n---\nMine.", encoding="utf-8")
    with pytest.raises(ValueError, match="README.md: unreadable metadata"):
        read_dataset_card(tmp_path)


def test_the_sample_corpus_has_its_card(tmp_path: Path) -> None:
    make_sample_corpus.main(["--output_dir", str(tmp_path)])
    assert (tmp_path / "README.md").read_bytes() == (SAMPLE / "README.md").read_bytes()
    assert read_dataset_card(SAMPLE) == {"licence": "cc0-1.0", "language": "en"}


def test_other_sentiments_and_unknown_triplets_have_columns(tmp_path: Path) -> None:
    records = [record(1, (0, 1, 2, 3, "conflict")), record(2), {**record(3), "triplets": None}]
    assert write_dataset_card(tmp_path, "Letters", "About.", {"train": records})
    text = DatasetCard.load(tmp_path / "README.md").text
    head = "| split | sentences | without a triplet | triplets not known | triplets | POS | NEG | NEU | conflict |"
    assert head in text and "| train | 3 | 1 | 1 | 1 | 0 | 0 | 0 | 1 |" in text
