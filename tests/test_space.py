"""The metric's Space: what the Hub reads of it, and the app with the installed Gradio."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import SpaceCard

from d2e2s.metrics.aste import PATH

SPACE = Path(PATH)
FOOD = {"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}


@pytest.fixture(scope="module")
def app() -> dict[str, Any]:
    pytest.importorskip("gradio")
    return runpy.run_path(str(SPACE / "app.py"))


def test_card_has_what_a_space_of_evaluate_needs() -> None:
    data = SpaceCard.load(SPACE / "README.md").data.to_dict()
    assert (data["sdk"], data["app_file"]) == ("gradio", "app.py")
    assert {"evaluate", "metric"} <= set(data["tags"])
    assert {"title", "emoji", "colorFrom", "colorTo", "sdk_version", "description"} <= set(data)


def test_space_runs_the_gradio_that_is_tested() -> None:
    pins = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8")
    front = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert f"\ngradio=={front['sdk_version']}\n" in pins


@pytest.mark.slow
def test_app_scores_two_texts(app: dict[str, Any]) -> None:
    scores = app["score"](json.dumps([[FOOD]]), json.dumps([[FOOD, {**FOOD, "aspect": [5, 6]}]]))
    assert (scores["triplet_precision"], scores["triplet_recall"]) == (1.0, 0.5)


@pytest.mark.parametrize(
    "predictions", ["[[", "[[], []]", '[[{"aspect": [2, 1], "opinion": [3, 4], "sentiment": "POS"}]]']
)
def test_app_shows_the_fault(app: dict[str, Any], predictions: str) -> None:
    import gradio

    with pytest.raises(gradio.Error) as error:
        app["score"](predictions, json.dumps([[FOOD]]))
    assert str(error.value)


def test_app_starts_with_an_example_that_scores(app: dict[str, Any]) -> None:
    boxes = app["demo"].input_components
    assert [box.label for box in boxes] == ["predictions", "references"]
    assert app["score"](*(box.value for box in boxes))["triplet_f1"] == 1.0
