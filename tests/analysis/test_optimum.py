"""A run beside the minimum of its own objective."""

from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mnistlin.analysis import optimum as analysis
from mnistlin.analysis.evaluate import evaluate
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.own_data import load_own_splits
from mnistlin.analysis.words import about_optimum
from mnistlin.model.optimum import minimise


@pytest.fixture(scope="module", params=["logistic", "softmax"])
def penalised(request, train_tiny):
    """Return the minimum of a run with λ = 0.05."""
    return find_optimum(train_tiny(request.param, l2_lambda=0.05, epochs=30))


@pytest.fixture(scope="module")
def separable(train_tiny):
    """Return the search on a separable set without penalty."""
    return find_optimum(train_tiny(epochs=3))


class TestMinimum:
    """With a penalty."""

    def test_it_is_the_lowest_place(self, penalised):
        """The run is above it, and so is every place near it."""
        assert penalised.outcome == "minimum"
        assert penalised.gap > 0
        best = penalised.found.place
        assert best.gradient_norm < 1e-6
        nudges = np.random.default_rng(0).standard_normal((20, *best.weights.shape)) * 0.01
        assert (penalised.objective.values(best.weights + nudges) > best.value).all()

    def test_the_value_of_the_run_is_loss_and_penalty_of_its_last_check(self, penalised):
        """As metrics.csv has them."""
        metrics = penalised.run.metrics
        expected = metrics["train_loss"][-1] + metrics["l2_penalty"][-1]
        assert penalised.of_run.place.value == pytest.approx(expected, rel=1e-12)
        assert penalised.of_run.weight_norm == pytest.approx(metrics["weight_norm"][-1])

    def test_its_accuracies_are_those_of_an_evaluation(self, penalised):
        """On the training and on the validation images."""
        run = penalised.run
        assert penalised.of_run.val_accuracy == evaluate(run).accuracy
        assert penalised.of_run.train_accuracy == evaluate(run, split_name="train").accuracy

    def test_the_certainty_bounds_what_is_left(self, penalised):
        """The run's own gradient bounds its own gap in the same way."""
        gradient_norm = penalised.of_run.place.gradient_norm
        assert penalised.gap <= gradient_norm**2 / (4 * 0.05)
        assert penalised.certainty < 1e-11

    def test_scikit_learn_takes_the_translated_penalty(self, penalised):
        """At that C it finds the same weights."""
        run, train = penalised.run, load_own_splits(penalised.run).train
        X = np.hstack([train.images[train.rows] / 127.5 - 1, np.ones((train.n_samples, 1))])
        y = train.targets == 0 if run.config.model == "logistic" else train.targets
        C = penalised.translations["sklearn_LogisticRegression_C"]
        judge = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(penalised.found.place.weights, judge.coef_.T, atol=1e-4)

    def test_other_tools_double_the_penalty(self, penalised):
        """They have ½ where we have none."""
        words = penalised.translations
        assert words["sklearn_SGDClassifier_alpha"] == words["torch_weight_decay"] == 0.1


class TestNoMinimum:
    """Without a penalty, on images that can be separated."""

    def test_separating_weights_are_shown(self, separable):
        """All training images are right, each with more than half of the probability."""
        assert separable.outcome == "no minimum"
        assert separable.found.train_is_right.all()
        assert separable.found.true_class_probability.min() > 0.5

    def test_no_minimum_is_claimed(self, separable):
        """The gap is that to 0, and nothing is called J*."""
        assert separable.gap == separable.of_run.place.value
        assert separable.certainty is None
        assert separable.translations["sklearn_LogisticRegression_C"] is None
        assert "J*" not in about_optimum(separable)
        assert "there is no minimum here" in about_optimum(separable)


@pytest.mark.parametrize("l2_lambda", [0.0, 0.001])
def test_a_search_that_is_cut_short_claims_nothing(train_tiny, monkeypatch, l2_lambda):
    """It tells the lowest J that it found, and never J*."""
    monkeypatch.setattr(analysis, "minimise", partial(minimise, max_iterations=1))
    found = find_optimum(train_tiny(epochs=1, l2_lambda=l2_lambda))
    assert found.outcome == "lowest found"
    assert "is the lowest found" in about_optimum(found)
    assert "J*" not in about_optimum(found)
    assert ("at most" in about_optimum(found)) == (l2_lambda > 0)
