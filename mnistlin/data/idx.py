"""The IDX file format: a short header, then unsigned bytes in C order; raw or inside gzip.

The header is two zero bytes, a type code, the number of dimensions, and the size of each as a
big-endian 32-bit number. Files are read without trusting them; a file that is something else is
named by its first bytes, so that an error can say what was found.
"""

import gzip
import hashlib
import math
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 512
"""How many first bytes decide what a file is; a tar archive has its mark at byte 257."""

_IDX_TYPES = {
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}
_FORMATS = {
    GZIP_MAGIC: "a gzip file",
    b"PK\x03\x04": "a ZIP archive; extract it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a NumPy .npy file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
}
_TAR_MARK, _TAR_OFFSET = b"ustar", 257
_TEXTS = {
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"<?xml": "an XML document",
    b"version https://git-lfs": "a Git LFS pointer, which stands for a file kept elsewhere",
}


def describe_head(head: bytes) -> str:
    """Describe a file that is no IDX file of unsigned bytes by its first `HEAD_BYTES`.

    The phrase follows "it is", such as "a web page (HTML)".
    """
    if not head:
        return "empty"
    if head[:2] == b"\0\0" and len(head) > 2 and head[2] in _IDX_TYPES:
        return f"an IDX file of {_IDX_TYPES[head[2]]}; only unsigned bytes can be read"
    if head[_TAR_OFFSET:].startswith(_TAR_MARK):
        return "a tar archive; extract it"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in (*_FORMATS.items(), *_TEXTS.items()):
        if (head if start in _FORMATS else text).startswith(start):
            return name
    if text.isascii() and "".join(text.decode("ascii").split()).isprintable():
        return "a text file"
    return f"not an IDX file: it begins with the bytes {head[:4].hex(' ')}"


_UNSIGNED_BYTE = 0x08
_MAX_DIMS = 32  # as many as an array of any NumPy can have
_DEFLATE_LIMIT = 1032  # the most bytes that deflate yields for one byte of its input
_BLOCK_BYTES = 1 << 18


class IdxError(DataError):
    """A file is not the IDX file that it should be; `what` it is follows "it is"."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)  # both, so that the error can be pickled
        self.path = path
        self.what = what

    def __str__(self) -> str:
        return f"{self.path} is {self.what}."


@dataclass(frozen=True, eq=False)
class IdxFile:
    """The shape of an IDX file, (n_items, ...), and its first items."""

    path: Path
    shape: tuple[int, ...]
    values: NDArray[np.uint8]
    """The first items, (n_kept, ...); a read-only memory map if the file is raw."""
    sha256: str | None
    """Hash of the whole content without gzip; None for a raw file that was not hashed."""


@dataclass(frozen=True)
class _Header:
    raw: bytes
    shape: tuple[int, ...]

    @property
    def file_bytes(self) -> int:
        return len(self.raw) + math.prod(self.shape)

    def kept_shape(self, max_items: int | None) -> tuple[int, ...]:
        n_items, *item_shape = self.shape
        return (n_items if max_items is None else min(n_items, max_items), *item_shape)

    def __str__(self) -> str:
        return f"IDX file of {by_text(self.shape)} unsigned bytes"


def read_idx(
    path: Path, *, n_dims: int | None = None, max_items: int | None = None, hashed: bool = False
) -> IdxFile:
    """Read the first items of an IDX file of unsigned bytes.

    The first bytes decide whether it is gzip, not the name. A raw file is memory-mapped. A gzip
    file is streamed and checked to its end, and only the items asked for are kept. Nothing is
    allocated that the file cannot hold: its size if raw, 1032 times its size if gzip.

    Parameters
    ----------
    path : Path
        The file.
    n_dims : int, optional
        The number of dimensions that it must have: 3 for images, 1 for labels. None accepts any.
    max_items : int, optional
        How many items to keep at most. None keeps all.
    hashed : bool
        Whether to hash a raw file as well; the content of a gzip file is always hashed.

    Raises
    ------
    IdxError
        If the file is missing, damaged, or anything but such an IDX file; the error says what it
        is.
    """
    with _open(path) as file:
        if file.peek(2)[:2] == GZIP_MAGIC:
            return _read_gzip(file, path, n_dims, max_items)
        return _map_raw(file, path, n_dims, max_items, hashed=hashed)


def encode_idx(values: NDArray[np.uint8]) -> bytes:
    """Return an array of at least one dimension as the content of an IDX file."""
    header = struct.pack(f">HBB{values.ndim}I", 0, _UNSIGNED_BYTE, values.ndim, *values.shape)
    return header + values.tobytes()


def by_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text: `60000 x 28 x 28`."""
    return " x ".join(str(size) for size in shape)


