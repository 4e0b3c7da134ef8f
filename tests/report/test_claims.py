"""The claims of the report, tested on results that were altered to support or refute them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlin.analysis import stability
from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge, verdict_on_all


def altered(experiment, seeds=None, **columns):
    """Return an experiment whose runs have other values in their summary or metrics.

    A column is a value for all runs, or a function of the seed.
    """
    runs = []
    for run in experiment.runs[:seeds]:
        new = replace(run)
        seed = run.config.training.seed
        values = {key: each(seed) if callable(each) else each for key, each in columns.items()}
        new.__dict__["summary"] = {**run.summary, **values}
        new.__dict__["metrics"] = {**run.metrics, **values}
        new.__dict__["weights"] = values.get("weights") or run.weights
        runs.append(new)
    return TrainedExperiment(experiment.name, runs=tuple(runs))


def verdict(holds, *experiments, **options):
    return judge(holds, Evidence(experiments, **options)).verdict


def over_fitted(experiment, factor, *, train_loss_falls):
    """Return an experiment whose last weights are the best ones times a factor."""
    best = experiment.run.weights["last"]
    return altered(
        experiment,
        weights={"best": best, "last": factor * best},
        best_train_loss=0.08,
        last_train_loss=0.04 if train_loss_falls else 0.09,
    )


def test_over_fitting_is_a_validation_loss_that_rises_while_the_training_loss_falls(experiments):
    worse = over_fitted(experiments["plain"], -1, train_loss_falls=True)
    assert verdict("over-fits", worse) == "agrees"
    assert verdict("over-fits", worse, tolerance=100.0) == "differs"


def test_a_loss_that_rises_on_both_sets_is_no_over_fitting(experiments):
    worse = over_fitted(experiments["plain"], -1, train_loss_falls=False)
    assert verdict("over-fits", worse) == "differs"


def test_a_loss_that_falls_on_both_sets_is_no_over_fitting(experiments):
    """The last weights are the best ones: no image has another loss."""
    same = over_fitted(experiments["plain"], 1, train_loss_falls=True)
    assert verdict("over-fits", same) == "differs"


def test_accuracy_is_judged_by_the_images_that_changed(experiments):
    """All of them wrong after all were right is no chance; none changed is inconclusive."""
    worse = over_fitted(experiments["plain"], -1, train_loss_falls=True)
    same = over_fitted(experiments["plain"], 1, train_loss_falls=True)
    assert verdict("val-accuracy-falls", worse) == "agrees"
    assert verdict("val-accuracy-falls", same) == "inconclusive"


def test_dips_are_periodic_without_shuffling_only(experiments):
    n = len(experiments["plain"].run.metrics["step"])
    noise = np.random.default_rng(0).normal(scale=0.01, size=n)
    dips = 0.2 * (np.arange(n) % 10 == 0)
    dipping = altered(experiments["plain"], val_accuracy=0.9 + noise - dips)
    steady = altered(experiments["shuffled"], val_accuracy=0.9 + noise)
    assert verdict("dips-only-without-shuffle", dipping, steady) == "agrees"
    assert verdict("dips-only-without-shuffle", steady, steady) == "differs"
    assert verdict("dips-only-without-shuffle", dipping, dipping) == "differs"


def test_dips_of_a_run_with_few_checks_are_inconclusive(finished_run):
    short = TrainedExperiment("short", runs=(finished_run,))
    assert verdict("dips-only-without-shuffle", short, short) == "inconclusive"


def test_local_optima_are_never_the_cause(experiments):
    """The objective is convex, whatever was measured."""
    assert verdict("local-optima", experiments["plain"]) == "differs"


def gaps(experiment, slope, seeds=None, noise=0.0):
    """Return an experiment whose training accuracy gains on its validation accuracy, or loses."""
    n = len(experiment.run.metrics["step"])
    gap = slope * np.linspace(-0.05, 0.05, n)
    return altered(
        experiment,
        seeds,
        train_accuracy=lambda seed: 0.9 + gap + noise * seed * np.linspace(0, 1, n),
        val_accuracy=np.full(n, 0.9),
    )


@pytest.mark.parametrize(("slope", "expected"), [(1, "agrees"), (-1, "differs")])
def test_a_gap_opens_if_training_gains_on_validation(experiments, slope, expected):
    """Of an unshuffled run there is one only; of shuffled ones, the seeds have to agree."""
    assert verdict("gap-opens", gaps(experiments["plain"], slope)) == expected
    several = gaps(experiments["shuffled"], slope, noise=0.001)
    assert verdict("gap-opens", several) == expected


def test_the_gap_of_one_shuffled_run_is_inconclusive(experiments):
    """Another seed could have the other sign."""
    assert verdict("gap-opens", gaps(experiments["shuffled"], 1, seeds=1)) == "inconclusive"


def test_a_gap_opens_further_if_more_epochs_make_it_larger(experiments):
    """Judged by the seeds that both experiments have; none, or one, is inconclusive."""
    short, long = gaps(experiments["shuffled"], 1), gaps(experiments["shuffled"], 2, noise=0.001)
    assert verdict("gap-opens-further", short, long) == "agrees"
    assert verdict("gap-opens-further", long, short) == "differs"
    assert verdict("gap-opens-further", gaps(experiments["shuffled"], 1, 1), long) == "inconclusive"
    assert verdict("gap-opens-further", TrainedExperiment("none"), long) == "inconclusive"


def test_a_lambda_that_was_not_trained_is_inconclusive(experiments):
    """Nor can λ = 0 be compared with itself."""
    for l2_lambda in (0.5, 0.0):
        found = verdict("lambda-costs-accuracy", experiments["sweep"], l2_lambda=l2_lambda)
        assert found == "inconclusive"


def test_the_norm_falls_with_lambda(experiments):
    sweep = experiments["sweep"]
    assert verdict("weight-norm-falls-with-lambda", sweep) == "agrees"
    norms = {key: run.metrics["weight_norm"][-1] for key, run in sweep.sweep.members.items()}
    assert all(norms[1, seed] < norms[0.1, seed] < norms[0, seed] for seed in (0, 1))


@pytest.mark.parametrize("claim", ["weight-norm-falls-with-lambda", "accuracy-falls-with-lambda"])
def test_a_sweep_of_one_lambda_is_inconclusive(experiments, claim):
    """There is nothing to compare."""
    sweep = experiments["sweep"].sweep
    one = replace(sweep)
    one.__dict__["members"] = {key: run for key, run in sweep.members.items() if key[0] == 1}
    assert verdict(claim, TrainedExperiment("one", sweep=one)) == "inconclusive"


RISES, FALLS, VARIES = [0.9, 1.0, 1.1], [-0.9, -1.0, -1.1], [-1.0, 0.1, 1.0]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([RISES, RISES], "agrees"),
        ([RISES, VARIES], "inconclusive"),
        ([RISES, FALLS], "differs"),
        ([VARIES, VARIES], "inconclusive"),
        ([[1.0]], "inconclusive"),
        ([[]], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_a_claim_about_several_means_needs_all_of_them(groups, expected):
    assert verdict_on_all(groups) == expected


def test_chance_agrees_with_few_claims():
    """Of groups without any effect, one in twenty is taken for one at most."""
    rng = np.random.default_rng(1)
    found = [verdict_on_all(rng.normal(size=(3, 5))) for _ in range(400)]
    assert found.count("inconclusive") >= 0.92 * len(found)


@pytest.mark.parametrize(
    ("found", "expected"),
    [("overshoot", "agrees"), ("noise", "differs"), ("inconclusive", "inconclusive")],
)
def test_overshoot_is_judged_by_the_experiment(experiments, monkeypatch, found, expected):
    made = SimpleNamespace(
        verdict=found,
        full_batch=np.ones(300),
        batches=np.ones(300),
        explanation=lambda: "because",
        figure=None,
    )
    monkeypatch.setattr(stability, "explain_stability", lambda _: made)
    assert verdict("steps-overshoot", experiments["plain"]) == expected
