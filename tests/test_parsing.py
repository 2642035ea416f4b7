"""Supervision for the built-in parser, and its scores."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from model_cases import DEPRELS, sentence, small_model, tiny_bert, tree

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, DataCollatorForTripletExtraction
from d2e2s.data_scripts.records import write_records
from d2e2s.evaluation.syntax import MAX_WORDS, evaluate_parser
from d2e2s.training.data import read_trees, relations_in, tokenized, trees_that_fit

Case = tuple[D2E2SForTripletExtraction, D2E2SProcessor]
LENGTHS = (9, 3, 14, 1, 6)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder, processor = tiny_bert(tmp_path_factory.mktemp("bert"))
    return small_model(folder, ("tin", "basic", "basic")), processor


def predicted(case: Case) -> list[dict[str, Any]]:
    """Sentences with the trees and relations that the model finds for each alone."""
    model, processor = case
    records = []
    for number, length in enumerate(LENGTHS):
        words = sentence(length)
        with torch.inference_mode():
            output = model(**processor(words=[words]), return_relations=True)
        deprels = [f"{DEPRELS[i]}:own" for i in output.relation_logits[0].argmax(-1)]
        records.append(
            {"id": str(number), "tokens": words, "heads": output.heads[0].tolist(), "deprels": deprels, "triplets": []}
        )
    return records


def test_its_own_trees_score_one(case: Case) -> None:
    scores = evaluate_parser(*case, predicted(case), batch_size=2)
    assert (scores["uas"], scores["las"], scores["words"]) == (1.0, 1.0, sum(LENGTHS))


def test_each_wrong_head_and_relation_costs_one_word(case: Case) -> None:
    records, words = predicted(case), sum(LENGTHS)
    for word in (0, 4, 5):
        records[0]["heads"][word] = (records[0]["heads"][word] + 1) % 9
    for word in (5, 6):
        records[0]["deprels"][word] = next(d for d in DEPRELS if not records[0]["deprels"][word].startswith(d))
    records[2]["deprels"][13] = "vocative"  # not known to the model
    scores = evaluate_parser(*case, records, batch_size=3)
    assert scores["uas"] == pytest.approx((words - 3) / words)
    assert scores["las"] == pytest.approx((words - 5) / words)


def test_greedy_heads_need_not_be_a_tree(case: Case) -> None:
    model, processor = case
    records = [{"id": str(n), "tokens": sentence(n), "heads": tree(n, n), "triplets": []} for n in range(5, 17)]
    right = {"uas": 0, "greedy_uas": 0}
    for record in records:
        with torch.inference_mode():
            output = model(**processor(words=[record["tokens"]]), return_relations=True)
        gold = torch.tensor(record["heads"])
        right["uas"] += int((output.heads[0] == gold).sum())
        right["greedy_uas"] += int((output.arc_logits[0].argmax(-1) == gold).sum())
    words = sum(range(5, 17))
    expected = {"words": words} | {name: count / words for name, count in right.items()}
    assert evaluate_parser(model, processor, records) == expected  # no relations given, so no las
    assert right["uas"] != right["greedy_uas"]


def test_too_long_sentences_are_left_out_and_counted(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    records = predicted(case)
    records[1] = {**records[1], "tokens": ["food"] * 200, "heads": [0] * 200, "deprels": ["root"] * 200}
    assert evaluate_parser(*case, records)["words"] == sum(LENGTHS) - LENGTHS[1]
    assert "left out 1 sentences" in caplog.text


def test_model_without_parser(case: Case, tmp_path: Path) -> None:
    folder, processor = tiny_bert(tmp_path)
    model = small_model(folder, ("tin", "basic", "basic"), syntax="input")
    with pytest.raises(ValueError, match="no parser"):
        evaluate_parser(model, processor, predicted(case))


def test_relations_are_the_universal_ones() -> None:
    records = [{"deprels": ["nmod:poss", "root"]}, {"deprels": ["nmod", "aux:pass"]}, {"tokens": ["a"]}]
    assert relations_in(records) == ["aux", "nmod", "root"]


def test_trees_for_training_carry_unknown_triplets(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """They join the labelled sentences; those of more words or pieces than fit are left out, and counted."""
    processor = case[1]
    rows = [(["wine"] * n, [0] * n) for n in (3, MAX_WORDS, MAX_WORDS + 1)] + [(["x" * 90] * 3, [0, 1, 1])]
    records = [{"id": "a", "tokens": w, "heads": h, "deprels": ["root"] * len(w), "triplets": []} for w, h in rows]
    dataset = tokenized(processor, trees_that_fit(processor, records), "trees")
    assert [len(row["heads"]) for row in dataset] == [3, MAX_WORDS]
    assert "left out 2 sentences" in caplog.text
    labels = DataCollatorForTripletExtraction(processor, allow_unlabelled=True)(list(dataset))["labels"]
    assert labels.tolist() == [[[-1] * 5]] * 2


def test_file_of_trees(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = {"id": "a", "tokens": ["nice", "food"], "heads": [2, 0], "deprels": ["amod", "root"], "triplets": []}
    path = tmp_path / "trees.jsonl"
    write_records(path, [record])
    assert read_trees(str(path)) == [record] and not caplog.text
    write_records(path, [{**record, "triplets": [{"aspect": [1, 2], "opinion": [0, 1], "sentiment": "POS"}]}])
    assert len(read_trees(str(path))) == 1 and "its 1 triplets are not used" in caplog.text
    write_records(path, [record, {"id": "b", "tokens": ["x"], "triplets": []}])
    with pytest.raises(ValueError, match=r"trees.jsonl: record 2 \(b\) has no heads"):
        read_trees(str(path))


def test_parser_learns_from_trees_alone(tmp_path: Path) -> None:
    """A few steps on unlabelled sentences whose every word hangs on the next one."""
    folder, processor = tiny_bert(tmp_path)
    model = small_model(folder, ("tin", "basic", "basic")).train()
    draw = random.Random(0)
    lengths = [draw.randint(3, 8) for _ in range(24)]
    records = [
        {"id": str(i), "tokens": sentence(n), "heads": [*range(2, n + 1), 0], "triplets": None}
        for i, n in enumerate(lengths)
    ]
    inputs = processor.pad(processor.encode_records(records), allow_unlabelled=True)
    before = evaluate_parser(model, processor, records)["uas"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(25):
        optimizer.zero_grad()
        model.train()(**inputs).loss.backward()
        optimizer.step()
    assert evaluate_parser(model, processor, records)["uas"] > before + 0.2
