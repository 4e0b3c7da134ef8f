"""The minimum of the objective, found on a full set of samples: L-BFGS, then Newton's method.

J is convex, so all minima have the same value. With λ > 0 it is strongly convex: there is one
minimum, and the norm of the gradient bounds the distance to its value. With λ = 0 there may be
none: see `Place.separates`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.sparse.linalg import LinearOperator, cg
from threadpoolctl import threadpool_limits

from mnistlin.model.objective import Objective, Place
from mnistlin.model.products import Floats

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


@dataclass(frozen=True)
class Descent:
    """The result of the optimizer: where it ended, and after how many steps."""

    place: Place
    has_converged: bool
    n_iterations: int


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
