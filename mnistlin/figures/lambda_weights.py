"""The weights of a sweep as images: a row a λ, a tile an output, all on one colour scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.lambdas import groups_of
from mnistlin.figures.style import (
    FOOTER,
    HEADER,
    MARGIN,
    MUTED,
    NOTE,
    WIDTH,
    house_style,
    new_figure,
    place,
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
        "Weights after the last step: change of the logit per unit of pixel, pixels being scaled "
        "to [−1, 1]. Colours follow the square root, so that small weights show.",
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
