"""The weights of a linear model as images: one tile per output, all on one colour scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.style import FAINT, HEIGHT, MUTED, is_for_paper, page, say_instead
from mnistlin.runs.folder import Run
from mnistlin.text import signed

__all__ = ["add_colorbar", "draw_tile", "n_columns", "weights_figure"]

COLORMAP = "RdBu_r"  # white at 0; colour-blind readers can distinguish the signs
TILES_ASPECT = 2.0
"""Width / height of the part of a page that the tiles fill."""

TITLED = 1.15
"""Height of a tile with its title, relative to the tile alone."""

ROWS_PER_PAGE, ROW_HEIGHT = 4, 0.9
"""With more rows of tiles than this the page grows by this many inches per row."""

FEW_TILES = 12
"""Up to this many tiles have their bias above them, if their names are short."""


def weights_figure(run: Run) -> Figure:
    """Draw the weights at the last check of a run.

    Raises
    ------
    RunError
        If weights.npz is missing or damaged.
    """
    W, words = run.weights["last"], captions.of_run("Weights", run)
    if not len(run.metrics["step"]):
        with page(words) as figure:
            say_instead(figure, "no check was reached", captions.ending(run))
        return figure
    pixels, biases = W[:-1].T.reshape(-1, *run.image_shape), W[-1]
    columns = n_columns(len(pixels), run.image_shape)
    rows = -(-len(pixels) // columns)
    height = HEIGHT + max(0, rows - ROWS_PER_PAGE) * ROW_HEIGHT
    has_space = len(pixels) <= FEW_TILES and not is_for_paper()
    shows_bias = has_space and captions.has_short_names(run)
    with page(words, _note(run, biases, shows_bias=shows_bias), height) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        scale = symmetric_scale(pixels)
        for axes, tile, label, bias in zip(grid, pixels, _labels(run), biases, strict=False):
            image = draw_tile(axes, tile, scale)
            axes.set_title(label, loc="left", y=1.0, pad=4, fontsize=10, fontweight="bold")
            if shows_bias:
                words_of_bias = f"bias {signed(bias, '.2g')}"
                axes.set_title(words_of_bias, loc="right", pad=4, fontsize=8, color=MUTED)
        for axes in grid[len(pixels) :]:
            axes.set_axis_off()
        add_colorbar(figure, image, list(grid), run)
    return figure


def n_columns(n_tiles: int, image_shape: tuple[int, int]) -> int:
    """Return the number of columns in which tiles of this shape fill a page best."""
    height, width = image_shape

    def pixel_size(columns: int) -> float:
        rows = -(-n_tiles // columns)
        return min(TILES_ASPECT / columns / width, 1 / (rows * height * TITLED))

    return max(range(1, n_tiles + 1), key=pixel_size)


def symmetric_scale(weights: NDArray[Any]) -> Normalize:
    """Return the colour scale that just holds some weights, centred on 0."""
    limit = float(np.abs(weights).max()) or 1.0
    return Normalize(-limit, limit)


def draw_tile(axes: Axes, pixels: NDArray[Any], scale: Normalize) -> AxesImage:
    """Draw the weights of one output, (height, width), as an image with its first row on top."""
    image = axes.imshow(pixels, cmap=COLORMAP, norm=scale, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT)
    return image


def add_colorbar(figure: Figure, image: AxesImage, tiles: Sequence[Axes], run: Run) -> None:
    """Add a colour bar beside the tiles, and say at its ends what its colours speak for."""
    where: Any = {"location": "bottom", "aspect": 40} if is_for_paper() else {"aspect": 24}
    bar = figure.colorbar(image, ax=list(tiles), pad=0.03, **where)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8.5)
    above, below = "for the class", "against it"
    if run.weights_shape[1] == 1:
        above, below = (
            f"for {captions.plain(name, 14)} (y = {y})"
            for name, y in zip(run.class_names, (1, 0), strict=True)
        )
    if is_for_paper():
        bar.ax.locator_params(nbins=5)
        bar.ax.set_title(below, loc="left")
        bar.ax.set_title(above, loc="right")
        return
    bar.ax.set_title(above, fontsize=9.5, loc="left")
    bar.ax.set_xlabel(below, loc="left")


def _labels(run: Run) -> list[str]:
    """Return what each output speaks for."""
    if run.weights_shape[1] == 1:
        return [captions.classes_text(run)]
    return [captions.plain(name, 14) for name in run.class_names]


def _note(run: Run, biases: NDArray[Any], *, shows_bias: bool) -> str:
    """Return which weights these are, in which unit, and what the tiles leave out."""
    ends = dict.fromkeys([signed(biases.min(), ".2g"), signed(biases.max(), ".2g")])
    values = "" if shows_bias else f", {' to '.join(ends)},"
    return (
        f"Weights after step {run.metrics['step'][-1]:,}: change of the logit per unit of pixel, "
        f"pixels being {captions.scaling_text(run)}. The bias{values} is not part of the image."
    )
