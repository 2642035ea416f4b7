"""A headless Chromium for the tests of pages."""

from __future__ import annotations

import os
import shutil

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService


def start() -> Chrome:
    """The browser; its absence is a skip for users and a failure in CI."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        message = "needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    options = ChromeOptions()
    options.binary_location = str(chromium)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    return Chrome(options=options, service=ChromeService(driver))


def resize(browser: Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
