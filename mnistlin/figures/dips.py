"""Why accuracy dips: the dips, how often they come back, and the batches that make them."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from mnistlin.figures import captions
from mnistlin.figures.panes import draw_images, pane, row_of_boxes
from mnistlin.figures.style import (
    BLUE,
    FOOTER,
    GREEN,
    HEADER,
    INK,
    MARGIN,
    MUTED,
    NOTE,
    SKY,
    VERMILION,
    WIDTH,
    house_style,
    new_figure,
    place,
    write_note,
)

if TYPE_CHECKING:
    from mnistlin.analysis.batches import HardBatches
    from mnistlin.analysis.dips import Dips
    from mnistlin.runs.folder import Run

LEFT, TITLE, AXIS, BETWEEN = 0.6, 0.35, 0.6, 0.85
"""What surrounds the panels, in inches."""

ACCURACY_PANEL, LOWER_PANEL = 1.35, 1.6
IMAGE, ROW = 0.56, 0.82
WORDS_WIDTH, MIX_WIDTH, MIX_GAP = 1.2, 1.25, 0.25
"""Of the words on a batch, of its class mix, and what is left free after that."""

FEW_POSITIONS = 3
"""Dips at more places than these have no place."""

MAX_LABELLED_CLASSES = 12
DIP_COLOR, PREDICTED_COLOR = VERMILION, GREEN


@house_style()
def dips_figure(run: "Run", dips: "Dips") -> Figure:
    """Draw the dips of a run, their periods, and the loss of the batches by position.

    Parameters
    ----------
    run : Run
        The run.
    dips : Dips
        What is known of its dips.
    """
    n_rows = len(dips.hard.batches) if dips.hard else 0
    panels = 2 * (TITLE + AXIS) + ACCURACY_PANEL + LOWER_PANEL
    rows = TITLE + n_rows * ROW + TITLE / 2 if n_rows else 0.0
    height = HEADER + panels + rows + NOTE + FOOTER
    figure = new_figure(*captions.of_run("Dips in accuracy", run), height=height)
    left, width = MARGIN + LEFT, WIDTH - 2 * MARGIN - LEFT
    y = height - HEADER - TITLE - ACCURACY_PANEL
    box = (left, y, width, ACCURACY_PANEL)
    _draw_accuracy(pane(figure, box, "validation accuracy (fraction)", "step (update)"), run, dips)
    y -= AXIS + TITLE + LOWER_PANEL
    half = (width - BETWEEN) / 2
    box = (left, y, half, LOWER_PANEL)
    _draw_correlation(pane(figure, box, "correlation of its ups and downs", "checks later"), dips)
    box = (left + half + BETWEEN, y, half, LOWER_PANEL)
    _draw_losses(pane(figure, box, "mean batch loss, nats", "position in the epoch (step)"), dips)
    if dips.hard:
        _draw_batches(figure, dips.hard, y - AXIS - TITLE)
    write_note(figure, _note(dips))
    return figure


def _draw_accuracy(axes: Axes, run: "Run", dips: "Dips") -> None:
    """Draw the accuracy, with its deepest dips, on a scale that the first checks do not squash."""
    steps, accuracy = run.metrics["step"], run.metrics["val_accuracy"]
    settled = accuracy[steps >= dips.measured.steps[0]]
    at = np.isin(steps, dips.measured.deepest_dips())
    axes.plot(steps, accuracy, color=BLUE, linewidth=1.1)
    axes.plot(steps[at], accuracy[at], "o", color=DIP_COLOR, markersize=5)
    if _have_a_place(dips):
        for step, value in zip(steps[at], accuracy[at], strict=True):
            axes.annotate(
                f"{step:,}", (step, value), (5, -3), textcoords="offset points", fontsize=8
            )
    pad = 0.1 * (np.ptp(settled) or 0.01)
    axes.set_ylim(settled.min() - pad, settled.max() + pad)
    axes.set_xlim(0, steps[-1])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_correlation(axes: Axes, dips: "Dips") -> None:
    """Draw the correlation by lag, with the measured and the predicted period."""
    found, predicted = dips.measured, dips.predicted
    is_period = found.lags == found.lag
    for mask, color in ((~is_period, BLUE), (is_period, DIP_COLOR)):
        axes.vlines(found.lags[mask], 0, found.correlation[mask], color=color, linewidth=2.2)
    measured = "none" if found.lag is None else f"{found.lag} checks, {found.period:,} steps"
    axes.plot([], [], color=DIP_COLOR, label=f"measured: {measured}")
    label = "predicted: none"
    if predicted.period is not None:
        lag = predicted.period // predicted.check_every
        label = f"predicted: {lag} checks, {predicted.period:,} steps"
        if lag <= found.lags[-1]:
            axes.plot([lag], [1.0], "v", color=PREDICTED_COLOR, markersize=8)
    axes.plot([], [], "v", color=PREDICTED_COLOR, markersize=8, label=label)
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.set_ylim(-0.6, 1.9)
    axes.set_yticks([-0.5, 0, 0.5, 1])
    axes.set_xlim(0, found.lags[-1] + 1)
    axes.legend(loc="upper left")


def _draw_losses(axes: Axes, dips: "Dips") -> None:
    """Draw the mean loss by position, and where the dips are."""
    mean, error = dips.losses.mean, dips.losses.error
    positions = np.arange(len(mean))
    marked = np.isin(positions, dips.dip_positions) & _have_a_place(dips)
    axes.bar(positions, mean, color=np.where(marked, DIP_COLOR, BLUE))
    axes.errorbar(positions, mean, error, linestyle="", color=INK, elinewidth=0.8)
    if _have_a_place(dips):
        axes.plot([], [], "s", color=DIP_COLOR, label="where the deepest dips are")
        axes.legend(loc="upper left")
    axes.set_ylim(0, 1.3 * mean.max())
    axes.set_xlim(-1, len(mean))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _have_a_place(dips: "Dips") -> bool:
    """Say whether the deepest dips come back, and at few places of the epoch."""
    return dips.measured.period is not None and len(dips.dip_positions) <= FEW_POSITIONS


def _draw_batches(figure: Figure, hard: "HardBatches", top: float) -> None:
    """Draw a row a batch: its words, its class mix, and its hardest images."""
    words = "the hardest batches: place, class mix (line: all training images), hardest images"
    _write(figure, MARGIN, top + 0.05, words)
    left = MARGIN + WORDS_WIDTH + MIX_WIDTH + MIX_GAP
    for row, batch in enumerate(hard.batches):
        bottom = top - TITLE / 2 - (row + 1) * ROW + (ROW - IMAGE) / 2
        about = f"position {batch.position}\nmean loss {batch.mean_loss:.3f}"
        _write(figure, MARGIN, bottom + 0.28, about)
        box = (MARGIN + WORDS_WIDTH, bottom, MIX_WIDTH, IMAGE)
        _draw_mix(place(figure, *box), batch.counts, hard)
        boxes = row_of_boxes(left, bottom, IMAGE, hard.train.image_shape, WIDTH - MARGIN - left)
        samples = batch.samples[: len(boxes)]
        labels = [(str(hard.train.classes[hard.train.targets[i]]), "") for i in samples]
        draw_images(figure, boxes, hard.train, samples, labels)


def _draw_mix(axes: Axes, counts: NDArray[np.intp], hard: "HardBatches") -> None:
    """Draw the share of each class in a batch, and in the whole training set."""
    classes = np.arange(len(counts))
    axes.bar(classes, counts / counts.sum(), color=SKY, width=0.8)
    overall = hard.counts / hard.counts.sum()
    axes.hlines(overall, classes - 0.45, classes + 0.45, color=INK, linewidth=1.4)
    labels = hard.train.classes if len(classes) <= MAX_LABELLED_CLASSES else [""] * len(classes)
    axes.set_xticks(classes, [str(label) for label in labels], fontsize=8)
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _note(dips: "Dips") -> str:
    plan = dips.predicted
    words = f"{plan.steps_per_epoch} steps an epoch, a check every {plan.check_every}"
    if dips.hard is None:
        return f"{words}. Shuffled: every epoch has other batches, so no place is always hard."
    if plan.period is None:
        return f"{words}. Every check follows the same batch."
    return (
        f"{words}: a check meets the same batch again after lcm({plan.steps_per_epoch}, "
        f"{plan.check_every}) = {plan.period:,} steps. Error bars: ±1 standard error."
    )


def _write(figure: Figure, x: float, y: float, words: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, words, va="center")
