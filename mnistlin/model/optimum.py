"""The minimum of the objective, found on a full set of samples: L-BFGS, then Newton's method.

J is convex, so all minima have the same value. With λ > 0 it is strongly convex: there is one
minimum, and the norm of the gradient bounds the distance to its value. With λ = 0 there may be
none: see `CrossEntropy.separates`.

All weights and gradients here are those of one model, (n_features + 1, n_outputs), unless they are
called a stack.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy
import scipy.linalg  # at once: `threadpool_limits` limits a BLAS only if it has been loaded
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.linear import unstack
from mnistlin.model.objective import Objective, Point
from mnistlin.model.products import Floats

_TOLERANCE = 1e-6
"""Norm of the gradient below which the search ends."""

_COARSE_TOLERANCE = 1e-3
"""Tolerance from which on the curvature costs more time than it saves."""

_LBFGS_TOLERANCE = 1e-4
"""Norm of the gradient below which float32 no longer resolves differences of J."""

_NEWTON_REDUCTION = 1e-3
"""Factor by which a Newton step reduces the gradient, unless the tolerance requires less."""

_MAX_TRIALS = 5
"""Trial points of an L-BFGS line search; if none is lower, float32 rounding is the cause."""

_MAX_HALVINGS = 30

_MAX_ITERATIONS = 1000

_MEMORY = 20
"""Pairs of steps and gradients from which L-BFGS estimates the curvature."""

_RIDGE = 1e-4
"""Added to the diagonal of a curvature of at most 1: it is rounded, and some pixels have none."""


@dataclass(frozen=True)
class Minimisation:
    """The result of the optimizer: where it ended, and after how many steps."""

    point: Point
    has_converged: bool
    n_iterations: int


def minimise(
    objective: Objective,
    start: Floats,
    tolerance: float = _TOLERANCE,
    max_iterations: int = _MAX_ITERATIONS,
    on_pass: Callable[[], object] = lambda: None,
) -> Minimisation:
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
        Maximum number of steps of L-BFGS and, within Newton steps, of conjugate gradients.
    on_pass : callable
        Called after each pass over the samples.

    Returns
    -------
    Minimisation
        Where the search ended. With λ = 0 it ends at the first weights that separate the classes.

    Notes
    -----
    L-BFGS (Liu and Nocedal 1989) approaches the minimum in float32, which halves the time. Newton
    steps then find the last digits: their gradients are computed in float64, and the many products
    with the Hessian that conjugate gradients need, which only affect the direction, in float32.

    With more samples than weights, both work in coordinates in which the curvature is about the
    same in all directions, at least near the start, which saves many steps: the search is
    preconditioned.
    """
    with threadpool_limits(1, "blas"):
        return _Search(objective, start, tolerance, max_iterations, on_pass).run()


def minima(
    objective: Objective,
    l2_lambdas: Iterable[float],
    tolerance: float = _TOLERANCE,
    on_pass: Callable[[], object] = lambda: None,
) -> Iterator[tuple[float, Minimisation]]:
    """Yield each λ, the largest first, and its minimum, searched for from the previous one."""
    samples = objective.samples
    n_outputs = objective.head.n_outputs(samples.n_classes)
    W = np.zeros((samples.n_features + 1, n_outputs))
    for l2_lambda in sorted(l2_lambdas, reverse=True):
        penalised = replace(objective, l2_lambda=l2_lambda)
        found = minimise(penalised, W, tolerance, on_pass=on_pass)
        W = found.point.weights
        yield l2_lambda, found


