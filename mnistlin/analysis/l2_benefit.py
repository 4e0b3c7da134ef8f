"""When does L2 help? Exact minima for several λ, with all training images and with fewer of them.

The same model is as complex for few images as a larger one for many, so if L2 helps complex models,
it helps with few images. All minima are compared on the same validation images; the smallest λ
stands for training without a penalty, which may have no minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim
from mnistlin.analysis.lambda_path import explain_lambda
from mnistlin.analysis.optimum import objective_on
from mnistlin.analysis.own_data import load_own_splits
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import CONFIDENCE, PairedCounts, holm, t_interval
from mnistlin.data.splits import Split
from mnistlin.figures.captions import written
from mnistlin.model.optimum import minimise
from mnistlin.runs.folder import Run
from mnistlin.training.evaluation import Predictions, predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

L2_LAMBDAS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
FEWER_IMAGES = (500, 2000)


@dataclass(frozen=True, eq=False)
class Minima:
    """The minima on the first n training images: predictions for the validation images by λ."""

    n_images: int
    targets: NDArray[np.intp]
    predictions: dict[float, Predictions]
    """From the largest λ to the smallest."""

    def is_correct(self, l2_lambda: float) -> NDArray[np.bool_]:
        """Return which validation images the minimum of this λ classifies correctly."""
        is_correct: NDArray[np.bool_] = self.predictions[l2_lambda].class_index == self.targets
        return is_correct

    def accuracy(self, l2_lambda: float) -> float:
        """Return the validation accuracy of the minimum of this λ."""
        return float(self.is_correct(l2_lambda).mean())

    def loss(self, l2_lambda: float) -> float:
        """Return the validation loss of the minimum of this λ, in nats."""
        return float(self.predictions[l2_lambda].loss.mean())

    @property
    def smallest(self) -> float:
        """The smallest λ."""
        return min(self.predictions)

    @property
    def best(self) -> float:
        """The λ whose minimum has the highest validation accuracy."""
        return max(self.predictions, key=self.accuracy)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether a larger λ is more accurate than the smallest (agrees), or all less (differs).

        By McNemar's exact tests, corrected for the number of λ (Holm).
        """
        larger = [value for value in self.predictions if value != self.smallest]
        counts = [
            PairedCounts.of(self.is_correct(value), self.is_correct(self.smallest))
            for value in larger
        ]
        are_clear = [p < 1 - CONFIDENCE for p in holm([each.p_value for each in counts])]
        clear = [each.difference > 0 for each, ok in zip(counts, are_clear, strict=True) if ok]
        if any(clear):
            return "agrees"
        return "differs" if len(clear) == len(larger) else "inconclusive"


