"""The objective J on a full set of samples: its value, gradient and curvature at some weights.

All weights and gradients here are those of one model, (n_features + 1, n_outputs), unless they are
called a stack. Samples are read in blocks, on all cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.heads import Head
from mnistlin.model.linear import squared_norm, stack, unstack
from mnistlin.model.products import Floats, input_products, pixel_weights, product
from mnistlin.model.samples import Block, Samples

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Point:
    """The objective J and its gradient at some weights, and the largest sample loss."""

    weights: NDArray[np.float64]
    value: float
    gradient: NDArray[np.float64]
    largest_loss: float
    separates: bool
    """Whether these weights prove that J has no minimum without a penalty."""

    @property
    def gradient_norm(self) -> float:
        """Frobenius norm of the gradient."""
        return float(np.linalg.norm(self.gradient))


@dataclass(frozen=True)
class Objective:
    """J of one model on a full set of samples."""

    head: Head
    samples: Samples
    l2_lambda: float

    def at(self, weights: Floats, dtype: str = "float64") -> Point:
        """Return J and its gradient; products have this dtype, their sums float64."""
        W = stack(weights.astype(np.float64))

        def of_block(block: Block, P: Floats, Z: Floats) -> tuple[float, float, Floats]:
            Y = self.head.one_hot(block.targets, self.samples.n_classes, dtype)
            losses = self.head.losses(Z, Y)
            RP = self._all_columns(block, product(self.head.residual(Z, Y), P))
            return float(losses.sum(dtype=np.float64)), float(losses.max()), RP

        C, largest, RP = zip(*self.map(of_block, W, dtype), strict=True)
        J = sum(C) / self.samples.n_samples + self.l2_lambda * float(squared_norm(W)[0])
        G = unstack(self._mean_product(np.sum(RP, axis=0), W)[0])
        return Point(unstack(W[0]), J, G, max(largest), self.head.separates(max(largest)))

    def values(self, weights: Floats) -> NDArray[np.float64]:
        """Return J, (n_models,), of several weights (n_models, n_features + 1, n_outputs)."""
        W = stack(*weights.astype(np.float64))

        def of_block(block: Block, _: Floats, Z: Floats) -> NDArray[np.float64]:
            Y = self.head.one_hot(block.targets, self.samples.n_classes, "float64")
            C: NDArray[np.float64] = self.head.losses(Z, Y).sum(axis=-1)
            return C

        with threadpool_limits(1, "blas"):
            C = np.sum(self.map(of_block, W, "float64"), axis=0)
        J: NDArray[np.float64] = C / self.samples.n_samples + self.l2_lambda * squared_norm(W)
        return J

    def hessian(self, weights: Floats, dtype: str = "float64") -> Callable[[Floats], Floats]:
        """Return a function that multiplies a change D of some weights by the Hessian of J at them.

        D changes the logits by U = D Xᵀ, so the product is (d²C/dZ² U) X / n + 2 λ D.
        """
        logits = self.map(lambda _, P, Z: Z, stack(weights.astype(np.float64)), dtype)  # noqa: ARG005

        def of_block(block: Block, P: Floats, U: Floats, Z: Floats) -> Floats:
            return self._all_columns(block, product(self.head.curvature_times(Z, U), P))

        def times(change: Floats) -> Floats:
            D = stack(change.astype(np.float64))
            MP = np.sum(self.map(of_block, D, dtype, logits), axis=0)
            return unstack(self._mean_product(MP, D)[0])

        return times

    def curvatures(self, weights: Floats) -> NDArray[np.float32]:
        """Return an estimate of the Hessian of J for each output, (n_outputs, n, n) of n weights.

        It is Xᵀ diag(m) X / n_samples + 2 λ with the m of `Head.curvature_of_outputs`.
        """
        W, n_weights = stack(weights.astype(np.float64)), self.samples.n_features + 1
        of_outputs = self.map(
            lambda _, P, Z: self.head.curvature_of_outputs(Z)[0],  # noqa: ARG005
            W,
            "float32",
        )
        PP = np.zeros((W.shape[1], n_weights**2), np.float32)
        n_threads = self.samples.n_threads

        def add_blocks(outputs: range) -> None:
            for (block, P), M in zip(self.samples.read("float32"), of_outputs, strict=True):
                columns = np.arange(n_weights) if block.columns is None else block.columns
                cells = columns[:, None] * n_weights + columns
                for k in outputs:
                    A = P * np.sqrt(M[k])[:, None]
                    PP[k][cells] += A.T @ A

        with ThreadPoolExecutor(n_threads) as pool:
            parts = (range(first, len(PP), n_threads) for first in range(n_threads))
            list(pool.map(add_blocks, parts))
        H = PP.reshape(-1, n_weights, n_weights)  # replaced in place: it is large
        for of_output in H:
            XP = input_products(of_output, self.samples.scaling).T
            of_output[:] = self._mean_product(XP, np.eye(n_weights, dtype=np.float32))
        return H

    def map(
        self, work: Callable[..., _Result], W: Floats, dtype: str, *others: Sequence[Any]
    ) -> list[_Result]:
        """Return `Samples.map` of a function whose third argument is the logits of a stack.

        They are (n_models, n_outputs, n) for each block.
        """
        V = pixel_weights(W, self.samples.scaling).astype(dtype)

        def of_block(block: Block, P: Floats, *items: Any) -> _Result:
            return work(block, P, product(block.weights(V), P.T), *items)

        return self.samples.map(of_block, dtype, *others)

    def _all_columns(self, block: Block, AP: Floats) -> NDArray[np.float64]:
        """Return A P of a block with zeros for the pixels that it leaves out."""
        if block.columns is None:
            return AP.astype(np.float64)
        whole = np.zeros((*AP.shape[:-1], self.samples.n_features + 1))
        whole[..., block.columns] = AP
        return whole

    def _mean_product(self, AP: Floats, W: Floats) -> Floats:
        """Return A X / n + 2 λ W from A P: a derivative of J along A, penalty included."""
        AX = input_products(AP, self.samples.scaling)
        mean: Floats = AX / self.samples.n_samples + 2 * self.l2_lambda * W
        return mean
