"""Panels: curves over steps with epochs below, limits of y, marks, legends, and rows of images.

The first checks of a run are often far off from all others; shown on the same scale, they would
squash what matters into a line. `robust_limits` chooses what deserves the scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from textwrap import wrap
from typing import Any, TypeAlias

import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.figures.captions import has_short_names
from mnistlin.figures.style import INK, MUTED, is_for_paper, legend_beside, name_axes
from mnistlin.figures.tiles import Tiles
from mnistlin.runs.folder import Run

SETTLED_AFTER = 0.1
"""The fraction of all steps after which a curve must fit on the axis."""

FEW_POINTS = 10
"""A curve of fewer points than this must fit whole."""

WIDE = 2.0
"""Factor by which the beginning may stretch the scale and still be shown."""

FEW_CURVES, UNSTEADY = 4, 5.0
"""With fewer curves than this all count; from this ratio of fluctuations on, one does not."""

HUGE_RATIO = 100.0
"""Settled losses that differ by more than this factor need a logarithmic scale."""

Curve: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Steps and values of equal length."""

MAX_VALUE = 1e30
"""Largest value that an axis can show; no measured value is larger."""


@dataclass(frozen=True)
class Limits:
    """A range of y without padding, and whether it is so wide that it needs a logarithmic scale."""

    low: float
    high: float
    is_log: bool = False

    @property
    def width(self) -> float:
        """How far apart the ends are."""
        return self.high - self.low

    @property
    def padded(self) -> tuple[float, float]:
        """The range with a margin at both ends."""
        if self.is_log:
            return self.low / 1.3, self.high * 1.3
        pad = 0.05 * self.width or 0.05 * abs(self.high) or 0.05
        return self.low - pad, self.high + pad


def robust_limits(
    curves: Sequence[Curve], edges: Sequence[Curve] = (), *, allows_log: bool = False
) -> Limits | None:
    """Return the range of y in which to show curves; None if there are no values.

    It holds all values if they span at most WIDE times as much as the settled ones, else only
    these. Values that no axis can show, such as nan, do not count, nor do `edges`, those of bands
    around curves, on a logarithmic scale: mean - sd may be below 0.
    """
    if allows_log:
        positive, settled = (_range(curves, positive=True, settled=late) for late in (False, True))
        if positive and settled and settled.high > HUGE_RATIO * settled.low:
            return replace(positive, is_log=True)
    shown, settled = (_range([*curves, *edges], settled=late) for late in (False, True))
    is_too_wide = shown and settled and shown.width > WIDE * settled.width
    return settled if is_too_wide else shown


