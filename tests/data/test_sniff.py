"""Files are recognised by their first bytes."""

import io
import tarfile

import numpy as np
import pytest

from mnistlin.data.idx import describe_head


def npy_bytes():
    """Return the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def tar_bytes():
    """Return the bytes of a tar archive with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"", "empty"),
        (b"\n  <!DOCTYPE HTML><title>404", "a web page (HTML)"),
        (b"\xef\xbb\xbf<html>", "a web page (HTML)"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer"),
        (b"label,pixel0,pixel1\r\n5,0,0\r\n", "a text file"),
        (b"\x1f\x8b\x08\x00", "a gzip file"),
        (b"PK\x03\x04\x14\x00", "a ZIP archive; extract it"),
        (tar_bytes(), "a tar archive; extract it"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (npy_bytes(), "a NumPy .npy file"),
        (b"\0\0\x0d\x03", "an IDX file of 32-bit floats; only unsigned bytes"),
        (b"\0\0\x0e\x01", "an IDX file of 64-bit floats; only unsigned bytes"),
        (b"\0\0", "not an IDX file: it begins with the bytes 00 00"),
        (b"\x12\x34\x56\x78\x9a", "not an IDX file: it begins with the bytes 12 34 56 78"),
    ],
)
def test_what_a_file_is(head, what):
    """Each kind of file that turns up in place of data is called by its name."""
    assert describe_head(head).startswith(what)
