"""What λ does in a sweep: accuracy over steps, numbers against λ, and weights as images."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.panel import (
    Curve,
    add_legend,
    fit_y,
    label_ends,
    name_steps,
    robust_limits,
    steady,
    step_axes,
)
from mnistlin.figures.style import (
    BLUE,
    DASHES,
    HEIGHT,
    MUTED,
    VERMILION,
    end_at_one,
    is_for_paper,
    name_axes,
    page,
    sequential_colors,
    side_by_side,
)
from mnistlin.figures.tiles import Tiles
from mnistlin.figures.weights import COLORMAP, add_colorbar
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

__all__ = [
    "final_accuracy_figure",
    "groups_of",
    "lambda_axis",
    "lambda_weights_figure",
    "val_accuracy_figure",
    "weight_norm_figure",
]

MAX_TICKS = 6
"""Maximum number of tick labels of an axis of λ that is at least half a figure wide."""

FEW_LAMBDAS = 6
"""Up to this many λ have their last values in the legend, or beside their points."""

MAX_ENDS = 12
"""Up to this many λ are named at the ends of their curves."""

MAX_SHOWN = 24
"""Of more λ than this, MAX_ENDS are shown as curves and as images."""

_LINE: Any = {"linewidth": 1.5, "marker": "o", "markevery": [-1], "markersize": 4}
_POINT: Any = {"linestyle": "", "marker": "o", "markersize": 5.5, "elinewidth": 2.0}
_THROUGH: Any = {"linewidth": 1.2, "alpha": 0.6}

Groups = Mapping[float, Sequence[Run]]
"""The runs of each λ, in increasing order of λ."""


def groups_of(sweep: Sweep) -> Groups:
    """Return the runs of each λ that has any that did not diverge, in increasing order of λ.

    Raises
    ------
    RunError
        If there is none.
    """
    found = sorted(sweep.by_lambda.items())
    groups = {l2_lambda: list(runs.values()) for l2_lambda, runs in found if runs}
    if not groups:
        raise RunError(f"{sweep.path} has no run yet that ended without diverging")
    return groups


def _shown(groups: Groups) -> tuple[Groups, str]:
    """Return the λ that curves and images have space for, and a note if these are not all."""
    if len(groups) <= MAX_SHOWN:
        return groups, ""
    l2_lambdas, places = list(groups), np.linspace(0, len(groups) - 1, MAX_ENDS)
    shown = [l2_lambdas[place] for place in places.round().astype(int)]
    note = f"{len(shown)} of {len(groups)} λ are shown. "
    return {l2_lambda: groups[l2_lambda] for l2_lambda in shown}, note


def val_accuracy_figure(sweep: Sweep) -> Figure:
    """Draw the validation accuracy over steps, one curve per λ, with its spread over the seeds."""
    (groups, note), words = _shown(groups_of(sweep)), _words("Validation accuracy", sweep)
    runs = [run for members in groups.values() for run in members]
    curves: list[Curve] = []
    edges: list[Curve] = []
    colors = sequential_colors(len(groups))
    with page(words, note.strip()) as figure:
        axes = figure.subplots()
        step_axes(axes, "validation accuracy (fraction)", runs)
        are_many = len(groups) > FEW_LAMBDAS
        dashes = cycle(DASHES if are_many else DASHES[:1])
        for (l2_lambda, members), color, dash in zip(groups.items(), colors, dashes, strict=False):
            steps, mean, sd = over_seeds(members, "val_accuracy")
            end = "" if are_many else f"\n{_end(members)}"
            look = {"color": color, "linestyle": dash, **_LINE}
            axes.plot(steps, mean, label=f"λ = {l2_lambda:.3g}{end}", **look)
            curves.append((steps, mean))
            if len(members) > 1:
                axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.25, linewidth=0)
                edges += [(steps, mean - sd), (steps, mean + sd)]
        limits = robust_limits(steady(curves), edges if len(steady(curves)) == len(curves) else ())
        fit_y(axes, limits, curves, ".3f", ceiling=1.0)
        for line, (_, values) in zip(axes.lines, curves, strict=False):
            if values.max() < axes.get_ylim()[0]:
                line.set_label(f"{line.get_label()}\nbelow the panel")
        name_steps(axes, runs)
        if FEW_LAMBDAS < len(groups) <= MAX_ENDS:
            label_ends(axes, curves, [f"λ = {l2_lambda:.3g}" for l2_lambda in groups])
        else:
            add_legend(axes)
    return figure


def final_accuracy_figure(sweep: Sweep) -> Figure:
    """Draw the last accuracies against λ: where the two sets part, and where both fall."""
    groups, words = groups_of(sweep), _words("Accuracy at the last check", sweep)
    note = (
        "Where both sets fall, the penalty, the learning rate or too few steps limit the fit; "
        "where the training set alone gains, λ is small (variance)."
    )
    with page(words, note) as figure:
        axes = figure.subplots()
        lambda_axis(axes, list(groups))
        name_axes(axes, "accuracy (fraction)", "λ (log scale)")
        for column, color, label in (
            ("train_accuracy", BLUE, "training set"),
            ("val_accuracy", VERMILION, "validation set"),
        ):
            draw_points(axes, groups, partial(_last, column), color=color, label=label)
        end_at_one(axes)
        add_legend(axes)
    return figure


def weight_norm_figure(sweep: Sweep) -> Figure:
    """Draw the norm of the weights at the end against λ, and its square."""
    groups, words = groups_of(sweep), _words("Final weight norm", sweep)
    note = (
        "The penalty λ Σ W² pulls all weights towards 0, the bias too. The course's own solution "
        "plots the square of the norm."
    )
    titles = ("weight norm ‖W‖ (Frobenius)", "its square, ‖W‖² = Σ W²")
    with page(words, note) as figure:
        for power, axes, title in zip((1, 2), side_by_side(figure, 1, 1), titles, strict=True):
            lambda_axis(axes, list(groups))
            name_axes(axes, title, "λ (log scale)")
            number = partial(_last, "weight_norm", power=power)
            for x, norm in draw_points(axes, groups, number, color=BLUE):
                if len(groups) <= FEW_LAMBDAS:
                    axes.annotate(f"{norm:#.3g}", (x, norm), (6, 6), textcoords="offset points")
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    return figure


def lambda_axis(axes: Axes, l2_lambdas: Sequence[float], max_ticks: int = MAX_TICKS) -> None:
    """Make x logarithmic in λ, with a break between λ = 0, which has no logarithm, and the rest.

    Up to `max_ticks` λ are all labelled; with more, powers of ten are.
    """
    positive = sorted(value for value in l2_lambdas if value > 0) or [1.0]
    decades = math.log10(positive[-1] / positive[0]) or 1.0
    axes.set_xscale("symlog", linthresh=positive[0], linscale=max(0.25, 0.25 * decades))
    ticks = _ticks(l2_lambdas, max_ticks)
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_xticks([], minor=True)
    factor = 10 ** (0.06 * decades if len(positive) > 1 else 0.3)
    has_zero = 0 in l2_lambdas
    left = -0.4 * positive[0] if has_zero else positive[0] / factor
    axes.set_xlim(left, positive[-1] * factor if max(l2_lambdas) else 0.4)
    if has_zero and max(l2_lambdas):
        _mark_break(axes, positive[0] / 2)


def _ticks(l2_lambdas: Sequence[float], max_ticks: int) -> list[float]:
    """Return the λ themselves, or, if these are many, powers of ten among them, and 0."""
    above_zero = [value for value in l2_lambdas if value > 0]
    if len(l2_lambdas) <= max_ticks:
        return list(l2_lambdas)
    first, last = math.log10(min(above_zero)), math.log10(max(above_zero))
    step = math.ceil((last - first) / max_ticks) or 1
    powers = [10.0**k for k in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, step)]
    if len(powers) < 2:
        powers = [min(above_zero), max(above_zero)]
    return [0.0] * (0 in l2_lambdas) + powers


def _mark_break(axes: Axes, x: float) -> None:
    """Cut the x axis at a place."""
    for marker, size, color in (("s", 5, "white"), ([(-0.9, -1), (-0.1, 1)], 9, MUTED),
                                ([(0.1, -1), (0.9, 1)], 9, MUTED)):  # fmt: skip
        axes.plot(
            [x],
            [0],
            marker=marker,
            markersize=size,
            color=color,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            zorder=10,
        )


def over_seeds(
    runs: Sequence[Run], column: str
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return steps, mean and standard deviation of a column, up to the end of the shortest run."""
    n = min(len(run.metrics["step"]) for run in runs)
    values = np.stack([run.metrics[column][:n] for run in runs])
    sd = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(n)
    return runs[0].metrics["step"][:n], values.mean(axis=0), sd


