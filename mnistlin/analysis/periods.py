"""After how many steps does the fluctuation of a run repeat? Predicted by config, and measured.

Without shuffling every epoch has the same batches in the same order. A check comes every few steps
only, so a check follows the same batch again when both counts coincide: every lcm(steps per epoch,
steps between checks) steps.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mnistlin.analysis.result import TooShortError
from mnistlin.config import TrainingConfig
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run
from mnistlin.training.schedule import Schedule

FIRST_CHECKS = 31
"""Checks at the start that are left out, because everything changes quickly there."""

WINDOW = 31
"""Checks in the running mean that is subtracted, so that only the fluctuation is left."""

REPEATS = 4
"""How often a period must fit into the checks to be found."""

MIN_CHECKS = 120
"""Minimum number of checks: with fewer, chance alone gives high correlations."""

MIN_CORRELATION = 0.6
"""If no lag has more than this, there is no period. A repeated order gives 0.9 or more; moving
averages of noise, which repeat nothing, exceed 0.6 in at most 4 % of runs with 181 checks."""

FALLEN = 0.2
"""A period is looked for after the correlation has first fallen below this: a slow drift keeps
neighbouring checks correlated, and repeats nothing."""

NEARLY = 0.05
"""A lag whose correlation is this close to the highest counts as much; the smallest is the period,
for its multiples repeat the pattern as well."""

N_DIPS = 8
SHALLOW = 4
"""If there is a period, its dips are at least the depth of the deepest one divided by this."""

DEEP = 5.0
"""Without a period, dips are this many (robust) standard deviations below the running mean."""

NO_SPREAD = 1e-20
"""A sum of squares up to this is rounding."""


@dataclass(frozen=True)
class ExpectedPeriod:
    """The period that follows from the config and the number of training images alone."""

    steps_per_epoch: int
    check_every: int
    period: int | None
    """Steps after which a check follows the same batch again. None if the batches are shuffled, and
    if every check follows the same one."""

    @property
    def lag(self) -> int | None:
        """The period in checks."""
        return None if self.period is None else self.period // self.check_every

    def lcm(self) -> str:
        """Return the period as a formula: lcm(31, 6) = 186 steps."""
        return f"lcm({self.steps_per_epoch}, {self.check_every}) = {self.period:,} steps"


@dataclass(frozen=True)
class MeasuredPeriod:
    """The period in metrics.csv, found without the config.

    `deviation` is the validation accuracy minus its running mean at `steps`, (n,), and
    `correlation` its correlation with itself (Pearson) shifted by 1, 2, ... checks.
    """

    steps: NDArray[np.int64]
    deviation: NDArray[np.float64]
    correlation: NDArray[np.float64]
    spacing: int
    """Steps from a check to the next."""
    lag: int | None
    """The period in checks; None if there is none."""

    @property
    def period(self) -> int | None:
        """The period in steps."""
        return None if self.lag is None else self.lag * self.spacing

    @property
    def max_lag(self) -> int:
        """The longest period, in checks, that this run can show."""
        return len(self.correlation)

    @property
    def highest_correlation(self) -> float:
        """That of the period; without one, the highest after the first fall."""
        if self.lag is not None:
            return float(self.correlation[self.lag - 1])
        return float(self.correlation[_after_first_fall(self.correlation) :].max(initial=0.0))

    def deepest_dips(self) -> NDArray[np.int64]:
        """Return the steps of the N_DIPS deepest dips at most, in order."""
        deepest = np.argsort(self.deviation, kind="stable")[:N_DIPS]
        limit = float(self.deviation.min()) / SHALLOW
        if self.lag is None:
            median_deviation = np.median(np.abs(self.deviation - np.median(self.deviation)))
            sd = float(median_deviation / scipy.special.ndtri(0.75))  # if it is normal
            limit = -DEEP * max(sd, NO_SPREAD)
        return np.sort(self.steps[deepest[self.deviation[deepest] <= limit]])


def predict_period(training: TrainingConfig, n_train: int) -> ExpectedPeriod:
    """Return the period that training on n_train images must have.

    Raises
    ------
    ConfigError
        If a batch is larger than the training set.
    """
    plan = Schedule.of(training, n_train, n_rows=1, stops_early=False)
    period = math.lcm(plan.steps_per_epoch, plan.check_every)
    has_period = not training.shuffle and period > plan.check_every
    return ExpectedPeriod(plan.steps_per_epoch, plan.check_every, period if has_period else None)


def checks_for(lag: int) -> int:
    """Return how many checks a run needs to show a period of some checks."""
    return FIRST_CHECKS + WINDOW - 1 + max(MIN_CHECKS, REPEATS * lag)


def measure_period(run: Run) -> MeasuredPeriod:
    """Return the period of a run's validation accuracy.

    Raises
    ------
    RunError
        If the run has too few checks, or metrics.csv cannot be read.
    """
    steps, accuracy, spacing = _evenly_spaced(run)
    n_needed = checks_for(1)
    if len(steps) < n_needed:
        raise TooShortError(
            run.path,
            f"{len(steps)} checks are too few to look for a period; train for more epochs, so that "
            f"there are {n_needed} or more",
        )
    half = WINDOW // 2
    accuracy = accuracy[FIRST_CHECKS:]
    mean = np.convolve(accuracy, np.full(WINDOW, 1 / WINDOW), mode="valid")
    deviation = accuracy[half:-half] - mean
    lags = range(1, len(deviation) // REPEATS + 1)
    correlation = np.array([_autocorrelation(deviation, lag) for lag in lags])
    steps = steps[FIRST_CHECKS:][half:-half]
    return MeasuredPeriod(steps, deviation, correlation, spacing, _first_period(correlation))


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


def _after_first_fall(correlation: NDArray[np.float64]) -> int:
    """Return the index of the first correlation below FALLEN, or their number."""
    fallen = np.flatnonzero(correlation < FALLEN)
    return int(fallen[0]) if len(fallen) else len(correlation)


def _first_period(correlation: NDArray[np.float64]) -> int | None:
    """Return the smallest lag of nearly the highest local maximum after the first fall."""
    padded = np.pad(correlation, 1, constant_values=-1.0)
    is_peak = (correlation >= padded[:-2]) & (correlation >= padded[2:])
    is_peak[: _after_first_fall(correlation)] = False
    heights = np.where(is_peak, correlation, -1.0)
    if heights.max(initial=-1.0) < MIN_CORRELATION:
        return None
    return int(np.flatnonzero(heights >= heights.max() - NEARLY)[0]) + 1


@dataclass(frozen=True)
class LossByPosition:
    """The mean batch loss at each position of an epoch, without the trend over the steps.

    `mean` and its standard error `error`, (steps_per_epoch,), are in nats and before the update of
    the step; so they tell of the step before it as much as of the batch.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    p_value: float
    """p-value of equal means at all positions (analysis of variance)."""


