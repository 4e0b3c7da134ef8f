"""The page of a report: figures, claims and what explains them, as HTML and Markdown.

Everything that comes from a config or a run is data to the templates, and is escaped by them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import jinja2

from mnistlin._version import __version__
from mnistlin.analysis.claims import Answers, TrainedExperiment
from mnistlin.analysis.gradients import GradientCheck, check_gradients
from mnistlin.analysis.statistics import with_spread
from mnistlin.config import DataConfig, dump_yaml
from mnistlin.figures.draw import OVERLAY_FIGURES, REPORT_RUN_FIGURES, SWEEP_FIGURES
from mnistlin.figures.style import as_svg, drawn_for_paper, save
from mnistlin.report.claims import VERDICTS, Row, rows_of
from mnistlin.report.plan import Part, Report
from mnistlin.report.runner import Experiments
from mnistlin.runs.files import write_bytes, write_into
from mnistlin.runs.records import Origin
from mnistlin.text import written

TEMPLATES = Path(__file__).parent / "templates"

MakeFigure: TypeAlias = Callable[[], Any]
"""Draws a matplotlib figure."""


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its SVG file, its caption, and what it shows in words and numbers.

    `narrow` is the SVG text of the same figure for a phone, drawn as for a column of a paper.
    """

    path: Path
    caption: str
    alt: str
    narrow: str

    @property
    def wide(self) -> str:
        """The SVG text of the file."""
        return self.path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """A part of the page: its figures, and its claims with the figure that explains each."""

    part: Part
    pictures: Sequence[Picture]
    rows: Sequence[Row]
    evidence: Mapping[str, Picture]
    explanations: Mapping[str, str]
    experiments: Sequence[TrainedExperiment]

    @property
    def measured(self) -> list[tuple[str, dict[str, str]]]:
        """For each experiment its name, and its measures in words."""
        return [
            (each.name, {key: _shown(key, each.values(key)) for key in self.part.measures})
            for each in self.experiments
            if self.part.measures
        ]


@dataclass(frozen=True)
class Page:
    """Everything that a page shows; `gradients` is the numeric check of the derivations."""

    report: Report
    rows: Sequence[Row]
    sections: Sequence[Section]
    experiments: Experiments
    gradients: Sequence[GradientCheck]

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
    figures_dir: Path,
    on_row: Callable[[Row], object] = lambda _: None,
) -> Page:
    """Test the claims of a report, and draw its figures into a folder.

    Parameters
    ----------
    report : Report
        The report file.
    experiments : mapping of str to TrainedExperiment
        Its experiments.
    figures_dir : Path
        Where the figures go.
    on_row : callable
        Called after each claim is tested.

    Raises
    ------
    RunError
        If a run is damaged, or a figure cannot be drawn or written.
    ConfigError
        If a part asks for something that its experiments do not have.
    DataError
        If data is missing, or not what a run was trained with.
    """
    plan, answers = report.plan, Answers()
    rows = []
    for row in rows_of(plan, experiments, answers, is_comparable=report.is_comparable):
        rows.append(row)
        on_row(row)
    sections = [_section(part, rows, experiments, figures_dir) for part in plan.parts]
    derives = any(part.derivation for part in plan.parts)
    gradients = check_gradients(DataConfig(dataset=report.dataset)).checks if derives else ()
    return Page(report, rows, sections, experiments, gradients)


