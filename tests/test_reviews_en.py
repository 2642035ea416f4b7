"""The parts of the recipe of the model in the box."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pooch
import pytest
import torch
from safetensors.torch import load_file

from d2e2s.checkpoints import SUMS, check, load_checkpoint
from d2e2s.data_scripts.records import validate_record
from d2e2s.evaluation.results import RESULTS
from d2e2s.prediction.predict import load_pipeline
from experiments import reviews_en, reviews_en_card
from experiments.reviews_en import (
    GOLD,
    gold_sentences,
    halve_f1,
    in_haste,
    mean_of,
    pack,
    snippets,
    together,
    trimmed,
)

ROOT = Path(__file__).resolve().parents[1]
TOKENS = ["The", "food", "was", "very", "good", "and", "the", "soup", "was", "not", "so", "bad", "."]


def triplet(aspect: list[int], opinion: list[int], sentiment: str = "POS") -> dict[str, Any]:
    return {"aspect": aspect, "opinion": opinion, "sentiment": sentiment}


def found(aspect: str, opinion: str, score: float) -> dict[str, Any]:
    text = " ".join(TOKENS)
    spans = {"aspect": text.index(aspect), "opinion": text.index(opinion)}
    ends = {"aspect": len(aspect), "opinion": len(opinion)}
    terms = {role: {"start": start, "end": start + ends[role]} for role, start in spans.items()}
    return {**terms, "sentiment": "POS", "score": score}


def test_gold_sentences_hold_every_triplet_of_the_reviews() -> None:
    records = list(gold_sentences())
    reviews = [json.loads(line) for line in GOLD.read_text(encoding="utf-8").splitlines()]
    for record in records:
        validate_record(record, record["id"])
    strings = [
        (" ".join(record["tokens"][slice(*one["aspect"])]), one["sentiment"])
        for record in records
        for one in record["triplets"]
    ]
    gold = [(one["aspect"]["text"], one["sentiment"]) for review in reviews for one in review["triplets"]]
    assert sorted(strings) == sorted(gold)


def test_opinions_lose_what_strengthens_them_and_no_more() -> None:
    record = {"id": "a", "tokens": TOKENS, "triplets": [triplet([1, 2], [2, 5]), triplet([7, 8], [9, 12], "NEG")]}
    assert [one["opinion"] for one in trimmed(record)["triplets"]] == [[4, 5], [9, 12]]
    record["triplets"] = [triplet([1, 2], [3, 4])]
    assert trimmed(record)["triplets"] == record["triplets"]  # something is left


def test_some_public_sentences_are_read_again_as_if_typed_in_haste() -> None:
    texts = ["The", "waitress", "brought", "delicious", "chocolate", "cake", "quickly"]
    records = [{"id": f"dmaste-{i}", "tokens": texts, "triplets": [triplet([5, 6], [3, 4])]} for i in range(400)]
    hasty = in_haste([*records, {**records[0], "id": "practice-1"}], seed=1)
    assert 50 < len(hasty) < 110 and not any(record["id"].startswith("practice") for record in hasty)
    assert hasty == in_haste(records, seed=1) and {record["id"] for record in hasty}.isdisjoint(
        r["id"] for r in records
    )
    for record in hasty:
        validate_record(record, record["id"])
        assert len(record["tokens"]) == len(texts) and record["triplets"] == records[0]["triplets"]
    changed = [new != old for record in hasty for new, old in zip(record["tokens"], texts, strict=True)]
    assert 0.2 < sum(changed) / len(changed) < 0.4


def test_sentences_of_vader_have_no_triplets_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["1_1\t-0.9\tthe picture isn't sharp.", "1_2\t2.1\t" + "great " * 33, "1_3\t2\tgood."]
    inner = archive(f"{reviews_en.RATED}/amazonReviewSnippets_GroundTruth.txt", "\n".join(lines).encode())
    path = tmp_path / "vader.tar.gz"
    path.write_bytes(archive(f"{reviews_en.VADER}/additional_resources/{reviews_en.RATED}.tar.gz", inner))
    first, last = snippets(path)  # one is longer than the texts that the model reads
    assert first == {"id": "vader-1_1", "tokens": ["the", "picture", "is", "n't", "sharp", "."], "triplets": []}
    assert last["id"] == "vader-1_3"
    fetched = []
    monkeypatch.setattr(pooch, "retrieve", lambda url, pin, **names: fetched.append((url, pin)) or str(path))
    assert snippets(None) == [first, last]
    assert fetched == [(f"{reviews_en.PYPI}/{reviews_en.VADER}.tar.gz", f"sha256:{reviews_en.VADER_SHA256}")]


def archive(name: str, content: bytes) -> bytes:
    buffer, member = io.BytesIO(), tarfile.TarInfo(name)
    member.size = len(content)
    with tarfile.open(fileobj=buffer, mode="w:gz") as files:
        files.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_the_weights_of_models_are_averaged(model: Path, tmp_path: Path) -> None:
    network, processor = load_checkpoint(str(model))
    shutil.copytree(model, tmp_path / "other")
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(1)
    network.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / SUMS).unlink(missing_ok=True)
    between = mean_of([model, tmp_path / "other"])[0].state_dict()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(between[name], weight - 0.5)


def test_students_begin_alike_and_read_on_their_own(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, finished = list[Any](), list[Path]()

    def train(encoder: str, records: Any, folder: Path, seed: int, data_seed: int | None = None) -> None:
        read.append(([record["id"] for record in records], seed, data_seed))
        shutil.copytree(model, folder)

    monkeypatch.setattr(reviews_en, "train", train)
    monkeypatch.setattr(reviews_en, "trainer_of", lambda *given, **seeds: SimpleNamespace(finish=lambda: None))
    monkeypatch.setattr(reviews_en, "halve_f1", finished.append)
    records = [{"id": f"dmaste-{i}", "tokens": TOKENS, "triplets": []} for i in range(100)]
    reviews_en.train_students(records, tmp_path, 42)
    (first, *seeds), (second, *others) = read
    assert (seeds, others) == ([42, 42], [42, 43]) and first[:100] == second[:100] and first[100:] != second[100:]
    assert finished == [tmp_path]


def test_what_is_found_joins_what_is_annotated_the_surest_first() -> None:
    record = {"id": "a", "tokens": TOKENS, "triplets": [triplet([1, 2], [4, 5], "NEG")]}
    more = [found("food", "very good", 0.9), found("soup", "bad", 0.3), found("soup", "so bad", 0.8)]
    own, other = together(record, more)["triplets"]
    assert own == record["triplets"][0] and other == triplet([7, 8], [10, 12])


def test_the_threshold_is_half_of_the_best_f1(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    told = {"config": {}, "data": {}, "training": {}}
    run = {"seed": 1, "encoder": "x", "arguments": told, "eval_triplet_f1": 0.7446}
    (tmp_path / "model" / RESULTS).write_text(json.dumps(run), encoding="utf-8")
    halve_f1(tmp_path / "model")
    assert load_pipeline(str(tmp_path / "model")).model.config.decision_threshold == 0.37


def test_a_packed_model_is_float16_on_the_disk_and_float32_in_memory(model: Path, tmp_path: Path) -> None:
    told = {"config": {}, "data": {"train_file": "/home/me/train.jsonl"}, "training": {"output_dir": "/home/me"}}
    run = {"seed": 1, "encoder": "x", "base_model": None, "data_label": "Mine", "train_sentences": 3, "arguments": told}
    (model / "all_results.json").write_text(json.dumps(run), encoding="utf-8")
    pack(model, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("*.py")) and "all_results.json" in check(tmp_path / "packed")
    assert {w.dtype for w in load_file(tmp_path / "packed" / "model.safetensors").values()} == {torch.float16}
    assert {p.dtype for p in load_pipeline(str(tmp_path / "packed")).model.parameters()} == {torch.float32}
    assert "/home/me" not in (tmp_path / "packed" / "all_results.json").read_text(encoding="utf-8")


def test_the_card_is_what_the_results_say() -> None:
    results = json.loads((ROOT / "results" / "reviews_en.json").read_text(encoding="utf-8"))
    assert (ROOT / "d2e2s" / "reviews-en" / "README.md").read_text(encoding="utf-8") == reviews_en_card.card(results)
