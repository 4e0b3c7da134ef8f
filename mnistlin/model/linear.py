"""The linear model: its logits, its objective and the gradient of that.

For a stack of models that share their inputs X (n_samples, n_features + 1), whose last column is 1:

    Z = W Xᵀ                          logits       (n_models, n_outputs, n_samples)
    J = C + λ Σ W²                    objective    (n_models,)
    dJ/dW = (dC/dZ) X / n + 2 λ W     gradient     (n_models, n_outputs, n_features + 1)

C is the mean loss of the samples, which the head defines (see `heads`). The last column of W is the
bias, which is penalised like any other weight (report part 4a).

Logits are class-major, because NumPy reduces over a middle axis of long rows much faster than over
a last axis of length 10, and so are the weights of a stack. Files and the public API use the
transpose, (n_features + 1, n_outputs); `stack` and `unstack` convert between the two.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.heads import Head
from mnistlin.model.products import Floats, Pixels, times


def stack(*weights: Floats) -> Floats:
    """Return some models' weights, each (n_features + 1, n_outputs), as one stack."""
    return np.stack([W.T for W in weights])


def unstack(W: Floats) -> Floats:
    """Return the weights (n_features + 1, n_outputs) of a member of a stack, as a new array."""
    member: Floats = W.copy().T
    return member


def logits(W: Floats, X: Pixels) -> Floats:
    """Return Z = W Xᵀ of a stack.

    Parameters
    ----------
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : Pixels of shape (n_samples, n_features + 1)
        Inputs.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_samples)
    """
    return times(W, X.T)


def gradient(R: Floats, W: Floats, X: Pixels, l2_lambdas: Floats) -> Floats:
    """Return dJ/dW = R X / n + 2 λ W of a stack.

    Parameters
    ----------
    R : ndarray of shape (n_models, n_outputs, n_samples)
        Residuals dC/dZ of each sample.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : Pixels of shape (n_samples, n_features + 1)
        Inputs.
    l2_lambdas : ndarray of shape (n_models,)
        λ of each model.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_features + 1)
    """
    G: Floats = times(R / R.shape[-1], X) + 2 * l2_lambdas[:, None, None] * W
    return G


def objective(head: Head, W: Floats, X: Pixels, Y: Floats, l2_lambdas: Floats) -> Floats:
    """Return J = C + λ Σ W² of each model of a stack, in the shape that broadcasting gives.

    Parameters
    ----------
    head : Head
        Defines the loss.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : Pixels of shape (n_samples, n_features + 1)
        Inputs.
    Y : ndarray of shape (n_outputs, n_samples)
        One-hot targets.
    l2_lambdas : ndarray of shape (n_models,) or (n_lambdas, 1)
        λ of each model, or several λ for all of them.
    """
    J: Floats = head.losses(logits(W, X), Y).mean(axis=-1) + l2_lambdas * squared_norm(W)
    return J


def squared_norm(W: NDArray[Any]) -> NDArray[np.float64]:
    """Return Σ W² over the last two axes, summed in float64.

    Its square root is the weight norm, and λ times it the penalty.
    """
    W64 = W.astype(np.float64)
    squares: NDArray[np.float64] = np.einsum("...kd,...kd->...", W64, W64)
    return squares
