"""Writing a run folder while the run goes: rows as they come, the rest at the end.

What analyses leave behind: tables and weights, in a run's folder analysis/ or elsewhere.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import ExperimentConfig, dump_yaml
from mnistlin.model.products import Floats
from mnistlin.runs.checkpoint import CHECKPOINT_NAME, Checkpoint, save_checkpoint
from mnistlin.runs.files import (
    GrowingFile,
    marks_failure,
    npz_bytes,
    remove_leftovers,
    write_bytes,
    write_into,
    write_json,
)
from mnistlin.runs.folder import Status
from mnistlin.runs.provenance import utc_now
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, csv_text, steps_rows
from mnistlin.training.segments import MemberState, Segment


class RunWriter:
    """Writes one run folder: complete before the first step, rows as they come, then the rest.

    Parameters
    ----------
    path : Path
        A new folder, empty but for a checkpoint; or, to go on, that of an unfinished run.
    config : ExperimentConfig
        The resolved config.
    info : mapping
        What run.json says beside the status and the times.
    resume : Checkpoint, optional
        To go on from here: rows after it are cut off.

    Raises
    ------
    RunError
        Here and in every method, if something cannot be written; the rows before it are kept.
    """

    def __init__(
        self,
        path: Path,
        config: ExperimentConfig,
        info: Mapping[str, Any],
        resume: Checkpoint | None = None,
    ) -> None:
        self.path, self.config = path, config
        values = config.model_dump(mode="json")
        self._info = {
            "status": "running",
            "started_utc": utc_now(),
            **info,
            "ended_utc": None,
            "config": values,  # once more, so that a change of config.yaml is noticed
        }
        if resume is None:
            write_bytes(path / "config.yaml", dump_yaml(values).encode())
        else:
            remove_leftovers(path)
        self._metrics = _table(
            path / "metrics.csv", METRICS_COLUMNS, resume.metrics_bytes if resume else 0
        )
        self._steps = _table(path / "steps.csv", STEPS_COLUMNS, resume.steps_bytes if resume else 0)
        # Last, because run.json is what makes a folder a run.
        write_json(path / "run.json", self._info)

    def append(self, segment: Segment) -> None:
        """Add the rows of a segment to both CSV files, and hand them to the operating system."""
        self._metrics.append(csv_text(segment.checks))
        self._steps.append(csv_text(steps_rows(segment)))

    def save(self, epoch: int, state: MemberState, train_seconds: float) -> None:
        """Write a checkpoint, for all rows that were added.

        Parameters
        ----------
        epoch : int
            The epoch to continue with, the first of a segment.
        state : MemberState
            The state after the segment before it.
        train_seconds : float
            How long the run was trained so far.
        """
        self._metrics.sync()
        self._steps.sync()
        lengths = self._metrics.length, self._steps.length
        save_checkpoint(self.path, Checkpoint(epoch, state, *lengths, train_seconds))

    def finish(
        self,
        status: Status,
        weights: Mapping[str, Floats],
        confusion: NDArray[np.intp],
        classes: tuple[int, ...],
        summary: Mapping[str, Any],
    ) -> None:
        """Write what is known at the end; the status comes last, so that it vouches for the rest.

        Parameters
        ----------
        status : str
            Why training ended.
        weights : mapping of str to ndarray of shape (n_features + 1, n_outputs)
            `last` and `best`.
        confusion : ndarray of shape (n_classes, n_classes)
            Counts on the validation set, true classes as rows.
        classes : tuple of int
            Their labels.
        summary : mapping
            Flat scalars.
        """
        self._metrics.sync()
        self._steps.sync()
        content = npz_bytes(last=weights["last"], best=weights["best"])
        write_bytes(self.path / "weights.npz", content, durable=True)
        counts = zip(classes, confusion.tolist(), strict=True)
        table = [("true", *classes), *((label, *row) for label, row in counts)]
        write_bytes(self.path / "confusion.csv", csv_text(table).encode(), durable=True)
        write_json(self.path / "summary.json", summary, durable=True)
        self.close(status)
        if status != "interrupted":
            with suppress(OSError):  # it does no harm where it is
                (self.path / CHECKPOINT_NAME).unlink(missing_ok=True)

    def marks_failure(self) -> AbstractContextManager[None]:
        """Say so in run.json if something raises inside."""
        return marks_failure(self.close)

    def close(self, status: Status) -> None:
        """Say in run.json how the run ended."""
        self._info |= {"status": status, "ended_utc": utc_now()}
        write_json(self.path / "run.json", self._info, durable=True)


def _table(path: Path, columns: Sequence[str], length: int) -> GrowingFile:
    """Open a CSV file that has this length, or none yet."""
    table = GrowingFile(path, length)
    if length == 0:
        table.append(csv_text([columns]))
    return table


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows, at least one and all with the same keys, to <folder>/<name>.csv.

    Parameters
    ----------
    folder : Path
        Made if need be.
    name : str
        The file's name, without its ending.
    rows : sequence of mapping
        Scalars by column; None leaves a cell empty.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    cells = [["" if value is None else value for value in row.values()] for row in rows]
    return write_into(folder, f"{name}.csv", csv_text([list(rows[0]), *cells]).encode())


def write_weights(folder: Path, name: str, **weights: Floats) -> Path:
    """Write weights (n_features + 1, n_outputs) by name to <folder>/<name>.npz, as runs have them.

    Raises
    ------
    RunError
        If they cannot be written.
    """
    return write_into(folder, f"{name}.npz", npz_bytes(**weights))
