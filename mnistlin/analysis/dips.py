"""After how many steps do a run's ups and downs repeat? One period is predicted, one measured.

Without shuffle every epoch has the same batches in the same order, and some of them are harder
than others. Accuracy is looked at every few steps only, so a check meets the same place of an
epoch again when both counts come round together: every lcm(steps per epoch, steps between checks).

Which batches of an epoch are hard, and what is in them? Told by steps.csv and the images.

Why does accuracy dip again and again? Puts together what periods and hard batches tell.

Why accuracy dips: the dips, how often they come back, and the batches that make them.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim
from mnistlin.analysis.own_data import load_own_splits, n_train_of
from mnistlin.analysis.result import TooShortError
from mnistlin.config import TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.panel import draw_images, pane, row_of_boxes
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
from mnistlin.runs.folder import Run
from mnistlin.training.batches import epoch_orders
from mnistlin.training.evaluation import predict
from mnistlin.training.schedule import Schedule

FIRST_CHECKS = 31
"""Checks at the start that are left out: everything changes quickly there."""

WINDOW = 31
"""Checks in the running mean that is subtracted, so that only ups and downs are left."""

LAGS = range(2, 61)
"""Periods, in checks, that are looked for."""

MIN_PAIRS = 31
"""Pairs of checks that a correlation is taken over at least."""

MIN_CORRELATION = 0.5
"""If no lag has more than this, there is no period."""

NEARLY = 0.05
"""A lag whose correlation is this near to the highest counts as much; the smallest is the period,
for its multiples repeat the pattern as well."""

N_DIPS = 8
SHALLOW = 4
"""A dip whose depth is less than that of the deepest one over this is noise."""


@dataclass(frozen=True)
class Prediction:
    """What the config says, with the number of training images, but without any result.

    Attributes
    ----------
    steps_per_epoch : int
        Whole batches an epoch.
    check_every : int
        Steps from a check to the next.
    period : int, optional
        Steps after which a check meets the same batch again. None if the batches are shuffled, and
        if every check meets the same one, so that there is nothing to go up and down.
    """

    steps_per_epoch: int
    check_every: int
    period: int | None


@dataclass(frozen=True)
class Measurement:
    """What metrics.csv says, without a look at the config.

    Attributes
    ----------
    steps : ndarray of shape (n,)
        Steps of the checks that are looked at.
    deviation : ndarray of shape (n,)
        Validation accuracy less its running mean.
    lags : ndarray of shape (n_lags,)
        Checks by which the deviation was shifted against itself.
    correlation : ndarray of shape (n_lags,)
        Its correlation with itself then (Pearson).
    spacing : int
        Steps from a check to the next.
    lag : int, optional
        The period in checks; None if there is none.
    """

    steps: NDArray[np.int64]
    deviation: NDArray[np.float64]
    lags: NDArray[np.intp]
    correlation: NDArray[np.float64]
    spacing: int
    lag: int | None

    @property
    def period(self) -> int | None:
        """The period in steps."""
        return None if self.lag is None else self.lag * self.spacing

    @property
    def highest_correlation(self) -> float:
        """Of all lags."""
        return float(self.correlation.max())

    def deepest_dips(self) -> NDArray[np.int64]:
        """Return the steps of the N_DIPS deepest dips at most, in order; shallow ones are none."""
        deepest = np.argsort(self.deviation, kind="stable")[:N_DIPS]
        is_deep = self.deviation[deepest] <= self.deviation.min() / SHALLOW
        return np.sort(self.steps[deepest[is_deep]])


def predict_period(training: TrainingConfig, n_train: int) -> Prediction:
    """Return the period that training on n_train images must have.

    Raises
    ------
    ConfigError
        If a batch is larger than the training set.
    """
    plan = Schedule.of(training, n_train, n_rows=1, stops_early=False)
    period = math.lcm(plan.steps_per_epoch, plan.check_every)
    has_period = not training.shuffle and period > plan.check_every
    return Prediction(plan.steps_per_epoch, plan.check_every, period if has_period else None)


def measure_period(run: Run) -> Measurement:
    """Return the period of a run's validation accuracy.

    Raises
    ------
    RunError
        If the run has too few checks, or metrics.csv cannot be read.
    """
    steps, accuracy, spacing = _evenly_spaced(run)
    n_needed = FIRST_CHECKS + WINDOW - 1 + LAGS.stop - 1 + MIN_PAIRS
    if len(steps) < n_needed:
        raise TooShortError(
            f"{run.path}: {len(steps)} checks are too few to look for a period; train for more "
            f"epochs, so that there are {n_needed} or more"
        )
    half = WINDOW // 2
    accuracy = accuracy[FIRST_CHECKS:]
    mean = np.convolve(accuracy, np.full(WINDOW, 1 / WINDOW), mode="valid")
    deviation = accuracy[half:-half] - mean
    correlation = np.array([_autocorrelation(deviation, lag) for lag in LAGS])
    return Measurement(
        steps[FIRST_CHECKS:][half:-half],
        deviation,
        np.array(LAGS),
        correlation,
        spacing,
        _first_high_lag(correlation),
    )


def _evenly_spaced(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return steps and accuracies of the checks, and their spacing.

    The check after the last step of all is left out if it does not fit in.
    """
    steps, accuracy = run.metrics["step"], run.metrics["val_accuracy"]
    spacing = int(steps[1] - steps[0]) if len(steps) > 1 else 1
    fits = np.ones(len(steps), dtype=bool)
    fits[1:] = np.diff(steps) == spacing
    if not fits[:-1].all():
        raise RunError(f"{run.path}: the checks in metrics.csv are not evenly spaced")
    return steps[fits], accuracy[fits], spacing


