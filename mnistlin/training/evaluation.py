"""Loss and accuracy of many weights on a whole split, and the predictions of one.

All weights that are evaluated together stand in one matrix, so a block of images is converted once
and one matrix product serves them all. Blocks, and the order in which their sums are added, depend
on the split alone: the same weights in the same company give the same bits, on any number of cores.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.model.heads import Floats, Head
from mnistlin.model.linear import logits
from mnistlin.training.batches import PixelReader

BLOCK_ROWS = 1024
"""Rows evaluated at a time: half as many cost a tenth more, and twice as many gain nothing."""


@dataclass(frozen=True)
class Score:
    """Mean loss and accuracy of some weights on one split.

    Attributes
    ----------
    loss : ndarray of shape (n_weights,)
        Mean cross entropy in nats, summed in float64.
    accuracy : ndarray of shape (n_weights,)
        Fraction of samples that are classified rightly.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What one model says of each sample of a split, in the order of the split.

    Attributes
    ----------
    class_index : ndarray of shape (n_samples,)
        Index of the class that the model names.
    probability : ndarray of shape (n_samples, n_classes)
        Its probability for each class, float64.
    loss : ndarray of shape (n_samples,)
        Cross entropy of each sample in nats, float64.
    """

    class_index: NDArray[np.intp]
    probability: Floats
    loss: Floats


class Evaluator:
    """Scores weights on a split, in blocks of samples that all have one class.

    With one class a block, the logit of the true class is one row of Z, and whether it is the
    largest takes two maxima in place of an argmax.

    Parameters
    ----------
    split : Split
        The samples to evaluate on.
    head : Head
        What the logits mean.
    dtype : str
        Precision of the logits; sums are float64.
    n_helpers : int
        How many threads work on a score before somebody waits for it.
    """

    def __init__(self, split: Split, head: Head, dtype: str, n_helpers: int) -> None:
        self._split, self._head, self._dtype = split, head, dtype
        self._n_helpers = n_helpers
        self._blocks = list(_one_class_blocks(split.targets))
        self._readers: SimpleQueue[PixelReader] = SimpleQueue()
        for _ in range(n_helpers + 1):  # one for who waits
            self._readers.put(PixelReader(split, BLOCK_ROWS, dtype))

    def start(self, weights: Floats, pool: Executor) -> Callable[[], Score]:
        """Begin to score weights in the threads of a pool.

        Parameters
        ----------
        weights : ndarray of shape (n_weights, n_outputs, n_features + 1)
            Not to be changed until the score is there.
        pool : Executor
            Has the helpers.

        Returns
        -------
        callable
            Helps until the score is there and returns it, or raises what a helper raised.
        """
        loss = np.empty((len(self._blocks), len(weights)))
        right = np.empty((len(self._blocks), len(weights)))
        todo = iter(range(len(self._blocks)))  # shared: whoever is free takes the next

        def work() -> None:
            reader = self._readers.get()
            try:
                for i in todo:
                    loss[i], right[i] = self._score_block(weights, reader, *self._blocks[i])
            finally:
                self._readers.put(reader)

        helpers = [pool.submit(work) for _ in range(self._n_helpers)]

        def wait() -> Score:
            work()
            for helper in helpers:
                helper.result()
            n = self._split.n_samples
            return Score(loss.sum(axis=0) / n, right.sum(axis=0) / n)

        return wait

    @np.errstate(over="ignore", invalid="ignore")
    def _score_block(
        self, weights: Floats, reader: PixelReader, k: int, samples: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the summed loss, and the number of rightly classified, of samples of class k."""
        Z = logits(weights, reader.read(samples))
        Y = self._head.one_hot(np.array([k]), len(self._split.classes), self._dtype)
        losses = self._head.losses(Z, Y)
        return losses.sum(axis=-1, dtype=np.float64), self._head.is_right(Z, k).sum(axis=-1)


def predict(split: Split, weights: Floats, head: Head) -> Predictions:
    """Return what one model says of each sample, in float64.

    Parameters
    ----------
    split : Split
        The samples.
    weights : ndarray of shape (n_outputs, n_features + 1)
        The model.
    head : Head
        What its logits mean.
    """
    Z = _all_logits(split, weights)
    probability = head.predict(Z)
    if head.n_outputs(len(split.classes)) == 1:
        probability = np.concatenate([probability, 1 - probability])
        named = np.where(Z[0] >= 0, 0, 1)
    else:
        named = Z.argmax(axis=0)
    Y = head.one_hot(split.targets, len(split.classes), "float64")
    return Predictions(named, probability.T, head.losses(Z, Y))


def _all_logits(split: Split, weights: Floats) -> NDArray[np.float64]:
    """Return the logits of a split under one model, (n_outputs, n_samples)."""
    reader = PixelReader(split, BLOCK_ROWS, "float64")
    W = weights[None].astype(np.float64)
    samples = np.arange(split.n_samples)
    Z = np.empty((len(weights), split.n_samples))
    for first in range(0, split.n_samples, BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        Z[:, block] = logits(W, reader.read(samples[block]))[0]
    return Z


def confusion_counts(
    targets: NDArray[np.intp], predicted: NDArray[np.intp], n_classes: int
) -> NDArray[np.intp]:
    """Return how often class i (row) was taken for class j (column), (n_classes, n_classes)."""
    pairs = np.bincount(targets * n_classes + predicted, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes)


def _one_class_blocks(
    targets: NDArray[np.integer[Any]],
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield (class, samples of that class), each sample once, at most BLOCK_ROWS at a time."""
    for k in np.unique(targets):
        samples = np.flatnonzero(targets == k)
        for first in range(0, len(samples), BLOCK_ROWS):
            yield int(k), samples[first : first + BLOCK_ROWS]
