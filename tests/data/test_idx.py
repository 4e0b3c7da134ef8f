"""IDX files are read exactly, and whatever is not a good one is refused by what it is."""

import gzip
import hashlib
import io
import mmap
import os
import pickle
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest

from mnistlin.data.idx import IdxError, encode_idx, read_idx
from mnistlin.errors import DataError

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
CONTENT = encode_idx(IMAGES)


@pytest.fixture(params=["raw", "gzip"])
def write(request, tmp_path):
    """Write content as a raw or a gzip file, with a name that says nothing of it."""

    def write_file(content):
        path = tmp_path / "images"
        path.write_bytes(gzip.compress(content) if request.param == "gzip" else content)
        return path

    return write_file


def what_is(path, **options):
    """Return what the reader says that a file is, having checked that it names the file."""
    with pytest.raises(IdxError) as caught:
        read_idx(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.what


def test_the_format_is_the_published_one():
    """Two zeros, type 8, the number of dimensions, sizes with the high byte first, the data."""
    assert encode_idx(np.array([[7, 8, 9]], np.uint8)) == (
        b"\x00\x00\x08\x02\x00\x00\x00\x01\x00\x00\x00\x03\x07\x08\x09"
    )


def test_what_was_written_is_read(write):
    """Raw or gzip, all items come back with shape and hash."""
    found = read_idx(write(CONTENT), n_dims=3, hashed=True)
    np.testing.assert_array_equal(found.values, IMAGES)
    assert found.shape == IMAGES.shape
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_that_was_compressed_twice_says_so(tmp_path):
    """The remedy is to decompress it once."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(gzip.compress(CONTENT)))
    assert what_is(path) == "a gzip file inside a gzip file; decompress it once"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_idx(path).shape == IMAGES.shape


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_archive_says_so(compress, tmp_path):
    """A .tar, and a .tar.gz with the name of a .gz file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    (tmp_path / "images.gz").write_bytes(compress(buffer.getvalue()))
    assert what_is(tmp_path / "images.gz") == "a tar archive; extract it"


@pytest.mark.parametrize("max_items", [0, 1, 4, 5, 6])
def test_only_the_items_asked_for_are_kept(write, max_items):
    """The first items are kept; shape and hash are still those of the whole file."""
    found = read_idx(write(CONTENT), max_items=max_items, hashed=True)
    np.testing.assert_array_equal(found.values, IMAGES[:max_items])
    assert found.shape == IMAGES.shape
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_raw_file_is_memory_mapped(tmp_path):
    """The values are the file itself, not a copy, and nobody can write to them."""
    path = tmp_path / "images"
    path.write_bytes(CONTENT)
    values = read_idx(path).values
    root = values
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    assert isinstance(root, mmap.mmap)
    assert not values.flags.writeable
    assert type(values) is np.ndarray


def test_a_raw_file_is_hashed_only_if_wanted(tmp_path):
    """Hashing reads a whole file, which is not wanted of a large mapped one."""
    path = tmp_path / "images"
    path.write_bytes(CONTENT)
    assert read_idx(path).sha256 is None


def test_several_gzip_members_are_one_file(tmp_path):
    """Files that were compressed in pieces and joined are valid gzip."""
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(CONTENT[:30]) + gzip.compress(CONTENT[30:]))
    np.testing.assert_array_equal(read_idx(path).values, IMAGES)


@pytest.mark.parametrize("n_missing", [1, len(CONTENT) - 17])
def test_truncated_data(write, n_missing):
    """A file with less data than its header says is refused, with both sizes."""
    what = what_is(write(CONTENT[:-n_missing]))
    assert what.startswith("an IDX file of 5 x 4 x 3 unsigned bytes that is cut short")
    assert f"{len(CONTENT)} bytes, but it has {len(CONTENT) - n_missing}" in what


def test_a_truncated_header(write):
    """A file that ends within its header is refused."""
    assert what_is(write(CONTENT[:7])) == "an IDX file that is cut short within its header"


def test_truncated_gzip(tmp_path):
    """A gzip file that ends too early, as after a broken download, is refused."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(CONTENT)[:-9])
    assert what_is(path) == "a gzip file that is cut short"


def test_damaged_gzip(tmp_path):
    """A gzip file whose checksum does not fit is refused, though all data could be read."""
    path = tmp_path / "images.gz"
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1
    path.write_bytes(packed)
    assert what_is(path, max_items=0).startswith("a damaged gzip file (CRC check failed")


def test_data_after_the_end(write):
    """A file with more data than its header says is refused."""
    assert "with more after the 76 bytes of its header" in what_is(write(CONTENT + b"\0"))


def test_the_wrong_number_of_dimensions(write):
    """Labels in the place of images are refused by their shape."""
    what = what_is(write(encode_idx(np.zeros(9, np.uint8))), n_dims=3)
    assert what == "an IDX file of 9 unsigned bytes, but the number of dimensions must be 3"


def test_no_items(write):
    """A file without items or without pixels holds nothing."""
    for shape in [(0, 28, 28), (9, 0, 28)]:
        what = what_is(write(encode_idx(np.zeros(shape, np.uint8))))
        assert what.endswith("which holds nothing")


@pytest.mark.parametrize("n_dims", [0, 33, 255])
def test_an_absurd_number_of_dimensions(write, n_dims):
    """What no array can hold is no IDX file."""
    content = bytes([0, 0, 8, n_dims]) + b"\0\0\0\1" * n_dims + b"\7"
    assert what_is(write(content)).startswith("not an IDX file: it begins with the bytes 00 00 08")


def test_other_types_of_value(write):
    """Floats are named as such."""
    content = CONTENT[:2] + b"\x0d" + CONTENT[3:]
    assert what_is(write(content)).startswith("an IDX file of 32-bit floats")


def test_a_web_page_named_like_a_gzip_file(tmp_path):
    """The classic of broken downloads is called what it is."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(b"<!DOCTYPE html><html><title>Not found</title></html>")
    assert what_is(path) == "a web page (HTML)"


def test_what_is_no_regular_file(tmp_path):
    """Missing files, folders and pipes are refused at once; nothing waits for a writer."""
    os.mkfifo(tmp_path / "pipe")
    assert what_is(tmp_path / "absent") == "not there"
    assert what_is(tmp_path) == "a folder"
    assert what_is(tmp_path / "pipe") == "not a regular file"


def test_a_file_that_must_not_be_read(tmp_path, monkeypatch):
    """The reason of the operating system is passed on."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "images"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(type(path), "open", refuse)
    assert what_is(path) == "unreadable: Permission denied"


def test_a_header_that_claims_the_impossible_fails_at_once(write):
    """2^31 images in a few bytes are refused before anything is allocated."""
    path = write(struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 28, 28) + bytes(1000))
    tracemalloc.start()
    what = what_is(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert what.startswith("an IDX file of 2147483648 x 28 x 28 unsigned bytes that is cut short")
    assert peak < 2**20


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    """Data beyond what the header says ends the reading, however much more there is."""
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(encode_idx(np.zeros((1, 2, 2), np.uint8)) + bytes(50_000_000)))
    tracemalloc.start()
    what = what_is(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "with more after" in what
    assert peak < 2**20


def test_the_error_survives_pickling():
    """Worker processes hand their errors on by pickling them."""
    error = pickle.loads(pickle.dumps(IdxError("file", "empty")))
    assert isinstance(error, DataError)
    assert str(error) == "file is empty."
