"""The minimum of the objective, found on a full set of samples: L-BFGS, then Newton's method.

J is convex, so all minima have the same value. With λ > 0 it is strongly convex: there is one
minimum, and the norm of the gradient bounds the distance to its value. With λ = 0 there may be
none: see `Place.separates`.

Samples are read in blocks of one class, and only one block at a time is held as floats. All weights
and gradients here are those of one model, (n_features + 1, n_outputs).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.sparse.linalg import LinearOperator, cg
from threadpoolctl import threadpool_limits

from mnistlin.model.linear import Head, squared_norm, stack, unstack
from mnistlin.model.products import Floats, Scaling, input_products, pixel_weights, product

_TOLERANCE = 1e-6
"""Norm of the gradient below which the search ends."""

_LBFGS_TOLERANCE = 1e-4
"""Norm of the gradient down to which float32 resolves differences of J."""

_NEWTON_REDUCTION = 1e-3
"""Factor by which a Newton step reduces the gradient, unless the tolerance requires less."""

_MAX_TRIALS = 5
"""Trial points of an L-BFGS line search; if none is lower, float32 rounding is the cause."""

_MAX_HALVINGS = 30

_MAX_ITERATIONS = 1000

_MEMORY = 20
"""Pairs of steps and gradients from which L-BFGS estimates the curvature."""

_RIDGE = 1e-4
"""Added to the diagonal of the curvature; pixels that are always black may have none."""


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
class Descent:
    """The result of the optimizer: where it ended, and after how many steps."""

    place: Place
    has_converged: bool
    n_iterations: int


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


def minimise(
    objective: Objective,
    start: Floats,
    tolerance: float = _TOLERANCE,
    max_iterations: int = _MAX_ITERATIONS,
    on_pass: Callable[[], object] = lambda: None,
) -> Descent:
    """Search for the minimum until the gradient vanishes or weights prove that there is none.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    start : ndarray of shape (n_features + 1, n_outputs)
        Starting point.
    tolerance : float
        Norm of the gradient at which to end.
    max_iterations : int
        Maximum number of steps.
    on_pass : callable
        Called after each pass over the samples.

    Returns
    -------
    Descent
        Where the search ended. With λ = 0 it ends at the first weights that separate the classes.

    Notes
    -----
    L-BFGS (Liu and Nocedal 1989) approaches the minimum in float32, which halves the time. Newton
    steps then find the last digits: their gradients are computed in float64, and the many products
    with the Hessian that conjugate gradients need, which only affect the direction, in float32.

    Both work in coordinates V = Lᵀ W, where L Lᵀ is the curvature at W = 0. There the curvature is
    the same in all directions, at least near 0, which takes a quarter of the steps.
    """
    with threadpool_limits(1, "blas"):
        return _Search(objective, start, tolerance, max_iterations, on_pass).run()


def minima(
    objective: Objective,
    l2_lambdas: Iterable[float],
    tolerance: float = _TOLERANCE,
    on_pass: Callable[[], object] = lambda: None,
) -> Iterator[tuple[float, Descent]]:
    """Yield each λ, from the largest down, and the search for its minimum from the one before."""
    samples = objective.samples
    n_outputs = objective.head.n_outputs(samples.n_classes)
    W = np.zeros((samples.n_features + 1, n_outputs))
    for l2_lambda in sorted(l2_lambdas, reverse=True):
        penalised = replace(objective, l2_lambda=l2_lambda)
        found = minimise(penalised, W, tolerance, on_pass=on_pass)
        W = found.place.weights
        yield l2_lambda, found


class _Search:
    """The search of `minimise`: the place it has reached, and the coordinates that it uses."""

    def __init__(
        self,
        objective: Objective,
        start: Floats,
        tolerance: float,
        max_iterations: int,
        on_pass: Callable[[], object],
    ) -> None:
        self._objective, self._tolerance, self._on_pass = objective, tolerance, on_pass
        self._n_left = self._max_iterations = max_iterations
        curvature = objective.curvature()
        self._L = linalg.cholesky(curvature + _RIDGE * np.eye(len(curvature)), lower=True)
        self._place = objective.at(start)

    def run(self) -> Descent:
        """Search until it is done or has no steps left."""
        if not self._is_done(_LBFGS_TOLERANCE):
            self._lbfgs()
        while self._n_left and not self._is_done() and self._newton_step():
            self._n_left -= 1
        has_converged = self._place.gradient_norm < self._tolerance
        return Descent(self._place, has_converged, self._max_iterations - self._n_left)

    def _is_done(self, tolerance: float = 0.0) -> bool:
        has_no_minimum = self._place.separates and not self._objective.l2_lambda
        return has_no_minimum or self._place.gradient_norm < max(tolerance, self._tolerance)

    def _lbfgs(self) -> None:
        def value_and_gradient(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            self._place = self._at(self._weights(v), "float32")
            return self._place.value, self._along(self._place.gradient)

        def end_if_done(xk: NDArray[np.float64]) -> None:  # noqa: ARG001 (SciPy insists on it)
            if self._is_done(_LBFGS_TOLERANCE):
                raise StopIteration

        result = optimize.minimize(
            value_and_gradient,
            (self._L.T @ self._place.weights).ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=end_if_done,
            options={
                "maxcor": _MEMORY,
                "maxiter": self._n_left,
                "maxls": _MAX_TRIALS,
                "ftol": 0.0,
                "gtol": 0.0,
            },
        )
        self._n_left -= int(result.nit)
        self._place = self._at(self._weights(result.x))

    def _newton_step(self) -> bool:
        """Take a damped Newton step; return whether it has reduced the norm of the gradient."""
        place, size = self._place, self._place.weights.size

        def hessian_times(v: NDArray[np.float64]) -> NDArray[np.float64]:
            change = self._weights(v)
            product = self._objective.hessian_times(place.weights, change, "float32")
            self._on_pass()
            return self._along(product)

        reduction = max(_NEWTON_REDUCTION, self._tolerance / place.gradient_norm / 2)
        hessian = LinearOperator((size, size), matvec=hessian_times, dtype=np.float64)
        v, _ = cg(hessian, -self._along(place.gradient), rtol=reduction, maxiter=size)
        step = self._weights(v)
        for _ in range(_MAX_HALVINGS):
            self._place = self._at(place.weights + step)
            if self._place.gradient_norm < place.gradient_norm:
                return True
            step /= 2
        self._place = place
        return False

    def _at(self, weights: Floats, dtype: str = "float64") -> Place:
        place = self._objective.at(weights, dtype)
        self._on_pass()
        return place

    def _weights(self, v: NDArray[np.float64]) -> Floats:
        """Return the weights at coordinates V, given as one row."""
        V = v.reshape(self._place.weights.shape)
        W: Floats = linalg.solve_triangular(self._L, V, lower=True, trans="T")
        return W

    def _along(self, G: Floats) -> NDArray[np.float64]:
        """Return a gradient with respect to V, as one row, from the one with respect to W."""
        V: NDArray[np.float64] = linalg.solve_triangular(self._L, G, lower=True)
        return V.ravel()