def write_page(page: Page, out_dir: Path) -> tuple[Path, Path]:
    """Write report.html, which contains its figures, and report.md, which links to them.

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


def _section(
    part: Part, rows: Sequence[Row], experiments: Experiments, figures_dir: Path
) -> Section:
    shown = [experiments[name] for name in part.experiments]
    pictures = [
        _draw(f"{part.id}-{name}", make, alt, label, figures_dir)
        for name, make, alt, label in _figures(part, shown)
    ]
    own_rows = [row for row in rows if row.part == part.id]
    explained: dict[str, str] = {}
    evidence: dict[str, Picture] = {}
    drawn: list[MakeFigure] = []
    for row in own_rows:
        found = row.finding
        if found.explanation and found.explanation not in explained.values():
            explained[row.key] = found.explanation
        if found.figure is not None and found.figure not in drawn:
            drawn.append(found.figure)
            words = found.explanation or found.measured
            evidence[row.key] = _draw(row.key, found.figure, words, "", figures_dir)
    return Section(part, pictures, own_rows, evidence, explained, shown)


def _figures(
    part: Part, shown: Sequence[TrainedExperiment]
) -> Iterator[tuple[str, MakeFigure, str, str]]:
    """Yield name, maker, alternative text and label of each figure that a part asks for."""
    several = len(shown) > 1
    for name in part.figures:
        for each in shown:
            make: MakeFigure = (
                partial(SWEEP_FIGURES[name], each.sweep)
                if each.sweep
                else partial(REPORT_RUN_FIGURES[name], each.run)
            )
            suffix, label = (f"-{each.name}", f" ({each.name})") if several else ("", "")
            yield f"{name}{suffix}", make, _alt(each), label
    for name in part.overlays:
        runs = [each.run for each in shown]
        alt = " ".join(map(_alt, shown))
        yield f"{name}-overlay", partial(OVERLAY_FIGURES[name], runs), alt, ""


def _draw(name: str, make: MakeFigure, alt: str, label: str, figures_dir: Path) -> Picture:
    """Draw a figure into <figures_dir>/<name>.svg; its caption is its own title."""
    figure = make()
    path = save(figure, figures_dir, name, "svg")
    write_bytes(path, compact(path.read_text(encoding="utf-8")).encode())
    with drawn_for_paper():
        narrow = compact(as_svg(make()))
    caption = f"{figure.get_label()}{label}"
    return Picture(path, caption, f"{caption}. {alt}", narrow)


def compact(svg: str) -> str:
    """Return an SVG without comments and indents, and in tenths of a point.

    Nobody sees the other five decimals, and a page of many figures is smaller by a third.
    """
    bare = re.sub(r"\n\s*", "\n", re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL))
    return _COORDINATES.sub(lambda place: _DECIMALS.sub(_rounded, place[0]), bare)


_COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"|translate\([^)]*\)')
_DECIMALS = re.compile(r"-?[0-9]+\.[0-9]{2,}")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _alt(experiment: TrainedExperiment) -> str:
    """Return the numbers at the end of an experiment, in words."""
    if experiment.sweep:
        ends = [
            f"λ = {value:g}: validation accuracy "
            f"{written(run.metrics['val_accuracy'][-1], '.2%')}, "
            f"weight norm {run.metrics['weight_norm'][-1]:.3g}"
            for value, runs in experiment.sweep.by_lambda.items()
            for run in list(runs.values())[:1]
        ]
        return f"At the end, with the first seed: {'; '.join(ends)}."
    summary = experiment.run.summary
    ends = [
        f"loss {summary[f'last_{part}_loss']:.4f} and accuracy "
        f"{written(summary[f'last_{part}_accuracy'], '.2%')} on the {name} set"
        for part, name in {"train": "training", "val": "validation"}.items()
    ]
    return f"{experiment.name}, {summary['last_step'] + 1:,} steps; at the end {', '.join(ends)}."


def _shown(key: str, values: Sequence[float]) -> str:
    """Return the mean and spread of a number of summary.json, in the unit that its key names."""
    if key.endswith("_seconds"):
        return f"{with_spread(values, '.2f')} s"
    fmt = ".2%" if key.endswith("accuracy") else ".4f" if key.endswith("loss") else ",.6g"
    return with_spread(values, fmt)


def _label(key: str) -> str:
    """Return a key of summary.json in words; `best` is the check with the lowest loss."""
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
    """Return text in which no line ends between a number and its sign or unit."""
    return re.sub("(?<=[λ=±]) | (?=[=±%])", "\u00a0", text)


def _size(svg: str) -> tuple[int, int]:
    """Return width and height of a figure, which reserve its space before it is loaded."""
    match = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg[:2000])
    width, height = (float(each) for each in match.groups()) if match else (648.0, 374.0)
    return round(width * 4 / 3), round(height * 4 / 3)  # points to pixels


def markdown_text(text: str) -> str:
    """Return text in which no character means anything to Markdown or HTML."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", line)


def fence_for(text: str) -> str:
    """Return a fence for a block of code: longer than any row of backticks in it."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
