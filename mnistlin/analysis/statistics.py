"""Means, intervals and tests of a few paired numbers. What the numbers are is not known here.

Fractions of images, and two classifiers compared on the same images. Only counts go in.

"Paired" means judged on the same images: most of these are easy or hard for both classifiers, and
only those on which one is right and the other wrong tell them apart.

How numbers are written in the report: percentages with a space, true minus signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

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


POWER = 0.80
"""Probability with which a real gap should be found, by convention."""


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the score interval of a fraction (Wilson 1927).

    Unlike fraction ± 1.96 sd it stays within [0, 1] and is not empty at its ends.

    Parameters
    ----------
    n_right, n : int
        How many of how many; at least one.
    """
    interval = stats.binomtest(n_right, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class PairedCounts:
    """On how many images two classifiers A and B are right.

    Attributes
    ----------
    both, only_a, only_b, neither : int
        Images on which both are right, only A, only B, or none of them.
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    @classmethod
    def of(cls, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> "PairedCounts":
        """Count, from which images A and B are right on, both of shape (n,)."""
        both, only_a, only_b, neither = (int((x & y).sum()) for x in (a, ~a) for y in (b, ~b))
        return cls(both, only_a, only_b, neither)

    @property
    def n(self) -> int:
        """All images."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def discordance(self) -> float:
        """Fraction of images on which only one is right."""
        return (self.only_a + self.only_b) / self.n

    @property
    def difference(self) -> float:
        """Accuracy of A minus that of B."""
        return (self.only_a - self.only_b) / self.n

    @property
    def p_value(self) -> float:
        """Probability of so large a difference, or a larger one, if A and B were equally good.

        Then either would be right as often as the other where they disagree (McNemar 1947); the
        binomial distribution of that is taken as it is, not by its normal approximation.
        """
        n_disagreements = self.only_a + self.only_b
        if not n_disagreements:
            return 1.0
        return float(stats.binomtest(self.only_a, n_disagreements).pvalue)

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the difference (Newcombe 1998, paired data, method 10).

        It joins the Wilson intervals of the two accuracies, less what they share: the correlation
        φ of A being right and B being right, corrected for continuity.
        """
        right_a, right_b = self.both + self.only_a, self.both + self.only_b
        a, b = right_a / self.n, right_b / self.n
        (low_a, high_a), (low_b, high_b) = (
            wilson_interval(right, self.n) for right in (right_a, right_b)
        )
        phi = self._correlation()

        def joined(x: float, y: float) -> float:
            return float(np.sqrt(max(0.0, x**2 - 2 * phi * x * y + y**2)))

        below, above = joined(a - low_a, high_b - b), joined(high_a - a, b - low_b)
        return self.difference - below, self.difference + above

    @property
    def smallest_gap(self) -> float | None:
        """Difference of accuracies that so many images find with probability POWER.

        It solves n δ² = (z₁ √ψ + z₂ √(ψ - δ²))² with the discordance ψ that was found and the
        normal quantiles z of the level and of the power (Connor 1987). A gap needs at least as many
        disagreements, so ψ is δ where it would be less. None if so few images find no gap at all.
        """
        z_level, z_power = (float(stats.norm.isf(p)) for p in ((1 - CONFIDENCE) / 2, 1 - POWER))

        def excess(delta: float) -> float:
            psi = max(self.discordance, delta)
            noise = z_level * np.sqrt(psi) + z_power * np.sqrt(psi - delta**2)
            return float(np.sqrt(self.n) * delta - noise)

        tiny = 1e-3 / self.n
        return float(optimize.brentq(excess, tiny, 1.0)) if excess(1.0) > 0 else None

    def _correlation(self) -> float:
        """Return φ of the four counts; 0 if a classifier is always right or always wrong."""
        a, b, c, d = self.both, self.only_a, self.only_b, self.neither
        margins = float(a + b) * float(c + d) * float(a + c) * float(b + d)
        product = float(a * d - b * c)
        if product > 0:
            product = max(product - self.n / 2, 0.0)
        return product / margins**0.5 if margins else 0.0


def written(value: float, fmt: str) -> str:
    """Return a number in a format such as ".4f", or ".2%" for a fraction as a percentage."""
    return f"{value:{fmt}}".replace("-", "−").replace("%", " %")


def signed(value: float, fmt: str) -> str:
    """Return a number with its sign; what is written as 0 has none."""
    text = f"{value:+{fmt}}"
    return written(0, fmt) if not float(text.rstrip("%")) else text.replace("-", "−")


def with_spread(values: Sequence[float] | Mean | None, fmt: str) -> str:
    """Return the mean of some values ± their standard deviation, which a single one has not."""
    if values is None:
        return "-"
    found = values if isinstance(values, Mean) else Mean.of(values)
    mean = written(found.mean, fmt)
    if found.sd is None:
        return mean
    unit = " %" if mean.endswith(" %") else ""
    return f"{mean.removesuffix(unit)} ± {written(found.sd, fmt)}"
