"""A published number against the measured one: they agree, differ, or the seeds cannot tell.

The rule, once: what differs by no more than the tolerance agrees. What differs by more, but by no
more than one further seed could make it, is not resolved. Statements are judged in `claims`.

What is measured for the claims of a report, and the rows of the table that come of it.

For each kind of statement there is one function: from outcomes to what was measured, by how much
that is more or less, and whether the statement holds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.dips import Dips, explain_dips
from mnistlin.analysis.statistics import CONFIDENCE, Mean, holm, signed, t_interval, with_spread
from mnistlin.analysis.sweep_effect import final_val_accuracy, summarise
from mnistlin.errors import RunError
from mnistlin.report.findings import accuracy_gap
from mnistlin.report.plan import NumberClaim, Plan, StatementClaim
from mnistlin.report.runner import Outcomes

Verdict: TypeAlias = Literal["agrees", "differs", "not resolved by these seeds", "-"]
NOT_RESOLVED: Verdict = "not resolved by these seeds"

ROUNDING = 1e-9
"""Differences up to this come of writing numbers in decimals."""


@dataclass(frozen=True)
class Row:
    """A row of the table of published and measured.

    Attributes
    ----------
    part : str
        Where it belongs.
    claim, published, measured, difference : str
        In words and digits.
    verdict : str
        What comes of it; "-" where the published number is about other data.
    note : str
        Why, where that needs saying.
    """

    part: str
    claim: str
    published: str
    measured: str
    difference: str
    verdict: Verdict
    note: str = ""


def judge(
    values: Sequence[float], published: float, tolerance: float, *, by_chance: bool
) -> Verdict:
    """Compare measured values with a published one, which was measured once.

    Parameters
    ----------
    values : sequence of float
        A value a seed, at least one.
    published : float
        The value to compare with.
    tolerance : float
        Up to this difference they agree.
    by_chance : bool
        Whether the published value may come from another seed than ours.
    """
    excess = abs(float(np.mean(values)) - published) - tolerance
    if excess <= ROUNDING:
        return "agrees"
    if not by_chance:
        return "differs"
    margin = prediction_margin(values)
    return NOT_RESOLVED if margin is None or excess <= margin else "differs"


def prediction_margin(values: Sequence[float]) -> float | None:
    """Return how far from the mean of some values one more is, with probability CONFIDENCE.

    Half of the prediction interval of Student's t; None for a single value, which tells nothing of
    how far chance moves it.
    """
    found, n = Mean.of(values), len(values)
    if found.sd is None:
        return None
    return float(stats.t(n - 1).isf((1 - CONFIDENCE) / 2) * found.sd * np.sqrt(1 + 1 / n))


class Finding(NamedTuple):
    """What a statement comes to: measured, difference, verdict."""

    measured: str
    difference: str
    verdict: Verdict


def rows_of(plan: Plan, outcomes: Outcomes, *, is_comparable: bool) -> Iterator[Row]:
    """Yield a row for each claim of a report.

    Parameters
    ----------
    plan : Plan
        The report.
    outcomes : mapping of str to TrainedExperiment
        What came of its experiments.
    is_comparable : bool
        Whether the published numbers are about the same data; if not, no verdict is given.
    """
    for part in plan.parts:
        rows = [_number_row(part.id, claim, outcomes[claim.experiment]) for claim in part.numbers]
        rows += [_statement_row(part.id, claim, outcomes) for claim in part.statements]
        for row in rows:
            yield row if is_comparable else Row(*row_words(row), "-", "-")


def row_words(row: Row) -> tuple[str, str, str, str]:
    """Return what a row says without judging: part, claim, published, measured."""
    return row.part, row.claim, row.published, row.measured


def _number_row(part: str, claim: NumberClaim, outcome: TrainedExperiment) -> Row:
    unit, points, digits = (" %", " points", ".2f") if claim.percent else ("", "", "g")
    values = [100 * value if claim.percent else value for value in outcome.values(claim.measure)]
    by_chance = outcome.run.config.training.shuffle
    verdict = judge(values, claim.published, claim.tolerance, by_chance=by_chance)
    seeds = f" ({len(values)} seeds)" if len(values) > 1 else ""
    return Row(
        part,
        claim.claim,
        f"{claim.published:g}{unit}",
        f"{with_spread(values, digits)}{unit}{seeds}",
        signed(float(np.mean(values)) - claim.published, digits) + points,
        verdict,
        _note(claim.note, verdict),
    )


def _statement_row(part: str, claim: StatementClaim, outcomes: Outcomes) -> Row:
    shown = [outcomes[name] for name in claim.experiments]
    found = STATEMENTS[claim.holds](claim, shown)
    return Row(part, claim.claim, claim.published, *found, _note(claim.note, found.verdict))


def _note(note: str, verdict: Verdict) -> str:
    return "" if verdict == "agrees" else note


def _over_fits(claim: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Judge whether validation loss rises again while training loss goes on falling."""
    summary = outcomes[0].run.summary
    best, last = summary["best_val_loss"], summary["last_val_loss"]
    falls = summary["last_train_loss"] < summary["best_train_loss"]
    verdict: Verdict = "agrees" if falls and last - best > claim.tolerance else "differs"
    measured = f"validation loss {best:.4f} at step {summary['best_step']:,}, {last:.4f} at the end"
    return Finding(measured, f"{signed(last - best, '.4f')} nats", verdict)


