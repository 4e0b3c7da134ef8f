"""A score against the swept keys: a curve for one key, a heat map for two, panels for more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.style import (
    BLUE,
    FAINT,
    FOOTER,
    HEADER,
    HEIGHT,
    INK,
    MUTED,
    NOTE,
    VERMILION,
    end_at_one,
    is_dark,
    is_for_paper,
    legend_beside,
    name_axes,
    page,
    say_instead,
    sequential_colors,
)
from mnistlin.runs.sweep_folder import Key, Sweep, column_of, value_text

LOG_KEYS = frozenset(
    {
        "training.l2_lambda",
        "training.learning_rate",
        "training.batch_size",
        "data.train_size",
        "early_stopping.patience",
    }
)
"""Keys whose values span orders of magnitude."""

SIZE = "data.train_size"

MAX_PANELS = 12
MAX_LABEL = 14
"""Maximum length of a tick label; longer ones are shortened in the middle."""

MAX_WRITTEN, MAX_SPREAD = 14, 8
"""Maximum number of columns of cells for means to be written into them, or means and spreads."""

MAX_ROWS_WITH_SPREAD = 5
"""Maximum number of rows of cells for spreads to be written into them."""

_POINT: Any = {"marker": "o", "markersize": 5.5, "linewidth": 1.2, "elinewidth": 1.6}

Values: TypeAlias = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Grid:
    """A score of each setting of a sweep, over its seeds, and what is to be marked."""

    what: str
    means: Mapping[Key, float]
    sds: Mapping[Key, float]
    train: Mapping[Key, float]
    """The same score on the training set, drawn where one key is swept; may be empty."""
    best: Key
    similar: Sequence[Key]
    excluded: Mapping[Key, str]
    """Settings that cannot be chosen, and why in one word."""


def grid_figure(sweep: Sweep, grid: Grid) -> Figure:
    """Draw a score against all swept keys of a sweep, with its best setting marked."""
    swept = sweep.settings.swept
    runs = [run for runs in sweep.by_setting.values() for run in runs.values()]
    is_curve = len(swept) == 1 and grid.train
    what = grid.what.removeprefix("validation ") if is_curve else grid.what
    title, _, foot = captions.of_sweep(what.capitalize(), sweep, runs)
    words = (title, _settings(sweep), foot)
    if not swept:
        with page(words) as figure:
            say_instead(figure, "All members differ in the seed alone.")
        return figure
    if len(swept) == 1:
        return _curve(words, grid, next(iter(swept.items())))
    if len(swept) == 2 and SIZE in swept and len(swept[SIZE]) > 2:
        return _learning_curves(words, grid, swept)
    *outer, x, y = _by_size(swept)
    return _heat_maps(words, grid, dict(swept), outer, x, y)


def _settings(sweep: Sweep) -> str:
    how = sweep.config.training
    fixed = {
        "training.epochs": "1 epoch" if how.epochs == 1 else f"{how.epochs} epochs",
        "training.batch_size": f"batches of {how.batch_size}",
        "training.learning_rate": f"learning rate {how.learning_rate:g}",
        "training.l2_lambda": f"λ = {how.l2_lambda:g}",
    }
    n_seeds = len(sweep.settings.seeds)
    seeds = [f"mean ± sd of {n_seeds} seeds"] if n_seeds > 1 else ["one seed"]
    swept = sweep.settings.swept
    words = ", ".join([text for key, text in fixed.items() if key not in swept] + seeds)
    return "; ".join(filter(None, [words, captions.unstable(sweep)]))


def _by_size(swept: Values) -> list[str]:
    """Return the keys, those with the most values last, which become the axes of heat maps."""
    *outer, a, b = sorted(swept, key=lambda key: len(swept[key]))
    return [*outer, b, a]


def _name(key: str) -> str:
    return "λ" if key == "training.l2_lambda" else column_of(key)


def _label(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else value_text(value)
    half = (MAX_LABEL - 1) // 2
    return text if len(text) <= MAX_LABEL else f"{text[:half]}…{text[-half:]}"


def _curve(words: tuple[str, str, str], grid: Grid, swept: tuple[str, Sequence[Any]]) -> Figure:
    key, values = swept
    x = _positions(key, values)
    note = "Large ring: the best setting"
    note += "; small rings: not significantly different from it" if grid.similar else ""
    with page(words, f"{note}.") as figure:
        axes = figure.add_subplot()
        if grid.train:
            _draw_series(axes, x, values, grid.train, {}, VERMILION, "training set")
        _draw_series(axes, x, values, grid.means, grid.sds, BLUE, "validation set")
        for mark, size in (*((each, 9) for each in grid.similar), (grid.best, 14)):
            at = (x[list(values).index(mark[0])], grid.means[mark])
            axes.plot(*at, marker="o", markersize=size, color="none", markeredgecolor=INK)
        for mark, why in grid.excluded.items():
            at = x[list(values).index(mark[0])]
            axes.axvline(at, color=FAINT, linewidth=6, zorder=0)
            low, high = axes.get_ylim()
            is_below = grid.means.get(mark, high) < (low + high) / 2  # its point, if it has one
            axes.annotate(
                why,
                (at, 0.98 if is_below else 0.02),
                xycoords=axes.get_xaxis_transform(),
                rotation=90,
                color=MUTED,
                ha="center",
                va="top" if is_below else "bottom",
            )
        is_log = _is_log(key, values)
        what = grid.what.removeprefix("validation ") if grid.train else grid.what
        name_axes(axes, what, f"{_name(key)}{' (log scale)' if is_log else ''}")
        _label_axis(axes, values, x)
        if "accuracy" in grid.what:
            end_at_one(axes)
        if grid.train:
            legend_beside(axes)
    return figure


def _learning_curves(words: tuple[str, str, str], grid: Grid, swept: Values) -> Figure:
    """Draw a score against the number of images, one curve for each value of the other key."""
    names = list(swept)
    (other,) = (name for name in names if name != SIZE)
    sizes, x = swept[SIZE], _positions(SIZE, swept[SIZE])
    with page(words, f"Dashed: the best {_name(other)} for each number of images.") as figure:
        axes = figure.add_subplot()
        best: dict[Key, float] = {}
        shown = [value for value in swept[other] if _is_number(value)]
        values = sorted(shown) if len(shown) == len(swept[other]) else swept[other]
        for value, color in zip(values, sequential_colors(len(values)), strict=True):
            keys: dict[Key, Key] = {
                (size,): tuple({SIZE: size, other: value}[n] for n in names) for size in sizes
            }
            means = {at: grid.means[key] for at, key in keys.items() if key in grid.means}
            sds = {at: grid.sds[key] for at, key in keys.items() if key in grid.sds}
            label = f"{_name(other)} {_label(value)}"
            _draw_series(axes, x, sizes, means, sds, color, label)
            for at, mean in means.items():
                if keys[at] in grid.excluded:
                    continue
                is_better = min if "loss" in grid.what else max
                best[at] = is_better(best.get(at, mean), mean)
        at, y = zip(*sorted((x[list(sizes).index(key[0])], best[key]) for key in best), strict=True)
        axes.plot(at, y, linestyle=(0, (3, 3)), color=INK, linewidth=2.2, zorder=3)
        name_axes(axes, grid.what, f"{_name(SIZE)} (log scale)")
        _label_axis(axes, sizes, x)
        legend_beside(axes)
    return figure


def _draw_series(  # noqa: PLR0913, PLR0917
    axes: Axes,
    x: NDArray[np.float64],
    values: Sequence[Any],
    means: Mapping[Key, float],
    sds: Mapping[Key, float],
    color: Any,
    label: str,
) -> None:
    shown = sorted((x[i], (v,)) for i, v in enumerate(values) if (v,) in means)
    at = [each for each, _ in shown]
    y = [means[key] for _, key in shown]
    errors = [sds.get(key, 0.0) for _, key in shown]
    line: Any = {} if _is_ordered(values) else {"linestyle": ""}
    axes.errorbar(at, y, errors, color=color, label=label, **_POINT, **line)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ordered(values: Sequence[Any]) -> bool:
    return all(_is_number(value) or value is None for value in values)


def _is_log(key: str, values: Sequence[Any]) -> bool:
    numbers = [value for value in values if _is_number(value)]
    return key in LOG_KEYS and len({value for value in numbers if value > 0}) > 1


def _positions(key: str, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return the positions of values on an axis: by logarithm, by value, or evenly spaced.

    On a log axis 0 stands one step left of the smallest number; null, which means all, one step
    right of the largest.
    """
    if not _is_ordered(values) or not any(_is_number(value) for value in values):
        return np.arange(len(values), dtype=float)
    is_log = _is_log(key, values)
    scaled = [
        None
        if value is None or (is_log and value == 0)
        else math.log10(value)
        if is_log
        else float(value)
        for value in values
    ]
    numbers = [each for each in scaled if each is not None]
    step = (max(numbers) - min(numbers)) / max(1, len(numbers) - 1) or 1.0
    return np.array(
        [
            each if each is not None else max(numbers) + step if v is None else min(numbers) - step
            for v, each in zip(values, scaled, strict=True)
        ]
    )


