"""File access in folders that may be untrusted: bounded reads, atomic writes, one writer.

Nothing here follows a link inside a run folder, unpacks or evaluates what a file holds, or leaves
half of a file behind. What the files mean is in the other modules of this package.
"""

import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError

LOCK_NAME = ".lock"
_LOCK_SECONDS = 0.3  # longer than `is_locked` holds the lock to try it

_MAX_JSON_BYTES = 2**22  # a command line, the longest thing in it, has at most half of that
_MAX_INTEGER_DIGITS = 19
_LEFTOVER_SECONDS = 60
"""A temporary file that is older belongs to a process that died while it wrote."""

_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How files of a run folder are opened: no link is followed, no pipe waited for."""


@contextmanager
def os_errors_as_run_errors(doing: str, path: Path, option: str = "--runs-dir") -> Iterator[None]:
    """Turn an OSError inside into a RunError: what was being done, where, and why it failed.

    `option` is the one that chooses another folder.
    """
    try:
        yield
    except RecursionError as error:  # pathlib makes each missing folder in a call of its own
        raise RunError(
            f"cannot {doing} {path}: it lies in {len(path.parts) - 1:,} folders, too many to make; "
            f"choose another folder with {option}"
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            advice = f"the folder {path.parent} does not exist any more"
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            advice = "raise the limit of open files, which `ulimit -n` shows"
        else:
            advice = (
                "what was written before is kept - check free space and permissions, or choose "
                f"another folder with {option}"
            )
        raise RunError(f"cannot {doing} {path}: {error.strerror or error}; {advice}") from error


@contextmanager
def open_plain(path: Path, max_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file of a run folder for reading, of `max_bytes` at most.

    Raises
    ------
    RunError
        If it is missing, unreadable, larger, or not a regular file: a pipe or a device might never
        end, and a link may lead anywhere.
    """
    try:
        with os.fdopen(_open_plain(path, os.O_RDONLY), "rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if max_bytes is not None and n_bytes > max_bytes:
                raise RunError(f"{path} has {n_bytes:,} bytes; it may have {max_bytes:,} at most")
            yield file
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """Read a short UTF-8 file; a RunError says what is wrong with it."""
    with open_plain(path, _MAX_JSON_BYTES) as file:
        content = file.read()
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RunError(f"{path} is damaged: it is not UTF-8 text") from None


def read_json(path: Path) -> Any:
    """Read strict JSON, without NaN, infinity and integers beyond 64 bits; otherwise a RunError."""
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def sha256_of(path: Path, n_bytes: int | None = None) -> str:
    """Return the SHA-256 of a file, or of its first bytes."""
    with open_plain(path) as file:
        return _hash(file, n_bytes).hexdigest()


def write_bytes(
    path: Path, content: bytes, *, durable: bool = False, option: str = "--runs-dir"
) -> None:
    """Write a file atomically: under a temporary name, then renamed.

    Parameters
    ----------
    path : Path
        The file; an older one, or a link, is replaced.
    content : bytes
        All of it.
    durable : bool
        Whether to wait until the content is on the disk, so that after a power cut the name stands
        for the old content or the new one; `sync_folder` makes sure that it is the new one.
    option : str
        The option that chooses another folder, for the error.

    Raises
    ------
    RunError
        If it cannot be written, or its folder is a link in a run folder; an older file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with os_errors_as_run_errors("write", path, option):
        _check_is_no_link(path.parent)
        try:
            with suppress(FileNotFoundError):
                temporary.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(_open_plain(temporary, flags), "wb") as file:
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

    What a process that died while it wrote there left behind is removed.

    Raises
    ------
    RunError
        If the folder cannot be made or written.
    """
    with os_errors_as_run_errors("make the folder", folder, "--out"):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, content, option="--out")
    remove_leftovers(folder, older_than=_LEFTOVER_SECONDS)
    return folder / name


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """Return strict JSON (no NaN, no infinity), indented, in UTF-8."""
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def remove_leftovers(folder: Path, older_than: float = 0) -> None:
    """Remove temporary files of `write_bytes`, of at least that age in seconds."""
    with os_errors_as_run_errors("tidy", folder):
        for path in folder.glob(".*.[0-9]*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime >= older_than:
                    path.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until the names of all files in a folder are on the disk, where the system can."""
    if os.name != "posix":
        return
    with os_errors_as_run_errors("write", folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class GrowingFile:
    """An append-only text file; each piece is appended completely or not at all.

    It is opened for each piece, so a folder that vanished is noticed with the next one.

    Parameters
    ----------
    path : Path
        The file; it is made if it does not exist, and must be a regular one.
    length : int
        To how many bytes it is cut at first.

    Raises
    ------
    RunError
        Here and in every method, if the operating system refuses.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path, self.length = path, length
        with self._open(os.O_CREAT) as file:
            self._hash = _hash(file, length)
            file.truncate(length)

    @property
    def sha256(self) -> str:
        """SHA-256 of all that was written."""
        return self._hash.hexdigest()

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
        self._hash.update(content)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        with self._open() as file:
            os.fsync(file.fileno())

    @contextmanager
    def _open(self, flags: int = 0) -> Iterator[FileIO]:
        # Unbuffered, so that no rest of a piece that failed waits to be written later.
        with os_errors_as_run_errors("write", self.path):
            _check_is_no_link(self.path.parent)
            with FileIO(_open_plain(self.path, os.O_RDWR | flags), "r+") as file:
                yield file


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while inside; it ends with the process, however that ends.

    The file of the lock is there only while the lock is held, or after a kill, when it is harmless:
    the lock belongs to the process, not to the file.

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
                held.enter_context(filelock.FileLock(path, timeout=_LOCK_SECONDS))
            except filelock.Timeout:
                raise RunError(
                    f"another process is writing {folder}; wait until it has ended, or end it first"
                ) from None
        # Removed while it is held: who opened it before finds out that it has no name any more.
        held.callback(_remove, path)
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process is writing a folder; nothing is changed in it."""
    if os.name != "posix":
        return (folder / LOCK_NAME).exists()  # removed by whoever held it, a kill aside
    import fcntl  # noqa: PLC0415  this system has it

    try:
        descriptor = _open_plain(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def marks_failure(end: Callable[[Literal["interrupted", "failed"]], None]) -> Iterator[None]:
    """On an exception inside, call `end` with the matching status, then re-raise it.

    An error of `end` itself is dropped: the first one is what the user has to know.
    """
    try:
        yield
    except BaseException as error:
        with suppress(RunError):
            end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise


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
        except OSError as error:  # of seeking to before the start
            raise RunError(f"{path} is damaged: {error.strerror}") from None
        except _FAULTS as error:
            raise RunError(f"{path} is damaged: {error}") from None


def _check_directory(file: BinaryIO) -> None:
    """Check the end of a zip file: its directory is read whole, whatever its size."""
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


def _open_plain(path: Path, flags: int) -> int:
    """Open a regular file that has no other name; a RunError if it is anything else."""
    try:
        descriptor = os.open(path, flags | _PLAIN, 0o666)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise _not_plain(path) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _not_plain(path)
    if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
        os.close(descriptor)
        raise RunError(
            f"{path} has another name elsewhere (a hard link), which writing would change too; "
            "copy the folder, and use the copy"
        )
    return descriptor


def _not_plain(path: Path) -> RunError:
    return RunError(f"{path} is not a regular file; a run folder may hold no links or devices")


def _check_is_no_link(folder: Path) -> None:
    """Check that a folder inside a run folder is not a link, which could lead anywhere."""
    is_inside = any((folder.parent / f"{kind}.json").exists() for kind in ("run", "sweep"))
    if is_inside and folder.is_symlink():
        raise RunError(
            f"{folder} is a link inside a run folder, which is not followed; remove it, "
            "or choose another folder with --out"
        )


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows keeps open files; the lock does not need it gone
        path.unlink()


def _hash(file: IO[bytes] | FileIO, n_bytes: int | None) -> "hashlib._Hash":
    """Hash a file from its start, or its first bytes."""
    found = hashlib.sha256()
    left = math.inf if n_bytes is None else n_bytes
    while left > 0 and (block := file.read(int(min(left, 2**20)))):
        found.update(block)
        left -= len(block)
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)
