"""When L2 helps, on minima that were made up, and on a tiny dataset."""

from types import SimpleNamespace as Made

import numpy as np
import pytest

from mnistlin.analysis import l2_benefit as module
from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.analysis.l2_benefit import L2Benefit, Minima, l2_benefit
from mnistlin.training.evaluation import Predictions

N_VAL = 1000
CLAIMS = ("any-l2-costs-accuracy", "does-not-over-fit-at-the-minimum", "l2-helps-complex-models")


def minima(n_images, **accuracies):
    """Return minima with these accuracies of a large, a middle and the smallest λ."""
    predictions = {}
    for l2_lambda, accuracy in zip((0.1, 0.01, 1e-5), accuracies.values(), strict=True):
        n_wrong = round((1 - accuracy) * N_VAL)
        wrong = np.arange(N_VAL) < n_wrong
        predictions[l2_lambda] = Predictions(
            wrong.astype(int), np.zeros((N_VAL, 2)), np.where(wrong, 3.0, 0.1)
        )
    return Minima(n_images, np.zeros(N_VAL, dtype=int), predictions)


HELPS = {"large": 0.70, "middle": 0.90, "smallest": 0.80}
COSTS = {"large": 0.70, "middle": 0.80, "smallest": 0.90}
OPEN = {"large": 0.70, "middle": 0.901, "smallest": 0.90}


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
    found = L2Benefit(finished_run, (minima(500, **fewer), minima(4000, **every)))
    monkeypatch.setattr(module, "l2_benefit", lambda _: found)
    evidence = Evidence((TrainedExperiment("softmax", runs=(finished_run,)),))
    assert tuple(judge(claim, evidence).verdict for claim in CLAIMS) == expected


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


@pytest.fixture
def under_fit(sweep_of_three, monkeypatch):
    """Return a function that judges `lambda-under-fits` by accuracies on 200 images."""

    def verdict(of_run, at_minimum, of_zero, l2_lambda=1.0):
        def model(accuracy):
            return Made(val_is_correct=np.arange(200) < round(200 * accuracy))

        trained = {1.0: model(of_run), 0.0: model(of_zero)}
        path = Made(trained=trained, minima={1.0: model(at_minimum)}, figure=None)
        monkeypatch.setattr(module, "explain_lambda", lambda _: path)
        sweep = TrainedExperiment("sweep", sweep=sweep_of_three)
        return judge("lambda-under-fits", Evidence((sweep,), l2_lambda=l2_lambda)).verdict

    return verdict


@pytest.mark.parametrize(
    ("of_run", "at_minimum", "of_zero", "expected"),
    [
        (0.5, 0.5, 0.9, "agrees"),
        (0.5, 0.9, 0.9, "differs"),
        (0.9, 0.9, 0.9, "inconclusive"),
        (0.9, 0.9, 0.5, "differs"),
    ],
)
def test_lambda_under_fits_if_its_minimum_is_no_better(
    under_fit, of_run, at_minimum, of_zero, expected
):
    assert under_fit(of_run, at_minimum, of_zero) == expected


def test_a_lambda_that_the_sweep_lacks_is_inconclusive(under_fit):
    assert under_fit(0.5, 0.5, 0.9, l2_lambda=0.5) == "inconclusive"
