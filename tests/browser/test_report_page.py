"""The page of `report` in a real browser."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

WIDTHS = pytest.mark.parametrize("width", [1280, 390, 320])
LOOKS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)


def test_the_console_stays_empty(opened):
    """No error, no warning, nothing that the page's own rules forbid."""
    assert opened().get_log("browser") == []


def test_nothing_is_requested_but_the_page(opened, report_url, requested):
    """All figures are in it."""
    opened()
    assert requested() == {report_url}


@WIDTHS
def test_figures_scale_with_the_window(opened, width):
    """Each is drawn, as wide as its card, which never scrolls."""
    sizes = opened(width).execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.clientWidth, i.clientHeight, "
        "i.parentElement.scrollWidth - i.parentElement.clientWidth])"
    )
    assert len(sizes) > 10
    for natural, shown, height, hidden in sizes:
        assert natural > 0
        assert width / 2 < shown < width
        assert height > shown / 4
        assert hidden == 0


def test_figures_are_legible_on_a_phone(opened):
    """Their smallest type is at least 7.5 pixels high: narrow versions are shown there."""
    texts = opened(390).execute_script(
        "return [...document.images].map(i => [decodeURIComponent(i.currentSrc), i.clientWidth])"
    )
    for svg, shown in texts:
        (points,) = re.findall(r'viewBox="0 0 ([0-9.]+) ', svg)
        scales = re.findall(r"scale\(([0-9.]+) -", svg)  # of letters, drawn as shapes of size 100
        assert 100 * min(map(float, scales)) * shown / float(points) >= 7.5


def test_tables_reflow_on_a_phone(opened):
    """Cells are below each other, each with its label, and no table scrolls."""
    page = opened(390)
    hidden = (
        "return [...document.querySelectorAll('.wide')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert set(page.execute_script(hidden)) == {0}
    labels = "return [...document.querySelectorAll('td')].map(e => e.dataset.label)"
    assert None not in page.execute_script(labels)


@WIDTHS
def test_the_page_never_scrolls_sideways(opened, width):
    """Wide tables and formulas scroll by themselves, with all configs shown."""
    page = opened(width)
    page.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    widths = "return ['scrollWidth', 'clientWidth'].map(k => document.documentElement[k])"
    content, window = page.execute_script(widths)
    assert content == window


@pytest.mark.parametrize("width", [1280, 1024])
def test_the_verdicts_are_visible_without_scrolling(opened, width):
    """On a projector nobody scrolls a table."""
    overflow = "const box = document.querySelector('.claims').parentElement;"
    assert opened(width).execute_script(f"{overflow} return box.scrollWidth <= box.clientWidth")


def test_the_keyboard_reaches_the_results_first(opened):
    """The first stop is a link over the heading and the list of parts."""
    from selenium.webdriver.common.keys import Keys

    page = opened()
    page.switch_to.active_element.send_keys(Keys.TAB)
    link = page.switch_to.active_element
    assert link.text == "Skip to the results"
    link.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "content"


def test_in_the_dark_nothing_glares(opened):
    """No large part of a figure is brighter than mid-grey, and its ink is bright."""
    page = opened(scheme="dark")
    (figure, *_) = page.find_elements("css selector", ".card")
    with Image.open(BytesIO(figure.screenshot_as_png)) as shot:
        grey = np.asarray(shot.convert("L"))
    assert np.median(grey) < 48
    assert grey.mean() < 64
    assert np.percentile(grey, 99) > 128


def test_in_print_the_configs_are_shown(opened):
    """Paper cannot be clicked."""
    page = opened()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = page.execute_script("return document.querySelector('details pre').offsetHeight")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown > 100


def test_mathematics_is_set(opened):
    """A fraction is higher than the letters in it."""
    height = "return document.querySelector(arguments[0]).getBoundingClientRect().height"
    page = opened()
    fraction, letter = (page.execute_script(height, name) for name in ("mfrac", "mfrac mi"))
    assert fraction > 1.5 * letter > 0


@LOOKS
def test_axe_finds_no_fault(opened, faults_of, width, scheme):
    """Contrast, names, headings, tables, focus."""
    assert faults_of(opened(width, scheme)) == []
