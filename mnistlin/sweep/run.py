"""Running a sweep: hand its stacks to workers, and write the results as run folders.

Only this process writes, so workers need no disk that they share with it. A stack whose worker
died is submitted again; it fails only if that happens a second time.
"""

import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mnistlin.config import ExperimentConfig, load_config
from mnistlin.data.splits import SplitLoader, Splits, shared_loader
from mnistlin.errors import ConfigError, MnistlinError, RunError
from mnistlin.experiment import setup_for, write_results
from mnistlin.runs.files import os_errors_as_run_errors, sole_writer
from mnistlin.runs.folder import Run, load_run, make_folder, sweep_resume_command
from mnistlin.runs.provenance import (
    check_config_is_unchanged,
    describe_origin,
    resumed_info,
    this_command,
)
from mnistlin.runs.records import Origin, RunInfo, SweepInfo
from mnistlin.runs.scan import runs_folder
from mnistlin.runs.sweep_folder import Sweep, SweepWriter, load_sweep
from mnistlin.runs.writer import RunWriter
from mnistlin.sweep.cluster import dask_cluster
from mnistlin.sweep.plan import Task, tasks_of
from mnistlin.sweep.workers import (
    Data,
    Result,
    ThisProcess,
    TrainedStack,
    Workers,
    WorkersLostError,
    processes,
    train_stack,
)

POLL_SECONDS = 0.2
"""How often the caller is asked whether to stop, while stacks train elsewhere."""

MAX_DEATHS = 2
"""A stack fails once this many workers have died while they trained it."""


@dataclass(frozen=True)
class SweepProgress:
    """Progress of a sweep.

    Attributes
    ----------
    stacks_done, stacks : int
        Number of stacks that are done, and of all.
    epochs_done, epochs : int
        Number of epochs that are done, and of all stacks; the epochs of a stack that trains in
        another process count once it is done.
    warnings : tuple of str
        What happened to workers so far.
    """

    stacks_done: int
    stacks: int
    epochs_done: int
    epochs: int
    warnings: tuple[str, ...] = ()


OnProgress = Callable[[SweepProgress], bool | None]


class _Reporter:
    """Reports progress to the caller, and remembers whether it asked to stop."""

    def __init__(
        self, on_progress: OnProgress | None, tasks: Sequence[Task], done: Sequence[Task]
    ) -> None:
        self._on_progress = on_progress
        self._n_stacks, self._epochs = len(tasks), sum(map(_epochs, tasks))
        self._n_done, self._epochs_done = len(done), sum(map(_epochs, done))
        self._warnings: tuple[str, ...] = ()
        self._wants_stop = False

    def on_segment(self, epochs: range) -> bool:
        """Report some epochs of the stack that trains in this process; return whether to stop."""
        return self._report(epochs.stop)

    def stack_done(self, task: Task) -> None:
        """Count one more stack as done."""
        self._n_done += 1
        self._epochs_done += _epochs(task)

    def warn(self, warning: str) -> None:
        """Add a warning to the next report."""
        self._warnings += (warning,)

    def wants_stop(self) -> bool:
        """Report, and return whether to stop."""
        return self._report(0)

    def _report(self, epochs_of_stack: int) -> bool:
        progress = SweepProgress(
            self._n_done,
            self._n_stacks,
            self._epochs_done + epochs_of_stack,
            self._epochs,
            self._warnings,
        )
        if self._on_progress is not None and self._on_progress(progress):
            self._wants_stop = True
        return self._wants_stop


def _epochs(task: Task) -> int:
    return task.configs[0].training.epochs


