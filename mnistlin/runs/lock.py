"""One writer for a folder, by a lock of the operating system that ends with its process."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mnistlin.errors import RunError
from mnistlin.runs.files import os_errors_as_run_errors

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
