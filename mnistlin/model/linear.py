"""The linear model under both heads, for a stack of models that share their inputs.

    X = P / 127.5 - 1               inputs        (n_samples, n_features + 1), in [-1, 1]
    Z = W Xᵀ                        logits        (n_models, n_outputs, n_samples)
    J = C + λ Σ W²                  objective     (n_models,)
    dJ/dW = (ŷ - y) X / n + 2 λ W   gradient      (n_models, n_outputs, n_features + 1)

P are pixels as they come, 0 to 255, with one more that is always white: 255 / 127.5 - 1 = 1 is the
bias input, and the last column of W the bias. It is penalised like any weight (report part 4a).

X is never made: the functions below scale and shift the products with P, which are small, in place
of the pixels, which are many.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.heads import Floats, Head

WHITE = 255
HALF_RANGE = 127.5

SMALL_PRODUCT = 1_000_000
"""Multiplications up to which OpenBLAS takes its kernels for small matrices."""

MAX_TILED_ROWS = 64
"""Rows above which one large product is faster than tiles."""

TILE_UNIT = 16
"""The width of a tile is a multiple of this, the number of float32 in a vector register."""


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
    Z = _product(W, P.T)
    Z *= 1 / HALF_RANGE
    Z -= W.sum(axis=-1, keepdims=True)
    return Z


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
    R = R / P.shape[0]
    G = _product(R / HALF_RANGE, P)
    G -= R.sum(axis=-1, keepdims=True)
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

    All models go into one product of BLAS. Where that is too large for OpenBLAS's kernels for
    small matrices, the columns of B are cut into tiles that are not: with 10 outputs and 128 images
    that halves the time of both products of a step.
    """
    rows, n = A.reshape(-1, A.shape[2]), B.shape[1]
    width = _tile_width(*rows.shape, n)
    if width == n:
        product = np.matmul(rows, B)
    else:
        product, tiled = np.empty((len(rows), n), A.dtype), n - n % width
        np.matmul(rows, _tiles(B[:, :tiled], width), out=_tiles(product[:, :tiled], width))
        np.matmul(rows, B[:, tiled:], out=product[:, tiled:])
    stacked: Floats = product.reshape(*A.shape[:2], n)
    return stacked


def _tiles(M: Floats, width: int) -> Floats:
    """Return a view of M, (m, n), as (n_tiles, m, width)."""
    return M.reshape(len(M), -1, width).swapaxes(0, 1)


def _tile_width(n_rows: int, m: int, n: int) -> int:
    """Return how wide tiles of the columns of a product (n_rows, m) x (m, n) are best."""
    width = SMALL_PRODUCT // (n_rows * m) // TILE_UNIT * TILE_UNIT
    gains = 1 < n_rows <= MAX_TILED_ROWS and 0 < width < n
    return width if gains else n