def steady(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves without those that fluctuate UNSTEADY times as much as the median.

    A model whose steps are too large would squeeze all others into a line.
    """
    jumps = [_fluctuation(curve) for curve in curves]
    if len(curves) < FEW_CURVES:
        return list(curves)
    most = UNSTEADY * float(np.median(jumps))
    return [curve for curve, jump in zip(curves, jumps, strict=True) if jump <= most] or [*curves]


def _fluctuation(curve: Curve) -> float:
    """Return the standard deviation of the changes between values after the beginning."""
    values = curve[1][_counting(*curve, settled=True)]
    return float(np.diff(values).std()) if len(values) > 1 else 0.0


def off_scale(curves: Sequence[Curve], limits: Limits, fmt: str) -> str:
    """Describe which values the limits hide, formatted by `fmt`; empty if they hide none."""
    if limits.is_log:
        return ""
    (low, high), values = limits.padded, _range(curves)
    extremes = []
    if values is not None and values.high > high:
        extremes.append(f"up to {values.high:{fmt}}")
    if values is not None and values.low < low:
        extremes.append(f"down to {values.low:{fmt}}")
    if not extremes:
        return ""
    last = max(_last_step_outside(curve, low, high) for curve in curves)
    return f"not shown: {' and '.join(extremes)} in steps 0 to {last:,.0f}"


def _last_step_outside(curve: Curve, low: float, high: float) -> float:
    steps, values = curve
    is_outside = _counting(*curve) & ((values < low) | (values > high))
    return float(steps.max(where=is_outside, initial=0))


def _range(
    curves: Sequence[Curve], *, positive: bool = False, settled: bool = False
) -> Limits | None:
    """Return the lowest and the highest value of curves; None if there is none.

    Nothing is copied, since the curves of a long run are large.
    """
    low, high = np.inf, -np.inf
    for steps, values in curves:
        counts = _counting(steps, values, settled=settled)
        if positive:
            counts &= values > 0
        low = min(low, float(values.min(where=counts, initial=np.inf)))
        high = max(high, float(values.max(where=counts, initial=-np.inf)))
    return Limits(low, high) if low <= high else None


def _counting(
    steps: NDArray[Any], values: NDArray[Any], *, settled: bool = False
) -> NDArray[np.bool_]:
    """Return which values an axis can show: of all, or of those after the beginning."""
    can_be_shown = (values >= -MAX_VALUE) & (values <= MAX_VALUE)  # false for nan
    if settled and len(steps) >= FEW_POINTS:
        can_be_shown &= steps >= SETTLED_AFTER * steps.max()
    return can_be_shown


N_BINS = 1000
"""More than the pixels across a panel: within a bin, a line only shows its ends and extremes."""

MARKED_CHECKS = 12
"""Up to this many checks are marked one by one; a single one would be invisible as a line."""

MANY_CHECKS = 400
"""From this many checks on, lines are thin, or their fluctuation becomes a ribbon."""

LEGEND_LETTERS, LEGEND_LINES = 24, 24
"""Labels are wrapped at this many characters, and set smaller if they take more lines."""

SMALLEST_LABEL = 6.5
"""Points."""

STEPS_BELOW, EPOCHS_BELOW = 5, 19
"""Distances of the rows of tick labels below a panel, in points."""


def step_axes(axes: Axes, y_title: str, runs: Sequence[Run]) -> None:
    """Set up the x axis of a panel for the steps of some runs."""
    last_step = max(1, *(int(run.steps["step"].max(initial=0)) for run in runs))
    axes.set_xlim(-0.012 * last_step, 1.012 * last_step)
    axes.xaxis.set_major_locator(_round_counts())
    name_axes(axes, y_title)


def name_steps(axes: Axes, runs: Sequence[Run]) -> None:
    """Write a row of steps under a panel, and one of epochs if all runs have the same."""
    if is_for_paper():  # too narrow for two rows of numbers with their units
        axes.set_xlabel("step (update)")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        return
    _name_row(axes, axes.xaxis, "step (update)", STEPS_BELOW)
    lengths = {steps_per_epoch(run) for run in runs}
    length = lengths.pop()
    if lengths or length is None:
        return
    to_epochs, to_steps = partial(np.multiply, 1 / length), partial(np.multiply, length)
    epochs = axes.secondary_xaxis(0.0, functions=(to_epochs, to_steps))
    epochs.xaxis.set_major_locator(_round_counts())
    epochs.spines["bottom"].set_position(("outward", EPOCHS_BELOW - STEPS_BELOW))
    epochs.spines["bottom"].set_visible(False)
    epochs.tick_params(length=0)
    epochs.grid(visible=False)
    _name_row(axes, epochs.xaxis, "epoch", EPOCHS_BELOW)


def steps_per_epoch(run: Run) -> int | None:
    """Return how many steps an epoch has, or None if the second one was not begun."""
    second = run.steps["step"][run.steps["epoch"] == 1]
    return int(second[0]) if len(second) and second[0] > 0 else None


def _round_counts() -> MaxNLocator:
    return MaxNLocator(nbins=4 if is_for_paper() else 9, steps=[1, 2, 5, 10], integer=True)


def _name_row(axes: Axes, axis: XAxis, unit: str, points_below: float) -> None:
    """Name the unit of a row of counts at the right of the panel."""
    axis.set_major_formatter("{x:,.0f}")
    axis.set_label_text(unit, ha="left", va="top")
    offset = ScaledTranslation(14 / 72, -points_below / 72, axes.figure.dpi_scale_trans)
    axis.set_label_coords(1.0, 0.0, transform=axes.transAxes + offset)


def draw_check_line(axes: Axes, run: Run, column: str, **look: Any) -> Curve:
    """Draw a column of metrics.csv over its steps, and return both."""
    steps, values = run.metrics["step"], run.metrics[column]
    if len(steps) <= MARKED_CHECKS:
        look |= {"marker": "o", "markersize": 4, "markevery": None}
    if len(steps) >= MANY_CHECKS:
        look |= {"linewidth": 0.8}
    axes.plot(*thinned(steps, values), **look)
    return steps, values


def thinned(steps: NDArray[Any], values: NDArray[Any]) -> Curve:
    """Return the points of a curve that a panel can show: four for each bin of N_BINS.

    They are the first, the last, the lowest and the highest of each, which draw the same line as
    all points (Jugel et al. 2014, "M4: a visualization-oriented time series data aggregation").
    """
    size = len(values) // N_BINS
    if size <= 4:
        return steps, values
    n = len(values) // size * size
    bins = values[:n].reshape(-1, size)
    first = np.arange(0, n, size)
    extremes = first + bins.argmin(axis=1), first + bins.argmax(axis=1)
    kept = np.unique([first, first + size - 1, *extremes])
    kept = np.append(kept, np.arange(n, len(values)))
    return steps[kept], values[kept]


def fit_y(
    axes: Axes,
    limits: Limits | None,
    curves: Sequence[Curve],
    fmt: str,
    *,
    ceiling: float = np.inf,
) -> None:
    """Set the limits of y, and say above the panel which values of its curves they hide.

    No value is above the ceiling, such as 1 for an accuracy, so y ends just there.
    """
    if limits is None:
        axes.set_yticks([])
        return
    if limits.is_log:
        axes.set_yscale("log")
        name_axes(axes, f"{axes.get_title('left')}, log scale", axes.get_xlabel())
    low, high = limits.padded
    axes.set_ylim(low, min(high, ceiling + 0.01 * (ceiling - low) if ceiling < np.inf else high))
    hidden = off_scale(curves, limits, fmt)
    if is_for_paper() and hidden:
        name_axes(axes, f"{axes.get_title('left')}\n{hidden}", axes.get_xlabel())
        return
    axes.annotate(
        hidden,
        (1.0, 1.0),
        (0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        color=MUTED,
    )


def mark_best(axes: Axes, run: Run, column: str, color: str) -> None:
    """Circle the check with the lowest validation loss; the first one in case of ties."""
    best = int(np.argmin(run.metrics["val_loss"]))
    step, epoch = run.metrics["step"][best], run.metrics["epoch"][best]
    axes.plot(
        [step],
        [run.metrics[column][best]],
        linestyle="",
        marker="o",
        markersize=8,
        markerfacecolor="white",
        markeredgecolor=color,
        markeredgewidth=1.8,
        zorder=5,
        label=f"best check\nstep {step:,}, epoch {epoch}\nlowest validation loss",
    )


def mark_early_stop(axes: Axes, run: Run) -> None:
    """Draw a line where early stopping ended the training."""
    step, epoch = run.metrics["step"][-1], run.metrics["epoch"][-1]
    waited = run.metrics["checks_without_improvement"][-1]
    axes.axvline(
        step,
        color=INK,
        linewidth=1.2,
        linestyle=(0, (4, 2)),
        zorder=1,
        label=f"early stop\nstep {step:,}, epoch {epoch}\nno better for {waited} checks",
    )


def label_ends(axes: Axes, curves: Sequence[Curve], labels: Sequence[str]) -> None:
    """Write the label of each line of a panel beside its end, as near to it as space allows.

    The end of a line that is below the panel is taken to be at its lower edge: a pointer that left
    the figure would leave no room for the panel.
    """
    to_panel = axes.transData + axes.transAxes.inverted()
    ends = to_panel.transform([(steps[-1], values[-1]) for steps, values in curves])
    places = _apart(ends[:, 1], 0.085 if is_for_paper() else 0.055)
    for line, (x, y), place, label in zip(axes.lines, ends, places, labels, strict=True):
        axes.annotate(
            f"{label}, below" if y < 0 else label,
            (x, np.clip(y, 0, 1)),
            (1.04, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "linewidth": 0.8,
                "relpos": (0, 0.5),
                "shrinkB": 0,
            },
        )


def _apart(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Return places in [0, 1], at least a gap apart, in the order of these and closest to them."""
    steps = gap * np.arange(len(places))
    order = np.argsort(places, kind="stable")
    nearest = scipy.optimize.isotonic_regression(np.clip(places[order], 0, 1) - steps).x
    apart = np.empty_like(places)
    apart[order] = np.clip(nearest, 0, max(0.0, 1 - steps[-1])) + steps
    return apart


def add_legend(axes: Axes) -> None:
    """Put a legend of everything with a label to the right of a panel; long labels are wrapped."""
    handles, labels = axes.get_legend_handles_labels()
    lines = [[part for line in label.split("\n") for part in _wrap(line)] for label in labels]
    n_lines = sum(len(label) + 0.8 for label in lines)
    legend_beside(
        axes,
        handles=handles,
        labels=["\n".join(label) for label in lines],
        handlelength=1.8,
        fontsize=max(SMALLEST_LABEL, 9.0 * min(1.0, LEGEND_LINES / n_lines)),
    )


def _wrap(line: str) -> list[str]:
    """Wrap a line, also after the underscores in the name of a run."""
    parts = wrap(line.replace("_", "_ "), LEGEND_LETTERS)
    return [part.replace("_ ", "_") for part in parts]


def images_per_row(run: Run) -> int:
    """Return how many images of a run's classes fit beside each other with their captions."""
    n_columns, n_columns_of_names = (4, 2) if is_for_paper() else (8, 6)
    return n_columns if has_short_names(run) else n_columns_of_names


def draw_images(
    axes: Axes,
    split: Split,
    samples: NDArray[np.integer[Any]],
    captions: Sequence[tuple[str, str]],
    n_columns: int,
) -> None:
    """Draw images of a split in rows, dark on white, each with its caption (left, right) above."""
    if is_for_paper():  # where images are narrower than two captions
        captions = [
            ((" " if len(left) < 8 else "\n").join(filter(None, (left, right))), "")
            for left, right in captions
        ]
    words_height = 0.19 * max(1 + left.count("\n") for left, _ in captions)
    images = split.images[split.rows[samples]].reshape(-1, *split.image_shape)
    grid = Tiles(axes, images, words_height, n_columns, fills_width=True)
    grid.draw(cmap="gray_r", vmin=0, vmax=255)
    weight = "normal" if is_for_paper() else "bold"
    for i, (left, right) in enumerate(captions):
        grid.write_above(i, left, right, fontweight=weight)
