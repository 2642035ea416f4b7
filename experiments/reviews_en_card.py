"""Score the model in the box on text that it never saw, and write its card.

    python data_scripts/from_aste_text.py --name dmaste 14res 14lap --output_dir data/reviews
    python -m experiments.reviews_en_card d2e2s/reviews-en --data data/reviews --results results/reviews_en.json

Everything is scored from raw text, as people write it, at the model's own threshold; the test sets once.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.raw_scores import read_gold, score
from benchmarks.timing import command_line
from d2e2s.checkpoints import seal
from d2e2s.data_scripts.files import write_json, write_text
from d2e2s.pipeline_d2e2s import TripletExtractionPipeline
from d2e2s.prediction.predict import load_pipeline
from d2e2s.reporting.markdown import markdown_table

ROOT = Path(__file__).resolve().parents[1]
CHALLENGE = ROOT / "tests" / "data" / "challenge.jsonl"
KNOWN, UNKNOWN = ("electronics", "home", "beauty", "fashion"), ("book", "grocery", "pet", "toy")
# Name in the results: what it is, and its files below the data folder.
SETS = {
    "dmaste_known": ("DMASTE dev, domains of the training data", [f"{name}/dev.jsonl" for name in KNOWN]),
    "dmaste_unknown": ("DMASTE dev, other domains", [f"{name}/dev.jsonl" for name in UNKNOWN]),
    "14res": ("ASTE-Data-V2, restaurants, test", ["14res/test.jsonl"]),
    "14lap": ("ASTE-Data-V2, laptops, test", ["14lap/test.jsonl"]),
}
METADATA = {
    "license": "apache-2.0",
    "language": "en",
    "library_name": "transformers",
    "base_model": "sentence-transformers/all-MiniLM-L6-v2",
    "tags": ["aspect-sentiment-triplet-extraction", "aspect-based-sentiment-analysis", "reviews"],
}
CARD = (Path(__file__).parent / "reviews_en_card.md").read_text(encoding="utf-8")


def score_all(extract: TripletExtractionPipeline, data: Path) -> dict[str, Any]:
    """The scores of each set, see `raw_scores.score`."""
    files = {name: [data / file for file in files] for name, (_, files) in SETS.items()}
    return {name: score_files(extract, paths) for name, paths in ({"challenge": [CHALLENGE]} | files).items()}


def score_files(extract: TripletExtractionPipeline, paths: Sequence[Path]) -> dict[str, Any]:
    texts = [text for path in paths for text in read_gold(path, detokenise=True)[0]]
    return {"texts": len(texts), **score(extract([text["text"] for text in texts]), texts)}


def card(results: Mapping[str, Any]) -> str:
    """The model card of results."""
    metadata = yaml.safe_dump(METADATA, sort_keys=False)
    return f"---\n{metadata}---\n" + CARD.format(
        sets=markdown_table(
            ("from raw text", "exact F1", "of POS", "of NEG", "by overlap: F1", "precision", "recall"),
            [(about, *_row(results[name])) for name, (about, _) in SETS.items()],
        ),
        kinds=markdown_table(
            ("kind", "sentences that are right"),
            [(name.replace("_", " "), f"{share:.2f}") for name, share in results["challenge"]["right"].items()],
        ),
        threshold=f"{results['threshold']:.2f}",
        sentences=results["challenge"]["texts"],
    )


def _row(scores: Mapping[str, Any]) -> list[str]:
    exact, overlap = scores["exact"], scores["overlap"]
    values = [exact[label]["f1"] for label in ("all", "POS", "NEG")]
    return [f"{value:.2f}" for value in [*values, *(overlap["all"][name] for name in ("f1", "precision", "recall"))]]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that --pack has written")
    parser.add_argument("--data", type=Path, help="folder of the sets; default: the results are read, not made")
    parser.add_argument("--results", type=Path, required=True)
    options = parser.parse_args(argv)
    if options.data:
        extract = load_pipeline(str(options.model), device="cpu")
        about = {"command": command_line(), "threshold": extract.model.config.decision_threshold}
        write_json(options.results, {**about, **score_all(extract, options.data)})
    write_text(options.model / "README.md", card(json.loads(options.results.read_text(encoding="utf-8"))))
    for code in options.model.glob("*.py"):
        code.unlink()
    seal(options.model)


if __name__ == "__main__":
    main()
