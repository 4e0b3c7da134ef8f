"""Learning rates that are too large, of the members of a sweep and of runs that diverged."""

import re
import shutil

import pytest

from mnistlin.analysis.unstable import (
    likely_cause_of_divergence,
    stable_rate_like,
    unstable_members,
)
from mnistlin.runs.provenance import load_own_splits
from mnistlin.training.evaluation import objective_on


class TestMembersOfASweep:
    """Those that cannot stay at their own minimum."""

    def test_only_these_are_found(self, at_rate):
        """The same λ below and above the limit."""
        calm, wild = at_rate(0.8), at_rate(1.2)
        (found,) = unstable_members([calm, wild], load_own_splits(calm).train)
        assert found.run is wild
        rate = wild.config.training.learning_rate
        assert found.largest_stable_rate == pytest.approx(rate / 1.2, rel=0.02)

    def test_without_a_penalty_none_is(self, train_tiny):
        """There is no minimum to stay at."""
        run = train_tiny("logistic", learning_rate=50.0)
        assert unstable_members([run], load_own_splits(run).train) == []

    def test_where_training_ended_does_not_matter(self, at_rate):
        """One step from zero and forty epochs lead to the same verdict, on either side."""
        short = [at_rate(fraction, epochs=1) for fraction in (0.8, 1.2)]
        long = [at_rate(fraction, epochs=40) for fraction in (0.8, 1.2)]
        train = load_own_splits(short[0]).train
        for calm, wild in (short, long):
            assert [each.run for each in unstable_members([calm, wild], train)] == [wild]


def test_a_rate_is_divided_by_ten_until_it_is_stable(at_rate):
    """Rates that differ by powers of ten lead to the same advice."""
    run = at_rate(0.5)
    objective = objective_on(load_own_splits(run).train, run.head, run.config.training.l2_lambda)
    stable = stable_rate_like(1e-3, objective)
    assert stable == 1e-3
    assert stable_rate_like(1e29, objective) == pytest.approx(stable_rate_like(1e5, objective))


@pytest.mark.parametrize(
    "settings",
    [{"learning_rate": 1e30}, {"learning_rate": 1e9, "l2_lambda": 0.1}, {"l2_lambda": 1000.0}],
)
@pytest.mark.parametrize("model", ["logistic", "softmax"])
def test_the_rate_that_is_advised_after_divergence_trains(train_tiny, model, settings):
    """To the end, and without a warning that the loss rose."""
    diverged = train_tiny(model, epochs=20, **settings)
    assert diverged.status == "diverged"
    advised = re.search(r"try training\.learning_rate=(\S+)$", likely_cause_of_divergence(diverged))
    again = train_tiny(model, epochs=20, **{**settings, "learning_rate": float(advised[1])})
    assert again.status == "finished"
    assert again.warnings == diverged.info.warnings


def test_the_cause_of_divergence_is_named_without_the_data_too(movable_run):
    run, folder = movable_run()
    shutil.rmtree(folder)
    assert likely_cause_of_divergence(run).endswith("is too large; lower the learning rate")
