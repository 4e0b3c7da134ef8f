"""Each λ of a sweep at its exact minimum, beside what training reached."""

from dataclasses import replace
from types import SimpleNamespace as Made

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mnistlin.analysis import lambda_path as module
from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.analysis.lambda_path import ChosenLambda, Model, Pair, explain_lambda
from mnistlin.errors import RunError
from mnistlin.runs.provenance import load_own_splits
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.sweep.run import run_sweep

L2_LAMBDAS = (0.3, 0.02, 0.0)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, make_config):
    """Return a function that trains a sweep over some λ on the tiny dataset."""

    def sweep(l2_lambdas):
        config = make_config("softmax", epochs=3)
        values = config.model_dump() | {"sweep": {"l2_lambdas": l2_lambdas, "seeds": [0]}}
        return run_sweep(type(config).model_validate(values), tmp_path_factory.mktemp("sweep"))

    return sweep


@pytest.fixture(scope="module")
def path(swept):
    """Return the answer for a sweep over three λ, one of them 0."""
    return explain_lambda(load_sweep(swept(L2_LAMBDAS).path))


def test_minima_are_those_of_scikit_learn_at_the_translated_penalty(path):
    """LogisticRegression at C = 1 / (2 n λ), with the bias as one of the columns."""
    train = load_own_splits(path.runs[0]).train
    X = np.hstack([train.images[train.rows] / 127.5 - 1, np.ones((train.n_samples, 1))])
    assert sorted(path.minima) == [0.02, 0.3]
    for l2_lambda, minimum in path.minima.items():
        C = 1 / (2 * train.n_samples * l2_lambda)
        judge = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000)
        judge.fit(X, train.targets)
        np.testing.assert_allclose(minimum.weights, judge.coef_.T, atol=1e-4)


def test_the_row_of_zero_is_the_trained_model_and_the_reason(path):
    """No minimum, and no test."""
    row = path.tables()["lambdas"][0]
    assert row["l2_lambda"] == 0
    assert row["val_accuracy_minimum"] is None
    assert row["verdict"] == "λ = 0: there may be no minimum"
    assert "With λ = 0 there may be no minimum" in path.explanation()


def model_with(*correct):
    """Return a model that classifies these images correctly."""
    return Model(np.ones((2, 1)), np.array(correct, bool), 0.5)


RIGHT, WRONG = model_with(*[1] * 60), model_with(*[0] * 60)


@pytest.mark.parametrize(
    ("trained", "minimum", "p_value", "verdict", "words"),
    [
        (WRONG, RIGHT, 0.01, "minimum is better", "training and not λ costs accuracy"),
        (RIGHT, WRONG, 0.01, "run is better", "acts as a regulariser"),
        (RIGHT, WRONG, 0.06, "inconclusive", "the images do not decide"),
        (RIGHT, RIGHT, 1.0, "inconclusive", "the images do not decide"),
        (RIGHT, None, None, "not tested", "the search did not converge"),
    ],
)
def test_each_verdict_has_its_sentence(path, trained, minimum, p_value, verdict, words):
    """On models that differ enough, do not, or are missing."""
    pair = Pair(0.1, trained, minimum, p_value)
    other = Pair(0.2, RIGHT, RIGHT, 1.0)
    assert pair.verdict == verdict
    assert words in replace(path, pairs=(pair, other)).explanation()


def test_the_choice_is_the_best_and_the_largest_within_one_standard_error():
    """Accuracies 0.5, 0.9 and 0.85 of 40 images have a standard error of 0.047 at the best."""
    models = {
        value: model_with(*[1] * n, *[0] * (40 - n))
        for value, n in {0.01: 20, 0.1: 36, 1.0: 35, 10.0: 33}.items()
    }
    choice = ChosenLambda.among(models)
    assert (choice.best, choice.one_standard_error) == (0.1, 1.0)
    assert choice.standard_error == pytest.approx(np.sqrt(0.9 * 0.1 / 39))


def test_both_are_drawn_for_each_quantity(path):
    """Accuracy, loss and norm; the minimum has no point at λ = 0."""
    for axes in path.figure().axes:
        trained, minimum = (line for line in axes.get_lines() if line.get_linestyle() == ":")
        assert len(trained.get_xdata()) == 3
        assert len(minimum.get_xdata()) == 2


def test_a_sweep_without_a_penalty_has_no_minima(swept):
    """The error says what is missing."""
    with pytest.raises(RunError, match="no finished run with λ > 0"):
        explain_lambda(load_sweep(swept((0.0,)).path))


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
