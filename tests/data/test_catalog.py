"""The catalogue is true, and a dataset's files are found under all their usual names."""

import hashlib
import re
from pathlib import Path

import pytest

from mnistlin.data.catalog import (
    DATASETS,
    FASHION_MNIST,
    MNIST,
    PARTS,
    describe,
    find_parts,
    recognise,
)
from mnistlin.data.idx import read_idx
from mnistlin.errors import DataError

PACKED_AT = {
    "train-images": 1504176606,
    "train-labels": 1504176606,
    "t10k-images": 1504176627,
    "t10k-labels": 1504176627,
}
"""When Zalando packed each file, in seconds since 1970: in the headers of the published files."""


def test_every_file_has_its_own_hashes():
    """No hash is used for two files, and all are SHA-256 in lower case."""
    files = [file for dataset in DATASETS.values() for file in dataset.files]
    hashes = [value for file in files for value in (file.sha256, file.gzip_sha256)]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)


def test_there_are_enough_mirrors():
    """Known sets are served over https in several places: three for MNIST, two for Fashion."""
    for dataset, n_mirrors in ((MNIST, 3), (FASHION_MNIST, 2)):
        hosts = {re.match(r"https://([^/]+)/", mirror)[1] for mirror in dataset.mirrors}
        assert len(hosts) >= n_mirrors


def test_real_mnist_has_the_contents_of_the_catalogue(real_mnist):
    """The files of MNIST are recognised by their content, however they were packed."""
    for part, path in find_parts(real_mnist).items():
        assert recognise(read_idx(path, hashed=True).sha256) == MNIST.file(part)


def test_debians_fashion_mnist_has_the_contents_of_the_catalogue(debian_fashion_mnist):
    """The files of Debian's package are Fashion-MNIST by content, though not by .gz hash."""
    for part, path in find_parts(debian_fashion_mnist).items():
        assert recognise(read_idx(path).sha256) == FASHION_MNIST.file(part)


def test_debians_fashion_mnist_is_the_published_one_without_name_and_time(debian_fashion_mnist):
    """With the name and time that Debian took out of the headers, size and .gz hash are right too.

    So the hashes of the content and of the published files belong together.
    """
    for part, path in find_parts(debian_fashion_mnist).items():
        known = FASHION_MNIST.file(part)
        stripped = path.read_bytes()
        has_name = bytes([stripped[3] | 8])
        time = PACKED_AT[part].to_bytes(4, "little")
        name = known.file_name.removesuffix(".gz").encode() + b"\0"
        published = stripped[:3] + has_name + time + stripped[8:10] + name + stripped[10:]
        assert len(published) == known.gzip_bytes
        assert hashlib.sha256(published).hexdigest() == known.gzip_sha256


def test_what_a_file_is_by_content(tiny, make_set, tmp_path):
    """A known file is named, another described by its shape."""
    tiny.write(tmp_path)
    make_set("unknown").write(tmp_path / "unknown")
    for folder, what in (
        (tmp_path, "Tiny's t10k-images"),
        (tmp_path / "unknown", "3 x 3 x 2 unsigned bytes of no known dataset"),
    ):
        assert describe(read_idx(find_parts(folder)["t10k-images"], hashed=True)) == what


@pytest.mark.parametrize("ending", [".gz", ""])
@pytest.mark.parametrize("separator", ["-", "."])
def test_all_usual_names_are_known(separator, ending, tmp_path):
    """Raw or .gz, with a dash or a dot before `idx`."""
    names = [f"train-images{separator}idx3-ubyte", f"t10k-labels{separator}idx1-ubyte"]
    for name in names:
        (tmp_path / f"{name}{ending}").touch()
    (tmp_path / "train-labels.csv").touch()
    found = find_parts(tmp_path)
    assert {part: path.name for part, path in found.items()} == {
        "train-images": names[0] + ending,
        "t10k-labels": names[1] + ending,
    }


def test_raw_files_go_before_compressed_ones(tiny, tmp_path):
    """What can be memory-mapped is not unpacked."""
    tiny.write(tmp_path)
    tiny.write(tmp_path, ending="")
    assert not any(path.suffix for path in find_parts(tmp_path).values())


def test_a_folder_with_the_name_of_a_file_is_passed_over(tiny, tmp_path):
    """A common archive of MNIST has folders of these names beside the files."""
    for part in PARTS:
        tiny.write(tmp_path, [part], ending="")
        path = find_parts(tmp_path)[part]
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
        path.mkdir()
    assert {path.is_file() for path in find_parts(tmp_path).values()} == {True}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    """Absent folders, files, and paths that no system allows hold no parts."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent", tmp_path / "file", tmp_path / "nul\0"):
        assert find_parts(path) == {}


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """It is not taken for an empty one."""

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied"):
        find_parts(tmp_path)
