"""The page as text: HTML and Markdown by templates, and how they write values.

Whatever comes from a config or a run is data to the templates and is escaped by them.
"""

import re
from pathlib import Path
from urllib.parse import quote

import jinja2

import mnistlin
from mnistlin.config import dump_yaml
from mnistlin.report.page import Page
from mnistlin.report.pictures import Picture
from mnistlin.report.runner import Outcome
from mnistlin.runs.files import write_into

TEMPLATES = Path(__file__).parent / "templates"


def write_page(page: Page, out_dir: Path) -> tuple[Path, Path]:
    """Write report.html, which holds its figures, and report.md, which links to them.

    Raises
    ------
    RunError
        If one cannot be written.
    """
    html, markdown = (
        write_into(out_dir, name, render(page, name).encode())
        for name in ("report.html", "report.md")
    )
    return html, markdown


def render(page: Page, name: str) -> str:
    """Return the text of report.html or report.md.

    Parameters
    ----------
    page : Page
        What is shown.
    name : {"report.html", "report.md"}
        Which of the two.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "config": _config_text,
        "command": _command,
        "data_uri": _data_uri,
        "label": _label,
        "md": markdown_text,
        "fence": fence_for,
        "size": _size,
        "tied": _tied,
    }
    template = environment.get_template(f"{name}.jinja")
    return template.render(page=page, version=mnistlin.__version__)


def _label(key: str) -> str:
    """Return a key in words: `last_val_loss` as "last val loss"."""
    return key.replace("_", " ")


def _config_text(outcome: Outcome) -> str:
    return dump_yaml(outcome.folder.config.model_dump(mode="json"))


def _command(outcome: Outcome) -> str:
    return "sweep-lambda" if outcome.sweep else "train"


def _data_uri(picture: Picture) -> str:
    """Return a figure as a URI, so that the ids inside it are its own.

    Percent signs make it shorter than Base64 would, and let it be compressed.
    """
    svg = picture.path.read_text(encoding="utf-8").replace("\n", " ")  # a URI drops line ends
    return f"data:image/svg+xml,{quote(svg, safe=_PLAIN_IN_URI)}"


_PLAIN_IN_URI = " /:;=,.-+()?!*@$[]_~"


def _tied(text: str) -> str:
    """Return text in which no line ends between a number and its sign or unit."""
    return re.sub("(?<=[λ=±]) | (?=[=±%])", "\u00a0", text)


def _size(picture: Picture) -> tuple[int, int]:
    """Return width and height of a figure, which keep its place before it is shown."""
    with picture.path.open(encoding="utf-8") as file:
        head = file.read(2000)
    match = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', head)
    width, height = (float(each) for each in match.groups()) if match else (648.0, 374.0)
    return round(width * 4 / 3), round(height * 4 / 3)  # points to pixels


def markdown_text(text: str) -> str:
    """Return text in which no character means anything to Markdown or HTML."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", line)


def fence_for(text: str) -> str:
    """Return a fence for a block of code: longer than any row of backticks in it."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
