"""Reading files without trust in them, and writing so that half of something is never left.

What the files hold is not known here.

One writer for a folder, by a lock of the operating system that ends with its process.

NumPy's .npz files, written as NumPy does, and read without trust in what they say.

An array is read only if its size is the one that was expected and the file really holds it; nothing
that a file says is evaluated, unpacked or allocated. What the arrays mean is not known here.

What a folder says of a run or a sweep that ends because something was raised.
"""

import io
import json
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError


@contextmanager
def os_errors_as_run_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into a RunError that says what was being done, where, and why not."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"cannot {doing} {path}: {reason}; what was written before is kept - "
            "check free space and permissions, or choose another folder with --runs-dir"
        ) from error


@contextmanager
def open_plain(path: Path, max_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open for reading a file that may come from a stranger.

    Parameters
    ----------
    path : Path
        The file. A pipe or a device might never end, and a link leads who knows where; neither
        belongs into a run folder.
    max_bytes : int, optional
        More than this a file of its kind never has.

    Yields
    ------
    BinaryIO
        The file, buffered.

    Raises
    ------
    RunError
        If it is missing, unreadable, larger, or not a plain file.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise RunError(f"{path} is not a plain file; only such are read in a run folder")
        if max_bytes is not None and found.st_size > max_bytes:
            raise RunError(f"{path} has {found.st_size:,} bytes; it may have {max_bytes:,} at most")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a whole file under a temporary name, then move it to its own.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced.
    content : bytes
        All of it.
    durable : bool
        Whether to wait until it is on the disk, so that it survives a power cut too.

    Raises
    ------
    RunError
        If it cannot be written; an older file then stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with os_errors_as_run_errors("write", path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_into(folder: Path, name: str, content: bytes) -> Path:
    """Write a whole file into a folder, which is made if need be; return its path.

    Raises
    ------
    RunError
        If either cannot be made.
    """
    with os_errors_as_run_errors("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, content)
    return folder / name


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a process that was killed while it wrote into a folder."""
    with os_errors_as_run_errors("tidy", folder):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def write_json(path: Path, values: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write strict JSON (no nan, no infinity), indented, UTF-8; otherwise as `write_bytes`."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode(), durable=durable)


class GrowingFile:
    """A text file that grows by whole pieces: of a piece that does not fit, nothing is left.

    It is opened for each piece, so a folder that vanished is noticed with the next one.

    Parameters
    ----------
    path : Path
        The file; it is made if it does not exist.
    length : int
        To how many bytes it is cut at first.

    Attributes
    ----------
    length : int
        How many bytes it has.

    Raises
    ------
    RunError
        Here and in every method, if the operating system refuses.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path, self.length = path, length
        with os_errors_as_run_errors("write", path), path.open("ab") as file:
            file.truncate(length)

    def append(self, text: str) -> None:
        """Add a piece, and hand it to the operating system."""
        content = text.encode()
        with self._open() as file:
            file.seek(self.length)
            try:
                written = 0
                while written < len(content):
                    written += file.write(content[written:])
            except OSError:
                file.truncate(self.length)
                raise
        self.length += len(content)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        with self._open() as file:
            os.fsync(file.fileno())

    @contextmanager
    def _open(self) -> Iterator[FileIO]:
        # Unbuffered, so that no rest of a piece that failed waits to be written later.
        with (
            os_errors_as_run_errors("write", self.path),
            self.path.open("r+b", buffering=0) as file,
        ):
            yield file


LOCK_NAME = ".lock"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while inside.

    Parameters
    ----------
    folder : Path
        A run folder. The file of the lock is there only while the lock is held, or after a kill,
        when it does no harm: the lock is with the process, not with the file.

    Raises
    ------
    RunError
        If another process holds it, or the folder cannot be written.
    """
    import filelock  # noqa: PLC0415  not needed to read runs

    path = folder / LOCK_NAME
    with ExitStack() as held:
        with os_errors_as_run_errors("lock", folder):
            try:
                held.enter_context(filelock.FileLock(path, timeout=0))
            except filelock.Timeout:
                raise RunError(
                    f"another process is writing {folder}; wait until it has ended, or end it first"
                ) from None
        # Removed while it is held: who opened it before finds out that it has no name any more.
        held.callback(_remove, path)
        yield


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows keeps open files; the lock does not need it gone
        path.unlink()


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


@contextmanager
def marks_failure(end: Callable[[Literal["interrupted", "failed"]], None]) -> Iterator[None]:
    """If something raises inside, end with the status that fits, then let it go on its way.

    Parameters
    ----------
    end : callable
        Writes the status; if that fails too, nothing is said of it, for what went wrong first is
        what must be told.
    """
    try:
        yield
    except BaseException as error:
        with suppress(RunError):
            end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
