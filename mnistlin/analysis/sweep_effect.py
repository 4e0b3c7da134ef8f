"""What does λ do? Means over the seeds of a sweep, and each λ against λ = 0, paired by seed.

What is tested, and therefore shown with the tests, is the validation accuracy averaged over the
checks of the last epoch: a single check moves with the last few batches.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim, verdict_on_all
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import (
    CONFIDENCE,
    Interval,
    Mean,
    holm,
    t_interval,
    with_spread,
)
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep
from mnistlin.runs.tables import fitted
from mnistlin.text import signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Answer: TypeAlias = Literal["better", "worse", "inconclusive", "not tested"]


_HEADER = (
    "l2_lambda",
    "runs",
    "last_val_accuracy",
    "best_val_accuracy",
    "weight_norm",
    "stop_epoch",
)
_DIFFERENCE_HEADER = ("minus λ = 0", "95 % interval", "p (Holm)", "verdict")


@dataclass(frozen=True)
class AgainstZero:
    """The final accuracy with some λ minus that with λ = 0, over the seeds that both have."""

    n_pairs: int
    mean: float
    low: float | None = None
    high: float | None = None
    """Ends of the t-interval of this λ alone; None if there is no spread to take it from."""
    p_value: float | None = None
    """Corrected for the number of λ (Holm)."""
    verdict: Answer = "not tested"


@dataclass(frozen=True)
class LambdaSummary:
    """One λ over all seeds; runs that failed or diverged do not count. None: there is no run."""

    l2_lambda: float
    n_seeds: int
    final_val_accuracy: Mean | None
    """Averaged over the checks of the last epoch: the quantity that is tested."""
    last_val_accuracy: Mean | None
    """At the last check."""
    best_val_accuracy: Mean | None
    """At the check with the lowest validation loss, which need not be the highest accuracy."""
    weight_norm: Mean | None
    stop_epoch: Mean | None
    difference: AgainstZero | None
    """None for λ = 0 itself, and without pairs."""


@dataclass(frozen=True)
class SweepEffect(Result):
    """All λ of a sweep, in the order of its config."""

    sweep: Sweep
    summaries: tuple[LambdaSummary, ...]

    title = "What λ does"
    stem = "lambda-effect"

    @property
    def trained(self) -> list[LambdaSummary]:
        """The λ that have runs."""
        return [each for each in self.summaries if each.n_seeds]

    def values(self) -> Values:
        """Return the sweep and its size."""
        return {"sweep": str(self.sweep.path), "n_lambdas": len(self.trained)}

    def tables(self) -> Tables:
        """Return one row per λ."""
        return {"lambdas": [_row(each) for each in self.trained]}

    def explanation(self) -> str:
        """Compare each λ with λ = 0."""
        if not self.trained:
            return "No run of this sweep ended without diverging."
        accuracies = [
            f"{with_spread(each.final_val_accuracy, '.2%')} with λ = {each.l2_lambda:g}"
            for each in self.trained
        ]
        n_seeds = max(each.n_seeds for each in self.trained)
        seeds = f" (mean ± standard deviation of {n_seeds} seeds)" if n_seeds > 1 else ""
        words = (
            "Validation accuracy, averaged over the checks of the last epoch, is "
            f"{', '.join(accuracies)}{seeds}."
        )
        found = [(each, each.difference) for each in self.trained if each.difference]
        if not found:
            return f"{words} The sweep has no λ = 0 to compare the others with."
        tested = [(each, test) for each, test in found if test.verdict != "not tested"]
        if not tested:
            return f"{words} One seed per λ, or seeds without any spread, allow no test."
        verdicts = "; ".join(
            f"λ = {each.l2_lambda:g} is {test.verdict} ({signed(100 * test.mean, '.2f')} points)"
            for each, test in tested
        )
        return (
            f"{words} Against λ = 0 with the same seeds, by paired t-tests corrected for their "
            f"number: {verdicts}. The seeds change the order of the batches only; other validation "
            "images would change these differences too, which the tests do not cover."
        )

    def lines(self, width: int | None = None) -> Iterator[str]:
        """Yield the table that `sweep-lambda` prints, and notes on its numbers."""
        n_seeds = len(self.sweep.settings.seeds)
        compares = any(summary.difference for summary in self.summaries)
        header = _HEADER + _DIFFERENCE_HEADER * compares
        cells = [_cells(summary, n_seeds)[: len(header)] for summary in self.summaries]
        yield from fitted([header, *cells], width)
        yield from _notes(self.summaries, compares=compares)

    def figures(self) -> "Mapping[str, Figure]":
        """Draw accuracy over steps, and accuracy and weight norm against λ."""
        from mnistlin.figures import sweeps

        makers: dict[str, Callable[[Sweep], Figure]] = {
            "val-accuracy": sweeps.val_accuracy_figure,
            "final-accuracy": sweeps.final_accuracy_figure,
            "weight-norm": sweeps.weight_norm_figure,
        }
        return {f"{self.stem}_{name}": make(self.sweep) for name, make in makers.items()}


def _cells(summary: LambdaSummary, n_seeds: int) -> tuple[str, ...]:
    is_whole = summary.n_seeds == n_seeds
    epoch = summary.stop_epoch
    return (
        f"{summary.l2_lambda:g}",
        str(n_seeds) if is_whole else f"{summary.n_seeds} of {n_seeds}",
        with_spread(summary.last_val_accuracy, ".4f"),
        with_spread(summary.best_val_accuracy, ".4f"),
        with_spread(summary.weight_norm, ".4f"),
        with_spread(epoch, ".1f") if epoch is None or epoch.sd else f"{epoch.mean:g}",
        *_cells_of_difference(summary.difference),
    )


def _cells_of_difference(value: AgainstZero | None) -> tuple[str, ...]:
    if value is None:
        return ("-", "-", "-", "-")
    mean = f"{value.mean:+.4f}"
    if value.low is None:
        reason = "one seed" if value.n_pairs == 1 else "the seeds do not differ"
        return (mean, "-", "-", f"{reason}: {value.verdict}")
    return (mean, f"{value.low:+.4f} to {value.high:+.4f}", f"{value.p_value:.2g}", value.verdict)


def _notes(summaries: Sequence[LambdaSummary], *, compares: bool) -> Iterator[str]:
    if any(summary.n_seeds > 1 for summary in summaries):
        yield "note: a ± b is mean and standard deviation over the seeds"
    if not compares:
        if sum(summary.n_seeds > 0 for summary in summaries) > 1:
            yield "note: there is no run with λ = 0 to compare with"
        return
    yield (
        "note: minus λ = 0 is val_accuracy, averaged over the last epoch's checks, less that of "
        "λ = 0 with the same seed"
    )
    n_tested = sum(bool(each.difference and each.difference.low is not None) for each in summaries)
    if n_tested:
        yield (
            "note: the t-interval is of each λ alone; p and verdict (at 5 %) are corrected for "
            f"{n_tested} λ (Holm)"
        )
        yield "note: the interval covers the order of batches only, not another choice of images"


def explain_sweep(sweep: Sweep) -> SweepEffect:
    """Summarise each λ of a sweep, and test each against λ = 0.

    Parameters
    ----------
    sweep : Sweep
        A sweep over λ, with one seed or several.

    Returns
    -------
    SweepEffect
        A summary for each λ, in the order of the sweep; with several seeds that ended without
        diverging, and λ = 0 among the values, also its difference from λ = 0 and the test of it.

    Raises
    ------
    RunError
        If a file of a member cannot be read.
    """
    differences = _differences(sweep.by_lambda)
    summaries = (
        _summary(l2_lambda, list(runs.values()), differences.get(l2_lambda))
        for l2_lambda, runs in sweep.by_lambda.items()
    )
    return SweepEffect(sweep, tuple(summaries))


def final_val_accuracy(run: Run) -> float:
    """Return the validation accuracy averaged over the checks of the last epoch."""
    epochs = run.metrics["epoch"]
    return float(run.metrics["val_accuracy"][epochs == epochs[-1]].mean())


def _row(summary: LambdaSummary) -> Values:
    test = summary.difference
    names = ("final_val_accuracy", "last_val_accuracy", "best_val_accuracy", "weight_norm")
    means: list[tuple[str, Mean | None]] = [(name, getattr(summary, name)) for name in names]
    return {
        "l2_lambda": summary.l2_lambda,
        "n_seeds": summary.n_seeds,
        **{name: mean and mean.mean for name, mean in means},
        "difference": test and test.mean,
        "low": test and test.low,
        "high": test and test.high,
        "p_value": test and test.p_value,
        "verdict": test and test.verdict,
    }


def _summary(
    l2_lambda: float, runs: Sequence[Run], difference: AgainstZero | None
) -> LambdaSummary:
    if not runs:
        return LambdaSummary(l2_lambda, 0, None, None, None, None, None, None)
    best = [run.metrics["val_loss"].argmin() for run in runs]
    return LambdaSummary(
        l2_lambda,
        len(runs),
        Mean.of([final_val_accuracy(run) for run in runs]),
        Mean.of([run.metrics["val_accuracy"][-1] for run in runs]),
        Mean.of([run.metrics["val_accuracy"][i] for run, i in zip(runs, best, strict=True)]),
        Mean.of([run.metrics["weight_norm"][-1] for run in runs]),
        Mean.of([run.metrics["epoch"][-1] for run in runs]),
        difference,
    )


def _differences(by_lambda: Mapping[float, Mapping[int, Run]]) -> dict[float, AgainstZero]:
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
) -> AgainstZero:
    mean = float(values.mean())
    if interval is None or p_value is None:
        return AgainstZero(len(values), mean)
    verdict: Answer = "better" if mean > 0 else "worse"
    if p_value >= 1 - CONFIDENCE:
        verdict = "inconclusive"
    return AgainstZero(len(values), mean, interval.low, interval.high, p_value, verdict)


@claim("lambda-costs-accuracy")
def _lambda_costs_accuracy(evidence: Evidence) -> Finding:
    """This λ has a lower validation accuracy than λ = 0 with the same seeds."""
    sweep = evidence.first.whole_sweep
    effect = evidence.ask(explain_sweep, sweep)
    summaries = {each.l2_lambda: each for each in effect.summaries}
    summary = summaries.get(evidence.l2_lambda)
    found = summary.difference if summary else None
    if summary is None or found is None:
        return Finding("inconclusive", "this λ and λ = 0 share no seed in the sweep")
    verdicts: dict[str, Verdict] = {"worse": "agrees", "better": "differs"}
    interval = (
        f" ({signed(100 * found.low, '.2f')} to {signed(100 * found.high, '.2f')})"
        if found.low is not None and found.high is not None
        else ""
    )
    return Finding(
        verdicts.get(found.verdict, "inconclusive"),
        f"{with_spread(summary.final_val_accuracy, '.2%')} over the last epoch "
        f"({found.n_pairs} seeds)",
        f"{signed(100 * found.mean, '.2f')} points{interval}",
        effect.explanation(),
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
    verdict: Verdict = "inconclusive"
    if falls and all(falls):
        verdict = "agrees"
    elif falls and not any(falls):
        verdict = "differs"
    means, squares = (
        ", ".join(f"{np.mean(np.power([*found.values()], power)):#.3g}" for found in norms.values())
        for power in (1, 2)
    )
    names = ", ".join(f"{value:g}" for value in norms)
    return Finding(verdict, f"‖W‖ = {means} (‖W‖² = {squares}) for λ = {names}")


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
