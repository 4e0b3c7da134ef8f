"""`replay`: does a run give the same bits when it is trained again from its own config?

Nothing is written: the second run is kept in memory.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import load_splits
from mnistlin.errors import RunError
from mnistlin.model.products import Floats
from mnistlin.runs.files import open_plain
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import changes, config_changes, data_changes
from mnistlin.runs.scan import ENDED
from mnistlin.runs.tables import csv_text, steps_rows
from mnistlin.sweep.plan import stacked
from mnistlin.sweep.workers import train_stack


@dataclass(frozen=True)
class FirstDifference:
    """The first row at which a table of the run and that of its replay differ."""

    step: int
    column: str
    """The first column that differs; `step` if only one of the two has this row."""
    file: str
    before: float | None
    now: float | None
    """The value in the run and in its replay; None where there is no such row."""


@dataclass(frozen=True)
class Replay(Result):
    """How a run and its replay compare."""

    run: Run
    differing: tuple[str, ...]
    """Which of metrics.csv, steps.csv and weights.npz do not have the same bits."""
    first: FirstDifference | None
    """The differing row with the lowest step."""
    largest_weight_difference: float
    changed: Mapping[str, tuple[Any, Any]]
    """What differs in versions, BLAS, processor, code, data and config: before and now."""

    title = "Replay"
    stem = "replay"

    @property
    def is_identical(self) -> bool:
        """Whether every bit is the same."""
        return not self.differing

    def values(self) -> Values:
        """Return whether both are identical, and where they first differ."""
        if self.is_identical:
            return {"replay": "identical"}
        values: dict[str, Any] = {"replay": "differs", "differs": list(self.differing)}
        if first := self.first:
            values["first_difference"] = (
                f"step {first.step}, {first.column} in {first.file}: {first.before} in the run, "
                f"{first.now} now"
            )
        return values | {"largest_weight_difference": self.largest_weight_difference}

    def tables(self) -> Tables:
        """Return what changed since the run."""
        if self.is_identical:
            return {}
        rows = [
            {"changed": key, "was": _shown(before), "is": _shown(now)}
            for key, (before, now) in self.changed.items()
        ]
        return {"changed": rows}

    def explanation(self) -> str:
        """Return a note if nothing that is recorded explains a difference."""
        if self.is_identical or self.changed:
            return ""
        words = "Nothing recorded in run.json has changed."
        if self.run.info.files is None:
            words += " It has no hashes of the result files, so one of them may have been edited."
        return words


def replay(run: Run, on_segment: Callable[[range], bool] | None = None) -> Replay | None:
    """Train a run again, in the stack that it was trained in, and compare.

    Parameters
    ----------
    run : Run
        A run that has ended.
    on_segment : callable, optional
        Called with the epochs of each segment; if it returns True, the replay ends there.

    Returns
    -------
    Replay, optional
        None if `on_segment` ended it.

    Raises
    ------
    RunError
        If the run has not ended, was modified since, or is damaged.
    DataError, ConfigError
        If its data is missing, or has changed.
    """
    if run.status not in ENDED:
        raise RunError(
            f"{run.path} has not ended ({run.status}), so there is nothing to compare "
            f"with; `mnistlin train --resume {run.path}` resumes it"
        )
    if run.modified:
        command = shlex.join(["mnistlin", "train", "--config", str(run.path / "config.yaml")])
        raise RunError(
            f"{run.path} was modified since it ended: {', '.join(run.modified)}; put back what "
            f"the run wrote, or train it again with `{command}`"
        )
    weights, metrics, steps = run.weights, run.metrics, run.steps  # damage is reported first
    stack = stack_of(run)
    splits = load_splits(run.config.data, run.info.data.recorded_folder, run.config.training)
    trained = train_stack(stack, splits, on_segment)
    if trained is None:
        return None
    member = trained.members[stack.index(run.config)]
    weights_now = {"last": member.state.last, "best": member.state.best}
    tables = [
        _Table("metrics.csv", metrics, member.checks),
        _Table("steps.csv", steps, [*steps_rows(member)]),
    ]
    differing = [table.file for table in tables if not table.is_identical(run.path)]
    if any(_bits(weights[name]) != _bits(W) for name, W in weights_now.items()):
        differing.append("weights.npz")
    places = [place for table in tables if (place := table.first_difference()) is not None]
    return Replay(
        run,
        tuple(differing),
        min(places, key=lambda place: place.step, default=None),
        max(_largest_difference(weights[name], W) for name, W in weights_now.items()),
        changes(run.info, trained.info)
        | data_changes(run.info.data, trained.info.data)
        | config_changes(run.info, run.config),
    )


def stack_of(run: Run) -> tuple[ExperimentConfig, ...]:
    """Return the configs of the stack that a run was trained in: that of a sweep, or the run alone.

    Raises
    ------
    RunError
        If run.json describes a stack that cannot be the run's.
    """
    config, stack = run.config, run.info.stack
    if stack is None:
        return (config,)
    configs = stacked(config, stack.l2_lambdas, stack.learning_rates)
    if config not in configs or stack.seed != config.training.seed:
        raise RunError(f"{run.path / 'run.json'}: 'stack' is not that of a run with this config")
    return configs


@dataclass(frozen=True)
class _Table:
    """A table of the run, and its rows in the replay."""

    file: str
    before: Mapping[str, NDArray[Any]]
    rows: Sequence[tuple[Any, ...]]

    def is_identical(self, folder: Path) -> bool:
        expected = csv_text([tuple(self.before), *self.rows]).encode()
        with open_plain(folder / self.file) as file:
            return file.read(len(expected) + 1) == expected

    def first_difference(self) -> FirstDifference | None:
        rows_before = zip(*(column.tolist() for column in self.before.values()), strict=True)
        for old, new in zip_longest(rows_before, self.rows, fillvalue=()):
            for column, before, now in zip_longest(self.before, old, new):
                if before != now:
                    return FirstDifference((old or new)[0], column, self.file, before, now)
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _bits(W: Floats) -> tuple[str, bytes]:
    return W.dtype.str, W.tobytes()


def _largest_difference(before: Floats, now: Floats) -> float:
    with np.errstate(invalid="ignore"):  # weights of a run from elsewhere may be infinite
        return float(np.abs(before.astype(np.float64) - now).max())