class _Search:
    """The search of `minimise`: the point it has reached, and the coordinates that it uses.

    With curvatures L Lᵀ of the outputs, the weights change by Π L⁻ᵀ v at coordinates v. They are
    centred at the start too: what Π takes away only adds to the penalty.
    """

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
        self._point = objective.at(objective.head.centre(start.T).T)
        self._inverse_factors: NDArray[np.float32] | None = None

    def run(self) -> Minimisation:
        """Search until it is done or out of steps."""
        if not self._is_done() and self._pays_to_precondition():
            curvatures = self._objective.curvatures(self._point.weights)
            self._inverse_factors = _inverse_factors(curvatures)
        if not self._is_done(_LBFGS_TOLERANCE):
            self._lbfgs()
        while self._n_left > 0 and not self._is_done() and self._newton_step():
            pass
        has_converged = self._point.gradient_norm < self._tolerance
        return Minimisation(self._point, has_converged, self._max_iterations - self._n_left)

    def _pays_to_precondition(self) -> bool:
        """Return whether the curvature saves more time than it costs: not with few samples."""
        has_many_samples = self._objective.samples.n_samples > len(self._point.weights)
        return has_many_samples and self._tolerance < _COARSE_TOLERANCE

    def _is_done(self, tolerance: float = 0.0) -> bool:
        has_no_minimum = self._point.separates and not self._objective.l2_lambda
        return has_no_minimum or self._point.gradient_norm < max(tolerance, self._tolerance)

    def _lbfgs(self) -> None:
        start = self._point.weights

        def value_and_gradient(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            self._point = self._at(start + self._change(v), "float32")
            return self._point.value, self._along(self._point.gradient)

        def end_if_done(xk: NDArray[np.float64]) -> None:  # noqa: ARG001 (SciPy requires the name)
            if self._is_done(_LBFGS_TOLERANCE):
                raise StopIteration

        result = scipy.optimize.minimize(
            value_and_gradient,
            np.zeros(start.size),
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
        self._point = self._at(start + self._change(result.x))

    def _newton_step(self) -> bool:
        """Take a damped Newton step; return whether it has reduced the norm of the gradient."""
        point, size = self._point, self._point.weights.size
        hessian_times = self._objective.hessian(point.weights, "float32")

        def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
            product = hessian_times(self._change(v))
            self._n_left -= 1
            self._on_pass()
            return self._along(product)

        reduction = max(_NEWTON_REDUCTION, self._tolerance / point.gradient_norm / 2)
        shape = (size, size)
        hessian = scipy.sparse.linalg.LinearOperator(shape, matvec=times, dtype=np.float64)
        downhill = -self._along(point.gradient)
        v, _ = scipy.sparse.linalg.cg(hessian, downhill, rtol=reduction, maxiter=self._n_left)
        step = self._change(v)
        for _ in range(_MAX_HALVINGS):
            self._point = self._at(point.weights + step)
            if self._point.gradient_norm < point.gradient_norm:
                return True
            step /= 2
        self._point = point
        return False

    def _at(self, weights: Floats, dtype: str = "float64") -> Point:
        point = self._objective.at(weights, dtype)
        self._on_pass()
        return point

    def _change(self, v: NDArray[np.float64]) -> Floats:
        """Return the change of the weights at coordinates v."""
        D = v.reshape(self._point.weights.shape[::-1])
        if self._inverse_factors is not None:
            D = np.matmul(D[:, None].astype(np.float32), self._inverse_factors)[:, 0]
        return unstack(self._objective.head.centre(D.astype(np.float64)))

    def _along(self, G: Floats) -> NDArray[np.float64]:
        """Return the gradient with respect to v from the one with respect to the weights."""
        D = self._objective.head.centre(G.T)
        if self._inverse_factors is not None:
            D = np.matmul(self._inverse_factors, D[:, :, None].astype(np.float32))
        v: NDArray[np.float64] = D.ravel().astype(np.float64)
        return v


def _inverse_factors(curvatures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace each L Lᵀ by L⁻¹; they may be rounded, since they only scale the search."""
    for H in curvatures:
        H.flat[:: len(H) + 1] += _RIDGE * max(1.0, H.diagonal().max())
        L = scipy.linalg.cholesky(H, lower=True)
        H[:] = scipy.linalg.lapack.strtri(L, lower=True)[0]
    return curvatures
