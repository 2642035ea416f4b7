"""Writes the checkpoint of the current format that `test_formats.py` holds later versions to; once, never again.

PYTHONPATH=. python tests/save_checkpoint.py
"""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import tiny_models
from tiny_models import tiny_checkpoint

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline
from d2e2s.configuration_d2e2s import FORMAT_VERSION

FOLDER = Path(__file__).parent / "data" / f"checkpoint-v{FORMAT_VERSION}"
SMALL = {"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 32}
TEXTS = [
    "We had the pizza, and the waiter was not friendly. Great wine at a bad place!",
    "I have the laptop on my desk and you are too slow in that menu for an average price.",
    "Their service is terrible but delicious food at a bad place.",
    "The battery life is short, cheap & really great: its screen 🙂 matters.",
    "",
    "Food.",
]


def main() -> None:
    """Raises FileExistsError if the format has its checkpoint."""
    FOLDER.mkdir()
    tiny_models.SIZES.update(SMALL)
    first = tiny_checkpoint(FOLDER / "0", seed=0, boundary_refinement=True)
    parts = [first, tiny_checkpoint(FOLDER / "2", seed=2, fusion_type="tin", semantic_gcn="basic")]
    processor = D2E2SProcessor.from_pretrained(parts[0])
    model = D2E2SForTripletExtraction.ensemble_of([D2E2SForTripletExtraction.from_pretrained(part) for part in parts])
    model.config.temperature = 1.3
    for part in parts:
        shutil.rmtree(part)
    processor.save_pretrained(FOLDER)
    extract = TripletExtractionPipeline(model=model, processor=processor)
    model.config.decision_threshold = safe_threshold(extract)
    model.save_pretrained(FOLDER)
    for code in FOLDER.glob("*.py"):  # today's code has to read it
        code.unlink()
    answers = [{"text": text, **extract(text, return_tree=True)} for text in TEXTS]
    text = json.dumps(answers, ensure_ascii=False, indent=1) + "\n"
    (FOLDER / "predictions.json").write_text(text, encoding="utf-8")


def safe_threshold(extract: TripletExtractionPipeline) -> float:
    """Far from every score, so that no rounding changes which triplets are returned."""
    scores = sorted(triplet["score"] for triplets in extract(TEXTS, threshold=0.0) for triplet in triplets)
    _, threshold = max((high - low, (low + high) / 2) for low, high in pairwise(scores) if low > 0.3 and high < 0.6)
    return round(threshold, 4)


if __name__ == "__main__":
    main()
