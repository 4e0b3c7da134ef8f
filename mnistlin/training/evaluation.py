"""Loss and accuracy of many weights on full splits, the predictions of one model, and its J.

All weights that are evaluated together form one matrix, so a block of images is converted once and
one matrix product serves them all. Blocks, and the order in which their sums are added, depend on
the config alone: the same weights evaluated together give the same bits on any number of cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.data.splits import Split
from mnistlin.model.heads import Head
from mnistlin.model.linear import logits, stack
from mnistlin.model.objective import Objective
from mnistlin.model.products import Floats, pixel_weights, product
from mnistlin.model.samples import Block, Samples, max_helpers
from mnistlin.training.batches import BLOCK_ROWS, PixelReader, large_blocks, one_class_blocks

_MANY_SAMPLES = 5000
"""Samples from which threads share a pass; with fewer they mostly wait for each other."""


@dataclass(frozen=True)
class Score:
    """Mean loss and accuracy of some weights on some splits, each (n_splits, n_weights).

    Losses are summed in float64.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What one model predicts for each sample of a split, in float64.

    logits : (n_outputs, n_samples)
    loss : (n_samples,)
    """

    head: Head
    logits: NDArray[np.float64]
    loss: NDArray[np.float64]

    @cached_property
    def class_index(self) -> NDArray[np.intp]:
        """The predicted classes, (n_samples,)."""
        return self.head.predicted_class(self.logits)

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """The probability of each class, (n_samples, n_classes); a RunError if there is none."""
        return self.head.probabilities(self.logits).T


class Evaluator:
    """Evaluates weights on some splits of the same classes, in blocks of samples of one class.

    With one class per block, one column of Y serves all samples, and whether the true class has
    the largest logit takes two maxima in place of an argmax.

    `n_helpers` threads work on a score, besides the one that waits for it. `keep_blocks` keeps the
    images in blocks, which pays off if several scores are computed.
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
        blocks = [list(one_class_blocks(split, keep=keep_blocks)) for split in splits]
        self._first_blocks = np.cumsum([0, *map(len, blocks[:-1])])
        self._samples = _samples(splits[0], list(chain(*blocks)), n_helpers)

    def start(self, weights: Floats, pool: Executor) -> Callable[[], Score]:
        """Start evaluating weights (n_weights, n_outputs, n_features + 1) in the pool's threads.

        The caller may modify the weights afterwards. The returned function takes part in the work,
        waits until the score is complete and returns it, or raises the error of a helper.
        """
        with _overflow_allowed():
            V = pixel_weights(weights, self._samples.scaling)
        finish = self._samples.start(lambda *block: self._evaluate(V, *block), self._dtype, pool)

        def wait() -> Score:
            losses, correct = zip(*finish(), strict=True)
            with _overflow_allowed():
                return Score(self._means(losses), self._means(correct))

        return wait

    def _means(self, sums: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Return the means over each split, (n_splits, n_weights), of sums over each block."""
        n_samples = np.array([[split.n_samples] for split in self._splits])
        means: NDArray[np.float64] = np.add.reduceat(np.array(sums), self._first_blocks) / n_samples
        return means

    def _evaluate(
        self, V: Floats, block: Block, P: Floats
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the sum of the losses and the number of correctly classified samples."""
        (k,) = block.targets
        Y = self._head.one_hot(block.targets, self._samples.n_classes, self._dtype)
        with _overflow_allowed():
            Z = product(block.weights(V), P.T)  # V Pᵀ = W Xᵀ
            loss = self._head.losses(Z, Y).sum(axis=-1, dtype=np.float64)
        return loss, self._head.is_correct(Z, k).sum(axis=-1)


def _overflow_allowed() -> np.errstate:
    """Return a context without overflow warnings: a loss of inf or nan counts as divergence.

    A new one for each use: before NumPy 2, threads would share the state of a decorator.
    """
    return np.errstate(over="ignore", invalid="ignore")


def predict(split: Split, weights: Floats, head: Head) -> Predictions:
    """Return the predictions of the model with weights (n_features + 1, n_outputs)."""
    Z = _all_logits(split, weights)
    Y = head.one_hot(split.targets, len(split.classes), "float64")
    return Predictions(head, Z, head.losses(Z, Y))


def _all_logits(split: Split, weights: Floats) -> NDArray[np.float64]:
    """Return the logits of a split under one model, (n_outputs, n_samples)."""
    reader = PixelReader(split, BLOCK_ROWS, "float64")
    W = stack(weights.astype(np.float64))
    Z = np.empty((W.shape[1], split.n_samples))
    with threadpool_limits(1, "blas"):
        for first in range(0, split.n_samples, BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            Z[:, block] = logits(W, reader.read(split.rows[block]))[0]
    return Z


def confusion_counts(
    targets: NDArray[np.integer[Any]], predicted: NDArray[np.intp], n_classes: int
) -> NDArray[np.intp]:
    """Return how often class i (row) was predicted as class j (column), (n_classes, n_classes)."""
    pairs = np.bincount(targets.astype(np.intp) * n_classes + predicted, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes)


def objective_on(split: Split, head: Head, l2_lambda: float) -> Objective:
    """Return J of a model on a split."""
    blocks = list(large_blocks(split))
    n_helpers = max_helpers() if split.n_samples >= _MANY_SAMPLES else 0
    return Objective(head, _samples(split, blocks, n_helpers), l2_lambda)


def _samples(like: Split, blocks: Sequence[Block], n_helpers: int) -> Samples:
    return Samples(blocks, like.n_features, len(like.classes), like.scaling, n_helpers)
