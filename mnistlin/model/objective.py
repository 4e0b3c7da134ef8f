"""The objective J of one model on a full set of samples: its value and its derivatives.

Samples are read in blocks of one class, and only one block at a time is held as floats. All weights
and gradients here are those of one model, (n_features + 1, n_outputs).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.linear import Head, squared_norm, stack, unstack
from mnistlin.model.products import Floats, Scaling, input_products, pixel_weights, product


@dataclass(frozen=True, eq=False, slots=True)
class PixelBlock:
    """Samples of class k; `pixels` (n, m) are the given columns of P, and all others are 0.

    `columns` (m,) ends with the bias pixel; None means all columns of P.
    """

    k: int
    pixels: Floats
    columns: NDArray[np.intp] | None

    def weights(self, V: Floats) -> Floats:
        """Return `columns` of V (..., n_features + 1), of shape (..., m)."""
        return V if self.columns is None else V[..., self.columns]

    def add_product(self, A: Floats, to: Floats) -> None:
        """Add A P, for A (n_models, n_outputs, n), to an array (..., n_features + 1)."""
        to[..., slice(None) if self.columns is None else self.columns] += product(A, self.pixels)


@dataclass(frozen=True, eq=False)
class Samples:
    """A labelled set of images; `read` yields it as floats of some dtype, block by block.

    Each block is valid until the next one is read.
    """

    read: Callable[[str], Iterable[PixelBlock]]
    n_samples: int
    n_features: int
    n_classes: int
    scaling: Scaling

    @cached_property
    def moments(self) -> NDArray[np.float64]:
        """Second moments Xᵀ X / n of the inputs, (n_features + 1) square."""
        PP = np.zeros((self.n_features + 1, self.n_features + 1))
        for block in self.read("float64"):
            every = np.arange(len(PP)) if block.columns is None else block.columns
            PP[np.ix_(every, every)] += block.pixels.T @ block.pixels
        XP = input_products(PP, self.scaling).T
        moments: NDArray[np.float64] = input_products(XP, self.scaling) / self.n_samples
        return moments


@dataclass(frozen=True)
class Place:
    """The objective J in nats and its gradient at some weights, and the largest sample loss."""

    weights: NDArray[np.float64]
    value: float
    gradient: NDArray[np.float64]
    largest_loss: float

    @property
    def gradient_norm(self) -> float:
        """Frobenius norm of the gradient."""
        return float(np.linalg.norm(self.gradient))

    @property
    def separates(self) -> bool:
        """Whether the true class of every sample has more than half of the probability.

        Then its logit is above all others, and the loss of every sample tends to 0 along t W for
        t → ∞: without a penalty J has the infimum 0 and no minimum (Albert and Anderson 1984).
        """
        return self.largest_loss < float(np.log(2))


@dataclass(frozen=True)
class Objective:
    """J of one model on a full set of samples."""

    head: Head
    samples: Samples
    l2_lambda: float

    def at(self, weights: Floats, dtype: str = "float64") -> Place:
        """Return J and its gradient; products are of some dtype, and their sums of float64."""
        W = stack(weights.astype(np.float64))
        C, largest, RP = 0.0, 0.0, np.zeros_like(W)
        for block, Z, Y in self.logits(W, dtype):
            losses = self.head.losses(Z, Y)
            C += float(losses.sum(dtype=np.float64))
            largest = max(largest, float(losses.max()))
            block.add_product(self.head.residual(Z, Y), to=RP)
        J = C / self.samples.n_samples + self.l2_lambda * float(squared_norm(W)[0])
        return Place(unstack(W[0]), J, unstack(self._mean_product(RP, W)[0]), largest)

    def values(self, weights: Floats) -> NDArray[np.float64]:
        """Return J, (n_models,), of several weights (n_models, n_features + 1, n_outputs)."""
        W = stack(*weights.astype(np.float64))
        C = np.zeros(len(W))
        with threadpool_limits(1, "blas"):
            for _, Z, Y in self.logits(W, "float64"):
                C += self.head.losses(Z, Y).sum(axis=-1)
        return C / self.samples.n_samples + self.l2_lambda * squared_norm(W)

    def hessian_times(self, weights: Floats, change: Floats, dtype: str = "float64") -> Floats:
        """Return the Hessian of J at some weights times a change D of them, of the same shape.

        D changes the logits by U = D Xᵀ, so the product is (d²C/dZ² U) X / n + 2 λ D.
        """
        W, D = stack(weights.astype(np.float64)), stack(change.astype(np.float64))
        MP = np.zeros_like(W)
        for block, ZU, _ in self.logits(np.concatenate([W, D]), dtype):
            block.add_product(self.head.curvature_times(ZU[:1], ZU[1:]), to=MP)
        return unstack(self._mean_product(MP, D)[0])

    def curvature(self) -> NDArray[np.float64]:
        """Return the second derivative of J at W = 0 for one output, (n_features + 1) square.

        It is c Xᵀ X / n + 2 λ, where c is the curvature of the loss; for several outputs there are
        also blocks beside it, which are neglected.
        """
        c, moments = self.head.curvature_at_zero(self.samples.n_classes), self.samples.moments
        return c * moments + 2 * self.l2_lambda * np.eye(len(moments))

    def logits(self, W: Floats, dtype: str) -> Iterator[tuple[PixelBlock, Floats, Floats]]:
        """Yield each block, its logits (n_models, n_outputs, n), and its targets (n_outputs, 1)."""
        V = pixel_weights(W, self.samples.scaling).astype(dtype)
        for block in self.samples.read(dtype):
            Y = self.head.one_hot(np.array([block.k]), self.samples.n_classes, dtype)
            yield block, product(block.weights(V), block.pixels.T), Y

    def _mean_product(self, AP: Floats, W: Floats) -> Floats:
        """Return A X / n + 2 λ W from A P: a derivative of J along A, with that of the penalty."""
        AX = input_products(AP, self.samples.scaling)
        mean: Floats = AX / self.samples.n_samples + 2 * self.l2_lambda * W
        return mean
