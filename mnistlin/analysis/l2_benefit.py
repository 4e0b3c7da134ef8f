"""When does L2 help? Exact minima for several λ, with all training images and with fewer of them.

The same model is as complex for few images as a larger one for many, so if L2 helps complex models,
it helps with few images. All minima are compared on the same validation images; the smallest λ
stands for training without a penalty, which may have no minimum. Of fewer images there are several
sets without an image in common, so that what one of them happens to contain decides nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import (
    CONFIDENCE,
    NO_SPREAD,
    PairedCounts,
    holm,
    t_interval,
    t_p_value,
)
from mnistlin.data.splits import Split
from mnistlin.model.optimum import minima as minima_of
from mnistlin.model.samples import max_helpers
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.text import written
from mnistlin.training.evaluation import Predictions, objective_on, predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

L2_LAMBDAS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
FEWER_IMAGES = (500, 2000)

MAX_SETS, MIN_SETS = 5, 4
"""Maximum number of sets of fewer images, and how many a test over the sets needs."""


@dataclass(frozen=True, eq=False)
class Minima:
    """The minima on sets of n training images: losses of the validation images in nats, by λ.

    All arrays are (n_sets, n_val); λ go from the largest to the smallest.
    """

    n_images: int
    is_correct: dict[float, NDArray[np.bool_]]
    losses: dict[float, NDArray[np.float64]]

    def accuracy(self, l2_lambda: float) -> float:
        """Return the mean validation accuracy of the minima of this λ."""
        return float(self.is_correct[l2_lambda].mean())

    def loss(self, l2_lambda: float) -> float:
        """Return the mean validation loss of the minima of this λ, in nats."""
        return float(self.losses[l2_lambda].mean())

    @property
    def n_sets(self) -> int:
        """How many sets of training images there are."""
        return len(self.is_correct[self.smallest])

    @property
    def smallest(self) -> float:
        """The smallest λ."""
        return min(self.is_correct)

    @property
    def best(self) -> float:
        """The λ whose minima have the highest validation accuracy."""
        return max(self.is_correct, key=self.accuracy)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether a larger λ is more accurate than the smallest (agrees), or all less (differs).

        By tests over the sets and the validation images, or with one set by McNemar's exact tests
        over the images, corrected for the number of λ (Holm).
        """
        larger = [value for value in self.is_correct if value != self.smallest]
        p_values = holm([self._p_value(value) for value in larger])
        gains = [self.accuracy(value) - self.accuracy(self.smallest) for value in larger]
        clear = [gain for gain, p in zip(gains, p_values, strict=True) if p < 1 - CONFIDENCE]
        if any(gain > 0 for gain in clear):
            return "agrees"
        return "differs" if len(clear) == len(larger) else "inconclusive"

    def _p_value(self, l2_lambda: float) -> float:
        """Return the p-value that this λ and the smallest are equally accurate.

        Both the sets and the images are samples, so the squared standard errors of their means add
        up, as the degrees of freedom do in Welch's test (Satterthwaite 1946).
        """
        a, b = self.is_correct[l2_lambda], self.is_correct[self.smallest]
        if self.n_sets == 1:
            return PairedCounts.of(a[0], b[0]).p_value
        gain = a.astype(float) - b
        means = gain.mean(axis=1), gain.mean(axis=0)
        squares = [float(np.var(each, ddof=1)) / len(each) for each in means]
        if sum(squares) <= NO_SPREAD:
            return 1.0
        freedom = sum(squares) ** 2 / sum(
            square**2 / (len(each) - 1) for square, each in zip(squares, means, strict=True)
        )
        return t_p_value(gain.mean() / np.sqrt(sum(squares)), freedom)


