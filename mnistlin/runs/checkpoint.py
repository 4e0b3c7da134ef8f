"""checkpoint.npz: the state from which an unfinished run resumes, bit-identical.

It is written between segments and holds the length and the SHA-256 of both tables up to it; rows
after it are cut off when the run is resumed.
"""

import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.arrays import npz_bytes, read_npz
from mnistlin.runs.files import sha256_of, write_bytes
from mnistlin.runs.tables import (
    LONGEST_ROW_BYTES,
    SHORTEST_ROW_BYTES,
    STEPS_COLUMNS,
    read_checks,
    read_columns,
)
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import Check, MemberState

CHECKPOINT_NAME = "checkpoint.npz"

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
    """Replace the checkpoint of a run, whose rows must be on disk; RunError if that fails."""
    content = npz_bytes(**checkpoint.state.to_arrays(), **_position(checkpoint))
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
            raise _unusable(
                folder, f"{name} does not have the rows before epoch {checkpoint.epoch}"
            )
    return replace(checkpoint, checks=tuple(checks))


def _read(folder: Path, setup: Setup) -> Checkpoint:
    """Read a checkpoint without the checks before it."""
    if not (folder / CHECKPOINT_NAME).exists():
        raise _unusable(folder, f"{folder} has no {CHECKPOINT_NAME}")
    zero = MemberState.at_zero(setup.weights_shape, setup.training.dtype)
    expected = zero.to_arrays() | _position(Checkpoint(0, zero))
    try:
        arrays = read_npz(
            folder / CHECKPOINT_NAME, {name: array.shape for name, array in expected.items()}
        )
    except RunError as error:
        raise _unusable(folder, str(error)) from None
    metrics, steps = (
        TableEnd(arrays[f"{table}_bytes"].item(), arrays[f"{table}_sha256"].tobytes().hex())
        for table in ("metrics", "steps")
    )
    epoch, train_seconds = arrays["epoch"].item(), arrays["train_seconds"].item()
    is_valid = (
        all(arrays[name].dtype == array.dtype for name, array in expected.items())
        and 0 <= epoch < setup.training.epochs
        and epoch % setup.schedule.epochs_per_segment == 0
        and (epoch > 0 or metrics == steps == TableEnd())
        and 0 <= train_seconds < math.inf
    )
    if not is_valid:
        raise _unusable(folder, f"{folder / CHECKPOINT_NAME} is damaged, or comes from another run")
    return Checkpoint(epoch, MemberState.from_arrays(arrays), metrics, steps, train_seconds)


def _position(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Return the position of a checkpoint in its run, as arrays."""
    return {
        "epoch": np.array(checkpoint.epoch),
        "train_seconds": np.array(checkpoint.train_seconds),
        "metrics_bytes": np.array(checkpoint.metrics.n_bytes),
        "metrics_sha256": np.frombuffer(bytes.fromhex(checkpoint.metrics.sha256), np.uint8),
        "steps_bytes": np.array(checkpoint.steps.n_bytes),
        "steps_sha256": np.frombuffer(bytes.fromhex(checkpoint.steps.sha256), np.uint8),
    }


def _check_table(path: Path, end: TableEnd, n_rows: int) -> None:
    """Check that a table begins with exactly the bytes before a checkpoint, of n_rows rows."""
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


def _unusable(folder: Path, reason: str) -> RunError:
    command = shlex.join(["mnistlin", "train", "--config", str(folder / "config.yaml")])
    return RunError(f"the run cannot be resumed: {reason}; train it again with `{command}`")
