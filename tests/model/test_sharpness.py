"""Sharpness, and the learning rate that it allows."""

import numpy as np
import pytest
from heads import cross_entropy_heads

from mnistlin.model.optimum import minimise
from mnistlin.model.sharpness import largest_stable_rate, sharpness, sharpness_bound
from model.objectives import dense_hessian, objective_of, random_weights, zeros

scales = pytest.mark.parametrize("scale", [0.0, 0.3, 5.0])


@cross_entropy_heads
@scales
class TestSharpness:
    """At zero, where all samples are uncertain, and far from it, where few are."""

    def test_it_is_the_largest_eigenvalue_of_the_dense_hessian(self, head, scale):
        """Found from differences of the gradient and by LAPACK."""
        objective, _, _ = objective_of(head, l2_lambda=0.03)
        W = scale * random_weights(objective)
        H = dense_hessian(objective, W)
        expected = np.linalg.eigvalsh((H + H.T) / 2)[-1]
        assert sharpness(objective, W) == pytest.approx(expected, rel=1e-6)

    def test_the_bound_is_above_it(self, head, scale):
        """And within the factor that the spread of the inputs explains."""
        objective, _, _ = objective_of(head, l2_lambda=0.03)
        W = scale * random_weights(objective)
        found = sharpness(objective, W)
        assert found <= sharpness_bound(objective, W) < 10 * found

    def test_products_are_those_with_the_dense_hessian(self, head, scale):
        """In any direction."""
        objective, _, _ = objective_of(head)
        W, D = scale * random_weights(objective), random_weights(objective, seed=8)
        expected = dense_hessian(objective, W) @ D.ravel()
        found = objective.hessian(W)(D).ravel()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@cross_entropy_heads
class TestHugeWeights:
    """They saturate the logits, so that all samples are certain."""

    def test_without_a_penalty_nothing_curves(self, head):
        """The Hessian is exactly 0, and every learning rate is stable."""
        objective, _, _ = objective_of(head, l2_lambda=0.0)
        found = sharpness(objective, 1e6 * random_weights(objective))
        assert found == 0
        assert largest_stable_rate(found) == np.inf

    def test_with_a_penalty_its_own_curvature_is_left(self, head):
        objective, _, _ = objective_of(head, l2_lambda=0.1)
        assert sharpness(objective, 1e6 * random_weights(objective)) == pytest.approx(0.2)


@cross_entropy_heads
def test_a_coarse_tolerance_is_kept(head):
    """It may use fewer digits, but no more than it allows are wrong."""
    objective, _, _ = objective_of(head)
    W = random_weights(objective)
    assert sharpness(objective, W, 0.05) == pytest.approx(sharpness(objective, W), rel=0.05)


def test_a_quadratic_is_stable_below_the_limit_and_not_above():
    """Gradient descent on h w²/2 with a rate 1 % below or above 2 / h."""
    h, ends = 7.0, []
    for factor in (0.99, 1.01):
        w = 1.0
        for _ in range(1000):
            w -= factor * largest_stable_rate(h) * h * w
        ends.append(abs(w))
    assert ends[0] < 1e-3
    assert ends[1] > 1e3


@cross_entropy_heads
def test_gradient_descent_stays_at_a_minimum_below_the_limit_only(head):
    """From a small distance: 2 % below the limit it returns, 2 % above it leaves."""
    objective, _, _ = objective_of(head)
    minimum = minimise(objective, zeros(objective)).point.weights
    limit = largest_stable_rate(sharpness(objective, minimum))
    start = minimum + 1e-3 * random_weights(objective)
    distances = []
    for factor in (0.98, 1.02):
        W = start
        for _ in range(400):
            W = W - factor * limit * objective.at(W).gradient
        distances.append(np.linalg.norm(W - minimum))
    before = np.linalg.norm(start - minimum)
    assert distances[0] < before / 5
    assert distances[1] > 2 * before
