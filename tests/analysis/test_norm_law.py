"""Laws of the norm are distinguished on norms that follow one of them."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.analysis.norm_law import norm_law
from mnistlin.analysis.result import TooShortError

L2_LAMBDAS = np.geomspace(0.01, 1, 8)


@pytest.fixture
def sweep_with(sweep_of_three):
    """Return a function that makes a sweep whose norms are a function of λ."""

    def make(norm_of, l2_lambdas=L2_LAMBDAS):
        run = next(iter(sweep_of_three.members.values()))
        found = {}
        for l2_lambda in l2_lambdas:
            member = replace(run)
            norms = np.full(len(run.metrics["step"]), norm_of(l2_lambda))
            member.__dict__["metrics"] = {**run.metrics, "weight_norm": norms}
            found[float(l2_lambda)] = {0: member}
        sweep = replace(sweep_of_three)
        sweep.__dict__["by_lambda"] = found
        return sweep

    return make


def noisy(norm_of, rng):
    """Return a law with an error of one percent."""
    return lambda l2_lambda: norm_of(l2_lambda) * (1 + 0.01 * rng.normal())


@pytest.mark.parametrize(
    ("law", "norm_of", "verdict"),
    [
        ("exponential", lambda x: 4 * np.exp(-2 * x), "agrees"),
        ("power law", lambda x: 0.6 * x**-0.4, "differs"),
        ("logarithm", lambda x: 1.5 - 0.8 * np.log(x), "differs"),
    ],
)
def test_the_law_that_made_the_norms_is_the_nearest(sweep_with, law, norm_of, verdict):
    sweep = sweep_with(noisy(norm_of, np.random.default_rng(0)))
    assert norm_law(sweep).best == law
    evidence = Evidence((TrainedExperiment("sweep", sweep=sweep),))
    assert judge("norm-decays-exponentially", evidence).verdict == verdict


def test_a_law_without_noise_predicts_exactly(sweep_with):
    sweep = sweep_with(lambda x: 0.6 * x**-0.4)
    assert norm_law(sweep).errors("power law").max() < 1e-12


def test_few_lambdas_are_inconclusive(sweep_of_three):
    with pytest.raises(TooShortError, match="too few to compare laws"):
        norm_law(sweep_of_three)


def test_the_penalty_alone_removes_weights_unless_steps_are_too_large(sweep_of_three, sweep_with):
    """|1 - 2 η λ| is below 1 for η = 0.1 and λ = 1, and above it for λ = 20."""
    for sweep, verdict in (
        (sweep_of_three, "agrees"),
        (sweep_with(lambda x: x, [20.0]), "differs"),
    ):
        evidence = Evidence((TrainedExperiment("sweep", sweep=sweep),))
        assert judge("penalty-alone-removes-weights", evidence).verdict == verdict
