"""Plain panels anywhere on a page, and images of a dataset side by side.

Which part of the y axis curves over steps deserve. Numbers only, no drawing.

The first checks of a run are often far off from all others; shown on the same scale, they would
squash what matters into a line.

A panel of curves over steps: its axes, the row of epochs, y limits, marks and legend.

Which curves it shows is up to `curves` and `overlay`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import Any, NamedTuple, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.figures.style import FAINT, FOOTER, HEADER, HEIGHT, INK, MARGIN, MUTED, WIDTH, place
from mnistlin.figures.weights import Box
from mnistlin.runs.folder import Run

CAPTION_TYPE = 8.0
CAPTION_LETTER = 0.075
"""Width of a letter of a caption, in inches."""


def pane(figure: Figure, box: Box, y_title: str, x_title: str = "") -> Axes:
    """Add a panel, with the title of y written above its upper left corner.

    Parameters
    ----------
    figure : Figure
        The page.
    box : (float, float, float, float)
        Left, bottom, width and height of its frame in inches.
    y_title, x_title : str
        What is measured, and its unit.
    """
    axes = place(figure, *box)
    axes.set_ylabel(y_title, rotation=0, ha="left", va="baseline")
    axes.yaxis.set_label_coords(0.0, 1 + ABOVE / box[3])
    axes.set_xlabel(x_title)
    return axes


def draw_images(
    figure: Figure,
    boxes: Sequence[Box],
    split: Split,
    samples: NDArray,  # type: ignore[type-arg]
    captions: Sequence[tuple[str, str]],
) -> None:
    """Draw images of a split, one a box, as dark ink on white paper.

    Parameters
    ----------
    figure : Figure
        The page.
    boxes : sequence of Box
        At least one for each image.
    split : Split
        Where the images are.
    samples : ndarray of shape (n,)
        Which of its samples.
    captions : sequence of (str, str)
        What is written above each image, at the left and at the right.
    """
    for box, sample, (left, right) in zip(boxes, samples, captions, strict=False):
        axes = place(figure, *box)
        pixels = split.images[split.rows[sample]].reshape(split.image_shape)
        axes.imshow(pixels, cmap=mpl.colormaps["gray_r"], vmin=0, vmax=255, aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT)
        axes.set_title(left, loc="left", pad=3, fontsize=CAPTION_TYPE, fontweight="bold")
        if CAPTION_LETTER * len(left + right) < box[2]:
            axes.set_title(right, loc="right", pad=3, fontsize=CAPTION_TYPE, color=MUTED)


def row_of_boxes(
    left: float, bottom: float, height: float, image_shape: tuple[int, int], room: float
) -> list[Box]:
    """Return boxes of images of this height that fit side by side into a room of some width."""
    gap = 0.08
    width = height * image_shape[1] / image_shape[0]
    n_boxes = max(1, int((room + gap) / (width + gap)))
    return [(left + i * (width + gap), bottom, width, height) for i in range(n_boxes)]


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


LEGEND_WIDTH = 2.05
LEGEND_TYPE, LEGEND_SPACING, LEGEND_LETTERS, LEGEND_LINES = 9.0, 0.8, 24, 24
Y_TICKS_WIDTH, Y_TITLE_HEIGHT, X_ROWS_HEIGHT = 0.55, 0.35, 0.55
BESIDE, ROW_NAME, ABOVE, TICKS_BELOW, EPOCHS_BELOW = 0.18, 0.28, 0.09, 0.07, 0.27
"""How far words and rows stand from a panel, in inches."""

PANEL_BOTTOM = FOOTER + X_ROWS_HEIGHT
PANEL_HEIGHT = HEIGHT - HEADER - Y_TITLE_HEIGHT - PANEL_BOTTOM
PANEL_WIDTH = WIDTH - 2 * MARGIN - Y_TICKS_WIDTH - LEGEND_WIDTH
"""Place and size of the one panel of a page, in inches."""

MARKED_CHECKS = 12
"""Up to so many checks are marked one by one; a single one would be invisible as a line."""

MANY_CHECKS = 400
"""From so many checks on, lines are thin, or all their ups and downs run into a ribbon."""


def step_axes(
    figure: Figure,
    y_title: str,
    runs: Sequence[Run],
    bottom: float = PANEL_BOTTOM,
    height: float = PANEL_HEIGHT,
) -> Axes:
    """Add a panel over the steps of some runs, with room for a legend at its right.

    Parameters
    ----------
    figure : Figure
        The page.
    y_title : str
        What is measured, and its unit.
    runs : sequence of Run
        Whose steps the x axis covers; its numbers are up to `name_steps`.
    bottom, height : float
        Where the panel stands, and its height, in inches.
    """
    axes = place(figure, MARGIN + Y_TICKS_WIDTH, bottom, PANEL_WIDTH, height)
    last_step = max(1, *(int(run.steps["step"].max(initial=0)) for run in runs))
    axes.set_xlim(-0.012 * last_step, 1.012 * last_step)
    axes.xaxis.set_major_locator(_round_counts())
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_ylabel(y_title, rotation=0, ha="left", va="baseline")
    axes.yaxis.set_label_coords(0.0, 1 + ABOVE / height)
    return axes


def name_steps(axes: Axes, runs: Sequence[Run], height: float = PANEL_HEIGHT) -> None:
    """Write a row of steps under a panel of this height, and one of epochs if all runs agree."""
    axes.tick_params(axis="x", labelbottom=True)
    _name_row(axes.xaxis, "step (update)", -TICKS_BELOW / height)
    lengths = {steps_per_epoch(run) for run in runs}
    length = lengths.pop()
    if lengths or length is None:
        return
    to_epochs, to_steps = partial(np.multiply, 1 / length), partial(np.multiply, length)
    epochs = axes.secondary_xaxis(-EPOCHS_BELOW / height, functions=(to_epochs, to_steps))
    epochs.xaxis.set_major_locator(_round_counts())
    epochs.spines["bottom"].set_visible(False)
    epochs.tick_params(length=0)
    epochs.grid(visible=False)
    _name_row(epochs.xaxis, "epoch", -(EPOCHS_BELOW + TICKS_BELOW / 2) / height)


def steps_per_epoch(run: Run) -> int | None:
    """Return how many steps an epoch has, or None if the second one was not begun."""
    second = run.steps["step"][run.steps["epoch"] == 1]
    return int(second[0]) if len(second) and second[0] > 0 else None


def _round_counts() -> MaxNLocator:
    return MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=True)


def _name_row(axis: XAxis, unit: str, y: float) -> None:
    """Name the unit of a row of counts at its end, y being in fractions of the panel."""
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_label_text(unit, ha="left", va="top")
    axis.set_label_coords(1 + ROW_NAME / PANEL_WIDTH, y)


def draw_check_line(axes: Axes, run: Run, column: str, **look: Any) -> Curve:
    """Draw a column of metrics.csv over its steps, and return both."""
    steps, values = run.metrics["step"], run.metrics[column]
    if len(steps) <= MARKED_CHECKS:
        look |= {"marker": "o", "markersize": 4, "markevery": None}
    if len(steps) >= MANY_CHECKS:
        look |= {"linewidth": 0.8}
    axes.plot(steps, values, **look)
    return steps, values


def fit_y(axes: Axes, limits: Limits | None, curves: Sequence[Curve], fmt: str) -> None:
    """Set the limits of y, and say in words which values do not fit in.

    Parameters
    ----------
    axes : Axes
        The panel.
    limits : Limits, optional
        What to show; None if there is nothing to show.
    curves : sequence of (steps, values)
        What is drawn in the panel.
    fmt : str
        How values are written, such as ".2f".
    """
    if limits is None:
        axes.set_yticks([])
        return
    if limits.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_label_text(f"{axes.get_ylabel()}, log scale")
    axes.set_ylim(*limits.padded)
    axes.annotate(
        off_scale(curves, limits, fmt),
        (1.0, 1.0),
        (0, 72 * ABOVE),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        color=MUTED,
    )


def mark_best(axes: Axes, run: Run, column: str, color: str) -> None:
    """Ring the check with the lowest validation loss, the first of equals."""
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


def add_legend(axes: Axes) -> None:
    """Put a legend of all that has a label to the right of a panel, set to fit the room there."""
    handles, labels = axes.get_legend_handles_labels()
    lines = [[part for line in label.split("\n") for part in _wrap(line)] for label in labels]
    longest = max(len(line) for label in lines for line in label)
    n_lines = sum(len(label) + LEGEND_SPACING for label in lines)
    axes.legend(
        handles,
        ["\n".join(label) for label in lines],
        loc="upper left",
        bbox_to_anchor=(1 + BESIDE / PANEL_WIDTH, 1.0),
        labelspacing=LEGEND_SPACING,
        handlelength=1.8,
        fontsize=LEGEND_TYPE * min(1.0, LEGEND_LETTERS / longest, LEGEND_LINES / n_lines),
    )


def _wrap(line: str) -> list[str]:
    return wrap(line, LEGEND_LETTERS, break_long_words=False)