def _end(runs: Sequence[Run]) -> str:
    """Return the mean accuracy at the last checks of some runs, each at its own end."""
    return f"{np.mean([run.metrics['val_accuracy'][-1] for run in runs]):.4f} at the last check"


def draw_points(
    axes: Axes,
    groups: Groups,
    number: Callable[[Run], float],
    *,
    color: str,
    label: str | None = None,
) -> list[tuple[float, float]]:
    """Draw a number of each run against λ, with its spread over the seeds; return (λ, mean).

    λ = 0 is joined to the others by a dotted line, since the axis is broken there.
    """
    values = [np.array([number(run) for run in runs]) for runs in groups.values()]
    means = np.array([each.mean() for each in values])
    sds = [each.std(ddof=1) if len(each) > 1 else 0.0 for each in values]
    x = np.array(list(groups))
    axes.errorbar(x, means, sds, color=color, label=label, **_POINT)
    first = 1 if 0 in groups else 0  # of the points that stand on the logarithmic scale
    axes.plot(x[first:], means[first:], color=color, **_THROUGH)
    axes.plot(x[: first + 1], means[: first + 1], color=color, linestyle=":", **_THROUGH)
    return list(zip(x.tolist(), means.tolist(), strict=True))


def _last(column: str, run: Run, power: int = 1) -> float:
    """Return a power of a number of the last check of a run."""
    return float(run.metrics[column][-1]) ** power


