"""Summaries: what counts as one aspect, the counting, the page and the table, and the command."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from browsing import resize
from datasets import Features, Value
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from test_drawing import EVIL, Page

from d2e2s import cli
from d2e2s.errors import UserError
from d2e2s.prediction.writers import TRIPLETS, as_it_was, harmless, write_table
from d2e2s.summaries import counts
from d2e2s.summaries.counts import Aspect, Review, Share, Summary, excerpt, share
from d2e2s.summaries.figures import Figures, periods, praise_and_blame
from d2e2s.summaries.names import Names, key_of, read_merged
from d2e2s.summaries.page import render
from d2e2s.summaries.sources import month

EXAMPLES = Path(__file__).parents[1] / "examples"


def triplet(aspect: str, opinion: str, sentiment: str, text: str = "") -> dict[str, Any]:
    terms = {role: {"text": term} for role, term in (("aspect", aspect), ("opinion", opinion))}
    for term in terms.values() if text else ():
        start = text.index(term["text"])
        term |= {"start": start, "end": start + len(term["text"])}
    return {**terms, "sentiment": sentiment, "score": 0.9}


def review(aspect: str, opinion: str, sentiment: str, **more: Any) -> Review:
    text = f"The {aspect} was {opinion}."
    return Review(text, [triplet(aspect, opinion, sentiment, text)], **more)


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Any]]:
    """The example reviews with their gold triplets, as `d2e2s predict` would write them."""
    with (EXAMPLES / "reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    gold = [json.loads(line)["triplets"] for line in (EXAMPLES / "gold.jsonl").read_text("utf-8").splitlines()]
    scored = [[{**one, "score": 0.9} for one in triplets] for triplets in gold]
    return [{**row, "predicted_triplets": triplets} for row, triplets in zip(rows, scored, strict=True)]


@pytest.fixture(scope="module")
def written(examples: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("predicted")

    def write(suffix: str) -> Path:
        path = folder / f"triplets{suffix}"
        columns = {name: [row[name] for row in examples] for name in examples[0]}
        features = Features({name: Value("string") for name in columns} | {"predicted_triplets": TRIPLETS})
        write_table(str(path), [columns], features)
        return path

    return write


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# --- what counts as one aspect


@pytest.mark.parametrize(
    ("aspect", "key"),
    [
        ("The Batteries", "battery"),
        ("french fries", "french fry"),
        ("our waitresses", "waitress"),
        ("service", "service"),
        ("glass", "glass"),
        ("wine glasses", "wine glass"),
        ("knives", "knife"),
        ("bus", "bus"),
        ("GPS", "gps"),
        ("a", "a"),
        ("The", "the"),
        (" ", ""),
    ],
)
def test_capitals_articles_and_plurals_do_not_count(aspect: str, key: str) -> None:
    assert key_of(aspect) == key


def test_synonyms_are_merged(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("battery: [Battery Lives, accu]\nstaff: waiters\n", encoding="utf-8")
    names = Names(read_merged(tmp_path / "names.yaml"))
    assert [names(name) for name in ("battery life", "the accus", "Waiter", "food")] == [
        *("battery", "battery", "staff", "food")
    ]


@pytest.mark.parametrize("content", ["- a", "a: 1", "a: [1]", "1: [a]", "a: [", "", "\x00"])
def test_a_file_of_something_else(content: str, tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"names\.yaml: .*expected lines such as"):
        read_merged(tmp_path / "names.yaml")


# --- counting


def test_counts_opinions_and_names() -> None:
    reviews = [review("Screens", "dim", "NEG"), review("screen", "sharp", "POS"), review("screen", "sharp", "POS")]
    aspect = Summary().add(reviews).aspects["screen"]
    assert aspect.sentiments == {"POS": 2, "NEG": 1} and aspect.name == "screen"
    assert aspect.opinions == {("sharp", "POS"): 2, ("dim", "NEG"): 1}
    assert {label: len(found) for label, found in aspect.examples.items()} == {"NEG": 1, "POS": 1}  # a text once


def test_groups_and_months_are_counted_where_they_are_known() -> None:
    reviews = [review("food", "good", "POS", group="a", month="2024-01"), review("food", "bad", "NEG", group="b")]
    aspect = Summary().add(reviews).aspects["food"]
    assert aspect.groups == {"a": {"POS": 1}, "b": {"NEG": 1}} and aspect.months == {"2024-01": {"POS": 1}}


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 0, (0, 0, 100)), (0, 10, (0, 0, 27.8)), (10, 10, (100, 72.2, 100)), (30, 100, (30, 21.9, 39.6))],
)
def test_wilson_intervals(part: int, whole: int, expected: tuple[float, float, float]) -> None:
    assert share(part, whole) == pytest.approx(Share(*expected), abs=0.05)  # as published tables have them


def test_memory_is_bounded_and_what_goes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST_ASPECTS", 10)
    monkeypatch.setattr(counts, "MOST_OPINIONS", 4)
    reviews = [review(f"thing{i}", "fine", "POS") for i in range(30)]
    often = [review("food", f"good{i % 7}", "POS") for i in range(40)]
    summary = Summary().add([review("food", "good0", "POS"), review("food", "good0", "POS"), *reviews, *often])
    assert len(summary.aspects) <= 11 and summary.triplets == 72
    kept = sum(aspect.sentiments.total() for aspect in summary.aspects.values())
    assert summary.left_out == 72 - kept > 0 and summary.aspects["food"].sentiments == {"POS": 42}
    assert len(summary.aspects["food"].opinions) <= 5
    assert f"{summary.left_out}" in Page(str(render(Figures(summary, 1, "POS", "NEG"), "x"))).text


def test_opinions_that_are_not_kept_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST_OPINIONS", 4)
    summary = Summary().add([review("food", f"good{i}", "POS") for i in range(9)])
    aspect = summary.aspects["food"]
    assert aspect.opinions.total() + aspect.opinions_left_out == 9 and aspect.opinions_left_out > 0
    assert any(note.startswith(f"Of {aspect.opinions_left_out} triplets the opinion") for note in summary.notes())


def test_examples_are_from_anywhere_and_the_same_at_every_run() -> None:
    reviews = [review("food", f"good{i}", "POS") for i in range(100)]
    kept = [Summary().add(rows).aspects["food"].examples["POS"] for rows in (reviews, reversed(reviews))]
    assert len(kept[0]) == counts.EXAMPLES and kept[0] == kept[1]
    assert {found.text for found in kept[0].values()} != {row.text for row in reviews[: counts.EXAMPLES]}


def test_reviews_without_group_or_day_are_said() -> None:
    reviews = [review("food", "good", "POS", group="a", month="2024-01"), review("food", "bad", "NEG")]
    assert list(Summary().add(reviews).notes()) == ["1 reviews have no group.", "1 reviews have no day."]


def test_too_many_groups_are_refused() -> None:
    reviews = (review("food", "good", "POS", group=str(i)) for i in range(counts.MOST_GROUPS + 1))
    with pytest.raises(UserError, match="--by: more than 1000 different values"):
        Summary().add(reviews)


def test_an_excerpt_ends_between_words() -> None:
    text = "word " * 100 + "The food was great. " + "more " * 100
    example = excerpt(text, triplet("food", "great", "POS", text))
    assert example is not None and example.text.startswith("… word ") and example.text.endswith(" more …")
    assert len(example.text) < 2 * counts.EXCERPT + 40
    for role, term in (("aspect", "food"), ("opinion", "great")):
        place = example.triplet[role]
        assert example.text[place["start"] : place["end"]] == term == place["text"]
    assert excerpt("no such", triplet("food", "great", "POS")) is None
    text = "Seafood: great. We paid little, and the food was great."
    near = excerpt(text, triplet("food", "great", "POS"))  # whole words, and those that stand near each other
    assert near is not None and near.triplet["aspect"]["start"] == text.rindex("food")
    assert near.triplet["opinion"]["start"] == text.rindex("great")
    found = excerpt("food great", triplet("food", "great", "POS"))
    assert found is not None and found.text == "food great"


# --- figures


def test_rankings_go_by_the_nearer_bound() -> None:
    once = [review("lucky", "good", "POS")] * 3
    often = [review("solid", "good", "POS")] * 30 + [review("solid", "bad", "NEG")] * 2
    bad = [review("price", "high", "NEG")] * 5
    figures = Figures(Summary().add([*once, *often, *bad]), 3, "POS", "NEG")
    assert [row.aspect for row in figures.most("POS", "NEG", 5)] == ["solid", "lucky"]
    assert [row.aspect for row in figures.most("NEG", "POS", 5)] == ["price"]
    assert [row.aspect for row in Figures(figures.summary, 4, "POS", "NEG").rows] == ["solid", "price"]


def test_changes_are_those_that_chance_does_not_explain() -> None:
    def said(aspect: str, group: str, good: int, bad: int) -> list[Review]:
        kinds = [("good", "POS")] * good + [("bad", "NEG")] * bad
        return [review(aspect, opinion, sentiment, group=group) for opinion, sentiment in kinds]

    reviews = [*said("food", "a", 28, 2), *said("food", "b", 2, 28), *said("bar", "a", 3, 2), *said("bar", "b", 2, 3)]
    (change,) = Figures(Summary().add(reviews), 3, "POS", "NEG").changes(5)
    assert (change.more.aspect, change.more.group, change.less.group) == ("food", "a", "b") and change.gap > 50


def test_periods_are_months_quarters_or_years() -> None:
    assert periods(["2024-02", "2024-01"]) == {"2024-01": "2024-01", "2024-02": "2024-02"}
    some = [f"{year}-{month:02}" for year in range(2020, 2024) for month in range(1, 13)]
    assert set(periods(some).values()) == {f"{year}-Q{q}" for year in range(2020, 2024) for q in range(1, 5)}
    assert periods([f"{year}-07" for year in range(1990, 2020)])["1990-07"] == "1990"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2024-05-31", "2024-05"), ("2024-05-31T10:00:00Z", "2024-05"), (date(2024, 5, 1), "2024-05"), ("", None)],
)
def test_months_of_days(value: Any, expected: str | None) -> None:
    assert month(value, "x") == expected


def test_labels_of_praise_and_blame() -> None:
    assert praise_and_blame(["POS", "NEG"], None, None) == ("POS", "NEG")
    assert praise_and_blame(["POS"], None, None) == praise_and_blame(["NEU"], None, None) == ("POS", "NEG")
    assert praise_and_blame(["Positive", "mixed", "negative"], None, None) == ("Positive", "negative")
    assert praise_and_blame(["1", "5"], "5", "1") == ("5", "1")
    with pytest.raises(UserError, match="The labels are 1, 5: give --positive"):
        praise_and_blame(["1", "5"], None, None)
    with pytest.raises(UserError, match="--negative 2: no such label among those found: 1, 5"):
        praise_and_blame(["1", "5"], "5", "2")


@pytest.mark.parametrize("cell", ["=1+1", "'=1+1", "-5", "+a", "plain", "", "'", None, 3])
def test_what_was_made_harmless_is_read_as_it_was(cell: Any) -> None:
    written = harmless(cell)
    assert as_it_was(written) == (cell if written != "'=1+1" else "=1+1")


# --- the command


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_files_that_predict_writes_give_the_same_counts(
    suffix: str, written: Callable[[str], Path], examples: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "summary.csv"
    options = ["--by", "product", "--date_column", "date", "--min_count", "1"]
    assert cli.main(["summarize", str(written(suffix)), *options, "--out", str(out)]) == 0
    rows = lines(out)
    whole = [row for row in rows if not row["group"] and not row["period"]]
    gold = [one for row in examples for one in row["predicted_triplets"]]
    assert sum(int(row["triplets"]) for row in whole) == len(gold) == 186
    for label in ("POS", "NEG", "NEU"):
        assert sum(int(row[label]) for row in whole) == sum(one["sentiment"] == label for one in gold)
    named = [(row["product"], key_of(one["aspect"]["text"])) for row in examples for one in row["predicted_triplets"]]
    battery = Counter(product for product, key in named if key == "battery")
    groups = [row for row in rows if row["aspect"] == "battery" and row["group"]]
    assert {row["group"]: int(row["triplets"]) for row in groups} == battery
    assert sum(int(row["triplets"]) for row in rows if row["period"]) == 186


@pytest.mark.parametrize("text", ["=good food", "It's good, isn't it", "'quoted'"])
def test_a_column_of_the_reviews_own_is_not_taken_for_that_of_the_triplets(text: str, tmp_path: Path) -> None:
    table, out = tmp_path / "triplets.csv", tmp_path / "summary.csv"
    rows = {"text": [text] * 2, "sentiment": ["5 stars", "1 star"], "shop": [text, "-5"]}
    features = Features({name: Value("string") for name in rows} | {"predicted_triplets": TRIPLETS})
    found = [[triplet("food", "good", "POS", "food good")], []]
    write_table(str(table), [{**rows, "predicted_triplets": found}], features)
    assert cli.main(["summarize", str(table), "--by", "shop", "--min_count", "1", "--out", str(out)]) == 0
    whole, group = lines(out)
    assert (whole["aspect"], whole["POS"], group["group"]) == ("food", "1", harmless(text))


def test_the_page_has_the_numbers_of_the_table(written: Callable[[str], Path], tmp_path: Path) -> None:
    page, table = tmp_path / "summary.html", tmp_path / "summary.csv"
    options = ["--by", "product", "--date_column", "date", "--min_count", "2", "--title", "Ours"]
    assert cli.main(["summarize", str(written(".jsonl")), *options, "--out", str(page), str(table)]) == 0
    html = page.read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", Page(html).text)
    for row in lines(table):
        if row["group"] or row["period"]:
            assert f"{row['POS %']}% of {row['triplets']}" in text
            continue
        for label in ("POS", "NEU", "NEG"):
            shares = f"{row[f'{label} %']}% ({row[f'{label} % from']} to {row[f'{label} % to']})"
            assert f"{label} {row[label]}: {shares}" in text
        assert row["opinions"] in text
    assert "Ours" in text and "http" not in html.replace("http-equiv", "")


def test_text_of_reviews_stays_text(tmp_path: Path) -> None:
    evil = f"=1+1 {EVIL}"
    rows = [{"text": f"The {evil} was {evil}x", "shop": evil, "predicted_triplets": []} for _ in range(2)]
    for row in rows:
        row["predicted_triplets"] = [triplet(evil, f"{evil}x", "POS", row["text"])]
    source = tmp_path / "triplets.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page, table = tmp_path / "a.html", tmp_path / "a.csv"
    command = ["summarize", str(source), "--by", "shop", "--min_count", "1", "--out", str(page), str(table)]
    assert cli.main(command) == 0
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 1 and EVIL not in html
    assert all(row["aspect"].startswith("'=") for row in lines(table))


def test_reviews_without_triplets_are_predicted_first(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "summary.html"
    command = ["summarize", str(EXAMPLES / "reviews.csv"), "--model", str(model), "--min_count", "1"]
    assert cli.main([*command, "--out", str(out)]) == 0
    assert "<b>84</b><span>reviews</span>" in out.read_text(encoding="utf-8")


def test_the_folder_of_a_corpus(tmp_path: Path, model: Path) -> None:
    corpus, out = tmp_path / "predicted", tmp_path / "summary.csv"
    reviews = str(EXAMPLES / "reviews.csv")
    assert cli.main(["predict", reviews, "--out", str(corpus), "--model", str(model), "--threshold", "0"]) == 0
    assert cli.main(["summarize", str(corpus), "--by", "product", "--min_count", "1", "--out", str(out)]) == 0
    assert {row["group"] for row in lines(out)} >= {"", "Noodle Quay"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.txt"], "--out a.txt: expected a name that ends in .html or .csv"),
        (["--out", "a.csv", "--by", "shop"], "no column 'shop'"),
        (["--out", "a.csv", "--date_column", "product"], "review 1: 'Noodle Quay' is no day; expected a day such as"),
        (["--out", "a.csv", "--text_column", "review"], "no column 'review'"),
        (
            ["--out", "a.csv", "--output_column", "place"],
            "place is 'Bristol'; expected triplets as `d2e2s predict` writes",
        ),
        (["--out", "a.csv", "--min_count", "0"], "--min_count 0: expected at least 1"),
        (["--out", "a.csv", "--merge", "none.yaml"], "none.yaml"),
        (["--out", "a.csv", "--positive", "GOOD"], "--positive GOOD: no such label among those found: POS, NEU, NEG"),
    ],
)
def test_mistakes(
    options: list[str],
    message: str,
    written: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["summarize", str(written(".jsonl")), *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and not (tmp_path / "a.csv").exists()


def test_the_file_that_is_read_is_not_replaced(written: Callable[[str], Path], capsys: pytest.CaptureFixture) -> None:
    source = written(".csv")
    assert cli.main(["summarize", str(source), "--out", str(source)]) == 2
    assert "is the file that is read" in capsys.readouterr().err


def test_aspects_have_a_bounded_size() -> None:
    assert not hasattr(Aspect(), "__dict__")


# --- in a browser


@pytest.fixture(scope="module")
def shown(
    browser: Chrome, written: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chrome]:
    page = tmp_path_factory.mktemp("page") / "summary.html"
    options = ["--by", "product", "--date_column", "date", "--min_count", "2"]
    assert cli.main(["summarize", str(written(".jsonl")), *options, "--out", str(page)]) == 0
    browser.get(page.as_uri())
    yield browser


def test_examples_open_with_the_keyboard(shown: Chrome) -> None:
    details = shown.find_element(By.CSS_SELECTOR, "details.aspect")
    mark = details.find_element(By.CSS_SELECTOR, "mark.aspect")
    assert not mark.is_displayed()
    details.find_element(By.CSS_SELECTOR, "summary").send_keys(Keys.ENTER)
    assert mark.is_displayed() and mark.text


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_screen(shown: Chrome, width: int) -> None:
    resize(shown, width, 800)
    wide = shown.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []
