"""A split cut into blocks for evaluation: samples of one class, without what is black in all.

In images of one class that is a third of MNIST's pixels, and so of the arithmetic.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.splits import Split

BLOCK_ROWS = 1024
"""Samples of a block: half as many cost a tenth more, and twice as many gain nothing."""

KEPT_BYTES = 64 * 2**20
"""Splits of up to this size may be kept once more in blocks; others are gathered each time."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some samples of one class.

    Attributes
    ----------
    k : int
        Index of their class.
    images : ndarray of shape (n_rows, n_lit), uint8
        Where their pixels are.
    rows : ndarray of shape (n,), or slice
        Which rows of it are theirs.
    columns : ndarray of shape (n_lit + 1,)
        Which columns of P these pixels are, and the white one; all other columns are black.
    """

    k: int
    images: NDArray[np.uint8]
    rows: NDArray[np.intp] | slice
    columns: NDArray[np.intp]

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels of the samples, (n, n_lit)."""
        return self.images[self.rows]

    def kept(self) -> "Block":
        """Return the same block with pixels of its own, without those that are black in all."""
        pixels = self.pixels()
        lit = np.flatnonzero(pixels.any(axis=0))
        columns = np.append(lit, self.columns[-1])
        return Block(self.k, pixels.take(lit, axis=1), slice(None), columns)


def one_class_blocks(split: Split, *, keep: bool) -> Iterator[Block]:
    """Yield blocks in which each sample of a split is once, at most BLOCK_ROWS in each.

    Parameters
    ----------
    split : Split
        What is to be evaluated.
    keep : bool
        Whether blocks may be kept, which takes a pass over the images and saves a third of each
        evaluation.
    """
    keep = keep and split.n_samples * split.n_features <= KEPT_BYTES
    all_columns = np.arange(split.n_features + 1)
    for k in np.unique(split.targets):
        samples = np.flatnonzero(split.targets == k)
        for block in np.array_split(samples, -(-len(samples) // BLOCK_ROWS)):
            gathered = Block(int(k), split.images, split.rows[block], all_columns)
            yield gathered.kept() if keep else gathered
