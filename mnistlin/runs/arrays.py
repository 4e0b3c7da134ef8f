"""Arrays in .npz files, which may be untrusted: nothing is decompressed or unpickled."""

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.files import open_plain

_MAX_NPZ_BYTES = 2**30  # weights of a model of ten classes on images of 13 megapixels
_MAX_ENTRIES, _MAX_DIRECTORY_BYTES = 64, 2**16
_END_OF_ZIP = struct.Struct("<4s6xHI4xH")  # signature, entries, bytes of directory, of comment
_ZIP64_LOCATOR_BYTES = 20

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|](?:f[48]|i8|u1))', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9]{0,19}(?:, ?[0-9]{1,19})*),?\), \} *\n"
)
_FAULTS = (KeyError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile)

Shape = tuple[int, ...]


def npz_bytes(**arrays: Any) -> bytes:
    """Return the content of an .npz file, the same for the same arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_npz(path: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Read some arrays of integers or floats, read-only, of an .npz file as `np.savez` writes it.

    An array is read only if it has the expected shape and the file really holds it.

    Raises
    ------
    RunError
        If the file is missing or damaged, an array is missing, or it has another shape.
    """
    with open_plain(path, _MAX_NPZ_BYTES) as file:
        n_file_bytes = os.fstat(file.fileno()).st_size
        try:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                return {
                    name: _read(archive, name, shape, n_file_bytes)
                    for name, shape in shapes.items()
                }
        except OSError as error:  # from seeking to before the start
            raise RunError(f"{path} is damaged: {error.strerror}") from None
        except _FAULTS as error:
            raise RunError(f"{path} is damaged: {error}") from None


def _check_directory(file: BinaryIO) -> None:
    """Check the end of a zip file, since zipfile reads its directory whole, whatever its size."""
    n_bytes = _ZIP64_LOCATOR_BYTES + _END_OF_ZIP.size
    file.seek(-n_bytes, os.SEEK_END)
    end = file.read(n_bytes)
    signature, n_entries, n_directory_bytes, n_comment_bytes = _END_OF_ZIP.unpack(
        end[_ZIP64_LOCATOR_BYTES:]
    )
    if signature != b"PK\5\6" or n_comment_bytes or end.startswith(b"PK\6\7"):
        raise ValueError("it does not end as an .npz file does")
    if n_entries > _MAX_ENTRIES or n_directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"it has {n_entries:,} entries; expected {_MAX_ENTRIES} at most")


def _read(archive: zipfile.ZipFile, name: str, shape: Shape, n_file_bytes: int) -> NDArray[Any]:
    """Read one array; a ValueError says why not."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size > n_file_bytes:
        raise ValueError(f"{name!r} is compressed or incomplete")
    with archive.open(entry) as file:
        dtype, found, is_fortran = _read_header(file, name)
        if found != shape:
            raise ValueError(f"{name!r} has the shape {found}; expected {shape}")
        n_bytes = math.prod(found) * dtype.itemsize
        # Before reading: a file object allocates all that it is asked for.
        if n_bytes != entry.file_size - file.tell():
            raise ValueError(f"{name!r} does not take {n_bytes} bytes, as its shape requires")
        values = np.frombuffer(file.read(n_bytes), dtype)
    return values.reshape(found, order="F" if is_fortran else "C")


def _read_header(file: IO[bytes], name: str) -> tuple[np.dtype[Any], Shape, bool]:
    """Read type, shape and order of an array, at most 64 kB."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError(f"{name!r} is not a NumPy array of format 1.0")
    header = _HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
    if header is None:
        raise ValueError(f"{name!r} is not an array of integers or floats")
    sizes = re.findall(rb"[0-9]+", header["shape"])
    dtype = np.dtype(header["dtype"].decode())
    return dtype, tuple(map(int, sizes)), header["fortran"] == b"True"
