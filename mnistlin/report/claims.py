"""The published numbers and statements of a report, each with what was measured and a verdict.

A statement is judged by the test that is registered under its name in `analysis`. A number agrees
if it is within its tolerance. A larger difference is inconclusive if one more seed could make it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnistlin.analysis.claims import Answers, Evidence, Finding, Verdict, judge
from mnistlin.analysis.statistics import Mean, t_limit, with_spread
from mnistlin.report.plan import NumberClaim, Part, StatementClaim
from mnistlin.report.runner import Experiments
from mnistlin.text import signed

VERDICTS: tuple[Verdict, ...] = ("agrees", "differs", "inconclusive")

ROUNDING = 1e-9
"""Up to this fraction of the tolerance, an excess comes from writing numbers in decimals."""


@dataclass(frozen=True)
class Row:
    """A claim and what was measured; `verdict` is None where the claim is about other data."""

    part: str
    number: int
    claim: str
    published: str
    source: str
    measured: str
    difference: str
    verdict: Verdict | None
    note: str

    @property
    def key(self) -> str:
        """What distinguishes it from the other rows, in links and file names."""
        return f"{self.part}-claim-{self.number}"


def rows_of(
    part: Part, experiments: Experiments, answers: Answers, *, is_comparable: bool
) -> Iterator[tuple[Row, Finding]]:
    """Yield one row for each claim of a part of a report, and its finding.

    Parameters
    ----------
    part : Part
        The part of the report file.
    experiments : mapping of str to TrainedExperiment
        Its experiments.
    answers : Answers
        Computes each result once.
    is_comparable : bool
        Whether the published numbers are about the same data; if not, no verdict is given.
    """
    for i, (claim, published, finding) in enumerate(_tested(part, experiments, answers)):
        verdict = finding.verdict if is_comparable else None
        note = claim.note if verdict in ("differs", "inconclusive") else ""
        yield (
            Row(
                part.id,
                i + 1,
                claim.claim,
                published,
                claim.source,
                finding.measured,
                finding.difference,
                verdict,
                note,
            ),
            finding,
        )


def _tested(
    part: Part, experiments: Experiments, answers: Answers
) -> Iterator[tuple[NumberClaim | StatementClaim, str, Finding]]:
    """Yield each claim of a part, how it was published, and its finding."""
    for number in part.numbers:
        yield number, _published(number), _number_finding(number, experiments)
    for statement in part.statements:
        evidence = Evidence(
            tuple(experiments[name] for name in statement.experiments),
            statement.tolerance,
            statement.l2_lambda,
            answers,
        )
        yield statement, statement.published, judge(statement.holds, evidence)


def judge_number(
    values: Sequence[float], published: float, tolerance: float, *, by_chance: bool
) -> Verdict:
    """Compare measured values with a published one, which was measured once.

    Parameters
    ----------
    values : sequence of float
        One value per seed, at least one.
    published : float
        The value to compare with.
    tolerance : float
        The largest difference that agrees.
    by_chance : bool
        Whether the published value may come from another seed than these.
    """
    excess = abs(float(np.mean(values)) - published) - tolerance
    if excess <= ROUNDING * tolerance:
        return "agrees"
    if not by_chance:
        return "differs"
    margin = prediction_margin(values)
    return "inconclusive" if margin is None or excess <= margin else "differs"


def prediction_margin(values: Sequence[float]) -> float | None:
    """Return how far from the mean of some values one more is, with probability CONFIDENCE.

    Half of the prediction interval of Student's t; None for a single value, whose spread is
    unknown.
    """
    found, n = Mean.of(values), len(values)
    if found.sd is None:
        return None
    return t_limit(n - 1) * found.sd * float(np.sqrt(1 + 1 / n))


def _number_finding(claim: NumberClaim, experiments: Experiments) -> Finding:
    experiment = experiments[claim.experiment]
    values = experiment.values(claim.measure)
    if claim.same_seed:
        values = values[:1]
    by_chance = experiment.run.config.training.shuffle and not claim.same_seed
    in_unit = [100 * value for value in values] if claim.percent else values
    verdict = judge_number(in_unit, claim.published, claim.tolerance, by_chance=by_chance)
    difference = float(np.mean(in_unit)) - claim.published
    if claim.percent:
        seeds = f" ({len(values)} seeds)" if len(values) > 1 else ""
        measured = f"{with_spread(values, '.2%')}{seeds}"
        return Finding(verdict, measured, f"{signed(difference, '.2f')} points")
    if _is_exact(claim):
        return Finding(verdict, repr(values[0]), signed(difference, ".2g"))
    return Finding(verdict, with_spread(values, "g"), signed(difference, "g"))


def _published(claim: NumberClaim) -> str:
    if _is_exact(claim):
        return repr(claim.published)
    return f"{claim.published:g}{' %' * claim.percent}"


def _is_exact(claim: NumberClaim) -> bool:
    """Return whether a number was published with all its digits, as its tolerance shows."""
    return 0 < claim.tolerance < 1e-6 * abs(claim.published)
