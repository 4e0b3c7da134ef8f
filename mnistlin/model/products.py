"""The inputs X of the linear model, and products with them.

    X = P / 127.5 - 1        (n_samples, n_features + 1), in [-1, 1]

P are pixels as they come, 0 to 255, with one more that is always white: 255 / 127.5 - 1 = 1 is the
bias input.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]
"""An array of float32 or float64, as the config says."""

WHITE = 255
HALF_RANGE = 127.5

SMALL_PRODUCT = 1_000_000
"""Multiplications up to which OpenBLAS takes its kernels for small matrices, on AVX-512."""

SMALL_OUTPUT = 1200
"""Elements of A B up to which it does so if B lies in memory as a transpose, as Xᵀ does: with 10
outputs and 14 x 14 pixels, that halves the time of the logits."""

MAX_TILED_ROWS = 64
"""Rows of A above which one large product is as fast as tiles."""

TILE_UNIT = 16
"""The width of a tile is a multiple of this, the number of float32 in a vector register."""


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """Inputs X as the pixels P that they come from.

    A batch is used once, and then it is cheaper to scale products with P than P itself, which is
    larger: A X = A P / 127.5 - A 1. With X made, a softmax step would take half as long again.

    Attributes
    ----------
    P : ndarray of shape (n_samples, n_features + 1), or its transpose
        The pixels, the white one last.
    """

    P: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of X."""
        return self.P.shape

    @property
    def T(self) -> "Pixels":  # noqa: N802 (as NumPy has it)
        """Xᵀ."""
        return Pixels(self.P.T)

    def to_array(self) -> Floats:
        """Return X."""
        return self.P / HALF_RANGE - 1


Inputs: TypeAlias = Floats | Pixels
"""X as pixels, or as an array where it is used again and again."""


def times(A: Floats, X: Inputs) -> Floats:
    """Return A X.

    Parameters
    ----------
    A : ndarray of shape (n_models, n_outputs, m)
        A stack of matrices.
    X : ndarray or Pixels, of shape (m, n)
        Inputs, or their transpose.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n)
    """
    if not isinstance(X, Pixels):
        return _product(A, X)
    AX = _product(A, X.P)
    AX *= 1 / HALF_RANGE
    AX -= A.sum(axis=-1, keepdims=True)
    return AX


def pixel_weights(W: Floats) -> Floats:
    """Return the weights V of pixels with V Pᵀ = W Xᵀ.

    W Xᵀ = W Pᵀ / 127.5 - Σ W, so V = W / 127.5, but for the white pixel, whose weight v also takes
    the constant: 255 v = 2 w - Σ W. This pays in evaluation, where W serves many images.

    A black pixel, p = 0, adds nothing to V Pᵀ; where all images have it black, it can be left out.

    Parameters
    ----------
    W : ndarray of shape (..., n_features + 1)
        Weights, the bias last.

    Returns
    -------
    ndarray of shape (..., n_features + 1)
    """
    V: Floats = W / HALF_RANGE
    V[..., -1] = (2 * W[..., -1] - W.sum(axis=-1)) / WHITE
    return V


def _product(A: Floats, B: Floats) -> Floats:
    """Return A B for A of shape (n_models, n_outputs, m) and B of shape (m, n).

    All models go into one product of BLAS. Where that is too large for OpenBLAS's kernels for
    small matrices, the columns of B are cut into tiles that are not: with 10 outputs and 128 images
    that halves the time of both products of a step. A single row needs neither; to pass it on as it
    is saves a seventh of a binary step.
    """
    if A.size == A.shape[2]:  # one model with one output
        single: Floats = np.matmul(A, B)
        return single
    rows, n = A.reshape(-1, A.shape[2]), B.shape[1]
    width = _tile_width(len(rows), B)
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


def _tile_width(n_rows: int, B: Floats) -> int:
    """Return how many columns of B, (m, n), are best multiplied at a time by n_rows rows."""
    m, n = B.shape
    max_elements = SMALL_PRODUCT // m
    if not B.flags.c_contiguous:
        max_elements = min(max_elements, SMALL_OUTPUT)
    width: int = max_elements // n_rows // TILE_UNIT * TILE_UNIT
    gains = n_rows <= MAX_TILED_ROWS and 0 < width < n
    return width if gains else n