@dataclass(frozen=True)
class _Driver:
    """Has stacks trained by workers, and writes their results."""

    chooses: bool
    data: Data
    writer: SweepWriter
    workers: Workers
    reporter: _Reporter

    def drive(self, tasks: Sequence[Task]) -> None:
        """Have these stacks trained, write each as soon as it is done, and close the folder."""
        with self.writer.marks_failure():
            try:
                for task, result in self._results(tasks):
                    self._write(task, result)
            except WorkersLostError as error:
                raise RunError(
                    f"{error}; the stacks that are complete are kept, and "
                    f"`{sweep_resume_command(self.writer.path)}` trains the others"
                ) from None
            self.writer.close()

    def _results(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield each stack once it is done, until all are, or the caller wants to stop."""
        waiting, deaths = deque(tasks), Counter[Task]()
        in_flight: dict[Result, Task] = {}
        while not self.reporter.wants_stop() and (waiting or in_flight):
            self._submit(waiting, in_flight)
            done, _ = wait(in_flight, POLL_SECONDS, FIRST_COMPLETED)
            for warning in self.workers.watch():
                self.reporter.warn(warning)
            ended: list[tuple[Task, Result]] = []
            for result in done:
                task = in_flight.pop(result)
                died = self.workers.deaths(result)
                deaths[task] += died
                if died and deaths[task] < MAX_DEATHS:
                    self.reporter.warn(
                        f"a worker died while it trained {task}, which is trained again"
                    )
                    waiting.appendleft(task)
                else:
                    ended.append((task, result))
            if in_flight:  # others train, so do not let them wait while results are written
                self._submit(waiting, in_flight)
            yield from ended

    def _submit(self, waiting: deque[Task], in_flight: dict[Result, Task]) -> None:
        """Submit as many stacks as may be in flight."""
        n_at_once = self.workers.n_at_once or len(waiting) + len(in_flight)
        while waiting and len(in_flight) < n_at_once:
            task = waiting.popleft()
            in_flight[self.workers.submit(task.configs)] = task

    def _write(self, task: Task, result: Result) -> None:
        """Write the members of a stack, or why there are none."""
        try:
            trained = result.result()
        except Exception as error:  # whatever it is, the other stacks are trained
            self.writer.add_failure(task.keys, self._reason(result, error))
        else:
            if trained is None:  # it was asked to stop
                return
            runs = {key: self._member(task, trained, i) for i, key in enumerate(task.keys)}
            self.writer.add(runs)
        self.reporter.stack_done(task)

    def _reason(self, result: Result, error: Exception) -> str:
        if self.workers.deaths(result):
            return (
                f"{MAX_DEATHS} workers or more died while they trained it, perhaps for lack of "
                f"memory ({type(error).__name__}: {error})"
            )
        return (
            str(error) if isinstance(error, MnistlinError) else f"{type(error).__name__}: {error}"
        )

    def _member(self, task: Task, trained: TrainedStack, i: int) -> Run:
        """Write the run folder of one member of a stack."""
        path = self.writer.folder_of(task.keys[i])
        with os_errors_as_run_errors("make the folder", path):
            path.mkdir()
        config = task.configs[i]
        info = RunInfo.of(
            trained.info,
            command=this_command(),
            config=config,
            stack=task.described(self.writer.path.name),
        )
        run_writer = RunWriter(path, config, info)
        member = trained.members[i]
        splits = self.data(config)
        if self.chooses:  # the test images are read once, for the member that is chosen
            splits = replace(splits, test=None)
        with run_writer.marks_failure():
            run_writer.append(member)
            write_results(run_writer, splits, member, member.checks, trained.train_seconds)
        return load_run(path)


@dataclass(frozen=True)
class _Work:
    """The tasks of a sweep and their data, checked before anything is written; and the workers."""

    tasks: tuple[Task, ...]
    data: Data
    origin: Origin
    chooses: bool
    """Whether there are settings to choose among, and not seeds alone."""
    jobs: int
    scheduler: str | None
    recorded: Path | None
    """Where an older part of the sweep found its data."""

    @classmethod
    def checked(
        cls,
        config: ExperimentConfig,
        jobs: int,
        scheduler: str | None,
        recorded: Path | None = None,
    ) -> "_Work":
        """Return the work of a sweep, whose data fits its configs."""
        loader = shared_loader() or SplitLoader()

        def data(config: ExperimentConfig) -> Splits:
            return loader.load(config.data, recorded, config.training)

        tasks = tasks_of(config)
        origin = describe_origin(config, _check_fit(tasks, data))
        chooses = config.sweep is not None and bool(config.sweep.swept)
        return cls(tasks, data, origin, chooses, jobs, scheduler, recorded)

    def train(
        self,
        open_folder: Callable[[], AbstractContextManager[SweepWriter]],
        on_progress: OnProgress | None,
        complete: Sequence[Task] = (),
    ) -> Sweep:
        """Train the tasks that are not complete; the folder is opened once there are workers."""
        missing = [task for task in self.tasks if task not in complete]
        reporter = _Reporter(on_progress, self.tasks, complete)
        with self._workers(reporter, len(missing)) as workers, open_folder() as writer:
            _Driver(self.chooses, self.data, writer, workers, reporter).drive(missing)
        return load_sweep(writer.path)

    def _workers(self, reporter: _Reporter, n_tasks: int) -> AbstractContextManager[Workers]:
        if self.scheduler is not None:
            return dask_cluster(self.scheduler, self.data)
        jobs = min(self.jobs, n_tasks)
        here = nullcontext(ThisProcess(self.data, reporter.on_segment))
        return processes(jobs, partial(train_stack, recorded=self.recorded)) if jobs > 1 else here


def run_sweep(  # noqa: PLR0913 (the first four are those of run_experiment)
    config: ExperimentConfig | str | Path | Sequence[str | Path],
    runs_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Sweep:
    """Train every combination with every seed, and write a folder with a run folder for each.

    Parameters
    ----------
    config : ExperimentConfig, str, Path, or sequence of these
        What to train, with a section `sweep`, as for `load_config`: a config, a file, the name of
        a shipped config, or several files.
    runs_dir : str or Path, optional
        Parent of the folder. Default: the environment variable MNISTLIN_RUNS_DIR, or runs.
    on_progress : callable, optional
        Called several times a second; if it returns True, the sweep ends there and its status is
        `interrupted`.
    overrides : mapping of str to object, optional
        Settings that override the config, such as `{"sweep.seeds": [0, 1, 2]}`.
    jobs : int
        Number of processes that train; 1 trains in this one. They import the main script again,
        so it must call this below `if __name__ == "__main__":`.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster, which then trains. Scheduler and workers are
        trusted: Dask exchanges pickled objects with them.

    Returns
    -------
    Sweep
        The folder, whatever its status: `finished`, `partly_failed`, `interrupted`.

    Raises
    ------
    ConfigError
        If the config has no sweep, or does not fit the data.
    DataError
        If the data is missing or wrong.
    RunError
        If something cannot be written, processes cannot be started, or the cluster cannot be
        reached.
    """
    checked = load_config(config, overrides or {})
    work = _Work.checked(checked, jobs, scheduler)

    @contextmanager
    def new_folder() -> Iterator[SweepWriter]:
        path = make_folder(runs_folder(runs_dir), f"{_kind(checked)}_{checked.name}")
        with sole_writer(path):
            yield SweepWriter(path, checked, SweepInfo.of(work.origin))

    return work.train(new_folder, on_progress)


def resume_sweep(
    path: str | Path,
    on_progress: OnProgress | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Sweep:
    """Train the stacks of a sweep that are not complete, bit-identical to an uninterrupted sweep.

    Parameters
    ----------
    path : str or Path
        The folder of the sweep. A stack is complete if all of its members are; the members of any
        other stack are removed and trained again.
    on_progress, jobs, scheduler
        As for `run_sweep`.

    Returns
    -------
    Sweep
        As from `run_sweep`; its sweep.json lists each resumption under `resumed`.

    Raises
    ------
    RunError
        If it is not the folder of a sweep, is being written, or its config was changed.
    DataError
        If the data is missing, or is not what the sweep was started with.
    """
    path = Path(path)
    load_sweep(path)  # before the lock, which would leave a file in any folder
    with sole_writer(path):
        sweep = load_sweep(path)
        check_config_is_unchanged(path, sweep.info, sweep.config)
        work = _Work.checked(sweep.config, jobs, scheduler, sweep.recorded_folder)
        info = resumed_info(path, sweep.info, work.origin)
        complete = [task for task in work.tasks if _is_complete(task, sweep)]

        @contextmanager
        def old_folder() -> Iterator[SweepWriter]:
            writer = SweepWriter(path, sweep.config, info)
            missing = set(work.tasks).difference(complete)
            _remove([writer.folder_of(key) for task in missing for key in task.keys])
            writer.add({key: sweep.members[key] for task in complete for key in task.keys})
            yield writer

        return work.train(old_folder, on_progress, complete)


def _kind(config: ExperimentConfig) -> str:
    """Return the first part of a sweep's folder name."""
    is_over_lambda = config.sweep and list(config.sweep.swept) == ["training.l2_lambda"]
    return "sweep-lambda" if is_over_lambda else "sweep"


def _check_fit(tasks: Sequence[Task], data: Data) -> Splits:
    """Check all tasks against their data before anything is trained; return that of the first.

    Raises
    ------
    ConfigError
        If configs do not fit their data; all problems are reported together.
    DataError
        If data is missing or wrong.
    """
    problems: list[str] = []
    for task in tasks:
        try:
            setup_for(task.configs, data(task.configs[0]))
        except ConfigError as error:
            problems += [str(error)] * (str(error) not in problems)
    if len(problems) > 1:
        raise ConfigError("\n  ".join(["sweep: combinations that do not fit the data", *problems]))
    if problems:
        raise ConfigError(problems[0])
    return data(tasks[0].configs[0])


def _is_complete(task: Task, sweep: Sweep) -> bool:
    """Return whether all members exist and were trained in this stack."""
    runs = [sweep.members.get(key) for key in task.keys]
    described = task.described(sweep.path.name)
    return all(run is not None and run.info.stack == described for run in runs)


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        with os_errors_as_run_errors("remove", folder):
            if folder.exists():
                shutil.rmtree(folder)
