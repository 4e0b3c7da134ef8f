"""Training of a report's experiments: each is reused, resumed or trained.

A run that is there already is reused if everything that decides its numbers is the same: the
config but for keys without effect, the images and labels by their hashes, and the version of the
package. A run whose files were changed afterwards is not reused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mnistlin._version import __version__
from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.unstable import likely_cause_of_divergence, with_unstable_members
from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import SplitLoader, Splits
from mnistlin.errors import ConfigError, RunError
from mnistlin.experiment import Progress, resume_experiment, run_experiment
from mnistlin.model.samples import max_helpers
from mnistlin.report.side_by_side import train_side_by_side
from mnistlin.runs.folder import Run, load_run
from mnistlin.runs.index import find_runs
from mnistlin.runs.provenance import describe_data
from mnistlin.runs.records import DataRecord
from mnistlin.runs.scan import is_sweep
from mnistlin.runs.sweep_folder import Sweep, load_sweep
from mnistlin.sweep import SweepProgress, resume_sweep, run_sweep
from mnistlin.sweep.plan import tasks_of

_MANY_IMAGES = 14_000_000
"""Images, counted in each epoch, from which processes save time: of 15 million they save a seventh
of a report on two cores, of 12 million nothing."""

Folder: TypeAlias = Run | Sweep
Experiments: TypeAlias = Mapping[str, TrainedExperiment]

DONE = frozenset({"finished", "early_stopped"})
"""Statuses of runs that a report can show."""

UNFINISHED = frozenset({"interrupted", "running"})
"""Statuses of runs that can be resumed; one that says `running` was killed, or still runs."""


@dataclass(frozen=True)
class ReportProgress:
    """Progress over all experiments; one that stops early or is reused counts in full."""

    experiment: str
    epochs_done: int
    epochs: int


OnProgress = Callable[[ReportProgress], bool | None]


def train_all(
    configs: Mapping[str, Sequence[ExperimentConfig]],
    runs_dir: Path,
    on_progress: OnProgress | None = None,
    loader: SplitLoader | None = None,
    n_jobs: int | None = 1,
) -> Experiments | None:
    """Train all experiments, reusing and resuming what the runs folder has of them.

    Parameters
    ----------
    configs : mapping of str to sequence of ExperimentConfig
        By the experiment's name: one config per seed, or one with a sweep.
    runs_dir : Path
        Where runs are looked for and made.
    on_progress : callable, optional
        Called after each epoch; if it returns True, training stops, and None is returned. Another
        call resumes there.
    loader : SplitLoader, optional
        Loads the images, once for all experiments that use them.
    n_jobs : int, optional
        Number of processes that train runs of which there is nothing yet; if None, one for each
        core, at most 9, unless the runs are short. Sweeps, and what is to be resumed, train one
        after another in this process.

    Raises
    ------
    RunError
        If an experiment diverged or failed, so that there is nothing to show of it, or processes
        cannot be started.
    DataError, ConfigError
        If the data is missing, wrong, or does not fit; then nothing has been trained.
    """
    loader = loader or SplitLoader()
    _check_data_fits(configs, loader)
    n_epochs = sum(map(_epochs, _all(configs)))
    trainer = _Trainer(runs_dir, on_progress, n_epochs, loader)
    if not trainer.train_new_runs(configs, n_jobs):
        return None
    experiments = {}
    for name, wanted in configs.items():
        folders = []
        for config in wanted:
            folder = trainer.get(name, config)
            if folder is None:
                return None
            folders.append(folder)
        experiments[name] = _trained(name, folders)
    return experiments


def choose(folders: Iterable[Folder], config: ExperimentConfig, data: DataRecord) -> Folder | None:
    """Return the first run or sweep of this config and data that is done, else one to resume.

    Parameters
    ----------
    folders : iterable of Run or Sweep
        What there is, the newest first.
    config : ExperimentConfig
        The experiment.
    data : DataRecord
        What run.json says of its data.
    """
    same = [folder for folder in folders if _is_same(folder, config, data)]
    for statuses in (DONE, UNFINISHED):
        for folder in same:
            if folder.status in statuses:
                return folder
    return None


def folders_in(runs_dir: Path) -> Iterator[Folder]:
    """Yield the runs and sweeps of a folder, the newest first, without damaged ones."""
    for entry in find_runs(runs_dir):
        try:
            yield load_sweep(entry.path) if is_sweep(entry.path) else load_run(entry.path)
        except RunError:
            continue


def _is_same(folder: Folder, config: ExperimentConfig, data: DataRecord) -> bool:
    return (
        folder.info.mnistlin == __version__
        and folder.info.data.identity == data.identity
        and not (isinstance(folder, Run) and folder.modified)
        and folder.config.identity == config.identity
    )


class _Trainer:
    """Trains the experiments, and counts the epochs of all."""

    def __init__(
        self, runs_dir: Path, on_progress: OnProgress | None, epochs: int, loader: SplitLoader
    ) -> None:
        self._runs_dir, self._on_progress, self._epochs = runs_dir, on_progress, epochs
        self._loader = loader
        self._epochs_before = 0
        self._ahead: list[ExperimentConfig] = []  # counted, but not asked for yet
        self._known = list(folders_in(runs_dir))

    def train_new_runs(
        self, configs: Mapping[str, Sequence[ExperimentConfig]], n_jobs: int | None
    ) -> bool:
        """Train the runs of which there is nothing yet side by side; return whether to go on.

        If one goes wrong, `get` finds it unfinished, or trains it again and says what is wrong.
        """
        new: list[tuple[str, ExperimentConfig]] = []
        for name, wanted in configs.items():
            for config in wanted:
                is_listed = any(config.identity == listed.identity for _, listed in new)
                if not config.sweep and not is_listed and self._find(config) is None:
                    new.append((name, config))
        if n_jobs is None:
            n_jobs = max_helpers() + 1 if self._are_long(new) else 1
        if min(n_jobs, len(new)) < 2:
            return True
        shown = new[0][0]
        for ended in train_side_by_side([config for _, config in new], self._runs_dir, n_jobs):
            for i in ended:
                shown, config = new[i]
                self._ahead.append(config)
                self._epochs_before += _epochs(config)
            if self._report(shown, 0):
                return False
        self._known = list(folders_in(self._runs_dir))
        return True

    def _are_long(self, runs: Sequence[tuple[str, ExperimentConfig]]) -> bool:
        """Return whether processes save more time than it takes to start them."""
        n_images = sum(
            self._data(config).train.n_samples * config.training.epochs for _, config in runs
        )
        return n_images >= _MANY_IMAGES

    def get(self, name: str, config: ExperimentConfig) -> Folder | None:
        """Return the finished folder of a config; None if the caller asked to stop."""
        found = self._find(config)
        if found is None or found.status not in DONE:
            found = self._train(name, config, found)
            self._known.insert(0, found)  # the next experiment may be the same
        if config in self._ahead:
            self._ahead.remove(config)
        else:
            self._epochs_before += _epochs(config)
        if self._report(name, 0) or found.status == "interrupted":
            return None
        _check_is_done(name, found)
        return found

    def _find(self, config: ExperimentConfig) -> Folder | None:
        return choose(self._known, config, describe_data(self._data(config)))

    def _data(self, config: ExperimentConfig) -> Splits:
        return self._loader.load(config.data, training=config.training)

    def _train(self, name: str, config: ExperimentConfig, unfinished: Folder | None) -> Folder:
        def on_epoch(progress: Progress) -> bool:
            return self._report(name, progress.epoch + 1)

        def on_sweep(progress: SweepProgress) -> bool:
            return self._report(name, progress.epochs_done)

        data = self._data(config)
        if config.sweep:
            if unfinished:
                return resume_sweep(unfinished.path, on_sweep)
            return run_sweep(config, self._runs_dir, on_sweep)
        if unfinished:
            return resume_experiment(unfinished.path, on_epoch, data=data)
        return run_experiment(config, self._runs_dir, on_epoch, data=data)

    def _report(self, name: str, epochs: int) -> bool:
        progress = ReportProgress(name, self._epochs_before + epochs, self._epochs)
        return bool(self._on_progress and self._on_progress(progress))


def _check_data_fits(
    configs: Mapping[str, Sequence[ExperimentConfig]], loader: SplitLoader
) -> None:
    """Load the images of all experiments; raise what is wrong with any of their configs."""
    problems = []
    for name, wanted in configs.items():
        try:
            for config in wanted:
                loader.load(config.data, training=config.training)
        except ConfigError as error:
            problems += [f"experiment {name}: {line}" for line in str(error).splitlines()]
    if problems:
        raise ConfigError("\n".join(problems))


def _all(configs: Mapping[str, Sequence[ExperimentConfig]]) -> Iterable[ExperimentConfig]:
    return (config for each in configs.values() for config in each)


def _epochs(config: ExperimentConfig) -> int:
    """Return how many epochs an experiment has at most, as the sweep counts them."""
    return config.training.epochs * (len(tasks_of(config)) if config.sweep else 1)


def _check_is_done(name: str, folder: Folder) -> None:
    if folder.status in DONE:
        return
    advice = "look at that folder, or remove it and run the report again"
    if isinstance(folder, Run) and folder.status == "diverged":
        advice = likely_cause_of_divergence(folder)
    raise RunError(
        f"experiment {name} ended as {folder.status.replace('_', ' ')} ({folder.path}), so the "
        f"report has nothing to show of it; {advice}"
    )


def _trained(name: str, folders: Sequence[Folder]) -> TrainedExperiment:
    if isinstance(folders[0], Sweep):
        return TrainedExperiment(name, sweep=with_unstable_members(folders[0]))
    return TrainedExperiment(name, runs=tuple(run for run in folders if isinstance(run, Run)))
