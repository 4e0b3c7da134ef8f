"""Inputs as pixels, and the product under everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.model import products
from mnistlin.model.products import Pixels, pixel_weights, times


def random_pixels(n_samples=6, n_features=4):
    """Return pixels P with the white one last."""
    P = np.full((n_samples, n_features + 1), 255.0)
    P[:, :-1] = np.random.default_rng(0).integers(0, 256, (n_samples, n_features))
    return P


def test_inputs_are_pixels_in_plus_minus_one_and_a_bias_of_one():
    """As in report part 2: black is -1, white 1, and the bias input exactly 1."""
    X = Pixels(np.array([[0.0, 255, 255], [255, 0, 255], [127, 128, 255]])).to_array()
    np.testing.assert_array_equal(X[:2], [[-1, 1, 1], [1, -1, 1]])
    np.testing.assert_allclose(X[2], [-1 / 255, 1 / 255, 1], rtol=1e-12)


def test_products_with_pixels_are_products_with_inputs():
    """From both sides, for each of a stack of models; and what is multiplied stays as it is."""
    X = Pixels(random_pixels())
    rng = np.random.default_rng(1)
    for right in (X, X.T):
        A = rng.standard_normal((3, 2, right.shape[0]))
        before = A.copy(), right.P.copy()
        expected = A @ (right.P / 127.5 - 1)
        for form in (right, right.to_array()):
            np.testing.assert_allclose(times(A, form), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(A, before[0])
        np.testing.assert_array_equal(right.P, before[1])


def test_weights_of_pixels_give_the_same_products():
    """V Pᵀ = W Xᵀ."""
    X = Pixels(random_pixels())
    W = np.random.default_rng(1).standard_normal((3, 2, 5))
    found = pixel_weights(W) @ X.P.T
    np.testing.assert_allclose(found, W @ X.to_array().T, rtol=1e-12, atol=1e-12)


def test_black_pixels_can_be_left_out_with_their_weights():
    """What they add to W Xᵀ is in the weight of the white pixel."""
    P = random_pixels()
    P[:, [0, 2]] = 0
    W = np.random.default_rng(1).standard_normal((3, 2, 5))
    columns = [1, 3, 4]
    found = pixel_weights(W)[..., columns] @ P[:, columns].T
    np.testing.assert_allclose(found, W @ Pixels(P).to_array().T, rtol=1e-12, atol=1e-12)


@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([1, 30, 200, 10**6]),
    st.sampled_from([1, 30, 1200]),
    st.sampled_from([1, 2, 16]),
    st.booleans(),
)
def test_the_tiled_product_is_the_plain_product(
    n_models, n_outputs, m, n, small_product, small_output, unit, is_transpose
):
    """Of any shape, wherever the limits of small products lie, and of a part of a stack."""
    rng = np.random.default_rng(0)
    whole, B = rng.standard_normal((n_models, 2, n_outputs, m)), rng.standard_normal((m, n))
    if is_transpose:
        B = np.asfortranarray(B)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "SMALL_PRODUCT", small_product)
        patch.setattr(products, "SMALL_OUTPUT", small_output)
        patch.setattr(products, "TILE_UNIT", unit)
        for A in (whole[:, 0], whole[:, 0].copy()):
            expected = np.einsum("kij,jl->kil", A, B)
            np.testing.assert_allclose(products._product(A, B), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("m", "n"), [(785, 128), (128, 785), (785, 32), (785, 1024), (197, 128), (5, 7), (1, 785)]
)
def test_tiles_are_whole_registers_wide_and_small_enough(m, n, order):
    """Of many rows one large product is as fast."""
    B = np.empty((m, n), order=order)
    for n_rows in range(2, 100):
        width = products._tile_width(n_rows, B)
        is_small = n_rows * m * n <= products.SMALL_PRODUCT and (
            B.flags.c_contiguous or n_rows * n <= products.SMALL_OUTPUT
        )
        if n_rows > products.MAX_TILED_ROWS or is_small:
            assert width == n
        else:
            assert width < n
            assert width % products.TILE_UNIT == 0
            assert n_rows * m * width <= products.SMALL_PRODUCT
            assert B.flags.c_contiguous or n_rows * width <= products.SMALL_OUTPUT


@pytest.mark.parametrize(
    ("n_models", "n_outputs", "is_tiled"), [(1, 1, False), (1, 3, True), (3, 1, True)]
)
def test_all_but_a_single_row_is_cut_into_tiles_where_that_pays(
    n_models, n_outputs, is_tiled, monkeypatch
):
    """For one row, to ask would take longer than it saves."""
    asked = []
    monkeypatch.setattr(
        products, "_tile_width", lambda n_rows, B: asked.append(n_rows) or B.shape[1]
    )
    products._product(np.ones((n_models, n_outputs, 5)), np.ones((5, 4)))
    assert asked == [3] * is_tiled
