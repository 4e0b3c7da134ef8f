"""When L2 helps, on minima that were made up, and on a tiny dataset."""

import numpy as np
import pytest

from mnistlin.analysis import l2_benefit as module
from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.analysis.l2_benefit import L2Benefit, Minima, l2_benefit

N_VAL = 1000
CLAIMS = ("any-l2-costs-accuracy", "does-not-over-fit-at-the-minimum", "l2-helps-complex-models")


def minima(n_images, *sets):
    """Return minima with these accuracies of a large, a middle and the smallest λ, in each set."""
    is_correct = {
        l2_lambda: np.array([np.arange(N_VAL) >= round((1 - each) * N_VAL) for each in accuracies])
        for l2_lambda, accuracies in zip((0.1, 0.01, 1e-5), zip(*sets, strict=True), strict=True)
    }
    losses = {value: np.where(correct, 0.1, 3.0) for value, correct in is_correct.items()}
    return Minima(n_images, is_correct, losses)


HELPS = (0.70, 0.90, 0.80)
COSTS = (0.70, 0.80, 0.90)
OPEN = (0.70, 0.901, 0.90)


@pytest.mark.parametrize(
    ("fewer", "every", "expected"),
    [
        (HELPS, HELPS, ("differs", "differs", "agrees")),
        (COSTS, COSTS, ("agrees", "agrees", "differs")),
        (OPEN, OPEN, ("inconclusive", "inconclusive", "inconclusive")),
        (HELPS, COSTS, ("agrees", "agrees", "agrees")),
    ],
)
def test_claims_about_l2_follow_from_the_minima(finished_run, monkeypatch, fewer, every, expected):
    """Those about all images from the last minima, those about complexity from the others."""
    found = L2Benefit(finished_run, (minima(500, fewer), minima(4000, every)))
    monkeypatch.setattr(module, "l2_benefit", lambda _: found)
    evidence = Evidence((TrainedExperiment("softmax", runs=(finished_run,)),))
    assert tuple(judge(claim, evidence).verdict for claim in CLAIMS) == expected


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((9, 11, 10, 12), "agrees"), ((-9, -11, -10, -12), "differs"), ((30, -9, 8, -1), "open")],
)
def test_several_sets_are_judged_by_their_spread(gains, verdict):
    """Gains of a middle λ that McNemar's test does not detect in any single set."""
    found = minima(500, *((0.70 - abs(gain) / 1000, 0.80 + gain / 1000, 0.80) for gain in gains))
    assert found.n_sets == 4
    assert found.accuracy(1e-5) == pytest.approx(0.80)
    assert found.verdict == (verdict if verdict != "open" else "inconclusive")


def test_without_fewer_images_complexity_is_inconclusive(finished_run):
    """The tiny dataset has 60 images."""
    evidence = Evidence((TrainedExperiment("softmax", runs=(finished_run,)),))
    assert judge("l2-helps-complex-models", evidence).verdict == "inconclusive"


def test_every_minimum_has_its_row_and_the_best_is_named(finished_run):
    found = l2_benefit(finished_run)
    rows = found.tables()["minima"]
    assert {row["n_images"] for row in rows} == {60}
    best = max(rows, key=lambda row: row["val_accuracy"])
    assert f"λ = {best['l2_lambda']:g}" in found.explanation()
    assert found.values()["best_l2_lambda"] == best["l2_lambda"]


def test_the_minimum_with_a_large_lambda_is_found_by_training_long(sweep_of_three, finished_run):
    """A run that has converged is as accurate as its minimum."""
    (found,) = l2_benefit(finished_run, [1.0]).minima
    run = next(iter(sweep_of_three.by_lambda[1.0].values()))
    assert found.accuracy(1.0) == pytest.approx(run.summary["last_val_accuracy"], abs=0.1)
