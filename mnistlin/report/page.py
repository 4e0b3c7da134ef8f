"""The page as values: everything that its templates show, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mnistlin.analysis.gradients import check_gradients
from mnistlin.config import DataConfig
from mnistlin.model.gradient_check import GradientCheck
from mnistlin.report.claims import rows_of
from mnistlin.report.findings import paragraphs
from mnistlin.report.numbers import with_spread
from mnistlin.report.pictures import Picture, draw_pictures
from mnistlin.report.plan import Part, Plan
from mnistlin.report.runner import Outcome, Outcomes
from mnistlin.report.verdicts import NOT_RESOLVED, Row


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
    outcomes : list of Outcome
        The experiments it shows.
    """

    part: Part
    rows: list[Row]
    pictures: list[Picture]
    paragraphs: list[tuple[str, str]]
    outcomes: list[Outcome]

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
    outcomes : mapping of str to Outcome
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
    outcomes : mapping of str to Outcome
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
