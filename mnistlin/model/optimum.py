"""Where the objective is lowest: L-BFGS on a whole training set, in float64.

J is convex, so whoever goes downhill ends at the same value. With λ > 0 it is strongly convex too:
there is one minimum, and the gradient bounds how far above it one stands. With λ = 0 there need be
none: see `Place.separates`.

Samples are read in blocks, and only a block of them is ever held as floats.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from mnistlin.model.linear import Head, gradient, logits, objective, squared_norm
from mnistlin.model.products import Floats, Pixels

TOLERANCE = 1e-6
"""Norm of the gradient below which the search ends."""

MAX_ITERATIONS = 1000

BLOCK_ROWS = 2048

MEMORY = 20
"""Pairs of steps and gradients from which L-BFGS guesses the curvature."""

RIDGE = 1e-4
"""Added to the diagonal of the curvature; without it, pixels that are always black have none."""

ReadPixels: TypeAlias = Callable[[NDArray[np.intp]], Pixels]
"""From indices (n,) of samples to their inputs X (n, n_features + 1), as pixels."""


@dataclass(frozen=True)
class Place:
    """The objective, seen from some weights.

    Attributes
    ----------
    weights : ndarray of shape (n_outputs, n_features + 1)
        Where this is.
    value : float
        J, in nats.
    gradient : ndarray of shape (n_outputs, n_features + 1)
        dJ/dW.
    largest_loss : float
        Of all samples, the largest cross entropy, in nats.
    """

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
        """Whether every sample's true class gets more than half of the probability.

        Then its logit is above all others, and the loss of every sample falls to 0 along t W for
        t → ∞: without a penalty J comes as near to 0 as one likes and is never 0, so it has no
        minimum (Albert and Anderson 1984).
        """
        return self.largest_loss < float(np.log(2))


@dataclass(frozen=True)
class Descent:
    """The end of a search for the minimum.

    Attributes
    ----------
    place : Place
        The lowest place that was found.
    has_converged : bool
        Whether the norm of the gradient is below the tolerance there.
    n_iterations : int
        Steps of L-BFGS.
    """

    place: Place
    has_converged: bool
    n_iterations: int


@dataclass(frozen=True)
class Objective:
    """J of one model on a whole set, in float64.

    Attributes
    ----------
    head : Head
        What the logits mean.
    read : callable
        Gives the pixels of some samples, as float64.
    targets : ndarray of shape (n_samples,)
        Class indices.
    n_classes : int
        Number of classes.
    l2_lambda : float
        λ of the penalty.
    """

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
        """Return J and its gradient at weights of shape (n_outputs, n_features + 1).

        J of the whole set is the mean of the J of its blocks, weighted by their sizes; so is the
        gradient.
        """
        W = weights[None].astype(np.float64)
        J, G, largest = 0.0, np.zeros_like(W), 0.0
        for share, X, Y in self._blocks():
            Z = logits(W, X)
            losses = self.head.losses(Z, Y)
            J += share * float(losses.mean())
            G += share * gradient(self.head.predict(Z) - Y, W, X, np.array([self.l2_lambda]))
            largest = max(largest, float(losses.max()))
        J += self.l2_lambda * float(squared_norm(W)[0])
        return Place(W[0], J, G[0], largest)

    def values(self, weights: Floats) -> NDArray[np.float64]:
        """Return J of each of a stack of weights (n_models, n_outputs, n_features + 1)."""
        l2_lambdas = np.full(len(weights), self.l2_lambda)
        J = np.zeros(len(weights))
        for share, X, Y in self._blocks():
            J += share * objective(self.head, weights, X, Y, l2_lambdas)
        return J

    def curvature(self) -> NDArray[np.float64]:
        """Return the second derivative of J at W = 0 for one output, (n_features + 1) square.

        At W = 0 all classes are equally likely, and the block of an output is p (1 - p) Xᵀ X / n +
        2 λ with p = 1/2 (logistic) or about 1 / n_classes (softmax, save for blocks beside it).
        """
        inputs_of_blocks = ((share, X.to_array()) for share, X, _ in self._blocks())
        moments = sum((share * (X.T @ X) / len(X) for share, X in inputs_of_blocks), np.zeros(()))
        p = 1 / self.n_classes
        return p * (1 - p) * moments + 2 * self.l2_lambda * np.eye(len(moments))

    def _blocks(self) -> Iterator[tuple[float, Pixels, Floats]]:
        """Yield which share of all samples a block is, its inputs, and its one-hot targets."""
        for first in range(0, self.n_samples, BLOCK_ROWS):
            samples = np.arange(first, min(first + BLOCK_ROWS, self.n_samples))
            Y = self.head.one_hot(self.targets[samples], self.n_classes, "float64")
            yield len(samples) / self.n_samples, self.read(samples), Y


def minimise(
    objective: Objective,
    start: Floats,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Descent:
    """Go downhill until the gradient vanishes, or until it is clear that there is no minimum.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    start : ndarray of shape (n_outputs, n_features + 1)
        Where to begin.
    tolerance : float
        Norm of the gradient at which to end.
    max_iterations : int
        Steps of L-BFGS at most.

    Returns
    -------
    Descent
        Where the search ended. With λ = 0 it ends at weights that separate the classes, if it
        comes upon some.

    Notes
    -----
    L-BFGS (Liu and Nocedal 1989) takes its steps in coordinates V = W L, where L Lᵀ is the
    curvature at W = 0. There it is the same in all directions, at least near 0, which saves three
    steps of four.
    """
    curvature = objective.curvature()
    L = linalg.cholesky(curvature + RIDGE * np.eye(len(curvature)), lower=True)
    place = objective.at(start)

    def weights_of(v: NDArray[np.float64]) -> NDArray[np.float64]:
        V = v.reshape(start.shape)
        return linalg.solve_triangular(L, V.T, lower=True, trans="T").T

    def value_and_gradient(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal place
        place = objective.at(weights_of(v))
        return place.value, linalg.solve_triangular(L, place.gradient.T, lower=True).T.ravel()

    def end_if_done(xk: NDArray[np.float64]) -> None:  # noqa: ARG001 (SciPy insists on it)
        has_no_minimum = place.separates and not objective.l2_lambda
        if has_no_minimum or place.gradient_norm < tolerance:
            raise StopIteration

    result = optimize.minimize(
        value_and_gradient,
        (start @ L).ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=end_if_done,
        options={"maxcor": MEMORY, "maxiter": max_iterations, "ftol": 0.0, "gtol": 0.0},
    )
    place = objective.at(weights_of(result.x))
    return Descent(place, place.gradient_norm < tolerance, int(result.nit))
