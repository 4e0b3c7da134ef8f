"""The minimum of the objective: L-BFGS on a full training set, in float64.

J is convex, so all minima have the same value. With λ > 0 it is strongly convex: there is one
minimum, and the norm of the gradient bounds the distance to its value. With λ = 0 there may be
none: see `Place.separates`.

Samples are read in blocks, and only one block at a time is held as floats. All weights and
gradients here are those of one model, (n_features + 1, n_outputs).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from mnistlin.model.linear import Head, gradient, logits, objective, squared_norm, stack, unstack
from mnistlin.model.products import Floats, Pixels

BLOCK_ROWS = 2048

_TOLERANCE = 1e-6
"""Norm of the gradient below which the search ends."""

_MAX_ITERATIONS = 1000

_MEMORY = 20
"""Pairs of steps and gradients from which L-BFGS estimates the curvature."""

_RIDGE = 1e-4
"""Added to the diagonal of the curvature; pixels that are always black may have none."""

ReadPixels: TypeAlias = Callable[[NDArray[np.intp]], Pixels]
"""From indices (n,) of samples to their inputs X (n, n_features + 1)."""


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
class Descent:
    """The result of the optimizer: the lowest place found after some steps of L-BFGS."""

    place: Place
    has_converged: bool
    n_iterations: int


@dataclass(frozen=True)
class Objective:
    """J of one model on a full set of samples, in float64; `read` gives the pixels as float64."""

    head: Head
    read: ReadPixels
    targets: NDArray[np.intp]
    n_classes: int
    l2_lambda: float

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def at(self, weights: Floats) -> Place:
        """Return J and its gradient, each the mean over all blocks, weighted by their sizes."""
        W = stack(weights.astype(np.float64))
        J, G, largest = 0.0, np.zeros_like(W), 0.0
        for share, X, Y in self._blocks():
            Z = logits(W, X)
            losses = self.head.losses(Z, Y)
            J += share * float(losses.mean())
            G += share * gradient(self.head.residual(Z, Y), W, X, np.array([self.l2_lambda]))
            largest = max(largest, float(losses.max()))
        J += self.l2_lambda * float(squared_norm(W)[0])
        return Place(unstack(W[0]), J, unstack(G[0]), largest)

    def values(self, weights: Floats) -> NDArray[np.float64]:
        """Return J, (n_models,), of several weights (n_models, n_features + 1, n_outputs)."""
        W = stack(*weights)
        l2_lambdas = np.full(len(W), self.l2_lambda)
        J = np.zeros(len(W))
        for share, X, Y in self._blocks():
            J += share * objective(self.head, W, X, Y, l2_lambdas)
        return J

    def curvature(self) -> NDArray[np.float64]:
        """Return the second derivative of J at W = 0 for one output, (n_features + 1) square.

        It is c Xᵀ X / n + 2 λ, where c is the curvature of the loss; for several outputs there are
        also blocks beside it, which are neglected.
        """
        inputs_of_blocks = ((share, X.to_array()) for share, X, _ in self._blocks())
        moments = sum((share * (X.T @ X) / len(X) for share, X in inputs_of_blocks), np.zeros(()))
        c = self.head.curvature_at_zero(self.n_classes)
        return c * moments + 2 * self.l2_lambda * np.eye(len(moments))

    def _blocks(self) -> Iterator[tuple[float, Pixels, Floats]]:
        """Yield the share of all samples in a block, its inputs, and its one-hot targets."""
        for first in range(0, self.n_samples, BLOCK_ROWS):
            samples = np.arange(first, min(first + BLOCK_ROWS, self.n_samples))
            Y = self.head.one_hot(self.targets[samples], self.n_classes, "float64")
            yield len(samples) / self.n_samples, self.read(samples), Y


def minimise(
    objective: Objective,
    start: Floats,
    tolerance: float = _TOLERANCE,
    max_iterations: int = _MAX_ITERATIONS,
) -> Descent:
    """Search for the minimum until the gradient vanishes or weights prove that there is none.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    start : ndarray of shape (n_features + 1, n_outputs)
        Where to begin.
    tolerance : float
        Norm of the gradient at which to end.
    max_iterations : int
        Steps of L-BFGS at most.

    Returns
    -------
    Descent
        Where the search ended. With λ = 0 it ends at the first weights that separate the classes.

    Notes
    -----
    L-BFGS (Liu and Nocedal 1989) takes its steps in coordinates V = Lᵀ W, where L Lᵀ is the
    curvature at W = 0. There the curvature is the same in all directions, at least near 0, which
    takes a quarter of the steps.
    """
    curvature = objective.curvature()
    L = linalg.cholesky(curvature + _RIDGE * np.eye(len(curvature)), lower=True)
    place = objective.at(start)

    def weights_of(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return linalg.solve_triangular(L, v.reshape(start.shape), lower=True, trans="T")

    def value_and_gradient(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal place
        place = objective.at(weights_of(v))
        return place.value, linalg.solve_triangular(L, place.gradient, lower=True).ravel()

    def end_if_done(xk: NDArray[np.float64]) -> None:  # noqa: ARG001 (SciPy insists on it)
        has_no_minimum = place.separates and not objective.l2_lambda
        if has_no_minimum or place.gradient_norm < tolerance:
            raise StopIteration

    result = optimize.minimize(
        value_and_gradient,
        (L.T @ start).ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=end_if_done,
        options={"maxcor": _MEMORY, "maxiter": max_iterations, "ftol": 0.0, "gtol": 0.0},
    )
    place = objective.at(weights_of(result.x))
    return Descent(place, place.gradient_norm < tolerance, int(result.nit))
