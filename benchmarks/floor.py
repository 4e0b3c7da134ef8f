"""How near a training step is to what it cannot avoid: `python -m benchmarks.floor`.

Beside the steps of the trainer, two floors are timed: reading the same batches and taking the two
products of a step, and all calls of a step on batches of one image of one pixel, where there is
nothing to compute. They run in turn, round after round; the medians are shown.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.workloads import Workload, all_workloads
from mnistlin.model.products import product
from mnistlin.training.batches import PixelReader
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MemberState
from mnistlin.training.sgd import Stack


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--dataset", default="mnist")
    options = parser.parse_args()
    print("| workload | step (µs) | batch and products (µs) | calls alone (µs) |")
    print("|---|--:|--:|--:|")
    for name, workload in all_workloads(options.dataset).items():
        with threadpool_limits(1, "blas"):
            rounds = [microseconds(workload, options.steps) for _ in range(options.rounds)]
        medians = map(statistics.median, zip(*rounds, strict=True))
        print(f"| {name} | {' | '.join(f'{each:.0f}' for each in medians)} |")


def microseconds(workload: Workload, n_steps: int) -> Sequence[float]:
    """Return the time of a step, of its batch and products alone, and of its calls alone."""
    setup, size = workload.setup, workload.config.training.batch_size
    batches = np.resize(workload.batches(epoch=0), (n_steps, size))
    seconds = (
        _steps(setup, batches),
        _products(setup, batches),
        _steps(*_of_one_pixel(setup, n_steps)),
    )
    return [1e6 * each / n_steps for each in seconds]


def _steps(setup: Setup, batches: np.ndarray) -> float:
    """Return the seconds of a step of the trainer on each batch, (n_steps, batch_size)."""
    dtype = setup.training.dtype
    stack = Stack(setup, MemberState.at_zero(setup.weights_shape, dtype))
    Y = setup.head.one_hot(setup.train.targets[batches], setup.n_classes, dtype)
    started = time.perf_counter()
    for rows, of_batch in zip(setup.train.rows[batches].astype(np.intp), Y, strict=True):
        stack.step(rows, of_batch)
    return time.perf_counter() - started


def _products(setup: Setup, batches: np.ndarray) -> float:
    """Return the seconds of reading each batch and taking the two products of a step with it."""
    dtype, (n_weights, n_outputs) = setup.training.dtype, setup.weights_shape
    reader = PixelReader(setup.train, batches.shape[1], dtype)
    W = np.ones((len(setup.l2_lambdas), n_outputs, n_weights), dtype)
    R = np.ones((*W.shape[:2], batches.shape[1]), dtype)
    started = time.perf_counter()
    for rows in setup.train.rows[batches].astype(np.intp):
        P = reader.read(rows).P
        product(W, P.T)
        product(R, P)
    return time.perf_counter() - started


def _of_one_pixel(setup: Setup, n_steps: int) -> tuple[Setup, np.ndarray]:
    """Return a setup with the same calls and nothing to compute, and its batches of one image."""
    images = np.ascontiguousarray(setup.train.images[:, :1])
    train = replace(setup.train, images=images, image_shape=(1, 1))
    training = setup.training.model_copy(update={"batch_size": 1})
    return replace(setup, train=train, training=training), np.zeros((n_steps, 1), np.intp)


if __name__ == "__main__":
    main()