@dataclass(frozen=True, eq=False)
class L2Benefit(Result):
    """The minima of a run's model for several λ, with fewer and with all training images."""

    run: Run
    minima: tuple[Minima, ...]
    """By number of images, increasing; the last have all images of the run."""

    title = "When L2 helps"

    @property
    def stem(self) -> str:
        """l2-benefit."""
        return "l2-benefit"

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.run.path

    def values(self) -> Values:
        """Return the best λ with all images."""
        return {"run": str(self.run.path), "best_l2_lambda": self.minima[-1].best}

    def tables(self) -> Tables:
        """Return one row for each number of images and λ."""
        return {
            "minima": [
                {
                    "n_images": of.n_images,
                    "l2_lambda": value,
                    "val_accuracy": of.accuracy(value),
                    "val_loss": of.loss(value),
                }
                for of in self.minima
                for value in of.predictions
            ]
        }

    def explanation(self) -> str:
        """Say which λ is the best for each number of images, and whether that is chance."""
        words = {
            "agrees": "a larger λ is more accurate than the smallest beyond chance",
            "differs": "every larger λ is less accurate than the smallest",
            "inconclusive": "these validation images do not decide between them",
        }
        found = [
            f"with {of.n_images:,} images {written(of.accuracy(of.best), '.2%')} at "
            f"λ = {of.best:g} against {written(of.accuracy(of.smallest), '.2%')} at "
            f"λ = {of.smallest:g} ({words[of.verdict]})"
            for of in self.minima
        ]
        return (
            "At the minimum of the objective, where the number of epochs plays no role, the "
            f"highest validation accuracy is: {'; '.join(found)}. McNemar's exact tests, corrected "
            "for the number of λ."
        )

    def figure(self) -> "Figure":
        """Draw validation accuracy and loss at the minimum against λ."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import legend_below, name_axes, page, sequential_colors

        with page(captions.of_run("Accuracy at the minimum", self.run)) as figure:
            panels = figure.subplot_mosaic([["accuracy", "loss"]])
            for of, color in zip(self.minima, sequential_colors(len(self.minima)), strict=True):
                l2_lambdas = list(of.predictions)
                label = f"{of.n_images:,} training images"
                for name, number in (("accuracy", of.accuracy), ("loss", of.loss)):
                    values = [number(value) for value in l2_lambdas]
                    panels[name].plot(l2_lambdas, values, "o-", color=color, label=label)
            for axes in panels.values():
                axes.set_xscale("log")
            legend_below(panels["loss"])
            name_axes(panels["accuracy"], "validation accuracy (fraction)", "λ (log scale)")
            name_axes(panels["loss"], "validation loss (nats)", "λ (log scale)")
        return figure


def l2_benefit(run: Run, l2_lambdas: Sequence[float] = L2_LAMBDAS) -> L2Benefit:
    """Compute the minima of a run's model for several λ and numbers of training images.

    Raises
    ------
    DataError, ConfigError
        If the data is missing, or not what the run was trained with.
    """
    splits = load_own_splits(run)
    sizes = [n for n in FEWER_IMAGES if n < splits.train.n_samples] + [splits.train.n_samples]
    minima = tuple(
        _minima(run, _first(splits.train, n), splits.val, sorted(l2_lambdas, reverse=True))
        for n in sizes
    )
    return L2Benefit(run, minima)


def _first(split: Split, n: int) -> Split:
    return replace(split, rows=split.rows[:n], targets=split.targets[:n])


def _minima(run: Run, train: Split, val: Split, l2_lambdas: Sequence[float]) -> Minima:
    """Find the minimum of each λ, starting from that of the next larger one."""
    weights = np.zeros(run.weights_shape)
    predictions = {}
    for l2_lambda in l2_lambdas:
        objective = objective_on(train, run.head, l2_lambda)
        weights = minimise(objective, weights).place.weights
        predictions[l2_lambda] = predict(val, weights, run.head)
    return Minima(train.n_samples, val.targets, predictions)


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
    best = min(of.predictions, key=of.loss)
    interval = t_interval(of.predictions[of.smallest].loss - of.predictions[best].loss)
    verdict: Verdict = "agrees" if best == of.smallest else "inconclusive"
    if interval and interval.low > 0:
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


@claim("lambda-under-fits")
def _lambda_under_fits(evidence: Evidence) -> Finding:
    """This λ, and not training, is why its run is less accurate than the run with λ = 0.

    Then the minimum is no more accurate than the run, and less accurate than the run with λ = 0.
    """
    runs = evidence.first.whole_sweep.by_lambda
    if not evidence.l2_lambda or not (runs.get(evidence.l2_lambda) and runs.get(0.0)):
        return Finding("inconclusive", "the sweep lacks this λ or λ = 0")
    path = evidence.ask(explain_lambda, evidence.first.whole_sweep)
    minimum = path.minima.get(evidence.l2_lambda)
    if minimum is None:
        return Finding("inconclusive", "the search for the minimum did not converge")
    of_run, at_minimum, of_zero = (
        model.val_is_correct
        for model in (path.trained[evidence.l2_lambda], minimum, path.trained[0.0])
    )
    gained, lost = PairedCounts.of(at_minimum, of_run), PairedCounts.of(of_zero, at_minimum)
    gained_p, lost_p = holm([gained.p_value, lost.p_value])
    verdict: Verdict = "inconclusive"
    if gained_p < 1 - CONFIDENCE and gained.difference > 0:
        verdict = "differs"
    elif lost_p < 1 - CONFIDENCE:
        verdict = "agrees" if lost.difference > 0 else "differs"
    accuracies = [written(each.mean(), ".2%") for each in (of_run, at_minimum, of_zero)]
    return Finding(
        verdict,
        f"the run reaches {accuracies[0]}, its minimum {accuracies[1]}, the run with λ = 0 "
        f"{accuracies[2]}",
        explanation=(
            f"With λ = {evidence.l2_lambda:g} the minimum classifies {gained.only_a} validation "
            f"images correctly that the run does not, and misclassifies {gained.only_b} that the "
            f"run does not (McNemar's exact test: p = {gained_p:.2g}, corrected for two tests). "
            f"Against the run with λ = 0 it loses {lost.only_a} and gains {lost.only_b} "
            f"(p = {lost_p:.2g})."
        ),
        figure=path.figure,
    )
