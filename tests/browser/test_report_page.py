"""The page of `report` in a real browser."""

import json

import pytest

pytestmark = pytest.mark.browser

WIDTHS = pytest.mark.parametrize("width", [1280, 390, 320])
LOOKS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
RUN_AXE = """
const done = arguments[arguments.length - 1];
document.querySelectorAll('details').forEach(each => each.open = true);
axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then(
  found => done(found.violations.map(each => [each.impact, each.id, each.nodes[0].html])));
"""


def test_the_console_stays_empty(opened):
    """No error, no warning, nothing that the page's own rules forbid."""
    assert opened().get_log("browser") == []


def test_nothing_is_requested_but_the_page(opened, report_url):
    """All figures are in it."""
    messages = [
        json.loads(entry["message"])["message"] for entry in opened().get_log("performance")
    ]
    urls = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in urls if not url.startswith("data:")} == {report_url}


@WIDTHS
def test_figures_have_size(opened, width):
    """Each is drawn, and on a phone large enough to read, in a card that scrolls."""
    sizes = opened(width).execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.clientWidth, i.clientHeight])"
    )
    assert len(sizes) > 10
    for natural, shown, height in sizes:
        assert natural > 0
        assert shown >= 600
        assert height > shown / 4


@WIDTHS
def test_the_page_never_scrolls_sideways(opened, width):
    """Wide tables, figures and formulas scroll by themselves, with all configs shown."""
    page = opened(width)
    page.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    widths = "return ['scrollWidth', 'clientWidth'].map(k => document.documentElement[k])"
    content, window = page.execute_script(widths)
    assert content == window


@pytest.mark.parametrize("width", [1280, 1024])
def test_the_verdicts_are_in_sight(opened, width):
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


def test_in_the_dark_figures_keep_a_light_card(opened):
    """Their ink is dark."""
    color = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    page = opened(scheme="dark")
    red, green, blue = page.execute_script(color, "body").strip("rgb()").split(", ")
    assert max(map(int, (red, green, blue))) < 64
    assert page.execute_script(color, ".card") == "rgb(255, 255, 255)"


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
def test_axe_finds_no_fault(opened, axe, width, scheme):
    """WCAG 2.1 AA and good practice: contrast, names, headings, tables, focus."""
    page = opened(width, scheme)
    page.execute_script(axe)
    assert page.execute_async_script(RUN_AXE) == []
