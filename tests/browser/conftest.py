"""Headless Chromium, and the pages of `report` and `play` about the digits of the package."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mnistlin.config import shipped_reports
from mnistlin.report.page import make_page, write_page
from mnistlin.report.plan import load_report
from mnistlin.report.runner import train_all

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DATASET = "mnist-5k"
RUN_AXE = """
const done = arguments[arguments.length - 1];
document.querySelectorAll('details').forEach(each => each.open = true);
axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then(
  found => done(found.violations.map(each => [each.impact, each.id, each.nodes[0].html])));
"""


@pytest.fixture(scope="session")
def report_url(tmp_path_factory):
    """Write the report, with two seeds, fewer images and epochs to save time; return its address.

    It is judged as if it were about the published data, so that every kind of verdict is shown.
    """
    folder = tmp_path_factory.mktemp("report")
    text = shipped_reports()["report"].read_text(encoding="utf-8")
    shorter = {
        "seeds: [0, 1, 2, 3, 4]": "seeds: [0, 1]",
        "data.train_size: null": "data.train_size: 3000",
        "training.batch_size: 768": "training.batch_size: 560",
        **{f"training.epochs: {n}": f"training.epochs: {n // 10}" for n in (220, 500, 1550)},
    }
    source = folder / "report.yaml"
    for long, short in shorter.items():
        assert long in text
        text = text.replace(long, short)
    source.write_text(text, encoding="utf-8")
    report = load_report(source, DATASET)
    experiments = train_all(report.configs, folder / "runs")
    plan = report.plan.model_copy(update={"dataset": DATASET})
    page = make_page(replace(report, plan=plan), experiments, folder)
    html, _ = write_page(page, folder)
    return html.as_uri()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Start Chromium with a new profile."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and chromium):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        yield browser


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page in a window of some width and a colour scheme."""

    def open_url(url, width=1280, scheme="light"):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for log in ("browser", "performance"):
            browser.get_log(log)  # what earlier pages left
        browser.get(url)
        return browser

    return open_url


@pytest.fixture
def opened(open_page, report_url):
    """Return a function that opens the report in a window of some width and a colour scheme."""
    return partial(open_page, report_url)


@pytest.fixture
def requested(browser):
    """Return a function for the addresses of all that was requested since a page opened."""

    def urls():
        entries = browser.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        found = {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }
        return {url for url in found if not url.startswith("data:")}

    return urls


@pytest.fixture
def faults_of(axe):
    """Return a function that returns what axe-core finds against WCAG 2.1 AA and good practice."""

    def faults(page):
        page.execute_script(axe)
        return page.execute_async_script(RUN_AXE)

    return faults


@pytest.fixture(scope="session")
def axe():
    """Return the script of axe-core, which judges accessibility."""
    named = os.environ.get("MNISTLIN_AXE_CORE")
    if not named:
        pytest.skip("needs axe-core: MNISTLIN_AXE_CORE=.../axe.min.js, which .ci/browser sets")
    return Path(named).read_text(encoding="utf-8")
