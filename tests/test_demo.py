"""The demo: its steps, its endpoint through `gradio_client`, and the app itself in a headless Chromium.

With D2E2S_CHECKPOINT (or outputs/quickstart) the browser tests run on that checkpoint, otherwise on a random one.
D2E2S_SCREENSHOTS=1 with a trained checkpoint writes the picture that docs/demo.md shows.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsing import resize
from gradio_client import Client
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from test_drawing import EVIL
from tiny_models import tiny_checkpoint

from d2e2s import cli
from d2e2s.demo import app
from d2e2s.prediction.predict import load_pipeline
from d2e2s.prediction.writers import FORMULA, TRIPLET_COLUMNS

ROOT = Path(__file__).parents[1]
SCREENSHOT = ROOT / "docs" / "images" / "demo.png"
REVIEW = "The food was great but the service was slow."
SECONDS = 90  # the longest wait for anything in the browser


def trained_checkpoint() -> Path | None:
    path = Path(os.environ.get("D2E2S_CHECKPOINT", ROOT / "outputs" / "quickstart"))
    return path if (path / "config.json").is_file() else None


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_checkpoint() or tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def demo(checkpoint: Path) -> app.Demo:
    return app.Demo(load_pipeline(str(checkpoint), device="cpu"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    rows = [["id", "review"], ["007", REVIEW], ["=1+1", f"@food was good {EVIL}"], ["3", " "]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


# --- the steps


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9])
def test_choosing_by_threshold_is_what_the_pipeline_does(demo: app.Demo, threshold: float) -> None:
    found = demo.read(REVIEW, "")
    assert app.at_least(found["triplets"], threshold) == demo.extract(REVIEW, threshold=threshold)


def test_only_the_aspects_asked_for(demo: app.Demo) -> None:
    found = demo.read(REVIEW, " service , ")
    assert {triplet["aspect"]["text"] for triplet in found["triplets"]} == {"service"}


def test_one_tree_for_each_sentence(demo: app.Demo) -> None:
    assert demo.trees(demo.read(f"{REVIEW} It was good!", "")).count("<svg") == 2


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_text_is_said(demo: app.Demo, text: str) -> None:
    with pytest.raises(app.gr.Error, match="Type or paste"):
        demo.read(text, "")


def test_a_file_keeps_its_columns_and_is_harmless_as_csv(demo: app.Demo, table: Path) -> None:
    found = demo.read_file(str(table), "review", "")
    chart, summary, csv_path, jsonl_path = demo.show_file(found, 0.0)
    assert csv_path and jsonl_path
    with open(csv_path, encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "review", *TRIPLET_COLUMNS]
    assert {row[0] for row in rows} == {"007", "'=1+1", "3"}
    assert not [cell for row in rows for cell in row if cell.startswith(FORMULA)]
    assert rows[-1][2:] == ["", "", "", ""]
    lines = [json.loads(line) for line in Path(jsonl_path).read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["007", "=1+1", "3"]
    assert sum(len(line["predicted_triplets"]) for line in lines) == len(rows) - 1 > 0
    assert "rows without text: 1" in summary and "<script" not in chart


def test_the_threshold_changes_chart_and_results(demo: app.Demo, table: Path) -> None:
    found = demo.read_file(str(table), "review", "")
    _, summary, csv_path, _ = demo.show_file(found, 1.1)
    assert summary.startswith("0 triplets in 3 rows") and csv_path
    assert len(Path(csv_path).read_text(encoding="utf-8-sig").splitlines()) == 4
    assert demo.show_file(found, 0.0)[2] == csv_path  # no folder more for each move of the slider
    del found
    assert not Path(csv_path).parent.exists()


def test_the_text_column_is_guessed(table: Path, tmp_path: Path) -> None:
    assert app.columns_of(str(table))["value"] == "review"
    lines = tmp_path / "a.txt"
    lines.write_text("x\n", encoding="utf-8")
    assert app.columns_of(str(lines))["value"] == "text"


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (b"id,review\n", "review", "no rows|no text"),
        (b"review\n\xff\n", "review", "not UTF-8"),
        (b"review\ngood\n", "text", "no column 'text'"),
        (b"review\n" + b"good\n" * (app.MOST_ROWS + 1), "review", "too many for the demo"),
    ],
    ids=["empty", "latin", "column", "long"],
)
def test_a_bad_file_is_said_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, column: str, message: str
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    demo = app.Demo.__new__(app.Demo)
    demo.extract = None  # type: ignore[assignment]  # all of it is told before the model runs
    with pytest.raises(app.gr.Error, match=message) as raised:
        demo.read_file(str(path), column, "")
    assert str(tmp_path) not in str(raised.value)


def test_command_without_a_checkpoint_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["demo", "--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_space_names_its_files_and_versions() -> None:
    page = (ROOT / "demo" / "README.md").read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = next(pin.split("==")[1] for pin in pins if pin.startswith("gradio=="))
    assert f"sdk_version: {version}\n" in page and "app_file: app.py\n" in page
    assert (ROOT / "demo" / "requirements.txt").read_text(encoding="utf-8").startswith("d2e2s[demo]")


# --- the running app


@pytest.fixture(scope="module")
def address(checkpoint: Path) -> Iterator[str]:
    blocks = app.launch(str(checkpoint), prevent_thread_lock=True, quiet=True)
    yield str(blocks.local_url)
    blocks.close()


def test_endpoint(address: str, demo: app.Demo) -> None:
    client = Client(address, verbose=False)
    assert client.predict(REVIEW, 0.0, ["food"], api_name="/extract") == demo.api(REVIEW, 0.0, ["food"])
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/extract"]


@pytest.fixture
def page(browser: Chrome, address: str) -> Chrome:
    resize(browser, 1100, 900)
    browser.get(address)
    wait_for(browser, "#extract")
    return browser


def wait_for(browser: Chrome, selector: str) -> WebElement:
    def visible(driver: Chrome) -> WebElement | None:
        return next((e for e in driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None)

    return WebDriverWait(browser, SECONDS).until(visible, selector)


def wait_until(browser: Chrome, condition: Callable[[], object], message: str) -> None:
    WebDriverWait(browser, SECONDS, ignored_exceptions=[Exception]).until(lambda driver: condition(), message)


def type_into(browser: Chrome, selector: str, text: str, *keys: str) -> None:
    box = wait_for(browser, selector)
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(text, *keys)


def arcs(browser: Chrome) -> list[str]:
    """The paths that the script has drawn."""
    drawn = browser.find_elements(By.CSS_SELECTOR, "#sentence g path")
    return [path.get_attribute("d") or "" for path in drawn]


def extract(page: Chrome, demo: app.Demo, text: str) -> int:
    """Type, lower the threshold to 0, click, and wait for all triplets; how many there are."""
    type_into(page, "#threshold input[type=number]", "0", Keys.TAB)
    type_into(page, "#review textarea", text)
    wait_for(page, "#extract").click()
    wanted = len(demo.extract(text, threshold=0.0))
    wait_until(page, lambda: len(arcs(page)) == wanted and all(arcs(page)), f"{wanted} arcs")
    return wanted


def test_typing_and_clicking_shows_triplets(page: Chrome, demo: app.Demo) -> None:
    wanted = extract(page, demo, REVIEW)
    assert wait_for(page, "#sentence p").text == REVIEW
    first = demo.extract(REVIEW, threshold=0.0)[0]
    wait_until(page, lambda: len(page.find_elements(By.CSS_SELECTOR, "#triplets tbody tr")) >= wanted, "rows")
    assert first["aspect"]["text"] in wait_for(page, "#triplets tbody").text
    page.find_element(By.XPATH, "//button[contains(., 'Dependency tree')]").click()
    assert "food" in (wait_for(page, "#tree svg").get_attribute("textContent") or "")


def test_the_slider_acts_from_the_keyboard_and_without_the_model(
    page: Chrome, demo: app.Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(page, demo, REVIEW)
    monkeypatch.setattr(app.Demo, "read", None)  # a second run of the model would fail
    slider = wait_for(page, "#threshold input[type=range]")
    slider.send_keys(Keys.END)
    certain = len(demo.extract(REVIEW, threshold=1.0))
    wait_until(page, lambda: len(arcs(page)) == certain, "fewer arcs at 1")
    slider.send_keys(Keys.HOME)
    wait_until(page, lambda: len(arcs(page)) == len(demo.extract(REVIEW, threshold=0.0)), "all arcs at 0")


def test_markup_in_a_review_stays_text(page: Chrome, demo: app.Demo) -> None:
    text = f"The food {EVIL} was great"
    extract(page, demo, text)
    assert wait_for(page, "#sentence p").text == text
    for selector in ("#sentence script", "#sentence img", "#triplets img", "#tree img"):
        assert not page.find_elements(By.CSS_SELECTOR, selector)


def test_only_aspects_from_the_keyboard(page: Chrome, demo: app.Demo) -> None:
    type_into(page, "#threshold input[type=number]", "0", Keys.TAB)
    type_into(page, "#review textarea", REVIEW)
    type_into(page, "#aspects input, #aspects textarea", "service", Keys.ENTER)
    wanted = len(demo.extract(REVIEW, threshold=0.0, aspects=["service"]))
    wait_until(page, lambda: len(arcs(page)) == wanted and all(arcs(page)), "arcs of one aspect")
    assert {mark.text for mark in page.find_elements(By.CSS_SELECTOR, "#sentence mark.aspect")} == {"service"}


def test_a_file_gives_a_chart(page: Chrome, table: Path) -> None:
    page.find_element(By.XPATH, "//button[@role='tab'][contains(., 'A file')]").click()
    type_into(page, "#threshold input[type=number]", "0", Keys.TAB)
    wait_until(page, lambda: page.find_element(By.CSS_SELECTOR, "#file input[type=file]"), "place for a file")
    page.find_element(By.CSS_SELECTOR, "#file input[type=file]").send_keys(str(table))
    wait_until(page, lambda: wait_for(page, "#column input").get_attribute("value") == "review", "the text column")
    wait_for(page, "#extract-file").click()
    assert wait_for(page, "#chart .aspect .shares span").text
    assert "3 rows" in wait_for(page, "#summary").text


def test_narrow_screens_and_no_request_to_elsewhere(page: Chrome, demo: app.Demo, address: str) -> None:
    resize(page, 360, 800)
    extract(page, demo, REVIEW)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded and not [name for name in loaded if not name.startswith((address, "data:", "blob:"))]


def test_screenshot_of_the_docs(page: Chrome, demo: app.Demo) -> None:
    """Written when asked for, with a trained checkpoint; the docs never lack it."""
    if os.environ.get("D2E2S_SCREENSHOTS") and trained_checkpoint():
        resize(page, 1000, 1180)
        wait_for(page, "#extract").click()
        wanted = len(demo.extract(app.EXAMPLES[0][0]))
        wait_until(page, lambda: len(arcs(page)) == wanted and all(arcs(page)), "arcs")
        page.find_element(By.XPATH, "//button[contains(., 'Dependency tree')]").click()
        wait_for(page, "#tree svg")
        wait_until(page, lambda: len(page.find_elements(By.CSS_SELECTOR, "#triplets tbody tr")) >= wanted, "rows")
        page.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.save_screenshot(str(SCREENSHOT))
    assert SCREENSHOT.read_bytes().startswith(b"\x89PNG")
