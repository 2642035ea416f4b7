"""The configuration: what it accepts, what it says about the rest, and that it survives saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig

from d2e2s import D2E2SConfig
from d2e2s.configuration_d2e2s import FORMAT_VERSION

WRONG = (StrictDataclassError, ValueError)


def small(**fields: Any) -> D2E2SConfig:
    return D2E2SConfig(encoder_config=BertConfig(hidden_size=48, num_attention_heads=4), **fields)


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("fusion_type", ["tin", "cross_attention", "light_cross_attention", "gated", "none"]),
        ("semantic_gcn", ["basic", "enhanced"]),
        ("syntactic_gcn", ["basic", "enhanced", "none"]),
        ("syntax", ["input", "predicted", "auto"]),
    ],
)
def test_wrong_choice_lists_the_allowed_ones(field: str, allowed: list[str]) -> None:
    for value in allowed:
        assert getattr(small(**{field: value}), field) == value
    with pytest.raises(WRONG, match=field) as error:
        small(**{field: "fancy"})
    assert all(repr(value) in str(error.value) for value in allowed)


def test_choices_are_checked_on_assignment() -> None:
    config = small()
    with pytest.raises(WRONG, match="fusion_type"):
        config.fusion_type = "fancy"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"graph_size": 24, "fusion_heads": 5}, "fusion_heads=5 does not divide graph_size=24"),
        ({"graph_size": 24, "gcn_heads": 7}, "gcn_heads=7 does not divide graph_size=24"),
        ({"graph_size": 25, "fusion_heads": 5, "gcn_heads": 5}, "graph_size must be even"),
        ({"graph_size": -4}, "graph_size must be greater than 0"),
        ({"contrastive_loss_weight": -1.0}, "contrastive_loss_weight must be at least 0"),
        ({"max_span_width": 0}, "max_span_width must be greater than 0, got 0"),
        ({"max_candidates": 0}, "max_candidates must be greater than 0"),
        ({"contrastive_temperature": 0.0}, "contrastive_temperature must be greater than 0"),
        ({"temperature": -1.0}, "temperature must be greater than 0"),
        ({"score_shift": float("nan")}, "score_shift must be a number"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\], got 1.5"),
        ({"decision_threshold": -0.1}, r"decision_threshold must lie in \[0, 1\]"),
        ({"predicted_graph_rate": 2.0}, r"predicted_graph_rate must lie in \[0, 1\]"),
        ({"max_span_width": "wide"}, "max_span_width"),
        ({"boundary_refinement": "yes"}, "boundary_refinement"),
    ],
)
def test_wrong_value_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(WRONG, match=message):
        small(**fields)


@pytest.mark.parametrize("heads", [4, 8, 12])
def test_head_counts_that_divide(heads: int) -> None:
    assert small(fusion_heads=heads).fusion_heads == heads


def test_newer_format_is_refused(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    text, field = path.read_text(), f'"format_version": {FORMAT_VERSION}'
    assert field in text
    path.write_text(text.replace(field, f'"format_version": {FORMAT_VERSION + 1}'))
    with pytest.raises(WRONG, match="newer.*upgrade d2e2s"):
        D2E2SConfig.from_pretrained(tmp_path)


def test_round_trip(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "fusion_type": "gated",
        "semantic_gcn": "basic",
        "syntactic_gcn": "enhanced",
        "syntax": "predicted",
        "graph_size": 16,
        "max_span_width": 5,
        "boundary_refinement": True,
        "contrastive_loss_weight": 0.25,
        "sentiment_labels": ["good", "bad"],
        "deprel_labels": ["nsubj"],
        "decision_threshold": 0.375,
    }
    config = small(**fields)
    config.save_pretrained(tmp_path)
    for loaded in (D2E2SConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert {name: getattr(loaded, name) for name in fields} == fields
        assert isinstance(loaded.encoder_config, BertConfig) and loaded.encoder_config.hidden_size == 48
        assert loaded.to_dict() | {"_name_or_path": "", "auto_map": None} == config.to_dict() | {"auto_map": None}


def test_defaults_follow_the_encoder() -> None:
    config = small()
    assert config.hidden_size == 48 and config.graph_size == 24
    assert config.sentiment_labels == ["POS", "NEG", "NEU"] and config.deprel_labels == []


def test_configurations_do_not_share_their_lists() -> None:
    first, second = small(), small()
    first.deprel_labels.append("nsubj")
    assert second.deprel_labels == []


def test_parser_is_built_where_a_graph_may_be_predicted() -> None:
    assert small(syntax="auto").uses_parser and small(syntax="predicted").uses_parser
    assert not small(syntax="input").uses_parser
    assert not small(syntactic_gcn="none").uses_parser and not small(fusion_type="none").uses_parser


def test_default_graph_size_suits_any_encoder_width() -> None:
    """312 is the width of a published tiny BERT: half of it is no multiple of 8 heads."""
    config = D2E2SConfig(encoder_config={"model_type": "bert", "hidden_size": 312, "num_attention_heads": 12})
    assert config.graph_size == 160
    assert D2E2SConfig(encoder_config=config.encoder_config, fusion_heads=12).graph_size == 156


@pytest.mark.parametrize("fields", [{"id2label": "POS"}, {"id2label": True}], ids=str)
def test_a_wrong_field_of_the_base_class_is_one_error(fields: dict[str, Any]) -> None:
    checked_first = transformers.__version__.startswith("5.10.")  # the lowest: there huggingface_hub finds it before us
    error, message = (
        (StrictDataclassError, "Validation error for field 'id2label'")
        if checked_first
        else (ValueError, "a field that all configurations share")
    )
    with pytest.raises(error, match=message):
        D2E2SConfig(**fields)


def test_a_list_is_no_dtype() -> None:
    with pytest.raises(StrictDataclassError) as raised:
        D2E2SConfig(dtype=[])
    assert "dtype must be the name of a type, got []" in str(raised.value.__cause__)
