"""Fast products with the inputs X of the linear model, without computing X itself.

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
    def mean(self) -> float:
        """The pixel value that becomes an input of 0."""
        return self.offset * self.divisor

    @property
    def bias_pixel(self) -> float:
        """The pixel value that becomes an input of 1."""
        return (1 + self.offset) * self.divisor


SYMMETRIC = Scaling(divisor=127.5, offset=1.0)
"""To [-1, 1], as in the report; the bias pixel is white."""

UNIT = Scaling(divisor=255.0, offset=0.0)
"""To [0, 1]."""

FIXED_SCALINGS = {"symmetric": SYMMETRIC, "unit": UNIT}
"""The scalings that are not measured, by their names in the config."""


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
    def T(self) -> "Pixels":  # noqa: N802 (NumPy's name)
        """Xᵀ."""
        return Pixels(self.P.T, self.scaling)

    def to_array(self) -> Floats:
        """Return X."""
        X: Floats = self.P / self.scaling.divisor - self.scaling.offset
        return X


def times(A: Floats, X: Pixels) -> Floats:
    """Return A X, (n_models, n_outputs, n), for A (n_models, n_outputs, m) and X (m, n)."""
    AP, row_sums = product(A, X.P), A.sum(axis=-1, keepdims=True)
    AX: Floats = AP * (1 / X.scaling.divisor) - X.scaling.offset * row_sums
    return AX


def pixel_weights(W: Floats, scaling: Scaling) -> Floats:
    """Return the weights V of pixels, of the shape of W (..., n_features + 1), with V Pᵀ = W Xᵀ.

    This saves time in evaluation, where the same weights are used for many images. The weight of
    the bias pixel also takes the constant -offset Σ W. A pixel of 0 adds nothing to V Pᵀ, so pixels
    that are 0 in all images can be left out.
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


def product(A: Floats, B: Floats) -> Floats:
    """Return A B, (n_models, n_outputs, n), for A (n_models, n_outputs, m) and B (m, n).

    All models share one BLAS call.
    """
    AB: Floats = np.matmul(A.reshape(-1, A.shape[2]), B).reshape(*A.shape[:2], B.shape[1])
    return AB
