"""Loss and accuracy of several runs on one page, to see what a setting does."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.labels import in_order, ordered_values, run_labels
from mnistlin.figures.limits import Curve, robust_limits
from mnistlin.figures.panel import (
    PANEL_BOTTOM,
    Y_TITLE_HEIGHT,
    add_legend,
    draw_check_line,
    fit_y,
    name_steps,
    step_axes,
)
from mnistlin.figures.style import (
    HEADER,
    OKABE_ITO,
    house_style,
    new_figure,
    say_instead,
    sequential_colors,
)
from mnistlin.runs.folder import Run

PARTS = {"val": "validation", "train": "training"}
PANEL_HEIGHT, GAP = 1.75, 0.15
PAGE_HEIGHT = PANEL_BOTTOM + GAP + 2 * (PANEL_HEIGHT + Y_TITLE_HEIGHT) + HEADER
BOTTOMS = (PANEL_BOTTOM + PANEL_HEIGHT + Y_TITLE_HEIGHT + GAP, PANEL_BOTTOM)
"""Where the two panels stand, in inches; one scale holds for both."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
"""Line styles, one after the other, for more runs than there are colours."""

FEW_RUNS = 3
"""Up to so many runs have the values at their ends in the legend."""


@house_style()
def loss_overlay(runs: Sequence[Run]) -> Figure:
    """Draw the loss of several runs on their validation and their training sets."""
    return _overlay(runs, "loss", "cross entropy (nats)", ".2f")


@house_style()
def accuracy_overlay(runs: Sequence[Run]) -> Figure:
    """Draw the accuracy of several runs on their validation and their training sets."""
    return _overlay(runs, "accuracy", "accuracy (fraction)", ".3f")


def _overlay(runs: Sequence[Run], what: str, y_title: str, fmt: str) -> Figure:
    runs = in_order(runs)
    figure = new_figure(*captions.of_runs(what.capitalize(), runs), height=PAGE_HEIGHT)
    if not any(len(run.metrics["step"]) for run in runs):
        say_instead(figure, "no check was reached in any of the runs")
        return figure
    columns = [f"{part}_{what}" for part in PARTS]
    curves = [(run.metrics["step"], run.metrics[column]) for run in runs for column in columns]
    limits = robust_limits(curves, allows_log=what == "loss")
    for bottom, part, column in zip(BOTTOMS, PARTS.values(), columns, strict=True):
        axes = step_axes(figure, f"{part} {y_title}", runs, bottom, PANEL_HEIGHT)
        fit_y(axes, limits, _draw_runs(axes, runs, column), fmt)
        if bottom == BOTTOMS[0] or len(runs) <= FEW_RUNS:
            add_legend(axes)
    name_steps(axes, runs, PANEL_HEIGHT)
    return figure


def _draw_runs(axes: Axes, runs: Sequence[Run], column: str) -> list[Curve]:
    """Draw a column of each run, the shorter runs in front of the longer ones."""
    curves = []
    for run, label, look in zip(runs, run_labels(runs), _looks(runs), strict=True):
        n_longer = sum(len(other.steps["step"]) > len(run.steps["step"]) for other in runs)
        look |= {"marker": "o", "markevery": [-1], "markersize": 4, "zorder": 2 + n_longer}
        label_lines = [label, _end(run.metrics[column], len(runs))]
        look["label"] = "\n".join(filter(None, label_lines))
        curves.append(draw_check_line(axes, run, column, **look))
    return curves


def _end(values: NDArray[Any], n_runs: int) -> str:
    """Return what the legend adds to the label of one of some runs."""
    if not len(values):
        return "no check"
    return f"{values[-1]:.4f} at the end" if n_runs <= FEW_RUNS else ""


def _looks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the look of each run's line; colours follow values, if these have an order."""
    values = ordered_values(runs)
    if values is not None and len(set(values)) > 2:
        colors = dict(zip(sorted(set(values)), sequential_colors(len(set(values))), strict=True))
        return [{"color": colors[value]} for value in values]
    n_colors = len(OKABE_ITO)
    return [
        {"color": OKABE_ITO[i % n_colors], "linestyle": DASHES[i // n_colors % len(DASHES)]}
        for i in range(len(runs))
    ]
