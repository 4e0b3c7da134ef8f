"""The proof that `linear.gradient` is the derivative of `linear.objective`: central differences.

Is the gradient right? Checks both heads on real images, for several λ (report 1a, 1b, 4a).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import DataConfig
from mnistlin.data.splits import Split, load_splits
from mnistlin.model.linear import LOGISTIC, SOFTMAX, Head, gradient, logits, objective
from mnistlin.model.products import Floats, Inputs
from mnistlin.training.batches import PixelReader

DIFFERENCE = 1e-5
"""Step h of the differences; its error, h² J''' / 6, is then about that of rounding, ε J / h."""

MODELS_AT_ONCE = 200


@dataclass(frozen=True)
class GradientCheck:
    """How the analytic gradient compares with the numeric one.

    Attributes
    ----------
    head : str
        `logistic` or `softmax`.
    l2_lambda : float
        λ of the objective.
    n_coordinates : int
        Weights that were moved, the biases among them.
    relative_error : float
        max |analytic - numeric| / max |analytic|, over all of them.
    loss_at_zero : float
        C at zero weights, in nats.
    expected_loss_at_zero : float
        What it must be, for all classes are then equally likely: ln 2 or ln K.
    """

    head: str
    l2_lambda: float
    n_coordinates: int
    relative_error: float
    loss_at_zero: float
    expected_loss_at_zero: float

    @property
    def passed(self) -> bool:
        """Say whether both agree, to 1e-7 and to rounding."""
        loss_error = abs(self.loss_at_zero - self.expected_loss_at_zero)
        return self.relative_error < 1e-7 and loss_error < 1e-12


def check_gradient(
    head: Head, X: Inputs, targets: NDArray[np.intp], n_classes: int, l2_lambda: float
) -> GradientCheck:
    """Compare dJ/dW with (J(W + h) - J(W - h)) / 2h in every coordinate, at random weights.

    Parameters
    ----------
    head : Head
        What the logits mean.
    X : ndarray or Pixels, of shape (n_samples, n_features + 1), float64
        Inputs.
    targets : ndarray of shape (n_samples,)
        Class indices.
    n_classes : int
        Number of classes.
    l2_lambda : float
        λ of the penalty.
    """
    Y = head.one_hot(targets, n_classes, "float64")
    W = np.random.default_rng(0).normal(scale=0.1, size=(1, len(Y), X.shape[1]))
    l2_lambdas = np.array([l2_lambda])
    analytic = gradient(head.predict(logits(W, X)) - Y, W, X, l2_lambdas)
    numeric = _central_differences(head, W, X, Y, l2_lambdas)
    error = np.abs(analytic - numeric).max() / np.abs(analytic).max()
    at_zero = objective(head, np.zeros_like(W), X, Y, l2_lambdas)
    return GradientCheck(
        head=head.name,
        l2_lambda=l2_lambda,
        n_coordinates=W.size,
        relative_error=float(error),
        loss_at_zero=float(at_zero[0]),
        expected_loss_at_zero=float(np.log(n_classes)),
    )


def _central_differences(head: Head, W: Floats, X: Inputs, Y: Floats, l2_lambdas: Floats) -> Floats:
    """Return the numeric gradient; the moved copies of W are evaluated as stacks of models."""
    numeric = np.empty(W.size)
    for first in range(0, W.size, MODELS_AT_ONCE):
        moved = np.arange(first, min(first + MODELS_AT_ONCE, W.size))
        step = np.zeros((len(moved), W.size))
        step[np.arange(len(moved)), moved] = DIFFERENCE
        step = step.reshape(-1, *W.shape[1:])
        difference = objective(head, W + step, X, Y, l2_lambdas) - objective(
            head, W - step, X, Y, l2_lambdas
        )
        numeric[moved] = difference / (2 * DIFFERENCE)
    return numeric.reshape(W.shape)


L2_LAMBDAS = (0.0, 0.01, 1.0)
N_IMAGES = 32


def check_gradients(data: DataConfig) -> Iterator[GradientCheck]:
    """Check the gradients of both heads on the first images of a training set.

    Parameters
    ----------
    data : DataConfig
        Whose images are used. Logistic takes the first two of its classes.

    Yields
    ------
    GradientCheck
        For each head, one for each λ in 0, 0.01 and 1.

    Raises
    ------
    DataError, ConfigError
        If the data is missing, wrong, or does not fit.
    """
    everything = load_splits(data).train
    two_classes = data.model_copy(update={"classes": everything.classes[:2]})
    yield from _check(LOGISTIC, load_splits(two_classes).train)
    yield from _check(SOFTMAX, everything)


def _check(head: Head, split: Split) -> Iterator[GradientCheck]:
    samples = np.arange(min(N_IMAGES, split.n_samples))
    X = PixelReader(split, len(samples), "float64").read(samples)
    for l2_lambda in L2_LAMBDAS:
        yield check_gradient(head, X, split.targets[samples], len(split.classes), l2_lambda)
