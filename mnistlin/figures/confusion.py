"""Which classes are confused: the confusion matrix, and the recall of each class."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.style import (
    BLUE,
    HEIGHT,
    INK,
    PAPER_WIDTH,
    WIDTH,
    is_dark,
    is_for_paper,
    page,
    smallest_type,
)
from mnistlin.runs.folder import Run

__all__ = ["Counts", "accuracy", "confusion_figure", "counts_figure", "recall", "row_shares"]

GAMMA = 0.5
"""Exponent of the colour scale: in proportion to the share, errors would be invisible."""

CLASSES_PER_PAGE = 14
"""With more classes than this the page grows."""

MAX_HEIGHT, HEIGHT_PER_CLASS = 9.0, 0.2
MAX_TICKS = 30
MAX_NAME = 14
"""Maximum length of a class name; longer ones are cut."""

LARGEST_TYPE = 9.5
"""Font size in points of the counts in large cells; it shrinks with the cells."""

CELLS_WIDTH, CELLS_HEIGHT = 4.4, 1.7
"""Approximate width of all cells in inches, and by how much the page is higher than they are."""

Counts: TypeAlias = NDArray[np.integer[Any]]
"""(n_classes, n_classes): how often class i (row) was predicted as class j (column)."""


def confusion_figure(run: Run) -> Figure:
    """Draw the confusion matrix of the validation set, and the recall of each class.

    Raises
    ------
    RunError
        If confusion.csv is missing or damaged.
    """
    words = captions.of_run("Confusion matrix", run)
    return counts_figure(words, run.confusion, run.class_names, "validation images")


def counts_figure(
    words: tuple[str, str, str], counts: Counts, labels: Sequence[str], of_what: str
) -> Figure:
    """Draw a confusion matrix, and the recall of each class.

    `words` are those of the page, and `of_what` says what was counted, such as "test images".
    """
    height = HEIGHT + HEIGHT_PER_CLASS * max(0, len(labels) - CLASSES_PER_PAGE)
    height = min(height, MAX_HEIGHT)
    note = (
        f"Counts of {of_what}; blank is none. "
        f"Dashed line: accuracy {accuracy(counts):.4f}, of all {counts.sum():,}."
    )
    with page(words, note, height) as figure:
        matrix, strip = figure.subplots(1, 2, width_ratios=[4.3, 1.2])
        part = PAPER_WIDTH / WIDTH if is_for_paper() else 1.0
        cell = part * CELLS_WIDTH / len(labels), (height - CELLS_HEIGHT) / len(labels)
        norm = PowerNorm(GAMMA, 0, 1)
        cells, shares = np.arange(len(labels)), row_shares(counts)
        look: Any = {"cmap": "Blues", "norm": norm, "rasterized": len(labels) > MAX_TICKS}
        image = matrix.pcolormesh(cells, cells, shares, **look)  # imshow would take 14 MB more
        matrix.invert_yaxis()
        _write_labels(matrix, labels, *cell)
        size = _type_size(*cell, len(str(counts.max())))
        _write_counts(matrix, image, counts, size)
        _draw_recall(strip, counts, _type_size(*cell))
        if is_for_paper() and size is not None:  # there the counts do for a scale of the colours
            return figure
        bar = figure.colorbar(image, ax=strip, ticks=[0, 0.05, 0.2, 0.5, 1], fraction=0.12)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2, labelsize=8.5)
        bar.ax.set_title(
            "share of row", loc="right" if is_for_paper() else "left", fontsize=8.5, pad=8
        )
    return figure


def row_shares(counts: Counts) -> NDArray[np.float64]:
    """Return counts as fractions of their row; nan in a row without counts."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def recall(counts: Counts) -> NDArray[np.float64]:
    """Return which fraction of each class was recognised; nan for a class without images."""
    return np.diagonal(row_shares(counts)).copy()


def accuracy(counts: Counts) -> float:
    """Return which fraction of all images was correctly classified."""
    return float(np.trace(counts) / max(1, counts.sum()))


def _write_labels(axes: Axes, labels: Sequence[str], width: float, height: float) -> None:
    """Name the rows and the columns, of some inches each; only every n-th, if they are many."""
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    every = -(-len(labels) // MAX_TICKS)
    ticks = range(0, len(labels), every)
    names = [captions.plain(labels[tick], MAX_NAME) for tick in ticks]
    longest = max(map(len, names))
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    size = _type_size(
        every * width, every * height, longest if longest <= captions.SHORT_NAME else 1
    )
    axes.tick_params(length=0, labelcolor=INK, labelsize=size)
    if longest > captions.SHORT_NAME:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")


def _write_counts(axes: Axes, image: QuadMesh, counts: Counts, size: float | None) -> None:
    """Write the counts that are not 0 into their cells."""
    if size is None:
        return
    colors = image.to_rgba(row_shares(counts))
    for i, j in np.argwhere(counts):
        color = "white" if is_dark(colors[i, j]) else INK
        look: Any = {"fontsize": size, "color": color, "ha": "center", "va": "center"}
        axes.text(j, i, f"{counts[i, j]}", in_layout=False, **look)


def _type_size(width: float, height: float, n_letters: int = 1) -> float | None:
    """Return the type size in points for words in cells of some inches, None if too small."""
    digit_width, line_height = 0.75, 1.4
    size = 72 * min(width / (digit_width * n_letters), height / line_height)
    return min(size, LARGEST_TYPE) if size >= smallest_type() else None


def _draw_recall(axes: Axes, counts: Counts, size: float | None) -> None:
    """Draw one dot per class, in line with its row of the matrix, with its value next to it."""
    recalls, totals = recall(counts), counts.sum(axis=1)
    rows = np.arange(len(counts))
    axes.plot(recalls, rows, "o", color=BLUE, markersize=5.5 if size else 3.0, clip_on=False)
    axes.axvline(accuracy(counts), color=INK, linewidth=1.0, linestyle="--", zorder=1)
    worst = np.nanmin([*recalls, accuracy(counts)])
    axes.set_xlim(max(0.0, worst - 0.15 * (1 - worst) - 0.005), 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=2, steps=[1, 2, 5, 10]))
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.set_yticks(rows, [""] * len(rows))
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("recall (fraction)")
    if size is None:
        return
    for row, value, total in zip(rows, recalls, totals, strict=True):
        of_all = "" if is_for_paper() else f"  of {total:,}"
        words = f"{value:.3f}{of_all}" if total else "no images"
        axes.annotate(
            words,
            (1.0, row),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=min(size, 9.0),
        )
