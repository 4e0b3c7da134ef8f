"""Reading files without trust in them, and writing so that half of something is never left.

What the files hold is not known here.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

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
