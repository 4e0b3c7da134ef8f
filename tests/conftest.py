"""What many tests share: tiny datasets, and two ways of training on them.

The fixtures that return functions live as long as the session, so that hypothesis may use them.
"""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from reference import train_plainly

from mnistlin.config import ExperimentConfig, TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.experiment import run_experiment
from mnistlin.model.heads import HEADS
from mnistlin.training.schedule import Setup
from mnistlin.training.sgd import train

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.register_profile("hostile", deadline=None, max_examples=10_000)
settings.load_profile("repeatable")

MEMORY = Path("/dev/shm")


def pytest_configure():
    """Keep the files of tests in memory where there is room: runs sync all that they write."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@dataclass(frozen=True)
class History:
    """The rows of both tables of one model, and its weights (n_features + 1, n_outputs)."""

    steps: np.ndarray
    metrics: np.ndarray
    last: np.ndarray
    best: np.ndarray
    outcome: str | None = None


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_repository(tmp_path_factory):
    """Work in an empty folder: without --runs-dir, commands write to ./runs."""
    with contextlib.chdir(tmp_path_factory.mktemp("workplace")):
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """Keep the variables of the user's shell out of the tests, and the tests off the network."""
    for name in ("MNISTLIN_DATA_DIR", "MNISTLIN_RUNS_DIR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MNISTLIN_OFFLINE", "1")


def noisy_images(targets, shape, rng):
    """Return images with a bright pixel stripe that gives the class away most of the time."""
    images = rng.integers(0, 256, (len(targets), shape[0] * shape[1]))
    for image, target in zip(images, targets, strict=True):
        image[target :: int(targets.max()) + 2] //= 3
    return images.astype(np.uint8)


@pytest.fixture(scope="session")
def make_split():
    """Return a function that makes a split whose rows are scattered over a larger image file."""

    def make(n_samples, n_classes=2, shape=(3, 4), seed=0):
        rng = np.random.default_rng([seed, n_samples, n_classes, *shape])
        n_file_rows = 2 * n_samples + 1
        rows = np.sort(rng.choice(n_file_rows, n_samples, replace=False))
        targets = np.append(np.arange(n_classes), rng.integers(0, n_classes, n_file_rows))
        images = noisy_images(targets[:n_file_rows], shape, rng)
        return Split(images, rows, targets[rows], tuple(range(n_classes)), shape)

    return make


@pytest.fixture(scope="session")
def make_setup(make_split):
    """Return a function that makes a small setup of a head or its name, and of TrainingConfig."""

    def make(head="softmax", l2_lambdas=(0.0,), stopping=None, splits=None, **training):
        head = HEADS.get(head, head)
        n_classes = head.max_classes or 3
        train_split, val_split = splits or (make_split(40, n_classes), make_split(23, n_classes))
        how = {"epochs": 3, "batch_size": 8, "learning_rate": 0.1, "dtype": "float64", **training}
        return Setup(train_split, val_split, head, TrainingConfig(**how), stopping, l2_lambdas)

    return make


@pytest.fixture(scope="session")
def histories():
    """Return a function that trains a stack to its end and returns a History for each member."""

    def run(setup, resume=None):
        return collect(train(setup, resume))

    return run


def collect(trained):
    """Return the History of each member, in the order of the stack."""
    segments_of = {}
    for segments in trained:
        for segment in segments:
            segments_of.setdefault(segment.member, []).append(segment)
    return [_history(segments_of[member]) for member in sorted(segments_of)]


def _history(segments):
    steps = [
        (step, step // segment.steps_per_epoch, loss)
        for segment in segments
        for step, loss in zip(segment.steps, segment.batch_losses, strict=True)
    ]
    metrics = [check for segment in segments for check in segment.checks]
    end = segments[-1]
    return History(
        np.array(steps).reshape(-1, 3),
        np.array(metrics).reshape(-1, 9),
        end.state.last,
        end.state.best,
        end.outcome,
    )


@pytest.fixture(scope="session")
def reference():
    """Return a function that trains one member of a setup in the simplest way."""

    def run(setup, member=0):
        pixels_and_targets = [
            (split.images[split.rows], split.targets) for split in (setup.train, setup.val)
        ]
        steps, metrics, weights = train_plainly(
            *pixels_and_targets,
            n_outputs=setup.weights_shape[1],
            how=setup.training,
            l2_lambda=setup.l2_lambdas[member],
            stopping=setup.stopping,
        )
        best = metrics[:, 4].argmin()
        return History(steps, metrics, weights[-1], weights[best])

    return run


@pytest.fixture(scope="session")
def assert_alike():
    """Return a function that holds two histories to the same rows and weights."""

    def compare(found, expected, tolerance=1e-9):
        for name in ("steps", "metrics", "last", "best"):
            np.testing.assert_allclose(
                getattr(found, name),
                getattr(expected, name),
                rtol=tolerance,
                atol=tolerance,
                err_msg=name,
            )

    return compare


@pytest.fixture(scope="session")
def write_dataset():
    """Return a function that writes a folder of four raw IDX files from (images, labels)."""

    def write(folder: Path, train, test):
        folder.mkdir(parents=True, exist_ok=True)
        for stem, (images, labels) in {"train": train, "t10k": test}.items():
            _write_idx(folder / f"{stem}-images-idx3-ubyte", images)
            _write_idx(folder / f"{stem}-labels-idx1-ubyte", labels)
        return folder

    return write


def _write_idx(path, values):
    """Write bytes in the IDX format: 0, 0, type 8, number of dimensions, their sizes, the data."""
    values = np.asarray(values, np.uint8)
    sizes = np.array(values.shape, ">u4").tobytes()
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, write_dataset):
    """Write a folder with 60 training and 30 test images of 4 x 5 pixels, labelled 1, 2 and 7."""
    rng = np.random.default_rng(5)

    def part(n):
        targets = np.append(np.arange(3), rng.integers(0, 3, n - 3))
        return noisy_images(targets, (4, 5), rng).reshape(n, 4, 5), np.array([1, 2, 7])[targets]

    return write_dataset(tmp_path_factory.mktemp("dataset"), part(60), part(30))


@pytest.fixture(scope="session")
def make_config(dataset):
    """Return a function that makes the config of an experiment on the tiny dataset."""

    def make(model="softmax", name="tiny", data=(), early_stopping=None, **training):
        classes = [7, 2] if model == "logistic" else None
        how = {"epochs": 4, "batch_size": 8, "learning_rate": 0.1, "dtype": "float64", **training}
        return ExperimentConfig.model_validate(
            {
                "name": name,
                "model": model,
                "data": {"dataset": str(dataset), "classes": classes, **dict(data)},
                "training": how,
                "early_stopping": early_stopping,
            }
        )

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, make_config):
    """Return a finished run of three classes, which is not to be changed."""
    return run_experiment(make_config(), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def wait_for():
    """Return a function that waits until something is so."""

    def wait(is_so, seconds=60):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "it did not come about in time"
            time.sleep(0.01)

    return wait
