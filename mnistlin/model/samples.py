"""Samples in blocks, mostly of one class, and the threads that work on them.

Images stay uint8 until they are used: converting a block is as fast as reading floats, in a quarter
of the memory, and works with memory-mapped files. A block may leave out the pixels that are black
in all of its images.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.products import Floats, Scaling

_MAX_HELPERS = 8
"""Maximum number of helper threads; each has its own buffers."""

_Result = TypeVar("_Result")


class PixelBuffer:
    """Turns images into pixels P, in an array of floats that it reuses."""

    def __init__(self, max_rows: int, n_features: int, scaling: Scaling) -> None:
        self._memory = np.empty(max_rows * (n_features + 1))
        self._bias_pixel = scaling.bias_pixel

    def fill(self, images: NDArray[np.uint8], dtype: str) -> Floats:
        """Return the pixels of images (n, m), and the bias pixel, as a view (n, m + 1).

        It is valid until the next call, and has the memory order of the images.
        """
        n, m = images.shape
        order: Literal["C", "F"] = "C" if images.flags.c_contiguous else "F"
        P: Floats = self._memory.view(dtype)[: n * (m + 1)].reshape(n, m + 1, order=order)
        P[:, :-1] = images
        P[:, -1] = self._bias_pixel
        return P


@dataclass(frozen=True, eq=False)
class Block:
    """Some samples: some rows, and some or all columns, of an array of images.

    `targets` (n_samples,) are class indices, (1,) if all samples have the same. `columns`
    (n_kept + 1,) are those of P that are kept, None for all; the others are black.
    """

    targets: NDArray[np.integer[Any]]
    images: NDArray[np.uint8]
    rows: NDArray[np.uint32] | slice
    columns: NDArray[np.intp] | None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.images) if isinstance(self.rows, slice) else len(self.rows)

    def gather(self) -> NDArray[np.uint8]:
        """Return the pixels of the samples, (n, n_kept)."""
        return self.images[self.rows]

    def weights(self, V: Floats) -> Floats:
        """Return the columns of V (..., n_features + 1) that are kept, (..., n_kept + 1)."""
        return V if self.columns is None else V[..., self.columns]


class Samples:
    """A labelled set of images, on which the calling thread and some helpers work together.

    Each thread has a buffer of its own. Blocks, and so the order in which results are added, do not
    depend on the number of threads.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        n_features: int,
        n_classes: int,
        scaling: Scaling,
        n_helpers: int,
    ) -> None:
        self._blocks, self._n_helpers = blocks, n_helpers
        self.n_features, self.n_classes, self.scaling = n_features, n_classes, scaling
        self.n_samples = sum(block.n_samples for block in blocks)
        self._max_rows = max(block.n_samples for block in blocks)
        self._buffers: SimpleQueue[PixelBuffer] = SimpleQueue()
        for _ in range(n_helpers + 1):
            self._buffers.put(PixelBuffer(self._max_rows, n_features, scaling))

    @cached_property
    def _pool(self) -> Executor:
        """Threads that last as long as the samples."""
        return ThreadPoolExecutor(max(1, self._n_helpers))

    @property
    def n_threads(self) -> int:
        """Number of threads, the calling one included."""
        return self._n_helpers + 1

    def start(
        self, work: Callable[..., _Result], dtype: str, pool: Executor, *others: Sequence[Any]
    ) -> Callable[[], list[_Result]]:
        """Start calling a function with each block and its pixels, in the threads of a pool.

        It is also called with the block's item of each other sequence. The returned function takes
        part in the work, and returns the results in the order of the blocks, or raises the error of
        a helper.
        """
        results: dict[int, _Result] = {}
        # Shared by the threads: taking the next item is atomic under the interpreter's lock.
        todo = iter(list(enumerate(zip(self._blocks, *others, strict=True))))

        def work_on_some() -> None:
            buffer = self._buffers.get()
            try:
                for i, (block, *items) in todo:
                    results[i] = work(block, buffer.fill(block.gather(), dtype), *items)
            finally:
                self._buffers.put(buffer)

        helpers = [pool.submit(work_on_some) for _ in range(self._n_helpers)]

        def wait() -> list[_Result]:
            work_on_some()
            for helper in helpers:
                helper.result()
            return [results[i] for i in range(len(self._blocks))]

        return wait

    def map(
        self, work: Callable[..., _Result], dtype: str, *others: Sequence[Any]
    ) -> list[_Result]:
        """Return what `start` computes, in threads of its own."""
        return self.start(work, dtype, self._pool, *others)()

    def read(self, dtype: str) -> Iterator[tuple[Block, Floats]]:
        """Yield each block and its pixels, which are valid until the next block is read."""
        buffer = PixelBuffer(self._max_rows, self.n_features, self.scaling)
        for block in self._blocks:
            yield block, buffer.fill(block.gather(), dtype)


def max_helpers() -> int:
    """Return the number of helper threads: one less than the cores this process may use."""
    is_linux = hasattr(os, "sched_getaffinity")
    n_cores = len(os.sched_getaffinity(0)) if is_linux else os.cpu_count() or 1
    return min(_MAX_HELPERS, n_cores - 1)
