"""Which runs that are there already are the ones that are wanted. Nothing is run here.

A run is the same experiment if all that decides its numbers is the same: the config but for its
name, the pixels and labels by their hashes, and the version of the package.

Gets the experiments of a report done: reuses, goes on with, or trains each of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mnistlin
from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.own_data import likely_cause_of_divergence
from mnistlin.config import DataConfig, ExperimentConfig
from mnistlin.data.splits import load_splits
from mnistlin.errors import RunError
from mnistlin.experiment import Progress, resume_experiment, run_experiment
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.index import find_runs
from mnistlin.runs.provenance import describe_data
from mnistlin.runs.sweep_folder import Sweep, is_sweep, load_sweep
from mnistlin.sweep import SweepProgress, resume_sweep, run_sweep
from mnistlin.sweep.plan import tasks_of

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


@dataclass(frozen=True)
class ReportProgress:
    """How far all experiments together are.

    Attributes
    ----------
    experiment : str
        The one that is trained.
    epochs_done, epochs : int
        Epochs that are through, and all; what stops early or is reused counts whole.
    """

    experiment: str
    epochs_done: int
    epochs: int


OnProgress = Callable[[ReportProgress], bool | None]
Outcomes = Mapping[str, TrainedExperiment]


def run_all(
    configs: Mapping[str, Sequence[ExperimentConfig]],
    runs_dir: Path,
    on_progress: OnProgress | None = None,
) -> Outcomes | None:
    """Return the outcome of each experiment, training what is not there yet.

    Parameters
    ----------
    configs : mapping of str to sequence of ExperimentConfig
        By the experiment's name: a config a seed, or one with a sweep.
    runs_dir : Path
        Where runs are looked for, and made.
    on_progress : callable, optional
        Called after each epoch; if it returns True, training ends there.

    Returns
    -------
    mapping of str to Outcome, optional
        None if `on_progress` ended it; called again, it goes on from there.

    Raises
    ------
    RunError
        If an experiment diverged or failed, so that the report has nothing to show for it.
    DataError, ConfigError
        If the data is missing, wrong, or does not fit.
    """
    bench = _Bench(runs_dir, on_progress, sum(map(_epochs, _all(configs))))
    outcomes = {}
    for name, wanted in configs.items():
        folders = []
        for config in wanted:
            folder = bench.get(name, config)
            if folder is None:
                return None
            folders.append(folder)
        outcomes[name] = _outcome(name, folders)
    return outcomes


class _Bench:
    """Trains one experiment after the other, and counts epochs.

    Parameters
    ----------
    runs_dir : Path
        Where run folders are.
    on_progress : callable, optional
        Whom to tell.
    epochs : int
        Of all experiments together.
    """

    def __init__(self, runs_dir: Path, on_progress: OnProgress | None, epochs: int) -> None:
        self._runs_dir, self._on_progress, self._epochs = runs_dir, on_progress, epochs
        self._epochs_before = 0
        self._known = list(folders_in(runs_dir))
        self._data: dict[DataConfig, dict[str, Any]] = {}

    def get(self, name: str, config: ExperimentConfig) -> Folder | None:
        """Return the finished folder of a config; None if the caller asked to stop."""
        found = choose(self._known, config, self._described(config.data))
        if found is None or found.status not in DONE:
            found = self._train(name, config, found)
            self._known.insert(0, found)  # the next experiment may be the same
        self._epochs_before += _epochs(config)
        if self._tell(name, 0) or found.status == "interrupted":
            return None
        _check_is_sound(name, found)
        return found

    def _train(self, name: str, config: ExperimentConfig, begun: Folder | None) -> Folder:
        def on_epoch(progress: Progress) -> bool:
            return self._tell(name, progress.epoch + 1)

        def on_sweep(progress: SweepProgress) -> bool:
            return self._tell(name, progress.epochs_done)

        if config.sweep:
            if begun:
                return resume_sweep(begun.path, on_sweep)
            return run_sweep(config, self._runs_dir, on_sweep)
        if begun:
            return resume_experiment(begun.path, on_epoch)
        return run_experiment(config, self._runs_dir, on_epoch)

    def _described(self, data: DataConfig) -> dict[str, Any]:
        """Return what run.json says of this data."""
        if data not in self._data:
            self._data[data] = describe_data(load_splits(data))
        return self._data[data]

    def _tell(self, name: str, epochs: int) -> bool:
        progress = ReportProgress(name, self._epochs_before + epochs, self._epochs)
        return bool(self._on_progress and self._on_progress(progress))


def _all(configs: Mapping[str, Sequence[ExperimentConfig]]) -> Iterable[ExperimentConfig]:
    return (config for each in configs.values() for config in each)


def _epochs(config: ExperimentConfig) -> int:
    """Return how many epochs an experiment has at most, as the sweep counts them."""
    return config.training.epochs * (len(tasks_of(config)) if config.sweep else 1)


def _check_is_sound(name: str, folder: Folder) -> None:
    if folder.status in DONE:
        return
    advice = "look into that folder, or remove it and try again"
    if folder.status == "diverged":
        advice = likely_cause_of_divergence(folder.config)
    ended = folder.status.replace("_", " ")
    raise RunError(
        f"experiment {name} ended {ended} ({folder.path}), so the report has nothing to show for "
        f"it; {advice}"
    )


def _outcome(name: str, folders: Sequence[Folder]) -> TrainedExperiment:
    if isinstance(folders[0], Sweep):
        return TrainedExperiment(name, sweep=folders[0])
    return TrainedExperiment(name, runs=tuple(run for run in folders if isinstance(run, Run)))