def _label_axis(axes: Axes, values: Sequence[Any], x: NDArray[np.float64]) -> None:
    """Write the values below the axis, except those that would overlap."""
    order = np.argsort(x)
    labels = {i: _label(values[i]) for i in order}
    span = float(np.ptp(x)) or 1.0
    kept: list[int] = []
    for i in order:
        needed = span * 0.013 * max(len(labels[i]), len(labels[kept[-1]]) if kept else 0)
        if not kept or x[i] - x[kept[-1]] >= needed:
            kept.append(i)
    axes.set_xticks(x[kept], [labels[i] for i in kept])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(x.min() - 0.06 * span, x.max() + 0.06 * span)


def _heat_maps(  # noqa: PLR0913, PLR0917
    words: tuple[str, str, str], grid: Grid, swept: Values, outer: Sequence[str], x: str, y: str
) -> Figure:
    names = list(swept)
    panels = list(product(*(swept[key] for key in outer)))
    shown = panels[:MAX_PANELS]
    n_columns = 1 if len(shown) == 1 or is_for_paper() else 2 if len(shown) <= 4 else 3
    n_rows = math.ceil(len(shown) / n_columns)
    body = max(HEIGHT - HEADER - FOOTER - NOTE, n_rows * max(1.6, 0.6 + 0.28 * len(swept[y])))
    low, high = min(grid.means.values()), max(grid.means.values())
    scale = Normalize(low, high if high > low else low + 1e-9)
    n_across = len(swept[x]) * n_columns
    shows_sd = n_across <= MAX_SPREAD and len(swept[y]) <= MAX_ROWS_WITH_SPREAD
    if not shows_sd:
        words = (words[0], words[1].replace("mean ± sd", "mean"), words[2])
    note = "Framed: the best setting"
    note += "; dots: not significantly different from it" if grid.similar else ""
    is_hatched = any(key in grid.means for key in grid.excluded)
    note += "; hatched: unstable learning rate" if is_hatched else ""
    note += "; ×: diverged, failed or not trained" if len(grid.means) < _size(swept) else ""
    note += f"; {len(panels) - len(shown)} panels left out" if len(panels) > len(shown) else ""
    with page(words, f"{note}.", HEADER + FOOTER + NOTE + body) as figure:
        all_axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for axes in all_axes.flat[len(shown) :]:
            axes.set_visible(False)
        for i, (axes, setting) in enumerate(zip(all_axes.flat, shown, strict=False)):
            fixed = dict(zip(outer, setting, strict=True))
            cells = [
                [tuple({**fixed, x: b, y: a}[name] for name in names) for b in swept[x]]
                for a in swept[y]
            ]
            _draw_cells(axes, grid, cells, scale, n_across, shows_sd=shows_sd)
            title = "\n".join(f"{_name(key)} {_label(value)}" for key, value in fixed.items())
            is_lowest = i >= len(shown) - n_columns
            name_axes(axes, title or _name(y), _name(x) if is_lowest else "")
            axes.tick_params(labelbottom=is_lowest)
            if title and i % n_columns == 0:
                axes.set_ylabel(_name(y))
            _tick(axes, swept[x], swept[y], n_columns)
        mappable = mpl.cm.ScalarMappable(scale, mpl.colormaps["viridis"])
        figure.colorbar(mappable, ax=all_axes, label=grid.what, shrink=0.9, pad=0.02)
    return figure


