"""Loss and accuracy of many weights on whole splits, and the predictions of one.

All weights that are evaluated together stand in one matrix, so a block of images is converted once
and one matrix product serves them all. Blocks, and the order in which their sums are added, depend
on the config alone: the same weights in the same company give the same bits, on any number of
cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.model.linear import Head, logits
from mnistlin.model.products import Floats, pixel_weights, times
from mnistlin.training.batches import BLOCK_ROWS, Block, PixelBuffer, PixelReader, one_class_blocks


@dataclass(frozen=True)
class Score:
    """Mean loss and accuracy of some weights on each of some splits.

    Attributes
    ----------
    loss : ndarray of shape (n_splits, n_weights)
        Mean cross entropy in nats, summed in float64.
    accuracy : ndarray of shape (n_splits, n_weights)
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
    """Scores weights on some splits, in blocks of samples that all have one class.

    With one class a block, one column of Y serves all samples, and whether the true class has the
    largest logit takes two maxima in place of an argmax.

    Parameters
    ----------
    splits : sequence of Split
        The samples to evaluate on, all of the same classes.
    head : Head
        What the logits mean.
    dtype : str
        Precision of the logits; sums are float64.
    n_helpers : int
        How many threads work on a score before somebody waits for it.
    keep_blocks : bool
        Whether it pays to keep the images in blocks, because there are several scores to come.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        head: Head,
        dtype: str,
        n_helpers: int,
        *,
        keep_blocks: bool,
    ) -> None:
        self._splits, self._head, self._dtype = splits, head, dtype
        self._n_helpers = n_helpers
        blocks = [list(one_class_blocks(split, keep=keep_blocks)) for split in splits]
        self._blocks = list(chain(*blocks))
        self._first_blocks = np.cumsum([0, *map(len, blocks[:-1])])
        self._buffers: SimpleQueue[PixelBuffer] = SimpleQueue()
        for _ in range(n_helpers + 1):  # one for who waits
            self._buffers.put(PixelBuffer(BLOCK_ROWS, splits[0].n_features, dtype))

    def start(self, weights: Floats, pool: Executor) -> Callable[[], Score]:
        """Begin to score weights in the threads of a pool.

        Parameters
        ----------
        weights : ndarray of shape (n_weights, n_outputs, n_features + 1)
            The models; a copy is taken, so they may change at once.
        pool : Executor
            Has the helpers.

        Returns
        -------
        callable
            Helps until the score is there and returns it, or raises what a helper raised.
        """
        loss = np.empty((len(self._blocks), len(weights)))
        right = np.empty((len(self._blocks), len(weights)))
        with _overflow_allowed():
            V = pixel_weights(weights)
        # Shared: whoever is free takes the next, which is one step under the interpreter's lock.
        todo = iter(range(len(self._blocks)))

        def work() -> None:
            buffer = self._buffers.get()
            try:
                for i in todo:
                    loss[i], right[i] = self._score_block(V, buffer, self._blocks[i])
            finally:
                self._buffers.put(buffer)

        helpers = [pool.submit(work) for _ in range(self._n_helpers)]

        def wait() -> Score:
            work()
            for helper in helpers:
                helper.result()
            with _overflow_allowed():
                return Score(self._means(loss), self._means(right))

        return wait

    def _means(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means over each split, (n_splits, n_weights), of sums over each block."""
        n_samples = np.array([[split.n_samples] for split in self._splits])
        means: NDArray[np.float64] = np.add.reduceat(sums, self._first_blocks) / n_samples
        return means

    def _score_block(
        self, V: Floats, buffer: PixelBuffer, block: Block
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the summed loss, and the number of rightly classified samples."""
        P = buffer.fill(block.gather())
        Y = self._head.one_hot(np.array([block.k]), len(self._splits[0].classes), self._dtype)
        with _overflow_allowed():
            Z = times(block.weights(V), P.T)  # V Pᵀ = W Xᵀ
            loss = self._head.losses(Z, Y).sum(axis=-1, dtype=np.float64)
        return loss, self._head.is_right(Z, block.k).sum(axis=-1)


def _overflow_allowed() -> np.errstate:
    """Return a context without warnings of overflow: a loss of inf or nan is judged elsewhere.

    One for each use; before NumPy 2, threads would share the state of one that decorates.
    """
    return np.errstate(over="ignore", invalid="ignore")


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
