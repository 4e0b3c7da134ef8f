"""What shape do the weights of a sweep have? How rough they are as images, and how equal in size.

Roughness is ‖∇W‖² / ‖W‖², where ∇ takes the differences of neighbouring pixels in both directions:
nearly 4 for white noise, and near 0 for a smooth image. The participation ratio (Σ w²)² / (n Σ w⁴)
is the fraction of the weights that carry the norm: 1 if all have the same size, 1/3 if they are
normally distributed. The biases are left out of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, claim, verdict_on_all
from mnistlin.analysis.result import Result, Tables, TooShortError, Values
from mnistlin.analysis.statistics import with_spread
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class WeightShape(Result):
    """Roughness and participation ratio of the last weights, by λ (increasing) and seed."""

    sweep: Sweep
    roughness: Mapping[float, Mapping[int, float]]
    participation: Mapping[float, Mapping[int, float]]

    title = "Shape of the weights"
    stem = "weight-shape"

    def values(self) -> Values:
        """Return the sweep and its size."""
        return {"sweep": str(self.sweep.path), "n_lambdas": len(self.roughness)}

    def tables(self) -> Tables:
        """Return one row per λ, with means over the seeds."""
        return {
            "lambdas": [
                {
                    "l2_lambda": l2_lambda,
                    "roughness": _mean(self.roughness[l2_lambda]),
                    "participation": _mean(self.participation[l2_lambda]),
                }
                for l2_lambda in self.roughness
            ]
        }

    def explanation(self) -> str:
        """Describe how both numbers change from the smallest λ to the largest."""
        low, high = min(self.roughness), max(self.roughness)
        if low == high:
            return (
                f"At λ = {low:g}, the only one, the roughness ‖∇W‖² / ‖W‖² is "
                f"{_mean(self.roughness[low]):.2f} and the participation ratio "
                f"{_mean(self.participation[low]):.2f}; nothing is compared."
            )
        return (
            f"From λ = {low:g} to λ = {high:g} the roughness ‖∇W‖² / ‖W‖² goes from "
            f"{_mean(self.roughness[low]):.2f} to {_mean(self.roughness[high]):.2f}: lower is "
            "smoother. The participation ratio goes from "
            f"{_mean(self.participation[low]):.2f} to {_mean(self.participation[high]):.2f}; it is "
            "1 if all weights have the same size, and 0.33 if they are normally distributed."
        )

    def figure(self) -> "Figure":
        """Draw both numbers against λ."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import BLUE, name_axes, page, side_by_side

        runs = [run for runs in self.sweep.by_lambda.values() for run in runs.values()]
        names = {"roughness": "‖∇W‖² / ‖W‖²", "participation": "participation ratio (fraction)"}
        with page(captions.of_sweep("Shape of the weights", self.sweep, runs)) as figure:
            panels = side_by_side(figure, 1, 1)
            for axes, (name, title) in zip(panels, names.items(), strict=True):
                by_lambda = getattr(self, name)
                x = range(len(by_lambda))
                values = [list(seeds.values()) for seeds in by_lambda.values()]
                axes.errorbar(
                    x,
                    [np.mean(each) for each in values],
                    [np.std(each, ddof=1) if len(each) > 1 else 0.0 for each in values],
                    color=BLUE,
                    marker="o",
                )
                axes.set_xticks(x, [f"{value:g}" for value in by_lambda])
                axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
                name_axes(axes, title, "λ")
        return figure


def weight_shape(sweep: Sweep) -> WeightShape:
    """Measure the shape of the last weights of each run of a sweep.

    Raises
    ------
    TooShortError
        If no run of the sweep has ended, or the sweep is not over λ alone.
    """
    runs = {value: runs for value, runs in sorted(sweep.by_lambda.items()) if runs}
    if not runs:
        raise TooShortError(sweep.path, "no run of a sweep over λ alone has ended")
    return WeightShape(
        sweep,
        {value: {seed: _roughness(run) for seed, run in of.items()} for value, of in runs.items()},
        {
            value: {seed: _participation(run) for seed, run in of.items()}
            for value, of in runs.items()
        },
    )


def roughness(images: NDArray[np.float64]) -> float:
    """Return ‖∇W‖² / ‖W‖² of weights of shape (n_outputs, height, width)."""
    squares = sum(float((np.diff(images, axis=axis) ** 2).sum()) for axis in (1, 2))
    return squares / float((images**2).sum())


def participation(weights: NDArray[np.float64]) -> float:
    """Return (Σ w²)² / (n Σ w⁴) of weights of shape (n_outputs, n_features)."""
    squares = weights**2
    return float(squares.sum() ** 2 / (squares.size * (squares**2).sum()))


def _roughness(run: Run) -> float:
    W = run.weights["last"][:-1].T.astype(np.float64)
    return roughness(W.reshape(-1, *run.image_shape))


def _participation(run: Run) -> float:
    return participation(run.weights["last"][:-1].T.astype(np.float64))


def _mean(by_seed: Mapping[int, float]) -> float:
    return float(np.mean(list(by_seed.values())))


@claim("weights-are-smoother-with-lambda")
def _weights_are_smoother(evidence: Evidence) -> Finding:
    """The weights with the largest λ are less rough than those with the smallest."""
    found = evidence.ask(weight_shape, evidence.first.whole_sweep)
    low, high = min(found.roughness), max(found.roughness)
    seeds = sorted(found.roughness[low].keys() & found.roughness[high].keys())
    falls = [found.roughness[low][seed] - found.roughness[high][seed] for seed in seeds]
    return Finding(
        verdict_on_all([falls] if low < high else []),
        f"roughness {with_spread(list(found.roughness[low].values()), '.2f')} with λ = {low:g}, "
        f"{with_spread(list(found.roughness[high].values()), '.2f')} with λ = {high:g}",
        explanation=found.explanation(),
        figure=found.figure,
    )


@claim("weights-are-used-equally")
def _weights_are_used_equally(evidence: Evidence) -> Finding:
    """With the largest λ, the weights have more or less the same size.

    Judged by the participation ratio, which has to be `tolerance` or more with every seed.
    """
    found = evidence.ask(weight_shape, evidence.first.whole_sweep)
    high = max(found.participation)
    excess = [value - evidence.tolerance for value in found.participation[high].values()]
    return Finding(
        verdict_on_all([excess]),
        f"participation ratio {with_spread(list(found.participation[high].values()), '.2f')} "
        f"with λ = {high:g}, where 1 is equal use",
        explanation=found.explanation(),
        figure=found.figure,
    )
