"""A dataset is looked for in one order, and what is found wrong is told, not passed over."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnistlin.data.catalog import DATASETS, MNIST, MNIST_5K, PARTS
from mnistlin.data.download import cache_folder
from mnistlin.data.locate import find_known, locate
from mnistlin.errors import DataError


@pytest.fixture
def data_dir(tmp_path, monkeypatch) -> Path:
    """Make a folder that MNISTLIN_DATA_DIR names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(folder))
    return folder


def test_a_folder_of_ones_own(tiny, tmp_path):
    """A path leads to its files, which have to be nothing in particular."""
    found = locate(str(tiny.write(tmp_path / "mine")))
    assert found.folder == tmp_path / "mine"
    assert set(found.files) == set(PARTS)
    assert found.known is None


def test_a_home_folder_is_expanded(tiny, tmp_path, monkeypatch):
    """`~` stands for the home folder, as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.write(tmp_path / "mine")
    assert locate("~/mine").folder == tmp_path / "mine"


def test_a_known_name_is_never_a_folder(tiny, tmp_path, monkeypatch):
    """A folder that happens to be called like a known dataset does not stand in for it."""
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path / "tiny")
    with pytest.raises(DataError, match="not on this machine"):
        locate("tiny")
    assert locate("./tiny").known is None


def test_the_data_dir_goes_before_the_cache(tiny, data_dir):
    """First DIR/<dataset>/, then DIR/, then the cache."""
    places = [data_dir / "tiny", data_dir, cache_folder("tiny")]
    for place in reversed(places):
        tiny.write(place)
        assert locate("tiny").folder == place


def test_an_empty_data_dir_is_passed_over(tiny, data_dir):
    """A folder with none of the files says nothing of the dataset."""
    (data_dir / "tiny").mkdir()
    tiny.write(cache_folder("tiny"))
    assert locate("tiny").folder == cache_folder("tiny")


def test_half_a_dataset_in_the_data_dir_is_an_error(tiny, data_dir):
    """Files that are there are not passed over because others are missing."""
    tiny.write(data_dir, PARTS[:3])
    tiny.write(cache_folder("tiny"))
    with pytest.raises(DataError, match=rf"{data_dir} lacks t10k-labels-idx1-ubyte \(raw or .gz\)"):
        locate("tiny")


def test_a_data_dir_that_is_no_folder_is_an_error(tiny, data_dir):
    """A slip in the variable is told, also when the data could be had elsewhere."""
    tiny.write(cache_folder("tiny"))
    data_dir.rmdir()
    with pytest.raises(DataError, match=f"MNISTLIN_DATA_DIR is {data_dir}, which is not a folder"):
        locate("tiny")


def test_what_is_not_here_is_downloaded(server, tiny, monkeypatch):
    """With nothing on this machine the mirrors are asked; the second time they are not."""
    dataset = replace(tiny.dataset, mirrors=(server.mirror("good"),))
    monkeypatch.setitem(DATASETS, "tiny", dataset)
    assert find_known(dataset) is None
    assert locate("tiny").folder == cache_folder("tiny")
    assert locate("tiny").folder == cache_folder("tiny")
    assert len(server.requests) == len(PARTS)


def test_a_download_that_did_not_end_is_completed(server, tiny, monkeypatch):
    """Three files in the cache are no dataset; only the fourth is downloaded."""
    dataset = replace(tiny.dataset, mirrors=(server.mirror("good"),))
    monkeypatch.setitem(DATASETS, "tiny", dataset)
    tiny.write(cache_folder("tiny"), PARTS[:3])
    locate("tiny")
    assert len(server.requests) == 1


def test_the_bundled_set_needs_nothing(data_dir):
    """mnist-5k comes from the package, whatever MNISTLIN_DATA_DIR and the cache hold."""
    (data_dir / "mnist-5k").mkdir()
    found = locate("mnist-5k")
    assert found.folder == MNIST_5K.bundled_folder
    assert found.known is MNIST_5K


def test_debians_folder_of_datasets_can_be_the_data_dir(debian_fashion_mnist, monkeypatch):
    """MNISTLIN_DATA_DIR=/usr/share/datasets is all that Debian's package needs."""
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(debian_fashion_mnist.parent))
    assert locate("fashion-mnist").folder == debian_fashion_mnist


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("mnits", "neither a folder nor one of mnist, fashion-mnist, mnist-5k.*did you mean mnist"),
        ("~nobody-of-this-name/mnist", "neither a folder nor one of"),
        ("nul\0", "neither a folder nor one of"),
        ("long" * 1000, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_dataset(dataset, words):
    """A name that is neither known nor a folder is an error that says what there is."""
    with pytest.raises(DataError, match=words):
        locate(dataset)


def test_a_folder_without_data_says_what_it_lacks(tmp_path):
    """The files that a dataset is made of are named."""
    with pytest.raises(DataError, match="lacks train-images-idx3-ubyte, train-labels-idx1-ubyte"):
        locate(str(tmp_path))


def test_offline_the_error_says_where_to_put_the_files():
    """Without network the user learns of the cache, the variable and the bundled set."""
    with pytest.raises(DataError) as caught:
        locate(MNIST.name)
    for word in ("MNIST", "MNISTLIN_OFFLINE", str(cache_folder("mnist")), "MNISTLIN_DATA_DIR"):
        assert word in str(caught.value)
    assert "dataset: mnist-5k" in str(caught.value)
