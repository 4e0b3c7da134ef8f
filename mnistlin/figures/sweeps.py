"""A logarithmic axis for λ with a place for λ = 0, which has no logarithm: left of a break.

What λ does, from the runs of a sweep: accuracy over steps, and accuracy and weights over λ.

The weights of a sweep as images: a row a λ, a tile an output, all on one colour scale.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.panel import (
    ABOVE,
    Y_TICKS_WIDTH,
    Y_TITLE_HEIGHT,
    Curve,
    add_legend,
    fit_y,
    name_steps,
    robust_limits,
    step_axes,
)
from mnistlin.figures.style import (
    BLUE,
    FOOTER,
    HEADER,
    HEIGHT,
    MARGIN,
    MUTED,
    NOTE,
    VERMILION,
    WIDTH,
    house_style,
    new_figure,
    place,
    sequential_colors,
    write_note,
)
from mnistlin.figures.weights import (
    COLORBAR_FOOT,
    COLORBAR_ROOM,
    Box,
    add_colorbar,
    draw_tile,
    tile_page,
)
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

BREAK = 0.2
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
    zero = min(logs) - (BREAK * (max(logs) - min(logs)) or 1.0)
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


LABEL_WIDTH, COLUMN_TITLE, GAP = 1.1, 0.25, 0.06
BELOW_TILES = FOOTER + NOTE + COLORBAR_FOOT
MAX_TILE_HEIGHT, MIN_PAGE_HEIGHT = 1.2, 3.8


@house_style()
def lambda_weights_figure(sweep: Sweep) -> Figure:
    """Draw the weights at the last check, for each λ those of its first seed.

    Raises
    ------
    RunError
        If there are none, or a file of weights is missing or damaged.
    """
    runs = {l2_lambda: members[0] for l2_lambda, members in groups_of(sweep).items()}
    weights = np.stack([_without_bias(run) for run in runs.values()])
    first = next(iter(runs.values()))
    rows, height = _layout(weights.shape[0], weights.shape[1], first.image_shape)
    words = captions.of_sweep("Weights", sweep, list(runs.values()))
    figure = new_figure(*words, height=height)
    scale = root_scale(weights)
    for (l2_lambda, run), boxes, tiles in zip(runs.items(), rows, weights, strict=True):
        for box, pixels in zip(boxes, tiles, strict=True):
            image = draw_tile(place(figure, *box), pixels, scale)
        _label_row(figure, boxes[0], l2_lambda, run, is_beside=len(boxes) > 1)
    if len(rows[0]) > 1:
        _label_columns(figure, rows[0], first.classes)
    add_colorbar(figure, image, [box for boxes in rows for box in boxes], first)
    write_note(
        figure,
        "Weights after the last step: change of the logit per unit of pixel, pixels being "
        f"{captions.scaling_text(first)}. Colours follow the square root, so that small weights "
        "show.",
    )
    return figure


def root_scale(weights: NDArray[Any]) -> Normalize:
    """Return a colour scale, centred on 0, on which colours go with the square root of weights.

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


def _without_bias(run: Run) -> NDArray[Any]:
    """Return the last weights without the bias, (n_outputs, height, width)."""
    W = run.weights["last"]
    if not np.isfinite(W).all():
        raise RunError(f"{run.path / 'weights.npz'}: the last weights are not all finite numbers")
    return W[:-1].T.reshape(-1, *run.image_shape)


def _layout(
    n_lambdas: int, n_outputs: int, image_shape: tuple[int, int]
) -> tuple[list[list[Box]], float]:
    """Return where the tiles of each λ go, from the first at the top, and the height of the page.

    Of a model with one output, the tiles of all λ share the room of a page.
    """
    if n_outputs == 1:
        height, boxes = tile_page(n_lambdas, image_shape)
        return [[box] for box in boxes], height
    room = WIDTH - 2 * MARGIN - LABEL_WIDTH - COLORBAR_ROOM
    pixel = min(((room + GAP) / n_outputs - GAP) / image_shape[1], MAX_TILE_HEIGHT / image_shape[0])
    tile_height, tile_width = pixel * image_shape[0], pixel * image_shape[1]
    step_x, step_y = tile_width + GAP, tile_height + GAP
    needed = BELOW_TILES + n_lambdas * step_y + COLUMN_TITLE + HEADER
    spare = max(0.0, MIN_PAGE_HEIGHT - needed)
    left, bottom = MARGIN + LABEL_WIDTH, BELOW_TILES + spare / 2
    rows = [
        [
            (left + k * step_x, bottom + i * step_y, tile_width, tile_height)
            for k in range(n_outputs)
        ]
        for i in reversed(range(n_lambdas))
    ]
    return rows, needed + spare


def _label_row(figure: Figure, box: Box, l2_lambda: float, run: Run, *, is_beside: bool) -> None:
    """Name λ and its weight norm, to the left of a row or above a tile."""
    left, bottom, width, height = box
    norm = f"‖W‖ = {run.metrics['weight_norm'][-1]:#.3g}"
    name, x, y = f"λ = {l2_lambda:.3g}", left, bottom + height + 0.06
    if is_beside:
        x, y = MARGIN, bottom + height / 2
        _write(figure, norm, x, y - 0.04, fontsize=8, color=MUTED, va="top")
    else:
        _write(figure, norm, left + width, y, fontsize=8, color=MUTED, ha="right")
    _write(figure, name, x, y + 0.02 * is_beside, fontweight="bold")


def _label_columns(figure: Figure, boxes: Sequence[Box], classes: Sequence[int]) -> None:
    for (left, bottom, width, height), label in zip(boxes, classes, strict=True):
        _write(figure, str(label), left + width / 2, bottom + height + 0.07, ha="center")


def _write(figure: Figure, words: str, x: float, y: float, **look: Any) -> None:
    """Write words at a place given in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, words, **look)
