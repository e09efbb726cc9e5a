"""Headless Chromium, driven by selenium, for tests of what people see."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1100,900 "
    "--disable-background-timer-throttling --disable-backgrounding-occluded-windows --disable-renderer-backgrounding"
)


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """Yield a driver; the test is skipped where Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


def console(driver: Any) -> list[str]:
    """Return what the browser complained about since the last call: errors, refused scripts, failed requests."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def emulate(driver: Any, *, scheme: str = "light", media: str = "", width: int = 1100, height: int = 900) -> None:
    """Set the color scheme, the medium (`print`) and the size of the page."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def barriers(driver: Any) -> list[str]:
    """Return what axe-core finds serious or critical on the page, in light, dark and on a phone."""
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe-core-python is not installed").Axe()
    found = []
    for scheme, width in (("light", 1100), ("dark", 1100), ("light", 360)):
        emulate(driver, scheme=scheme, width=width)
        for one in axe.run(driver)["violations"]:
            if one["impact"] in ("serious", "critical"):
                found += [f"{scheme}, {width} px: {one['id']}: {node['html'][:200]}" for node in one["nodes"]]
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found


def print_pages(driver: Any) -> int:
    """Return the number of pages that the page prints on (A4)."""
    size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", size)["data"])
    return pdf.count(b"/Type /Page\n") or pdf.count(b"/Type /Page ")