def _words(what: str, sweep: Sweep) -> tuple[str, str, str]:
    runs = [run for members in groups_of(sweep).values() for run in members]
    return captions.of_sweep(what, sweep, runs)


def lambda_weights_figure(sweep: Sweep) -> Figure:
    """Draw the weights at the last check, for each λ those of its first seed.

    Raises
    ------
    RunError
        If there are none, or a file of weights is missing or damaged.
    """
    groups, note = _shown(groups_of(sweep))
    runs = [members[0] for members in groups.values()]
    first = runs[0]
    tiles = np.concatenate(
        [run.weights["last"][:-1].T.reshape(-1, *first.image_shape) for run in runs]
    )
    n_lambdas, n_outputs = len(runs), first.weights_shape[1]
    note += (
        "Weights after the last step: change of the logit per unit of pixel, pixels being "
        f"{captions.scaling_text(first)}. Colours follow the square root, so that small ones show."
    )
    height = HEIGHT + 0.62 * max(0, n_lambdas - 5) * (n_outputs > 1)
    with page(captions.of_sweep("Weights", sweep, runs), note, height) as figure:
        axes = figure.subplots()
        lambdas = [f"λ = {run.config.training.l2_lambda:.3g}" for run in runs]
        norms = [f"‖W‖ = {run.metrics['weight_norm'][-1]:#.3g}" for run in runs]
        columns = n_outputs if n_outputs > 1 else None
        is_beside = n_outputs > 1 and not is_for_paper()
        words_height = 0.0 if is_beside else 0.2 if columns else 0.4
        grid = Tiles(axes, tiles, words_height, columns, fills_width=is_for_paper())
        image = grid.draw(cmap=COLORMAP, norm=root_scale(tiles))
        if is_beside:
            grid.name_rows(list(map("\n".join, zip(lambdas, norms, strict=True))))
        else:  # above the first tile of each λ
            between = ", " if columns else "\n"
            for i, words in enumerate(zip(lambdas, norms, strict=True)):
                grid.write_above(i * n_outputs, between.join(words), fontweight="normal")
        if columns:
            grid.name_columns([str(label) for label in first.classes], below=is_for_paper())
        add_colorbar(axes, image, first)
    return figure


def root_scale(weights: NDArray[Any]) -> Normalize:
    """Return a colour scale, centred on 0, that follows the square root of the weights.

    The weights of a large λ are many times smaller than those of λ = 0; on a scale in proportion
    to the latter, they would be white.
    """
    limit = float(np.abs(weights).max()) or 1.0
    return FuncNorm((_signed_root, _signed_square), -limit, limit)


def _signed_root(x: NDArray[Any]) -> NDArray[Any]:
    root: NDArray[Any] = np.sign(x) * np.sqrt(np.abs(x))
    return root


def _signed_square(x: NDArray[Any]) -> NDArray[Any]:
    square: NDArray[Any] = np.sign(x) * np.square(x)
    return square
