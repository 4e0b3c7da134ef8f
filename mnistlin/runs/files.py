"""File access in folders that may be untrusted: bounded reads, atomic writes, one writer.

Nothing here follows a link inside a run folder, evaluates what a file holds, or leaves half of a
file behind. What the files mean is in the other modules of this package.
"""

import errno
import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

from mnistlin.errors import RunError

LOCK_NAME = ".lock"
_LOCK_SECONDS = 0.3  # longer than `is_locked` holds the lock to try it

_MAX_SHORT_BYTES = 2**22  # a command line, the longest thing in it, has at most half of that
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
    except RecursionError as error:  # pathlib makes each missing parent in a nested call
        raise RunError(
            f"cannot {doing} {path}: it has {len(path.parts) - 1:,} parent folders, too many to "
            f"make; choose another folder with {option}"
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            advice = f"the folder {path.parent} does not exist any more"
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            advice = "raise the limit on open files, which `ulimit -n` shows"
        else:
            advice = (
                "everything written before is kept; check free space and permissions, or choose "
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
        with BufferedReader(FileIO(_open_plain(path, os.O_RDONLY))) as file:  # fdopen asks for more
            n_bytes = os.fstat(file.fileno()).st_size
            if max_bytes is not None and n_bytes > max_bytes:
                raise RunError(f"{path} has {n_bytes:,} bytes; it may have {max_bytes:,} at most")
            yield file
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None


def read_bytes(path: Path) -> bytes:
    """Read a short file; a RunError says why it cannot be read."""
    with open_plain(path, _MAX_SHORT_BYTES) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Read a short UTF-8 file; a RunError says what is wrong with it."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise RunError(f"{path} is damaged: it is not UTF-8 text") from None


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
        Whether to wait until the content is on disk, so that after a power cut the name stands
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

    Temporary files of a process that died while writing there are removed.

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
    """An append-only text file; each append is complete or has no effect.

    It is opened for each append, so that a folder that vanished is noticed with the next one.

    Parameters
    ----------
    path : Path
        The file; it is made if it does not exist, and must be a regular one.
    length : int
        Number of bytes to which it is cut at first.

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
        """Append text, and hand it to the operating system."""
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
        # Unbuffered, so that nothing of a failed append is written later.
        with os_errors_as_run_errors("write", self.path):
            _check_is_no_link(self.path.parent)
            with FileIO(_open_plain(self.path, os.O_RDWR | flags), "r+") as file:
                yield file


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while inside; it ends with the process, however that ends.

    The lock file exists only while the lock is held, or after a kill, when it is harmless:
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
        # Removed while held: whoever opened it before finds that it has no name any more.
        held.callback(_remove, path)
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process is writing a folder; nothing is changed in it."""
    if os.name != "posix":
        return (folder / LOCK_NAME).exists()  # removed by its holder, unless that was killed
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
    """On an exception in the block, call `end` with the matching status, then re-raise it.

    An error of `end` itself is dropped: the user needs to see the first one.
    """
    try:
        yield
    except BaseException as error:
        with suppress(RunError):
            end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise


def _open_plain(path: Path, flags: int) -> int:
    """Open a regular file without hard links; RunError if it is anything else."""
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
            f"{path} is hard-linked to another file name, whose content would change too; "
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
    with suppress(OSError):  # Windows keeps open files; the lock works with the file there
        path.unlink()


def _hash(file: IO[bytes] | FileIO, n_bytes: int | None) -> "hashlib._Hash":
    """Hash a file from its start, or its first bytes."""
    found = hashlib.sha256()
    left = math.inf if n_bytes is None else n_bytes
    while left > 0 and (block := file.read(int(min(left, 2**20)))):
        found.update(block)
        left -= len(block)
    return found
