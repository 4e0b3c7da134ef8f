"""NumPy's .npz files, written as NumPy does, and read without trust in what they say.

An array is read only if its size is the one that was expected and the file really holds it; nothing
that a file says is evaluated, unpacked or allocated. What the arrays mean is not known here.
"""

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.files import open_plain

MAX_BYTES = 2**30
"""No .npz file of a run is larger: weights of a model of ten classes on images of 13 megapixels."""

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
    """Read some arrays of an .npz file.

    Parameters
    ----------
    path : Path
        The file, as `np.savez` writes it.
    shapes : mapping of str to tuple
        Which arrays, and the shape that each must have.

    Returns
    -------
    dict of str to ndarray
        Read-only arrays of integers or floats.

    Raises
    ------
    RunError
        If the file is missing or damaged, an array is missing, or it has another shape.
    """
    with open_plain(path, MAX_BYTES) as file:
        n_file_bytes = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                return {
                    name: _read(archive, name, shape, n_file_bytes)
                    for name, shape in shapes.items()
                }
        except _FAULTS as error:
            raise RunError(f"{path} is damaged: {error}") from None


def _read(archive: zipfile.ZipFile, name: str, shape: Shape, n_file_bytes: int) -> NDArray[Any]:
    """Read one array; a ValueError says why not."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size > n_file_bytes:
        raise ValueError(f"{name!r} is not stored as it is, or not whole")
    with archive.open(entry) as file:
        dtype, found, is_fortran = _read_header(file, name)
        if found != shape:
            raise ValueError(f"{name!r} has the shape {found}; expected {shape}")
        n_bytes = math.prod(found) * dtype.itemsize
        # Before reading: a file object makes room for all that it is asked for.
        if n_bytes != entry.file_size - file.tell():
            raise ValueError(f"{name!r} should take {n_bytes} bytes, and does not")
        values = np.frombuffer(file.read(n_bytes), dtype)
    return values.reshape(found, order="F" if is_fortran else "C")


def _read_header(file: IO[bytes], name: str) -> tuple[np.dtype[Any], Shape, bool]:
    """Read type, shape and order of an array, at most 64 kB."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError(f"{name!r} is no NumPy array of format 1.0")
    header = _HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
    if header is None:
        raise ValueError(f"{name!r} is no array of integers or floats")
    sizes = re.findall(rb"[0-9]+", header["shape"])
    dtype = np.dtype(header["dtype"].decode())
    return dtype, tuple(map(int, sizes)), header["fortran"] == b"True"
