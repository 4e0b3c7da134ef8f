"""The linear model: logits, objective, gradient, and the product under them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.model import linear
from mnistlin.model.heads import HEADS

LAMBDAS = np.array([0.0, 0.3, 2.0])


def case(head, n_models=3, n_samples=9, n_features=5, dtype="float64", seed=0):
    """Return random weights W, pixels P and one-hot targets Y."""
    rng = np.random.default_rng(seed)
    n_classes = 2 if head.name == "logistic" else 4
    W = rng.standard_normal((n_models, head.n_outputs(n_classes), n_features + 1)).astype(dtype)
    P = linear.pixel_rows(n_samples, n_features, dtype)
    P[:, :-1] = rng.integers(0, 256, (n_samples, n_features))
    return W, P, head.one_hot(rng.integers(0, n_classes, n_samples), n_classes, dtype)


def scaled(P):
    """Return the inputs of report part 2: pixels in [-1, 1], and a bias input of 1."""
    return np.hstack([P[:, :-1] / 127.5 - 1, np.ones((len(P), 1))])


def numeric_gradient(head, W, P, Y, l2_lambdas):
    """Return dJ/dW by central differences, a coordinate at a time."""
    G = np.zeros_like(W)
    for at in np.ndindex(W.shape):
        nudge = np.zeros_like(W)
        nudge[at] = 1e-5
        above, below = (
            linear.objective(head, W + sign * nudge, P, Y, l2_lambdas)[at[0]] for sign in (1, -1)
        )
        G[at] = (above - below) / 2e-5
    return G


def test_inputs_are_pixels_in_plus_minus_one_and_a_bias_of_one():
    """Black is -1, white 1, and the bias input exactly 1."""
    P = linear.pixel_rows(3, 2, "float64")
    P[:, :-1] = [[0, 255], [255, 0], [127, 128]]
    X = linear.inputs(P)
    np.testing.assert_array_equal(X, scaled(P))
    assert X[:, :-1].min() == -1
    assert X[:, :-1].max() == 1


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestBothHeads:
    """Objective and gradient of a stack with three λ."""

    def test_logits_are_weights_times_inputs(self, head):
        """Scaling the product comes to the same as scaling the pixels."""
        W, P, _ = case(head)
        np.testing.assert_allclose(linear.logits(W, P), W @ scaled(P).T, rtol=1e-12, atol=1e-12)

    def test_float32_logits_are_near(self, head):
        """Within single precision, of 784 pixels too."""
        W, P, _ = case(head, n_features=784, dtype="float32")
        expected = W.astype("float64") @ scaled(P.astype("float64")).T
        found = linear.logits(W, P)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)

    def test_the_objective_is_mean_cross_entropy_plus_the_penalty(self, head):
        """J = C + λ Σ W², without ½ and with the bias."""
        W, P, Y = case(head)
        for i, l2_lambda in enumerate(LAMBDAS):
            cost = head.losses(W[i] @ scaled(P).T, Y).mean()
            expected = cost + l2_lambda * sum(w**2 for w in W[i].ravel())
            found = linear.objective(head, W, P, Y, LAMBDAS)[i]
            assert found == pytest.approx(expected, rel=1e-12)

    def test_the_gradient_is_the_slope_of_the_objective(self, head):
        """In every coordinate of every model, bias and penalty included."""
        W, P, Y = case(head)
        R = head.predict(linear.logits(W, P)) - Y
        analytic = linear.gradient(R, W, P, LAMBDAS)
        np.testing.assert_allclose(
            analytic, numeric_gradient(head, W, P, Y, LAMBDAS), rtol=1e-7, atol=1e-9
        )

    def test_the_gradient_leaves_its_arguments_alone(self, head):
        """The trainer uses residuals, weights and pixels again."""
        W, P, Y = case(head)
        R = head.predict(linear.logits(W, P)) - Y
        before = [array.copy() for array in (R, W, P, LAMBDAS)]
        linear.gradient(R, W, P, LAMBDAS)
        for array, copy in zip((R, W, P, LAMBDAS), before, strict=True):
            np.testing.assert_array_equal(array, copy)

    def test_float32_stays_float32(self, head):
        """Also beside λ of the same precision."""
        W, P, Y = case(head, dtype="float32")
        R = head.predict(linear.logits(W, P)) - Y
        assert linear.gradient(R, W, P, LAMBDAS.astype("float32")).dtype == np.float32


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


@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([1, 30, 200, 10**6]),
    st.sampled_from([1, 2, 16]),
)
def test_the_tiled_product_is_the_plain_product(n_models, n_outputs, m, n, small_product, unit):
    """Of any shape, wherever the limit of small products lies, and of a part of a stack."""
    rng = np.random.default_rng(0)
    whole, B = rng.standard_normal((n_models, 2, n_outputs, m)), rng.standard_normal((n, m)).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "SMALL_PRODUCT", small_product)
        patch.setattr(linear, "TILE_UNIT", unit)
        for A in (whole[:, 0], whole[:, 0].copy()):
            expected = np.einsum("kij,jl->kil", A, B)
            np.testing.assert_allclose(linear._product(A, B), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("m", "n"), [(785, 128), (128, 785), (785, 32), (785, 1024), (5, 7)])
def test_tiles_are_whole_registers_wide_and_small_enough(m, n):
    """A single row gains nothing, and of many rows one large product is faster."""
    for n_rows in range(1, 100):
        width = linear._tile_width(n_rows, m, n)
        if n_rows == 1 or n_rows > linear.MAX_TILED_ROWS or n_rows * m * n <= linear.SMALL_PRODUCT:
            assert width == n
        else:
            assert width < n
            assert width % linear.TILE_UNIT == 0
            assert n_rows * m * width <= linear.SMALL_PRODUCT
