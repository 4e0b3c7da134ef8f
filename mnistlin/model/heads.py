"""The heads: what the logits Z of the linear model mean, which is all in which models differ.

Logits are (..., n_outputs, n_samples), and one-hot targets Y and predictions ŷ have their shape.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.model.products import Floats


class Head(ABC):
    """Loss and prediction of a model, as functions of its logits.

    A new model is a subclass, an entry in `HEADS`, and its name in the config's schema. By default
    there is one output per class, and the class with the largest logit is predicted.
    """

    name: ClassVar[str]
    """Name in the config."""

    title: ClassVar[str]
    """Name in figures."""

    loss_title: ClassVar[str]
    """Name of the loss in figures, with its unit."""

    max_classes: ClassVar[int | None] = None
    """Largest number of classes; None if there is no limit."""

    @abstractmethod
    def losses(self, Z: Floats, Y: Floats) -> Floats:
        """Return the loss of each sample, (..., n_samples)."""

    @abstractmethod
    def residual(self, Z: Floats, Y: Floats) -> Floats:
        """Return dC/dZ of each sample, of the shape of Z."""

    @abstractmethod
    def loss_at_zero(self, n_classes: int) -> float:
        """Return the loss of a model whose weights are zero."""

    @abstractmethod
    def curvature_of_outputs(self, Z: Floats) -> Floats:
        """Return m, of the shape of Z, with d²C/dz² ≈ Π diag(m) Π, where Π is `centre`.

        Any non-negative estimate will do: it only speeds up the search for a minimum.
        """

    @abstractmethod
    def curvature_times(self, Z: Floats, U: Floats) -> Floats:
        """Return d²C/dz² times a change U of the logits, of the shape of Z."""

    @abstractmethod
    def max_curvature(self, Z: Floats) -> Floats:
        """Return a bound on the largest eigenvalue of d²C/dz² of each sample, (..., n_samples)."""

    def n_outputs(self, n_classes: int) -> int:
        """Return the number of logits per sample."""
        return n_classes

    def centre(self, A: Floats) -> Floats:
        """Return A (..., n_outputs, n) less the part that, added to Z, leaves the loss the same."""
        return A

    def separates(self, largest_loss: float) -> bool:  # noqa: ARG002
        """Return whether sample losses of at most this prove that C has no minimum."""
        return False

    def one_hot(self, targets: NDArray[np.integer[Any]], n_classes: int, dtype: str) -> Floats:
        """Return the targets Y (..., n_outputs, n_samples) of class indices (..., n_samples)."""
        outputs = np.arange(self.n_outputs(n_classes))[:, None]
        Y: Floats = (targets[..., None, :] == outputs).astype(dtype)
        return Y

    def probabilities(self, Z: Floats) -> Floats:  # noqa: ARG002
        """Return the probability of each class, (..., n_classes, n_samples).

        Raises
        ------
        RunError
            If the loss does not give the logits a meaning as probabilities.
        """
        raise RunError(
            f"model: {self.name} gives no probabilities, which this needs; use model: softmax"
        )

    def predicted_class(self, Z: Floats) -> NDArray[np.intp]:
        """Return the class index of each sample, (..., n_samples); ties go to the lowest."""
        classes: NDArray[np.intp] = Z.argmax(axis=-2)
        return classes

    def is_correct(self, Z: Floats, k: int) -> NDArray[np.bool_]:
        """Return whether class k is predicted, (..., n_samples), faster than with an argmax."""
        z = Z[..., k, :]
        is_above_lower = z > Z[..., :k, :].max(axis=-2, initial=-np.inf)
        is_largest: NDArray[np.bool_] = is_above_lower & (z >= Z[..., k:, :].max(axis=-2))
        return is_largest


class CrossEntropy(Head):
    """A head whose loss is the cross entropy, in nats, of the softmax of the logits of all classes.

    For a sample with logits z and one-hot target y it is

        C = A(z) - y·z        with the log-partition function A, and
        dC/dz = ŷ - y         because the prediction is its derivative, ŷ = dA/dz

    (report part 1a for one output, 1b for K). A is computed from logits shifted by their maximum,
    so that exp cannot overflow and log is never taken of 0.
    """

    loss_title = "cross entropy (nats)"

    @abstractmethod
    def predict(self, Z: Floats) -> Floats:
        """Return the predictions ŷ, of the shape of Z."""

    def residual(self, Z: Floats, Y: Floats) -> Floats:
        """Return ŷ - y."""
        return self.predict(Z) - Y

    def probabilities(self, Z: Floats) -> Floats:
        """Return ŷ."""
        return self.predict(Z)

    def separates(self, largest_loss: float) -> bool:
        """Return whether the true class of every sample has a probability above 1/2.

        Then its logit is above all others, and the loss of every sample tends to 0 along t W for
        t → ∞: C has the infimum 0 and no minimum (Albert and Anderson 1984).
        """
        return largest_loss < float(np.log(2))

    def loss_at_zero(self, n_classes: int) -> float:
        """Return log n_classes, since all classes are equally likely."""
        return float(np.log(n_classes))

    def curvature_of_outputs(self, Z: Floats) -> Floats:
        """Return ŷ: Π diag(1 / ŷ) Π is the pseudo-inverse of diag ŷ - ŷ ŷᵀ."""
        return self.predict(Z)

    def curvature_times(self, Z: Floats, U: Floats) -> Floats:
        """Return U times the covariance of the prediction, diag ŷ - ŷ ŷᵀ, which is d²A/dz²."""
        Y = self.predict(Z)
        U_mean = np.einsum("...kn,...kn->...n", Y, U)
        product: Floats = Y * (U - U_mean[..., None, :])
        return product

    def max_curvature(self, Z: Floats) -> Floats:
        """Return the largest ŷ, or the largest 2 ŷ (1 - ŷ) (Gershgorin 1931) if that is less."""
        Y = self.predict(Z)
        bound: Floats = np.minimum(Y.max(axis=-2), (2 * Y * (1 - Y)).max(axis=-2))
        return bound


class Logistic(CrossEntropy):
    """One output for two classes: ŷ = sigmoid(z) is the probability of the first, with y = 1."""

    name = "logistic"
    title = "logistic regression"
    max_classes = 2

    def n_outputs(self, n_classes: int) -> int:  # noqa: ARG002
        """Return 1."""
        return 1

    def predict(self, Z: Floats) -> Floats:
        """Return 1 / (1 + exp(-z)), as a tanh that cannot overflow."""
        Y: Floats = (1 + np.tanh(Z / 2)) / 2
        return Y

    def losses(self, Z: Floats, Y: Floats) -> Floats:
        """Return C with A = log(1 + exp z); `np.logaddexp` is nine times slower."""
        z = Z[..., 0, :]
        return _cross_entropy(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), Z, Y)

    def curvature_of_outputs(self, Z: Floats) -> Floats:
        """Return ŷ (1 - ŷ), which is d²C/dz² itself."""
        Y = self.predict(Z)
        curvature: Floats = Y * (1 - Y)
        return curvature

    def max_curvature(self, Z: Floats) -> Floats:
        """Return d²C/dz²."""
        return self.curvature_of_outputs(Z)[..., 0, :]

    def probabilities(self, Z: Floats) -> Floats:
        """Return ŷ and 1 - ŷ, (..., 2, n_samples)."""
        first = self.predict(Z)
        return np.concatenate([first, 1 - first], axis=-2)

    def predicted_class(self, Z: Floats) -> NDArray[np.intp]:
        """Return 0 where ŷ >= 1/2, else 1."""
        return np.where(Z[..., 0, :] >= 0, 0, 1)

    def is_correct(self, Z: Floats, k: int) -> NDArray[np.bool_]:
        """Return whether class k is predicted."""
        is_correct: NDArray[np.bool_] = (Z[..., 0, :] >= 0) == (k == 0)
        return is_correct


class Softmax(CrossEntropy):
    """One output per class: ŷ = softmax(z) is the probability of each."""

    name = "softmax"
    title = "softmax regression"

    def centre(self, A: Floats) -> Floats:
        """Return A minus its mean over the outputs: ŷ depends on differences of logits only."""
        centred: Floats = A - A.mean(axis=-2, keepdims=True)
        return centred

    def predict(self, Z: Floats) -> Floats:
        """Return exp(z) / Σ exp(z)."""
        E: Floats = Z - Z.max(axis=-2, keepdims=True)
        np.exp(E, out=E)
        E /= E.sum(axis=-2, keepdims=True)
        return E

    def losses(self, Z: Floats, Y: Floats) -> Floats:
        """Return C with A = log Σ exp(z)."""
        m = Z.max(axis=-2)
        E = Z - m[..., None, :]
        np.exp(E, out=E)
        return _cross_entropy(m + np.log(E.sum(axis=-2)), Z, Y)


def _cross_entropy(A: Floats, Z: Floats, Y: Floats) -> Floats:
    """Return A(z) - y·z of each sample."""
    C: Floats = A - np.einsum("...kn,...kn->...n", Z, Y)
    return C


HEADS: dict[str, Head] = {head.name: head for head in (Logistic(), Softmax())}
