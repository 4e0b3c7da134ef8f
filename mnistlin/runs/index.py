"""Finding runs and sweeps in a folder and listing them, also those that are damaged."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnistlin.errors import RunError, printable
from mnistlin.runs.checkpoint import CHECKPOINT_NAME
from mnistlin.runs.files import LOCK_NAME, is_locked
from mnistlin.runs.folder import Run, load_run, runs_folder
from mnistlin.runs.records import ENDED
from mnistlin.runs.sweep_folder import Sweep, is_sweep, load_sweep
from mnistlin.runs.tables import aligned

COLUMNS = ("name", "status", "last_val_accuracy", "best_val_accuracy", "stop_epoch", "run")

_STARTED = re.compile(r"[0-9]{8}T[0-9]{6}Z_.+")
_FIRST_FILES = {"config.yaml", "metrics.csv", "steps.csv", CHECKPOINT_NAME, LOCK_NAME, "sweep.csv"}
"""What a folder may hold before its run.json or sweep.json is written."""


@dataclass(frozen=True)
class Entry:
    """One run, or one sweep with all its members, as it is listed.

    `status` is that of run.json or sweep.json, or `unfinished` (its process has died), `damaged`
    (something in it cannot be read) or `not started` (its process died before the first step);
    `note` says what to do about it. Numbers are None for a sweep and where there is no check.
    """

    path: Path
    name: str
    status: str
    last_val_accuracy: float | None = None
    best_val_accuracy: float | None = None
    stop_epoch: int | None = None
    note: str = ""


def find_runs(runs_dir: str | Path | None = None) -> list[Entry]:
    """Return runs and sweeps in a folder, newest first; other files and folders are ignored.

    Parameters
    ----------
    runs_dir : str or Path, optional
        Default: the environment variable MNISTLIN_RUNS_DIR, or runs.
    """
    try:
        paths = filter(Path.is_dir, runs_folder(runs_dir).iterdir())
        folders = sorted(paths, key=_order, reverse=True)
    except OSError:
        return []
    return [entry for path in folders if (entry := _entry(path)) is not None]


def verified(entry: Entry) -> Entry:
    """Return an entry whose note says whether the SHA-256 of its result files are as recorded."""
    if entry.status not in ENDED or is_sweep(entry.path):
        return entry
    run = load_run(entry.path)
    if run.info.files is None:
        return replace(entry, note="unverified: version 0.1.0 recorded no hashes")
    changed = ", ".join(run.modified)
    return replace(entry, note=f"modified since the run ended: {changed}" if changed else "")


def table(entries: Sequence[Entry]) -> list[str]:
    """Return the lines of a table of runs, header first; none for no runs."""
    return aligned([COLUMNS, *map(_cells, entries)]) if entries else []


def notes(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what to do about runs that are not in order."""
    for entry in entries:
        if entry.note:
            yield f"{entry.path.name}: {entry.note}"


def _order(path: Path) -> list[tuple[int, int | str]]:
    """Sort by time, then by name, numbers by their value: -2 before -10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def _entry(path: Path) -> Entry | None:
    has_info = any((path / f"{kind}.json").exists() for kind in ("run", "sweep"))
    if not has_info:
        return _not_started(path)
    try:
        if is_sweep(path):
            sweep = load_sweep(path)
            return Entry(path, sweep.config.name, sweep.current_status, note=_resume_note(sweep))
        run = load_run(path)
        note = _resume_note(run) or _size_note(run)
        return Entry(path, run.config.name, run.current_status, **_figures(run), note=note)
    except RunError as error:
        return Entry(path, path.name.partition("_")[2], "damaged", note=str(error))


def _not_started(path: Path) -> Entry | None:
    """Return the entry of a folder whose process died before it wrote run.json or sweep.json."""
    names = {each.name for each in path.iterdir()}
    is_one = _STARTED.fullmatch(path.name) and all(
        name in _FIRST_FILES or name.endswith(".tmp") for name in names
    )
    if not is_one or is_locked(path):
        return None
    note = f"holds no results and can be removed: {shlex.join(['rm', '-r', str(path)])}"
    return Entry(path, path.name.partition("_")[2], "not started", note=note)


def _resume_note(folder: Run | Sweep) -> str:
    is_open = folder.current_status in {"unfinished", "interrupted", "failed"}
    return f"resume with: {folder.resume_command}" if is_open else ""


def _size_note(run: Run) -> str:
    changed = run.resized
    return f"modified since the run ended: {', '.join(changed)}" if changed else ""


def _figures(run: Run) -> dict[str, Any]:
    """Return those numbers of an entry that the run's summary has, if it has one yet."""
    names = ("last_val_accuracy", "best_val_accuracy", "stop_epoch")
    if not (run.path / "summary.json").exists():
        return {}
    return {name: run.summary[name] for name in names}


def _cells(entry: Entry) -> tuple[str, ...]:
    numbers = (
        "-" if value is None else f"{value:.4f}"
        for value in (entry.last_val_accuracy, entry.best_val_accuracy)
    )
    stop_epoch = "-" if entry.stop_epoch is None else str(entry.stop_epoch)
    cells = (entry.name, entry.status, *numbers, stop_epoch, str(entry.path))
    return tuple(printable(cell).replace("\n", r"\n") for cell in cells)
