"""The weights of a linear model as images: one tile per output, all on one colour scale."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.style import HEIGHT, is_for_paper, page, say_instead
from mnistlin.figures.tiles import Tiles
from mnistlin.runs.folder import Run
from mnistlin.text import signed

__all__ = ["COLORMAP", "add_colorbar", "symmetric_scale", "weights_figure"]

COLORMAP = "RdBu_r"  # white at 0; colour-blind readers can distinguish the signs
TILES_PER_PAGE, TILES_PER_ROW, ROW_HEIGHT = 32, 8, 0.9
"""With more tiles the page grows by these inches for each row."""

WORDS_HEIGHT, WORDS_HEIGHT_ON_PAPER = 0.25, 0.18
"""Inches above a tile for its class and its bias."""

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
    tiles, biases = W[:-1].T.reshape(-1, *run.image_shape), W[-1]
    n_more_rows = -(-max(0, len(tiles) - TILES_PER_PAGE) // TILES_PER_ROW)
    has_space = len(tiles) <= FEW_TILES and not is_for_paper()
    shows_bias = has_space and captions.has_short_names(run)
    note = _note(run, biases, shows_bias=shows_bias)
    with page(words, note, HEIGHT + ROW_HEIGHT * n_more_rows) as figure:
        axes = figure.subplots()
        words_height = WORDS_HEIGHT_ON_PAPER if is_for_paper() else WORDS_HEIGHT
        grid = Tiles(axes, tiles, words_height)
        image = grid.draw(cmap=COLORMAP, norm=symmetric_scale(tiles))
        for i, (label, bias) in enumerate(zip(_labels(run), biases, strict=True)):
            value = f"bias {signed(bias, '.2g')}" if shows_bias else ""
            grid.write_above(i, label, value, fontsize=10.0)
        add_colorbar(axes, image, run)
    return figure


def symmetric_scale(weights: NDArray[Any]) -> Normalize:
    """Return the colour scale that just holds some weights, centred on 0."""
    limit = float(np.abs(weights).max()) or 1.0
    return Normalize(-limit, limit)


def add_colorbar(axes: Axes, image: AxesImage, run: Run) -> None:
    """Add a colour bar beside the tiles, and say at its ends what its colours speak for."""
    figure: Any = axes.get_figure()
    where: Any = {"location": "bottom", "aspect": 40} if is_for_paper() else {"aspect": 24}
    bar = figure.colorbar(image, ax=axes, pad=0.03, panchor=False, **where)
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