def _autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    """Return the correlation of values with themselves `lag` later; 0 if they do not vary."""
    a, b = values[:-lag], values[lag:]
    if not (a.std() and b.std()):
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _first_high_lag(correlation: NDArray[np.float64]) -> int | None:
    if correlation.max() < MIN_CORRELATION:
        return None
    return LAGS[int(np.flatnonzero(correlation >= correlation.max() - NEARLY)[0])]


N_HARDEST = 3


@dataclass(frozen=True)
class LossByPosition:
    """The mean batch loss at each place of an epoch, over all whole epochs but the first.

    Attributes
    ----------
    mean : ndarray of shape (steps_per_epoch,)
        In nats, before the update of the step.
    error : ndarray of shape (steps_per_epoch,)
        Its standard error: how far chance moves it from epoch to epoch.
    n_epochs : int
        Epochs that it was averaged over.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    n_epochs: int

    def hardest(self) -> list[int]:
        """Return the positions with the highest loss, the highest first."""
        return [int(position) for position in np.argsort(-self.mean, kind="stable")[:N_HARDEST]]


@dataclass(frozen=True)
class Batch:
    """One batch of an unshuffled run.

    Attributes
    ----------
    position : int
        Its place in every epoch, from 0.
    mean_loss : float
        Over the epochs, in nats.
    samples : ndarray of shape (batch_size,)
        Its samples in the training split, those that the last weights find hardest first.
    counts : ndarray of shape (n_classes,)
        How many samples it has of each class.
    """

    position: int
    mean_loss: float
    samples: NDArray[np.intp]
    counts: NDArray[np.intp]


@dataclass(frozen=True)
class HardBatches:
    """The hardest batches of an unshuffled run.

    Attributes
    ----------
    train : Split
        The training images.
    batches : tuple of Batch
        The hardest first.
    counts : ndarray of shape (n_classes,)
        How many samples the training split has of each class.
    """

    train: Split
    batches: tuple[Batch, ...]
    counts: NDArray[np.intp]


def loss_by_position(run: Run, steps_per_epoch: int) -> LossByPosition:
    """Average the batch losses of a run by their place in the epoch.

    Raises
    ------
    RunError
        If the run has fewer than three whole epochs, or steps.csv cannot be read.
    """
    losses = run.steps["batch_loss"]
    n_epochs = len(losses) // steps_per_epoch - 1
    if n_epochs < 2:
        raise TooShortError(
            f"{run.path}: it takes three whole epochs or more to compare their batches"
        )
    by_epoch = losses[steps_per_epoch:][: n_epochs * steps_per_epoch].reshape(n_epochs, -1)
    error = by_epoch.std(axis=0, ddof=1) / np.sqrt(n_epochs)
    return LossByPosition(by_epoch.mean(axis=0), error, n_epochs)


def hard_batches(run: Run, losses: LossByPosition) -> HardBatches:
    """Look into the hardest batches of an unshuffled run.

    Raises
    ------
    DataError
        If the training images are missing, or not the same as they were.
    RunError
        If the weights cannot be read.
    """
    how = run.config.training
    W = run.weights["last"]
    train = load_own_splits(run).train
    order = next(epoch_orders(how, train.n_samples))
    sample_losses = predict(train, W, run.head).loss
    n_classes = len(train.classes)

    def batch_at(position: int) -> Batch:
        samples = order[position * how.batch_size :][: how.batch_size]
        samples = samples[np.argsort(-sample_losses[samples], kind="stable")]
        counts = np.bincount(train.targets[samples], minlength=n_classes)
        return Batch(position, float(losses.mean[position]), samples, counts)

    batches = tuple(map(batch_at, losses.hardest()))
    return HardBatches(train, batches, np.bincount(train.targets, minlength=n_classes))


@dataclass(frozen=True)
class Dips:
    """All that there is to say about the dips of a run.

    Attributes
    ----------
    predicted : Prediction
        The period by the config.
    measured : Measurement
        The period by metrics.csv.
    losses : LossByPosition
        How hard the batches are.
    hard : HardBatches, optional
        The hardest of them; None for a shuffled run, whose batches are others in every epoch.
    """

    predicted: Prediction
    measured: Measurement
    losses: LossByPosition
    hard: HardBatches | None

    @property
    def agree(self) -> bool:
        """Whether the two periods are the same, or both none."""
        return self.predicted.period == self.measured.period

    @property
    def dip_positions(self) -> list[int]:
        """Places in the epoch, from 0, of the deepest dips; each once."""
        positions = self.measured.deepest_dips() % self.predicted.steps_per_epoch
        return [int(position) for position in np.unique(positions)]

    @property
    def is_near_return(self) -> bool:
        """Whether checks a measured period apart are nearer in the epoch than two neighbours."""
        if self.measured.period is None:
            return False
        length = self.predicted.steps_per_epoch
        drift = min(self.measured.period % length, -self.measured.period % length)
        return 0 < drift < self.predicted.check_every / 2


def explain_dips(run: Run) -> Dips:
    """Look for the dips of a run's validation accuracy, and for their cause.

    Raises
    ------
    RunError
        If the run is too short, or damaged.
    DataError, ConfigError
        If its training images are missing, or not the same as they were.
    """
    predicted = predict_period(run.config.training, n_train_of(run))
    measured = measure_period(run)
    losses = loss_by_position(run, predicted.steps_per_epoch)
    hard = None if run.config.training.shuffle else hard_batches(run, losses)
    return Dips(predicted, measured, losses, hard)


@claim("dips-only-without-shuffle")
def _dips_only_without_shuffle(evidence: Evidence) -> Finding:
    """The first experiment has dips with a period; the others, which are shuffled, have none."""
    periods = [
        evidence.ask(explain_dips, each.run).measured.period for each in evidence.experiments
    ]
    words = [f"every {period} steps" if period else "none" for period in periods]
    verdict: Verdict = "agrees" if periods[0] and not any(periods[1:]) else "differs"
    return Finding(verdict, f"without shuffling {words[0]}; with it {', '.join(words[1:])}")


@claim("local-optima")
def _local_optima(evidence: Evidence) -> Finding:
    """Dips are caused by local optima, which the convex objective cannot have."""
    run = evidence.first.run
    found = evidence.ask(explain_dips, run)
    return Finding(
        "differs",
        f"the objective is convex: no local optima; {_repetition(found.measured)}",
        figure=partial(dips_figure, run, found),
    )


def _repetition(found: Measurement) -> str:
    if found.period is None:
        return f"no period (highest correlation {found.highest_correlation:.2f})"
    return f"accuracy repeats after {found.period} steps ({found.highest_correlation:.2f})"


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
