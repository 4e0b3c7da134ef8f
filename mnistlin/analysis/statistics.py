"""Means, intervals and tests of a few paired numbers. What the numbers are is not known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
"""Of intervals; one minus it is the level of tests."""

NO_SPREAD = 1e-12
"""A standard deviation up to this is rounding."""


@dataclass(frozen=True)
class Mean:
    """A mean, and how its values spread.

    Attributes
    ----------
    mean : float
        Of the values.
    sd : float, optional
        Their standard deviation (divided by n - 1); None for a single value.
    """

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[Any]) -> "Mean":
        """Return the mean of at least one value."""
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), sd)


@dataclass(frozen=True)
class Interval:
    """A mean with its t-interval, and how probable so large a one is by chance.

    Attributes
    ----------
    low, high : float
        Ends of the interval that holds the true mean with probability CONFIDENCE.
    p_value : float
        Of the two-sided t-test that the true mean is 0.
    """

    low: float
    high: float
    p_value: float


def t_interval(values: Sequence[float] | NDArray[Any]) -> Interval | None:
    """Return the t-interval of the mean of some values (Student 1908).

    For differences of pairs this is the paired interval.

    Parameters
    ----------
    values : sequence of float
        Independent, and normal or nearly so.

    Returns
    -------
    Interval, optional
        None for fewer than two values, and for values without any spread, which tell nothing of
        how far chance could have moved them.
    """
    found = Mean.of(values)
    if found.sd is None or found.sd <= NO_SPREAD:
        return None
    n = len(values)
    error = found.sd / np.sqrt(n)
    t = stats.t(n - 1)
    margin = t.isf((1 - CONFIDENCE) / 2) * error
    p_value = 2 * t.sf(abs(found.mean) / error)
    return Interval(float(found.mean - margin), float(found.mean + margin), float(p_value))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method (Holm 1979).

    Of all hypotheses whose corrected value is below α, the probability that any is true is below α.

    Parameters
    ----------
    p_values : sequence of float
        One for each hypothesis.

    Returns
    -------
    list of float
        Corrected, in the same order; never smaller than before, at most 1.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected
