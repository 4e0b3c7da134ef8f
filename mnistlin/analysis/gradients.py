"""Is the gradient right? Checks both heads on real images, for several λ (report 1a, 1b, 4a)."""

from collections.abc import Iterator

import numpy as np

from mnistlin.config import DataConfig
from mnistlin.data.splits import Split, load_splits
from mnistlin.model.gradient_check import GradientCheck, check_gradient
from mnistlin.model.heads import LOGISTIC, SOFTMAX, Head
from mnistlin.training.batches import PixelReader

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
