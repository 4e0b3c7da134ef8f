"""The page of a report: figures, claims and what explains them, as HTML and Markdown.

Everything that comes from a config or a run is data to the templates, and is escaped by them.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2

from mnistlin._version import __version__
from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.config import dump_yaml
from mnistlin.report.claims import VERDICTS, Row
from mnistlin.report.plan import Report
from mnistlin.report.runner import Experiments
from mnistlin.report.sections import OnRow, Section, sections_of
from mnistlin.runs.files import write_into
from mnistlin.runs.records import Origin

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """Everything that a page shows; sections are by the id of their part."""

    report: Report
    sections: Mapping[str, Section]
    experiments: Experiments

    @property
    def rows(self) -> list[Row]:
        """The claims of all sections."""
        return [row for section in self.sections.values() for row in section.rows]

    @property
    def verdicts(self) -> dict[str, int]:
        """How many rows have each verdict."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def stops_early(self) -> bool:
        """Whether validation images decided when some experiment ended."""
        return any(each.folder.config.early_stopping for each in self.experiments.values())

    @property
    def origin(self) -> Origin | None:
        """What run.json says of the first run."""
        return next(iter(self.experiments.values())).folder.info if self.experiments else None


def make_page(
    report: Report,
    experiments: Experiments,
    out_dir: Path,
    on_row: OnRow = lambda _: None,
) -> Page:
    """Test the claims of a report, and draw its figures; reuse what the folder has of them.

    Parameters
    ----------
    report : Report
        The report file.
    experiments : mapping of str to TrainedExperiment
        Its experiments.
    out_dir : Path
        The folder of the page.
    on_row : callable
        Called after each claim is tested.

    Raises
    ------
    RunError
        If a run is damaged, or a figure cannot be drawn or written.
    ConfigError
        If a part asks for something that its experiments do not have.
    DataError
        If data is missing, or is not what a run was trained with.
    """
    sections = sections_of(report, experiments, out_dir / "sections", on_row)
    return Page(report, sections, experiments)


def write_page(page: Page, out_dir: Path) -> tuple[Path, Path]:
    """Write report.html, which contains its figures, and report.md, which links to them.

    Raises
    ------
    RunError
        If one cannot be written.
    """
    for section in page.sections.values():
        for picture in section.all_pictures:
            write_into(out_dir / "figures", f"{picture.name}.svg", picture.wide.encode())
    html, markdown = (
        write_into(out_dir, name, render(page, name).encode())
        for name in ("report.html", "report.md")
    )
    return html, markdown


def render(page: Page, name: str) -> str:
    """Return the text of `report.html` or `report.md`."""
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
        "srcset": _srcset,
        "label": _label,
        "md": markdown_text,
        "fence": fence_for,
        "size": _size,
        "tied": _tied,
    }
    template = environment.get_template(f"{name}.jinja")
    return template.render(page=page, plan=page.report.plan, version=__version__)


def _label(key: str) -> str:
    """Describe a key of summary.json; `best` is the check with the lowest loss."""
    if key == "best_val_loss":
        return "lowest validation loss"
    words = key.replace("_", " ").replace("val ", "validation ").replace("train ", "training ")
    if words.startswith("best "):
        return f"{words.removeprefix('best ')} at the lowest validation loss"
    return words


def _config_text(experiment: TrainedExperiment) -> str:
    return dump_yaml(experiment.folder.config.model_dump(mode="json"))


def _command(experiment: TrainedExperiment) -> str:
    return "sweep-lambda" if experiment.sweep else "train"


def _data_uri(svg: str, plain: str = " /:;=,.-+()?!*@$[]_~") -> str:
    """Return a figure as a URI, so that its ids do not clash with those of others.

    Percent signs make it shorter than Base64 would, and let it be compressed.
    """
    svg = svg.replace("\n", " ")  # a URI drops line ends
    return f"data:image/svg+xml,{quote(svg, safe=plain)}"


def _srcset(svg: str) -> str:
    """Return the URI of a figure as a list of sources may have it: without spaces and commas."""
    return _data_uri(svg, "/:;=.-+()?!*@$[]_~")


def _tied(text: str) -> str:
    """Return text without line breaks between a number and its sign or unit."""
    return re.sub("(?<=[λ=±]) | (?=[=±%])", "\u00a0", text)


def _size(svg: str) -> tuple[int, int]:
    """Return width and height of a figure, which reserve its space before it is loaded."""
    match = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg[:2000])
    width, height = (float(each) for each in match.groups()) if match else (648.0, 374.0)
    return round(width * 4 / 3), round(height * 4 / 3)  # points to pixels


def markdown_text(text: str) -> str:
    """Escape text for Markdown and HTML."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", line)


def fence_for(text: str) -> str:
    """Return a fence for a code block: longer than any run of backticks in it."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
