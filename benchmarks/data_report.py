"""Counts of prepared data sets, and of what was repaired in them, from their reports.

    python data_scripts/prepare_aste_v2.py --name 14lap 14res 15res --output_dir data
    python -m benchmarks.data_report data/*/report.json --out results/data --page data_scripts/README.md

writes a file of counts for each `report.json` that `prepare_aste_v2.py` left beside the records, and all files of
`--out` as tables between the page's `data` marks.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.overlap import leaks

from .report import markdown_table, option_parser, show, write_json

Counts = dict[str, Any]  # of one data set: what a results file holds

COLUMNS = {
    "sentences": "sentences",
    "triplets": "triplets",
    "trees_repaired": "trees changed",
    "parser_tokens_differ": "parser's tokens differ",
    "parsed_as_several_sentences": "parsed as several sentences",
}
SHARES = ("trees_repaired", "parser_tokens_differ")


def count(report: Mapping[str, Any]) -> Counts:
    """A report with each list replaced by its length."""
    return {
        "name": report["name"],
        "arguments": report["arguments"],
        "splits": {
            split: {key: len(value) if isinstance(value, list) else value for key, value in found.items()}
            for split, found in report["splits"].items()
        },
        "shared_sentences": [
            {"first": entry["first"], "second": entry["second"], "in_second": len(entry["ids_in_second"])}
            for entry in report["shared_sentences"]
        ],
    }


def read_report(path: Path) -> Counts:
    """Counts of a `report.json`.

    Raises:
        ValueError: it is no report of prepare_aste_v2.
    """
    try:
        return count(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a report.json of prepare_aste_v2.py ({error!r})") from None


def read_counts(folder: Path) -> list[Counts]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def share(sets: Iterable[Counts], key: str) -> str:
    """Smallest and largest share of a file's sentences that a count has, such as "13.1 to 20.5 %"."""
    shares = [100 * split[key] / split["sentences"] for counts in sets for split in counts["splits"].values()]
    return f"{min(shares):.1f} to {max(shares):.1f} %"


def overlaps(sets: Iterable[Counts]) -> list[tuple[str, str, str]]:
    """Different splits that share sentences, and how many of the second the first has too."""
    found = {
        (entry["first"], entry["second"]): str(entry["in_second"])
        for counts in sets
        for entry in leaks(counts["shared_sentences"])
    }
    return [(*pair, number) for pair, number in sorted(found.items())]


def page_text(sets: Sequence[Counts]) -> str:
    """Markdown: a row for each split, the range of the shares, and a row for each two splits that share sentences."""
    rows = [
        (counts["name"], split, *(str(found[key]) for key in COLUMNS))
        for counts in sets
        for split, found in counts["splits"].items()
    ]
    shares = "; ".join(f"{COLUMNS[key]}: {share(sets, key)}" for key in SHARES)
    text = markdown_table(("set", "split", *COLUMNS.values()), rows)
    text += f"\nOf the sentences of a file, {shares}.\n"
    if shared := overlaps(sets):
        header = ("split", "and split", "sentences of the second that stand in the first")
        text += "\nDifferent splits that share sentences:\n\n" + markdown_table(header, shared)
    return text + "\nFrom `results/data/*.json`, counted by `python -m benchmarks.data_report`.\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, "folder of results files, one a set")
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT.json")
    arguments = parser.parse_args(argv)
    for counts in [read_report(path) for path in arguments.reports]:
        write_json(arguments.out / f"{counts['name']}.json", counts)
    show(page_text(read_counts(arguments.out)), arguments.page, "data")


if __name__ == "__main__":
    main()
