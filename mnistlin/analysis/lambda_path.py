"""`explain lambda` answers: is an accuracy the result of λ, or of training.

For each λ > 0 of a sweep the exact minimum is found and compared with what training reached. With
λ = 0 there may be no minimum, so only the trained model is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, claim
from mnistlin.analysis.claims import Verdict as ClaimVerdict
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.selection import choose
from mnistlin.analysis.statistics import CONFIDENCE, PairedCounts, holm
from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.style import (
    BLUE,
    GREEN,
    end_at_one,
    legend_below,
    name_axes,
    page,
    side_by_side,
)
from mnistlin.figures.sweeps import lambda_axis
from mnistlin.model.heads import Head
from mnistlin.model.linear import squared_norm
from mnistlin.model.optimum import minima
from mnistlin.model.products import Floats
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.runs.sweep_folder import Sweep
from mnistlin.text import written
from mnistlin.training.evaluation import objective_on, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mnistlin.data.splits import Split

Verdict: TypeAlias = Literal["minimum is better", "run is better", "inconclusive", "not tested"]

NO_MINIMUM = "λ = 0: there may be no minimum"
NOT_CONVERGED = "the search did not converge"


@dataclass(frozen=True)
class Model:
    """Some weights, and their predictions of the validation images."""

    weights: Floats
    val_is_correct: NDArray[np.bool_]
    val_loss: float
    """Mean cross entropy in nats."""

    @classmethod
    def of(cls, weights: Floats, val: "Split", head: Head) -> "Model":
        """Evaluate weights (n_features + 1, n_outputs)."""
        found = predict(val, weights, head)
        return cls(weights, found.class_index == val.targets, float(found.loss.mean()))

    @property
    def val_accuracy(self) -> float:
        """Fraction of the validation images."""
        return float(self.val_is_correct.mean())

    @property
    def weight_norm(self) -> float:
        """Frobenius norm of the weights."""
        return float(np.sqrt(squared_norm(self.weights)))


@dataclass(frozen=True)
class Pair:
    """The trained model of one λ, and the minimum of the same objective; None if there is none."""

    l2_lambda: float
    trained: Model
    minimum: Model | None
    p_value: float | None
    """p-value of McNemar's test, corrected for the number of λ (Holm)."""

    @property
    def counts(self) -> PairedCounts | None:
        """On how many validation images the minimum is correct (A), and the trained model (B)."""
        if self.minimum is None:
            return None
        return PairedCounts.of(self.minimum.val_is_correct, self.trained.val_is_correct)

    @property
    def verdict(self) -> Verdict:
        """Which is better, if the images decide."""
        if self.counts is None or self.p_value is None:
            return "not tested"
        if self.p_value >= 1 - CONFIDENCE:
            return "inconclusive"
        return "minimum is better" if self.counts.difference > 0 else "run is better"

    def row(self) -> dict[str, Any]:
        """Return a row of the table."""
        minimum, counts = self.minimum, self.counts
        reason = NOT_CONVERGED if self.l2_lambda else NO_MINIMUM
        return {
            "l2_lambda": self.l2_lambda,
            "val_accuracy_run": self.trained.val_accuracy,
            "val_accuracy_minimum": minimum and minimum.val_accuracy,
            "val_loss_run": self.trained.val_loss,
            "val_loss_minimum": minimum and minimum.val_loss,
            "weight_norm_run": self.trained.weight_norm,
            "weight_norm_minimum": minimum and minimum.weight_norm,
            "difference": counts and counts.difference,
            "p_value": self.p_value,
            "verdict": self.verdict if minimum else reason,
        }


@dataclass(frozen=True)
class ChosenLambda:
    """The λ of the highest accuracy, and the largest λ that is within one standard error of it."""

    best: float
    one_standard_error: float
    standard_error: float

    @classmethod
    def among(cls, models: Mapping[float, Model]) -> "ChosenLambda":
        """Choose among models by λ as in a sweep, with images as repetitions instead of seeds."""
        scores = {
            (l2_lambda,): dict(enumerate(models[l2_lambda].val_is_correct.astype(float).tolist()))
            for l2_lambda in sorted(models, reverse=True)  # of equal ones the largest is the best
        }
        found = choose(scores, lambda key: -key[0])
        simplest = found.one_standard_error or found.best
        return cls(found.best[0], simplest[0], found.standard_error or 0.0)


