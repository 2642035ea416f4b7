"""Rated sentences of VADER (Hutto & Gilbert, ICWSM 2014), for an encoder to learn from.

    python -m experiments.vader_ratings --output_dir data/vader
    python -m experiments.ratings data/vader/ratings.jsonl --output_dir outputs/rated

How good or bad each sentence sounds was rated by 20 people, from -4 to 4; the mean is the rating. Of the four
collections the three that judge something are read: reviews of products on Amazon, of films, and tweets. The source
distribution of the package vaderSentiment, which holds them, is downloaded once and checked against its sum, or given
with `--archive`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import DatasetCardData

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.downloads import fetch
from d2e2s.data_scripts.files import write_text
from d2e2s.data_scripts.records import RecordError

URL = (
    "https://files.pythonhosted.org/packages/77/8c/4a48c10a50f750ae565e341e697d74a38075a3e43ff0df6f1ab72e186902/"
    "vaderSentiment-3.3.2.tar.gz"
)
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
COLLECTIONS = {"amazonReviewSnippets": "products", "movieReviewSnippets": "films", "tweets": "tweets"}
FORM = "ID, mean rating and text, with tabs between"
CARD = """---
{metadata}
---

# Rated sentences of VADER

Of Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text" (ICWSM 2014),
from the source distribution of the package vaderSentiment, which is under the MIT licence; the sentences are their
authors'.
`ratings.jsonl`: `text`, `rating` (-4 to 4, the mean of 20 people) and `source`: {counts}.
"""


def read_archive(path: Path) -> list[dict[str, object]]:
    """The rated sentences of the package's source distribution: `text`, `rating`, `source`.

    Raises:
        RecordError: not this archive, or a line that is not `FORM`, with its number.
        FileNotFoundError: no such file.
    """
    try:
        with tarfile.open(path) as outer:
            inner = next((name for name in outer.getnames() if name.endswith(INNER)), None)
            if inner is None:
                raise RecordError(str(path), f"holds no {INNER}", "the source distribution of vaderSentiment")
            with tarfile.open(fileobj=outer.extractfile(inner)) as files:
                return [row for name in COLLECTIONS for row in _rows(files, name, path)]
    except (tarfile.TarError, zlib.error, EOFError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(str(path), f"no whole .tar.gz ({reason})", f"the file of {URL}") from None


def _rows(files: tarfile.TarFile, name: str, path: Path) -> Iterator[dict[str, object]]:
    file = next((member for member in files.getnames() if member.endswith(f"{name}_GroundTruth.txt")), None)
    content = files.extractfile(file) if file else None
    if content is None:
        raise RecordError(str(path), f"holds no {name}_GroundTruth.txt", "the source distribution of vaderSentiment")
    for number, line in enumerate(content.read().decode("utf-8").splitlines(), start=1):
        try:
            _, rating, text = line.split("\t")
            yield {"text": text.strip(), "rating": float(rating), "source": COLLECTIONS[name]}
        except ValueError:
            raise RecordError(f"{path}: {name}_GroundTruth.txt:{number}", repr(line[:80]), FORM) from None


def write(rows: list[dict[str, object]], folder: Path) -> str:
    """Write `ratings.jsonl` and its card; returns the counts."""
    write_text(folder / "ratings.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    found = Counter(str(row["source"]) for row in rows)
    counts = ", ".join(f"{number} {source}" for source, number in found.items())
    metadata = DatasetCardData(pretty_name="Rated sentences of VADER", license="mit", language="en").to_yaml()
    write_text(folder / "README.md", CARD.format(metadata=metadata, counts=counts))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--archive", type=Path, help="vaderSentiment-3.3.2.tar.gz (default: download)")
    arguments = parser.parse_args()

    def run() -> None:
        archive = arguments.archive or fetch(URL, SHA256, "vader", "pass --archive")
        counts = write(read_archive(archive), arguments.output_dir)
        print(f"{arguments.output_dir}/ratings.jsonl: {counts}")

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
