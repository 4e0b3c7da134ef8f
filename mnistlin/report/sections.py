"""Sections of a page: its figures, and its claims with the figure that explains each.

A section depends on its part of the report file, on the files of its runs, on its dataset and on
the program. It is kept in a file with a hash of all of them, and made again if one has changed.
"""

import hashlib
import json
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from mnistlin.analysis.claims import Answers, TrainedExperiment
from mnistlin.analysis.gradients import GradientCheck, check_gradients
from mnistlin.analysis.statistics import with_spread
from mnistlin.config import DataConfig
from mnistlin.data.locate import content_hash
from mnistlin.errors import RunError
from mnistlin.figures.draw import (
    OVERLAY_FIGURES,
    REPORT_RUN_FIGURES,
    SWEEP_FIGURES,
    figures_freed,
)
from mnistlin.figures.style import as_svg, drawn_for_paper
from mnistlin.report.claims import Row, rows_of
from mnistlin.report.plan import Part, Report
from mnistlin.report.runner import Experiments
from mnistlin.runs.files import open_plain, sha256_of, write_into
from mnistlin.text import written

_PACKAGE = Path(__file__).parents[1]

_MAX_BYTES = 2**28
"""Maximum size of a file of a section: a thousand figures."""

MakeFigure: TypeAlias = Callable[[], Any]
"""Draws a matplotlib figure."""

OnRow: TypeAlias = Callable[[Row], object]


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its SVG text, its caption, and what it shows in words and numbers.

    `narrow` is the same figure for a phone, drawn as for a column of a paper.
    """

    name: str
    caption: str
    alt: str
    wide: str
    narrow: str


@dataclass(frozen=True)
class Section:
    """What the page shows of a part; `evidence` and `explanations` are by the keys of rows."""

    gradients: tuple[GradientCheck, ...]
    pictures: tuple[Picture, ...]
    rows: tuple[Row, ...]
    evidence: dict[str, Picture]
    explanations: dict[str, str]
    measured: dict[str, dict[str, str]]
    """The measures of each experiment, as text."""

    @property
    def all_pictures(self) -> Iterator[Picture]:
        """The figures of the part, and those that explain its claims."""
        yield from self.pictures
        yield from self.evidence.values()


class _File(BaseModel):
    """The file of a section; `made_of` is the hash of everything that it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_of: str
    section: Section


def sections_of(
    report: Report, experiments: Experiments, folder: Path, on_row: OnRow
) -> dict[str, Section]:
    """Return the section of each part, by its id; what the folder holds is not made again.

    Raises
    ------
    RunError
        If a run is damaged, or a figure cannot be drawn, or a section not be written.
    ConfigError
        If a part asks for something that its experiments do not have.
    DataError
        If data is missing, or not what a run was trained with.
    """
    answers, sections = Answers(), {}
    for part in report.plan.parts:
        own = {name: experiments[name] for name in part.named_experiments}
        made_of = _hash_of(part, report, own)
        section = _kept(folder / f"{part.id}.json", made_of)
        if section is None:
            section = _made(part, report, own, answers, on_row)
            file = _File(made_of=made_of, section=section)
            write_into(folder, f"{part.id}.json", file.model_dump_json().encode())
        else:
            for row in section.rows:
                on_row(row)
        sections[part.id] = section
    return sections


def _kept(path: Path, made_of: str) -> Section | None:
    """Return the section of a file, if it was made of the same; a damaged one counts as none."""
    try:
        with open_plain(path, _MAX_BYTES) as file:
            kept = _File.model_validate_json(file.read())
    except (RunError, ValidationError):
        return None
    return kept.section if kept.made_of == made_of else None


def _hash_of(part: Part, report: Report, experiments: Experiments) -> str:
    """Return a hash of everything that decides what a section shows."""
    contents = [
        _program(),
        part.model_dump_json(),
        report.dataset,
        report.is_comparable,
        content_hash(report.dataset) if part.derivation else "",
        {name: list(map(_files, _folders(each))) for name, each in experiments.items()},
    ]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


@cache
def _program() -> list[str]:
    """Return the versions of Python and libraries, and the hashes of this package's modules."""
    libraries = [f"{name} {version(name)}" for name in ("numpy", "scipy", "matplotlib")]
    modules = sorted(_PACKAGE.rglob("*.py"))
    return [platform.python_version(), *libraries, *map(sha256_of, modules)]


def _folders(experiment: TrainedExperiment) -> Iterator[Path]:
    yield from (run.path for run in experiment.runs)
    if experiment.sweep:
        yield experiment.sweep.path
        yield from (run.path for run in experiment.sweep.members.values())


def _files(folder: Path) -> list[str]:
    """Return the name of a run folder, which figures show, and names and hashes of its files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [folder.name, *(f"{path.name} {sha256_of(path)}" for path in files)]


def _made(
    part: Part, report: Report, experiments: Experiments, answers: Answers, on_row: OnRow
) -> Section:
    shown = [experiments[name] for name in part.experiments]
    pictures = [
        _draw(f"{part.id}-{name}", make, alt, label)
        for name, make, alt, label in _figures(part, shown)
    ]
    rows: list[Row] = []
    explained: dict[str, str] = {}
    evidence: dict[str, Picture] = {}
    drawn: list[MakeFigure] = []
    tested = rows_of(part, experiments, answers, is_comparable=report.is_comparable)
    for row, finding in tested:
        rows.append(row)
        if finding.explanation and finding.explanation not in explained.values():
            explained[row.key] = finding.explanation
        if finding.figure is not None and finding.figure not in drawn:
            drawn.append(finding.figure)
            evidence[row.key] = _draw(row.key, finding.figure)
        on_row(row)
    return Section(
        _gradients(part, report.dataset, answers),
        tuple(pictures),
        tuple(rows),
        evidence,
        explained,
        {
            each.name: {key: _shown(key, each.values(key)) for key in part.measures}
            for each in shown
            if part.measures
        },
    )


def _gradients(part: Part, dataset: str, answers: Answers) -> tuple[GradientCheck, ...]:
    """Return the numeric checks of what a part derives: of a head without λ, or of both with it."""
    if not part.derivation:
        return ()
    checks = answers.ask(check_gradients, DataConfig(dataset=dataset)).checks
    return tuple(
        check
        for check in checks
        if (part.derivation == "l2") == (check.l2_lambda > 0)
        and part.derivation in ("l2", check.head)
    )


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


@figures_freed()
def _draw(name: str, make: MakeFigure, alt: str = "", label: str = "") -> Picture:
    """Draw a figure, whose title is its caption; without `alt`, its panels are described."""
    figure = make()
    with drawn_for_paper():
        narrow = compact(as_svg(make()))
    wide, caption = compact(as_svg(figure)), f"{figure.get_label()}{label}"
    return Picture(name, caption, f"{caption}. {alt or _panels(figure)}", wide, narrow)


def _panels(figure: Any) -> str:
    """Describe the panels of a figure by the titles of their axes and their legends."""
    panels = []
    for axes in figure.axes:
        titles = " over ".join(filter(None, [axes.get_title("left"), axes.get_xlabel()]))
        labels = "; ".join(axes.get_legend_handles_labels()[1])
        panels.append(": ".join(filter(None, [titles, labels])))
    return " ".join(f"{panel}." for panel in panels if panel).replace("\n", " ")


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
    """Describe an experiment by its numbers at the end."""
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
