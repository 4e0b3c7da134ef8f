"""Which part of the y axis curves over steps deserve. Numbers only, no drawing.

The first checks of a run are often far off from all others; shown on the same scale, they would
squash what matters into a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

SETTLED_AFTER = 0.1
"""The fraction of all steps after which a curve must fit on the axis."""

FEW_POINTS = 10
"""A curve of fewer points than this must fit whole."""

WIDE = 2.0
"""By what factor the beginning may stretch the scale and still be shown."""

HUGE_RATIO = 100.0
"""Settled losses that differ by more than this factor need a logarithmic scale."""

Curve: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Steps and values of equal length."""

MAX_VALUE = 1e30
"""Nothing that we measure is larger, and no axis can show it."""


@dataclass(frozen=True)
class Limits:
    """A range of y, without padding.

    Attributes
    ----------
    low, high : float
        Its ends.
    is_log : bool
        Whether it is so wide that a logarithmic scale is needed.
    """

    low: float
    high: float
    is_log: bool = False

    @property
    def padded(self) -> tuple[float, float]:
        """The range with some room at both ends."""
        if self.is_log:
            return self.low / 1.3, self.high * 1.3
        pad = 0.05 * (self.high - self.low) or 0.05 * abs(self.high) or 0.05
        return self.low - pad, self.high + pad


def robust_limits(
    curves: Sequence[Curve], edges: Sequence[Curve] = (), *, allows_log: bool = False
) -> Limits | None:
    """Choose the range of y in which curves are shown.

    Parameters
    ----------
    curves : sequence of (steps, values)
        Values that no axis can show, such as nan, do not count.
    edges : sequence of (steps, values)
        Edges of bands around curves, which are to be shown too. On a logarithmic scale they do not
        count, since mean - sd may be as small as it likes.
    allows_log : bool
        Whether a logarithmic scale makes sense for these values.

    Returns
    -------
    Limits, optional
        The range of all values, if it is at most WIDE times as large as that of the settled ones;
        else of the settled ones. None if there are no values.
    """
    values = _points(curves).values
    if not len(values):
        return None
    if allows_log and _span_ratio(_points(curves, settled=True).values) > HUGE_RATIO:
        positive = values[values > 0]
        return Limits(float(positive.min()), float(positive.max()), is_log=True)
    values = _points([*curves, *edges]).values
    settled = _points([*curves, *edges], settled=True).values
    fits = not len(settled) or np.ptp(values) <= WIDE * np.ptp(settled)
    shown = values if fits else settled
    return Limits(float(shown.min()), float(shown.max()))


def off_scale(curves: Sequence[Curve], limits: Limits, fmt: str) -> str:
    """Return what the limits hide, in words; nothing if they hide nothing.

    Parameters
    ----------
    curves : sequence of (steps, values)
        What is drawn.
    limits : Limits
        Their y range.
    fmt : str
        How values are written, such as ".2f".
    """
    if limits.is_log:
        return ""
    points, (low, high) = _points(curves), limits.padded
    is_above, is_below = points.values > high, points.values < low
    extremes = []
    if is_above.any():
        extremes.append(f"up to {points.values.max():{fmt}}")
    if is_below.any():
        extremes.append(f"down to {points.values.min():{fmt}}")
    if not extremes:
        return ""
    last = points.steps[is_above | is_below].max()
    return f"not shown: {' and '.join(extremes)} in steps 0 to {last:,.0f}"


class _Points(NamedTuple):
    """Steps and values of several curves, one after the other."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def _points(curves: Sequence[Curve], *, settled: bool = False) -> _Points:
    """Return all points of curves that an axis can show, or only those after their beginnings."""
    kept = [np.empty((2, 0))]
    for steps, values in curves:
        is_kept = np.abs(values) <= MAX_VALUE  # false for nan
        if settled and len(steps) >= FEW_POINTS:
            is_kept &= steps >= SETTLED_AFTER * steps.max()
        kept.append(np.stack([steps[is_kept], values[is_kept]]))
    return _Points(*np.concatenate(kept, axis=1))


def _span_ratio(values: NDArray[np.float64]) -> float:
    """Return how many times as large as the smallest positive value the largest one is."""
    positive = values[values > 0]
    return float(positive.max() / positive.min()) if len(positive) else 1.0
