"""The page as text; how a browser shows it is tested in tests/browser."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from mnistlin.report.page import fence_for, markdown_text, render, write_page
from mnistlin.report.sections import compact


class Reader(HTMLParser):
    """Collects the tags of a page and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Collect text."""
        self.text += data.replace("\u00a0", " ")

    def attributes(self, tag):
        """Return the attributes of each such tag."""
        return [attrs for name, attrs in self.tags if name == tag]


def pictures_of(page):
    """Yield all figures of a page."""
    for section in page.sections.values():
        yield from section.all_pictures


@pytest.fixture(scope="module")
def html(page):
    """Return the HTML of the page."""
    return render(page, "report.html")


@pytest.fixture(scope="module")
def reader(html):
    """Return the page as a browser reads it."""
    return Reader(html)


@pytest.fixture(scope="module")
def markdown(page):
    """Return the page in Markdown."""
    return render(page, "report.md")


def test_what_configs_and_texts_say_is_never_markup(html, reader):
    """A config called <script> is shown as text, in its YAML."""
    assert "script" not in {tag for tag, _ in reader.tags}
    assert "<b>report</b>" not in html
    assert "<script>alert('name')</script>" in reader.text
    assert "A <b>report</b> on almost nothing." in reader.text


def test_the_page_needs_no_other_file(html, reader):
    """Every address is a place in it, or is data."""
    for attribute in ("href", "src"):
        for _, attrs in reader.tags:
            assert attrs.get(attribute, "#").startswith(("#", "data:"))
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


def test_every_link_leads_to_a_part(reader):
    """And no id occurs twice."""
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    targets = {attrs["href"][1:] for attrs in reader.attributes("a")}
    assert targets <= set(ids)


def test_every_figure_says_in_words_what_it_shows(page, reader):
    """For who does not see it: curves with numbers, and the panels that explain a claim."""
    alts = [attrs["alt"] for attrs in reader.attributes("img")]
    assert sorted(alts) == sorted(picture.alt for picture in pictures_of(page))
    sections = page.sections.values()
    curves = [picture for section in sections for picture in section.pictures]
    assert len(curves) == 4
    assert all(re.search(r"\d\.\d", picture.alt) for picture in curves)
    explained = [picture for section in sections for picture in section.evidence.values()]
    paragraphs = [words for section in sections for words in section.explanations.values()]
    assert explained
    for picture in explained:
        assert re.search(r" over .*[.:]", picture.alt)
        assert not any(paragraph in picture.alt for paragraph in paragraphs)


def test_every_figure_is_well_formed_and_stands_alone(reader):
    """A browser shows nothing of an SVG with a mistake."""
    for attrs in reader.attributes("img"):
        svg = unquote(attrs["src"].partition(",")[2])
        assert ET.fromstring(svg).tag.endswith("svg")
        assert min(int(attrs["width"]), int(attrs["height"])) > 0


def test_figures_bear_the_names_of_their_parts(page, tmp_path):
    """As files beside the page."""
    write_page(page, tmp_path)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{picture.name}.svg" for picture in pictures_of(page)}
    assert "2a-loss-plain.svg" in names


def test_each_derivation_is_mathematics(reader):
    """MathML, so that no script is needed."""
    assert len(reader.attributes("math")) == 3 + 3 + 2
    assert reader.text.count("agrees") >= 6  # a numeric check beside each


def test_on_other_data_no_verdict_is_given(page, reader):
    """But the published numbers are shown."""
    assert {row.verdict for row in page.rows} == {None}
    assert "97.5 %" in reader.text
    assert "shown without a verdict" in reader.text


@pytest.fixture(scope="module")
def judged(report, experiments, sketched, tmp_path_factory):
    """Return the page as if the published numbers were about this data."""
    plan = report.plan.model_copy(update={"dataset": report.dataset})
    return sketched(replace(report, plan=plan), experiments, tmp_path_factory.mktemp("judged"))


def test_on_the_same_data_every_row_has_a_verdict(judged):
    """And one that differs has its note."""
    verdicts = {row.claim: row.verdict for row in judged.rows}
    assert None not in verdicts.values()
    assert verdicts["accuracy"] == "agrees"
    assert verdicts["norm"] == "agrees"
    assert verdicts["cause"] == "differs"
    assert sum(judged.verdicts.values()) == len(judged.rows) == 6
    shown = Reader(render(judged, "report.html")).text
    assert "It is convex." in shown
    assert "≠ differs" in shown


def test_a_claim_is_linked_to_what_explains_it(judged):
    """From the table to its part, where its figure is."""
    reader = Reader(render(judged, "report.html"))
    (row,) = [row for row in judged.rows if row.claim == "cause"]
    assert f"#{row.key}" in {attrs.get("href") for attrs in reader.attributes("a")}
    assert row.key in {attrs.get("id") for attrs in reader.attributes("div")}
    assert row.key in judged.sections["2a"].evidence


def test_markdown_links_to_the_figures(markdown, page):
    """And escapes what Markdown would take for its own."""
    for picture in pictures_of(page):
        assert f"(figures/{picture.name}.svg)" in markdown
    assert r"A \<b\>report\</b\>" in markdown
    assert r"What \| happens?" in markdown


def test_rows_of_the_markdown_table_have_six_cells(markdown):
    """Whatever is in them."""
    table = [line for line in markdown.splitlines() if re.match(r"\| (2a|4b) ", line)]
    assert len(table) == 6
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in table)


def test_text_and_code_stay_themselves_in_markdown():
    """A fence is longer than any that the code has."""
    assert markdown_text("a*b\nc|d") == r"a\*b c\|d"
    assert fence_for("name: ````") == "`````"
    assert fence_for("name: a") == "```"


def test_compact_figures_keep_their_shape():
    """Tenths in paths and places; numbers elsewhere stay."""
    svg = '<g scale="0.015625">\n  <!-- a -->\n  <path d="M 1.23456 -2.0049 L 3 4"/>\n</g>'
    assert compact(svg) == '<g scale="0.015625">\n<path d="M 1.2 -2 L 3 4"/>\n</g>'
