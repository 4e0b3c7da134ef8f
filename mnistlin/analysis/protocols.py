"""The protocols that `identify` knows, and the history of each: trained once, then cached.

A protocol is an experiment config without early stopping and without a penalty. The grid takes its
rows, learning rates and batch sizes from the shipped configs and combines them with each scaling,
order and seed, so a new shipped config extends it.
"""

import hashlib
import io
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

import mnistlin
from mnistlin.config import ExperimentConfig, load_config, shipped_configs
from mnistlin.data.download import cache_folder
from mnistlin.data.locate import locate
from mnistlin.data.splits import SplitLoader
from mnistlin.errors import RunError
from mnistlin.experiment import setup_for
from mnistlin.runs.files import write_bytes
from mnistlin.training.segments import Check
from mnistlin.training.sgd import train

SEEDS = (0, 1)
SCALINGS = ("symmetric", "unit", "standard")
EPOCHS: Mapping[str, Sequence[int]] = {"logistic": (250, 50), "softmax": (50,)}
"""Lengths of training. Rules of early stopping are replayed over the first; the end of a training
has a check of its own, so each length that the course asks for is trained."""

OnTrained = Callable[[int], object]
"""Called with the number of protocols that were just trained."""


@dataclass(frozen=True, eq=False)
class History:
    """The checks of one training; accuracies as numbers of images, because those are exact."""

    n_train: int
    n_val: int
    step: NDArray[np.int64]
    epoch: NDArray[np.int64]
    train_correct: NDArray[np.int64]
    val_correct: NDArray[np.int64]
    val_loss: NDArray[np.float64]

    @classmethod
    def of(cls, checks: Sequence[Check], n_train: int, n_val: int) -> "History":
        """Return the history of some checks."""
        columns = dict(zip(Check._fields, map(np.array, zip(*checks, strict=True)), strict=True))
        return cls(
            n_train,
            n_val,
            columns["step"],
            columns["epoch"],
            np.rint(columns["train_accuracy"] * n_train).astype(np.int64),
            np.rint(columns["val_accuracy"] * n_val).astype(np.int64),
            columns["val_loss"],
        )


Trained = tuple[ExperimentConfig, History]
"""A protocol whose `training.epochs` says for how long, and the result."""


@cache  # the command asks for the grid, and its answers for the shipped configs, again
def shipped_protocols(model: str, dataset: str) -> dict[str, ExperimentConfig]:
    """Return the shipped configs of a model that train without a penalty on a dataset, by name."""
    configs = {name: load_config(name) for name in shipped_configs()}
    return {
        name: config
        for name, config in configs.items()
        if config.model == model
        and config.data.dataset == dataset
        and config.sweep is None
        and config.training.l2_lambda == 0
    }


@cache
def grid(model: str, dataset: str) -> list[ExperimentConfig]:
    """Return the protocols of a model, each once, in float64 and without early stopping."""
    found: dict[str, ExperimentConfig] = {}
    for shipped in shipped_protocols(model, dataset).values():
        for scaling, (shuffle, order, seed) in product(SCALINGS, _orders()):
            is_random = shuffle or "sample" in (shipped.data.train_rows, shipped.data.val_rows)
            settings = {
                "name": "protocol",
                "data.scaling": scaling,
                "training.shuffle": shuffle,
                "training.order": order if is_random else "legacy",
                "training.seed": seed if is_random else 0,
                "training.dtype": "float64",
                "early_stopping": None,
            }
            for epochs in EPOCHS[model]:
                config = load_config(shipped, {**settings, "training.epochs": epochs})
                found.setdefault(config.model_dump_json(), config)
    return list(found.values())


def _orders() -> Iterator[tuple[bool, str, int]]:
    return product((False, True), ("legacy", "independent"), SEEDS)


def histories(model: str, dataset: str, on_trained: OnTrained | None = None) -> list[Trained]:
    """Return the history of each protocol of the grid, from the cache or by training.

    Raises
    ------
    DataError
        If the dataset is missing or damaged.
    """
    configs = grid(model, dataset)
    path = cache_folder("identify") / f"{_fingerprint(configs, dataset)}.npz"
    found = _read(path, len(configs))
    if not found:
        found = _train_all(configs, on_trained)
        _write(path, found)
    return list(zip(configs, found, strict=True))


def _fingerprint(configs: Sequence[ExperimentConfig], dataset: str) -> str:
    """Return a hash of all that decides the histories: version, protocols, and data files."""
    digest = hashlib.sha256(mnistlin.__version__.encode())
    for config in configs:
        digest.update(config.model_dump_json().encode())
    for _, path in sorted(locate(dataset).files.items()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _train_all(configs: Sequence[ExperimentConfig], on_trained: OnTrained | None) -> list[History]:
    """Train in one process per core; those that share their data share a task."""
    by_data = sorted(range(len(configs)), key=lambda i: configs[i].data.model_dump_json())
    tasks = [[*group] for _, group in groupby(by_data, lambda i: configs[i].data)]
    found: dict[int, History] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        futures = {pool.submit(_train, [configs[i] for i in task]): task for task in tasks}
        try:
            for future in as_completed(futures):
                found |= zip(futures[future], future.result(), strict=True)
                if on_trained is not None:
                    on_trained(len(futures[future]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [found[i] for i in range(len(configs))]


def _train(configs: Sequence[ExperimentConfig]) -> list[History]:
    """Train protocols that share a section `data`, one after another."""
    loader, found = SplitLoader(), []
    for config in configs:
        splits = loader.load(config.data, training=config.training)
        setup = setup_for([config], splits)
        checks = [check for (segment,) in train(setup) for check in segment.checks]
        found.append(History.of(checks, splits.train.n_samples, splits.val.n_samples))
    return found


def _read(path: Path, n: int) -> list[History]:
    """Return the histories in a file; none if it is missing, damaged or incomplete."""
    try:
        with np.load(path) as arrays:
            columns = list(History.__annotations__)[2:]
            return [
                History(n_train, n_val, *(arrays[f"{i}.{name}"] for name in columns))
                for i in range(n)
                for n_train, n_val in [arrays[f"{i}.sizes"].tolist()]
            ]
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return []


def _write(path: Path, found: Sequence[History]) -> None:
    """Keep histories for the next question; where that is not possible, it only takes longer."""
    arrays: dict[str, Any] = {}
    for i, history in enumerate(found):
        n_train, n_val, *columns = vars(history).items()
        arrays[f"{i}.sizes"] = np.array([n_train[1], n_val[1]])
        arrays |= {f"{i}.{name}": values for name, values in columns}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())
    except (OSError, RunError):
        pass
