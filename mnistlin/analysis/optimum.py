"""How far is a run from the best weights that there are? They can be computed: J is convex.

A run beside the minimum of its objective, or beside the proof that there is none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from mnistlin.analysis.evaluate import WeightsName
from mnistlin.analysis.own_data import load_own_splits
from mnistlin.analysis.statistics import PairedCounts
from mnistlin.data.splits import Split, Splits
from mnistlin.figures import captions
from mnistlin.figures.panel import pane
from mnistlin.figures.style import (
    BLUE,
    FOOTER,
    GREEN,
    HEADER,
    HEIGHT,
    INK,
    MARGIN,
    NOTE,
    ORANGE,
    WIDTH,
    house_style,
    new_figure,
    write_note,
)
from mnistlin.model.linear import Head, squared_norm
from mnistlin.model.optimum import Objective, PixelBlock, Place, Samples, minimise
from mnistlin.runs.folder import Run
from mnistlin.training.batches import BLOCK_ROWS, PixelBuffer, one_class_blocks
from mnistlin.training.evaluation import predict

Outcome: TypeAlias = Literal["minimum", "no minimum", "lowest found"]


@dataclass(frozen=True)
class Standing:
    """How some weights do.

    Attributes
    ----------
    place : Place
        J and its gradient there.
    train_is_right, val_is_right : ndarray of shape (n_samples,)
        Which images are classified rightly.
    true_class_probability : ndarray of shape (n_train,)
        What is given to the true class of each training image.
    """

    place: Place
    train_is_right: NDArray[np.bool_]
    val_is_right: NDArray[np.bool_]
    true_class_probability: NDArray[np.float64]

    @property
    def train_accuracy(self) -> float:
        """Fraction of the training images."""
        return float(self.train_is_right.mean())

    @property
    def val_accuracy(self) -> float:
        """Fraction of the validation images."""
        return float(self.val_is_right.mean())

    @property
    def weight_norm(self) -> float:
        """Frobenius norm of the weights."""
        return float(np.sqrt(squared_norm(self.place.weights)))


@dataclass(frozen=True)
class Optimum:
    """A run beside the best weights that could be found for its own training set and λ.

    Attributes
    ----------
    run : Run
        The run.
    weights : {"last", "best"}
        Which of its weights.
    objective : Objective
        What both are measured by.
    of_run, found : Standing
        The run, and the weights that were found.
    outcome : str
        `minimum`: what was found is the minimum. `no minimum`: without penalty, what was found
        classifies every training image rightly, so there is none. `lowest found`: the search ended
        before either was clear.
    n_iterations : int
        Steps of the search.
    """

    run: Run
    weights: WeightsName
    objective: Objective
    of_run: Standing
    found: Standing
    outcome: Outcome
    n_iterations: int

    @property
    def l2_lambda(self) -> float:
        """Penalty λ."""
        return self.objective.l2_lambda

    @property
    def gap(self) -> float:
        """J of the run above the infimum of J, or above the lowest J found, in nats."""
        lowest = 0.0 if self.outcome == "no minimum" else self.found.place.value
        return self.of_run.place.value - lowest

    @property
    def paired(self) -> PairedCounts:
        """On how many validation images what was found is right (A), and the run (B)."""
        return PairedCounts.of(self.found.val_is_right, self.of_run.val_is_right)

    @property
    def certainty(self) -> float | None:
        """How far the J that was found can be above the true minimum at most, in nats.

        J is strongly convex with modulus 2 λ, so J - J* ≤ ‖∇J‖² / (4 λ) (Nesterov 2004, theorem
        2.1.10), save for rounding. None without penalty.
        """
        if not self.l2_lambda:
            return None
        return self.found.place.gradient_norm**2 / (4 * self.l2_lambda)

    @property
    def translations(self) -> dict[str, float | None]:
        """The same penalty in the words of other tools; None for "no penalty".

        Exact if they penalise the bias too: a column of ones among the inputs, and no intercept.
        """
        n, l2_lambda = self.objective.samples.n_samples, self.l2_lambda
        return {
            "sklearn_LogisticRegression_C": 1 / (2 * n * l2_lambda) if l2_lambda else None,
            "sklearn_SGDClassifier_alpha": 2 * l2_lambda,
            "torch_weight_decay": 2 * l2_lambda,
        }


def find_optimum(
    run: Run, weights: WeightsName = "last", on_pass: Callable[[], object] = lambda: None
) -> Optimum:
    """Minimise the objective of a run on its own training set.

    Parameters
    ----------
    run : Run
        The run.
    weights : {"last", "best"}
        Which of its weights are compared with the minimum.
    on_pass : callable
        Called after each pass over the training images; a search takes some hundred.

    Raises
    ------
    RunError
        If its weights cannot be read.
    DataError, ConfigError
        If its data is missing, or not the same as it was.
    """
    W = run.weights[weights].astype(np.float64)
    splits, head = load_own_splits(run), run.head
    objective = objective_on(splits.train, head, run.config.training.l2_lambda)
    descent = minimise(objective, W, on_pass=on_pass)
    if objective.l2_lambda:
        outcome: Outcome = "minimum" if descent.has_converged else "lowest found"
    else:
        outcome = "no minimum" if descent.place.separates else "lowest found"
    return Optimum(
        run,
        weights,
        objective,
        _standing(objective.at(W), splits, head),
        _standing(descent.place, splits, head),
        outcome,
        descent.n_iterations,
    )


def objective_on(split: Split, head: Head, l2_lambda: float) -> Objective:
    """Return J of a model on a split."""
    blocks = list(one_class_blocks(split, keep=True))

    def read(dtype: str) -> Iterator[PixelBlock]:
        buffer = PixelBuffer(BLOCK_ROWS, split.n_features, dtype, split.scaling)
        for block in blocks:
            yield PixelBlock(block.k, buffer.fill(block.gather()), block.columns)

    samples = Samples(read, split.n_samples, split.n_features, len(split.classes), split.scaling)
    return Objective(head, samples, l2_lambda)


def _standing(place: Place, splits: Splits, head: Head) -> Standing:
    train, val = (predict(split, place.weights, head) for split in (splits.train, splits.val))
    return Standing(
        place,
        train_is_right=train.class_index == splits.train.targets,
        val_is_right=val.class_index == splits.val.targets,
        true_class_probability=np.exp(-train.loss),
    )


LEFT, RIGHT, BETWEEN, BOTTOM, TOP = 0.6, 0.15, 0.75, 0.5, 0.35
"""What surrounds the two panels, in inches."""

N_POINTS = 61
"""Points of a line along which J is drawn."""

BEYOND = 1.5
"""How far a line goes on behind the farthest weights on it, as a multiple of their distance."""

HEADROOM = 1.6
"""Highest J that is shown, as a multiple of the highest marked one; both from J* on."""

SMALLEST_J = 1e-8
"""Where the axis of a falling J ends, in nats."""

MAX_FACTOR = 64

RUN_COLOR, FOUND_COLOR, ZERO_COLOR = BLUE, GREEN, ORANGE


@house_style()
def optimum_figure(optimum: "Optimum") -> Figure:
    """Draw how the run stands to the minimum, or why there is none."""
    if optimum.outcome == "minimum":
        return _minimum_figure(optimum)
    return _no_minimum_figure(optimum)


def _minimum_figure(optimum: "Optimum") -> Figure:
    figure = new_figure(*captions.of_run("Run and minimum", optimum.run))
    way, valley = _two_panes(
        figure,
        ("J − J* at the checks, nats, log scale", "step (update)"),
        ("J on straight lines through W*, nats", "distance from W*"),
    )
    _draw_way(way, optimum)
    _draw_valley(valley, optimum)
    # The marks of both panels, where there is nothing else: the excess falls from the left.
    way.legend(*valley.get_legend_handles_labels(), loc="upper right")
    write_note(
        figure,
        f"W* is the minimum, J* = {optimum.found.place.value:.6g}. J is convex, so it rises on "
        "every line away from W*, and there is no other bottom.",
    )
    return figure


def _no_minimum_figure(optimum: "Optimum") -> Figure:
    proven = optimum.outcome == "no minimum"
    what = "Separating weights" if proven else "Run and lowest J found"
    figure = new_figure(*captions.of_run(what, optimum.run))
    rays, probabilities = _two_panes(
        figure,
        ("J at t times the weights, nats, log scale", "t"),
        ("probability of the true class", "training images, the worst first (log scale)"),
    )
    _draw_rays(rays, optimum)
    _draw_probabilities(probabilities, optimum)
    write_note(
        figure,
        "Right on every training image: t times these weights bring J as near to 0 as one likes, "
        "and never to 0. So there is no minimum."
        if proven
        else "Neither a minimum nor weights that are right on every training image were found.",
    )
    return figure


def _two_panes(figure: Figure, *titles: tuple[str, str]) -> list[Axes]:
    """Add two panels side by side, each with the titles of y and x."""
    bottom = FOOTER + NOTE + BOTTOM
    height = HEIGHT - HEADER - TOP - bottom
    width = (WIDTH - 2 * MARGIN - LEFT - RIGHT - BETWEEN) / 2
    lefts = (MARGIN + LEFT, MARGIN + LEFT + width + BETWEEN)
    return [
        pane(figure, (left, bottom, width, height), y_title, x_title)
        for left, (y_title, x_title) in zip(lefts, titles, strict=True)
    ]


def _draw_way(axes: Axes, optimum: "Optimum") -> None:
    """Draw how far above the minimum each check of the run was."""
    metrics, lowest = optimum.run.metrics, optimum.found.place.value
    excess = metrics["train_loss"] + metrics["l2_penalty"] - lowest
    axes.plot(metrics["step"], excess, color=RUN_COLOR, linewidth=1.0)
    axes.plot(metrics["step"][-1:], excess[-1:], "o", color=RUN_COLOR)
    axes.set_yscale("log")
    few_decades = excess.max() < 100 * excess.min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _draw_valley(axes: Axes, optimum: "Optimum") -> None:
    """Draw J along straight lines through the minimum: one through the run, one through 0."""
    best, lowest = optimum.found.place.weights, optimum.found.place.value
    ends = {
        f"the run ({optimum.weights} weights)": (optimum.of_run.place.weights, RUN_COLOR),
        "W = 0, where it began": (np.zeros_like(best), ZERO_COLOR),
    }
    distances = [float(np.linalg.norm(weights - best)) for weights, _ in ends.values()]
    x = BEYOND * max(distances) * np.linspace(-1, 1, N_POINTS)
    heights = []
    for (name, (weights, color)), distance in zip(ends.items(), distances, strict=True):
        direction = (weights - best) / (distance or 1.0)
        values = optimum.objective.values(best + x[:, None, None] * direction)
        axes.plot(x, values, color=color, linewidth=1.4)
        heights.append(float(optimum.objective.values(weights[None])[0]))
        axes.plot([distance], heights[-1:], "o", color=color, markersize=7, label=name, zorder=4)
    axes.plot([0], [lowest], "*", color=INK, markersize=13, label="W*", zorder=5)
    top = HEADROOM * (max(heights) - lowest)
    axes.set_ylim(lowest - 0.06 * top, lowest + top)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _draw_rays(axes: Axes, optimum: "Optimum") -> None:
    """Draw what becomes of J if weights are multiplied by a factor."""
    t = np.geomspace(0.25, MAX_FACTOR, N_POINTS)
    for name, standing, color in _both(optimum):
        W = standing.place.weights
        axes.plot(t, optimum.objective.values(t[:, None, None] * W), color=color)
        axes.plot([1], [standing.place.value], "o", color=color, label=name)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_yscale("log")
    _, high = axes.get_ylim()
    axes.set_ylim(SMALLEST_J, high)
    axes.legend(loc="lower left")


def _draw_probabilities(axes: Axes, optimum: "Optimum") -> None:
    """Draw what each training image's true class is given, the images in order of that."""
    n = optimum.objective.samples.n_samples
    for _, standing, color in _both(optimum):
        wrong = int((~standing.train_is_right).sum())
        label = f"{wrong:,} of {n:,} wrong" if wrong else f"all {n:,} right"
        axes.plot(
            np.arange(1, n + 1), np.sort(standing.true_class_probability), color=color, label=label
        )
    axes.axhline(0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(-0.02, 1.02)
    axes.legend(loc="lower right")


def _both(optimum: "Optimum") -> "list[tuple[str, Standing, str]]":
    return [
        (f"the run ({optimum.weights} weights)", optimum.of_run, RUN_COLOR),
        ("weights found", optimum.found, FOUND_COLOR),
    ]
