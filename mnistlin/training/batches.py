"""Which images are used together: the batches of training, and the blocks of evaluation."""

import math
from collections.abc import Iterator, Sequence
from itertools import count, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.model.products import Pixels
from mnistlin.model.samples import Block

BLOCK_ROWS = 512
"""Samples per block: half as many take 7 % longer, twice as many gain nothing."""

_KEPT_IMAGE_BYTES = 64 * 2**20
"""A split up to this size is kept in blocks if it is evaluated more than once."""


def epoch_orders(
    training: TrainingConfig,
    n_samples: int,
    first_epoch: int = 0,
    drawn_from: Sequence[int] = (),
) -> Iterator[NDArray[np.uint32]]:
    """Yield the order of the samples in each epoch from `first_epoch` on, as indices (n_samples,).

    An independent order depends on the seed and the epoch alone. Legacy orders come from one
    stream, from which rows were drawn first (see `Splits.drawn_from`); it is replayed up to
    `first_epoch`, so that a resumed run needs no random state in either case.
    """
    if not training.shuffle:
        yield from repeat(np.arange(n_samples, dtype=np.uint32))
    elif training.order == "independent":
        for epoch in count(first_epoch):
            yield _permutation(np.random.default_rng([training.seed, epoch]), n_samples)
    stream = np.random.RandomState(training.seed)
    for n in (*drawn_from, *repeat(n_samples, training.skip_orders + first_epoch)):
        _permutation(stream, n)
    while True:
        yield _permutation(stream, n_samples)


def _permutation(rng: np.random.Generator | np.random.RandomState, n: int) -> NDArray[np.uint32]:
    """Return `rng.permutation(n)`, in half the memory."""
    order = np.arange(n, dtype=np.uint32)
    rng.shuffle(order)
    return order


class PixelReader:
    """Reads images of a split as inputs, at most `max_rows` at a time, into its own buffers."""

    def __init__(self, split: Split, max_rows: int, dtype: str) -> None:
        self._split = split
        self._images = np.empty((max_rows, split.n_features), dtype=np.uint8)
        self._pixels = np.empty((max_rows, split.n_features + 1), dtype)
        self._pixels[:, -1] = split.scaling.bias_pixel

    def read(self, rows: NDArray[np.integer[Any]]) -> Pixels:
        """Return the inputs X (n, n_features + 1) of `Split.rows`, valid until the next call."""
        split, n = self._split, len(rows)
        images, P = self._images[:n], self._pixels[:n]
        # Rows are known to be in range; mode="raise" would make NumPy buffer the output.
        split.images.take(rows, axis=0, out=images, mode="clip")
        P[:, :-1] = images
        return Pixels(P, split.scaling)


def one_class_blocks(split: Split, *, keep: bool) -> Iterator[Block]:
    """Yield the samples of a split in blocks of one class, at most BLOCK_ROWS in each.

    Blocks that are kept have a copy of their images without the pixels that are black in all of
    them: a third of MNIST's, and so of the work of an evaluation.
    """
    keep = keep and split.n_samples * split.n_features <= _KEPT_IMAGE_BYTES
    for k in np.flatnonzero(np.bincount(split.targets)):
        for part in _parts(np.flatnonzero(split.targets == k)):
            block = Block(np.array([k]), split.images, split.rows[part], columns=None)
            yield _kept(block) if keep else block


def large_blocks(split: Split) -> Iterator[Block]:
    """Yield the samples of a split in kept blocks: of one class, unless those would be small.

    Calls on small blocks take longer than their arithmetic, so few samples stay in their order, in
    blocks of all classes.
    """
    if split.n_samples >= len(split.classes) * BLOCK_ROWS // 2:
        yield from one_class_blocks(split, keep=True)
        return
    for part in _parts(np.arange(split.n_samples)):
        yield _kept(Block(split.targets[part], split.images, split.rows[part], columns=None))


def _parts(samples: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Divide samples equally, since a small last block would need as many calls as a full one."""
    return np.array_split(samples, math.ceil(len(samples) / BLOCK_ROWS))


def _kept(block: Block) -> Block:
    """Return the same samples with their own pixels, without those that are black in all.

    They are stored pixel by pixel: products with Pᵀ, then C-contiguous, take 5 % less time.
    """
    images = block.gather()
    lit = np.flatnonzero(images.any(axis=0))
    columns = np.append(lit, images.shape[1])
    return Block(block.targets, np.asfortranarray(images[:, lit]), slice(None), columns)
