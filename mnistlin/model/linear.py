"""The two heads that turn logits into probabilities: logistic and softmax.

A head holds what the two models do not share; what they do is in `linear`. Both are exponential
families, so the cross entropy of a sample with logits z and one-hot target y is

    C = A(z) - y·z        with the log-partition function A, and
    dC/dz = ŷ - y         because the prediction is its derivative, ŷ = dA/dz

(report part 1a for one output, 1b for K). A is computed from logits shifted by their maximum, so
that no exp overflows and no log meets a zero.

The linear model under both heads, for a stack of models that share their inputs.

    Z = W Xᵀ                        logits        (n_models, n_outputs, n_samples)
    J = C + λ Σ W²                  objective     (n_models,)
    dJ/dW = (ŷ - y) X / n + 2 λ W   gradient      (n_models, n_outputs, n_features + 1)

The last column of X is 1, so the last column of W is the bias. It is penalised like any weight
(report part 4a).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.products import Floats, Inputs, times


@dataclass(frozen=True)
class Head:
    """One kind of output.

    Logits Z and predictions have shape (..., n_outputs, n_samples), class-major: NumPy reduces
    over a middle axis of long rows many times faster than over a last axis of length 10.

    Attributes
    ----------
    name : str
        As in the config: `logistic` or `softmax`.
    predict : callable
        ŷ of Z, of the shape of Z.
    log_partition : callable
        A of Z, of shape (..., n_samples), in nats.
    is_right : callable
        Of Z and the class index that all its samples have: whether the class named by the head is
        that one, of shape (..., n_samples). Of equally likely classes the lowest is named.
    """

    name: str
    predict: Callable[[Floats], Floats]
    log_partition: Callable[[Floats], Floats]
    is_right: Callable[[Floats, int], NDArray[np.bool_]]

    def n_outputs(self, n_classes: int) -> int:
        """Return how many logits a sample has: one of two classes needs only one."""
        return 1 if self.name == "logistic" else n_classes

    def one_hot(self, targets: NDArray[np.integer[Any]], n_classes: int, dtype: str) -> Floats:
        """Return the targets Y, (..., n_outputs, n_samples), of class indices (..., n_samples).

        With one output, class 0 is y = 1 and class 1 is y = 0.
        """
        outputs = np.arange(self.n_outputs(n_classes))[:, None]
        Y: Floats = (targets[..., None, :] == outputs).astype(dtype)
        return Y

    def losses(self, Z: Floats, Y: Floats) -> Floats:
        """Return the cross entropy C of each sample, of shape (..., n_samples), in nats."""
        C: Floats = self.log_partition(Z) - np.einsum("...kn,...kn->...n", Z, Y)
        return C


def _sigmoid(Z: Floats) -> Floats:
    """1 / (1 + exp(-z)), by a tanh that cannot overflow."""
    Y: Floats = (1 + np.tanh(Z / 2)) / 2
    return Y


def _softmax(Z: Floats) -> Floats:
    E: Floats = Z - Z.max(axis=-2, keepdims=True)
    np.exp(E, out=E)
    E /= E.sum(axis=-2, keepdims=True)
    return E


def _softplus(Z: Floats) -> Floats:
    """log(1 + exp z), shifted by max(z, 0).

    `np.logaddexp(0, z)` is the same number, but has no vector loop and takes nine times as long.
    """
    z = Z[..., 0, :]
    A: Floats = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return A


def _log_sum_exp(Z: Floats) -> Floats:
    m = Z.max(axis=-2)
    E = Z - m[..., None, :]
    np.exp(E, out=E)
    A: Floats = m + np.log(E.sum(axis=-2))
    return A


def _sign_is_right(Z: Floats, k: int) -> NDArray[np.bool_]:
    names_first: NDArray[np.bool_] = Z[..., 0, :] >= 0
    return names_first if k == 0 else ~names_first


def _largest_is_right(Z: Floats, k: int) -> NDArray[np.bool_]:
    """Say whether argmax is k, without argmax, which is slow over a short axis."""
    z = Z[..., k, :]
    is_above_lower = z > Z[..., :k, :].max(axis=-2, initial=-np.inf)
    is_largest: NDArray[np.bool_] = is_above_lower & (z >= Z[..., k:, :].max(axis=-2))
    return is_largest


LOGISTIC = Head("logistic", _sigmoid, _softplus, _sign_is_right)
SOFTMAX = Head("softmax", _softmax, _log_sum_exp, _largest_is_right)
HEADS = {head.name: head for head in (LOGISTIC, SOFTMAX)}


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