def _dips_only_without_shuffle(_: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Judge whether the first experiment has dips at a period, and the others none."""
    found = [_dips_of(outcome) for outcome in outcomes]
    periods = [dips.measured.period for dips in found if dips]
    if len(periods) < len(found):
        return Finding("too few checks to look for a period", "-", NOT_RESOLVED)
    words = [f"every {period} steps" if period else "none" for period in periods]
    verdict: Verdict = "agrees" if periods[0] and not any(periods[1:]) else "differs"
    return Finding(f"without shuffle {words[0]}; with it {', '.join(words[1:])}", "-", verdict)


def _local_optima(_: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Say why it cannot be so, whatever is measured: a convex objective has no local optima."""
    words = "convex objective: no local optima"
    dips = _dips_of(outcomes[0])
    if dips and dips.agree and dips.predicted.period:
        plan = dips.predicted
        words += (
            f"; the dips come with hard batches, every lcm({plan.steps_per_epoch}, "
            f"{plan.check_every}) = {plan.period} steps"
        )
    return Finding(words, "-", "differs")


def _dips_of(outcome: TrainedExperiment) -> Dips | None:
    """Return what there is to say of dips; None for a run that is too short for it."""
    try:
        return explain_dips(outcome.run)
    except RunError:
        return None


def _gap_opens(_: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Judge whether the training set gains on the validation set, from first to last epoch."""
    gaps = np.array([[accuracy_gap(run, epoch) for epoch in (0, -1)] for run in outcomes[0].runs])
    early, late = 100 * gaps.mean(axis=0)
    measured = (
        f"{signed(early, '.2f')} points in the first epoch, {signed(late, '.2f')} in the last"
    )
    change = gaps[:, 1] - gaps[:, 0]
    verdict = _direction(change) if len(change) > 1 else _sign(change.mean())
    return Finding(measured, f"{signed(late - early, '.2f')} points", verdict)


def _lambda_costs_accuracy(claim: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Judge whether this λ has a lower validation accuracy than λ = 0, with the same seeds."""
    summaries = {each.l2_lambda: each for each in summarise(outcomes[0].whole_sweep)}
    summary = summaries.get(claim.l2_lambda)
    found = summary.difference if summary else None
    if summary is None or summary.last_val_accuracy is None or found is None:
        return Finding("not in this sweep", "-", NOT_RESOLVED)
    verdicts: dict[str, Verdict] = {"worse": "agrees", "better": "differs"}
    interval = (
        f" ({signed(100 * found.low, '.2f')} to {signed(100 * found.high, '.2f')})"
        if found.low is not None and found.high is not None
        else ""
    )
    return Finding(
        f"{with_spread(summary.last_val_accuracy, '.2%')} ({found.n_pairs} seeds)",
        f"{signed(100 * found.mean, '.2f')} points{interval}",
        verdicts.get(found.verdict, NOT_RESOLVED),
    )


def _accuracy_falls_with_lambda(
    _: StatementClaim, outcomes: Sequence[TrainedExperiment]
) -> Finding:
    """Judge whether validation accuracy falls from each λ to the next larger one."""
    by_lambda = {
        l2_lambda: {seed: final_val_accuracy(run) for seed, run in runs.items()}
        for l2_lambda, runs in outcomes[0].whole_sweep.by_lambda.items()
        if runs
    }
    means = {value: np.mean(list(found.values())) for value, found in by_lambda.items()}
    ranked = sorted(means, key=lambda value: -means[value])
    measured = ", ".join(f"{value:g}" for value in ranked)
    steps = []
    for smaller, larger in pairwise(sorted(by_lambda)):
        seeds = by_lambda[smaller].keys() & by_lambda[larger].keys()
        steps.append([by_lambda[smaller][seed] - by_lambda[larger][seed] for seed in seeds])
    return Finding(f"best first: λ = {measured}", "-", _all_directions(steps))


def _weight_norm_falls(_: StatementClaim, outcomes: Sequence[TrainedExperiment]) -> Finding:
    """Judge whether each larger λ ends with smaller weights, with every seed."""
    sweep = outcomes[0].whole_sweep
    norms = {
        value: {seed: float(run.metrics["weight_norm"][-1]) for seed, run in runs.items()}
        for value, runs in sorted(sweep.by_lambda.items())
        if runs
    }
    falls = [
        norms[smaller][seed] > norms[larger][seed]
        for smaller, larger in pairwise(norms)
        for seed in norms[smaller].keys() & norms[larger].keys()
    ]
    verdict: Verdict = "agrees" if all(falls) else NOT_RESOLVED if any(falls) else "differs"
    shown = ", ".join(f"{np.mean(list(found.values())):#.3g}" for found in norms.values())
    return Finding(
        f"‖W‖ = {shown} for λ = {', '.join(f'{value:g}' for value in norms)}", "-", verdict
    )


STATEMENTS: dict[str, Callable[[StatementClaim, Sequence[TrainedExperiment]], Finding]] = {
    "over-fits": _over_fits,
    "dips-only-without-shuffle": _dips_only_without_shuffle,
    "local-optima": _local_optima,
    "gap-opens": _gap_opens,
    "lambda-costs-accuracy": _lambda_costs_accuracy,
    "accuracy-falls-with-lambda": _accuracy_falls_with_lambda,
    "weight-norm-falls-with-lambda": _weight_norm_falls,
}


def _direction(values: Sequence[float] | NDArray[np.float64]) -> Verdict:
    return _all_directions([values])


def _all_directions(steps: Sequence[Sequence[float] | NDArray[np.float64]]) -> Verdict:
    """Say whether the means of all groups are above 0, by t-tests corrected for their number."""
    intervals = [t_interval(values) for values in steps]
    p_values = holm([each.p_value if each else 1.0 for each in intervals])
    is_clear = [p < 1 - CONFIDENCE for p in p_values]
    means = [float(np.mean(values)) for values in steps]
    if any(clear and mean < 0 for clear, mean in zip(is_clear, means, strict=True)):
        return "differs"
    return "agrees" if all(is_clear) else NOT_RESOLVED


def _sign(value: float) -> Verdict:
    return "agrees" if value > 0 else "differs"
