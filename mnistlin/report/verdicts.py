"""A published number against the measured one: they agree, differ, or the seeds cannot tell.

The rule, once: what differs by no more than the tolerance agrees. What differs by more, but by no
more than one further seed could make it, is not resolved. Statements are judged in `claims`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from mnistlin.analysis.statistics import CONFIDENCE, Mean

Verdict: TypeAlias = Literal["agrees", "differs", "not resolved by these seeds", "-"]
NOT_RESOLVED: Verdict = "not resolved by these seeds"

ROUNDING = 1e-9
"""Differences up to this come of writing numbers in decimals."""


@dataclass(frozen=True)
class Row:
    """A row of the table of published and measured.

    Attributes
    ----------
    part : str
        Where it belongs.
    claim, published, measured, difference : str
        In words and digits.
    verdict : str
        What comes of it; "-" where the published number is about other data.
    note : str
        Why, where that needs saying.
    """

    part: str
    claim: str
    published: str
    measured: str
    difference: str
    verdict: Verdict
    note: str = ""


def judge(
    values: Sequence[float], published: float, tolerance: float, *, by_chance: bool
) -> Verdict:
    """Compare measured values with a published one, which was measured once.

    Parameters
    ----------
    values : sequence of float
        A value a seed, at least one.
    published : float
        The value to compare with.
    tolerance : float
        Up to this difference they agree.
    by_chance : bool
        Whether the published value may come from another seed than ours.
    """
    excess = abs(float(np.mean(values)) - published) - tolerance
    if excess <= ROUNDING:
        return "agrees"
    if not by_chance:
        return "differs"
    margin = prediction_margin(values)
    return NOT_RESOLVED if margin is None or excess <= margin else "differs"


def prediction_margin(values: Sequence[float]) -> float | None:
    """Return how far from the mean of some values one more is, with probability CONFIDENCE.

    Half of the prediction interval of Student's t; None for a single value, which tells nothing of
    how far chance moves it.
    """
    found, n = Mean.of(values), len(values)
    if found.sd is None:
        return None
    return float(stats.t(n - 1).isf((1 - CONFIDENCE) / 2) * found.sd * np.sqrt(1 + 1 / n))
