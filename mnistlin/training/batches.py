"""Which images a step sees, and their inputs as the model wants them. No arithmetic on them.

A split cut into blocks of one class, for evaluation.

Blocks that are kept have pixels of their own, without those that are black in all of a block: a
third of MNIST's, and so of the arithmetic.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.model.products import WHITE, Floats, Pixels


def epoch_order(n_samples: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.intp]:
    """Return the order of the samples in one epoch.

    It depends on (seed, epoch) alone, so a run that is resumed needs no saved random state.

    Parameters
    ----------
    n_samples : int
        Size of the training set.
    seed, epoch : int
        Seed of the run, and number of the epoch from 0.
    shuffle : bool
        Whether to permute at all; otherwise the samples come as they lie.

    Returns
    -------
    ndarray of shape (n_samples,)
        Indices into the split.
    """
    if not shuffle:
        return np.arange(n_samples)
    return np.random.default_rng([seed, epoch]).permutation(n_samples)


class PixelBuffer:
    """Turns images into pixels P, in one array of floats that it keeps."""

    def __init__(self, max_rows: int, n_features: int, dtype: str) -> None:
        self._floats = np.empty(max_rows * (n_features + 1), dtype=dtype)

    def fill(self, images: NDArray[np.uint8]) -> Floats:
        """Return the pixels of some images, and the white one.

        Parameters
        ----------
        images : ndarray of shape (n, m), uint8
            At most `max_rows` images of at most `n_features` pixels.

        Returns
        -------
        ndarray of shape (n, m + 1)
            A view of the buffer, good until the next call, which lies in memory as the images do:
            one image after another, or one pixel of all after another.
        """
        n, m = images.shape
        order: Literal["C", "F"] = "C" if images.flags.c_contiguous else "F"
        P = self._floats[: n * (m + 1)].reshape(n, m + 1, order=order)
        P[:, :-1] = images
        P[:, -1] = WHITE
        return P


class PixelReader:
    """Reads samples of a split as inputs, into buffers that it keeps.

    Images stay uint8 until they are needed: gathering bytes and converting a batch is as fast as
    gathering floats, in a quarter of the memory, and serves memory-mapped files.
    """

    def __init__(self, split: Split, max_rows: int, dtype: str) -> None:
        self._split = split
        self._images = np.empty((max_rows, split.n_features), dtype=np.uint8)
        self._buffer = PixelBuffer(max_rows, split.n_features, dtype)

    def read(self, samples: NDArray[np.intp]) -> Pixels:
        """Return the inputs of some samples.

        Parameters
        ----------
        samples : ndarray of shape (n,)
            Indices into the split, at most `max_rows`.

        Returns
        -------
        Pixels
            Of shape (n, n_features + 1), good until the next call.
        """
        images = self._images[: len(samples)]
        # Rows are known to be in range; mode="raise" would make NumPy buffer the output.
        np.take(self._split.images, self._split.rows[samples], axis=0, out=images, mode="clip")
        return Pixels(self._buffer.fill(images))


BLOCK_ROWS = 512
"""Samples of a block: half as many take 7 % longer, and twice as many gain nothing."""

KEPT_IMAGE_BYTES = 64 * 2**20
"""A split whose images take at most this is kept in blocks, if it is evaluated more than once."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some samples of one class.

    Attributes
    ----------
    k : int
        Index of their class.
    images : ndarray of shape (n_rows, n_lit), uint8
        The array that has their pixels: that of the split, or one of the block's own.
    rows : ndarray of shape (n,), or slice
        Which of its rows are theirs; all of them if it is the block's own.
    columns : ndarray of shape (n_lit + 1,), or None
        Which columns of P these pixels are, and the white one; all other columns are black. None if
        the pixels are all that there are.
    """

    k: int
    images: NDArray[np.uint8]
    rows: NDArray[np.intp] | slice
    columns: NDArray[np.intp] | None

    def gather(self) -> NDArray[np.uint8]:
        """Return the pixels of the samples, (n, n_lit)."""
        return self.images[self.rows]

    def weights(self, V: Floats) -> Floats:
        """Return of V, (..., n_features + 1), the columns that the block has, (..., n_lit + 1)."""
        return V if self.columns is None else V[..., self.columns]


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
    keep = keep and split.n_samples * split.n_features <= KEPT_IMAGE_BYTES
    for k in np.flatnonzero(np.bincount(split.targets)):
        samples = np.flatnonzero(split.targets == k)
        # In equal parts, for a small last one would cost as many calls as a whole one.
        for part in np.array_split(samples, math.ceil(len(samples) / BLOCK_ROWS)):
            block = Block(int(k), split.images, split.rows[part], columns=None)
            yield _kept(block) if keep else block


def _kept(block: Block) -> Block:
    """Return the same samples with pixels of their own, without those that are black in all.

    They lie pixel after pixel, so that Pᵀ lies row after row: products with it take 5 % less time,
    those of few weights up to a half.
    """
    images = block.gather()
    lit = np.flatnonzero(images.any(axis=0))
    columns = np.append(lit, images.shape[1])
    return Block(block.k, np.asfortranarray(images[:, lit]), slice(None), columns)
