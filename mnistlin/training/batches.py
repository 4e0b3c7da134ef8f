"""Which images a step sees, and their inputs as the model wants them. No arithmetic on them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.splits import Split
from mnistlin.model.heads import Floats
from mnistlin.model.inputs import WHITE, Pixels


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
