"""`check-gradients`: does the trainer step along the gradient of the objective?

Its steps are compared with central differences. Both heads are checked on real images, for several
λ (report parts 1a, 1b and 4a).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.config import DataConfig, TrainingConfig
from mnistlin.data.splits import Split, SplitLoader
from mnistlin.model.heads import HEADS, Head
from mnistlin.model.linear import objective, stack
from mnistlin.model.products import Floats
from mnistlin.training.batches import PixelReader
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MemberState
from mnistlin.training.sgd import Stack

_DIFFERENCE = 1e-5
"""Step h of the differences: their error, h² J''' / 6, is then about that of rounding, ε J / h."""

_MODELS_AT_ONCE = 20
_L2_LAMBDAS = (0.0, 0.01, 1.0)
_N_IMAGES = 128
"""Batch size of the shipped configs: BLAS may use other code for other sizes."""


@dataclass(frozen=True)
class GradientCheck:
    """How the gradient of a trained step compares with the numeric one.

    `relative_error` is max |analytic - numeric| / max |analytic| over all coordinates, which are
    the weights including the biases. `loss_at_zero` is C at zero weights, in nats.
    """

    head: str
    l2_lambda: float
    n_coordinates: int
    relative_error: float
    loss_at_zero: float
    expected_loss_at_zero: float

    @property
    def passed(self) -> bool:
        """Whether both agree, to 1e-7 and to rounding."""
        loss_error = abs(self.loss_at_zero - self.expected_loss_at_zero)
        return self.relative_error < 1e-7 and loss_error < 1e-12


@dataclass(frozen=True)
class GradientChecks(Result):
    """The checks of both heads with each λ."""

    dataset: str
    checks: tuple[GradientCheck, ...]

    title = "Numeric gradient checks"
    stem = "gradients"

    @property
    def passed(self) -> bool:
        """Whether all agree."""
        return all(check.passed for check in self.checks)

    def values(self) -> Values:
        """Return whether all agree."""
        return {"dataset": self.dataset, "passed": self.passed}

    def tables(self) -> Tables:
        """Return one row per head and λ."""
        rows = [
            {
                "head": check.head,
                "l2_lambda": check.l2_lambda,
                "weights": check.n_coordinates,
                "relative_error": check.relative_error,
                "loss_at_zero": check.loss_at_zero,
                "expected": check.expected_loss_at_zero,
                "verdict": "ok" if check.passed else "WRONG",
            }
            for check in self.checks
        ]
        return {"gradients": rows}


def check_gradients(data: DataConfig) -> GradientChecks:
    """Check the gradient of each head on the first images of a training set, for λ 0, 0.01 and 1.

    A head with a maximum number of classes takes the first ones.

    Raises
    ------
    DataError, ConfigError
        If the data is missing, wrong, or does not fit.
    """
    split = SplitLoader().load(data).train  # its own, so that all images are freed afterwards
    checks = [
        check
        for head in HEADS.values()
        for check in _checks_of(head, _first_images(split, head.max_classes))
    ]
    return GradientChecks(data.dataset, tuple(checks))


def _checks_of(head: Head, split: Split) -> Iterator[GradientCheck]:
    """Compare a step of the trainer on all images with (J(W + h) - J(W - h)) / 2h, for each λ."""
    training = TrainingConfig(
        epochs=1, batch_size=split.n_samples, learning_rate=1.0, shuffle=False, dtype="float64"
    )
    setup = Setup(split, split, head, training, None, (0.0,))
    weights = np.random.default_rng(0).normal(scale=0.1, size=setup.weights_shape)
    W = stack(weights)
    numerics, loss_at_zero = _central_differences(setup, W)
    for l2_lambda, numeric in zip(_L2_LAMBDAS, numerics, strict=True):
        trainer = Stack(replace(setup, l2_lambdas=(l2_lambda,)), MemberState.starting_at(weights))
        analytic = W - trainer.train(range(1)).weights  # the learning rate is 1
        error = np.abs(analytic - numeric).max() / np.abs(analytic).max()
        yield GradientCheck(
            head=head.name,
            l2_lambda=l2_lambda,
            n_coordinates=W.size,
            relative_error=float(error),
            loss_at_zero=loss_at_zero,
            expected_loss_at_zero=head.loss_at_zero(setup.n_classes),
        )


def _first_images(split: Split, max_classes: int | None) -> Split:
    """Return the first images of a split, of its first classes if there are too many."""
    classes = split.classes[:max_classes]
    kept = np.flatnonzero(split.targets < len(classes))[:_N_IMAGES]
    return replace(split, rows=split.rows[kept], targets=split.targets[kept], classes=classes)


def _central_differences(setup: Setup, W: Floats) -> tuple[NDArray[np.float64], float]:
    """Return the numeric gradients at W, (n_lambdas, *W.shape), and J at zero weights.

    The moved copies of W are evaluated as stacks of models, and each of them for all λ.
    """
    split, head, l2_lambdas = setup.train, setup.head, np.array(_L2_LAMBDAS)[:, None]
    X = PixelReader(split, split.n_samples, "float64").read(split.rows)
    Y = head.one_hot(split.targets, setup.n_classes, "float64")
    numeric = np.empty((len(l2_lambdas), W.size))
    for first in range(0, W.size, _MODELS_AT_ONCE):
        moved = np.arange(first, min(first + _MODELS_AT_ONCE, W.size))
        step = np.zeros((len(moved), W.size))
        step[np.arange(len(moved)), moved] = _DIFFERENCE
        step = step.reshape(-1, *W.shape[1:])
        above = objective(head, W + step, X, Y, l2_lambdas)
        below = objective(head, W - step, X, Y, l2_lambdas)
        numeric[:, moved] = (above - below) / (2 * _DIFFERENCE)
    at_zero = objective(head, np.zeros_like(W), X, Y, l2_lambdas[0])
    return numeric.reshape(-1, *W.shape), float(at_zero[0])
