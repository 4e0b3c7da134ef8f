"""`explain optimum`: how far is a run from the minimum of its objective, and does it matter?

J is convex, so its minimum can be computed, starting from the run's own weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.result import Result, Values
from mnistlin.analysis.statistics import CONFIDENCE, POWER, PairedCounts
from mnistlin.data.splits import Splits
from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.style import BLUE, GREEN, INK, ORANGE
from mnistlin.model.heads import Head
from mnistlin.model.linear import squared_norm
from mnistlin.model.objective import Objective, Point
from mnistlin.model.optimum import minimise
from mnistlin.model.products import Floats
from mnistlin.runs.classifier import WeightsName
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.text import written
from mnistlin.training.evaluation import Predictions, objective_on, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind: TypeAlias = Literal["minimum", "no minimum", "lowest found"]

CONVERGED = 1e-3
"""A run whose J is at most this fraction of J* above it has converged."""

N_POINTS = 61
"""Points of a line along which J is drawn."""

BEYOND = 1.5
"""How far a line extends beyond the farthest weights on it, as a multiple of their distance."""

HEADROOM = 1.6
"""Highest J that is shown, as a multiple of the highest marked one, both measured from J*."""

SMALLEST_J = 1e-8
"""Lower end of the axis of J at multiples of the weights, in nats."""

MAX_FACTOR = 64

RUN_COLOR, FOUND_COLOR, ZERO_COLOR = BLUE, GREEN, ORANGE


@dataclass(frozen=True)
class Performance:
    """J of some weights with its gradient, and their predictions."""

    point: Point
    train: Predictions
    train_targets: NDArray[np.uint8]
    val_is_correct: NDArray[np.bool_]

    @property
    def train_is_correct(self) -> NDArray[np.bool_]:
        """Which training images are correctly classified, (n_train,)."""
        is_correct: NDArray[np.bool_] = self.train.class_index == self.train_targets
        return is_correct

    @property
    def true_class_probability(self) -> NDArray[np.float64]:
        """Probability of the true class of each training image, (n_train,)."""
        return self.train.probability[np.arange(len(self.train_targets)), self.train_targets]

    @property
    def train_accuracy(self) -> float:
        """Fraction of the training images that are correctly classified."""
        return float(self.train_is_correct.mean())

    @property
    def val_accuracy(self) -> float:
        """Fraction of the validation images that are correctly classified."""
        return float(self.val_is_correct.mean())

    def values(self) -> dict[str, float]:
        """Return the numbers that are shown."""
        return {
            "objective": self.point.value,
            "gradient_norm": self.point.gradient_norm,
            "train_accuracy": self.train_accuracy,
            "val_accuracy": self.val_accuracy,
            "weight_norm": float(np.sqrt(squared_norm(self.point.weights))),
        }


@dataclass(frozen=True)
class Optimum(Result):
    """A run, and the best weights that could be found for its own training set and λ.

    `kind` says what these are: the `minimum`; or, without penalty, weights that classify every
    training image correctly, which proves that there is `no minimum`; or the `lowest found`, if the
    search ended before either was clear.
    """

    run: Run
    weights: WeightsName
    objective: Objective
    of_run: Performance
    found: Performance
    kind: Kind
    n_iterations: int

    title = "The run and the minimum of its objective"

    @property
    def stem(self) -> str:
        """optimum-last or optimum-best."""
        return f"optimum-{self.weights}"

    @property
    def l2_lambda(self) -> float:
        """Penalty λ."""
        return self.objective.l2_lambda

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return self.objective.samples.n_samples

    @property
    def gap(self) -> float:
        """J of the run minus the infimum of J, or minus the lowest J found, in nats."""
        lowest = 0.0 if self.kind == "no minimum" else self.found.point.value
        return self.of_run.point.value - lowest

    @property
    def paired(self) -> PairedCounts:
        """On how many validation images the weights found are correct (A), and the run (B)."""
        return PairedCounts.of(self.found.val_is_correct, self.of_run.val_is_correct)

    @property
    def error_bound(self) -> float | None:
        """Upper bound on how far the J that was found is above the minimum, in nats.

        J is strongly convex with modulus 2 λ, so J - J* ≤ ‖∇J‖² / (4 λ) (Nesterov 2004, theorem
        2.1.10), up to rounding. None without a penalty.
        """
        if not self.l2_lambda:
            return None
        return self.found.point.gradient_norm**2 / (4 * self.l2_lambda)

    @property
    def translations(self) -> dict[str, float | None]:
        """The same penalty as a setting of other tools; None for "no penalty".

        Exact if the bias is penalised there too: a column of ones among the inputs, no intercept.
        For two classes scikit-learn fits one output, the difference w of the two columns of W. At
        the minimum these are ±w / 2, so λ Σ W² is λ Σ w² / 2. SGDClassifier fits one model per
        class, which softmax is not.
        """
        n, l2_lambda = self.n_train, self.l2_lambda
        is_logistic = self.run.config.model == "logistic"
        halved = not is_logistic and len(self.run.classes) == 2
        C = (2 if halved else 1) / (2 * n * l2_lambda) if l2_lambda else None
        alpha = {"sklearn_SGDClassifier_alpha": 2 * l2_lambda} if is_logistic else {}
        decay = {"torch_weight_decay": 2 * l2_lambda}
        return {"sklearn_LogisticRegression_C": C, **alpha, **decay}

    def values(self) -> Values:
        """Return both performances, the gap, and λ in other tools."""
        other = "minimum" if self.kind == "minimum" else "found"
        both = {"run": self.of_run.values(), other: self.found.values()}
        values = {
            "run": str(self.run.path),
            "weights": self.weights,
            "outcome": self.kind,
            "l2_lambda": self.l2_lambda,
            "n_train": self.n_train,
            "iterations": self.n_iterations,
            **{f"{key}_{name}": both[name][key] for key in both["run"] for name in both},
            "gap": self.gap,
        }
        if self.error_bound is not None:
            values["minimum_error_below"] = self.error_bound
        note = (
            "exact for a penalised bias: fit_intercept=False and a column of ones; weight_decay is "
            "that of torch.optim.SGD"
        )
        return values | self.translations | {"note": note}

    def arrays(self) -> Mapping[str, Floats]:
        """Return the weights that were found."""
        return {"found": self.found.point.weights}

    def explanation(self) -> str:
        """Describe what the minimum, or the lack of one, means for the run."""
        if self.kind == "minimum":
            return self._about_minimum()
        if self.kind == "no minimum":
            return self._about_no_minimum()
        return self._about_lowest_found()

    def _about_minimum(self) -> str:
        lowest = self.found.point.value
        words = (
            f"J is convex, so it has one lowest value, J* = {lowest:.6g}, and no local optimum. J "
            f"of the run is {self.of_run.point.value:.6g}, {self.gap:.2g} nats above it. The "
            f"minimum classifies {written(self.found.val_accuracy, '.2%')} of the validation "
            f"images correctly, and the run {written(self.of_run.val_accuracy, '.2%')}."
        )
        paired, has_converged = self.paired, self.gap <= CONVERGED * lowest
        if paired.p_value >= 1 - CONFIDENCE:
            return f"{words} {_about_undecided(paired)}{_about_convergence(has_converged)}"
        p = f"(p = {paired.p_value:.1g}, McNemar)"
        if paired.difference > 0:
            return (
                f"{words} The minimum is better by more than chance {p}: at λ = "
                f"{self.l2_lambda:g} it is the steps of the run (too few, too large or too noisy) "
                "that cost accuracy, and not λ."
            )
        return (
            f"{words} The run is better by more than chance {p}, although its J is higher: ending "
            "training before the minimum, or its noise, acts as a regulariser here, and λ = "
            f"{self.l2_lambda:g} alone is too small."
        )

    def _about_no_minimum(self) -> str:
        found = self.found
        return (
            "Without a penalty there is no minimum here. The weights that were found classify all "
            f"{self.n_train:,} training images correctly, with a probability of "
            f"{found.true_class_probability.min():.2f} or more for the true class. Multiplied by "
            "2, 4, 8, these weights bring J ever closer to 0, which it never reaches: in training, "
            "weights grow without bound. J is convex, so there is no local optimum either. These "
            f"weights classify {written(found.val_accuracy, '.2%')} of the validation images "
            f"correctly, and the run {written(self.of_run.val_accuracy, '.2%')}"
            f"{_as_test(self.paired)}."
        )

    def _about_lowest_found(self) -> str:
        found = self.found
        words = (
            f"The search ended after {self.n_iterations:,} iterations, with a gradient of norm "
            f"{found.point.gradient_norm:.2g}: J = {found.point.value:.6g} is the lowest found"
        )
        if self.error_bound is not None:
            return f"{words}, and the minimum is at most {self.error_bound:.2g} nats below it."
        n_wrong = int((~found.train_is_correct).sum())
        return (
            f"{words}; how far the infimum is below it is unknown. These weights misclassify "
            f"{n_wrong:,} of {self.n_train:,} training images; weights that "
            "misclassify none would prove that there is no minimum."
        )

    def figure(self) -> "Figure":
        """Draw how far the run is from the minimum, or why there is none."""
        return _minimum_figure(self) if self.kind == "minimum" else _no_minimum_figure(self)


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
        Called after each pass over the training images, of which a search takes a few hundred.

    Raises
    ------
    RunError
        If the run diverged before its first check, or its weights cannot be read.
    DataError, ConfigError
        If its data is missing, or is not what the run was trained with.
    """
    W = run.weights[weights].astype(np.float64)
    if not len(run.metrics["step"]):
        raise RunError(
            f"{run.path}: training diverged before its first check, so there are no trained "
            "weights to compare with the minimum; train with a smaller training.learning_rate"
        )
    splits, head = load_own_splits(run), run.head
    objective = objective_on(splits.train, head, run.config.training.l2_lambda)
    found = minimise(objective, W, on_pass=on_pass)
    if objective.l2_lambda:
        kind: Kind = "minimum" if found.has_converged else "lowest found"
    else:
        kind = "no minimum" if found.point.separates else "lowest found"
    return Optimum(
        run,
        weights,
        objective,
        _performance(objective.at(W), splits, head),
        _performance(found.point, splits, head),
        kind,
        found.n_iterations,
    )


