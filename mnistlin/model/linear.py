"""The linear model under both heads, for a stack of models that share their inputs.

    Z = W Xᵀ                        logits        (n_models, n_outputs, n_samples)
    J = C + λ Σ W²                  objective     (n_models,)
    dJ/dW = (ŷ - y) X / n + 2 λ W   gradient      (n_models, n_outputs, n_features + 1)

The last column of X is 1, so the last column of W is the bias. It is penalised like any weight
(report part 4a).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.heads import Floats, Head
from mnistlin.model.inputs import Inputs, times


def logits(W: Floats, X: Inputs) -> Floats:
    """Return Z = W Xᵀ.

    Parameters
    ----------
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : ndarray or Pixels, of shape (n_samples, n_features + 1)
        Inputs.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_samples)
    """
    return times(W, X.T)


def gradient(R: Floats, W: Floats, X: Inputs, l2_lambdas: Floats) -> Floats:
    """Return dJ/dW = R X / n + 2 λ W.

    Parameters
    ----------
    R : ndarray of shape (n_models, n_outputs, n_samples)
        Residuals ŷ - y.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : ndarray or Pixels, of shape (n_samples, n_features + 1)
        Inputs.
    l2_lambdas : ndarray of shape (n_models,)
        λ of each model.

    Returns
    -------
    ndarray of shape (n_models, n_outputs, n_features + 1)
    """
    G = times(R / R.shape[-1], X)
    if np.count_nonzero(l2_lambdas):  # adding zeros takes 7 % of a binary step
        G += 2 * l2_lambdas[:, None, None] * W
    return G


def objective(head: Head, W: Floats, X: Inputs, Y: Floats, l2_lambdas: Floats) -> Floats:
    """Return J = C + λ Σ W² of each model, of shape (n_models,), in nats.

    Parameters
    ----------
    head : Head
        What the logits mean.
    W : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights, the bias last.
    X : ndarray or Pixels, of shape (n_samples, n_features + 1)
        Inputs.
    Y : ndarray of shape (n_outputs, n_samples)
        One-hot targets.
    l2_lambdas : ndarray of shape (n_models,)
        λ of each model.
    """
    J: Floats = head.losses(logits(W, X), Y).mean(axis=-1) + l2_lambdas * squared_norm(W)
    return J


def squared_norm(W: NDArray[Any]) -> NDArray[np.float64]:
    """Return Σ W² of each model, of shape (...,) for W of shape (..., n_outputs, n_features + 1).

    Summed in float64: its square root is the weight norm, and λ times it the penalty.
    """
    W64 = W.astype(np.float64)
    squares: NDArray[np.float64] = np.einsum("...kd,...kd->...", W64, W64)
    return squares
