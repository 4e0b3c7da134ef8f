"""The way into a sweep: begin one, or take up one that was broken off."""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Splits, load_splits
from mnistlin.experiment import describe_run, setup_for
from mnistlin.runs.files import os_errors_as_run_errors
from mnistlin.runs.folder import make_folder
from mnistlin.runs.lock import sole_writer
from mnistlin.runs.resumption import check_config_is_unchanged, resumed_info
from mnistlin.runs.sweep_folder import Sweep, SweepWriter, load_sweep, member_name
from mnistlin.sweep.drive import Driver, OnProgress, Reporter
from mnistlin.sweep.plan import Stack, stacks_of
from mnistlin.sweep.workers import Workers, dask_cluster, processes, this_process


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
