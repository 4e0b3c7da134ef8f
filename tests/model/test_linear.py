"""The linear model: logits, objective and gradient."""

import numpy as np
import pytest

from mnistlin.model import linear
from mnistlin.model.linear import HEADS
from mnistlin.model.products import Pixels

LAMBDAS = np.array([0.0, 0.3, 2.0])


def case(head, n_models=3, n_samples=9, n_features=5, n_classes=4, dtype="float64", seed=0):
    """Return random weights W, inputs X as pixels, and one-hot targets Y."""
    rng = np.random.default_rng(seed)
    n_classes = 2 if head.name == "logistic" else n_classes
    W = rng.standard_normal((n_models, head.n_outputs(n_classes), n_features + 1)).astype(dtype)
    P = np.full((n_samples, n_features + 1), 255, dtype)
    P[:, :-1] = rng.integers(0, 256, (n_samples, n_features))
    return W, Pixels(P), head.one_hot(rng.integers(0, n_classes, n_samples), n_classes, dtype)


def numeric_gradient(head, W, X, Y, l2_lambdas):
    """Return dJ/dW by central differences, a coordinate at a time."""
    G = np.zeros_like(W)
    for at in np.ndindex(W.shape):
        nudge = np.zeros_like(W)
        nudge[at] = 1e-5
        above, below = (
            linear.objective(head, W + sign * nudge, X, Y, l2_lambdas)[at[0]] for sign in (1, -1)
        )
        G[at] = (above - below) / 2e-5
    return G


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestBothHeads:
    """Objective and gradient of a stack with three λ."""

    def test_logits_are_weights_times_inputs(self, head):
        """Of pixels as of inputs that are made."""
        W, X, _ = case(head)
        for inputs in (X, X.to_array()):
            found = linear.logits(W, inputs)
            np.testing.assert_allclose(found, W @ X.to_array().T, rtol=1e-12, atol=1e-12)

    def test_float32_logits_are_near(self, head):
        """Within single precision, of 784 pixels too, and where products are tiled."""
        W, X, _ = case(head, 1, n_samples=300, n_features=784, n_classes=10, dtype="float32")
        expected = W.astype("float64") @ Pixels(X.P.astype("float64")).to_array().T
        found = linear.logits(W, X)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)

    def test_the_objective_is_mean_cross_entropy_plus_the_penalty(self, head):
        """J = C + λ Σ W², without ½ and with the bias."""
        W, X, Y = case(head)
        for i, l2_lambda in enumerate(LAMBDAS):
            cost = head.losses(W[i] @ X.to_array().T, Y).mean()
            expected = cost + l2_lambda * sum(w**2 for w in W[i].ravel())
            found = linear.objective(head, W, X, Y, LAMBDAS)[i]
            assert found == pytest.approx(expected, rel=1e-12)

    def test_the_gradient_is_the_slope_of_the_objective(self, head):
        """In every coordinate of every model, bias and penalty included."""
        W, X, Y = case(head)
        for inputs in (X, X.to_array()):
            R = head.predict(linear.logits(W, inputs)) - Y
            analytic = linear.gradient(R, W, inputs, LAMBDAS)
            numeric = numeric_gradient(head, W, inputs, Y, LAMBDAS)
            np.testing.assert_allclose(analytic, numeric, rtol=1e-7, atol=1e-9)

    def test_the_gradient_leaves_its_arguments_alone(self, head):
        """The trainer uses residuals, weights and pixels again."""
        W, X, Y = case(head)
        R = head.predict(linear.logits(W, X)) - Y
        arrays = (R, W, X.P, LAMBDAS)
        before = [array.copy() for array in arrays]
        linear.gradient(R, W, X, LAMBDAS)
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)

    def test_float32_stays_float32(self, head):
        """Also beside λ of the same precision."""
        W, X, Y = case(head, dtype="float32")
        R = head.predict(linear.logits(W, X)) - Y
        assert linear.gradient(R, W, X, LAMBDAS.astype("float32")).dtype == np.float32


def test_squared_norms_are_summed_in_float64():
    """Each square of 1e30 overflows float32, and so would the sum."""
    W = np.full((2, 3, 4), 1e30, dtype="float32")
    W[1] = 2
    squares = linear.squared_norm(W)
    assert squares.dtype == np.float64
    np.testing.assert_allclose(squares, [12e60, 48], rtol=1e-6)


def test_squared_norms_keep_leading_axes():
    """Of snapshots (n_checks, n_models, ...) there is one a check and model."""
    W = np.random.default_rng(0).standard_normal((4, 2, 3, 5))
    expected = np.linalg.norm(W.reshape(4, 2, 15), axis=-1) ** 2
    np.testing.assert_allclose(linear.squared_norm(W), expected, rtol=1e-12)
