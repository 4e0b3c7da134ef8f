"""Divide a dataset into training, validation and test rows: rows first, classes after.

Pixels stay unsigned bytes, in memory or memory-mapped; they are scaled where they are used.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.catalog import describe, n_dims
from mnistlin.data.download import Progress
from mnistlin.data.idx import IdxError, IdxFile, by_text, read_idx
from mnistlin.data.locate import Location, locate
from mnistlin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mnistlin.config import DataConfig

_N_LABELS = 256  # that an unsigned byte can hold
_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Split:
    """Selected and labelled rows of one image file.

    Attributes
    ----------
    images : ndarray of shape (n_file_rows, n_features), uint8
        Rows from the start of the file; memory-mapped if the file is raw.
    rows : ndarray of shape (n_samples,), intp
        Which of them belong to the split, in the order of the file.
    targets : ndarray of shape (n_samples,), intp
        For each of `rows`, the index of its label in `classes`.
    classes : tuple of int
        The labels: in the order of the config if it names them, else sorted.
    image_shape : tuple of int
        Height and width in pixels; their product is n_features.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.intp]
    targets: NDArray[np.intp]
    classes: tuple[int, ...]
    image_shape: tuple[int, int]

    @property
    def n_samples(self) -> int:
        """How many images belong to the split."""
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """How many pixels an image has."""
        height, width = self.image_shape
        return height * width

    def sha256(self) -> Mapping[str, str]:
        """Return the hashes of exactly the images and labels of the split, in its order.

        Returns
        -------
        mapping of str to str
            `images`: of the pixels, row after row; `labels`: of the labels, one byte each.
        """
        return self._sha256

    @cached_property
    def _sha256(self) -> Mapping[str, str]:
        images, labels = hashlib.sha256(), hashlib.sha256()
        label_of = np.array(self.classes, np.uint8)
        for start in range(0, self.n_samples, _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            images.update(self.images[self.rows[block]].data)
            labels.update(label_of[self.targets[block]].data)
        return {"images": images.hexdigest(), "labels": labels.hexdigest()}


@dataclass(frozen=True)
class Splits:
    """The splits of one experiment; they share classes and image shape.

    Attributes
    ----------
    train, val : Split
        What is trained on, and what early stopping and all published figures look at.
    test : Split or None
        The whole test file, if validation rows come from the training file; else None.
    dataset : str
        What the config calls the dataset.
    folder : Path
        Where its files are.
    """

    train: Split
    val: Split
    test: Split | None
    dataset: str
    folder: Path


class SplitLoader:
    """Loads the splits of configs; locates, reads and verifies each dataset only once.

    A command makes one loader and passes it to everything that needs images. Configs that use the
    same rows share their arrays, and equal configs share their splits with the hashes.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._locations: dict[str, Location] = {}
        self._files: dict[Path, _Labelled] = {}
        self._splits: dict[DataConfig, Splits] = {}

    def locate(self, dataset: str) -> Location:
        """Return where a dataset is, downloading it first if necessary."""
        if dataset not in self._locations:
            self._locations[dataset] = locate(dataset, self._progress)
        return self._locations[dataset]

    def load(self, data: "DataConfig") -> Splits:
        """Return the splits of the section `data` of a config; see `load_splits`."""
        if data not in self._splits:
            self._splits[data] = self._divide(data)
        return self._splits[data]

    def _divide(self, data: "DataConfig") -> Splits:
        location = self.locate(data.dataset)
        from_train = data.val_from == "train"
        train_file = self._read(location, "train", _n_rows_needed(data))
        test_file = self._read(location, "t10k", None if from_train else data.val_size)
        _check_same_shape(train_file, test_file)
        classes = data.classes or _labels_in(train_file.labels, test_file.labels)
        train_rows = _cut(train_file, 0, data.train_size, "train_size")
        cuts = [(train_file, train_rows)]
        if from_train:
            cuts.append((train_file, _cut(train_file, train_rows.stop, data.val_size, "val_size")))
            cuts.append((test_file, range(test_file.n_rows)))
        else:
            cuts.append((test_file, _cut(test_file, 0, data.val_size, "val_size")))
        for file, rows in cuts:
            _check_classes_occur(data.classes or (), file, rows)
        train, val, *test = (_select(file, rows, classes) for file, rows in cuts)
        return Splits(train, val, test[0] if test else None, location.dataset, location.folder)

    def _read(self, location: Location, stem: str, max_rows: int | None) -> "_Labelled":
        """Return an image file with its labels, of which at least `max_rows` rows are kept."""
        path = location.files[f"{stem}-images"]
        known = self._files.get(path)
        if known is None or len(known.images) < min(max_rows or known.n_rows, known.n_rows):
            known = self._files[path] = _read_labelled(location, stem, max_rows)
        return known


def load_splits(data: "DataConfig") -> Splits:
    """Find a dataset, download it if necessary, and divide it as the config says.

    The content of a known dataset is verified on the way. The classes, if the config names none,
    are all labels of both label files, whichever rows are used.

    Parameters
    ----------
    data : DataConfig
        The section `data` of a config.

    Raises
    ------
    DataError
        If a file is missing, damaged or not what it should be.
    ConfigError
        If the config asks for rows or classes that the files do not have.
    """
    return SplitLoader().load(data)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """An image file of `n_rows` images, of which the first are kept, and all its labels."""

    path: Path
    images: NDArray[np.uint8]
    image_shape: tuple[int, int]
    labels: NDArray[np.uint8]

    @property
    def n_rows(self) -> int:
        return len(self.labels)


def _n_rows_needed(data: "DataConfig") -> int | None:
    """Return how many rows of the training file are used at most; None for all."""
    if data.train_size is None or data.val_from == "test":
        return data.train_size
    return None if data.val_size is None else data.train_size + data.val_size


def _read_labelled(location: Location, stem: str, max_rows: int | None) -> _Labelled:
    images = _read_part(location, f"{stem}-images", max_rows)
    labels = _read_part(location, f"{stem}-labels", None)
    if images.shape[0] != labels.shape[0]:
        raise DataError(
            f"{images.path} has {images.shape[0]} images but {labels.path} has {labels.shape[0]}"
            " labels; the two files do not belong together"
        )
    n_kept, height, width = images.values.shape
    flat = images.values.reshape(n_kept, height * width)
    return _Labelled(images.path, flat, (height, width), labels.values)


def _read_part(location: Location, part: str, max_items: int | None) -> IdxFile:
    """Read one file, and check that it is the right one if the dataset is a known one."""
    path = location.files[part]
    if location.known is None:
        return read_idx(path, n_dims=n_dims(part), max_items=max_items)
    expected = location.known.file(part)
    try:
        found = read_idx(path, max_items=max_items, hashed=True)
    except IdxError as error:
        raise location.wrong(expected, error.what) from None
    if found.sha256 != expected.sha256:
        raise location.wrong(expected, describe(found))
    return found


def _check_same_shape(train: _Labelled, test: _Labelled) -> None:
    if train.image_shape != test.image_shape:
        raise DataError(
            f"the images of {train.path} have {by_text(train.image_shape)} pixels, those of"
            f" {test.path} {by_text(test.image_shape)}; they must be alike"
        )


def _labels_in(*label_arrays: NDArray[np.uint8]) -> tuple[int, ...]:
    occurs = np.zeros(_N_LABELS, bool)
    for labels in label_arrays:
        for start in range(0, len(labels), _BLOCK_ROWS):
            occurs[labels[start : start + _BLOCK_ROWS]] = True
    return tuple(np.flatnonzero(occurs).tolist())


def _cut(file: _Labelled, start: int, size: int | None, key: str) -> range:
    """Return the rows from `start` that the config asks for with `key`."""
    n_left = file.n_rows - start
    if n_left == 0:
        raise ConfigError(
            f"data.{key}: no rows are left, since all {file.n_rows} images of {file.path} are"
            " training rows; lower data.train_size, or set data.val_from to test"
        )
    if size is not None and size > n_left:
        rest = f", of which {n_left} follow the training rows" if start else ""
        raise ConfigError(
            f"data.{key}: found {size}, but {file.path} has {file.n_rows} images{rest};"
            f" it may be 1 to {n_left}, or null for all"
        )
    return range(start, file.n_rows if size is None else start + size)


def _check_classes_occur(classes: Iterable[int], file: _Labelled, rows: range) -> None:
    present = _labels_in(file.labels[rows.start : rows.stop])
    absent = [label for label in classes if label not in present]
    if absent:
        raise ConfigError(
            f"data.classes: found {_listed(absent)}, but rows {rows.start} to {rows.stop - 1} of"
            f" {file.path} have the labels {_listed(present)} only; name classes that occur there,"
            " or take more rows"
        )


def _listed(labels: Iterable[int]) -> str:
    return ", ".join(map(str, labels))


def _select(file: _Labelled, rows: range, classes: tuple[int, ...]) -> Split:
    """Keep the rows whose label is one of the classes."""
    labels = file.labels[rows.start : rows.stop]
    target_of = np.full(_N_LABELS, -1, np.intp)
    target_of[list(classes)] = np.arange(len(classes))
    targets = target_of[labels]
    kept = np.flatnonzero(targets >= 0)
    return Split(file.images, kept + rows.start, targets[kept], classes, file.image_shape)