@dataclass(frozen=True, eq=False)
class L2Benefit(Result):
    """The minima of a run's model for several λ, with fewer and with all training images."""

    run: Run
    minima: tuple[Minima, ...]
    """By number of images, increasing; the last have all images of the run."""

    title = "When L2 helps"
    stem = "l2-benefit"

    def values(self) -> Values:
        """Return the best λ with all images."""
        return {"run": str(self.run.path), "best_l2_lambda": self.minima[-1].best}

    def tables(self) -> Tables:
        """Return one row for each number of images and λ."""
        return {
            "minima": [
                {
                    "n_images": of.n_images,
                    "n_sets": of.n_sets,
                    "l2_lambda": value,
                    "val_accuracy": of.accuracy(value),
                    "val_loss": of.loss(value),
                }
                for of in self.minima
                for value in of.is_correct
            ]
        }

    def explanation(self) -> str:
        """Describe the best λ for each number of images, and whether it may be chance."""
        words = {
            "agrees": "a larger λ is more accurate than the smallest beyond chance",
            "differs": "every larger λ is less accurate than the smallest",
            "inconclusive": "these validation images do not decide between them",
        }
        found = [
            f"with {_named(of)} {written(of.accuracy(of.best), '.2%')} at "
            f"λ = {of.best:g} against {written(of.accuracy(of.smallest), '.2%')} at "
            f"λ = {of.smallest:g} ({words[of.verdict]})"
            for of in self.minima
        ]
        return (
            "At the minimum of the objective, where the number of epochs plays no role, the "
            f"highest validation accuracy is: {'; '.join(found)}. With several sets, means over "
            "them, tested over sets and validation images; with one, McNemar's exact tests; "
            "corrected for the number of λ."
        )

    def figure(self) -> "Figure":
        """Draw validation accuracy and loss at the minimum against λ."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import (
            end_at_one,
            legend_below,
            name_axes,
            page,
            sequential_colors,
            side_by_side,
        )

        with page(captions.of_run("Accuracy at the minimum", self.run)) as figure:
            accuracy, loss = side_by_side(figure, 1, 1)
            for of, color in zip(self.minima, sequential_colors(len(self.minima)), strict=True):
                l2_lambdas = list(of.is_correct)
                label = _named(of)
                for axes, number in ((accuracy, of.accuracy), (loss, of.loss)):
                    values = [number(value) for value in l2_lambdas]
                    axes.plot(l2_lambdas, values, "o-", color=color, label=label)
                    axes.set_xscale("log")
            end_at_one(accuracy)
            legend_below(loss)
            name_axes(accuracy, "validation accuracy (fraction)", "λ (log scale)")
            name_axes(loss, "validation loss (nats)", "λ (log scale)")
        return figure


def l2_benefit(run: Run, l2_lambdas: Sequence[float] = L2_LAMBDAS) -> L2Benefit:
    """Compute the minima of a run's model for several λ and numbers of training images.

    Raises
    ------
    DataError, ConfigError
        If the data is missing, or not what the run was trained with.
    """
    splits = load_own_splits(run)
    n_all = splits.train.n_samples
    minima = tuple(
        _minima(run, _sets(splits.train, n), splits.val, l2_lambdas)
        for n in (*(n for n in FEWER_IMAGES if n < n_all), n_all)
    )
    return L2Benefit(run, minima)


def _sets(split: Split, n: int) -> list[Split]:
    """Return disjoint parts of n images each, in order; only the first if there are too few."""
    n_sets = min(MAX_SETS, split.n_samples // n)
    starts = range(0, n * (n_sets if n_sets >= MIN_SETS else 1), n)
    return [
        replace(split, rows=split.rows[start:][:n], targets=split.targets[start:][:n])
        for start in starts
    ]


def _minima(run: Run, sets: Sequence[Split], val: Split, l2_lambdas: Sequence[float]) -> Minima:
    def predictions_on_val(of_set: Split) -> dict[float, Predictions]:
        objective = objective_on(of_set, run.head, l2_lambda=0.0)
        return {
            l2_lambda: predict(val, found.point.weights, run.head)
            for l2_lambda, found in minima_of(objective, l2_lambdas)
        }

    # Small sets do not profit from several threads each.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max_helpers() + 1) as pool:
        predictions = list(pool.map(predictions_on_val, sets))
    return Minima(
        sets[0].n_samples,
        {
            value: np.array([each[value].class_index == val.targets for each in predictions])
            for value in predictions[0]
        },
        {value: np.array([each[value].loss for each in predictions]) for value in predictions[0]},
    )


def _named(of: Minima) -> str:
    """Return the data of a minimum as "500 training images (mean of 5 sets)"."""
    sets = f" (mean of {of.n_sets} sets)" if of.n_sets > 1 else ""
    return f"{of.n_images:,} training images{sets}"


@claim("any-l2-costs-accuracy")
def _any_l2_costs_accuracy(evidence: Evidence) -> Finding:
    """At the minimum, every larger λ is less accurate than the smallest."""
    found = evidence.ask(l2_benefit, evidence.first.run)
    of = found.minima[-1]
    opposite: dict[Verdict, Verdict] = {"agrees": "differs", "differs": "agrees"}
    return Finding(
        opposite.get(of.verdict, "inconclusive"),
        f"at the minimum {written(of.accuracy(of.best), '.2%')} with λ = {of.best:g}, "
        f"{written(of.accuracy(of.smallest), '.2%')} with λ = {of.smallest:g}",
        explanation=found.explanation(),
        figure=found.figure,
    )


@claim("does-not-over-fit-at-the-minimum")
def _does_not_over_fit(evidence: Evidence) -> Finding:
    """With the smallest λ the validation loss at the minimum is not above that of every other λ."""
    found = evidence.ask(l2_benefit, evidence.first.run)
    of = found.minima[-1]
    best = min(of.losses, key=of.loss)
    interval = t_interval(of.losses[of.smallest][0] - of.losses[best][0])
    verdict: Verdict = "agrees" if best == of.smallest else "inconclusive"
    n_others = len(of.losses) - 1  # among which the best was chosen
    if interval and interval.low > 0 and n_others * interval.p_value < 1 - CONFIDENCE:
        verdict = "differs"
    return Finding(
        verdict,
        f"validation loss at the minimum {of.loss(of.smallest):.4f} with λ = {of.smallest:g}, "
        f"{of.loss(best):.4f} with λ = {best:g}",
        explanation=found.explanation(),
        figure=found.figure,
    )


@claim("l2-helps-complex-models")
def _l2_helps_complex_models(evidence: Evidence) -> Finding:
    """With each smaller number of images, a larger λ is more accurate than the smallest."""
    found = evidence.ask(l2_benefit, evidence.first.run)
    fewer = found.minima[:-1]
    verdicts = {of.verdict for of in fewer}
    verdict: Verdict = "inconclusive"
    if len(verdicts) == 1:
        (verdict,) = verdicts
    elif "differs" in verdicts:
        verdict = "differs"
    best = ", ".join(f"{of.best:g} ({of.n_images:,} images)" for of in found.minima)
    return Finding(
        verdict,
        f"best λ at the minimum: {best}",
        explanation=found.explanation(),
        figure=found.figure,
    )