@dataclass(frozen=True)
class LambdaPath(Result):
    """Trained models and minima of a sweep, one pair per λ in increasing order."""

    sweep: Sweep
    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]

    title = "Is it λ, or is it training?"
    stem = "lambda-path"

    @property
    def trained(self) -> dict[float, Model]:
        """The trained models by λ."""
        return {pair.l2_lambda: pair.trained for pair in self.pairs}

    @property
    def minima(self) -> dict[float, Model]:
        """The minima by λ, of those that have one."""
        return {pair.l2_lambda: pair.minimum for pair in self.pairs if pair.minimum}

    def values(self) -> Values:
        """Return the best λ of both."""
        values = {
            "run": str(self.sweep.path),
            "seed": self.runs[0].config.training.seed,
            "n_val": len(self.pairs[0].trained.val_is_correct),
        }
        for name, models in (("run", self.trained), ("minimum", self.minima)):
            chosen = ChosenLambda.among(models) if models else None
            values[f"best_lambda_{name}"] = chosen and chosen.best
            values[f"one_standard_error_lambda_{name}"] = chosen and chosen.one_standard_error
            values[f"standard_error_{name}"] = chosen and chosen.standard_error
        return values

    def tables(self) -> Tables:
        """Return one row per λ."""
        return {"lambdas": [pair.row() for pair in self.pairs]}

    def explanation(self) -> str:
        """Say for which λ training decides the accuracy, and which λ is best for both."""
        return f"{self._about_pairs()} {self._about_choice()}"

    def _about_pairs(self) -> str:
        of_verdict = {
            "minimum is better": "the minimum is better, so training and not λ costs accuracy",
            "run is better": "the run is better than the minimum of its own objective, so ending "
            "training before the minimum, or its noise, acts as a regulariser",
            "inconclusive": "the images do not decide",
        }
        parts = []
        for verdict, words in of_verdict.items():
            found = [f"{pair.l2_lambda:.3g}" for pair in self.pairs if pair.verdict == verdict]
            if found:
                parts.append(f"for λ = {', '.join(found)} {words}")
        untested = [pair for pair in self.pairs if pair.minimum is None]
        words = f"Each run compared with the exact minimum of its objective: {'; '.join(parts)}."
        if not parts:
            words = "No minimum was found."
        if any(not pair.l2_lambda for pair in untested):
            words += " With λ = 0 there may be no minimum, so only the run is shown."
        failed = [f"{pair.l2_lambda:.3g}" for pair in untested if pair.l2_lambda]
        if failed:
            words += f" For λ = {', '.join(failed)} the search did not converge."
        return words

    def _about_choice(self) -> str:
        words = []
        for name, models in (("trained models", self.trained), ("minima", self.minima)):
            if not models:
                continue
            chosen = ChosenLambda.among(models)
            words.append(
                f"Of the {name} λ = {chosen.best:.3g} has the highest validation accuracy, "
                f"{models[chosen.best].val_accuracy:.4f}, and λ = {chosen.one_standard_error:.3g} "
                f"is the largest within one standard error of it ({chosen.standard_error:.4f}, "
                "from one choice of images to another)."
            )
        return " ".join(words)

    def figure(self) -> "Figure":
        """Draw accuracy, loss and norm of both against λ."""
        note = "The minimum of the objective shows what λ does; the gap to the run is training."
        words = captions.of_sweep("Trained models and minima", self.sweep, self.runs)
        quantities = {
            "val_accuracy": "validation accuracy (fraction)",
            "val_loss": "validation loss, nats",
            "weight_norm": "weight norm (Frobenius)",
        }
        with page(words, note) as figure:
            panels = side_by_side(figure, 1, 1, 1)
            for axes, (quantity, title) in zip(panels, quantities.items(), strict=True):
                self._draw(axes, quantity)
                name_axes(axes, title, "λ (log scale)")
            end_at_one(panels[0])
            legend_below(panels[0])
        return figure

    def _draw(self, axes: "Axes", quantity: str) -> None:
        for label, models, color in (
            ("after training", self.trained, BLUE),
            ("at the minimum", self.minima, GREEN),
        ):
            y = [getattr(model, quantity) for model in models.values()]
            x = np.array(list(models))
            is_log = x > 0
            look: Any = {"color": color, "markersize": 4, "linewidth": 1.2}
            axes.plot(x, y, "o:", **look)
            axes.plot(x[is_log], np.array(y)[is_log], "o-", label=label, **look)
        lambda_axis(axes, [pair.l2_lambda for pair in self.pairs], max_ticks=2)


def explain_lambda(sweep: Sweep, on_pass: Callable[[], object] = lambda: None) -> LambdaPath:
    """Compare each trained model of a sweep's first seed with the exact minimum for its λ.

    Parameters
    ----------
    sweep : Sweep
        A sweep over λ.
    on_pass : callable
        Called after each pass over the training images.

    Raises
    ------
    RunError
        If the sweep has no usable run with λ > 0, or weights cannot be read.
    DataError, ConfigError
        If its data is missing, or not the same as it was.
    """
    runs = {
        l2_lambda: next(iter(members.values()))
        for l2_lambda, members in sorted(sweep.by_lambda.items())
        if members
    }
    if not any(runs):
        raise RunError(
            f"{sweep.path} has no finished run with λ > 0, so there is no minimum to compare with; "
            f"name a sweep that has one, or finish this one: {sweep.resume_command}"
        )
    first = next(iter(runs.values()))
    splits, head = load_own_splits(first), first.head
    objective = objective_on(splits.train, head, l2_lambda=0.0)
    trained = {
        l2_lambda: Model.of(run.weights["last"], splits.val, head)
        for l2_lambda, run in runs.items()
    }
    at_minimum = {
        l2_lambda: Model.of(found.point.weights, splits.val, head)
        for l2_lambda, found in minima(objective, filter(None, runs), on_pass=on_pass)
        if found.has_converged
    }
    return LambdaPath(sweep, tuple(runs.values()), _pairs(trained, at_minimum))


def _pairs(trained: Mapping[float, Model], at_minimum: Mapping[float, Model]) -> tuple[Pair, ...]:
    """Test each λ that has a minimum, all together."""
    counts = [
        PairedCounts.of(model.val_is_correct, trained[l2_lambda].val_is_correct)
        for l2_lambda, model in at_minimum.items()
    ]
    corrected: Sequence[float] = holm([each.p_value for each in counts])
    p_values = dict(zip(at_minimum, corrected, strict=True))
    return tuple(
        Pair(l2_lambda, model, at_minimum.get(l2_lambda), p_values.get(l2_lambda))
        for l2_lambda, model in trained.items()
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
    verdict: ClaimVerdict = "inconclusive"
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
