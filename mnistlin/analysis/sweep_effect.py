"""What does λ do? Means over the seeds of a sweep, and each λ against λ = 0, paired by seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, claim, verdict_on_all
from mnistlin.analysis.claims import Verdict as ClaimVerdict
from mnistlin.analysis.statistics import (
    CONFIDENCE,
    Interval,
    Mean,
    holm,
    signed,
    t_interval,
    with_spread,
)
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


@claim("lambda-costs-accuracy")
def _lambda_costs_accuracy(evidence: Evidence) -> Finding:
    """This λ has a lower validation accuracy than λ = 0 with the same seeds."""
    sweep = evidence.first.whole_sweep
    summaries = {each.l2_lambda: each for each in evidence.ask(summarise, sweep)}
    summary = summaries.get(evidence.l2_lambda)
    found = summary.difference if summary else None
    if found is None:
        return Finding("inconclusive", "this λ and λ = 0 share no seed in the sweep")
    verdicts: dict[str, ClaimVerdict] = {"worse": "agrees", "better": "differs"}
    interval = (
        f" ({signed(100 * found.low, '.2f')} to {signed(100 * found.high, '.2f')})"
        if found.low is not None and found.high is not None
        else ""
    )
    runs = sweep.by_lambda[evidence.l2_lambda].values()
    accuracies = [final_val_accuracy(run) for run in runs]
    return Finding(
        verdicts.get(found.verdict, "inconclusive"),
        f"{with_spread(accuracies, '.2%')} over the last epoch ({found.n_pairs} seeds)",
        f"{signed(100 * found.mean, '.2f')} points{interval}",
    )


@claim("accuracy-falls-with-lambda")
def _accuracy_falls_with_lambda(evidence: Evidence) -> Finding:
    """Validation accuracy falls from each λ to the next larger one."""
    by_lambda = _by_lambda(evidence.first.whole_sweep, final_val_accuracy)
    means = {value: np.mean(list(found.values())) for value, found in by_lambda.items()}
    ranked = sorted(means, key=lambda value: -means[value])
    steps = [
        [by_lambda[smaller][seed] - by_lambda[larger][seed] for seed in seeds]
        for smaller, larger, seeds in _neighbours(by_lambda)
    ]
    measured = f"best first: λ = {', '.join(f'{value:g}' for value in ranked)}"
    return Finding(verdict_on_all(steps), measured)


@claim("weight-norm-falls-with-lambda")
def _weight_norm_falls(evidence: Evidence) -> Finding:
    """Each larger λ ends with smaller weights, with every seed."""
    norms = _by_lambda(evidence.first.whole_sweep, lambda run: run.metrics["weight_norm"][-1])
    falls = [
        norms[smaller][seed] > norms[larger][seed]
        for smaller, larger, seeds in _neighbours(norms)
        for seed in seeds
    ]
    verdict: ClaimVerdict = "inconclusive"
    if falls and all(falls):
        verdict = "agrees"
    elif falls and not any(falls):
        verdict = "differs"
    shown = ", ".join(f"{np.mean(list(found.values())):#.3g}" for found in norms.values())
    names = ", ".join(f"{value:g}" for value in norms)
    return Finding(verdict, f"‖W‖ = {shown} for λ = {names}")


def _by_lambda(sweep: Sweep, number: Callable[[Run], float]) -> dict[float, dict[int, float]]:
    """Return a number of each run by λ, in increasing order, and seed."""
    return {
        l2_lambda: {seed: float(number(run)) for seed, run in runs.items()}
        for l2_lambda, runs in sorted(sweep.by_lambda.items())
        if runs
    }


def _neighbours(
    by_lambda: Mapping[float, Mapping[int, float]],
) -> Iterator[tuple[float, float, list[int]]]:
    """Yield each λ, the next larger one, and the seeds that both have."""
    for smaller, larger in pairwise(by_lambda):
        yield smaller, larger, sorted(by_lambda[smaller].keys() & by_lambda[larger].keys())
