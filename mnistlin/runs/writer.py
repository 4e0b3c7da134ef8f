"""Writing a run folder: all of it before the first step, rows as they come, then the results.

Also the tables and weights that questions about runs leave behind, in analysis/ or elsewhere.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import ExperimentConfig, dump_yaml
from mnistlin.model.products import Floats
from mnistlin.runs.arrays import npz_bytes
from mnistlin.runs.checkpoint import CHECKPOINT_NAME, Checkpoint, TableEnd, save_checkpoint
from mnistlin.runs.files import (
    GrowingFile,
    json_bytes,
    marks_failure,
    remove_leftovers,
    sync_folder,
    write_bytes,
    write_into,
)
from mnistlin.runs.records import FileRecord, ResultFile, RunInfo, Status, utc_now
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, csv_text, steps_rows
from mnistlin.training.segments import MemberState, Segment


class RunWriter:
    """Writes one run folder.

    Parameters
    ----------
    path : Path
        A new folder, empty except for a checkpoint; or, to resume, that of an unfinished run.
    config : ExperimentConfig
        The resolved config.
    info : RunInfo
        run.json until training ends.
    resume : Checkpoint, optional
        To resume from here: rows after it are cut off.

    Raises
    ------
    RunError
        Here and in every method, if something cannot be written; the rows before it are kept.
    """

    def __init__(
        self,
        path: Path,
        config: ExperimentConfig,
        info: RunInfo,
        resume: Checkpoint | None = None,
    ) -> None:
        self.path, self.config = path, config
        self._info = info
        if resume is None:
            text = dump_yaml(config.model_dump(mode="json"))
            write_bytes(path / "config.yaml", text.encode(), durable=True)
        else:
            remove_leftovers(path)
        ends = (resume.metrics, resume.steps) if resume else (TableEnd(), TableEnd())
        self._metrics = _table(path / "metrics.csv", METRICS_COLUMNS, ends[0])
        self._steps = _table(path / "steps.csv", STEPS_COLUMNS, ends[1])
        # Last, because run.json is what makes a folder a run.
        self._write_info()

    def append(self, segment: Segment) -> None:
        """Append the rows of a segment to both tables, and hand them to the operating system."""
        self._metrics.append(csv_text(segment.checks))
        self._steps.append(csv_text(steps_rows(segment)))

    def save(self, epoch: int, state: MemberState, train_seconds: float) -> None:
        """Write a checkpoint before `epoch`, the first of a segment, for all rows so far."""
        self._sync()
        metrics, steps = (
            TableEnd(table.length, table.sha256) for table in (self._metrics, self._steps)
        )
        save_checkpoint(self.path, Checkpoint(epoch, state, metrics, steps, train_seconds))

    def warn(self, *warnings: str) -> None:
        """Add warnings to run.json, the next time that it is written."""
        self._info = self._info.updated(warnings=(*self._info.warnings, *warnings))

    def finish(
        self,
        status: Status,
        weights: Mapping[str, Floats],
        confusion: NDArray[np.intp],
        classes: tuple[int, ...],
        summary: Mapping[str, Any],
    ) -> None:
        """Write the results; the status comes last, with the hashes of all result files.

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
        counts = zip(classes, confusion.tolist(), strict=True)
        table = [("true", *classes), *((label, *row) for label, row in counts)]
        results: dict[ResultFile, bytes] = {
            "weights.npz": npz_bytes(last=weights["last"], best=weights["best"]),
            "confusion.csv": csv_text(table).encode(),
            "summary.json": json_bytes(summary),
        }
        self._sync()
        for name, content in results.items():
            write_bytes(self.path / name, content, durable=True)
        if status != "interrupted":
            self._info = self._info.updated(files=self._tables() | _recorded(results))
        self.close(status)
        if status != "interrupted":
            with suppress(OSError):  # a checkpoint that stays does no harm
                (self.path / CHECKPOINT_NAME).unlink(missing_ok=True)

    def marks_failure(self) -> AbstractContextManager[None]:
        """Record the failure in run.json if an exception is raised inside."""
        return marks_failure(self.close)

    def close(self, status: Status) -> None:
        """Record in run.json how the run ended."""
        self._info = self._info.updated(status=status, ended_utc=utc_now())
        self._write_info()

    def _sync(self) -> None:
        self._metrics.sync()
        self._steps.sync()

    def _tables(self) -> dict[ResultFile, FileRecord]:
        return {
            "metrics.csv": FileRecord(bytes=self._metrics.length, sha256=self._metrics.sha256),
            "steps.csv": FileRecord(bytes=self._steps.length, sha256=self._steps.sha256),
        }

    def _write_info(self) -> None:
        content = json_bytes(self._info.model_dump(mode="json"))
        write_bytes(self.path / "run.json", content, durable=True)
        sync_folder(self.path)  # for all files written before, too


def _table(path: Path, columns: Sequence[str], end: TableEnd) -> GrowingFile:
    """Open a table cut to a length, or begin one with its header."""
    table = GrowingFile(path, end.n_bytes)
    if table.length == 0:
        table.append(csv_text([columns]))
    return table


def _recorded(contents: Mapping[ResultFile, bytes]) -> dict[ResultFile, FileRecord]:
    return {
        name: FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    }


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows, at least one and all with the same keys, to <folder>/<name>.csv; return its path.

    The folder is made if needed; None leaves a cell empty. RunError if that fails.
    """
    cells = [list(rows[0]), *([*row.values()] for row in rows)]
    return write_into(folder, f"{name}.csv", csv_text(cells).encode())


def write_weights(folder: Path, name: str, **weights: Floats) -> Path:
    """Write weights, each (n_features + 1, n_outputs), to <folder>/<name>.npz."""
    return write_into(folder, f"{name}.npz", npz_bytes(**weights))