def loss_by_position(run: Run, steps_per_epoch: int) -> LossByPosition:
    """Average the batch losses of a run by their position in the epoch, over all but the first.

    Raises
    ------
    RunError
        If the run has fewer than four whole epochs, or steps.csv cannot be read.
    """
    late = run.steps["batch_loss"][steps_per_epoch:]
    is_odd = steps_per_epoch % 2
    window = np.ones(steps_per_epoch + 1 - is_odd)  # a running mean over one whole epoch, centred
    window[[0, -1]] = 1.0 if is_odd else 0.5
    n_rows = (len(late) - len(window) + 1) // steps_per_epoch
    if n_rows < 2:
        raise TooShortError(run.path, "it takes four whole epochs to compare their batches")
    first, n = steps_per_epoch // 2, n_rows * steps_per_epoch
    trend = np.convolve(late, window / steps_per_epoch, mode="valid")[:n]
    residual = (late[first : first + n] - trend).reshape(n_rows, steps_per_epoch)
    residual = np.roll(residual, first, axis=1)  # its columns began in the middle of an epoch
    error = residual.std(axis=0, ddof=1) / np.sqrt(n_rows)
    mean = residual.mean(axis=0)
    return LossByPosition(mean + late.mean(), error, _p_value_of_positions(residual))


def _p_value_of_positions(residual: NDArray[np.float64]) -> float:
    """Return the p-value that all columns of residuals, (n_epochs, n_positions), have one mean.

    The trend has taken one degree of freedom per epoch from them, as in a two-way analysis.
    """
    n_epochs, n_positions = residual.shape
    mean = residual.mean(axis=0)
    between = n_epochs * float(((mean - mean.mean()) ** 2).sum())
    within = float(((residual - mean) ** 2).sum()) / (n_epochs - 1)
    if n_positions == 1 or between <= NO_SPREAD:
        return 1.0
    if within <= NO_SPREAD:
        return 0.0
    freedom = n_positions - 1
    return float(scipy.special.fdtrc(freedom, freedom * (n_epochs - 1), between / within))