def _size(swept: Values) -> int:
    return math.prod(map(len, swept.values()))


def _tick(axes: Axes, x_values: Sequence[Any], y_values: Sequence[Any], n_columns: int) -> None:
    labels = [_label(value) for value in x_values]
    is_crowded = sum(map(len, labels)) * n_columns > 70
    axes.set_xticks(
        range(len(labels)),
        labels,
        rotation=45 if is_crowded else 0,
        ha="right" if is_crowded else "center",
    )
    axes.set_yticks(range(len(y_values)), [_label(value) for value in y_values])
    axes.grid(visible=False)


def _draw_cells(  # noqa: PLR0913
    axes: Axes,
    grid: Grid,
    cells: Sequence[Sequence[Key]],
    scale: Normalize,
    n_across: int,
    *,
    shows_sd: bool,
) -> None:
    means = np.array([[grid.means.get(key, np.nan) for key in row] for row in cells])
    colors = mpl.colormaps["viridis"]
    axes.imshow(means, cmap=colors, norm=scale, aspect="auto")
    for i, row in enumerate(cells):
        for j, key in enumerate(row):
            if key not in grid.means:
                axes.text(j, i, "×", ha="center", va="center", color=MUTED)
                continue
            ink = "white" if is_dark(colors(scale(means[i, j]))) else INK
            if n_across <= MAX_WRITTEN:
                sd = f"\n± {grid.sds[key]:.4f}" if shows_sd and key in grid.sds else ""
                text = f"{means[i, j]:.4f}{sd}"
                look: Any = {"color": ink, "fontsize": 8.5 if n_across <= MAX_SPREAD else 7.5}
                axes.text(j, i, text, ha="center", va="center", linespacing=1.3, **look)
            if key in grid.similar:
                axes.plot(j + 0.38, i - 0.32, marker="o", markersize=4, color=ink)
            if key in grid.excluded:
                look = {
                    "fill": False,
                    "hatch": "//",
                    "edgecolor": ink,
                    "linewidth": 0,
                    "alpha": 0.3,
                }
                axes.add_patch(mpl.patches.Rectangle((j - 0.5, i - 0.5), 1, 1, **look))
            if key == grid.best:
                frame = mpl.patches.Rectangle(
                    (j - 0.47, i - 0.46), 0.94, 0.92, fill=False, edgecolor=VERMILION, linewidth=2.5
                )
                axes.add_patch(frame)
