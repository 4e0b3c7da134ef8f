"""Loss and accuracy of one run, over its steps."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.limits import Curve, robust_limits
from mnistlin.figures.panel import (
    add_legend,
    draw_check_line,
    fit_y,
    mark_best,
    mark_early_stop,
    name_steps,
    step_axes,
)
from mnistlin.figures.style import BLUE, SKY, VERMILION, house_style, new_figure, say_instead
from mnistlin.runs.folder import Run

BLOCK_STEPS = 10
"""How many batch losses are averaged: a single one says little."""

PARTS = {"train": ("training set", BLUE), "val": ("validation set", VERMILION)}


@house_style()
def loss_figure(run: Run) -> Figure:
    """Draw the batch loss with its spread, and the losses on both whole sets."""
    figure = new_figure(*captions.of_run("Loss", run))
    if not len(run.steps["step"]):
        say_instead(figure, "no step was taken", captions.ending(run))
        return figure
    axes = step_axes(figure, "cross entropy (nats)", [run])
    batch, *edges = _draw_batch_loss(axes, run)
    curves = [batch, *_draw_checks(axes, run, "loss")]
    fit_y(axes, robust_limits(curves, edges, allows_log=True), curves, ".2f")
    _draw_marks(axes, run, "val_loss")
    name_steps(axes, [run])
    add_legend(axes)
    return figure


@house_style()
def accuracy_figure(run: Run) -> Figure:
    """Draw the accuracy on both whole sets."""
    figure = new_figure(*captions.of_run("Accuracy", run))
    if not len(run.metrics["step"]):
        say_instead(figure, "no check was reached", captions.ending(run))
        return figure
    axes = step_axes(figure, "accuracy (fraction)", [run])
    curves = _draw_checks(axes, run, "accuracy")
    fit_y(axes, robust_limits(curves), curves, ".3f")
    _draw_marks(axes, run, "val_accuracy")
    name_steps(axes, [run])
    add_legend(axes)
    return figure


def block_statistics(
    values: NDArray[Any], block: int = BLOCK_STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of every `block` values, without an incomplete last block.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Such as the batch losses of a run.
    block : int
        How many belong together.

    Returns
    -------
    mean, sd : ndarray of shape (n // block,)
        The standard deviation is that of the values themselves (divided by n, not n - 1).
    """
    blocks = values[: len(values) // block * block].reshape(-1, block)
    return blocks.mean(axis=1), blocks.std(axis=1)


def _draw_batch_loss(axes: Axes, run: Run) -> list[Curve]:
    """Draw the batch loss; return its curve, and the edges of its band if it has one."""
    steps, losses = run.steps["step"], run.steps["batch_loss"]
    if len(steps) < 2 * BLOCK_STEPS:
        axes.plot(steps, losses, "o", markersize=4, color=SKY, label="batch loss")
        return [(steps, losses)]
    (middle, _), (mean, sd) = block_statistics(steps), block_statistics(losses)
    label = f"batch loss\nmean of {BLOCK_STEPS} steps"
    axes.plot(middle, mean, color=SKY, linewidth=0.9, label=label)
    label = f"±1 sd of the {BLOCK_STEPS} steps"
    axes.fill_between(middle, mean - sd, mean + sd, color=SKY, alpha=0.3, linewidth=0, label=label)
    return [(middle, mean), (middle, mean - sd), (middle, mean + sd)]


def _draw_checks(axes: Axes, run: Run, what: str) -> list[Curve]:
    """Draw `what` on both whole sets, with its last value in the label."""
    return [
        draw_check_line(
            axes, run, column, color=color, label=f"{name}\n{values[-1]:.4f} at the end"
        )
        for part, (name, color) in PARTS.items()
        if len(values := run.metrics[column := f"{part}_{what}"])
    ]


def _draw_marks(axes: Axes, run: Run, column: str) -> None:
    if len(run.metrics["step"]):
        mark_best(axes, run, column, VERMILION)
        if run.status == "early_stopped":
            mark_early_stop(axes, run)
