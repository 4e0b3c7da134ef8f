"""Fast products with images: the inputs X of the linear model, which are never made.

An input is affine in its pixel, 0 to 255, so the pixels P themselves are multiplied and only the
product, which is far smaller, is scaled:

    X = P / divisor - offset                 (n_samples, n_features + 1)
    A X = (A P) / divisor - offset Σ A       with the row sums of A

The bias is the weight of one more pixel, the same in all images, whose input is 1.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]
"""An array of float32 or float64, as the config says."""


@dataclass(frozen=True)
class Scaling:
    """How a pixel p, 0 to 255, becomes an input: x = p / divisor - offset."""

    divisor: float
    offset: float

    @classmethod
    def standard(cls, mean: float, sd: float) -> "Scaling":
        """Return the scaling x = (p - mean) / sd."""
        return cls(sd, mean / sd)

    @property
    def bias_pixel(self) -> float:
        """The pixel that becomes an input of 1."""
        return (1 + self.offset) * self.divisor


SYMMETRIC = Scaling(divisor=127.5, offset=1.0)
"""To [-1, 1], as in the report; the bias pixel is a white one."""

UNIT = Scaling(divisor=255.0, offset=0.0)
"""To [0, 1]."""


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """Inputs X as the pixels P (n_samples, n_features + 1) they come from, or Xᵀ as Pᵀ."""

    P: Floats
    scaling: Scaling

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of X."""
        return self.P.shape

    @property
    def T(self) -> "Pixels":  # noqa: N802 (as NumPy has it)
        """Xᵀ."""
        return Pixels(self.P.T, self.scaling)

    def to_array(self) -> Floats:
        """Return X."""
        X: Floats = self.P / self.scaling.divisor - self.scaling.offset
        return X


Inputs: TypeAlias = Floats | Pixels
"""X as pixels, or as an array where it is used again and again."""


def times(A: Floats, X: Inputs) -> Floats:
    """Return A X, (n_models, n_outputs, n), for A (n_models, n_outputs, m) and X (m, n)."""
    if not isinstance(X, Pixels):
        return product(A, X)
    AX = product(A, X.P)
    AX *= 1 / X.scaling.divisor
    AX -= X.scaling.offset * A.sum(axis=-1, keepdims=True)
    return AX


def pixel_weights(W: Floats, scaling: Scaling) -> Floats:
    """Return the weights V of pixels, of the shape of W (..., n_features + 1), with V Pᵀ = W Xᵀ.

    This pays in evaluation, where the same weights serve many images. The weight of the bias pixel
    also takes the constant -offset Σ W. A pixel of 0 adds nothing to V Pᵀ, so pixels that are 0 in
    all images can be left out.
    """
    V: Floats = W / scaling.divisor
    constant = scaling.offset * W.sum(axis=-1)
    V[..., -1] = ((1 + scaling.offset) * W[..., -1] - constant) / scaling.bias_pixel
    return V


def input_products(AP: Floats, scaling: Scaling) -> Floats:
    """Return A X from A P, both (..., n_features + 1): the transpose of `pixel_weights`.

    The column of the bias pixel has the row sums of A, times that pixel. A pixel of 0 adds nothing
    to A P, so pixels that are 0 in all images can be left out here too.
    """
    AX: Floats = AP / scaling.divisor - scaling.offset * AP[..., -1:] / scaling.bias_pixel
    return AX


_SMALL_PRODUCT = 1_000_000
"""Multiplications up to which OpenBLAS uses its kernels for small matrices, on AVX-512."""

_SMALL_OUTPUT = 1200
"""Elements of A B up to which it does so if B is not C-contiguous, as Xᵀ is not."""

_MAX_TILED_ROWS = 64
"""Rows of A above which one large product is as fast as tiles."""

_TILE_UNIT = 16
"""The width of a tile is a multiple of this, the number of float32 in a vector register."""


def product(A: Floats, B: Floats) -> Floats:
    """Return A B, (n_models, n_outputs, n), for A (n_models, n_outputs, m) and B (m, n).

    All models share one product of BLAS. Where that is too large for the kernels for small
    matrices, B is cut into tiles of columns that are not: with 10 outputs and 128 images this
    halves the time of both products of a step.
    """
    rows, n = A.reshape(-1, A.shape[2]), B.shape[1]
    width = _tile_width(len(rows), B)
    if width == n:
        AB = np.matmul(rows, B)
    else:
        AB, tiled = np.empty((len(rows), n), A.dtype), n - n % width
        np.matmul(rows, _tiles(B[:, :tiled], width), out=_tiles(AB[:, :tiled], width))
        np.matmul(rows, B[:, tiled:], out=AB[:, tiled:])
    stacked: Floats = AB.reshape(*A.shape[:2], n)
    return stacked


def _tiles(M: Floats, width: int) -> Floats:
    """Return a view of M (m, n) as (n_tiles, m, width)."""
    return M.reshape(len(M), -1, width).swapaxes(0, 1)


def _tile_width(n_rows: int, B: Floats) -> int:
    """Return how many columns of B (m, n) to multiply at a time by n_rows rows."""
    m, n = B.shape
    max_elements = _SMALL_PRODUCT // m
    if not B.flags.c_contiguous:
        max_elements = min(max_elements, _SMALL_OUTPUT)
    width: int = max_elements // n_rows // _TILE_UNIT * _TILE_UNIT
    has_gain = n_rows <= _MAX_TILED_ROWS and 0 < width < n
    return width if has_gain else n
