"""A run beside the minimum of its own objective."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier

from mnistlin.analysis import optimum as analysis
from mnistlin.analysis.evaluate import evaluate
from mnistlin.analysis.optimum import find_optimum
from mnistlin.errors import RunError
from mnistlin.model.optimum import minimise
from mnistlin.runs.provenance import load_own_splits


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

    def test_it_is_the_lowest_point(self, penalised):
        """The run is above it, and so is every point near it."""
        assert penalised.kind == "minimum"
        assert penalised.gap > 0
        best = penalised.found.point
        assert best.gradient_norm < 1e-6
        nudges = np.random.default_rng(0).standard_normal((20, *best.weights.shape)) * 0.01
        assert (penalised.objective.values(best.weights + nudges) > best.value).all()

    def test_the_value_of_the_run_is_loss_and_penalty_of_its_last_check(self, penalised):
        """As metrics.csv has them."""
        metrics = penalised.run.metrics
        expected = metrics["train_loss"][-1] + metrics["l2_penalty"][-1]
        assert penalised.of_run.point.value == pytest.approx(expected, rel=1e-12)
        norm = penalised.of_run.values()["weight_norm"]
        assert norm == pytest.approx(metrics["weight_norm"][-1])

    def test_its_accuracies_are_those_of_an_evaluation(self, penalised):
        """On the training and on the validation images."""
        run = penalised.run
        assert penalised.of_run.val_accuracy == evaluate(run).accuracy
        assert penalised.of_run.train_accuracy == evaluate(run, split_name="train").accuracy

    def test_the_error_bound_is_that_of_strong_convexity(self, penalised):
        """‖∇J‖² / (4 λ), which the run's own gradient reaches to within the largest curvature.

        On J(W) = λ ‖W‖² alone the bound is exact, since its gradient is 2 λ W.
        """
        weights = penalised.of_run.point.weights
        quadratic = replace(
            penalised.found.point, gradient=2 * 0.05 * weights, value=0.05 * (weights**2).sum()
        )
        at_run = replace(penalised, found=replace(penalised.found, point=quadratic))
        assert at_run.error_bound == pytest.approx(quadratic.value)
        assert penalised.error_bound < 1e-11

    def test_scikit_learn_takes_the_translated_penalty(self, penalised):
        """At that C it finds the same weights."""
        X, y = inputs_of(penalised)
        C = penalised.translations["sklearn_LogisticRegression_C"]
        judge = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(penalised.found.point.weights, judge.coef_.T, atol=1e-4)

    def test_a_penalty_means_the_same_to_torch_sgd_and_scikit_learns_sgd(self, penalised):
        """Gradient descent with weight decay or alpha / 2 Σ W² ends at the same minimum.

        Both tools add `decay * W` to the gradient of the loss.
        """
        words, best = penalised.translations, penalised.found.point
        decay = words["torch_weight_decay"]
        loss_gradient = best.gradient - 2 * 0.05 * best.weights
        np.testing.assert_allclose(loss_gradient + decay * best.weights, 0, atol=1e-6)
        if penalised.run.config.model == "logistic":
            assert words["sklearn_SGDClassifier_alpha"] == decay
        else:
            assert "sklearn_SGDClassifier_alpha" not in words

    def test_scikit_learns_sgd_finds_the_logistic_minimum_at_the_translated_alpha(self, train_tiny):
        found = find_optimum(train_tiny("logistic", l2_lambda=0.05, epochs=30))
        X, y = inputs_of(found)
        alpha = found.translations["sklearn_SGDClassifier_alpha"]
        judge = SGDClassifier(
            loss="log_loss", alpha=alpha, fit_intercept=False, max_iter=3000, tol=None,
            learning_rate="optimal", average=1000, random_state=0,
        ).fit(X, y)  # fmt: skip
        best = found.found.point
        of_judge = found.objective.at(judge.coef_.T)
        assert of_judge.value - best.value < 1e-4
        doubled = find_optimum(train_tiny("logistic", l2_lambda=0.1, epochs=30)).found.point
        assert found.objective.at(doubled.weights).value - best.value > 1e-3

    def test_for_two_classes_scikit_learn_fits_one_output(self, train_tiny):
        """Softmax with two classes: C is 1 / (n λ), and its weights are the columns' difference."""
        found = find_optimum(train_tiny("softmax", data={"classes": [7, 2]}, l2_lambda=0.05))
        X, y = inputs_of(found)
        C = found.translations["sklearn_LogisticRegression_C"]
        assert pytest.approx(1 / (found.objective.samples.n_samples * 0.05)) == C
        judge = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(X, y)
        first, second = found.found.point.weights.T
        np.testing.assert_allclose(second - first, judge.coef_[0], atol=1e-4)


def inputs_of(optimum):
    """Return X with a column of ones, and y, of the training set of a run."""
    train = load_own_splits(optimum.run).train
    X = np.hstack([train.images[train.rows] / 127.5 - 1, np.ones((train.n_samples, 1))])
    is_logistic = optimum.run.config.model == "logistic"
    return X, train.targets == 0 if is_logistic else train.targets


class TestNoMinimum:
    """Without a penalty, on images that can be separated."""

    def test_separating_weights_are_shown(self, separable):
        """All training images are right, each with more than half of the probability."""
        assert separable.kind == "no minimum"
        assert separable.found.train_is_correct.all()
        assert separable.found.true_class_probability.min() > 0.5

    def test_no_minimum_is_claimed(self, separable):
        """The gap is that to 0, and nothing is called J*."""
        assert separable.gap == separable.of_run.point.value
        assert separable.error_bound is None
        assert separable.translations["sklearn_LogisticRegression_C"] is None
        assert "J*" not in separable.explanation()
        assert "there is no minimum here" in separable.explanation()


@pytest.mark.parametrize("l2_lambda", [0.0, 0.001])
def test_a_search_that_is_cut_short_claims_nothing(train_tiny, monkeypatch, l2_lambda):
    """It reports the lowest J that it found, and never J*."""
    monkeypatch.setattr(analysis, "minimise", partial(minimise, max_iterations=1))
    found = find_optimum(train_tiny(epochs=1, l2_lambda=l2_lambda))
    assert found.kind == "lowest found"
    assert "is the lowest found" in found.explanation()
    assert "J*" not in found.explanation()
    assert ("at most" in found.explanation()) == (l2_lambda > 0)


@pytest.mark.parametrize("l2_lambda", [0.0, 1.0])
def test_a_run_without_a_check_is_not_compared(train_tiny, l2_lambda):
    """Its weights are those before training."""
    run = train_tiny(learning_rate=1e30, l2_lambda=l2_lambda)
    with pytest.raises(RunError, match=r"diverged before its first check.*smaller .*learning_rate"):
        find_optimum(run)
