"""The page as values: everything that its templates show, put together.

The page as text: HTML and Markdown by templates, and how they write values.

Whatever comes from a config or a run is data to the templates and is escaped by them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

import mnistlin
from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.gradients import GradientCheck, check_gradients
from mnistlin.analysis.statistics import with_spread
from mnistlin.config import DataConfig, dump_yaml
from mnistlin.report.claims import NOT_RESOLVED, Row, rows_of
from mnistlin.report.findings import paragraphs
from mnistlin.report.pictures import Picture, draw_pictures
from mnistlin.report.plan import Part, Plan
from mnistlin.report.runner import Outcomes
from mnistlin.runs.files import write_into


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    part : Part
        What the report file says of it.
    rows : list of Row
        Its published and measured values.
    pictures : list of Picture
        Its figures.
    paragraphs : list of (str, str)
        What they show: the name of an experiment, and words.
    outcomes : list of TrainedExperiment
        The experiments it shows.
    """

    part: Part
    rows: list[Row]
    pictures: list[Picture]
    paragraphs: list[tuple[str, str]]
    outcomes: list[TrainedExperiment]

    @property
    def measured(self) -> list[tuple[str, list[str]]]:
        """For each experiment its name, and its measures in words."""
        return [
            (
                outcome.name,
                [_shown(key, outcome.values(key)) for key in self.part.measures],
            )
            for outcome in self.outcomes
            if self.part.measures
        ]


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Attributes
    ----------
    plan : Plan
        What the report file says.
    dataset : str
        What the experiments were trained on.
    rows : list of Row
        The table of published and measured.
    sections : list of Section
        The parts.
    outcomes : mapping of str to TrainedExperiment
        The experiments.
    gradients : list of GradientCheck
        The numeric check of the derivations; empty if the page has none.
    """

    plan: Plan
    dataset: str
    rows: list[Row]
    sections: list[Section]
    outcomes: Outcomes
    gradients: list[GradientCheck]

    @cached_property
    def verdicts(self) -> dict[str, int]:
        """How many rows have each verdict."""
        found = [row.verdict for row in self.rows]
        return {verdict: found.count(verdict) for verdict in ("agrees", "differs", NOT_RESOLVED)}

    @property
    def is_comparable(self) -> bool:
        """Whether the published numbers are about this dataset."""
        return self.dataset == self.plan.dataset

    @property
    def origin(self) -> Mapping[str, Any]:
        """What run.json says of the first run."""
        return next(iter(self.outcomes.values())).folder.info if self.outcomes else {}


def make_page(plan: Plan, dataset: str, outcomes: Outcomes, figures_dir: Path) -> Page:
    """Put a page together, drawing its figures into a folder.

    Parameters
    ----------
    plan : Plan
        What the report file says.
    dataset : str
        What the experiments were trained on.
    outcomes : mapping of str to TrainedExperiment
        What came of them.
    figures_dir : Path
        Where the figures go.

    Raises
    ------
    RunError
        If a run is damaged, or a figure cannot be drawn or written.
    ConfigError
        If a part asks for something that its experiments do not have.
    DataError
        If data is missing, or not what a run was trained with.
    """
    rows = list(rows_of(plan, outcomes, is_comparable=dataset == plan.dataset))
    sections = [_section(part, rows, outcomes, figures_dir) for part in plan.parts]
    derives = any(part.derivation for part in plan.parts)
    gradients = list(check_gradients(DataConfig(dataset=dataset))) if derives else []
    return Page(plan, dataset, rows, sections, outcomes, gradients)


def _section(part: Part, rows: Sequence[Row], outcomes: Outcomes, figures_dir: Path) -> Section:
    shown = [outcomes[name] for name in part.experiments]
    return Section(
        part,
        [row for row in rows if row.part == part.id],
        draw_pictures(part, outcomes, figures_dir),
        [found for name in part.findings for found in paragraphs(name, shown)],
        shown,
    )


def _shown(key: str, values: Sequence[float]) -> str:
    """Return a number of each seed, or its mean and spread, in the unit that its key tells."""
    fmt = ".2%" if key.endswith("accuracy") else ".4f" if key.endswith("loss") else ",.6g"
    if key.endswith("_seconds"):
        fmt = ".2f"
    return with_spread(values, fmt)


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


def _config_text(outcome: TrainedExperiment) -> str:
    return dump_yaml(outcome.folder.config.model_dump(mode="json"))


def _command(outcome: TrainedExperiment) -> str:
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
