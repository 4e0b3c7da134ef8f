"""Divide a dataset into training, validation and test rows: rows first, classes after.

Pixels stay unsigned bytes, in memory or memory-mapped; they are scaled where they are used.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.data.catalog import (
    DATASETS,
    KnownFile,
    class_names_in,
    describe,
    may_be_known,
    n_dims,
    recognise,
)
from mnistlin.data.download import Progress
from mnistlin.data.idx import IdxError, IdxFile, by_text, read_idx
from mnistlin.data.locate import Location, locate
from mnistlin.errors import ConfigError, DataError
from mnistlin.model.products import FIXED_SCALINGS, SYMMETRIC, Scaling

if TYPE_CHECKING:
    from mnistlin.config import DataConfig, TrainingConfig

_N_LABELS = 256  # that an unsigned byte can hold
_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Split:
    """Selected and labelled rows of one image file.

    Attributes
    ----------
    images : ndarray of shape (n_file_rows, n_features), uint8
        Rows from the start of the file; memory-mapped if the file is raw.
    rows : ndarray of shape (n_samples,), uint32
        Which of them belong to the split, in the order of the file, or as drawn if sampled.
    targets : ndarray of shape (n_samples,), uint8
        For each of `rows`, the index of its label in `classes`.
    classes : tuple of int
        The labels: in the order of the config if it names them, else sorted.
    image_shape : tuple of int
        Height and width in pixels; their product is n_features.
    scaling : Scaling
        How its pixels become inputs.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.uint32]
    targets: NDArray[np.uint8]
    classes: tuple[int, ...]
    image_shape: tuple[int, int]
    scaling: Scaling = SYMMETRIC

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
    class_names : mapping of int to str
        Names of labels, where the dataset has them.
    warnings : tuple of str
        Sentences about what is unusual about the rows.
    drawn_from : tuple of int
        With `training.order: legacy`, how many rows there were each time that rows were sampled:
        the stream of the run has drawn a permutation of each.
    """

    train: Split
    val: Split
    test: Split | None
    dataset: str
    folder: Path
    class_names: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    drawn_from: tuple[int, ...] = ()


class SplitLoader:
    """Loads the splits of configs; locates, reads and verifies each dataset only once.

    A command has one loader for everything that needs images. Configs that use the same rows share
    their arrays, and equal configs share their splits with the hashes.
    """

    def __init__(self) -> None:
        self._locations: dict[tuple[str, Path | None], Location] = {}
        self._files: dict[Path, _Labelled] = {}
        self._splits: dict[tuple[DataConfig, Path | None, tuple[int, str]], Splits] = {}

    def locate(
        self, dataset: str, recorded: Path | None = None, progress: Progress | None = None
    ) -> Location:
        """Return where a dataset is, downloading it first if necessary; see `locate.locate`."""
        key = (dataset, recorded)
        if key not in self._locations:
            self._locations[key] = locate(dataset, progress, recorded)
        return self._locations[key]

    def load(
        self,
        data: "DataConfig",
        recorded: Path | None = None,
        training: "TrainingConfig | None" = None,
    ) -> Splits:
        """Return the splits of the section `data` of a config; see `load_splits`."""
        draw = (training.seed, training.order) if training else (0, "independent")
        key = (data, recorded, draw if "sample" in {data.train_rows, data.val_rows} else (0, ""))
        if key not in self._splits:
            sampler = _Sampler(*draw)
            self._splits[key] = self._divide(data, self.locate(data.dataset, recorded), sampler)
        return self._splits[key]

    def forget_images(self) -> None:
        """Free the images that nothing else uses; they are read again if they are needed."""
        self._files.clear()
        self._splits.clear()

    def _divide(self, data: "DataConfig", location: Location, sampler: "_Sampler") -> Splits:
        from_train = data.val_from == "train"
        train_file = self._read(location, "train", _n_rows_needed(data))
        n_test = None if from_train or data.val_rows != "first" else data.val_size
        test_file = self._read(location, "t10k", n_test)
        _check_same_shape(train_file, test_file)
        if location.known is None:
            _check_same_dataset(train_file, test_file)
        classes = data.classes or _labels_in(train_file.labels, test_file.labels)
        all_train, all_test = (
            np.arange(each.n_rows, dtype=np.uint32) for each in (train_file, test_file)
        )
        sizes: list[_Size] = [("train_size", train_file, all_train)]
        if not from_train:
            sizes.append(("val_size", test_file, all_test))
        _check_sizes(data, sizes)
        train_rows = _chosen(all_train, data.train_size, data.train_rows, sampler)
        val_file, candidates = test_file, all_test
        if from_train:
            val_file, candidates = train_file, np.delete(all_train, train_rows)
            _check_sizes(data, [("val_size", val_file, candidates)])
        val_rows = _chosen(candidates, data.val_size, data.val_rows, sampler)
        cuts = [(train_file, train_rows), (val_file, val_rows)]
        if from_train:
            cuts.append((test_file, all_test))
        warnings = _check_classes(data, classes, cuts)
        selected = [_select(file, rows, classes) for file, rows in cuts]
        scaling = _scaling(data.scaling, selected[0])
        train, val, *test = (replace(split, scaling=scaling) for split in selected)
        return Splits(
            train,
            val,
            test[0] if test else None,
            location.dataset,
            location.folder,
            _class_names(location, train_file, classes),
            tuple(warnings),
            tuple(sampler.drawn_from),
        )

    def _read(self, location: Location, stem: str, max_rows: int | None) -> "_Labelled":
        """Return an image file with its labels, of which at least `max_rows` rows are kept."""
        path = location.files[f"{stem}-images"]
        known = self._files.get(path)
        if known is None or len(known.images) < min(max_rows or known.n_rows, known.n_rows):
            known = self._files[path] = _read_labelled(location, stem, max_rows)
        return known


def load_splits(
    data: "DataConfig",
    recorded: Path | None = None,
    training: "TrainingConfig | None" = None,
) -> Splits:
    """Find a dataset, download it if necessary, and divide it as the config says.

    The content of a known dataset is verified on the way. The classes, if the config names none,
    are all labels of both label files, whichever rows are used.

    Parameters
    ----------
    data : DataConfig
        The section `data` of a config.
    recorded : Path, optional
        The folder in which a run found its data: it is tried where `data.dataset` leads nowhere,
        such as a relative path in another working directory.
    training : TrainingConfig, optional
        The section `training`, whose seed and order decide which rows are sampled.

    Raises
    ------
    DataError
        If a file is missing, damaged or not what it should be.
    ConfigError
        If the config asks for rows or classes that the files do not have.
    """
    return (shared_loader() or SplitLoader()).load(data, recorded, training)


_shared: ContextVar[SplitLoader | None] = ContextVar("shared", default=None)


def shared_loader() -> SplitLoader | None:
    """Return the loader that `load_splits` uses here, if there is one."""
    return _shared.get()


@contextmanager
def sharing(loader: SplitLoader) -> Iterator[None]:
    """Let `load_splits` use this loader inside, so that images are read and hashed once."""
    token = _shared.set(loader)
    try:
        yield
    finally:
        _shared.reset(token)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """An image file of `n_rows` images, of which the first are kept, and all its labels."""

    path: Path
    images: NDArray[np.uint8]
    image_shape: tuple[int, int]
    labels: NDArray[np.uint8]
    known: Mapping[Path, KnownFile]
    """Which of the two files, images and labels, belong to a known dataset."""

    @property
    def n_rows(self) -> int:
        return len(self.labels)


def _n_rows_needed(data: "DataConfig") -> int | None:
    """Return how many rows of the training file are used at most; None for all."""
    if data.train_rows != "first" or data.train_size is None:
        return None
    if data.val_from == "test":
        return data.train_size
    if data.val_rows != "first":
        return None
    return None if data.val_size is None else data.train_size + data.val_size


class _Sampler:
    """Draws rows: from streams of their own, or from the one legacy stream of the run."""

    def __init__(self, seed: int, order: str) -> None:
        self.drawn_from: list[int] = []
        self._seed, self._n_draws = seed, 0
        self._legacy = np.random.RandomState(seed) if order == "legacy" else None

    def permutation(self, n: int) -> NDArray[np.intp]:
        """Return 0 to n - 1 in random order; its start is what `choice` draws."""
        self._n_draws += 1
        if self._legacy is None:  # never [seed, epoch], which orders an epoch
            return np.random.default_rng([self._seed, 0, self._n_draws]).permutation(n)
        self.drawn_from.append(n)
        return self._legacy.permutation(n)


def _chosen(
    candidates: NDArray[np.uint32], size: int | None, which: str, sampler: _Sampler
) -> NDArray[np.uint32]:
    """Return `size` of some rows, all if it is None, as the config's `train_rows` says."""
    size = len(candidates) if size is None else size
    if which == "sample":
        return candidates[sampler.permutation(len(candidates))[:size]]
    return candidates[:size] if which == "first" else candidates[len(candidates) - size :]


