"""Reading .npz files that may come from a stranger."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from mnistlin import RunError
from mnistlin.runs.arrays import npz_bytes, read_npz

SHAPE = (785, 10)


def archive_of(content, compression=zipfile.ZIP_STORED):
    """Return a zip archive with `content` as W.npy."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("W.npy", content)
    return buffer.getvalue()


def npy(header, data=b"", version=b"\x01\x00"):
    """Return the content of an .npy file with any header."""
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header.encode() + data


def header_of(shape, dtype="'<f4'"):
    """Return a header as NumPy writes it."""
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}          \n"


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (0,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_comes_back(shape, dtype, order, tmp_path):
    """Every shape, type and order, bit for bit."""
    values = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    path = tmp_path / "arrays.npz"
    np.savez(path, W=np.asarray(values, order=order))
    found = read_npz(path, {"W": shape})["W"]
    np.testing.assert_array_equal(found, values, strict=True)


def test_equal_arrays_make_equal_files():
    """No time, no name of a machine: a run that is repeated has the same bytes."""
    assert npz_bytes(last=np.ones(3)) == npz_bytes(last=np.ones(3))


class Bomb:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def pickled():
    """Return an array of objects as NumPy would write it."""
    return npy(header_of("(1,)", "'|O'"), pickle.dumps([Bomb()]))


ZEROS = npy(header_of(SHAPE), bytes(4 * 7850))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip archive",
        archive_of(pickled()),
        archive_of(b""),
        archive_of(b"\x93NUMPY"),
        archive_of(ZEROS, zipfile.ZIP_DEFLATED),
        archive_of(ZEROS[:-1]),
        archive_of(ZEROS + b"\0"),
        archive_of(ZEROS)[:-30],
        archive_of(ZEROS)[100:],
        archive_of(npy(header_of((10, 785)), bytes(4 * 7850))),
        archive_of(npy(header_of(SHAPE, "'<c8'"), bytes(8 * 7850))),
        archive_of(npy(header_of(SHAPE, "[('a', '<f4')]"), bytes(4 * 7850))),
        archive_of(npy(header_of(SHAPE), bytes(4 * 7850), version=b"\x02\x00")),
        archive_of(npy("{'descr': " + "[" * 50_000)),
        archive_of(npy(header_of("(-1,)"))),
    ],
)
def test_what_is_not_the_array_expected_is_refused(content, tmp_path):
    """Other formats, shapes, types and sizes, and whatever would have to be evaluated."""
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"arrays\.npz"):
        read_npz(path, {"W": SHAPE})


def lying_archive(n_bytes):
    """Return an archive that says of a short array, in all places, that it has many bytes."""
    content = npy(header_of(f"({n_bytes},)", "'|u1'"))
    size, claimed = struct.pack("<I", len(content)), struct.pack("<I", len(content) + n_bytes)
    return archive_of(content).replace(size, claimed)


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (archive_of(npy(header_of("(1000000000000,)"))), (10**12,)),
        (archive_of(npy(header_of("(100000000,)", "'|u1'"))), (100_000_000,)),
        (lying_archive(500_000_000), (500_000_000,)),
        (archive_of(npy(header_of("(100000000,)", "'|u1'"), bytes(10**8)), 8), (10**8,)),
        (archive_of(bytes(10**8), zipfile.ZIP_BZIP2), SHAPE),
        (archive_of(bytes(10**8), zipfile.ZIP_LZMA), SHAPE),
    ],
    ids=["header", "expected", "sizes", "deflate", "bzip2", "lzma"],
)
def test_nothing_is_allocated_that_the_file_does_not_hold(content, shape, tmp_path):
    """Bombs are refused with less than a megabyte of memory."""
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    del content
    tracemalloc.start()
    try:
        with pytest.raises(RunError):
            read_npz(path, {"W": shape})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_huge_file_is_not_even_opened(tmp_path):
    """A sparse file of a terabyte is refused by its size."""
    path = tmp_path / "arrays.npz"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunError, match="at most"):
        read_npz(path, {"W": SHAPE})
