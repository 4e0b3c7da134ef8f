"""checkpoint.npz: the state from which an unfinished run resumes, bit-identical.

It is written between segments and holds the length and the SHA-256 of both tables up to it; rows
after it are cut off when the run is resumed.
"""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.files import npz_bytes, read_npz, sha256_of, write_bytes
from mnistlin.runs.tables import (
    LONGEST_ROW_BYTES,
    SHORTEST_ROW_BYTES,
    STEPS_COLUMNS,
    read_checks,
    read_columns,
)
from mnistlin.training.schedule import Setup
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
_HASHES = ("metrics_sha256", "steps_sha256")
_HASH_SHAPE = (32,)
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True)
class TableEnd:
    """Length and SHA-256 of a table up to a checkpoint."""

    n_bytes: int = 0
    sha256: str = _EMPTY_SHA256


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run before `epoch`, which is the first of a segment."""

    epoch: int
    state: MemberState
    metrics: TableEnd = TableEnd()
    steps: TableEnd = TableEnd()
    train_seconds: float = 0.0
    checks: tuple[Check, ...] = ()  # kept in metrics.csv alone


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a run, whose rows must be on the disk; a RunError if it cannot."""
    state = checkpoint.state
    content = npz_bytes(
        weights=state.weights,
        last=state.last,
        best=state.best,
        epoch=np.int64(checkpoint.epoch),
        metrics_bytes=np.int64(checkpoint.metrics.n_bytes),
        steps_bytes=np.int64(checkpoint.steps.n_bytes),
        metrics_sha256=_to_array(checkpoint.metrics.sha256),
        steps_sha256=_to_array(checkpoint.steps.sha256),
        train_seconds=np.float64(checkpoint.train_seconds),
        best_loss=np.float64(state.best_loss),
        stopper_best_loss=np.float64(state.stopper.best_loss),
        checks_without_improvement=np.int64(state.stopper.checks_without_improvement),
    )
    write_bytes(folder / CHECKPOINT_NAME, content, durable=True)


def load_checkpoint(folder: Path, setup: Setup) -> Checkpoint:
    """Read the checkpoint of a run, and the checks before it.

    Everything in it is compared with the config and the files before anything is built from it.

    Raises
    ------
    RunError
        If there is none, it is damaged or of another run, or the rows before it are not those that
        the run wrote. The message names the command that trains the run again.
    """
    checkpoint = _read(folder, setup)
    if checkpoint.epoch == 0:
        return checkpoint
    steps = setup.schedule.steps(range(checkpoint.epoch))
    _check_table(folder / "steps.csv", checkpoint.steps, len(steps))
    _check_table(folder / "metrics.csv", checkpoint.metrics, len(setup.schedule.checks(steps)))
    batches = read_columns(folder / "steps.csv", STEPS_COLUMNS, checkpoint.steps.n_bytes)
    checks = read_checks(folder / "metrics.csv", checkpoint.metrics.n_bytes)
    for name, found, expected in (
        ("steps.csv", batches["step"].tolist(), list(steps)),
        ("metrics.csv", [check.step for check in checks], setup.schedule.checks(steps)),
    ):
        if found != expected:
            raise _unusable(folder, f"{name} does not have the rows before epoch {len(steps)}")
    return replace(checkpoint, checks=tuple(checks))


def _read(folder: Path, setup: Setup) -> Checkpoint:
    """Read a checkpoint without the rows that it refers to."""
    if not (folder / CHECKPOINT_NAME).exists():
        raise _unusable(folder, f"{folder} has no {CHECKPOINT_NAME}")
    shapes = (
        dict.fromkeys(_WEIGHTS, setup.weights_shape)
        | dict.fromkeys(_SCALARS, ())
        | dict.fromkeys(_HASHES, _HASH_SHAPE)
    )
    try:
        arrays = read_npz(folder / CHECKPOINT_NAME, shapes)
    except RunError as error:
        raise _unusable(folder, str(error)) from None
    weights = {name: arrays[name] for name in _WEIGHTS}
    scalars = {name: arrays[name].item() for name in _SCALARS}
    epoch, schedule = scalars["epoch"], setup.schedule
    ends = {
        table: TableEnd(scalars.pop(f"{table}_bytes"), arrays[f"{table}_sha256"].tobytes().hex())
        for table in ("metrics", "steps")
    }
    is_sound = (
        all(W.dtype == setup.training.dtype for W in weights.values())
        and all(type(value) is _SCALARS[name] for name, value in scalars.items())
        and all(type(end.n_bytes) is int for end in ends.values())
        and 0 <= epoch < setup.training.epochs
        and epoch % schedule.epochs_per_segment == 0
        and (epoch > 0 or all(end == TableEnd() for end in ends.values()))
        and 0 <= scalars["train_seconds"] < math.inf
    )
    if not is_sound:
        raise _unusable(folder, f"{folder / CHECKPOINT_NAME} is damaged, or comes from another run")
    waited = scalars.pop("checks_without_improvement")
    stopper = Stopper(scalars.pop("stopper_best_loss"), waited)
    state = MemberState(**weights, best_loss=scalars.pop("best_loss"), stopper=stopper)
    return Checkpoint(epoch, state, ends["metrics"], ends["steps"], scalars["train_seconds"])


def _check_table(path: Path, end: TableEnd, n_rows: int) -> None:
    """Check that a table begins with exactly the bytes before a checkpoint, of so many rows."""
    try:
        n_file_bytes = path.lstat().st_size
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    is_possible = (
        n_rows * SHORTEST_ROW_BYTES <= end.n_bytes <= n_file_bytes
        and end.n_bytes <= (n_rows + 1) * LONGEST_ROW_BYTES
    )
    if not is_possible or sha256_of(path, end.n_bytes) != end.sha256:
        raise _unusable(
            path.parent, f"{path} does not begin with the rows that {CHECKPOINT_NAME} refers to"
        )


def _to_array(sha256: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(sha256), np.uint8)


def _unusable(folder: Path, reason: str) -> RunError:
    command = shlex.join(["mnistlin", "train", "--config", str(folder / "config.yaml")])
    return RunError(f"the run cannot be resumed: {reason}; train it again with `{command}`")
