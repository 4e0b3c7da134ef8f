"""Finding runs and sweeps below a folder and listing them, even those that are damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistlin.errors import RunError
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.sweep_folder import is_sweep, load_sweep
from mnistlin.runs.tables import aligned

COLUMNS = ("name", "status", "last_val_accuracy", "best_val_accuracy", "stop_epoch", "run")


@dataclass(frozen=True)
class Entry:
    """One run, or one sweep with all its runs, as it is listed.

    Attributes
    ----------
    path : Path
        Its folder.
    name, status : str
        From config and run.json or sweep.json; the status is `damaged` if those cannot be read.
    last_val_accuracy, best_val_accuracy : float, optional
        None if the run has no check, or no summary yet, and for a sweep.
    stop_epoch : int, optional
        The epoch in which it ended.
    """

    path: Path
    name: str
    status: str
    last_val_accuracy: float | None = None
    best_val_accuracy: float | None = None
    stop_epoch: int | None = None


def find_runs(runs_dir: Path) -> list[Entry]:
    """Return runs and sweeps in a folder, newest first; whatever else is in it is passed over."""
    folders = {path.parent for name in ("run", "sweep") for path in runs_dir.glob(f"*/{name}.json")}
    return [_entry(path) for path in sorted(folders, key=lambda path: path.name, reverse=True)]


def table(entries: Sequence[Entry]) -> list[str]:
    """Return the lines of a table of runs, header first; none for no runs."""
    return aligned([COLUMNS, *map(_cells, entries)]) if entries else []


def _entry(path: Path) -> Entry:
    try:
        if is_sweep(path):
            sweep = load_sweep(path)
            return Entry(path, sweep.config.name, sweep.status)
        run = load_run(path)
    except RunError:
        return Entry(path, path.name.partition("_")[2], "damaged")
    return Entry(path, run.config.name, run.status, **_figures(run))


def _figures(run: Run) -> dict[str, Any]:
    """Return those numbers of an entry that the run's summary has, if it has one yet."""
    try:
        summary = run.summary
    except RunError:
        return {}
    names = ("last_val_accuracy", "best_val_accuracy", "stop_epoch")
    return {name: summary[name] for name in names if isinstance(summary.get(name), int | float)}


def _cells(entry: Entry) -> tuple[str, ...]:
    numbers = (
        "-" if value is None else f"{value:.4f}"
        for value in (entry.last_val_accuracy, entry.best_val_accuracy)
    )
    stop_epoch = "-" if entry.stop_epoch is None else str(entry.stop_epoch)
    cells = (entry.name, entry.status, *numbers, stop_epoch, str(entry.path))
    return tuple(map(_printable, cells))


def _printable(text: str) -> str:
    """Return the text of others on one line, and without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
