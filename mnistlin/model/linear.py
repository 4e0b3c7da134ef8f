"""The linear model under both heads, for a stack of models that share their inputs.

    X = P / 127.5 - 1               inputs        (n_samples, n_features + 1), in [-1, 1]
    Z = W Xᵀ                        logits        (n_models, n_outputs, n_samples)
    J = C + λ Σ W²                  objective     (n_models,)
    dJ/dW = (ŷ - y) X / n + 2 λ W   gradient      (n_models, n_outputs, n_features + 1)

P are pixels as they come, 0 to 255, with one more that is always white: 255 / 127.5 - 1 = 1 is the
bias input, and the last column of W the bias. It is penalised like any weight (report part 4a).

With u = p / 127.5, the white pixel is u_b = 2, so x = u - u_b / 2 is linear in u, and the functions
below scale the weights, of which there are few, in place of the pixels, of which there are many.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.heads import Floats, Head

WHITE = 255
HALF_RANGE = 127.5

SMALL_PRODUCT = 1_000_000
"""Multiplications up to which OpenBLAS takes its kernels for small matrices."""

MAX_SMALL_ROWS = 24
"""Rows above which one large product is faster than many small ones."""


def pixel_rows(n_rows: int, n_features: int, dtype: str) -> Floats:
    """Return an array for P, of shape (n_rows, n_features + 1), with its white pixels set."""
    return np.full((n_rows, n_features + 1), WHITE, dtype=dtype)


def inputs(P: Floats) -> Floats:
    """Return X of pixels P, both of shape (n_samples, n_features + 1)."""
    return P / HALF_RANGE - 1


def logits(W: Floats, P: Floats) -> Floats:
    """Return Z = W Xᵀ.

    Parameters
    ----------
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    P : ndarray of shape (n_samples, n_features + 1)
        Pixels, the white one last.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_samples)
    """
    V = W / HALF_RANGE
    V[..., -1] -= V.sum(axis=-1) / 2
    return _product(V, P.T)


def gradient(R: Floats, W: Floats, P: Floats, l2_lambdas: Floats) -> Floats:
    """Return dJ/dW = R X / n + 2 λ W.

    Parameters
    ----------
    R : ndarray of shape (n_models, n_outputs, n_samples)
        Residuals ŷ - y.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    P : ndarray of shape (n_samples, n_features + 1)
        Pixels, the white one last.
    l2_lambdas : ndarray of shape (n_models,)
        λ of each model.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_features + 1)
    """
    G = _product(R, P)
    G *= 1 / (HALF_RANGE * P.shape[0])
    G -= G[..., -1:] / 2
    G += 2 * l2_lambdas[:, None, None] * W
    return G


def objective(head: Head, W: Floats, P: Floats, Y: Floats, l2_lambdas: Floats) -> Floats:
    """Return J = C + λ Σ W² of each model, of shape (n_models,), in nats.

    Parameters
    ----------
    head : Head
        What the logits mean.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    P : ndarray of shape (n_samples, n_features + 1)
        Pixels, the white one last.
    Y : ndarray of shape (n_outputs, n_samples)
        One-hot targets.
    l2_lambdas : ndarray of shape (n_models,)
        λ of each model.
    """
    J: Floats = head.losses(logits(W, P), Y).mean(axis=-1) + l2_lambdas * squared_norm(W)
    return J


def squared_norm(W: NDArray[Any]) -> NDArray[np.float64]:
    """Return Σ W² of each model, of shape (...,) for W of shape (..., n_outputs, n_features + 1).

    Summed in float64: its square root is the weight norm, and λ times it the penalty.
    """
    W64 = W.astype(np.float64)
    squares: NDArray[np.float64] = np.einsum("...kd,...kd->...", W64, W64)
    return squares


def _product(A: Floats, B: Floats) -> Floats:
    """Return A B for A of shape (n_models, n_outputs, m) and B of shape (m, n).

    All rows of A go into one product of BLAS, or into several of a few rows each where these are
    so small that OpenBLAS takes its kernels for small matrices: with 10 outputs and 128 images
    that halves the time of a product.
    """
    n_rows = A.shape[0] * A.shape[1]
    grouped = A.reshape(-1, _rows_per_product(n_rows, B.size), A.shape[2])
    product: Floats = np.matmul(grouped, B).reshape(*A.shape[:2], B.shape[1])
    return product


@cache
def _rows_per_product(n_rows: int, cost_per_row: int) -> int:
    """Return the largest divisor of n_rows with which a product is small, or else n_rows."""
    if n_rows > MAX_SMALL_ROWS:
        return n_rows
    small = (
        g for g in range(n_rows, 1, -1) if n_rows % g == 0 and g * cost_per_row <= SMALL_PRODUCT
    )
    return next(small, n_rows)
