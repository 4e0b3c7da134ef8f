"""Products with images as inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.model.products import (
    SYMMETRIC,
    UNIT,
    Pixels,
    Scaling,
    pixel_weights,
    product,
    times,
)

SCALINGS = {"symmetric": SYMMETRIC, "unit": UNIT, "standard": Scaling.standard(33.3, 78.6)}
scalings = pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)


def random_pixels(scaling=SYMMETRIC, n_samples=6, n_features=4):
    """Return random images as inputs."""
    P = np.full((n_samples, n_features + 1), scaling.bias_pixel)
    P[:, :-1] = np.random.default_rng(0).integers(0, 256, (n_samples, n_features))
    return Pixels(P, scaling)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (SYMMETRIC, [-1, 51 / 127.5 - 1, 1]),
        (UNIT, [0, 0.2, 1]),
        (Scaling.standard(51.0, 20.0), [-2.55, 0, 10.2]),
    ],
)
def test_inputs_are_scaled_pixels_and_a_bias_of_one(scaling, expected):
    X = Pixels(np.array([[0, 51, 255, scaling.bias_pixel]]), scaling).to_array()
    np.testing.assert_allclose(X, [[*expected, 1]], rtol=1e-12, atol=1e-15)


@scalings
def test_products_with_pixels_are_products_with_inputs(scaling):
    X = random_pixels(scaling)
    rng = np.random.default_rng(1)
    for right in (X, X.T):
        A = rng.standard_normal((3, 2, right.shape[0]))
        before = A.copy(), right.P.copy()
        np.testing.assert_allclose(times(A, right), A @ right.to_array(), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(A, before[0])
        np.testing.assert_array_equal(right.P, before[1])


@scalings
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_is_kept(scaling, dtype):
    P = random_pixels(scaling, 128, 784).P.astype(dtype)
    A = np.random.default_rng(1).standard_normal((1, 10, 785)).astype(dtype)
    found = times(A, Pixels(P, scaling).T)
    exact = A.astype(float) @ random_pixels(scaling, 128, 784).to_array().T
    assert found.dtype == pixel_weights(A, scaling).dtype == dtype
    np.testing.assert_allclose(found, exact, atol=1e-3 if dtype == "float32" else 1e-11)


@scalings
def test_weights_of_pixels_give_the_same_products(scaling):
    X = random_pixels(scaling)
    W = np.random.default_rng(1).standard_normal((3, 2, 5))
    found = pixel_weights(W, scaling) @ X.P.T
    np.testing.assert_allclose(found, W @ X.to_array().T, rtol=1e-12, atol=1e-12)


@scalings
def test_black_pixels_can_be_left_out_with_their_weights(scaling):
    X = random_pixels(scaling)
    X.P[:, [0, 2]] = 0
    W = np.random.default_rng(1).standard_normal((3, 2, 5))
    left = [1, 3, 4]
    found = pixel_weights(W, scaling)[..., left] @ X.P[:, left].T
    np.testing.assert_allclose(found, W @ X.to_array().T, rtol=1e-12, atol=1e-12)


@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 300),
    st.integers(1, 300),
    st.booleans(),
)
def test_the_product_of_a_stack_is_that_of_its_members(n_models, n_outputs, m, n, is_transpose):
    """For arrays of any shape and memory order, and for part of a larger array."""
    rng = np.random.default_rng(0)
    whole, B = rng.standard_normal((n_models, 2, n_outputs, m)), rng.standard_normal((m, n))
    if is_transpose:
        B = np.asfortranarray(B)
    for A in (whole[:, 0], whole[:, 0].copy()):
        expected = np.einsum("kij,jl->kil", A, B)
        np.testing.assert_allclose(product(A, B), expected, rtol=1e-10, atol=1e-10)