def _performance(point: Point, splits: Splits, head: Head) -> Performance:
    train, val = (predict(split, point.weights, head) for split in (splits.train, splits.val))
    return Performance(
        point,
        train,
        splits.train.targets,
        val_is_correct=val.class_index == splits.val.targets,
    )


def _about_undecided(paired: PairedCounts) -> str:
    smallest = paired.smallest_gap()
    reach = (
        "no difference at all"
        if smallest is None
        else f"a difference of {written(smallest, '.2%')} or more"
    )
    return (
        f"These {paired.n:,} images do not decide which is better (p = {paired.p_value:.2g}, "
        f"McNemar); they would detect {reach} in {written(POWER, '.0%')} of all cases."
    )


def _about_convergence(has_converged: bool) -> str:
    if has_converged:
        return " Training has converged for this λ."
    return " By its J, training has not converged for this λ."


def _as_test(paired: PairedCounts) -> str:
    if paired.p_value >= 1 - CONFIDENCE:
        return f", a difference that these images do not decide (p = {paired.p_value:.2g}, McNemar)"
    return f", a difference beyond chance (p = {paired.p_value:.1g}, McNemar)"


def _minimum_figure(optimum: Optimum) -> "Figure":
    from mnistlin.figures.style import legend_below, name_axes, page, side_by_side

    note = (
        f"W* is the minimum, J* = {optimum.found.point.value:.6g}. J is convex: it rises on every "
        "line away from W*."
    )
    with page(captions.of_run("Run and minimum", optimum.run), note) as figure:
        excess, lines = side_by_side(figure, 1, 1)
        _draw_excess(excess, optimum)
        name_axes(excess, "J − J* at the checks, nats, log scale", "step (update)")
        _draw_lines(lines, optimum)
        name_axes(lines, "J on straight lines through W*, nats", "distance from W*")
        legend_below(lines)
    return figure


