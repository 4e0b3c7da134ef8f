"""The driver of a sweep: hands stacks to workers, and writes what comes back as run folders.

Only the driver writes, so workers need no disk that they share with it.

The way into a sweep: begin one, or take up one that was broken off.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Splits, load_splits
from mnistlin.errors import MnistlinError
from mnistlin.experiment import conclude, describe_run, setup_for
from mnistlin.runs.files import os_errors_as_run_errors, sole_writer
from mnistlin.runs.folder import Run, load_run, make_folder
from mnistlin.runs.provenance import check_config_is_unchanged, resumed_info, this_command
from mnistlin.runs.sweep_folder import Sweep, SweepWriter, load_sweep, member_name
from mnistlin.runs.writer import RunWriter
from mnistlin.sweep.plan import Stack, member_config, stacks_of
from mnistlin.sweep.workers import TrainedStack, Workers, dask_cluster, processes, this_process

POLL_SECONDS = 0.2
"""How often the caller is asked whether to stop, while stacks train elsewhere."""


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes
    ----------
    stacks_done, stacks : int
        Stacks that are through, and all of them.
    epochs_done, epochs : int
        Epochs that are through, and those of all stacks; of a stack that trains in another
        process they count once it is through.
    """

    stacks_done: int
    stacks: int
    epochs_done: int
    epochs: int


OnProgress = Callable[[SweepProgress], bool | None]


class Reporter:
    """Tells the caller how far a sweep is, and remembers whether it asked to stop.

    Parameters
    ----------
    on_progress : callable, optional
        Whom to tell; it returns True to stop.
    n_stacks, n_done : int
        Stacks of the sweep, and those that are through already.
    epochs : int
        Epochs a stack has at most.
    """

    def __init__(
        self, on_progress: OnProgress | None, n_stacks: int, n_done: int, epochs: int
    ) -> None:
        self._on_progress, self._n_stacks, self._n_done = on_progress, n_stacks, n_done
        self._epochs = epochs
        self._wants_stop = False

    def on_leg(self, epochs: range) -> bool:
        """Tell of some epochs of the stack that trains in this process."""
        return self._tell(epochs.stop)

    def stack_done(self) -> None:
        """Count one stack more."""
        self._n_done += 1

    def wants_stop(self) -> bool:
        """Tell how things stand, and return whether to stop."""
        return self._tell(0)

    def _tell(self, epochs_of_stack: int) -> bool:
        progress = SweepProgress(
            self._n_done,
            self._n_stacks,
            self._n_done * self._epochs + epochs_of_stack,
            self._n_stacks * self._epochs,
        )
        if self._on_progress is not None and self._on_progress(progress):
            self._wants_stop = True
        return self._wants_stop


