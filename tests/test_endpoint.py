"""The handler of an inference endpoint: what it answers, and what it needs. (`test_hub.py` runs a pushed one.)"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from d2e2s import TripletExtractionPipeline
from d2e2s.serving.endpoint import HANDLER, REQUIREMENTS, write_endpoint
from d2e2s.serving.handler import EXPECTED, PARAMETERS, EndpointHandler

TEXT = "The food was great but the service was slow."


@pytest.fixture(scope="module")
def handler(model: Path) -> EndpointHandler:
    return EndpointHandler(str(model))


def test_it_answers_as_the_pipeline_does(handler: EndpointHandler, extract: TripletExtractionPipeline) -> None:
    parameters = {"threshold": 0.0, "top_k": 2}
    wanted = extract(TEXT, **parameters)
    assert wanted and handler({"inputs": TEXT, "parameters": parameters}) == wanted
    assert handler({"inputs": [TEXT, ""], "parameters": parameters}) == [wanted, []]
    assert handler({"inputs": TEXT, "parameters": None}) == extract(TEXT)
    json.dumps(handler({"inputs": [TEXT], "parameters": {"return_terms": True, "return_tree": True}}))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, f"no object with inputs; {EXPECTED}"),
        ({"input": TEXT}, f"no object with inputs; {EXPECTED}"),
        ({"inputs": 3}, f"inputs are no text and no list of texts; {EXPECTED}"),
        ({"inputs": [TEXT, None]}, f"inputs are no text and no list of texts; {EXPECTED}"),
        ({"inputs": TEXT, "parameters": [1]}, f"parameters are no object; {EXPECTED}"),
        ({"inputs": TEXT, "parameters": {"treshold": 1}}, f"unknown parameter 'treshold'; {EXPECTED}"),
        ({"inputs": TEXT, "parameters": {"threshold": 2}}, "threshold must lie in [0, 1], got 2"),
    ],
)
def test_what_is_no_request_is_told_what_is_expected(data: Any, error: str, handler: EndpointHandler) -> None:
    assert handler(data) == {"error": error}


def test_a_bug_is_no_answer(handler: EndpointHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(handler, "extract", fail)
    with pytest.raises(ValueError, match="a bug"):
        handler({"inputs": TEXT})


def test_its_parameters_are_those_of_the_pipeline() -> None:
    options = [*inspect.signature(TripletExtractionPipeline._sanitize_parameters).parameters][1:]
    assert [*options, "batch_size"] == list(PARAMETERS)


def test_what_somebody_wrote_is_kept(tmp_path: Path) -> None:
    for name in (HANDLER, REQUIREMENTS):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    write_endpoint(tmp_path)
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in (HANDLER, REQUIREMENTS)} == {"mine"}


def test_requirements_are_lower_bounds_of_what_travels(tmp_path: Path) -> None:
    write_endpoint(tmp_path)
    lines = (tmp_path / REQUIREMENTS).read_text(encoding="utf-8").partition("\n\n# Written by")[0].splitlines()
    named = {re.split("[>=]", line)[0].replace("-", "_") for line in lines}
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", line) for line in lines)
    imported = {"torch", "transformers", "tokenizers", "huggingface_hub"}
    assert imported <= named <= imported | {"safetensors", "sentencepiece", "protobuf"}
