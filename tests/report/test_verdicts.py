"""A published number against measured ones."""

import numpy as np
import pytest

from mnistlin.analysis.claims import Answers
from mnistlin.report.claims import judge_number, prediction_margin, rows_of
from mnistlin.report.plan import NumberClaim


@pytest.mark.parametrize("by_chance", [True, False])
def test_what_is_within_the_tolerance_agrees(by_chance):
    """Its edge counts, whatever decimals make of it."""
    assert judge_number([91.7], 91.6, 0.1, by_chance=by_chance) == "agrees"


def test_without_chance_a_larger_difference_differs():
    """All seeds would be the same run."""
    assert judge_number([34], 33, 0, by_chance=False) == "differs"


def test_a_larger_difference_from_one_seed_is_inconclusive():
    """Its spread is unknown."""
    assert judge_number([91.0], 91.6, 0.1, by_chance=True) == "inconclusive"


def test_a_difference_that_one_more_seed_could_make_is_inconclusive():
    """One that it could not make differs."""
    values = [91.0, 91.2, 91.4]
    reach = prediction_margin(values) + 0.1
    assert judge_number(values, 91.2 + 0.99 * reach, 0.1, by_chance=True) == "inconclusive"
    assert judge_number(values, 91.2 - 1.01 * reach, 0.1, by_chance=True) == "differs"


def test_the_margin_holds_one_more_value_in_95_of_100_cases():
    """By drawing from a normal distribution."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1000, 5))
    held = [
        abs(more - values.mean()) <= prediction_margin(values)
        for *values, more in draws
        for values in [np.array(values)]
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_a_number_of_the_same_seed_is_compared_with_the_first_seed_alone(report, experiments):
    first, second = experiments["shuffled"].values("last_val_loss")
    assert first != second
    number = NumberClaim(
        claim="loss",
        experiment="shuffled",
        measure="last_val_loss",
        published=first,
        tolerance=abs(first - second) / 4,
        same_seed=True,
    )
    part = report.plan.parts[0].model_copy(update={"numbers": (number,), "statements": ()})
    ((row, _),) = rows_of(part, experiments, Answers(), is_comparable=True)
    assert row.verdict == "agrees"
