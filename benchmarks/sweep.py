"""What a sweep costs: `python -m benchmarks.sweep`.

Prints ratios of times of jobs that alternate for several rounds, so that a machine whose speed
drifts is equally unfair to both sides; medians. Needs MNIST: `mnistlin data fetch mnist`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from mnistlin.config import ExperimentConfig, SweepConfig, load_config
from mnistlin.data.splits import Splits, load_splits
from mnistlin.experiment import setup_for
from mnistlin.sweep import run_sweep
from mnistlin.sweep.plan import stacked
from mnistlin.training.sgd import train

L2_LAMBDAS = (1.0, 0.1, 0.01, 0.001, 0.0)
WIDTHS = (1, 2, 5, 10, 20, 40)

Job = Callable[[], object]


def main() -> None:
    """Measure, and print a line for each ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--widths", action="store_true", help="also the time per model by width")
    rounds, epochs, widths = vars(parser.parse_args()).values()
    config = load_config("softmax", [f"training.epochs={epochs}"])
    rarely = load_config("softmax", [f"training.epochs={epochs}", "training.checks_per_epoch=1"])
    splits = load_splits(config.data)

    def five_alone() -> None:
        for l2_lambda in L2_LAMBDAS:
            train_stack(config, splits, (l2_lambda,))

    _print_ratio(
        "5 λ in one stack / five runs of one λ",
        lambda: train_stack(config, splits, L2_LAMBDAS),
        five_alone,
        rounds,
    )
    _print_ratio(
        "5 λ in one stack / one λ, one check per epoch",
        lambda: train_stack(rarely, splits, L2_LAMBDAS),
        lambda: train_stack(rarely, splits, (0.0,)),
        rounds,
    )
    _print_ratio(
        "--jobs 2 / --jobs 1, 5 λ x 2 seeds, from config to folder",
        lambda: sweep(config, jobs=2),
        lambda: sweep(config, jobs=1),
        rounds,
    )
    if widths:
        _print_widths(config, splits, rounds)


def train_stack(config: ExperimentConfig, splits: Splits, l2_lambdas: tuple[float, ...]) -> None:
    """Train one stack to its end."""
    for _ in train(setup_for(stacked(config, l2_lambdas), splits)):
        pass


def sweep(config: ExperimentConfig, jobs: int) -> None:
    """Run a sweep of two seeds in a temporary folder."""
    settings = SweepConfig(l2_lambdas=L2_LAMBDAS, seeds=(0, 1))
    with tempfile.TemporaryDirectory() as runs_dir:
        run_sweep(config.model_copy(update={"sweep": settings}), runs_dir, jobs=jobs)


def in_turn(jobs: list[Job], rounds: int) -> list[float]:
    """Return the median seconds of each job; the jobs alternate."""
    seconds: list[list[float]] = [[] for _ in jobs]
    for _ in range(rounds):
        for job, taken in zip(jobs, seconds, strict=True):
            began = time.perf_counter()
            job()
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in seconds]


def _print_ratio(what: str, job: Job, other: Job, rounds: int) -> None:
    seconds, others = in_turn([job, other], rounds)
    print(f"{seconds / others:.2f}  {what} ({seconds:.2f} s / {others:.2f} s)", flush=True)


def _print_widths(config: ExperimentConfig, splits: Splits, rounds: int) -> None:
    """Print the time per model in stacks of several widths, relative to one alone."""

    def job(width: int) -> Job:
        l2_lambdas = tuple(np.geomspace(1e-4, 1, width).tolist())
        return lambda: train_stack(config, splits, l2_lambdas)

    seconds = in_turn([job(width) for width in WIDTHS], rounds)
    a_model = [taken / width for taken, width in zip(seconds, WIDTHS, strict=True)]
    for width, taken in zip(WIDTHS, a_model, strict=True):
        print(f"{taken / a_model[0]:.2f}  time per model, in a stack of {width} / alone")


if __name__ == "__main__":
    main()
