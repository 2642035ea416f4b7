"""The whole model: equal to its literal form, blind to padding, finite, trainable everywhere, honest at evaluation."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import (
    CHOICES,
    DEPRELS,
    RECORDS,
    WIDTH,
    assert_same,
    every_choice,
    inputs_of,
    pairs_of,
    small_model,
    tiny_bert,
    training,
    tree,
    triplets_of,
)
from tiny_models import KINDS, tiny_encoder
from torch import Tensor
from transformers import AutoModel

from benchmarks.reference import literal_forward
from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SModel, D2E2SProcessor
from d2e2s.encoding_d2e2s import encode, length_halves
from d2e2s.modeling_d2e2s import GraphOutput
from d2e2s.output_d2e2s import D2E2SOutput

Choice = tuple[str, str, str]
DEFAULT: Choice = ("cross_attention", "enhanced", "basic")
# Every loss switched on.
ALL_LOSSES = {"contrastive_loss_weight": 0.1, "graph_consistency_weight": 0.1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, D2E2SProcessor]:
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def folder(tiny: tuple[Path, D2E2SProcessor]) -> Path:
    return tiny[0]


@pytest.fixture(scope="module")
def processor(tiny: tuple[Path, D2E2SProcessor]) -> D2E2SProcessor:
    return tiny[1]


@pytest.fixture(scope="module")
def everything(processor: D2E2SProcessor) -> Any:
    return inputs_of(processor)


def close(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


# --- equal to the literal form


def assert_equals_literal(model: D2E2SForTripletExtraction, inputs: Any) -> None:
    fast, slow = model(**inputs), literal_forward(model, inputs)
    words = inputs["word_mask"].sum(1)
    exists = (slow.span_logits != 0).any(-1)
    assert int(exists[0].sum()) == sum(min(WIDTH, int(words[0]) - start) for start in range(int(words[0])))
    close(fast.span_logits[exists], slow.span_logits[exists])
    assert_same(pairs_of(fast, model, words), pairs_of(slow, model, words))
    if model.training:
        assert fast.triplets is None and fast.scores is None
    else:
        assert_same(triplets_of(fast), triplets_of(slow))
    assert fast.losses.keys() == slow.losses.keys()
    for name, loss in slow.losses.items():
        close(fast.losses[name], loss)
    close(fast.loss, slow.loss)


@every_choice
def test_equals_literal(choice: Choice, folder: Path, everything: Any) -> None:
    model = small_model(folder, choice, boundary_refinement=True, **ALL_LOSSES)
    assert_equals_literal(model, everything)


@pytest.mark.parametrize(
    "config",
    [
        {"contrastive_temperature": 0.5, "contrastive_loss_weight": 1.0},
        {"syntax": "predicted", "graph_consistency_weight": 0.5, "syntactic_gcn": "enhanced"},
        {"syntax": "input", "graph_consistency_weight": 0.5},
        {"parser_loss_weight": 0.0},
        {"deprel_labels": []},
        {"decision_threshold": 0.6, "temperature": 0.5},
        {"decision_threshold": 0.3, "temperature": 1.5, "score_shift": -1.0},
        {"max_triplets": 3, "max_candidates": 2},
        {"allow_overlaps": True},
        {"sentiment_labels": ["POS", "NEG", "NEU", "MIXED"]},
        {"gcn_layers": 3, "gcn_heads": 2, "fusion_heads": 12, "graph_size": 24},
    ],
    ids=lambda config: "-".join(config),
)
def test_equals_literal_without_the_defaults(config: dict[str, Any], folder: Path, everything: Any) -> None:
    fusion, semantic, syntactic = DEFAULT
    choice = (fusion, semantic, config.pop("syntactic_gcn", syntactic))
    inputs = all_parsed(everything) if config.get("syntax") == "input" else everything
    assert_equals_literal(small_model(folder, choice, **config), inputs)


def all_parsed(inputs: Any) -> dict[str, Any]:
    """The same batch, where a sentence without a parse gets a chain: each word's head is the word before it."""
    chain = torch.arange(inputs["word_mask"].shape[1]).where(inputs["word_mask"], -1)
    missing = (inputs["heads"] < 0).all(1, keepdim=True)
    return {**inputs, "heads": torch.where(missing, chain, inputs["heads"])}


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("choice", CHOICES[::6], ids="-".join)
def test_training_equals_literal_with_its_gradients(choice: Choice, rate: float, folder: Path, everything: Any) -> None:
    fields = {"predicted_graph_rate": rate, "max_candidates": 12, "boundary_refinement": True, **ALL_LOSSES}
    model = training(small_model(folder, choice, **fields))
    assert_equals_literal(model, everything)
    fast = gradients(model, model(**everything).loss)
    slow = gradients(model, literal_forward(model, everything).loss)
    for name, gradient in fast.items():
        # Some are 0 but for rounding, such as that of the bias of an encoder's keys.
        tolerance = 1e-3 * float(gradient.abs().max()) + 1e-5
        torch.testing.assert_close(slow[name], gradient, atol=tolerance, rtol=1e-3)


