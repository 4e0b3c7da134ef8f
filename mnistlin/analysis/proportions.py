"""Fractions of images, and two classifiers compared on the same images. Only counts go in.

"Paired" means judged on the same images: most of these are easy or hard for both classifiers, and
only those on which one is right and the other wrong tell them apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from mnistlin.analysis.statistics import CONFIDENCE

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
