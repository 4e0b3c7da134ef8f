"""A dataset is looked for in one order, and wrong files are reported, not ignored."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mnistlin.config import DataConfig
from mnistlin.data.catalog import DATASETS, MNIST, MNIST_5K, PARTS, find_parts
from mnistlin.data.download import cache_folder, is_offline
from mnistlin.data.locate import fetch, find_known, locate
from mnistlin.data.splits import load_splits
from mnistlin.errors import DataError


@pytest.fixture
def data_dir(tmp_path, monkeypatch) -> Path:
    """Make a folder that MNISTLIN_DATA_DIR names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MNISTLIN_DATA_DIR", str(folder))
    return folder


def test_a_folder_of_ones_own(tiny, tmp_path):
    """A path leads to its files, which need not be of a known dataset."""
    found = locate(str(tiny.write(tmp_path / "mine")))
    assert found.folder == tmp_path / "mine"
    assert set(found.files) == set(PARTS)
    assert found.known is None


def test_a_home_folder_is_expanded(tiny, tmp_path, monkeypatch):
    """`~` is the home folder, as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.write(tmp_path / "mine")
    assert locate("~/mine").folder == tmp_path / "mine"


def test_a_known_name_is_never_a_folder(tiny, tmp_path, monkeypatch):
    """A folder that happens to have the name of a known dataset does not replace it."""
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
    """A typo in the variable is reported, even if the data is available elsewhere."""
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


class TestOtherLayouts:
    """Data under other names: the error says what was found, and what it advises works."""

    @pytest.fixture(params=["folder", "data dir"])
    def lookup(self, request, tmp_path, monkeypatch):
        """Return a function that looks for the tiny dataset in tmp_path, in one of two ways."""

        def look(folder=tmp_path):
            if request.param == "folder":
                return locate(str(folder))
            monkeypatch.setenv("MNISTLIN_DATA_DIR", str(folder))
            return locate("tiny")

        return look

    @staticmethod
    def said(lookup):
        """Return the error of a lookup."""
        with pytest.raises(DataError) as caught:
            lookup()
        return str(caught.value)

    def test_torchvision_puts_the_files_below(self, lookup, tiny, tmp_path):
        raw = tiny.write(tmp_path / "MNIST" / "raw", ending="")
        assert f"holds all four files in {raw}: name that folder" in self.said(lookup)
        assert lookup(raw).folder == raw

    def test_kaggle_makes_a_folder_for_each_file(self, lookup, tiny, tmp_path):
        tiny.write(tmp_path / "all", ending="")
        for path in find_parts(tmp_path / "all").values():
            (tmp_path / path.name).mkdir()
            path.rename(tmp_path / path.name / path.name)
        nested = tmp_path / "t10k-images-idx3-ubyte" / "t10k-images-idx3-ubyte"
        message = self.said(lookup)
        assert f"holds a folder for each file, such as {nested}: move the four files" in message
        for path in [*tmp_path.glob("*-ubyte/*-ubyte")]:
            path.rename(tmp_path / "all" / path.name)
        assert lookup(tmp_path / "all").folder == tmp_path / "all"

    def test_emnist_has_a_prefix(self, lookup, tiny, tmp_path):
        tiny.write(tmp_path)
        for path in find_parts(tmp_path).values():
            path.rename(tmp_path / f"emnist-letters-{path.name}")
        assert "holds emnist-letters-t10k-images-idx3-ubyte.gz, " in (message := self.said(lookup))
        assert "rename or link the files to MNIST's names" in message
        for path in tmp_path.iterdir():
            path.with_name(path.name.removeprefix("emnist-letters-")).symlink_to(path)
        assert lookup().folder == tmp_path


@pytest.mark.usefixtures("tiny")
def test_an_empty_data_dir_is_named_with_the_place_for_the_files(data_dir, tiny):
    """The error does not advise to set what is set; the files go where it says."""
    with pytest.raises(DataError) as caught:
        locate("tiny")
    assert f"into {data_dir / 'tiny'} (MNISTLIN_DATA_DIR is {data_dir}, which" in str(caught.value)
    tiny.write(data_dir / "tiny")
    assert locate("tiny").folder == data_dir / "tiny"


def test_debians_package_is_named(debian_fashion_mnist, monkeypatch):
    """The hint of the error works as it is."""
    with pytest.raises(DataError, match="dataset-fashion-mnist") as caught:
        locate("fashion-mnist")
    folder = re.search(r"MNISTLIN_DATA_DIR=([^ ]+)\. ", str(caught.value))[1]
    monkeypatch.setenv("MNISTLIN_DATA_DIR", folder)
    assert locate("fashion-mnist").folder == debian_fashion_mnist


class TestFetch:
    """`data fetch` checks the content: it repairs the cache, or says why it cannot."""

    @pytest.fixture
    def published(self, server, tiny, monkeypatch):
        """Let a server publish the tiny dataset."""
        dataset = replace(tiny.dataset, mirrors=(server.mirror("good"),))
        monkeypatch.setitem(DATASETS, "tiny", dataset)
        return server

    @pytest.mark.parametrize("ending", [".gz", ""])
    def test_what_is_wrong_in_the_cache_is_downloaded_anew(self, ending, published, tiny):
        tiny.write(cache_folder("tiny"), ending=ending)
        damaged = find_parts(cache_folder("tiny"))["t10k-images"]
        damaged.write_bytes(damaged.read_bytes()[:-1])
        with pytest.raises(DataError, match="`mnistlin data fetch tiny` repairs it"):
            load_splits(DataConfig(dataset="tiny"))
        fetch("tiny")
        assert load_splits(DataConfig(dataset="tiny")).val.n_samples == 3
        assert len(published.requests) == 1

    def test_a_wrong_raw_file_beside_a_good_gz_is_removed_offline(self, tiny):
        tiny.write(cache_folder("tiny"))
        wrong = cache_folder("tiny") / "train-labels-idx1-ubyte"
        wrong.write_bytes(b"wrong")
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz beside it is"):
            load_splits(DataConfig(dataset="tiny"))
        fetch("tiny")
        assert not wrong.exists()
        assert load_splits(DataConfig(dataset="tiny")).train.n_samples == 6

    def test_offline_it_says_what_is_wrong(self, tiny):
        tiny.write(cache_folder("tiny"))
        find_parts(cache_folder("tiny"))["train-labels"].write_bytes(b"<html>")
        words = "Tiny's train-labels: missing or damaged in .*, and MNISTLIN_OFFLINE forbids"
        with pytest.raises(DataError, match=words):
            fetch("tiny")

    def test_files_in_the_data_dir_are_checked_and_left_alone(self, published, tiny, data_dir):
        tiny.write(data_dir)
        assert fetch("tiny").folder == data_dir
        wrong = find_parts(data_dir)["train-images"]
        wrong.write_bytes(b"wrong")
        with pytest.raises(DataError, match=f"MNISTLIN_DATA_DIR is {data_dir}: put the file"):
            fetch("tiny")
        assert wrong.read_bytes() == b"wrong"
        tiny.write(data_dir / "tiny")  # the remedy
        assert fetch("tiny").folder == data_dir / "tiny"
        assert published.requests == []

    def test_the_bundled_set_needs_no_network(self):
        assert fetch("mnist-5k").folder == MNIST_5K.bundled_folder


@pytest.mark.parametrize("setting", ["off", "OFF", "no", "0", "false", ""])
def test_offline_can_be_switched_off(setting, monkeypatch):
    monkeypatch.setenv("MNISTLIN_OFFLINE", setting)
    assert not is_offline()


@pytest.mark.parametrize("setting", ["on", "1", "yes", "true"])
def test_offline_can_be_switched_on(setting, monkeypatch):
    monkeypatch.setenv("MNISTLIN_OFFLINE", setting)
    assert is_offline()


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
    assert "`--config quickstart` needs no download: its dataset is mnist-5k" in str(caught.value)
