"""Which runs that are there already are the ones that are wanted. Nothing is run here.

A run is the same experiment if all that decides its numbers is the same: the config but for its
name, the pixels and labels by their hashes, and the version of the package.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import mnistlin
from mnistlin.config import ExperimentConfig
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.index import find_runs
from mnistlin.runs.sweep_folder import Sweep, is_sweep, load_sweep

Folder: TypeAlias = Run | Sweep

DONE = frozenset({"finished", "early_stopped"})
"""Statuses of what can be shown as it is."""

BROKEN_OFF = frozenset({"interrupted", "running"})
"""Statuses of what may be gone on with; one that says `running` was killed, or still is."""


def config_hash(config: ExperimentConfig) -> str:
    """Return the SHA-256 of all of a config that decides numbers."""
    values = config.model_dump(mode="json", exclude={"name": True})
    del values["training"]["checkpoint_seconds"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def choose(
    folders: Iterable[Folder], config: ExperimentConfig, data: Mapping[str, Any]
) -> Folder | None:
    """Return the first of some folders that is done, else the first that was broken off.

    Parameters
    ----------
    folders : iterable of Run or Sweep
        What is there, the newest first.
    config : ExperimentConfig
        What is wanted.
    data : mapping
        What run.json would say of its data.

    Returns
    -------
    Run or Sweep, optional
        None if the experiment is to be begun.
    """
    same = [folder for folder in folders if _is_same(folder, config, data)]
    for statuses in (DONE, BROKEN_OFF):
        for folder in same:
            if folder.status in statuses:
                return folder
    return None


def folders_in(runs_dir: Path) -> Iterator[Folder]:
    """Yield the runs and sweeps of a folder, the newest first; those that are damaged are not."""
    for entry in find_runs(runs_dir):
        try:
            yield load_sweep(entry.path) if is_sweep(entry.path) else load_run(entry.path)
        except RunError:
            continue


def _is_same(folder: Folder, config: ExperimentConfig, data: Mapping[str, Any]) -> bool:
    return (
        folder.info.get("mnistlin") == mnistlin.__version__
        and folder.info.get("data") == data
        and config_hash(folder.config) == config_hash(config)
    )
