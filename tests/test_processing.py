"""Words, pieces, nodes, labels and triplets, for every family of tokenizers."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from any_text import TEXTS
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import KINDS, TOKENIZERS, WINDOW, tiny_encoder
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoTokenizer

from d2e2s.collator_d2e2s import DataCollatorForTripletExtraction
from d2e2s.processing_d2e2s import D2E2SInputs, D2E2SProcessor
from d2e2s.words_d2e2s import MAX_WORD_CHARACTERS

WORDS = [["The", "food", "was", "great", "."], ["Slow", "service", "!"]]
HEADS = [[2, 4, 4, 0, 4], [2, 0, 2]]
TRIPLETS = [
    [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}],
    [{"aspect": [1, 2], "opinion": [0, 1], "sentiment": "NEG"}],
]
RECORDS = [
    {"id": str(i), "tokens": words, "heads": heads, "deprels": ["dep"] * len(words), "triplets": triplets}
    for i, (words, heads, triplets) in enumerate(zip(WORDS, HEADS, TRIPLETS, strict=True))
]


@pytest.fixture(scope="module", params=KINDS)
def processor(request: pytest.FixtureRequest) -> D2E2SProcessor:
    return D2E2SProcessor(TOKENIZERS[request.param](), deprel_labels=["nsubj", "dep"])


@pytest.fixture(scope="module")
def bert() -> D2E2SProcessor:
    return D2E2SProcessor(TOKENIZERS["bert"](), deprel_labels=["nsubj", "dep"])


# --- pieces and nodes


def test_pieces_belong_to_their_words(processor: D2E2SProcessor) -> None:
    """Each word alone makes the same pieces as in its sentence; specials and padding are as designed."""
    inputs = processor(words=WORDS)
    for b, words in enumerate(WORDS):
        ids, nodes = inputs["input_ids"][b], inputs["word_index"][b]
        assert nodes[0] == 0
        for i, word in enumerate(words):
            alone = processor(words=[[word]])["input_ids"][0, 1:-1]
            assert ids[nodes == i + 1].tolist() == alone.tolist()
        real = int(inputs["attention_mask"][b].sum())
        assert nodes[real - 1] == -1 and (nodes[real:] == -1).all()
        assert (ids[real:] == processor.tokenizer.pad_token_id).all()
    assert inputs["word_mask"].tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert all(inputs[key].dtype == torch.int64 for key in ("input_ids", "attention_mask", "word_index"))
    assert inputs["word_mask"].dtype == torch.bool
    assert "heads" not in inputs and "labels" not in inputs and "deprels" not in inputs


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_takes_the_inputs(kind: str, tmp_path: Path) -> None:
    folder = tiny_encoder(kind, tmp_path)
    processor, encoder = D2E2SProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
    inputs = processor(words=[["word"] * 20])
    assert processor.window == WINDOW and inputs["input_ids"].shape[1] <= WINDOW
    taken = {key: inputs[key] for key in processor.tokenizer.model_input_names}
    assert encoder(**taken).last_hidden_state.shape == (*inputs["input_ids"].shape, 32)


def test_space_before_each_word_without_add_prefix_space() -> None:
    tokenizer = TOKENIZERS["roberta"]()
    processor = D2E2SProcessor(tokenizer)
    pieces = processor.tokenizer.convert_ids_to_tokens(processor(words=[["the", "food"]])["input_ids"][0])
    assert pieces == ["<s>", "Ġthe", "Ġfood", "</s>"]
    assert not tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space, "the caller's tokenizer has changed"


@pytest.mark.parametrize("lost", ["\u200b", "\x00", "\u200b\u200d", "\ufeff"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_word_without_piece_becomes_unknown(bert: D2E2SProcessor, lost: str, place: int) -> None:
    words = ["food", "great"]
    words.insert(place, lost)
    inputs = bert(words=[words, ["nice"]])
    assert inputs["word_index"][0].tolist() == [0, 1, 2, 3, -1]
    assert inputs["input_ids"][0, place + 1] == bert.tokenizer.unk_token_id
    assert bert(words=[[lost, lost]])["word_index"].tolist() == [[0, 1, 2, -1]]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_special_token_in_a_review_is_text(kind: str) -> None:
    processor = D2E2SProcessor(TOKENIZERS[kind]())
    special = processor.tokenizer.sep_token
    inputs = processor(words=[["good", special]])
    assert (inputs["input_ids"] == processor.tokenizer.sep_token_id).sum() == 1


@settings(deadline=None, max_examples=60)
@given(words=st.lists(st.text(st.characters(), min_size=1, max_size=4), min_size=1, max_size=6))
def test_every_word_has_a_piece(processor: D2E2SProcessor, words: list[str]) -> None:
    """Any characters, unpaired surrogates among them."""
    nodes = processor(words=[words], max_length=10_000)["word_index"][0]
    assert sorted(set(nodes.tolist())) == [-1, *range(len(words) + 1)]
    inner = nodes[:-1]
    assert (inner[1:] >= inner[:-1]).all()


# --- parses and labels


def test_heads_deprels_and_labels(processor: D2E2SProcessor) -> None:
    deprels = [["nsubj", "dep", "new", "dep", "dep"], None]
    inputs = processor(words=WORDS, heads=[HEADS[0], None], deprels=deprels, triplets=[TRIPLETS[0] * 2, []])
    assert inputs["heads"].tolist() == [HEADS[0], [-1] * 5]
    assert inputs["deprels"].tolist() == [[0, 1, -1, 1, 1], [-1] * 5]
    assert inputs["labels"].tolist() == [[[1, 2, 3, 4, 0]] * 2, [[-100] * 5] * 2]


def test_no_triplet_at_all_leaves_one_row(bert: D2E2SProcessor) -> None:
    assert bert(words=WORDS, triplets=[[], []])["labels"].shape == (2, 1, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": []}, "list of sentences"),
        ({"words": ["flat", "list"]}, "list of sentences"),
        ({"words": "text"}, "list of sentences"),
        ({"words": [["a"], []]}, "sentence 1: no words"),
        ({"words": [["a"], ["b", ""]]}, "sentence 1: word 1 is empty"),
        ({"words": [["a"], ["b", 3]]}, "sentence 1: expected a list of words"),
        ({"words": [["a"], "text"]}, "sentence 1: expected a list of words"),
        ({"words": WORDS, "heads": [HEADS[0]]}, "heads of 1 sentences"),
        ({"words": WORDS, "heads": [HEADS[0], [1]]}, "sentence 1: 1 heads, 3 words"),
        ({"words": WORDS, "heads": [HEADS[0], [4, 0, 1]]}, "sentence 1: heads from 0 to 4"),
        ({"words": WORDS, "heads": [HEADS[0], [-2, 0, 1]]}, "sentence 1: heads from -2 to 1"),
        ({"words": WORDS, "deprels": [["dep"], None]}, "sentence 0: 1 deprels, 5 words"),
        ({"words": WORDS, "return_tensors": "np"}, "return_tensors"),
        ({"words": [["a"], ["a"] * 200]}, r"sentence 1 .*200 words.*more than the 128 .*windows"),
        ({"words": WORDS, "max_length": 5}, r"sentence 0 .*more than the 5 "),
    ],
)
def test_malformed_input_is_named(bert: D2E2SProcessor, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bert(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aspect": [3, 4]}, r"sentence 1: aspect \[3, 4\)"),
        ({"opinion": [1, 1]}, r"sentence 1: opinion \[1, 1\)"),
        ({"opinion": [-1, 1]}, r"sentence 1: opinion \[-1, 1\)"),
        ({"sentiment": "GOOD"}, "sentence 1: unknown sentiment 'GOOD'"),
    ],
)
def test_malformed_triplet_is_named(bert: D2E2SProcessor, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bert(words=WORDS, triplets=[[], [{**TRIPLETS[1][0], **change}]])


def test_tokenizer_without_leading_special_token() -> None:
    tokenizer = TOKENIZERS["bert"]()
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(ValueError, match="special token first"):
        D2E2SProcessor(tokenizer)


# --- decoding


def _outputs(rows: list, scores: list) -> dict[str, torch.Tensor]:
    return {"triplets": torch.tensor(rows), "scores": torch.tensor(scores)}


def test_post_process(bert: D2E2SProcessor) -> None:
    inputs = bert(words=WORDS)
    none = [-100] * 5
    later, sooner = [3, 5, 0, 1, 2], [1, 2, 3, 4, 0]
    outputs = _outputs(
        [[later, sooner, sooner, none], [[1, 2, 0, 1, 1], none, none, none]],
        [[0.9, 0.5, 0.8, -100.0], [0.75, -100.0, -100.0, -100.0]],
    )
    first, second = bert.post_process_triplets(outputs, inputs)
    assert [(t["aspect"]["text"], t["sentiment"]) for t in first] == [("food", "POS"), ("great .", "NEU")]
    assert first[0]["score"] == pytest.approx(0.8)
    assert second == [
        {
            "aspect": {"start": 1, "end": 2, "text": "service"},
            "opinion": {"start": 0, "end": 1, "text": "Slow"},
            "sentiment": "NEG",
            "score": 0.75,
        }
    ]
    kept = bert.post_process_triplets(outputs, WORDS, threshold=0.85)
    assert [len(sentence) for sentence in kept] == [1, 0]


@pytest.mark.parametrize("outputs", [{}, {"triplets": None, "scores": None}])
def test_post_process_needs_a_model_that_decodes(bert: D2E2SProcessor, outputs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no triplets: .* training mode; call model.eval\(\)"):
        bert.post_process_triplets(outputs, WORDS)


def test_post_process_needs_words_of_the_batch(bert: D2E2SProcessor) -> None:
    outputs = _outputs([[[1, 2, 0, 1, 1]]], [[0.5]])
    with pytest.raises(ValueError, match="no words"):
        bert.post_process_triplets(outputs, D2E2SInputs({}))
    with pytest.raises(ValueError, match="1 sentences, inputs of 2"):
        bert.post_process_triplets(outputs, WORDS)


def test_words_stay_with_the_inputs(bert: D2E2SProcessor) -> None:
    inputs = bert(words=WORDS)
    assert "words" not in dict(**inputs)
    assert inputs.to("cpu").words == WORDS
    assert pickle.loads(pickle.dumps(inputs)).words == WORDS


# --- collator


def _equal(a: D2E2SInputs, b: D2E2SInputs) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_collator_of_records_and_features(processor: D2E2SProcessor) -> None:
    collate = DataCollatorForTripletExtraction(processor)
    deprels = [record["deprels"] for record in RECORDS]
    expected = processor(words=WORDS, heads=HEADS, deprels=deprels, triplets=TRIPLETS)
    dataset = Dataset.from_list(RECORDS)
    mapped = dataset.map(processor.tokenize_records, batched=True, remove_columns=dataset.column_names)
    encoded = [processor.encode_record(record) for record in RECORDS]
    for features in (RECORDS, list(mapped), encoded, [RECORDS[0], encoded[1]]):
        assert _equal(collate(features), expected)
    assert collate(RECORDS).words == WORDS and collate(list(mapped)).words is None


def test_collator_options(bert: D2E2SProcessor) -> None:
    collate = DataCollatorForTripletExtraction(bert, pad_to_multiple_of=32, return_labels=False)
    inputs = collate(RECORDS)
    assert inputs["input_ids"].shape == inputs["word_index"].shape == (2, 32)
    assert "labels" not in inputs


def test_collator_of_records_with_gaps(bert: D2E2SProcessor) -> None:
    collate = DataCollatorForTripletExtraction(bert)
    bare = [{"tokens": record["tokens"], "heads": None, "triplets": None} for record in RECORDS]
    assert {"heads", "deprels", "labels"}.isdisjoint(collate(bare))
    mixed = collate([RECORDS[0], {**bare[1], "triplets": []}])
    assert mixed["heads"][1].tolist() == [-1] * 5
    with pytest.raises(ValueError, match=r"sentences \[1\] have no triplets"):
        collate([RECORDS[0], bare[1]])


def test_unknown_triplets_are_minus_one_where_they_are_allowed(bert: D2E2SProcessor) -> None:
    collate = DataCollatorForTripletExtraction(bert, allow_unlabelled=True)
    bare = [{**record, "triplets": None} for record in RECORDS]
    two = {**RECORDS[0], "triplets": TRIPLETS[0] * 2}
    assert collate([two, bare[1]])["labels"].tolist() == [[[1, 2, 3, 4, 0]] * 2, [[-1] * 5] * 2]
    assert collate(bare)["labels"].tolist() == [[[-1] * 5]] * 2
    assert collate([{**RECORDS[0], "triplets": []}, bare[1]])["labels"][0].tolist() == [[-100] * 5]
    predicting = DataCollatorForTripletExtraction(bert, return_labels=False, allow_unlabelled=True)
    assert "labels" not in predicting([RECORDS[0], bare[1]])


def test_relation_is_read_as_its_universal_one_if_only_that_is_known() -> None:
    processor = D2E2SProcessor(TOKENIZERS["bert"](), deprel_labels=["nmod", "nsubj", "nsubj:pass"])
    deprels = [["nmod:poss", "nsubj:pass", "nsubj:outer", "dep", "aux:pass"]]
    assert processor(words=WORDS[:1], deprels=deprels)["deprels"].tolist() == [[0, 2, 1, -1, -1]]


def test_tokenized_once_gives_trainer_columns(bert: D2E2SProcessor) -> None:
    """Whatever tokenize_records makes is an input of the model, so the Trainer does not drop it."""
    made = set(bert.encode_record(RECORDS[0]))
    assert made <= {"input_ids", "token_type_ids", "word_index", "heads", "deprels", "labels"}


# --- saving


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_reloaded(kind: str, tmp_path: Path) -> None:
    own = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits()])
    saved = D2E2SProcessor(
        TOKENIZERS[kind](), ["nsubj", "dep"], ["NEU", "POS", "NEG"], word_splitter=own, max_length=64
    )
    saved.save_pretrained(tmp_path)
    loaded = D2E2SProcessor.from_pretrained(tmp_path)
    assert (loaded.deprel_labels, loaded.sentiment_labels) == (["nsubj", "dep"], ["NEU", "POS", "NEG"])
    assert loaded.window == 64
    assert loaded.split_words("abc12 d") == saved.split_words("abc12 d") == [("abc", 0, 3), ("12", 3, 5), ("d", 6, 7)]
    assert _equal(loaded(words=WORDS), saved(words=WORDS))
    AutoTokenizer.from_pretrained(tmp_path)


REMOTE = """
import sys
from transformers import AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
nodes = processor(words=[["good", "food"]])["word_index"].tolist()
print(type(processor).__name__, nodes, processor.word_splitter)
"""


@pytest.mark.slow
def test_loads_where_the_package_is_not_installed(tmp_path: Path) -> None:
    D2E2SProcessor(TOKENIZERS["bert"]()).save_pretrained(tmp_path / "model")
    assert "AutoProcessor" in json.loads((tmp_path / "model" / "processor_config.json").read_text())["auto_map"]
    command = [sys.executable, "-I", "-c", REMOTE, str(tmp_path / "model")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.stdout.strip() == "D2E2SProcessor [[0, 1, 2, -1]] penn", done.stderr


# --- raw text


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_any_text_fits_the_window(processor: D2E2SProcessor, text: str) -> None:
    """Also where a word has more pieces than the window: it is cut, its characters stay."""
    sentences = processor.split_text(text, max_length=24)
    words = [word for sentence in sentences for word in sentence]
    assert all(word.text == text[word.start : word.end] for word in words)
    whole = "".join(word.text for word in processor.split_words(text))
    assert "".join(word.text for word in words) == whole
    if sentences:
        processor([[word.text for word in sentence] for sentence in sentences], max_length=24)


@pytest.mark.parametrize("unit", ["a", "é", "😀", "食", "a.", "n't", "..", "'", "<b ", "a@", "www.", "e\u0301", ")"])
def test_long_text_without_space(processor: D2E2SProcessor, unit: str) -> None:
    text = unit * (10_000 // len(unit))
    sentences = processor.split_text(text)
    words = [word for sentence in sentences for word in sentence]
    assert "".join(word.text for word in words) == text.replace(" ", "") or " " in unit
    assert max(len(word.text) for word in words) <= MAX_WORD_CHARACTERS
    processor([[word.text for word in sentence] for sentence in sentences])


def test_windows_follow_one_another(processor: D2E2SProcessor) -> None:
    words = (["food"] * 9 + [","]) * 30
    ranges = processor.windows(words)
    assert [i for start, end in ranges for i in range(start, end)] == list(range(len(words)))
    assert len(ranges) > 2 and all(words[end - 1] == "," for _, end in ranges)
    processor([words[start:end] for start, end in ranges])
    assert processor.windows(["food"] * 5) == [(0, 5)]
    with pytest.raises(ValueError, match="more than the 3"):
        processor.windows(["Zyxwv" * 9], max_length=5)


# --- versions


def test_how_text_is_split_is_saved(bert: D2E2SProcessor, tmp_path: Path) -> None:
    assert (bert.splitter_version, bert.window_words) == (2, 24)
    for version, words in ((1, None), (2, 7)):
        given = D2E2SProcessor(TOKENIZERS["bert"](), splitter_version=version, window_words=words)
        given.save_pretrained(tmp_path)
        saved = D2E2SProcessor.from_pretrained(tmp_path)
        assert saved.splitting == given.splitting == ("penn", version, words, WINDOW)
        first = [word.text for word in saved.split_text("-great food")[0]]
        assert first == (["-great", "food"] if version == 1 else ["-", "great", "food"])


def test_checkpoints_from_before_split_as_they_did() -> None:
    for version in (1, 2, 3):
        processor = D2E2SProcessor.from_pretrained(Path(__file__).parent / "data" / f"checkpoint-v{version}")
        assert (processor.splitter_version, processor.window_words) == (1, None)
        assert [word.text for word in processor.split_text("-food.slow")[0]] == ["-food.slow"]
        assert [len(row) for row in processor.split_text("good food " * 35)] == [70]


@pytest.mark.parametrize("words", [-1, 2.5, True, "32"])
def test_windows_that_cannot_be(words: Any) -> None:
    with pytest.raises(ValueError, match="window_words must be a whole number"):
        D2E2SProcessor(TOKENIZERS["bert"](), window_words=words)