@contextmanager
def _open(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file only, since a pipe or a device may never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise IdxError(path, "a folder" if path.is_dir() else "not a regular file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise IdxError(path, "not there") from None
    except OSError as error:
        raise IdxError(path, f"unreadable: {error.strerror or error}") from None


def _map_raw(
    file: BufferedReader, path: Path, n_dims: int | None, max_items: int | None, *, hashed: bool
) -> IdxFile:
    header = _read_header(file, path, n_dims)
    size = path.stat().st_size
    if header.file_bytes > size:
        raise _cut_short(path, header, f"it has {size}")
    if header.file_bytes < size:
        raise _too_long(path, header)
    sha256 = None
    if hashed:
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    shape = header.kept_shape(max_items)
    mapped = np.memmap(file, np.uint8, mode="r", offset=len(header.raw), shape=shape)
    return IdxFile(path, header.shape, mapped.view(np.ndarray), sha256)


def _read_gzip(
    file: BufferedReader, path: Path, n_dims: int | None, max_items: int | None
) -> IdxFile:
    size = path.stat().st_size
    with _gzip_faults(path), gzip.GzipFile(fileobj=file) as stream:
        header = _read_header(stream, path, n_dims, unpacked=True)
        if header.file_bytes > _DEFLATE_LIMIT * size:
            raise _cut_short(path, header, f"{size} bytes of gzip can never hold that")
        digest = hashlib.sha256(header.raw)
        values = np.empty(header.kept_shape(max_items), np.uint8)
        n_read = len(header.raw) + _fill(stream, values.reshape(-1).data, digest)
        scratch = memoryview(bytearray(_BLOCK_BYTES))
        while n_new := _fill(stream, scratch[: header.file_bytes - n_read], digest):
            n_read += n_new
        if n_read < header.file_bytes:
            raise _cut_short(path, header, f"it has {n_read}")
        if stream.read(1):  # reading past the end also makes gzip check its checksum
            raise _too_long(path, header)
    return IdxFile(path, header.shape, values, digest.hexdigest())


def _fill(stream: gzip.GzipFile, target: memoryview, digest: "hashlib._Hash") -> int:
    """Read until `target` is full or the stream ends, hash that, and return the bytes read."""
    n_read = 0
    while n_new := stream.readinto(target[n_read : n_read + _BLOCK_BYTES]):
        digest.update(target[n_read : n_read + n_new])
        n_read += n_new
    return n_read


@contextmanager
def _gzip_faults(path: Path) -> Iterator[None]:
    """Turn errors of gzip into errors that describe the file."""
    try:
        yield
    except EOFError:
        raise IdxError(path, "a gzip file that is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(path, f"a damaged gzip file ({error})") from None
    except MemoryError:
        raise IdxError(path, "larger than the memory of this machine") from None


def _read_header(
    stream: BinaryIO | gzip.GzipFile, path: Path, n_dims: int | None, *, unpacked: bool = False
) -> _Header:
    """Read the header and check all of it that can be checked without the data."""
    head = stream.read(4)
    if head[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or not 1 <= int.from_bytes(head[3:]) <= _MAX_DIMS:
        if unpacked and head.startswith(GZIP_MAGIC):
            raise IdxError(path, "a gzip file inside a gzip file; decompress it once")
        raise IdxError(path, describe_head(head + stream.read(HEAD_BYTES)))
    sizes = stream.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise IdxError(path, "an IDX file that is cut short within its header")
    header = _Header(head + sizes, struct.unpack(f">{head[3]}I", sizes))
    if n_dims is not None and len(header.shape) != n_dims:
        needed = f"the number of dimensions must be {n_dims}"
        raise IdxError(path, f"an {header}, but {needed}")
    if 0 in header.shape:
        raise IdxError(path, f"an {header}, which holds nothing")
    return header


def _cut_short(path: Path, header: _Header, found: str) -> IdxError:
    needed = f"by its header it takes {header.file_bytes} bytes"
    return IdxError(path, f"an {header} that is cut short: {needed}, but {found}")


def _too_long(path: Path, header: _Header) -> IdxError:
    return IdxError(
        path, f"an {header} with more after the {header.file_bytes} bytes of its header"
    )
