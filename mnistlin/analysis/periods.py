"""After how many steps do a run's ups and downs repeat? One period is predicted, one measured.

Without shuffle every epoch has the same batches in the same order, and some of them are harder
than others. Accuracy is looked at every few steps only, so a check meets the same place of an
epoch again when both counts come round together: every lcm(steps per epoch, steps between checks).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import TrainingConfig
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run
from mnistlin.training.schedule import Schedule

FIRST_CHECKS = 31
"""Checks at the start that are left out: everything changes quickly there."""

WINDOW = 31
"""Checks in the running mean that is subtracted, so that only ups and downs are left."""

LAGS = range(2, 61)
"""Periods, in checks, that are looked for."""

MIN_PAIRS = 31
"""Pairs of checks that a correlation is taken over at least."""

MIN_CORRELATION = 0.5
"""If no lag has more than this, there is no period."""

NEARLY = 0.05
"""A lag whose correlation is this near to the highest counts as much; the smallest is the period,
for its multiples repeat the pattern as well."""

N_DIPS = 8
SHALLOW = 4
"""A dip whose depth is less than that of the deepest one over this is noise."""


@dataclass(frozen=True)
class Prediction:
    """What the config says, with the number of training images, but without any result.

    Attributes
    ----------
    steps_per_epoch : int
        Whole batches an epoch.
    check_every : int
        Steps from a check to the next.
    period : int, optional
        Steps after which a check meets the same batch again. None if the batches are shuffled, and
        if every check meets the same one, so that there is nothing to go up and down.
    """

    steps_per_epoch: int
    check_every: int
    period: int | None


@dataclass(frozen=True)
class Measurement:
    """What metrics.csv says, without a look at the config.

    Attributes
    ----------
    steps : ndarray of shape (n,)
        Steps of the checks that are looked at.
    deviation : ndarray of shape (n,)
        Validation accuracy less its running mean.
    lags : ndarray of shape (n_lags,)
        Checks by which the deviation was shifted against itself.
    correlation : ndarray of shape (n_lags,)
        Its correlation with itself then (Pearson).
    spacing : int
        Steps from a check to the next.
    lag : int, optional
        The period in checks; None if there is none.
    """

    steps: NDArray[np.int64]
    deviation: NDArray[np.float64]
    lags: NDArray[np.intp]
    correlation: NDArray[np.float64]
    spacing: int
    lag: int | None

    @property
    def period(self) -> int | None:
        """The period in steps."""
        return None if self.lag is None else self.lag * self.spacing

    @property
    def highest_correlation(self) -> float:
        """Of all lags."""
        return float(self.correlation.max())

    def deepest_dips(self) -> NDArray[np.int64]:
        """Return the steps of the N_DIPS deepest dips at most, in order; shallow ones are none."""
        deepest = np.argsort(self.deviation, kind="stable")[:N_DIPS]
        is_deep = self.deviation[deepest] <= self.deviation.min() / SHALLOW
        return np.sort(self.steps[deepest[is_deep]])


def predict_period(training: TrainingConfig, n_train: int) -> Prediction:
    """Return the period that training on n_train images must have.

    Raises
    ------
    ConfigError
        If a batch is larger than the training set.
    """
    plan = Schedule.of(training, n_train, n_rows=1, stops_early=False)
    period = math.lcm(plan.steps_per_epoch, plan.check_every)
    has_period = not training.shuffle and period > plan.check_every
    return Prediction(plan.steps_per_epoch, plan.check_every, period if has_period else None)


def measure_period(run: Run) -> Measurement:
    """Return the period of a run's validation accuracy.

    Raises
    ------
    RunError
        If the run has too few checks, or metrics.csv cannot be read.
    """
    steps, accuracy, spacing = _evenly_spaced(run)
    n_needed = FIRST_CHECKS + WINDOW - 1 + LAGS.stop - 1 + MIN_PAIRS
    if len(steps) < n_needed:
        raise RunError(
            f"{run.path}: {len(steps)} checks are too few to look for a period; train for more "
            f"epochs, so that there are {n_needed} or more"
        )
    half = WINDOW // 2
    accuracy = accuracy[FIRST_CHECKS:]
    mean = np.convolve(accuracy, np.full(WINDOW, 1 / WINDOW), mode="valid")
    deviation = accuracy[half:-half] - mean
    correlation = np.array([_autocorrelation(deviation, lag) for lag in LAGS])
    return Measurement(
        steps[FIRST_CHECKS:][half:-half],
        deviation,
        np.array(LAGS),
        correlation,
        spacing,
        _first_high_lag(correlation),
    )


def _evenly_spaced(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return steps and accuracies of the checks, and their spacing.

    The check after the last step of all is left out if it does not fit in.
    """
    steps, accuracy = run.metrics["step"], run.metrics["val_accuracy"]
    spacing = int(steps[1] - steps[0]) if len(steps) > 1 else 1
    fits = np.ones(len(steps), dtype=bool)
    fits[1:] = np.diff(steps) == spacing
    if not fits[:-1].all():
        raise RunError(f"{run.path}: the checks in metrics.csv are not evenly spaced")
    return steps[fits], accuracy[fits], spacing


def _autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    """Return the correlation of values with themselves `lag` later; 0 if they do not vary."""
    a, b = values[:-lag], values[lag:]
    if not (a.std() and b.std()):
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _first_high_lag(correlation: NDArray[np.float64]) -> int | None:
    if correlation.max() < MIN_CORRELATION:
        return None
    return LAGS[int(np.flatnonzero(correlation >= correlation.max() - NEARLY)[0])]
