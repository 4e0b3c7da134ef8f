"""Training of runs side by side, in processes that import no more than this."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import SplitLoader
from mnistlin.experiment import run_experiment
from mnistlin.sweep.workers import Configs, processes

_POLL_SECONDS = 0.2

_loader = SplitLoader()


def train_side_by_side(
    configs: Sequence[ExperimentConfig], runs_dir: Path, n_jobs: int
) -> Iterator[list[int]]:
    """Train a run of each config; yield the indices of those that have ended, or none, repeatedly.

    How a run ended is in its folder. Those whose process fails or dies are left out; those that
    have not ended when the caller stops are unfinished, as after a kill.

    Raises
    ------
    RunError
        If processes cannot be started.
    """
    with processes(min(n_jobs, len(configs)), partial(_train, runs_dir)) as workers:
        for ended in workers.results([(config,) for config in configs], _POLL_SECONDS):
            yield [i for i, result in ended.items() if result.exception() is None]


def _train(runs_dir: Path, configs: Configs) -> None:
    (config,) = configs
    run_experiment(config, runs_dir, data=_loader.load(config.data, training=config.training))
