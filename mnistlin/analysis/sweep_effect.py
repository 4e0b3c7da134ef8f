"""What does λ do? Means over the seeds of a sweep, and each λ against λ = 0, paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.statistics import CONFIDENCE, Interval, Mean, holm, t_interval
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep

Verdict: TypeAlias = Literal["better", "worse", "not resolved", "not tested"]


@dataclass(frozen=True)
class Difference:
    """The accuracy with some λ minus that with λ = 0.

    Attributes
    ----------
    n_pairs : int
        Seeds with which both were trained.
    mean : float
        Over these seeds.
    low, high : float, optional
        Ends of the t-interval of this λ alone; None if there is no spread to take it from.
    p_value : float, optional
        Corrected for the number of λ (Holm).
    verdict : str
        Whether the difference could be chance.
    """

    n_pairs: int
    mean: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    verdict: Verdict = "not tested"


@dataclass(frozen=True)
class LambdaSummary:
    """One λ over all seeds; runs that failed or diverged do not count.

    Attributes
    ----------
    l2_lambda : float
        λ.
    n_seeds : int
        Runs that count.
    last_val_accuracy, best_val_accuracy, weight_norm, stop_epoch : Mean, optional
        Over these; None if there is none.
    difference : Difference, optional
        To λ = 0; None for λ = 0 itself, and without pairs.
    """

    l2_lambda: float
    n_seeds: int
    last_val_accuracy: Mean | None
    best_val_accuracy: Mean | None
    weight_norm: Mean | None
    stop_epoch: Mean | None
    difference: Difference | None


def summarise(sweep: Sweep) -> list[LambdaSummary]:
    """Return a summary of each λ, in the order of the config."""
    differences = _differences(sweep.by_lambda)
    return [
        _summary(l2_lambda, list(runs.values()), differences.get(l2_lambda))
        for l2_lambda, runs in sweep.by_lambda.items()
    ]


def final_val_accuracy(run: Run) -> float:
    """Return the validation accuracy averaged over the checks of the last epoch.

    A single check moves with the last few batches; their mean moves less.
    """
    epochs = run.metrics["epoch"]
    return float(run.metrics["val_accuracy"][epochs == epochs[-1]].mean())


def _summary(l2_lambda: float, runs: Sequence[Run], difference: Difference | None) -> LambdaSummary:
    if not runs:
        return LambdaSummary(l2_lambda, 0, None, None, None, None, None)
    best = [run.metrics["val_loss"].argmin() for run in runs]
    return LambdaSummary(
        l2_lambda,
        len(runs),
        Mean.of([run.metrics["val_accuracy"][-1] for run in runs]),
        Mean.of([run.metrics["val_accuracy"][i] for run, i in zip(runs, best, strict=True)]),
        Mean.of([run.metrics["weight_norm"][-1] for run in runs]),
        Mean.of([run.metrics["epoch"][-1] for run in runs]),
        difference,
    )


def _differences(by_lambda: Mapping[float, Mapping[int, Run]]) -> dict[float, Difference]:
    """Return the difference to λ = 0 of each other λ, all of them tested together."""
    pairs = _pairs(by_lambda)
    found = {l2_lambda: t_interval(values) for l2_lambda, values in pairs.items()}
    intervals = {l2_lambda: interval for l2_lambda, interval in found.items() if interval}
    corrected = holm([interval.p_value for interval in intervals.values()])
    p_values = dict(zip(intervals, corrected, strict=True))
    return {
        l2_lambda: _difference(values, intervals.get(l2_lambda), p_values.get(l2_lambda))
        for l2_lambda, values in pairs.items()
    }


def _pairs(by_lambda: Mapping[float, Mapping[int, Run]]) -> dict[float, NDArray[np.float64]]:
    """Return, for each λ but 0, its accuracies minus those of λ = 0 with the same seeds."""
    accuracies = {
        l2_lambda: {seed: final_val_accuracy(run) for seed, run in runs.items()}
        for l2_lambda, runs in by_lambda.items()
    }
    at_zero = accuracies.pop(0.0, {})
    shared = {
        l2_lambda: [seed for seed in found if seed in at_zero]
        for l2_lambda, found in accuracies.items()
    }
    return {
        l2_lambda: np.array([accuracies[l2_lambda][seed] - at_zero[seed] for seed in seeds])
        for l2_lambda, seeds in shared.items()
        if seeds
    }


def _difference(
    values: NDArray[np.float64], interval: Interval | None, p_value: float | None
) -> Difference:
    mean = float(values.mean())
    if interval is None or p_value is None:
        return Difference(len(values), mean)
    verdict = _verdict(mean, p_value)
    return Difference(len(values), mean, interval.low, interval.high, p_value, verdict)


def _verdict(mean: float, p_value: float) -> Verdict:
    if p_value >= 1 - CONFIDENCE:
        return "not resolved"
    return "better" if mean > 0 else "worse"
