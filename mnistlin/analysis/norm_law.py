"""Which law does the norm of the weights follow as λ grows? Three are compared.

An exponential, a power law and a logarithm are fitted by least squares to the norms at the end of a
sweep, the first two to their logarithms. They are compared by leave-one-out cross-validation: each
λ is predicted from all others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, claim
from mnistlin.analysis.claims import Verdict as ClaimVerdict
from mnistlin.analysis.result import Result, Tables, TooShortError, Values
from mnistlin.analysis.statistics import CONFIDENCE, t_interval
from mnistlin.runs.sweep_folder import Sweep
from mnistlin.text import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_LAMBDAS = 5
"""Minimum number of λ > 0: two parameters are fitted to all but one of them."""


class Law(NamedTuple):
    """A law that is linear in x(λ) and y(‖W‖)."""

    formula: str
    x: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    y: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    norm_of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """The inverse of y."""

    def predict(
        self,
        l2_lambdas: NDArray[np.float64],
        norms: NDArray[np.float64],
        at: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the norms at other λ by the line that fits these best."""
        line = np.polynomial.Polynomial.fit(self.x(l2_lambdas), self.y(norms), 1)
        return self.norm_of(line(self.x(at)))


def _itself(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


LAWS = {
    "exponential": Law("a exp(−b λ)", _itself, np.log, np.exp),
    "power law": Law("a λ^(−b)", np.log, np.log, np.exp),
    "logarithm": Law("a − b ln λ", np.log, _itself, _itself),
}


@dataclass(frozen=True)
class NormLaw(Result):
    """The norms of a sweep at its λ > 0, and what each law predicts for the λ that is left out."""

    sweep: Sweep
    l2_lambdas: NDArray[np.float64]
    norms: NDArray[np.float64]
    predicted: Mapping[str, NDArray[np.float64]]

    title = "Norm of the weights against λ"
    stem = "norm-law"

    def errors(self, law: str) -> NDArray[np.float64]:
        """Return the relative error of each prediction."""
        errors: NDArray[np.float64] = np.abs(self.predicted[law] / self.norms - 1)
        return errors

    @property
    def best(self) -> str:
        """The law with the lowest mean error."""
        return min(self.predicted, key=lambda law: float(self.errors(law).mean()))

    @property
    def is_exponential(self) -> ClaimVerdict:
        """Whether no other law predicts better; by a paired t-test against the best of the others.

        It is corrected for the laws from which the best was chosen (Bonferroni).
        """
        if self.best == "exponential":
            return "agrees"
        interval = t_interval(self.errors("exponential") - self.errors(self.best))
        n_others = len(self.predicted) - 1
        is_clear = interval is not None and n_others * interval.p_value < 1 - CONFIDENCE
        return "differs" if is_clear else "inconclusive"

    def values(self) -> Values:
        """Return the sweep and the best law."""
        return {"sweep": str(self.sweep.path), "n_lambdas": len(self.norms), "best": self.best}

    def tables(self) -> Tables:
        """Return one row per law."""
        return {
            "laws": [
                {
                    "law": name,
                    "formula": LAWS[name].formula,
                    "mean_error": float(self.errors(name).mean()),
                    "largest_error": float(self.errors(name).max()),
                }
                for name in self.predicted
            ]
        }

    def explanation(self) -> str:
        """Describe how far off each law is."""
        errors = [
            f"{LAWS[name].formula} is off by {written(self.errors(name).mean(), '.1%')}"
            for name in self.predicted
        ]
        return (
            f"Each law is fitted to all but one of {len(self.norms)} values of λ and predicts the "
            f"norm at that one: on average {', '.join(errors)}. {LAWS[self.best].formula} is the "
            f"nearest of the three.{self._about_unstable()}"
        )

    def _about_unstable(self) -> str:
        unstable = [l2_lambda for (l2_lambda,) in self.sweep.unstable if l2_lambda]
        if not unstable:
            return ""
        names = ", ".join(f"{l2_lambda:g}" for l2_lambda in unstable)
        return (
            f" The learning rate is too large for the minimum at λ = {names}, so the norm there "
            "depends on it too."
        )

    def figure(self) -> "Figure":
        """Draw the norms with each law, fitted to all of them."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import INK, OKABE_ITO, legend_below, name_axes, page

        runs = [run for runs in self.sweep.by_lambda.values() for run in runs.values()]
        with page(captions.of_sweep("Weight norm", self.sweep, runs)) as figure:
            axes = figure.subplots()
            x = np.geomspace(self.l2_lambdas.min(), self.l2_lambdas.max(), 200)
            for (name, law), color in zip(LAWS.items(), OKABE_ITO, strict=False):
                y = law.predict(self.l2_lambdas, self.norms, x)
                axes.plot(x, y, color=color, label=f"{name}: {law.formula}")
            axes.plot(self.l2_lambdas, self.norms, "o", color=INK, label="measured", zorder=3)
            axes.set_xscale("log")
            axes.set_ylim(0, 1.15 * self.norms.max())
            legend_below(axes)
            name_axes(axes, "weight norm ‖W‖ (Frobenius)", "λ (log scale)")
        return figure


def norm_law(sweep: Sweep) -> NormLaw:
    """Compare the laws on the mean norms of a sweep.

    Raises
    ------
    TooShortError
        If the sweep has fewer than MIN_LAMBDAS values of λ above 0.
    """
    found = {value: runs for value, runs in sorted(sweep.by_lambda.items()) if value and runs}
    if len(found) < MIN_LAMBDAS:
        raise TooShortError(
            sweep.path,
            f"{len(found)} values of λ above 0 are too few to compare laws; sweep over "
            f"{MIN_LAMBDAS} or more",
        )
    l2_lambdas = np.array(list(found))
    norms = np.array(
        [np.mean([run.metrics["weight_norm"][-1] for run in of.values()]) for of in found.values()]
    )
    return NormLaw(sweep, l2_lambdas, norms, predictions(l2_lambdas, norms))


def predictions(
    l2_lambdas: NDArray[np.float64], norms: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return what each law predicts for each λ from all others."""
    return {name: _predict_left_out(law, l2_lambdas, norms) for name, law in LAWS.items()}


def _predict_left_out(
    law: Law, l2_lambdas: NDArray[np.float64], norms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what the law predicts at each λ from all others."""
    return np.array(
        [
            law.predict(np.delete(l2_lambdas, i), np.delete(norms, i), l2_lambdas[i : i + 1])[0]
            for i in range(len(norms))
        ]
    )


@claim("norm-decays-exponentially")
def _norm_decays_exponentially(evidence: Evidence) -> Finding:
    """No other law predicts the norm at a left-out λ better than an exponential in λ."""
    found = evidence.ask(norm_law, evidence.first.whole_sweep)
    own = found.errors("exponential")
    return Finding(
        found.is_exponential,
        f"nearest law: {LAWS[found.best].formula}, off by "
        f"{written(found.errors(found.best).mean(), '.1%')}; the exponential by "
        f"{written(own.mean(), '.1%')}",
        explanation=found.explanation(),
        figure=found.figure,
    )


@claim("penalty-alone-removes-weights")
def _penalty_alone_removes_weights(evidence: Evidence) -> Finding:
    """Without the data term, each step multiplies all weights by 1 - 2 η λ, and they go to 0."""
    sweep = evidence.first.whole_sweep
    factors = {}
    for l2_lambda, runs in sorted(sweep.by_lambda.items()):
        for run in list(runs.values())[: 1 if l2_lambda else 0]:
            factor = 1 - 2 * run.config.training.learning_rate * l2_lambda
            factors[l2_lambda] = factor, factor ** len(run.steps["step"])
    if not factors:
        return Finding("inconclusive", "the sweep has no λ above 0")
    left = ", ".join(f"{end:.2g} (λ = {value:g})" for value, (_, end) in factors.items())
    return Finding(
        "agrees" if all(abs(factor) < 1 for factor, _ in factors.values()) else "differs",
        f"after all steps of these runs, of each weight is left: {left}",
        explanation=(
            "The penalty alone has the gradient 2 λ w, so a step multiplies each weight by "
            "1 − 2 η λ, and t steps by its power t. That vanishes as t grows if the factor is "
            "between −1 and 1, but how soon depends on λ: the numbers are what the steps of these "
            "runs would leave."
        ),
    )