@dataclass(frozen=True)
class Driver:
    """What it takes to get stacks trained and written.

    Attributes
    ----------
    config : ExperimentConfig
        The config of the sweep.
    splits : Splits
        Its data.
    writer : SweepWriter
        Its folder.
    workers : Workers
        Who trains.
    reporter : Reporter
        Whom to tell.
    """

    config: ExperimentConfig
    splits: Splits
    writer: SweepWriter
    workers: Workers
    reporter: Reporter

    def drive(self, stacks: Sequence[Stack]) -> None:
        """Get these stacks trained, write each as soon as it is, and close the sweep's folder."""
        with self.writer.marks_failure():
            for stack, future in self._trained(stacks):
                self._write(stack, future)
            self.writer.close()

    def _trained(
        self, stacks: Sequence[Stack]
    ) -> "Iterator[tuple[Stack, Future[TrainedStack | None]]]":
        """Yield each stack once its future is done, until all are, or the caller wants to stop."""
        waiting = deque(stacks)
        under_way: dict[Future[TrainedStack | None], Stack] = {}
        n_at_once = self.workers.n_at_once or len(stacks)
        while not self.reporter.wants_stop() and (waiting or under_way):
            while waiting and len(under_way) < n_at_once:
                stack = waiting.popleft()
                under_way[self.workers.submit(self.config, stack)] = stack
            done, _ = wait(under_way, POLL_SECONDS, FIRST_COMPLETED)
            yield from ((under_way.pop(future), future) for future in done)

    def _write(self, stack: Stack, future: "Future[TrainedStack | None]") -> None:
        """Write the members of a stack, or why there are none."""
        try:
            trained = future.result()
        except Exception as error:  # whatever it is, the other stacks go on
            known = isinstance(error, MnistlinError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            self.writer.add_failure(stack.l2_lambdas, stack.seed, reason)
        else:
            if trained is None:  # it was asked to stop
                return
            runs = {key: self._member(stack, trained, i) for i, key in enumerate(stack.keys)}
            self.writer.add(runs)
        self.reporter.stack_done()

    def _member(self, stack: Stack, trained: TrainedStack, i: int) -> Run:
        """Write the run folder of one member of a stack."""
        path = self.writer.path / member_name(stack.keys[i])
        with os_errors_as_run_errors("make the folder", path):
            path.mkdir()
        config = member_config(self.config, *stack.keys[i])
        schedule = setup_for(config, self.splits, stack.l2_lambdas).schedule
        origin = {"command": this_command(), "stack": stack.described(self.writer.path.name)}
        run_writer = RunWriter(path, config, trained.info | origin, schedule.steps_per_epoch)
        member = trained.members[i]
        with run_writer.marks_failure():
            run_writer.append(member)
            conclude(run_writer, self.splits, member, member.checks, trained.train_seconds)
        return load_run(path)


def run_sweep(
    config: ExperimentConfig,
    runs_dir: str | Path,
    on_progress: OnProgress | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Sweep:
    """Train every λ with every seed, and write a folder with a run folder for each.

    Parameters
    ----------
    config : ExperimentConfig
        What to train, with a section `sweep`.
    runs_dir : str or Path
        Where the folder is made.
    on_progress : callable, optional
        Called again and again; if it returns True, the sweep ends there and its status is
        `interrupted`.
    jobs : int
        How many processes train; 1 trains in this one. They are spawned, so a script that calls
        this needs `if __name__ == "__main__":`.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster, which then trains.

    Returns
    -------
    Sweep
        The folder, whatever its status: `finished`, `partly_failed`, `interrupted`.

    Raises
    ------
    ConfigError
        If the config asks for no sweep, or does not fit the data.
    DataError
        If the data is missing or wrong.
    RunError
        If something cannot be written, or no cluster is there.
    """
    stacks = stacks_of(config)
    splits = load_splits(config.data)
    _ = setup_for(config, splits, stacks[0].l2_lambdas).schedule  # refuses too large a batch
    reporter = Reporter(on_progress, len(stacks), 0, config.training.epochs)
    with _workers(splits, reporter, jobs, scheduler) as workers:
        path = make_folder(Path(runs_dir), f"sweep-lambda_{config.name}")
        with sole_writer(path):
            writer = SweepWriter(path, config, describe_run(splits, config))
            Driver(config, splits, writer, workers, reporter).drive(stacks)
    return load_sweep(path)


def resume_sweep(
    path: str | Path,
    on_progress: OnProgress | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Sweep:
    """Train the stacks of a sweep that are not complete, to the bytes of an unbroken sweep.

    Parameters
    ----------
    path : str or Path
        The folder of the sweep. A stack counts if all of its members are there; of any other, what
        is there is removed, and all of it trained again.
    on_progress, jobs, scheduler
        As for `run_sweep`.

    Returns
    -------
    Sweep
        As `run_sweep` does; its sweep.json lists under `resumed` each time it was gone on with.

    Raises
    ------
    RunError
        If it is not the folder of a sweep, is being written, or its config was changed.
    DataError
        If the data is missing, or is not the data that the sweep began with.
    """
    path = Path(path)
    load_sweep(path)  # before the lock, which leaves its mark in whatever folder this is
    with sole_writer(path):
        sweep = load_sweep(path)
        check_config_is_unchanged(path, sweep.info, sweep.config)
        config, stacks = sweep.config, stacks_of(sweep.config)
        splits = load_splits(config.data)
        info = resumed_info(path, sweep.info, describe_run(splits, config))
        complete = [stack for stack in stacks if _is_complete(stack, sweep)]
        missing = [stack for stack in stacks if stack not in complete]
        reporter = Reporter(on_progress, len(stacks), len(complete), config.training.epochs)
        with _workers(splits, reporter, jobs, scheduler) as workers:
            _remove_members(path, missing)
            writer = SweepWriter(path, config, info)
            writer.add({key: sweep.members[key] for stack in complete for key in stack.keys})
            Driver(config, splits, writer, workers, reporter).drive(missing)
    return load_sweep(path)


def _workers(
    splits: Splits, reporter: Reporter, jobs: int, scheduler: str | None
) -> AbstractContextManager[Workers]:
    if scheduler is not None:
        return dask_cluster(scheduler, splits)
    return processes(jobs) if jobs > 1 else this_process(splits, reporter.on_leg)


def _is_complete(stack: Stack, sweep: Sweep) -> bool:
    """Say whether all members are there, and were trained in a stack like this."""
    runs = [sweep.members.get(key) for key in stack.keys]
    described = stack.described(sweep.path.name)
    return all(run is not None and run.info.get("stack") == described for run in runs)


def _remove_members(path: Path, stacks: Sequence[Stack]) -> None:
    for stack in stacks:
        for key in stack.keys:
            folder = path / member_name(key)
            with os_errors_as_run_errors("remove", folder):
                if folder.exists():
                    shutil.rmtree(folder)
