"""What λ does, from the runs of a sweep: accuracy over steps, and accuracy and weights over λ."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.lambda_axis import lambda_axes, positions
from mnistlin.figures.limits import Curve, robust_limits
from mnistlin.figures.panel import add_legend, fit_y, name_steps, step_axes
from mnistlin.figures.style import (
    BLUE,
    VERMILION,
    house_style,
    new_figure,
    sequential_colors,
    write_note,
)
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

LEGEND_WIDTH = 1.9
FEW_LAMBDAS = 6
"""Up to so many λ have the values at their ends in the legend."""

SHIFT = 0.003
"""How far points of two series stand apart, as a fraction of the axis."""

_LINE: Any = {"linewidth": 1.5, "marker": "o", "markevery": [-1], "markersize": 4}
_POINT: Any = {"linestyle": "", "marker": "o", "markersize": 5.5, "elinewidth": 2.0}
_THROUGH: Any = {"linewidth": 1.2, "alpha": 0.6}

Groups = Mapping[float, Sequence[Run]]
"""The runs of each λ, in increasing order of λ."""


def groups_of(sweep: Sweep) -> Groups:
    """Return the runs of each λ that has any, from the smallest λ on.

    Raises
    ------
    RunError
        If there is none.
    """
    found = sorted(sweep.by_lambda.items())
    groups = {l2_lambda: list(runs.values()) for l2_lambda, runs in found if runs}
    if not groups:
        raise RunError(f"{sweep.path} has no run yet that came to a sound end")
    return groups


@house_style()
def val_accuracy_figure(sweep: Sweep) -> Figure:
    """Draw the validation accuracy over steps, a curve a λ, with its spread over the seeds."""
    figure, groups = _page("Validation accuracy", sweep)
    runs = [run for members in groups.values() for run in members]
    axes = step_axes(figure, "validation accuracy (fraction)", runs)
    curves: list[Curve] = []
    edges: list[Curve] = []
    colors = sequential_colors(len(groups))
    for (l2_lambda, members), color in zip(groups.items(), colors, strict=True):
        steps, mean, sd = over_seeds(members, "val_accuracy")
        end = f"\n{mean[-1]:.4f} at the end" if len(groups) <= FEW_LAMBDAS else ""
        axes.plot(steps, mean, color=color, label=f"λ = {l2_lambda:.3g}{end}", **_LINE)
        curves.append((steps, mean))
        if len(members) > 1:
            axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.25, linewidth=0)
            edges += [(steps, mean - sd), (steps, mean + sd)]
    fit_y(axes, robust_limits([*curves, *edges]), curves, ".3f")
    name_steps(axes, runs)
    add_legend(axes)
    return figure


@house_style()
def final_accuracy_figure(sweep: Sweep) -> Figure:
    """Draw the last accuracies against λ: where the two sets part, and where both fall."""
    figure, groups = _page("Final accuracy", sweep)
    axes = lambda_axes(figure, "accuracy (fraction)", list(groups), LEGEND_WIDTH)
    sets = {"train_accuracy": "training set", "val_accuracy": "validation set"}
    for (column, label), color, shift in zip(sets.items(), (BLUE, VERMILION), (-1, 1), strict=True):
        draw_points(axes, groups, column, color=color, label=label, shift=shift)
    add_legend(axes)
    write_note(
        figure,
        "Where both sets fall, λ is too large (bias); where the training set alone gains, it is "
        "too small (variance).",
    )
    return figure


@house_style()
def weight_norm_figure(sweep: Sweep) -> Figure:
    """Draw the norm of the weights at the end against λ."""
    figure, groups = _page("Final weight norm", sweep)
    axes = lambda_axes(figure, "weight norm (Frobenius)", list(groups))
    points = draw_points(axes, groups, "weight_norm", color=BLUE)
    for x, norm in points:
        axes.annotate(f"{norm:#.3g}", (x, norm), (6, 6), textcoords="offset points")
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    write_note(figure, "The penalty λ Σ W² pulls all weights towards 0, the bias too.")
    return figure


def over_seeds(
    runs: Sequence[Run], column: str
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return steps, mean and standard deviation of a column, as far as all runs reach."""
    n = min(len(run.metrics["step"]) for run in runs)
    values = np.stack([run.metrics[column][:n] for run in runs])
    sd = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(n)
    return runs[0].metrics["step"][:n], values.mean(axis=0), sd


def draw_points(  # noqa: PLR0913
    axes: Axes, groups: Groups, column: str, *, color: str, label: str | None = None, shift: int = 0
) -> list[tuple[float, float]]:
    """Draw a number of the last checks against λ, with its spread over the seeds.

    Parameters
    ----------
    axes : Axes
        A panel over λ.
    groups : Groups
        Whose checks.
    column : str
        Which number, such as "weight_norm".
    color, label : str
        Of the points.
    shift : int
        Moves them a little to the side, so that series do not cover each other's bars.

    Returns
    -------
    list of (float, float)
        Where the points are.
    """
    values = [np.array([run.metrics[column][-1] for run in runs]) for runs in groups.values()]
    means = np.array([each.mean() for each in values])
    sds = [each.std(ddof=1) if len(each) > 1 else 0.0 for each in values]
    x = positions(list(groups), list(groups)) + shift * SHIFT * np.ptp(axes.get_xlim())
    axes.errorbar(x, means, sds, color=color, label=label, **_POINT)
    first = 1 if 0 in groups else 0  # of the points that stand on the logarithmic scale
    axes.plot(x[first:], means[first:], color=color, **_THROUGH)
    axes.plot(x[: first + 1], means[: first + 1], color=color, linestyle=":", **_THROUGH)
    return list(zip(x.tolist(), means.tolist(), strict=True))


def _page(what: str, sweep: Sweep) -> tuple[Figure, Groups]:
    """Return a page for a figure of all sound runs, and these."""
    groups = groups_of(sweep)
    runs = [run for members in groups.values() for run in members]
    return new_figure(*captions.of_sweep(what, sweep, runs)), groups