def gradients(model: D2E2SForTripletExtraction, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter that has one."""
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


# --- padding


@pytest.fixture(scope="module")
def memory() -> dict[Choice, Any]:
    """For each choice a model and what it says of each sentence alone."""
    return {}


def alone(choice: Choice, folder: Path, processor: D2E2SProcessor, memory: dict[Choice, Any]) -> Any:
    if choice not in memory:
        model = small_model(folder, choice, boundary_refinement=True)
        with torch.inference_mode():
            memory[choice] = model, {name: model(**inputs_of(processor, name)) for name in RECORDS}
    return memory[choice]


def padded(inputs: Any, pieces: int, words: int, labels: int = 0) -> dict[str, Tensor]:
    """The inputs with so many more columns of padding."""
    made = dict(inputs)
    # Any piece may stand where attention_mask is 0.
    for name, value in {"input_ids": 7, "attention_mask": 0, "token_type_ids": 0, "word_index": -1}.items():
        made[name] = torch.nn.functional.pad(inputs[name], (0, pieces), value=value)
    for name in {"word_mask", "heads", "deprels"} & set(inputs):
        value = False if name == "word_mask" else -1
        made[name] = torch.nn.functional.pad(inputs[name], (0, words), value=value)
    made["labels"] = torch.nn.functional.pad(inputs["labels"], (0, 0, 0, labels), value=-100)
    return made


def row_of(model: D2E2SForTripletExtraction, output: Any, row: int, words: int) -> Any:
    """One sentence of an output: span logits, pairs and triplets."""
    names = ("aspects", "opinions", "pair_logits", "triplets", "scores")
    part = D2E2SOutput(**{name: output[name][row : row + 1] for name in names})
    inside = torch.arange(words)[:, None] + torch.arange(WIDTH) < words
    spans = output.span_logits[row, :words][inside]
    return spans, pairs_of(part, model, torch.tensor([words])), triplets_of(part)


@every_choice
@settings(max_examples=4, deadline=None)
@given(
    names=st.lists(st.sampled_from(list(RECORDS)), min_size=1, max_size=6),
    pieces=st.integers(0, 20),
    words=st.integers(0, 20),
)
def test_padding_never_changes_a_prediction(
    choice: Choice,
    folder: Path,
    processor: D2E2SProcessor,
    memory: dict[Choice, Any],
    names: list[str],
    pieces: int,
    words: int,
) -> None:
    model, expected = alone(choice, folder, processor, memory)
    with torch.inference_mode():
        output = model(**padded(inputs_of(processor, *names), pieces, words))
    for row, name in enumerate(names):
        length = len(RECORDS[name]["tokens"])
        spans, pairs, triplets = row_of(model, output, row, length)
        spans_alone, pairs_alone, triplets_alone = row_of(model, expected[name], 0, length)
        close(spans, spans_alone)
        assert_same(pairs, pairs_alone)
        assert_same(triplets, triplets_alone)


@every_choice
def test_padding_never_changes_a_loss(choice: Choice, folder: Path, processor: D2E2SProcessor) -> None:
    """And the losses of a batch are the means of its sentences', weighted by what they count."""
    model = training(small_model(folder, choice, **ALL_LOSSES))
    names = ["one word", "two opinions", "no parse", "too wide", "long"]
    inputs = inputs_of(processor, *names)
    together, wider = model(**inputs).losses, model(**padded(inputs, 7, 5, 2)).losses
    assert together.keys() == wider.keys()
    for name, loss in together.items():
        close(loss, wider[name])
    single = [model(**inputs_of(processor, name)).losses for name in names]
    words = [len(RECORDS[name]["tokens"]) for name in names]
    counts = {"span": words, "pair": words, "graph_consistency": [n + 1 for n in words]}
    # Without its parse, a sentence has no part in the parser's loss.
    counts["parser"] = [n * (RECORDS[name]["heads"] is not None) for n, name in zip(words, names, strict=True)]
    for name in together.keys() & counts:
        parts = [n * losses[name] for n, losses in zip(counts[name], single, strict=True) if n]
        close(together[name], sum(parts) / sum(counts[name]))


# --- finite

PRECISIONS = {
    "fp32": nullcontext,
    "bf16 autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "fp16 autocast": lambda: torch.autocast("cpu", torch.float16),
    "bf16": nullcontext,
}


def floats(output: Any) -> dict[str, Tensor]:
    found = {name: value for name, value in output.items() if isinstance(value, Tensor) and value.is_floating_point()}
    return found | output.losses


@pytest.mark.parametrize("precision", PRECISIONS)
@every_choice
def test_always_finite(choice: Choice, precision: str, folder: Path, processor: D2E2SProcessor) -> None:
    """Outputs, losses and gradients, for a mixed batch and for a word alone: no triplet, nothing beside it."""
    model = training(small_model(folder, choice, boundary_refinement=True, **ALL_LOSSES))
    if precision == "bf16":
        model.to(torch.bfloat16)
    names = ["one word", "overlap", "two opinions", "no parse", "lost word", "too wide"]
    for batch in (names, ["one word"]):
        with PRECISIONS[precision]():
            output = model(**inputs_of(processor, *batch))
        for name, value in floats(output).items():
            assert value.isfinite().all(), name
        for name, gradient in gradients(model, output.loss).items():
            assert gradient.isfinite().all(), name
        with PRECISIONS[precision](), torch.no_grad():
            decoded = model.eval()(**inputs_of(processor, *batch))
        assert decoded.scores.isfinite().all() and (decoded.scores >= 0).any()
        training(model)


def test_triplets_come_first(folder: Path, everything: Any) -> None:
    """For who reads the output by position."""
    output = small_model(folder, DEFAULT)(**everything)
    assert list(output)[:2] == ["triplets", "scores"]


def test_nothing_above_the_threshold(folder: Path, everything: Any) -> None:
    output = small_model(folder, DEFAULT, decision_threshold=1.0)(**everything)
    assert (output.triplets == -100).all() and (output.scores == -100).all()


def test_a_word_without_pieces(folder: Path, processor: D2E2SProcessor) -> None:
    """A tokenizer that loses a word: its node is empty, the losses stay what losses are."""
    model, inputs = training(small_model(folder, DEFAULT, **ALL_LOSSES)), inputs_of(processor, "two opinions")
    usual = model(**inputs).loss.item()
    inputs["word_index"][inputs["word_index"] == 2] = -1
    output = model(**inputs)
    assert output.loss.isfinite() and output.loss.item() < 10 * usual
    assert all(gradient.isfinite().all() for gradient in gradients(model, output.loss).values())


def test_a_word_that_the_tokenizer_drops(folder: Path, processor: D2E2SProcessor) -> None:
    inputs = inputs_of(processor, "lost word")
    assert (inputs["word_index"] == 2).any() and (inputs["input_ids"] == processor.tokenizer.unk_token_id).any()
    output = training(small_model(folder, DEFAULT))(**inputs)
    assert output.loss.isfinite() and output.loss.item() < 1e3


# --- gradients


@pytest.mark.parametrize("boundary_refinement", [False, True])
@every_choice
def test_gradient_reaches_every_parameter(
    choice: Choice, boundary_refinement: bool, folder: Path, everything: Any
) -> None:
    model = training(small_model(folder, choice, boundary_refinement=boundary_refinement, **ALL_LOSSES))
    assert dead_parameters(model, everything) == []


def dead_parameters(model: D2E2SForTripletExtraction, inputs: Any) -> list[str]:
    """Names of parameters without a gradient, or behind the encoder with one that is only rounding."""
    found = gradients(model, model(**inputs).loss)
    largest = max(float(gradient.abs().max()) for gradient in found.values())
    floor = {name: 0.0 if ".encoder." in name else 1e-7 * largest for name, _ in model.named_parameters()}
    return [name for name in floor if name not in found or float(found[name].abs().max()) <= floor[name]]


def test_consistency_trains_both_graphs(folder: Path, everything: Any) -> None:
    model = training(small_model(folder, DEFAULT, syntax="predicted", graph_consistency_weight=1.0))
    found = gradients(model, model(**everything).losses["graph_consistency"])
    assert found["d2e2s.semantic_gcn.attention.query.weight"].any()
    assert found["d2e2s.parser.arc.weight"].any()


@pytest.mark.parametrize("syntactic", ["basic", "enhanced"])
def test_parser_learns_from_the_triplets_through_its_graph(syntactic: str, folder: Path, everything: Any) -> None:
    choice = ("gated", "basic", syntactic)
    model = training(small_model(folder, choice, syntax="predicted", parser_loss_weight=0.0))
    output = model(**everything)
    assert set(output.losses) == {"span", "pair"}
    found = gradients(model, output.loss)
    assert all(found[f"d2e2s.parser.{part}.weight"].any() for part in ("arc", "dependent.0", "head.0"))


# --- gold and evaluation


@every_choice
def test_gold_never_leaks_at_evaluation(choice: Choice, folder: Path, everything: Any) -> None:
    model = small_model(folder, choice)
    blind = {name: value for name, value in everything.items() if name not in ("labels", "deprels")}
    given, without = model(**everything), model(**blind)
    assert without.loss is None and given.loss is not None
    for name in ("triplets", "scores", "span_logits", "pair_logits", "aspects", "opinions"):
        assert torch.equal(given[name], without[name])


def test_gold_spans_are_candidates_in_training(folder: Path, processor: D2E2SProcessor) -> None:
    inputs = inputs_of(processor, "long")
    model = training(small_model(folder, DEFAULT, max_candidates=3))
    output = model(**inputs)
    gold = [row["aspect"] for row in RECORDS["long"]["triplets"] if row["aspect"][1] - row["aspect"][0] <= WIDTH]
    assert sorted(output.aspects[0].tolist()) == sorted(gold)


def test_loss_is_the_weighted_sum(folder: Path, everything: Any) -> None:
    weights = {"contrastive_loss_weight": 0.25, "graph_consistency_weight": 0.5, "parser_loss_weight": 2.0}
    output = small_model(folder, DEFAULT, **weights)(**everything)
    factors = {"span": 1.0, "pair": 1.0, "parser": 2.0, "contrastive": 0.25, "graph_consistency": 0.5}
    assert output.losses.keys() == factors.keys()
    close(output.loss, sum(factors[name] * loss for name, loss in output.losses.items()))


# --- syntax


def span_logits(model: D2E2SForTripletExtraction, inputs: Any, heads: Tensor | None) -> Tensor:
    blind = {name: value for name, value in inputs.items() if name != "heads"}
    return model(**blind, heads=heads).span_logits


@pytest.fixture
def parsed(processor: D2E2SProcessor) -> Any:
    return inputs_of(processor, "two opinions", "too wide")


def other_trees(inputs: Any) -> Tensor:
    """Other trees over the same words."""
    heads = torch.full_like(inputs["heads"], -1)
    for row, words in zip(heads, inputs["word_mask"].sum(1).tolist(), strict=True):
        row[:words] = torch.tensor(tree(words, 1000 + words))
    assert not torch.equal(heads, inputs["heads"])
    return heads


@pytest.mark.parametrize("syntactic", ["basic", "enhanced"])
def test_auto_uses_given_heads_and_predicts_missing_ones(syntactic: str, folder: Path, parsed: Any) -> None:
    model = small_model(folder, ("gated", "basic", syntactic), syntax="auto")
    given, missing = parsed["heads"], torch.full_like(parsed["heads"], -1)
    mixed = torch.stack([given[0], missing[1]])
    seen, predicted = span_logits(model, parsed, given), span_logits(model, parsed, None)
    assert torch.equal(span_logits(model, parsed, missing), predicted)
    both = span_logits(model, parsed, mixed)
    close(both[0], seen[0])
    close(both[1], predicted[1])
    assert not torch.allclose(seen[0], predicted[0], atol=1e-3) and not torch.allclose(seen[1], predicted[1], atol=1e-3)
    assert not torch.allclose(span_logits(model, parsed, other_trees(parsed)), seen, atol=1e-3)


def test_predicted_reads_no_heads(folder: Path, parsed: Any) -> None:
    model = small_model(folder, DEFAULT, syntax="predicted")
    without = span_logits(model, parsed, None)
    assert torch.equal(span_logits(model, parsed, parsed["heads"]), without)


def test_input_needs_heads(folder: Path, parsed: Any) -> None:
    model = small_model(folder, DEFAULT, syntax="input")
    given, other = (span_logits(model, parsed, heads) for heads in (parsed["heads"], other_trees(parsed)))
    assert not torch.allclose(given, other, atol=1e-3)
    with pytest.raises(ValueError, match=r'heads are missing.*syntax="input"'):
        span_logits(model, parsed, None)


def test_graphs_are_left_out_where_there_is_no_fusion(folder: Path, parsed: Any) -> None:
    model = small_model(folder, ("none", "enhanced", "enhanced"), syntax="input")
    assert torch.equal(span_logits(model, parsed, None), span_logits(model, parsed, parsed["heads"]))
    assert [name for name, _ in model.d2e2s.named_children()] == ["encoder"]


def test_predicted_graphs_in_training(folder: Path, parsed: Any) -> None:
    """Their rate decides whether given heads are used; at evaluation they always are."""
    outputs = {}
    for rate in (0.0, 1.0):
        model = small_model(folder, DEFAULT, predicted_graph_rate=rate)
        outputs[rate, "evaluated"] = span_logits(model, parsed, parsed["heads"])
        outputs[rate, "trained"] = span_logits(training(model), parsed, parsed["heads"])
    assert torch.equal(outputs[0.0, "evaluated"], outputs[1.0, "evaluated"])
    close(outputs[0.0, "trained"], outputs[0.0, "evaluated"])
    assert not torch.allclose(outputs[1.0, "trained"], outputs[0.0, "trained"], atol=1e-3)


def test_relations_of_predicted_arcs(folder: Path, everything: Any) -> None:
    output = small_model(folder, DEFAULT)(**everything, return_relations=True)
    assert output.relation_logits.shape == (*everything["word_mask"].shape, len(DEPRELS))
    assert small_model(folder, DEFAULT, deprel_labels=[])(**everything, return_relations=True).relation_logits is None


# --- encoders, saving


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder(kind: str, tmp_path: Path) -> None:
    encoder = tiny_encoder(kind, tmp_path / "encoder")
    processor = D2E2SProcessor.from_pretrained(encoder, deprel_labels=DEPRELS)
    model, inputs = small_model(encoder, DEFAULT), inputs_of(processor)
    output = model(**inputs)
    assert dead_parameters(training(model), inputs) == []
    model.eval().save_pretrained(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors", ".py"}
    again = D2E2SForTripletExtraction.from_pretrained(tmp_path / "model").eval()
    assert type(again.config.encoder_config).model_type == kind
    for name in ("span_logits", "pair_logits", "triplets", "scores", "loss"):
        assert torch.equal(again(**inputs)[name], output[name])


def test_from_encoder_keeps_the_encoders_weights(folder: Path) -> None:
    model = D2E2SForTripletExtraction.from_encoder(str(folder))
    stored = AutoModel.from_pretrained(folder).state_dict()
    for name, weight in model.d2e2s.encoder.state_dict().items():
        assert torch.equal(weight, stored[name]), name
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_new_model_begins_with_its_encoder_and_with_none(folder: Path) -> None:
    """Spans and pairs are none but for one in e^4, and the graphs add a tenth of what a plain Xavier map would."""
    model = D2E2SForTripletExtraction.from_encoder(str(folder), fusion_heads=4, head_size=64, graph_size=64)
    heads = [model.span_scorer.output, model.pair_scorer.output]
    for layer in heads:
        assert layer.bias.tolist() == [4.0] + [0.0] * (layer.out_features - 1)
    small = [*heads, *(module for module in model.modules() if isinstance(module, GraphOutput))]
    assert len(small) == 3
    for layer in small:
        bound = 0.1 * (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound


def test_half_precision_encoder_is_trained_in_full(folder: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path)
    model = D2E2SForTripletExtraction.from_encoder(str(tmp_path))
    model.save_pretrained(tmp_path / "model")
    again = D2E2SForTripletExtraction.from_pretrained(tmp_path / "model")
    assert {p.dtype for p in (*model.parameters(), *again.parameters())} == {torch.float32}


def test_from_encoder_names_a_wrong_field(folder: Path) -> None:
    with pytest.raises(Exception, match="fusion_type.*'gated'"):
        D2E2SForTripletExtraction.from_encoder(str(folder), fusion_type="fancy")


@pytest.mark.parametrize("heads", [4, 12])
def test_head_counts(heads: int, folder: Path, everything: Any) -> None:
    model = small_model(folder, DEFAULT, fusion_heads=heads, graph_size=24)
    assert model(**everything).loss.isfinite()


@every_choice
def test_base_model_has_one_interface(choice: Choice, folder: Path, everything: Any) -> None:
    model = small_model(folder, choice).d2e2s
    assert isinstance(model, D2E2SModel) and isinstance(model.config, D2E2SConfig)
    names = ("input_ids", "attention_mask", "word_index", "word_mask", "heads", "token_type_ids")
    output = model(**{name: everything[name] for name in names})
    sentences, words = everything["word_mask"].shape
    assert output.last_hidden_state.shape == (sentences, words + 1, model.config.hidden_size)
    assert output.node_mask.sum(1).tolist() == [words + 1 for words in everything["word_mask"].sum(1).tolist()]


def test_gradient_checkpointing_reaches_the_encoder(folder: Path, everything: Any) -> None:
    model = training(small_model(folder, DEFAULT))
    plain = gradients(model, model(**everything).loss)
    # Older versions of transformers know the second name only.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.d2e2s.encoder.train()
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")
    assert any(getattr(model.d2e2s.encoder, name, False) for name in names)
    for module in model.d2e2s.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    checkpointed = gradients(model, model(**everything).loss)
    assert checkpointed.keys() == plain.keys()
    assert all(torch.allclose(checkpointed[name], plain[name], rtol=1e-3, atol=1e-5) for name in plain)


# --- the encoder's two halves


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("lengths", [[9, 2, 3], [2, 9], [3, 9, 2, 9, 1], [9, 8, 9], [1], [9, 9, 9, 9]])
def test_halves_are_encoded_as_the_whole(lengths: list[int], padding_side: str, folder: Path) -> None:
    encoder = small_model(folder, DEFAULT).d2e2s.encoder.eval()
    rows = [[1] * length + [0] * (max(lengths) - length) for length in lengths]
    mask = torch.tensor([row if padding_side == "right" else row[::-1] for row in rows])
    pieces = torch.randint(5, 20, mask.shape) * mask
    inputs = {"input_ids": pieces, "attention_mask": mask}
    real = mask.bool()
    expected = encoder(**inputs).last_hidden_state[real]
    found = encode(encoder, inputs)[real]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = encoder.get_input_embeddings().weight
    (gradient,) = torch.autograd.grad(found.square().sum(), weight)
    (wanted,) = torch.autograd.grad(expected.square().sum(), weight)
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)


def test_short_sentences_are_not_padded_to_the_longest() -> None:
    lengths = torch.tensor([3, 20, 4, 18])
    halves = length_halves((torch.arange(20) < lengths[:, None]).long())
    assert [(rows.tolist(), length) for rows, length in halves] == [([1, 3], 20), ([2, 0], 4)]
    assert length_halves(torch.ones(4, 20)) == []
