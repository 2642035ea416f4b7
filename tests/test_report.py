"""The report of a run: what it says of each triplet, its figures, and a page that loads nothing and runs no review."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_drawing import EVIL, Page
from tiny_runs import command, main, write_data

from d2e2s import cli
from d2e2s.checkpoints import CheckpointError
from d2e2s.evaluation import analysis
from d2e2s.evaluation.analysis import Sentence, outcomes
from d2e2s.metrics.aste.scoring import Count, Triplet, triplet_metrics
from d2e2s.reporting import report

FOOD = (0, 1, 2, 3, "POS")


def sentence(gold: list[Triplet], predicted: dict[Triplet, float], words: int = 9) -> Sentence:
    return Sentence("s", ["w"] * words, frozenset(gold), predicted, predicted)


# --- outcomes and figures


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds"),
    [
        ([FOOD], {FOOD: 0.9}, ["right"]),
        ([FOOD], {(0, 1, 2, 3, "NEG"): 0.9}, ["polarity"]),
        ([FOOD], {(0, 2, 2, 3, "POS"): 0.9}, ["boundaries"]),
        ([FOOD], {FOOD: 0.9, (0, 2, 2, 3, "POS"): 0.5}, ["right", "again"]),
        ([FOOD], {(0, 2, 2, 3, "POS"): 0.5, (0, 1, 2, 4, "POS"): 0.9}, ["boundaries", "again"]),
        ([FOOD], {(0, 2, 2, 3, "NEG"): 0.9}, ["false", "missed"]),
        ([FOOD], {(0, 1, 5, 6, "POS"): 0.9}, ["false", "missed"]),
        ([FOOD], {}, ["missed"]),
        ([], {FOOD: 0.9}, ["false"]),
        ([], {}, []),
    ],
)
def test_outcomes(gold: list[Triplet], predicted: dict[Triplet, float], kinds: list[str]) -> None:
    assert [outcome.kind for outcome in outcomes(sentence(gold, predicted))] == kinds


def test_the_highest_score_gets_the_gold_triplet() -> None:
    low, high = (0, 2, 2, 3, "POS"), (0, 1, 2, 4, "POS")
    found = outcomes(sentence([FOOD], {low: 0.5, high: 0.9}))
    assert [(outcome.kind, outcome.predicted) for outcome in found] == [("boundaries", high), ("again", low)]


def test_ranges() -> None:
    assert [analysis.band(value, (1, 2, 3)) for value in (1, 2, 3, 4)] == ["1", "2", "3", "4+"]
    assert [analysis.band(value, (0, 2, 5)) for value in (0, 1, 2, 5, 6)] == ["0", "1–2", "1–2", "3–5", "6+"]


@pytest.mark.parametrize(
    ("triplet", "words"),
    [((0, 1, 1, 2, "POS"), 0), ((0, 1, 3, 4, "POS"), 2), ((5, 6, 0, 2, "POS"), 3), ((0, 3, 1, 2, "POS"), 0)],
)
def test_words_between(triplet: Triplet, words: int) -> None:
    assert analysis.distance(triplet) == words


def test_groups_count_what_the_metric_counts() -> None:
    gold = [[FOOD, (4, 5, 6, 8, "NEG")], [(0, 1, 8, 9, "NEU")], []]
    predicted = [[FOOD, (4, 5, 6, 7, "NEG")], [(0, 1, 8, 9, "NEG")], [FOOD]]
    sentences = [sentence(g, dict.fromkeys(p, 0.9)) for g, p in zip(gold, predicted, strict=True)]
    figures = triplet_metrics(predicted, gold)
    by_sentiment = analysis.f1_by(sentences, analysis.GROUPS["sentiment"])
    assert {name: count.f1 for name, count in by_sentiment.items()} == {
        name: figures[f"triplet_f1_{name}"] for name in ("POS", "NEG", "NEU")
    }
    by_number = analysis.f1_by(sentences, analysis.GROUPS["triplets in the sentence"])
    assert list(by_number) == ["0", "1", "2"]
    assert by_number["0"] == Count(correct=0, predicted=1, gold=0)
    assert by_number["1"].f1 == figures["triplet_f1_one_triplet"]
    assert by_number["2"].f1 == figures["triplet_f1_several_triplets"]


def test_confusion_counts_every_pair_once() -> None:
    found = sentence([FOOD, (4, 5, 6, 7, "NEG")], {(0, 1, 2, 3, "NEU"): 0.9, (7, 8, 8, 9, "POS"): 0.8})
    assert analysis.confusion([found], ["POS", "NEG", "NEU"]) == [
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


def test_curve_is_the_metric_at_each_threshold() -> None:
    other = (4, 5, 6, 7, "NEG")
    sentences = [
        sentence([FOOD, other], {FOOD: 0.9, (1, 2, 3, 4, "POS"): 0.6}),
        sentence([FOOD], {other: 0.6, FOOD: 0.2}),
    ]
    curve = analysis.threshold_curve(sentences)
    assert curve["threshold"].tolist() == [0.9, 0.6, 0.2]
    for i, threshold in enumerate(curve["threshold"]):
        kept = [[t for t, score in s.candidates.items() if score >= threshold] for s in sentences]
        figures = triplet_metrics(kept, [s.gold for s in sentences])
        for name in ("precision", "recall", "f1"):
            assert curve[name][i] == pytest.approx(figures[f"triplet_{name}"])


def test_curve_of_nothing_is_empty() -> None:
    assert not len(analysis.threshold_curve([sentence([FOOD], {})])["f1"])


def test_reliability_bins() -> None:
    scores, rights = np.array([0.95, 0.85, 0.05, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    assert analysis.reliability(scores, rights, bins=2) == [(0.05, 0.0, 1), (pytest.approx(0.9333, abs=1e-4), 2 / 3, 3)]


# --- the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tiny data, in which one test sentence holds markup."""
    data = write_data(tmp_path_factory.mktemp("data"), train=8, dev=4, test=4)
    lines = (data / "test.jsonl").read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[0])
    record["tokens"][0] = EVIL.replace(" ", "\xa0")
    (data / "test.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n", encoding="utf-8")
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(command(data, out, data_label=EVIL, eval_strategy="epoch")) == 0
    return out


