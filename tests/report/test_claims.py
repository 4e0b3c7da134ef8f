"""Statements held against outcomes, some of them made up to say the opposite."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.report.claims import NOT_RESOLVED, STATEMENTS
from mnistlin.report.plan import StatementClaim, StatementName


@pytest.fixture
def judge(outcomes):
    """Return a function that judges a statement about some outcomes."""

    def verdict(holds, *shown, **settings):
        names = tuple(outcome.name for outcome in shown)
        claim = StatementClaim(
            claim="so it is", experiments=names, holds=holds, published="yes", **settings
        )
        return STATEMENTS[holds](claim, shown).verdict

    return verdict


def altered(outcome, **columns):
    """Return an outcome whose runs have other values in summary or metrics."""
    runs = []
    for run in outcome.runs:
        new = replace(run)
        new.__dict__["summary"] = {**run.summary, **columns}
        new.__dict__["metrics"] = {**run.metrics, **columns}
        runs.append(new)
    return TrainedExperiment(outcome.name, runs=tuple(runs))


def test_every_statement_of_a_report_file_can_be_judged():
    """And nothing else is known."""
    assert set(STATEMENTS) == set(StatementName.__args__)


@pytest.mark.parametrize(
    ("best", "last", "verdict"), [(0.10, 0.15, "agrees"), (0.10, 0.1005, "differs")]
)
def test_over_fitting_is_a_loss_that_rises_again(judge, outcomes, best, last, verdict):
    """By more than the tolerance."""
    losses = {"best_val_loss": best, "last_val_loss": last}
    fits = {"best_train_loss": 0.08, "last_train_loss": 0.04}
    plain = altered(outcomes["plain"], **losses, **fits)
    assert judge("over-fits", plain, tolerance=0.001) == verdict


def test_a_loss_that_rises_on_both_sets_is_no_over_fitting(judge, outcomes):
    """It is a learning rate too large."""
    losses = {"best_val_loss": 0.1, "last_val_loss": 0.2}
    fits = {"best_train_loss": 0.08, "last_train_loss": 0.09}
    assert judge("over-fits", altered(outcomes["plain"], **losses, **fits)) == "differs"


def test_dips_are_periodic_without_shuffle_alone(judge, outcomes):
    """An accuracy made up to dip at every tenth check, or never."""
    n = len(outcomes["plain"].run.metrics["step"])
    noise = np.random.default_rng(0).normal(scale=0.01, size=n)
    dipping = altered(outcomes["plain"], val_accuracy=0.9 + noise - 0.2 * (np.arange(n) % 10 == 0))
    steady = altered(outcomes["shuffled"], val_accuracy=0.9 + noise)
    assert judge("dips-only-without-shuffle", dipping, steady) == "agrees"
    assert judge("dips-only-without-shuffle", steady, steady) == "differs"
    assert judge("dips-only-without-shuffle", dipping, dipping) == "differs"


def test_of_a_run_with_few_checks_dips_cannot_be_told(judge, finished_run):
    """That is said, and the report goes on."""
    short = TrainedExperiment("short", runs=(finished_run,))
    assert judge("dips-only-without-shuffle", short, short) == NOT_RESOLVED


def test_local_optima_are_never_the_cause(judge, outcomes):
    """The objective is convex, whatever was measured."""
    assert judge("local-optima", outcomes["plain"]) == "differs"


@pytest.mark.parametrize(("slope", "verdict"), [(1, "agrees"), (-1, "differs")])
def test_a_gap_opens_if_training_gains_on_validation(judge, outcomes, slope, verdict):
    """In a run without chance, its sign is enough."""
    n = len(outcomes["plain"].run.metrics["step"])
    gap = slope * np.linspace(-0.05, 0.05, n)
    plain = altered(outcomes["plain"], train_accuracy=0.9 + gap, val_accuracy=np.full(n, 0.9))
    assert judge("gap-opens", plain) == verdict


def test_a_lambda_that_was_not_trained_cannot_be_told(judge, outcomes):
    """Nor can λ = 0 be compared with itself."""
    for l2_lambda in (0.5, 0.0):
        found = judge("lambda-costs-accuracy", outcomes["sweep"], l2_lambda=l2_lambda)
        assert found == NOT_RESOLVED


def test_the_norm_falls_with_lambda(judge, outcomes):
    """With every seed of the sweep."""
    sweep = outcomes["sweep"]
    assert judge("weight-norm-falls-with-lambda", sweep) == "agrees"
    norms = {key: run.metrics["weight_norm"][-1] for key, run in sweep.sweep.members.items()}
    assert all(norms[1, seed] < norms[0.1, seed] < norms[0, seed] for seed in (0, 1))
