"""The checkpoint of an unfinished run: all that training needs in order to resume bit-identically.

checkpoint.npz is written between segments; rows after it are cut off when the run is resumed. When
to write one, and how to resume, is decided in `experiment`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.files import Shape, npz_bytes, read_npz, write_bytes
from mnistlin.runs.tables import STEPS_COLUMNS, read_checks, read_columns
from mnistlin.training.schedule import Schedule, Setup
from mnistlin.training.segments import Check, MemberState, Stopper

CHECKPOINT_NAME = "checkpoint.npz"

_WEIGHTS = ("weights", "last", "best")
_SCALARS: Mapping[str, type] = {
    "epoch": int,
    "metrics_bytes": int,
    "steps_bytes": int,
    "train_seconds": float,
    "best_loss": float,
    "stopper_best_loss": float,
    "checks_without_improvement": int,
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two segments.

    Attributes
    ----------
    epoch : int
        The epoch to continue with, the first of a segment.
    state : MemberState
        The state after the segment before it.
    metrics_bytes, steps_bytes : int
        Lengths of metrics.csv and steps.csv with all rows before that epoch; 0 before the first.
    train_seconds : float
        How long it was trained so far.
    checks : tuple of Check
        The checks before that epoch. They are kept in metrics.csv alone.
    """

    epoch: int
    state: MemberState
    metrics_bytes: int = 0
    steps_bytes: int = 0
    train_seconds: float = 0.0
    checks: tuple[Check, ...] = ()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a run.

    Parameters
    ----------
    folder : Path
        The run's folder; the rows that the checkpoint counts on must be on the disk.
    checkpoint : Checkpoint
        What to keep.

    Raises
    ------
    RunError
        If it cannot be written; the one before it then stays.
    """
    state = checkpoint.state
    content = npz_bytes(
        weights=state.weights,
        last=state.last,
        best=state.best,
        epoch=np.int64(checkpoint.epoch),
        metrics_bytes=np.int64(checkpoint.metrics_bytes),
        steps_bytes=np.int64(checkpoint.steps_bytes),
        train_seconds=np.float64(checkpoint.train_seconds),
        best_loss=np.float64(state.best_loss),
        stopper_best_loss=np.float64(state.stopper.best_loss),
        checks_without_improvement=np.int64(state.stopper.checks_without_improvement),
    )
    write_bytes(folder / CHECKPOINT_NAME, content, durable=True)


def load_checkpoint(folder: Path, setup: Setup) -> Checkpoint:
    """Read the checkpoint of a run, and the checks before it.

    Parameters
    ----------
    folder : Path
        The run's folder.
    setup : Setup
        What is trained there.

    Raises
    ------
    RunError
        If there is none, it is damaged, or a row that it counts on is missing.
    """
    shapes = dict.fromkeys(_WEIGHTS, setup.weights_shape) | dict.fromkeys(_SCALARS, ())
    arrays = _read(folder, shapes)
    weights = {name: arrays[name] for name in _WEIGHTS}
    scalars = {name: arrays[name].item() for name in _SCALARS}
    is_sound = (
        all(W.dtype == setup.training.dtype for W in weights.values())
        and all(type(scalars[name]) is kind for name, kind in _SCALARS.items())
        and 0 <= scalars["epoch"] < setup.training.epochs
        and 0 <= scalars["train_seconds"] < math.inf
    )
    if not is_sound:
        raise _damaged(folder)
    waited = scalars.pop("checks_without_improvement")
    stopper = Stopper(scalars.pop("stopper_best_loss"), waited)
    state = MemberState(**weights, best_loss=scalars.pop("best_loss"), stopper=stopper)
    checkpoint = Checkpoint(state=state, **scalars)
    return replace(checkpoint, checks=_checks_before(checkpoint, folder, setup.schedule))


def _checks_before(checkpoint: Checkpoint, folder: Path, schedule: Schedule) -> tuple[Check, ...]:
    """Read the checks before a checkpoint, and make sure that no row is missing."""
    if checkpoint.epoch == 0:
        return ()
    steps = schedule.steps(range(checkpoint.epoch))
    batches = read_columns(folder / "steps.csv", STEPS_COLUMNS, checkpoint.steps_bytes)
    checks = read_checks(folder / "metrics.csv", checkpoint.metrics_bytes)
    for name, found, expected in (
        ("steps.csv", batches["step"].tolist(), list(steps)),
        ("metrics.csv", [check.step for check in checks], schedule.checks(steps)),
    ):
        if found != expected:
            raise RunError(
                f"{folder / name} does not have the rows that {CHECKPOINT_NAME} counts on, so the "
                f"run cannot be resumed; {_train_anew(folder)}"
            )
    return tuple(checks)


def _read(folder: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        raise RunError(
            f"{folder} has no {CHECKPOINT_NAME}, so it cannot be resumed; {_train_anew(folder)}"
        )
    try:
        return read_npz(path, shapes)
    except RunError as error:
        raise RunError(f"the run cannot be resumed: {error}; {_train_anew(folder)}") from None


def _damaged(folder: Path) -> RunError:
    return RunError(
        f"the run cannot be resumed: {folder / CHECKPOINT_NAME} is damaged, or comes from another "
        f"run; {_train_anew(folder)}"
    )


def _train_anew(folder: Path) -> str:
    return f"train anew with `mnistlin train --config {folder / 'config.yaml'}`"
