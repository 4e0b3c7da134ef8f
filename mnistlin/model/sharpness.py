"""Sharpness: the largest eigenvalue of the Hessian of J, which limits the learning rate.

Near a minimum, gradient descent multiplies the distance along an eigenvector with eigenvalue h by
1 - learning_rate * h each step. So it is stable where learning_rate * sharpness < 2.
"""

import numpy as np
import scipy
import scipy.linalg  # at once: `threadpool_limits` limits a BLAS only if it has been loaded
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.errors import RunError
from mnistlin.model.linear import stack
from mnistlin.model.objective import Objective
from mnistlin.model.products import Floats
from mnistlin.model.samples import Block

STABILITY_LIMIT = 2.0
"""Learning rate times sharpness above which gradient descent moves away from a minimum."""

_COARSE_TOLERANCE = 1e-4
"""Relative tolerance above which float32 products are precise enough."""

_N_VECTORS = 8
"""Lanczos vectors kept: the largest eigenvalue is far from the next, so few are needed."""


def sharpness(objective: Objective, weights: Floats, tolerance: float = 1e-9) -> float:
    """Return the largest eigenvalue of the Hessian of J at weights (n_features + 1, n_outputs).

    It is found to a relative tolerance by Lanczos iterations (`scipy.sparse.linalg.eigsh`) from a
    fixed start, in float32 if that is precise enough.

    Raises
    ------
    RunError
        If the iterations do not converge, or the Hessian is not finite.
    """
    start = np.random.default_rng(0).standard_normal(weights.size)
    dtype = "float32" if tolerance > _COARSE_TOLERANCE else "float64"

    with threadpool_limits(1, "blas"):
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the products
            hessian_times = objective.hessian(weights, dtype)

        @np.errstate(over="ignore", invalid="ignore")
        def times(d: NDArray[np.float64]) -> NDArray[np.float64]:
            return hessian_times(d.reshape(weights.shape)).ravel()

        first = times(start)
        if not np.isfinite(first).all():
            raise RunError("the Hessian at these weights is not finite: they are too large")
        if not first.any():  # ARPACK rejects a zero matrix, as of saturated outputs without λ
            return 0.0
        shape = (weights.size, weights.size)
        try:
            largest = scipy.sparse.linalg.eigsh(
                scipy.sparse.linalg.LinearOperator(shape, matvec=times, dtype=np.float64),
                k=1,
                which="LA",
                v0=start,
                ncv=min(weights.size, _N_VECTORS),
                tol=tolerance,
                return_eigenvectors=False,
            )
        except scipy.sparse.linalg.ArpackError as error:
            raise RunError(
                f"the largest eigenvalue of the Hessian was not found: {error}"
            ) from error
    return float(largest[0])


def sharpness_bound(objective: Objective, weights: Floats) -> float:
    """Return an upper bound on the sharpness, for the cost of one product.

    The Hessian is the mean over the samples of M ⊗ x xᵀ with M = d²C/dz², plus 2 λ, so its largest
    eigenvalue is at most the mean of the largest of M times ‖x‖², plus 2 λ.
    """
    samples = objective.samples
    divisor, offset = samples.scaling.divisor, samples.scaling.offset

    def of_block(_: Block, P: Floats, Z: Floats) -> float:
        n_black = samples.n_features + 1 - P.shape[1]
        squares = np.square(P / divisor - offset).sum(axis=-1) + n_black * offset**2
        return float(objective.head.max_curvature(Z)[0] @ squares)

    bounds = objective.map(of_block, stack(weights.astype(np.float64)), "float64")
    return sum(bounds) / samples.n_samples + 2 * objective.l2_lambda


def largest_stable_rate(sharpness: float) -> float:
    """Return the learning rate above which gradient descent is unstable; inf without curvature."""
    return STABILITY_LIMIT / sharpness if sharpness > 0 else np.inf