def _scaling(name: str, train: Split) -> Scaling:
    """Return the scaling that a config names; `standard` is measured on all pixels of a split."""
    if name != "standard":
        return FIXED_SCALINGS[name]
    n, total, squares = train.n_samples * train.n_features, 0, 0
    for start in range(0, train.n_samples, _BLOCK_ROWS):
        counts = np.bincount(
            train.images[train.rows[start : start + _BLOCK_ROWS]].ravel(), minlength=256
        )
        total += int(counts @ np.arange(256))
        squares += int(counts @ np.arange(256) ** 2)
    variance = (n * squares - total**2) / n**2  # of integers, so exact up to this division
    if not variance:
        raise ConfigError(
            "data.scaling: found standard, but all pixels of the training images have the same "
            f"value, {total // max(n, 1)}, so their standard deviation is 0; use symmetric or unit"
        )
    return Scaling.standard(total / n, math.sqrt(variance))


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
    recognised = {file.path: recognise(file.sha256) for file in (images, labels) if file.sha256}
    known = {path: file for path, file in recognised.items() if file}
    return _Labelled(images.path, flat, (height, width), labels.values, known)


def _read_part(location: Location, part: str, max_items: int | None) -> IdxFile:
    """Read one file, and check that it is the right one if the dataset is a known one."""
    path = location.files[part]
    if location.known is None:
        hashed = may_be_known(path)
        return read_idx(path, n_dims=n_dims(part), max_items=max_items, hashed=hashed)
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
            f" {test.path} {by_text(test.image_shape)}; they must be equal"
        )


