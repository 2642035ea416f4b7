"""The sample corpus that ships with the project."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from d2e2s.data_scripts import make_sample_corpus
from d2e2s.data_scripts.records import is_tree, read_records

FOLDER = Path(make_sample_corpus.__file__).parent / "sample_corpus"
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[dict]]:
    return {split: read_records(FOLDER / f"{split}.jsonl") for split in SPLITS}


def term(record: dict, span: list[int]) -> str:
    return " ".join(record["tokens"][span[0] : span[1]]).lower()


def terms(records: list[dict], role: str) -> set[str]:
    return {term(record, triplet[role]) for record in records for triplet in record["triplets"]}


def test_making_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    make_sample_corpus.main(["--output_dir", str(tmp_path)])
    for split in SPLITS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (FOLDER / f"{split}.jsonl").read_bytes()


def test_sizes(corpus: dict[str, list[dict]]) -> None:
    assert {split: len(records) for split, records in corpus.items()} == make_sample_corpus.SIZES
    assert all(len(corpus[split]) >= size for split, size in zip(SPLITS, (600, 100, 100), strict=True))


def test_every_sentence_has_one_tree_with_one_root_and_known_relations(corpus: dict[str, list[dict]]) -> None:
    relations = {relation for record in corpus["train"] for relation in record["deprels"]}
    for split, records in corpus.items():
        for record in records:
            assert is_tree(record["heads"]) and record["heads"].count(0) == 1, (split, record["id"])
            assert record["deprels"][record["heads"].index(0)] == "root"
            assert record["deprels"].count("root") == 1
            assert set(record["deprels"]) <= relations, (split, record["id"])


def test_no_sentence_stands_twice(corpus: dict[str, list[dict]]) -> None:
    texts = [" ".join(record["tokens"]) for records in corpus.values() for record in records]
    assert len(set(texts)) == len(texts)


def test_test_has_clauses_and_words_that_training_never_showed(corpus: dict[str, list[dict]]) -> None:
    train, dev, test = (set(make_sample_corpus.Grammar(split, Random(0)).clauses) for split in SPLITS)
    assert train < dev and not test & dev
    for role in ("aspect", "opinion"):
        seen, asked = terms(corpus["train"], role), terms(corpus["test"], role)
        assert len(asked - seen) > 10 and len(asked & seen) > 10


@pytest.mark.parametrize("split", SPLITS)
def test_all_phenomena_are_there(corpus: dict[str, list[dict]], split: str) -> None:
    records = corpus[split]
    triplets = [triplet for record in records for triplet in record["triplets"]]
    for role in ("aspect", "opinion"):
        assert any(triplet[role][1] - triplet[role][0] > 1 for triplet in triplets)
    assert {triplet["sentiment"] for triplet in triplets} == {"POS", "NEG", "NEU"}
    assert any(len(record["triplets"]) > 2 for record in records)
    assert any(not record["triplets"] for record in records)
    pairs = [pair for record in records for pair in combinations(record["triplets"], 2)]
    assert any(first["opinion"] == second["opinion"] for first, second in pairs)
    assert any(first["aspect"] == second["aspect"] for first, second in pairs)
    opinions = terms(records, "opinion")
    assert any(opinion.startswith("not ") for opinion in opinions)
    assert any(opinion.startswith("never ") for opinion in opinions)
    assert "nothing special" in opinions


def test_negation_turns_the_sentiment(corpus: dict[str, list[dict]]) -> None:
    sentiments = {
        term(record, triplet["opinion"]): triplet["sentiment"]
        for record in corpus["train"]
        for triplet in record["triplets"]
    }
    assert sentiments["never disappointing"] == "POS" and sentiments["disappointing"] == "NEG"
    negated = {opinion[4:]: value for opinion, value in sentiments.items() if opinion.startswith("not ")}
    both = {opinion for opinion in negated if opinion in sentiments}
    assert len(both) > 5
    assert all(negated[opinion] == "NEG" and sentiments[opinion] == "POS" for opinion in both)


def test_opinions_of_a_term_are_one_sentiment(corpus: dict[str, list[dict]]) -> None:
    for records in corpus.values():
        for record in records:
            for first, second in combinations(record["triplets"], 2):
                if first["aspect"] == second["aspect"]:
                    assert first["sentiment"] == second["sentiment"], record["id"]
