"""Many images of one shape in a single panel: weights or samples, each with words above it.

A panel for each image would look the same, but matplotlib takes ten times longer to make and to
place a panel than to draw an image.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mnistlin.figures.style import FAINT, INK, MUTED, space

__all__ = ["Tiles"]

GAP = 0.08
"""Between two tiles, relative to the width of one."""

PAD = 0.05
"""Inches between a tile and the words above it."""


class Tiles:
    """Places for the tiles of a panel, in rows from left to right and from the top down.

    Parameters
    ----------
    axes : Axes
        An empty panel.
    tiles : ndarray of shape (n, height, width)
        Images, the first row of each on top.
    words_height : float
        Inches for words above each tile.
    n_columns : int, optional
        By default as many as make the tiles largest in the panel.
    fills_width : bool
        Whether the tiles of a row are as far apart as the width of the panel allows.
    """

    def __init__(
        self,
        axes: Axes,
        tiles: NDArray[Any],
        words_height: float = 0.0,
        n_columns: int | None = None,
        *,
        fills_width: bool = False,
    ) -> None:
        n_tiles, height, width = map(int, tiles.shape)
        total_width, total_height = space(axes)
        gap = GAP * width

        def inches(columns: int) -> float:
            """Return the size of a pixel, if the tiles stand in so many columns."""
            row = total_height / -(-n_tiles // columns)
            by_height = (row - words_height) / height if words_height else row / (height + gap)
            return min(total_width / columns / (width + gap), by_height)

        self.n_columns = n_columns or max(range(1, n_tiles + 1), key=inches)
        self.n_rows = -(-n_tiles // self.n_columns)
        pixel = inches(self.n_columns)
        self._axes, self._tiles, self._height, self._width = axes, tiles, height, width
        self._row, self._column = height + (words_height / pixel or gap), width + gap
        if fills_width:
            self._column = max(self._column, total_width / pixel / self.n_columns)
        self._pad = PAD / pixel
        axes.set_anchor("NW" if fills_width else "N")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.set_xticks([])
        axes.set_yticks([])

    def corner(self, i: int) -> tuple[float, float]:
        """Return x and y of the upper left corner of a tile, in pixels; y grows downwards."""
        row, column = divmod(i, self.n_columns)
        return column * self._column, row * self._row

    def draw(self, **look: Any) -> AxesImage:
        """Draw the tiles, and return the last one for a colour bar."""
        frames = []
        for i, tile in enumerate(self._tiles):
            left, top = self.corner(i)
            right, bottom = left + self._width, top + self._height
            image = self._axes.imshow(tile, extent=(left, right, bottom, top), **look)
            frames.append([(left, top), (right, top), (right, bottom), (left, bottom)])
        lines: Any = {"facecolors": "none", "edgecolors": FAINT, "linewidths": 0.8}
        self._axes.add_collection(PolyCollection(frames, clip_on=False, **lines))
        above = self._row - self._height
        self._axes.set_xlim(0, self.n_columns * self._column - GAP * self._width)
        self._axes.set_ylim(self.n_rows * self._row - above, -above)
        return image

    def write_above(self, i: int, left: str, right: str = "", **look: Any) -> None:
        """Write words above the left and the right corner of tile i."""
        x, y = self.corner(i)
        look = {"fontsize": 8.0, "fontweight": "bold", "in_layout": False, **look}
        self._axes.text(x, y - self._pad, left, **look)
        if right:
            look |= {"fontsize": 8.0, "fontweight": "normal", "color": MUTED, "ha": "right"}
            self._axes.text(x + self._width, y - self._pad, right, **look)

    def name_rows(self, names: Sequence[str]) -> None:
        """Write a name to the left of each row."""
        centres = [
            self.corner(row * self.n_columns)[1] + self._height / 2 for row in range(self.n_rows)
        ]
        self._axes.set_yticks(centres, names, fontsize=8.5)

    def name_columns(self, names: Sequence[str], *, below: bool = False) -> None:
        """Write a name above, or below, each column."""
        first = range(self.n_columns)
        self._axes.set_xticks(
            [self.corner(i)[0] + self._width / 2 for i in first], names, fontsize=9.5
        )
        if not below:
            self._axes.xaxis.tick_top()