def _check_same_dataset(*files: _Labelled) -> None:
    """Reject a user's folder with files of different known datasets, or of different parts."""
    known = {path: each for file in files for path, each in file.known.items()}
    halves = [{each.part.split("-")[0] for each in file.known.values()} for file in files]
    if len({each.title for each in known.values()}) > 1 or any(len(half) > 1 for half in halves):
        parts = "; ".join(f"{path.name} is {each}" for path, each in known.items())
        raise DataError(
            f"the files in {files[0].path.parent} do not belong together: {parts}; put the four "
            "files of one dataset there"
        )


def _class_names(
    location: Location, train_file: _Labelled, classes: tuple[int, ...]
) -> dict[int, str]:
    """Return the names of the classes that have one: of a known dataset, or in `classes.txt`."""
    titles = {each.title for each in train_file.known.values()}
    known = (each.class_names for each in DATASETS.values() if each.title in titles)
    own = () if location.known else class_names_in(location.folder)
    names = own or next(known, ())
    return {label: names[label] for label in classes if label < len(names) and names[label]}


def _count_labels(*label_arrays: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return how often each label occurs, of shape (256,)."""
    counts = np.zeros(_N_LABELS, np.intp)
    for labels in label_arrays:
        for start in range(0, len(labels), _BLOCK_ROWS):
            counts += np.bincount(labels[start : start + _BLOCK_ROWS], minlength=_N_LABELS)
    return counts


def _labels_in(*label_arrays: NDArray[np.uint8]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(_count_labels(*label_arrays)).tolist())


def _check_sizes(data: "DataConfig", sizes: "Iterable[_Size]") -> None:
    """Reject sizes larger than the rows of their files allow; report all of them together."""
    problems = [_size_problem(key, getattr(data, key), file, rows) for key, file, rows in sizes]
    if any(problems):
        raise ConfigError("\n".join(filter(None, problems)))


def _size_problem(key: str, size: int | None, file: _Labelled, rows: NDArray[np.uint32]) -> str:
    """Return why so many rows of a file cannot be taken, or nothing."""
    if not len(rows):
        return (
            f"data.{key}: no rows are left, since all {file.n_rows} images of {file.path} are"
            " training rows; lower data.train_size, or set data.val_from to test"
        )
    if size is None or size <= len(rows):
        return ""
    is_rest = len(rows) < file.n_rows
    rest = f", of which {len(rows)} are not training rows" if is_rest else ""
    return (
        f"data.{key}: found {size}, but {file.path} has {file.n_rows} images{rest};"
        f" it may be 1 to {len(rows)}, or null for all"
    )


_Size: TypeAlias = tuple[str, _Labelled, NDArray[np.uint32]]
"""A key of the config that says how many of some rows are taken."""


def _check_classes(
    data: "DataConfig",
    classes: tuple[int, ...],
    cuts: Sequence[tuple[_Labelled, NDArray[np.uint32]]],
) -> Iterator[str]:
    """Reject training rows that lack a class, and yield a warning for other rows that do."""
    counts = [_count_labels(file.labels[rows]) for file, rows in cuts]
    (train_file, train_rows), in_train = cuts[0], counts[0]
    needed = data.classes or tuple(np.flatnonzero(sum(counts)).tolist())
    if absent := [label for label in needed if not in_train[label]]:
        elsewhere = ", ".join(
            f"{sum(count[label] for count in counts[1:])} of class {label}" for label in absent
        )
        advice = ["take more rows (data.train_size)"] if data.train_size else []
        if np.all(train_file.labels[:-1] <= train_file.labels[1:]):
            advice.append("shuffle the rows of the files, which are sorted by class")
        advice.append("name classes in data.classes that occur in the training rows")
        which = f"rows {train_rows.min()} to {train_rows.max()}"
        if data.train_rows == "sample":
            which = f"{len(train_rows)} sampled rows"
        raise ConfigError(
            f"data.classes: {which} of {train_file.path} "
            f"have no image of class {_listed(absent)}; images per class there: "
            f"{_counted(in_train)}; images in the other rows: {elsewhere}; {', or '.join(advice)}"
        )
    for name, count in zip(("validation", "test"), counts[1:], strict=False):
        if absent := [label for label in classes if not count[label]]:
            yield (
                f"no {name} image of class {_listed(absent)}: {name} loss and accuracy do not "
                f"cover it; images per class: {_counted(count)}"
            )


def _counted(counts: NDArray[np.intp]) -> str:
    """Return counts per label as text: `0: 12, 3: 5`."""
    return ", ".join(f"{label}: {counts[label]}" for label in np.flatnonzero(counts))


def _listed(labels: Iterable[int]) -> str:
    return ", ".join(map(str, labels))


def _select(file: _Labelled, rows: NDArray[np.uint32], classes: tuple[int, ...]) -> Split:
    """Keep the rows whose label is one of the classes."""
    target_of = np.zeros(_N_LABELS, np.uint8)
    target_of[list(classes)] = np.arange(len(classes))
    labels = file.labels[rows]
    is_kept = np.isin(np.arange(_N_LABELS), classes)[labels]
    targets = target_of[labels[is_kept]]
    return Split(file.images, rows[is_kept], targets, classes, file.image_shape)
