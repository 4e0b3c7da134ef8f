"""Finding the runs and sweeps in a folder, including damaged ones."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mnistlin.config import flat
from mnistlin.errors import RunError
from mnistlin.runs.checkpoint import CHECKPOINT_NAME
from mnistlin.runs.files import LOCK_NAME, is_locked
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.scan import ENDED, STARTED, has_entry, is_sweep, newest_first, runs_folder
from mnistlin.runs.sweep_folder import DIVERGED, Sweep, load_sweep

_FIRST_FILES = {"config.yaml", "metrics.csv", "steps.csv", CHECKPOINT_NAME, LOCK_NAME, "sweep.csv"}
"""What a folder may hold before its run.json or sweep.json is written."""


@dataclass(frozen=True)
class Entry:
    """One run, or one sweep with all its members, as it is listed.

    Attributes
    ----------
    path : Path
        The folder.
    name : str
        The name in its config, or that of the folder if the config cannot be read.
    status : str
        That of run.json or sweep.json, or `unfinished` (its process has died), `damaged` (something
        in it cannot be read) or `not started` (its process died before the first step).
    kind : {"run", "sweep"}
    started_utc : str
        When it was started, as run.json says; empty if that cannot be read.
    settings : mapping of str to object
        The config by dotted keys; a swept key has a tuple of all its values.
    summary : mapping of str to object
        summary.json, for a sweep that of its chosen member; empty while there is none.
    note : str
        What to do about it, if anything.
    """

    path: Path
    name: str
    status: str
    kind: Literal["run", "sweep"] = "run"
    started_utc: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    swept: frozenset[str] = frozenset()
    note: str = ""

    def values_of(self, key: str) -> Sequence[Any]:
        """Return the values of a key of its config, its summary or itself: several if swept."""
        if key in self.swept:
            return list(self.settings[key])
        own = {
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "started_utc": self.started_utc,
            "run": self.path.name,
        }
        return [of[key] for of in (own, self.summary, self.settings) if key in of][:1]

    def as_object(self) -> dict[str, Any]:
        """Return the entry as an object for JSON."""
        return {
            "run": str(self.path),
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "started_utc": self.started_utc,
            "config": dict(self.settings),
            "summary": dict(self.summary),
            "note": self.note,
        }


def find_runs(runs_dir: str | Path | None = None) -> list[Entry]:
    """Return runs and sweeps in a folder, newest first; other files and folders are ignored.

    Parameters
    ----------
    runs_dir : str or Path, optional
        Default: the environment variable MNISTLIN_RUNS_DIR, or runs.
    """
    found = map(_entry, newest_first(runs_folder(runs_dir)))
    return [entry for entry in found if entry is not None]


def verified(entry: Entry) -> Entry:
    """Return an entry whose note says whether its result files have the recorded SHA-256."""
    if entry.status not in ENDED or is_sweep(entry.path):
        return entry
    run = load_run(entry.path)
    if run.info.files is None:
        return replace(entry, note="unverified: version 0.1.0 recorded no hashes")
    changed = ", ".join(run.modified)
    return replace(entry, note=f"modified since the run ended: {changed}" if changed else "")


def _entry(path: Path) -> Entry | None:
    if not any(has_entry(path, name) for name in ("run.json", "sweep.json")):
        return _not_started(path)
    kind: Literal["run", "sweep"] = "sweep" if is_sweep(path) else "run"
    try:
        found = load_sweep(path) if kind == "sweep" else load_run(path)
        swept = _swept(found)
        return Entry(
            path,
            found.config.name,
            found.current_status,
            kind,
            found.info.started_utc,
            settings={**flat(found.config), **swept},
            summary=_summary(found),
            swept=frozenset(swept),
            note=_resume_note(found) or _size_note(found),
        )
    except RunError as error:
        return Entry(path, path.name.partition("_")[2], "damaged", kind, note=str(error))


def _swept(found: Run | Sweep) -> dict[str, tuple[Any, ...]]:
    """Return the values of each key that a sweep varies, seeds among them."""
    if isinstance(found, Run):
        return {}
    over = {**found.settings.swept, "training.seed": found.settings.seeds}
    return {
        key: tuple(list(value) if isinstance(value, tuple) else value for value in values)
        for key, values in over.items()
    }


def _not_started(path: Path) -> Entry | None:
    """Return the entry of a folder whose process died before it wrote run.json or sweep.json."""
    names = {each.name for each in path.iterdir()}
    is_one = STARTED.fullmatch(path.name) and all(
        name in _FIRST_FILES or name.endswith(".tmp") for name in names
    )
    if not is_one or is_locked(path):
        return None
    note = f"holds no results and can be removed: {shlex.join(['rm', '-r', str(path)])}"
    return Entry(path, path.name.partition("_")[2], "not started", note=note)


def can_be_resumed(found: Run | Sweep) -> bool:
    """Return whether resuming would train anything; what diverged would diverge again."""
    if isinstance(found, Sweep) and found.status == "partly_failed":
        return any(failure.error != DIVERGED for failure in found.info.failures)
    return found.current_status in {"unfinished", "interrupted", "failed"}


def _resume_note(folder: Run | Sweep) -> str:
    return f"resume with: {folder.resume_command}" if can_be_resumed(folder) else ""


def _size_note(found: Run | Sweep) -> str:
    changed = found.resized if isinstance(found, Run) else ()
    return f"modified since the run ended: {', '.join(changed)}" if changed else ""


def _summary(found: Run | Sweep) -> Mapping[str, Any]:
    """Return the summary of a run, or of the chosen member of a sweep, if there is one yet."""
    run = found if isinstance(found, Run) else found.chosen
    return run.summary if run is not None and has_entry(run.path, "summary.json") else {}
