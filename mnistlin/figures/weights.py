"""The weights of a linear model as images: a tile an output, all on one colour scale."""

from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.style import (
    FAINT,
    FOOTER,
    HEADER,
    HEIGHT,
    MARGIN,
    MUTED,
    NOTE,
    WIDTH,
    house_style,
    new_figure,
    place,
    say_instead,
    write_note,
)
from mnistlin.runs.folder import Run

COLORMAP = "RdBu_r"  # white at 0; told apart by the colour-blind
TITLE_HEIGHT, GAP = 0.28, 0.14
COLORBAR_WIDTH, COLORBAR_ROOM, COLORBAR_FOOT = 0.14, 1.05, 0.22
COLORBAR_MIN_HEIGHT = 1.5
LETTER_WIDTH, BIAS_WIDTH = 0.09, 0.8
"""Of a letter of a tile's label, and of its bias; all are inches."""

MIN_TILE, MAX_HEIGHT, HEIGHT_STEP = 0.45, 40.0, 0.5
"""The page grows until a side of a tile is at least so long."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, width, height in inches."""


@house_style()
def weights_figure(run: Run) -> Figure:
    """Draw the weights at the last check of a run.

    Raises
    ------
    RunError
        If weights.npz is missing or damaged.
    """
    W = run.weights["last"]
    if not np.isfinite(W).all():
        raise RunError(f"{run.path / 'weights.npz'}: the last weights are not all finite numbers")
    if not len(run.metrics["step"]):
        figure = new_figure(*captions.of_run("Weights", run))
        say_instead(figure, "no check was reached", captions.ending(run))
        return figure
    height, boxes = tile_page(W.shape[1], run.image_shape)
    figure = new_figure(*captions.of_run("Weights", run), height=height)
    scale, labels = symmetric_scale(W[:-1]), _tile_labels(run)
    shows_bias = all(_has_room_for_bias(label, boxes[0][2]) for label in labels)
    for box, label, column in zip(boxes, labels, W.T, strict=True):
        axes = place(figure, *box)
        image = draw_tile(axes, column[:-1].reshape(run.image_shape), scale)
        axes.set_title(label, loc="left", pad=4, fontsize=10, fontweight="bold")
        if shows_bias:
            axes.set_title(
                f"bias {signed(column[-1])}", loc="right", pad=4, fontsize=8, color=MUTED
            )
    add_colorbar(figure, image, boxes, run)
    _write_note(figure, run, shows_bias=shows_bias)
    return figure


def symmetric_scale(weights: NDArray[Any]) -> Normalize:
    """Return the colour scale that just holds some weights, centred on 0."""
    limit = float(np.abs(weights).max()) or 1.0
    return Normalize(-limit, limit)


def draw_tile(axes: Axes, pixels: NDArray[Any], scale: Normalize) -> AxesImage:
    """Draw the weights of one output, (height, width), as an image with its first row on top."""
    image = axes.imshow(pixels, cmap=COLORMAP, norm=scale, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT)
    return image


def tile_boxes(n_tiles: int, image_shape: tuple[int, int], room: Box) -> list[Box]:
    """Return where each tile goes, row by row: as large as the room allows, in the middle of it.

    Parameters
    ----------
    n_tiles : int
        How many.
    image_shape : (int, int)
        Height and width of an image in pixels; pixels are square.
    room : Box
        What the tiles, with a title above each, may fill.
    """
    left, bottom, room_width, room_height = room
    height, width = image_shape

    def pixel_size(n_columns: int) -> float:
        n_rows = -(-n_tiles // n_columns)
        return min(
            ((room_width + GAP) / n_columns - GAP) / width,
            ((room_height + GAP) / n_rows - GAP - TITLE_HEIGHT) / height,
        )

    n_columns = max(range(1, n_tiles + 1), key=pixel_size)
    n_rows = -(-n_tiles // n_columns)
    size = pixel_size(n_columns)
    tile_width, tile_height = size * width, size * height
    step_x, step_y = tile_width + GAP, tile_height + TITLE_HEIGHT + GAP
    x = left + (room_width - n_columns * step_x + GAP) / 2
    y = bottom + (room_height + n_rows * step_y - GAP) / 2 - TITLE_HEIGHT - tile_height
    return [
        (x + column * step_x, y - row * step_y, tile_width, tile_height)
        for row, column in (divmod(tile, n_columns) for tile in range(n_tiles))
    ]


def tile_page(n_tiles: int, image_shape: tuple[int, int]) -> tuple[float, list[Box]]:
    """Return the height of a page on which the tiles are large enough, and where they go."""
    left, bottom = MARGIN, FOOTER + NOTE + COLORBAR_FOOT
    right = WIDTH - MARGIN - COLORBAR_ROOM
    for height in np.arange(HEIGHT, MAX_HEIGHT, HEIGHT_STEP):
        room = (left, bottom, right - left, height - HEADER - bottom)
        boxes = tile_boxes(n_tiles, image_shape, room)
        if max(boxes[0][2:]) >= MIN_TILE:
            break
    return height, boxes


def signed(weight: float) -> str:
    """Return a weight such as +0.012, with a true minus sign if it has one."""
    return f"{weight:+.2g}".replace("-", "−")


def _tile_labels(run: Run) -> list[str]:
    """Return what each output speaks for."""
    if run.weights_shape[1] == 1:  # one output for two classes
        return [captions.classes_text(run)]
    return [str(label) for label in run.classes]


def _has_room_for_bias(label: str, tile_width: float) -> bool:
    return tile_width >= LETTER_WIDTH * len(label) + BIAS_WIDTH


def add_colorbar(figure: Figure, image: AxesImage, boxes: list[Box], run: Run) -> None:
    """Add a colour bar as high as the tiles, and say at its ends what its colours speak for."""
    bottom, top = boxes[-1][1], boxes[0][1] + boxes[0][3]
    missing = max(0.0, COLORBAR_MIN_HEIGHT - (top - bottom))
    label_width = LETTER_WIDTH * max(map(len, _tile_labels(run)))
    x = max(left + max(width, label_width) for left, _, width, _ in boxes) + 0.3
    axes = place(figure, x, bottom - missing / 2, COLORBAR_WIDTH, top - bottom + missing)
    figure.colorbar(image, cax=axes).outline.set_visible(False)
    axes.tick_params(length=2, labelsize=8.5)
    if run.weights_shape[1] == 1:
        above, below = f"for {run.classes[0]} (y = 1)", f"for {run.classes[-1]} (y = 0)"
    else:
        above, below = "for the class", "against it"
    for words, y, va in ((above, 1.0, "bottom"), (below, 0.0, "top")):
        offset = (0, 6 if y else -6)
        axes.annotate(
            words, (0, y), offset, xycoords="axes fraction", textcoords="offset points", va=va
        )


def _write_note(figure: Figure, run: Run, *, shows_bias: bool) -> None:
    """Say which weights these are, in which unit, and what the tiles leave out."""
    biases = run.weights["last"][-1]
    ends = dict.fromkeys([signed(biases.min()), signed(biases.max())])
    values = "" if shows_bias else f", {' to '.join(ends)},"
    write_note(
        figure,
        f"Weights after step {run.metrics['step'][-1]:,}: change of the logit per unit of pixel, "
        f"pixels being {captions.scaling_text(run)}. The bias{values} is no part of the image.",
    )