@pytest.fixture(scope="module")
def written(folder: Path) -> Page:
    out = folder / "report.html"
    assert cli.main(["report", str(folder), "--out", str(out.with_suffix(".txt"))]) == 2
    assert not out.with_suffix(".txt").exists()
    assert cli.main(["report", str(folder), "--out", str(out)]) == 0
    return Page(out.read_text(encoding="utf-8"))


def test_page_shows_every_sentence_and_chart(folder: Path, written: Page) -> None:
    assert len(written.named("article")) == 4
    charts = [svg["aria-label"] for svg in written.named("svg") if svg.get("class") == "chart"]
    assert len(charts) == 2 + 2 + len(analysis.GROUPS) + 1
    figures = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    assert f"{100 * figures['test_triplet_f1']:.2f} %" in written.text


def test_page_shows_trees_and_graphs(written: Page) -> None:
    titles = [svg.get("aria-label") for svg in written.named("svg")]
    assert titles.count("Semantic attention") == titles.count("Syntactic graph") == 4
    assert [div.get("class") for div in written.named("div")].count("tree") == 4


def test_reviews_stay_text(written: Page) -> None:
    assert len(written.named("script")) == 1 and not written.named("img")
    assert EVIL in written.text


def test_page_loads_nothing(folder: Path, written: Page) -> None:
    loaded = [a for _, a in written.elements for name in ("src", "href", "xlink:href", "data", "poster") if name in a]
    assert all((a.get("href") or a.get("xlink:href") or "").startswith("#") for a in loaded)
    (policy,) = [meta for meta in written.named("meta") if meta.get("http-equiv")]
    assert (policy["content"] or "").startswith("default-src 'none'")
    assert not re.search(r"@import|url\((?!#)", (folder / "report.html").read_text(encoding="utf-8"))


def test_candidates_are_those_of_the_run(folder: Path) -> None:
    run = report.read_run(folder)
    assert run.split == "test"
    threshold = run.figures["decision_threshold"]
    for each in run.sentences:
        kept = {triplet: score for triplet, score in each.candidates.items() if score >= threshold}
        assert kept == pytest.approx(each.predicted, abs=1e-5)


def test_chosen_sentences_of_dev(folder: Path) -> None:
    run = report.read_run(folder, "dev")
    name = run.records[-1]["id"]
    assert [report.drawn_graphs(run, each)["id"] for each in report.chosen(run.records, [name])] == [name]
    with pytest.raises(ValueError, match="no sentence 'x'"):
        report.chosen(run.records, ["x"])


def test_a_run_without_weights_says_so(folder: Path, tmp_path: Path) -> None:
    for name in ("all_results.json", "predictions_dev.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    run = report.read_run(tmp_path)
    assert (run.split, run.model) == ("dev", None)
    assert "holds no weights" in Page(report.page(run)).text


def test_given_heads_are_drawn_and_predicted_ones_without(folder: Path) -> None:
    run = report.read_run(folder)
    record = run.records[1]
    given, own = report.drawn_graphs(run, record), report.drawn_graphs(run, {**record, "heads": None, "deprels": None})
    assert all(relation in given["tree"] for relation in set(record["deprels"]) - {"root"})
    assert own["tree"] and len(own["maps"]) == 2


def test_weights_that_are_not_those_of_their_checksum_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged or changed since it was saved"):
        report.read_run(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"all_results.json": None}, "all_results.json: no such file"),
        ({"predictions_test.jsonl": None, "predictions_dev.jsonl": None}, "predictions_test.jsonl: no such file"),
        ({"predictions_test.jsonl": ""}, "no sentences"),
        ({"predictions_test.jsonl": '{"id": "a", "tokens": ["b"], "triplets": []}'}, "predicted_triplets is not"),
        ({"predictions_test.jsonl": "{"}, "no JSON"),
        ({"model.safetensors": "x"}, "the weights are damaged"),
    ],
)
def test_what_is_no_run_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], message: str
) -> None:
    for path in folder.glob("*.json*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, content in change.items():
        (tmp_path / name).write_text(content, encoding="utf-8") if content is not None else (tmp_path / name).unlink()
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "r.html").exists()
