"""What run.json says of where a run comes from."""

import hashlib
from importlib import metadata

import numpy as np
import pytest

import mnistlin
from mnistlin.config import DataConfig
from mnistlin.data.splits import load_splits
from mnistlin.runs import provenance
from mnistlin.runs.provenance import describe_data, describe_origin


@pytest.fixture
def config(make_config):
    """Return the config of a run."""
    return make_config()


@pytest.fixture
def splits(config):
    """Return its data."""
    return load_splits(config.data)


def test_program_and_machine_are_described(config, splits, monkeypatch):
    """Versions, BLAS, processor: all that may decide the bits."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/mnistlin", "train"])
    origin = describe_origin(config, splits)
    assert origin.command == ("mnistlin", "train")
    assert origin.mnistlin == mnistlin.__version__
    assert origin.libraries["numpy"] == metadata.version("numpy")
    assert origin.blas["version"]
    assert origin.cpu


def test_a_machine_without_git_is_no_trouble(config, splits, monkeypatch):
    """The commit is then unknown."""
    monkeypatch.setenv("PATH", "")
    assert describe_origin(config, splits).git is None


def test_an_installed_package_has_no_commit(config, splits, monkeypatch, tmp_path):
    """A repository that only happens to be around it is not asked."""
    module = tmp_path / "mnistlin" / "runs" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(module))
    assert describe_origin(config, splits).git is None


@pytest.mark.parametrize("classes", [None, [7, 2]])
def test_exactly_the_images_and_labels_used_are_hashed(dataset, classes):
    """The bytes of the rows of each split, and their labels, in order."""
    data = DataConfig(dataset=str(dataset), classes=classes, train_size=30, val_from="train")
    described = describe_data(load_splits(data))
    images = (dataset / "train-images-idx3-ubyte").read_bytes()[16:]
    labels = (dataset / "train-labels-idx1-ubyte").read_bytes()[8:]
    for name, rows in (("train", range(30)), ("val", range(30, 60))):
        kept = [row for row in rows if classes is None or labels[row] in classes]
        pixels = np.frombuffer(images, np.uint8).reshape(60, 20)[kept].tobytes()
        split = getattr(described.splits, name)
        assert split.n_samples == len(kept)
        assert split.images_sha256 == hashlib.sha256(pixels).hexdigest()
        assert split.labels_sha256 == hashlib.sha256(bytes(labels[i] for i in kept)).hexdigest()
    assert described.splits.test.n_samples == sum(
        classes is None or label in classes
        for label in (dataset / "t10k-labels-idx1-ubyte").read_bytes()[8:]
    )
    assert described.classes == ((1, 2, 7) if classes is None else tuple(classes))
    assert described.image_shape == (4, 5)


def test_without_a_test_split_none_is_described(dataset):
    """With val_from: test the test file is the validation set."""
    described = describe_data(load_splits(DataConfig(dataset=str(dataset))))
    assert described.splits.test is None
