"""What a sweep says of each λ, from runs whose accuracies are made up."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from mnistlin.analysis.sweep_effect import explain_sweep, final_val_accuracy

SEEDS = range(5)


def made_up_run(accuracies, losses=(3.0, 2.0, 1.0), norm=1.5):
    """Return a run with checks in epochs 0, 1 and 1."""
    return SimpleNamespace(
        metrics={
            "epoch": np.array([0, 1, 1]),
            "val_accuracy": np.array(accuracies),
            "val_loss": np.array(losses),
            "weight_norm": np.array([0.0, 0.0, norm]),
        }
    )


def made_up_sweep(finals):
    """Return a sweep with these final accuracies of each λ, one a seed."""
    return SimpleNamespace(
        by_lambda={
            l2_lambda: {seed: made_up_run([0.1, a, a]) for seed, a in enumerate(values)}
            for l2_lambda, values in finals.items()
        }
    )


def noise(scale, seed=0):
    """Return one number a seed."""
    return scale * np.random.default_rng(seed).normal(size=len(SEEDS))


def verdicts(sweep):
    """Return the verdict on each λ but 0."""
    return {
        each.l2_lambda: each.difference.verdict
        for each in explain_sweep(sweep).summaries
        if each.difference
    }


def test_last_and_best_are_told_apart():
    """Last is the last check, best the one with the lowest loss; the norm is the last one's."""
    run = made_up_run([0.2, 0.9, 0.7], losses=(3.0, 1.0, 2.0), norm=4.5)
    (found,) = explain_sweep(SimpleNamespace(by_lambda={0.0: {3: run}})).summaries
    assert (found.last_val_accuracy.mean, found.best_val_accuracy.mean) == (0.7, 0.9)
    assert (found.weight_norm.mean, found.stop_epoch.mean, found.n_seeds) == (4.5, 1, 1)


def test_a_final_accuracy_is_the_mean_of_the_last_epoch():
    """Of all its checks, not of the last one alone."""
    assert final_val_accuracy(made_up_run([0.1, 0.6, 0.8])) == pytest.approx(0.7)


def test_a_difference_is_paired_by_seed():
    """Its interval is SciPy's for paired samples, narrow though the seeds differ much."""
    at_zero = 0.9 + noise(0.02)
    at_one = at_zero - 0.01 + noise(0.001, seed=1)
    (_, found) = explain_sweep(made_up_sweep({0.0: at_zero, 1.0: at_one})).summaries
    expected = stats.ttest_rel(at_one, at_zero)
    low, high = expected.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))
    assert found.difference.p_value == pytest.approx(expected.pvalue)
    assert found.difference.verdict == "worse"


def test_verdicts_are_corrected_for_the_number_of_lambdas():
    """A difference whose p-value alone is 0.02 is resolved, but not among twenty without effect."""
    at_zero, spread = np.full(len(SEEDS), 0.9), np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    effect = {1.0: at_zero + 0.001 * (1.3 + spread)}
    nothing = {2.0 + i: at_zero + 0.001 * spread for i in range(20)}
    assert verdicts(made_up_sweep({0.0: at_zero, **effect})) == {1.0: "better"}
    among_many = verdicts(made_up_sweep({0.0: at_zero, **effect, **nothing}))
    assert set(among_many.values()) == {"inconclusive"}


def test_one_seed_is_not_tested():
    """The difference is there, without an interval."""
    (_, found) = explain_sweep(made_up_sweep({0.0: [0.9], 1.0: [0.8]})).summaries
    assert found.difference.mean == pytest.approx(-0.1)
    assert (found.difference.low, found.difference.verdict) == (None, "not tested")


def test_only_seeds_that_both_have_are_compared():
    """A run that failed or diverged is missing from the pairs, and from nothing else."""
    sweep = made_up_sweep({0.0: [0.9, 0.91, 0.92], 1.0: [0.8, 0.83, 0.84]})
    del sweep.by_lambda[1.0][0]
    (at_zero, at_one) = explain_sweep(sweep).summaries
    assert (at_zero.n_seeds, at_one.n_seeds, at_one.difference.n_pairs) == (3, 2, 2)
    assert at_one.difference.mean == pytest.approx(-0.08)


def test_without_lambda_0_there_is_no_difference():
    """Whether it was not asked for, or has no run."""
    for finals in ({1.0: [0.8, 0.9]}, {0.0: [], 1.0: [0.8, 0.9]}):
        assert verdicts(made_up_sweep(finals)) == {}


def test_a_lambda_without_runs_has_no_numbers():
    """All of its runs diverged, say."""
    (found, _) = explain_sweep(made_up_sweep({9.0: [], 0.0: [0.9]})).summaries
    assert (found.n_seeds, found.last_val_accuracy, found.difference) == (0, None, None)
