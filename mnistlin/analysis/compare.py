"""Is one run better than another, or could it be chance? All are judged on the same images.

Runs judged on the same images: two of them image by image, or many of them pair by pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.analysis.evaluate import Evaluation, WeightsName, caption, evaluate
from mnistlin.analysis.own_data import SPLIT_NAMES
from mnistlin.analysis.statistics import CONFIDENCE, PairedCounts, holm
from mnistlin.errors import DataError, RunError
from mnistlin.figures import captions
from mnistlin.figures.captions import run_labels
from mnistlin.figures.panel import draw_images, pane, row_of_boxes
from mnistlin.figures.style import (
    BLUE,
    FAINT,
    FOOTER,
    HEADER,
    INK,
    MARGIN,
    MUTED,
    NOTE,
    VERMILION,
    WIDTH,
    house_style,
    new_figure,
    write_note,
)
from mnistlin.figures.weights import Box
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import differences
from mnistlin.runs.records import SplitRecord


@dataclass(frozen=True)
class Pair:
    """Two runs, A and B, on the same images.

    Attributes
    ----------
    a, b : Evaluation
        Each on its own.
    counts : PairedCounts
        On how many images both are right, or only one.
    p_value : float
        Of McNemar's exact test, corrected for the number of pairs (Holm).
    """

    a: Evaluation
    b: Evaluation
    counts: PairedCounts
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether chance alone would seldom give such a difference."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def can_resolve(self) -> bool:
        """Whether so many images would find a gap of this size most of the time."""
        smallest = self.counts.smallest_gap
        return smallest is not None and abs(self.counts.difference) >= smallest

    @property
    def config_differences(self) -> dict[str, tuple[Any, Any]]:
        """Config keys, by path, in which the runs differ, with the values of A and of B."""
        return differences(*(each.run.config.deciding() for each in (self.a, self.b)))

    def only_right(self, which: str) -> NDArray[np.intp]:
        """Return the samples on which only "a", or only "b", is right.

        Those on which the other is wrong with the most confidence come first.
        """
        right, wrong = (self.a, self.b) if which == "a" else (self.b, self.a)
        samples = np.flatnonzero(right.is_right & ~wrong.is_right)
        confidence = wrong.predictions.probability[samples].max(axis=1)
        return samples[np.argsort(-confidence, kind="stable")]


@dataclass(frozen=True)
class Comparison:
    """Several runs on the same images.

    Attributes
    ----------
    evaluations : tuple of Evaluation
        Each run on its own.
    pairs : tuple of Pair
        Each with each other, in their order.
    """

    evaluations: tuple[Evaluation, ...]
    pairs: tuple[Pair, ...]

    @property
    def names(self) -> list[str]:
        """Short names of the runs: letters, or numbers if there are more runs than letters."""
        n = len(self.evaluations)
        return [*ascii_uppercase[:n]] if n <= 26 else [str(number + 1) for number in range(n)]


def compare(
    runs: Sequence[Run], weights: WeightsName = "last", split_name: str = "val"
) -> Comparison:
    """Compare runs on a split that they share.

    Parameters
    ----------
    runs : sequence of Run
        At least two.
    weights : {"last", "best"}
        Which weights of each.
    split_name : {"train", "val", "test"}
        On which images.

    Raises
    ------
    RunError
        If there are fewer than two runs, or the weights of one cannot be read.
    DataError
        If the split is not the same in all runs, or its data is missing or wrong.
    ConfigError
        If there is no such split.
    """
    if len(runs) < 2:
        raise RunError("a comparison needs two runs or more; name another run folder")
    _check_same_images(runs, split_name)
    evaluations = tuple(evaluate(run, weights, split_name) for run in runs)
    couples = list(combinations(evaluations, 2))
    counts = [PairedCounts.of(a.is_right, b.is_right) for a, b in couples]
    p_values = holm([each.p_value for each in counts])
    pairs = [Pair(*each, n, p) for each, n, p in zip(couples, counts, p_values, strict=True)]
    return Comparison(evaluations, tuple(pairs))


def _check_same_images(runs: Sequence[Run], split_name: str) -> None:
    """Make sure that a split has the same hashes in all runs; whether it exists is not checked."""
    for run in runs[1:]:
        first, other = (_recorded(each, split_name) for each in (runs[0], run))
        if first != other:
            raise DataError(
                f"the {split_name} images of {runs[0].path} and {run.path} are not the same: "
                f"{_shown(first)} against {_shown(other)}; only runs that were judged on the same "
                f"images can be compared image by image ({', '.join(SPLIT_NAMES)} can be chosen)"
            )


def _recorded(run: Run, split_name: str) -> SplitRecord | None:
    """Return number and hashes of the samples of a split, as run.json has them."""
    record: SplitRecord | None = getattr(run.info.data.splits, split_name, None)
    return record


def _shown(record: SplitRecord | None) -> str:
    if record is None:
        return "none"
    hashes = f"{record.images_sha256[:8]}/{record.labels_sha256[:8]}"
    return f"{record.n_samples} samples, SHA-256 {hashes}"


GAP_PANEL, GAP_TOP, GAP_ROOM = 0.4, 0.45, 1.55
"""Height of the panel of the difference, what is above it, and all its room, in inches."""

IMAGE_HEIGHT, ROW_HEIGHT, MAX_ROWS = 0.72, 1.0, 2
SIDE_TITLE, SIDE_GAP = 0.25, 0.15
CELL, ROW_LABEL, ACCURACY_WIDTH, MATRIX_GAP = 0.62, 2.3, 2.0, 0.5
A_COLOR, B_COLOR = BLUE, VERMILION


@house_style()
def pair_figure(pair: "Pair") -> Figure:
    """Draw the difference of two runs with its interval, and the images only one is right on."""
    runs, sides = [pair.a.run, pair.b.run], [_Side.a_of(pair), _Side.b_of(pair)]
    room = GAP_ROOM + sum(side.height for side in sides) + NOTE
    figure = new_figure(*captions.of_runs("Comparison", runs), height=HEADER + room + FOOTER)
    top = FOOTER + room
    _draw_gap(figure, pair, top - GAP_TOP - GAP_PANEL)
    top -= GAP_ROOM
    for side, label in zip(sides, run_labels(runs), strict=True):
        _draw_side(figure, side, _in_one_line(label), top)
        top -= side.height
    write_note(
        figure,
        "Above each image: its true class → what the other run took it for, and with which "
        "probability; the most confident first.",
    )
    return figure


@dataclass(frozen=True)
class _Side:
    """One of the two runs, with the images that only it is right on."""

    name: str
    color: str
    own: "Evaluation"
    other: "Evaluation"
    samples: NDArray[np.intp]

    @classmethod
    def a_of(cls, pair: "Pair") -> "_Side":
        return cls("A", A_COLOR, pair.a, pair.b, pair.only_right("a"))

    @classmethod
    def b_of(cls, pair: "Pair") -> "_Side":
        return cls("B", B_COLOR, pair.b, pair.a, pair.only_right("b"))

    def boxes(self, top: float) -> list[Box]:
        """Return where its images go, below `top`."""
        shape, room = self.own.split.image_shape, WIDTH - 2 * MARGIN
        bottoms = (top - (row + 1) * ROW_HEIGHT for row in range(MAX_ROWS))
        rows = (row_of_boxes(MARGIN, y, IMAGE_HEIGHT, shape, room) for y in bottoms)
        return [box for row in rows for box in row]

    @property
    def height(self) -> float:
        """Room that it takes, in inches."""
        in_a_row = len(self.boxes(0.0)) // MAX_ROWS
        n_rows = min(MAX_ROWS, -(-len(self.samples) // in_a_row))
        return SIDE_TITLE + n_rows * ROW_HEIGHT + SIDE_GAP


def _draw_gap(figure: Figure, pair: "Pair", bottom: float) -> None:
    """Draw the interval of the difference on the range that these images cannot resolve."""
    counts, (low, high) = pair.counts, pair.counts.interval
    words = (
        f"accuracy of A − accuracy of B: {_signed(counts.difference)}, 95 % interval "
        f"{_signed(low)} to {_signed(high)}; p = {pair.p_value:.2g} (McNemar, exact)"
    )
    axes = pane(figure, (MARGIN + 0.2, bottom, WIDTH - 2 * MARGIN - 0.4, GAP_PANEL), words)
    smallest = counts.smallest_gap
    if smallest is not None:
        axes.axvspan(-smallest, smallest, color=FAINT, zorder=0)
        axes.set_xlabel(f"grey: gaps that {counts.n:,} images reveal in under 80 % of all cases")
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.plot([low, high], [0, 0], color=INK, linewidth=2.4, solid_capstyle="round")
    axes.plot([counts.difference], [0], "o", color=INK, markersize=7)
    limit = 1.15 * max(abs(low), abs(high), smallest or 0.0)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)


def _draw_side(figure: Figure, side: _Side, label: str, top: float) -> None:
    """Draw images on which only one run is right."""
    n = len(side.samples)
    words = f"only {side.name} is right: {n:,} image{'s' * (n != 1)}"
    _write(figure, MARGIN, top - 0.1, words, color=side.color, fontweight="bold")
    about = f"{side.name} is {label}; its accuracy is {side.own.accuracy:.4f}"
    _write(figure, MARGIN + 2.6, top - 0.1, about, color=MUTED)
    boxes = side.boxes(top - SIDE_TITLE)
    samples = side.samples[: len(boxes)]
    words_of_images = [caption(side.other, int(sample)) for sample in samples]
    draw_images(figure, boxes, side.own.split, samples, words_of_images)


@house_style()
def pairs_figure(comparison: "Comparison") -> Figure:
    """Draw the accuracy of each run with its interval, and the difference of each pair."""
    evaluations = comparison.evaluations
    n = len(evaluations)
    bottom = FOOTER + NOTE + 0.55
    height = HEADER + 0.5 + n * CELL + bottom
    runs = [each.run for each in evaluations]
    figure = new_figure(*captions.of_runs("Comparison", runs), height=height)
    left = MARGIN + ROW_LABEL
    axes = pane(figure, (left, bottom, ACCURACY_WIDTH, n * CELL), "", "accuracy (fraction)")
    _draw_accuracies(axes, comparison)
    left += ACCURACY_WIDTH + MATRIX_GAP
    width = min(n * CELL, WIDTH - MARGIN - left)
    title = "accuracy of row − column, percentage points"
    _draw_differences(pane(figure, (left, bottom, width, n * CELL), title), comparison, width / n)
    write_note(
        figure,
        "95 % intervals. Bold and coloured: p below 0.05 by McNemar's exact test, corrected for "
        f"{len(comparison.pairs)} pairs (Holm).",
    )
    return figure


def _draw_accuracies(axes: Axes, comparison: "Comparison") -> None:
    labels = run_labels([each.run for each in comparison.evaluations])
    for row, each in enumerate(comparison.evaluations):
        axes.plot(each.accuracy_interval, [row, row], color=BLUE, linewidth=2.4)
        axes.plot([each.accuracy], [row], "o", color=BLUE, markersize=6)
    words = [
        f"{_in_one_line(label)}   {name}"
        for label, name in zip(labels, comparison.names, strict=True)
    ]
    axes.set_yticks(range(len(labels)), words)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _draw_differences(axes: Axes, comparison: "Comparison", cell: float) -> None:
    n = len(comparison.evaluations)
    for (i, j), pair in zip(combinations(range(n), 2), comparison.pairs, strict=True):
        for row, column, value in ((i, j, pair.counts.difference), (j, i, -pair.counts.difference)):
            look: dict[str, Any] = {"color": MUTED}
            if pair.is_significant:
                look = {"color": A_COLOR if value > 0 else B_COLOR, "fontweight": "bold"}
            words = _signed(100 * value, ".1f")
            size = min(9.5, 16 * cell)
            axes.text(column, row, words, ha="center", va="center", fontsize=size, **look)
    axes.set_xticks(range(n), comparison.names)
    axes.set_yticks(range(n), comparison.names)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _in_one_line(label: str) -> str:
    return label.replace("\n", ", ")


def _write(figure: Figure, x: float, y: float, words: str, **look: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, words, va="center", **look)


def _signed(value: float, fmt: str = ".4f") -> str:
    return f"{value:+{fmt}}".replace("-", "−")
