"""A logarithmic axis for λ with a place for λ = 0, which has no logarithm: left of a break."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.figures.panel import ABOVE, Y_TICKS_WIDTH, Y_TITLE_HEIGHT
from mnistlin.figures.style import (
    FOOTER,
    HEADER,
    HEIGHT,
    MARGIN,
    MUTED,
    NOTE,
    WIDTH,
    place,
)

GAP = 0.2
"""Room that the break takes, as a fraction of the range of λ > 0."""

MAX_TICKS = 6
"""Up to so many λ each have their number below; with more, powers of ten have."""

X_ROW_HEIGHT = 0.5


def lambda_axes(
    figure: Figure, y_title: str, l2_lambdas: Sequence[float], legend_width: float = 0.0
) -> Axes:
    """Add a panel over λ, with room for a note below.

    Parameters
    ----------
    figure : Figure
        The page.
    y_title : str
        What is measured, and its unit.
    l2_lambdas : sequence of float
        The λ that are shown.
    legend_width : float
        Room to leave at the right, in inches.
    """
    left, bottom = MARGIN + Y_TICKS_WIDTH, FOOTER + NOTE + X_ROW_HEIGHT
    height = HEIGHT - HEADER - Y_TITLE_HEIGHT - bottom
    axes = place(figure, left, bottom, WIDTH - MARGIN - left - legend_width, height)
    axes.set_ylabel(y_title, rotation=0, ha="left", va="baseline")
    axes.yaxis.set_label_coords(0.0, 1 + ABOVE / height)
    axes.set_xlabel("λ (log scale)")
    ticks = _ticks(l2_lambdas)
    axes.set_xticks(positions(ticks, l2_lambdas), [f"{value:g}" for value in ticks])
    x = np.sort(positions(l2_lambdas, l2_lambdas))
    margin = (0.06 if len(x) > 2 else 0.5) * np.ptp(x) or 1.0
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    if 0 in l2_lambdas and len(x) > 1:
        _mark_break(axes, x[0], x[1])
    return axes


def positions(values: Sequence[float], l2_lambdas: Sequence[float]) -> NDArray[np.float64]:
    """Return where values of λ stand on the axis of a sweep over some λ."""
    logs = [math.log10(each) for each in l2_lambdas if each > 0] or [0.0]
    zero = min(logs) - (GAP * (max(logs) - min(logs)) or 1.0)
    return np.array([math.log10(value) if value > 0 else zero for value in values])


def _ticks(l2_lambdas: Sequence[float]) -> list[float]:
    """Return the λ themselves, or, if these are many, powers of ten among them, and 0."""
    above_zero = [value for value in l2_lambdas if value > 0]
    if len(l2_lambdas) <= MAX_TICKS:
        return list(l2_lambdas)
    first, last = math.log10(min(above_zero)), math.log10(max(above_zero))
    step = math.ceil((last - first) / MAX_TICKS) or 1
    powers = [10.0**k for k in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, step)]
    if len(powers) < 2:
        powers = [min(above_zero), max(above_zero)]
    return [0.0] * (0 in l2_lambdas) + powers


def _mark_break(axes: Axes, zero: float, first: float) -> None:
    """Cut the x axis between λ = 0 and the first other one."""
    middle, width = (zero + first) / 2, (axes.get_xlim()[1] - axes.get_xlim()[0]) * 0.006
    ends = np.array([middle - width, middle + width])
    in_axes = axes.get_xaxis_transform()
    axes.plot(ends, [0, 0], color="white", linewidth=3, transform=in_axes, clip_on=False, zorder=9)
    axes.plot(
        ends,
        [0, 0],
        linestyle="",
        marker=[(-0.5, -1), (0.5, 1)],
        markersize=9,
        color=MUTED,
        transform=in_axes,
        clip_on=False,
        zorder=10,
    )