def _no_minimum_figure(optimum: Optimum) -> "Figure":
    from mnistlin.figures.style import name_axes, page, side_by_side

    what, note = (
        "Run and lowest J found",
        "Neither a minimum nor weights that classify every training image correctly were found.",
    )
    if optimum.kind == "no minimum":
        what, note = (
            "Separating weights",
            "Every training image is correctly classified: t times these weights bring J as close "
            "to 0 as desired, so there is no minimum.",
        )
    with page(captions.of_run(what, optimum.run), note) as figure:
        rays, probabilities = side_by_side(figure, 1, 1)
        name_axes(rays, "J at t times the weights, nats, log scale", "t")
        name_axes(
            probabilities,
            "probability of the true class",
            "training images, by increasing probability (log scale)",
        )
        _draw_rays(rays, optimum)
        _draw_probabilities(probabilities, optimum)
    return figure


def _draw_excess(axes: "Axes", optimum: Optimum) -> None:
    """Draw how far above the minimum each check of the run was."""
    metrics, lowest = optimum.run.metrics, optimum.found.point.value
    excess = metrics["train_loss"] + metrics["l2_penalty"] - lowest
    axes.semilogy(metrics["step"], excess, color=RUN_COLOR, linewidth=1.0)
    axes.plot(metrics["step"][-1:], excess[-1:], "o", color=RUN_COLOR)
    few_decades = excess.max() < 100 * excess.min()
    axes.locator_params("y", subs=(1, 2, 5) if few_decades else (1,))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.minorticks_off()
    axes.locator_params("x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _draw_lines(axes: "Axes", optimum: Optimum) -> None:
    """Draw J along straight lines through the minimum: one through the run, one through 0."""
    best, lowest = optimum.found.point.weights, optimum.found.point.value
    ends = {
        f"the run ({optimum.weights} weights)": (optimum.of_run.point.weights, RUN_COLOR),
        "W = 0, the start": (np.zeros_like(best), ZERO_COLOR),
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
    axes.locator_params("x", nbins=6)


def _draw_rays(axes: "Axes", optimum: Optimum) -> None:
    """Draw J at multiples of the weights."""
    from mnistlin.figures.style import legend_below

    t = np.geomspace(0.25, MAX_FACTOR, N_POINTS)
    for name, performance, color in _both(optimum):
        W = performance.point.weights
        axes.plot(t, optimum.objective.values(t[:, None, None] * W), color=color)
        axes.plot([1], [performance.point.value], "o", color=color, label=name)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("log")
    axes.set_ylim(bottom=SMALLEST_J)
    legend_below(axes)


def _draw_probabilities(axes: "Axes", optimum: Optimum) -> None:
    """Draw the probability of each training image's true class, in increasing order."""
    from mnistlin.figures.style import legend_below

    n = optimum.n_train
    for _, performance, color in _both(optimum):
        n_wrong = int((~performance.train_is_correct).sum())
        label = f"{n_wrong:,} of {n:,} misclassified" if n_wrong else f"all {n:,} correct"
        probabilities = np.sort(performance.true_class_probability)
        axes.plot(np.arange(1, n + 1), probabilities, color=color, label=label)
    axes.axhline(0.5, color=INK, linewidth=1.0, linestyle="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(-0.02, 1.02)
    legend_below(axes)


def _both(optimum: Optimum) -> list[tuple[str, Performance, str]]:
    return [
        (f"the run ({optimum.weights} weights)", optimum.of_run, RUN_COLOR),
        ("weights found", optimum.found, FOUND_COLOR),
    ]
