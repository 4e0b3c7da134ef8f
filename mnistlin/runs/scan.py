"""Which subfolders are runs and sweeps, newest first, without opening them.

Tab completion has to be fast, so nothing here imports NumPy or pydantic, and files are asked for by
`os.path`, which takes a sixth of the time of `pathlib`.
"""

import json
import os
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

from mnistlin.errors import RunError
from mnistlin.text import shortened

ENDED = frozenset({"finished", "early_stopped", "diverged"})
"""Statuses of runs whose training has ended."""

STARTED = re.compile(r"[0-9]{8}T[0-9]{6}Z_.+")
"""The name of the folder of a run or sweep, unless it was renamed."""

_SECOND = len("20260114T093012")
_TIME = len("20260114T093012Z_")
_SHORT_NAME = _TIME + 16


def short_name(name: str) -> str:
    """Return the name of a folder without the middle of what follows its time, if it is long."""
    n_kept = _TIME if STARTED.fullmatch(name) else 0
    return name[:n_kept] + shortened(name[n_kept:], _SHORT_NAME - n_kept)


def runs_folder(runs_dir: str | Path | None = None) -> Path:
    """Return the folder of all runs: by default MNISTLIN_RUNS_DIR, or runs."""
    return Path(runs_dir or os.environ.get("MNISTLIN_RUNS_DIR") or "runs")


def is_run(path: Path) -> bool:
    """Return whether a folder is that of a run."""
    return _has(path, "run.json")


def is_sweep(path: Path) -> bool:
    """Return whether a folder is that of a sweep."""
    return _has(path, "sweep.json")


def has_weights(path: Path) -> bool:
    """Return whether a folder is that of a run with weights."""
    return _has(path, "weights.npz") and is_run(path)


def has_entry(folder: Path, name: str) -> bool:
    """Return whether a folder has an entry of that name, whatever it is."""
    return os.path.lexists(f"{folder}{os.sep}{name}")


def newest_first(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, whatever they are; none if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            paths = [folder / each.name for each in found if _is_folder(each)]
    except OSError:
        return []
    seconds = {path: _second(path) for path in paths}
    n_of_second = Counter(seconds.values())

    def order(path: Path) -> tuple[str, str, list[tuple[int, int | str]]]:
        second = seconds[path]
        is_shared = n_of_second[second] > 1  # only then is a record needed to tell
        return second, recorded(path, "started_utc") if is_shared else "", _parts(path.name)

    return sorted(paths, key=order, reverse=True)


def recorded(path: Path, key: str) -> str:
    """Return a string from run.json or sweep.json, unchecked; empty if it cannot be read."""
    from mnistlin.runs.files import read_text  # noqa: PLC0415  hashlib takes 4 ms, and is not needed

    for name in ("run.json", "sweep.json"):
        with suppress(RunError, ValueError, TypeError, KeyError, RecursionError):
            return str(json.loads(read_text(path / name))[key])
    return ""


def _has(folder: Path, name: str) -> bool:
    return os.path.isfile(f"{folder}{os.sep}{name}")  # noqa: PTH113


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False


def _parts(name: str) -> list[tuple[int, int | str]]:
    """Split a name so that numbers sort by their value: -2 before -10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def _second(path: Path) -> str:
    """Return when a run was started: by its folder's name or, if renamed, by its record."""
    if STARTED.fullmatch(path.name):
        return path.name[:_SECOND]
    return recorded(path, "started_utc").replace("-", "").replace(":", "")[:_SECOND]
