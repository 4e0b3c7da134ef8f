"""Loss and accuracy over steps: of one run, and of several runs on one page."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.panel import (
    Curve,
    add_legend,
    draw_check_line,
    fit_y,
    mark_best,
    mark_early_stop,
    name_steps,
    robust_limits,
    step_axes,
)
from mnistlin.figures.style import (
    BLUE,
    DASHES,
    HEIGHT,
    OKABE_ITO,
    SKY,
    VERMILION,
    is_for_paper,
    name_axes,
    page,
    say_instead,
    sequential_colors,
)
from mnistlin.runs.folder import Run

__all__ = [
    "accuracy_figure",
    "accuracy_overlay",
    "block_statistics",
    "log_loss_figure",
    "loss_figure",
    "loss_overlay",
]

BLOCK_STEPS = 10
"""Number of batch losses that are averaged, since single ones are noisy."""

MAX_BLOCKS = 10_000
"""With more blocks than this, blocks are made longer."""

PARTS = {"train": ("training set", BLUE), "val": ("validation set", VERMILION)}


def loss_figure(run: Run) -> Figure:
    """Draw the batch loss with its spread, and the losses on the full sets."""

    def draw(axes: Axes) -> None:
        step_axes(axes, run.head.loss_title, [run])
        batch, *edges = _draw_batch_loss(axes, run)
        curves = [batch, *_draw_checks(axes, run, "loss")]
        fit_y(axes, robust_limits(curves, edges, allows_log=True), curves, ".2f")
        _draw_marks(axes, run, "val_loss")

    return _figure("Loss", run, draw, "" if len(run.steps["step"]) else "no step was taken")


def accuracy_figure(run: Run) -> Figure:
    """Draw the accuracy on the full training and validation sets."""

    def draw(axes: Axes) -> None:
        step_axes(axes, "accuracy (fraction)", [run])
        curves = _draw_checks(axes, run, "accuracy")
        fit_y(axes, robust_limits(curves), curves, ".3f", ceiling=1.0)
        _draw_marks(axes, run, "val_accuracy")

    return _figure("Accuracy", run, draw, _lack_of_checks(run))


def log_loss_figure(run: Run) -> Figure:
    """Draw the losses on logarithmic axes, which show both the first steps and the slow end.

    Steps are counted from 1 here, since a logarithmic axis has no 0.
    """
    with page(captions.of_run("Loss on logarithmic axes", run)) as figure:
        if reason := _lack_of_checks(run):
            say_instead(figure, reason, captions.ending(run))
            return figure
        axes = figure.subplots()
        steps = run.metrics["step"] + 1
        for part, (name, color) in PARTS.items():
            axes.loglog(steps, run.metrics[f"{part}_loss"], color=color, label=name, linewidth=1.3)
        axes.set_xlim(1, 1.1 * steps[-1])
        name_axes(axes, f"{run.head.loss_title}, log scale", "steps taken, log scale")
        add_legend(axes)
    return figure


def _figure(what: str, run: Run, draw: Callable[[Axes], None], lack: str) -> Figure:
    """Draw one panel over the steps of a run, or say why there is nothing to draw."""
    with page(captions.of_run(what, run)) as figure:
        if lack:
            say_instead(figure, lack, captions.ending(run))
            return figure
        axes = figure.subplots()
        draw(axes)
        name_steps(axes, [run])
        add_legend(axes)
    return figure


def _lack_of_checks(run: Run) -> str:
    return "" if len(run.metrics["step"]) else "no check was reached"


def block_statistics(
    values: NDArray[Any], block: int = BLOCK_STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation (divided by n) of every `block` of some values.

    An incomplete last block is left out.
    """
    blocks = values[: len(values) // block * block].reshape(-1, block)
    return blocks.mean(axis=1), blocks.std(axis=1)


def _draw_batch_loss(axes: Axes, run: Run) -> list[Curve]:
    """Draw the batch loss; return its curve, and the edges of its band if it has one."""
    steps, losses = run.steps["step"], run.steps["batch_loss"]
    if len(steps) < 2 * BLOCK_STEPS:
        axes.plot(steps, losses, "o", markersize=4, color=SKY, label="batch loss")
        return [(steps, losses)]
    block = max(BLOCK_STEPS, len(steps) // MAX_BLOCKS)
    (middle, _), (mean, sd) = block_statistics(steps, block), block_statistics(losses, block)
    label = f"batch loss\nmean of {block} steps"
    axes.plot(middle, mean, color=SKY, linewidth=0.9, label=label)
    label = f"±1 sd of the {block} steps"
    axes.fill_between(middle, mean - sd, mean + sd, color=SKY, alpha=0.3, linewidth=0, label=label)
    return [(middle, mean), (middle, mean - sd), (middle, mean + sd)]


def _draw_checks(axes: Axes, run: Run, what: str) -> list[Curve]:
    """Draw `what` on the full training and validation sets, with its last value in the label."""
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


PANELS = {"val": "validation", "train": "training"}
PAGE_HEIGHT = HEIGHT + 0.8

FEW_RUNS = 3
"""Up to this many runs have their last values in the legend."""


def loss_overlay(runs: Sequence[Run]) -> Figure:
    """Draw the loss of several runs on their validation and their training sets."""
    titles = dict.fromkeys(run.head.loss_title for run in runs)
    return _overlay(runs, "loss", " or ".join(titles), ".2f")


def accuracy_overlay(runs: Sequence[Run]) -> Figure:
    """Draw the accuracy of several runs on their validation and their training sets."""
    return _overlay(runs, "accuracy", "accuracy (fraction)", ".3f")


def _overlay(runs: Sequence[Run], what: str, y_title: str, fmt: str) -> Figure:
    runs = captions.in_order(runs)
    with page(captions.of_runs(what.capitalize(), runs), height=PAGE_HEIGHT) as figure:
        if not any(len(run.metrics["step"]) for run in runs):
            say_instead(figure, "no check was reached in any of the runs")
            return figure
        columns = [f"{part}_{what}" for part in PANELS]
        curves = [(run.metrics["step"], run.metrics[column]) for run in runs for column in columns]
        limits = robust_limits(curves, allows_log=what == "loss")
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        for axes, part, column in zip(panels, PANELS.values(), columns, strict=True):
            step_axes(axes, f"{part} {y_title}", runs)
            ceiling = 1.0 if what == "accuracy" else np.inf
            fit_y(axes, limits, _draw_runs(axes, runs, column), fmt, ceiling=ceiling)
            if axes is panels[0] or len(runs) <= FEW_RUNS:
                add_legend(axes)
        name_steps(panels[1], runs)
    return figure


def _draw_runs(axes: Axes, runs: Sequence[Run], column: str) -> list[Curve]:
    """Draw a column of each run, the shorter runs in front of the longer ones."""
    curves = []
    for run, label, look in zip(runs, captions.run_labels(runs), _looks(runs), strict=True):
        n_longer = sum(len(other.steps["step"]) > len(run.steps["step"]) for other in runs)
        look |= {"marker": "o", "markevery": [-1], "markersize": 4, "zorder": 2 + n_longer}
        label_lines = [label, _end(run.metrics[column], len(runs))]
        look["label"] = "\n".join(filter(None, label_lines))
        curves.append(draw_check_line(axes, run, column, **look))
    return curves


def _end(values: NDArray[Any], n_runs: int) -> str:
    """Return what the legend adds to the label of a run, given how many runs there are."""
    if not len(values):
        return "no check"
    has_space = n_runs <= FEW_RUNS and not is_for_paper()
    return f"{values[-1]:.4f} at the end" if has_space else ""


def _looks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the style of each run's line; colours follow the values of an ordered key."""
    values = captions.ordered_values(runs)
    if values is not None and len(set(values)) > 2:
        colors = dict(zip(sorted(set(values)), sequential_colors(len(set(values))), strict=True))
        dashes = cycle(DASHES if len(runs) > FEW_RUNS else DASHES[:1])
        return [
            {"color": colors[value], "linestyle": dash}
            for value, dash in zip(values, dashes, strict=False)
        ]
    n_colors = len(OKABE_ITO)
    return [
        {"color": OKABE_ITO[i % n_colors], "linestyle": DASHES[i // n_colors % len(DASHES)]}
        for i in range(len(runs))
    ]
