"""Plain panels anywhere on a page, and images of a dataset side by side."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.figures.panel import ABOVE
from mnistlin.figures.style import FAINT, MUTED, place
from mnistlin.figures.weights import Box

CAPTION_TYPE = 8.0
CAPTION_LETTER = 0.075
"""Width of a letter of a caption, in inches."""


def pane(figure: Figure, box: Box, y_title: str, x_title: str = "") -> Axes:
    """Add a panel, with the title of y written above its upper left corner.

    Parameters
    ----------
    figure : Figure
        The page.
    box : (float, float, float, float)
        Left, bottom, width and height of its frame in inches.
    y_title, x_title : str
        What is measured, and its unit.
    """
    axes = place(figure, *box)
    axes.set_ylabel(y_title, rotation=0, ha="left", va="baseline")
    axes.yaxis.set_label_coords(0.0, 1 + ABOVE / box[3])
    axes.set_xlabel(x_title)
    return axes


def draw_images(
    figure: Figure,
    boxes: Sequence[Box],
    split: Split,
    samples: NDArray,  # type: ignore[type-arg]
    captions: Sequence[tuple[str, str]],
) -> None:
    """Draw images of a split, one a box, as dark ink on white paper.

    Parameters
    ----------
    figure : Figure
        The page.
    boxes : sequence of Box
        At least one for each image.
    split : Split
        Where the images are.
    samples : ndarray of shape (n,)
        Which of its samples.
    captions : sequence of (str, str)
        What is written above each image, at the left and at the right.
    """
    for box, sample, (left, right) in zip(boxes, samples, captions, strict=False):
        axes = place(figure, *box)
        pixels = split.images[split.rows[sample]].reshape(split.image_shape)
        axes.imshow(pixels, cmap=mpl.colormaps["gray_r"], vmin=0, vmax=255, aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT)
        axes.set_title(left, loc="left", pad=3, fontsize=CAPTION_TYPE, fontweight="bold")
        if CAPTION_LETTER * len(left + right) < box[2]:
            axes.set_title(right, loc="right", pad=3, fontsize=CAPTION_TYPE, color=MUTED)


def row_of_boxes(
    left: float, bottom: float, height: float, image_shape: tuple[int, int], room: float
) -> list[Box]:
    """Return boxes of images of this height that fit side by side into a room of some width."""
    gap = 0.08
    width = height * image_shape[1] / image_shape[0]
    n_boxes = max(1, int((room + gap) / (width + gap)))
    return [(left + i * (width + gap), bottom, width, height) for i in range(n_boxes)]
