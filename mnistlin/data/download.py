"""Fetch one file from one server, checked, and within limits of time and size.

The only module that uses pooch, and imports it only when it is called. Which server to ask, and
what to do when it fails, is for `cache`.

Complete the user's cache of datasets from the mirrors, one process at a time.

Fetching a single file is `fetch`; where datasets may lie besides the cache is `locate`.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, Protocol

from mnistlin.data.catalog import Dataset, KnownFile, find_parts
from mnistlin.data.idx import GZIP_MAGIC, HEAD_BYTES, IdxError, describe_head, read_idx
from mnistlin.errors import CacheError, DataError

SCRATCH_PREFIX = ".download-"
"""How the names of the temporary folders begin."""

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class TimeLimits:
    """How long a server may take.

    Attributes
    ----------
    connect_seconds : float
        To accept the connection.
    silence_seconds : float
        Between two pieces of an answer.
    file_seconds : float
        For a file, besides what its size takes at the slowest rate.
    slowest_rate : float
        Bytes per second.
    """

    connect_seconds: float = 10.0
    silence_seconds: float = 20.0
    file_seconds: float = 60.0
    slowest_rate: float = 50_000.0

    def total_seconds(self, n_bytes: int) -> float:
        """Return how long a file of this size may take from beginning to end."""
        return self.file_seconds + n_bytes / self.slowest_rate


def cache_folder(name: str) -> Path:
    """Return the folder of a dataset in the user's cache; it need not exist."""
    import pooch  # noqa: PLC0415  slow to import, and seldom needed

    return Path(pooch.os_cache("mnistlin")) / name


def fetch_file(
    file: KnownFile,
    url: str,
    folder: Path,
    *,
    limits: TimeLimits | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> None:
    """Fetch a known file into a folder; there is all of it afterwards, or nothing of it.

    Parameters
    ----------
    file : KnownFile
        What the file must be as published.
    url : str
        Where it is served.
    folder : Path
        An existing folder. The file comes to it under the name under which it is published.
    limits : TimeLimits, optional
        How long it may take.
    on_bytes : callable
        Called with the number of bytes that have newly arrived, from another thread.

    Raises
    ------
    DataError
        If that fails, for whatever reason; the message is the reason alone.
    """
    import pooch  # noqa: PLC0415

    pooch.get_logger().setLevel("WARNING")
    limits = limits or TimeLimits()
    with TemporaryDirectory(
        dir=folder, prefix=SCRATCH_PREFIX, ignore_cleanup_errors=True
    ) as scratch:

        def retrieve(abandoned: Event) -> None:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{file.gzip_sha256}",
                fname=file.file_name,
                path=scratch,
                downloader=_downloader(file.gzip_bytes, limits, on_bytes, abandoned),
            )

        try:
            _within(limits.total_seconds(file.gzip_bytes), retrieve)
        except Exception as error:  # from so many layers that any list of types would have gaps
            raise DataError(_reason(error)) from error
        (Path(scratch) / file.file_name).replace(folder / file.file_name)


def _downloader(
    n_bytes: int, limits: TimeLimits, on_bytes: Callable[[int], object], abandoned: Event
) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch that ends as soon as it is clear that it goes wrong."""
    import requests  # noqa: PLC0415

    def download_to(url: str, output_file: str, _: object) -> None:
        timeout = (limits.connect_seconds, limits.silence_seconds)
        # Without "identity" a server may unpack the file, and then the SHA-256 is another.
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, stream=True, timeout=timeout, headers=headers) as response,
            Path(output_file).open("wb") as out,
        ):
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK_BYTES):
                if abandoned.is_set():
                    return
                if out.tell() == 0 and not chunk.startswith(GZIP_MAGIC):
                    raise DataError(f"what it sent is {describe_head(chunk[:HEAD_BYTES])}")
                if out.tell() + len(chunk) > n_bytes:
                    raise DataError(f"what it sent is longer than {n_bytes} bytes")
                out.write(chunk)
                on_bytes(len(chunk))

    return download_to


def _within(seconds: float, action: Callable[[Event], None]) -> None:
    """Run an action in a thread; if it takes too long, tell it so and leave it to its fate.

    The time-outs of a socket do not stop a server that sends a byte now and then, nor a name
    server that never answers.
    """
    abandoned = Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action(abandoned)
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:
        abandoned.set()
    if thread.is_alive():
        raise TimeoutError(f"it took longer than {seconds:.0f} seconds")
    if failures:
        raise failures[0]


def _reason(error: Exception) -> str:
    import requests  # noqa: PLC0415

    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"it answered {response.status_code} {response.reason}"
        case requests.Timeout():
            return "it did not answer in time"
        case requests.RequestException():
            return "no connection, or one that broke off"
        case ValueError():
            return "what it sent has the wrong SHA-256"
        case DataError() | TimeoutError():
            return str(error)
    return f"{type(error).__name__}: {error}"


LOCK_SECONDS = 900.0
"""How long to wait for another process that downloads the same dataset."""


class Progress(Protocol):
    """A progress bar that counts bytes, of the kind that pooch takes; tqdm's is one."""

    total: Any

    def update(self, n: int, /) -> object:
        """Count `n` more bytes."""

    def reset(self) -> object:
        """Start again from 0."""

    def close(self) -> object:
        """Take the bar away."""


def fetch(dataset: Dataset, progress: Progress | None = None) -> Path:
    """Bring into the cache what is missing there of a known dataset, or has the wrong content.

    Parameters
    ----------
    dataset : Dataset
        The dataset. For one that comes with the package, nothing is done.
    progress : Progress, optional
        Moved as bytes arrive and closed at the end; not touched if nothing is downloaded.

    Returns
    -------
    Path
        The folder where it now is.

    Raises
    ------
    DataError
        If a file cannot be had or the network is forbidden.
    CacheError
        If the folder cannot be written.
    """
    if dataset.bundled_folder is not None:
        return dataset.bundled_folder
    folder = cache_folder(dataset.name)
    download(dataset, folder, dataset.mirrors, progress=progress)
    return folder


def download(
    dataset: Dataset,
    folder: Path,
    mirrors: Sequence[str],
    *,
    limits: TimeLimits | None = None,
    progress: Progress | None = None,
) -> None:
    """Do what `fetch` does, for any folder, mirrors and time limits.

    Parameters
    ----------
    dataset : Dataset
        What is to be there at the end.
    folder : Path
        Where; it is made if it does not exist.
    mirrors : sequence of str
        URLs below which the files are served, in the order in which they are tried. Whatever goes
        wrong with one, the next is tried; the one that worked goes first for the next file.
    limits : TimeLimits, optional
        How long a server may take.
    progress : Progress, optional
        As for `fetch`.

    Raises
    ------
    DataError
        As `fetch` does.
    """
    if not _missing(dataset, folder):
        return
    if is_offline():
        raise DataError(
            f"{dataset.title} is not on this machine, and MNISTLIN_OFFLINE forbids to download it."
            f" {_by_hand(folder)}"
        )
    order = list(mirrors)
    with _sole_writer(folder):
        files = _missing(dataset, folder)  # another process may have brought them meanwhile
        bar = _FilesProgress(progress, sum(file.gzip_bytes for file in files))
        try:
            for file in files:
                worked = _fetch_from_any(order, file, folder, limits, bar)
                order.sort(key=lambda mirror: mirror != worked)
        finally:
            bar.close()


def is_offline() -> bool:
    """Return whether MNISTLIN_OFFLINE forbids to use the network."""
    return os.environ.get("MNISTLIN_OFFLINE", "").lower() not in {"", "0", "false", "no"}


def _missing(dataset: Dataset, folder: Path) -> list[KnownFile]:
    found = find_parts(folder)
    return [file for file in dataset.files if not _holds(found.get(file.part), file)]


def _holds(path: Path | None, file: KnownFile) -> bool:
    try:
        return path is not None and read_idx(path, max_items=0, hashed=True).sha256 == file.sha256
    except IdxError:
        return False


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock, which ends with the process, however it ends."""
    import filelock  # noqa: PLC0415  slow to import, and seldom needed

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            for left_behind in folder.glob(f"{SCRATCH_PREFIX}*"):
                shutil.rmtree(left_behind, ignore_errors=True)
            yield
    except filelock.Timeout:
        raise DataError(
            f"another process has been downloading to {folder} for {LOCK_SECONDS / 60:.0f} minutes;"
            " try again when it has ended"
        ) from None
    except OSError as error:
        raise CacheError(
            f"the folder {folder} cannot be written: {error.strerror or error}. {_by_hand(folder)}"
        ) from None


def _fetch_from_any(
    mirrors: Sequence[str],
    file: KnownFile,
    folder: Path,
    limits: TimeLimits | None,
    bar: "_FilesProgress",
) -> str:
    """Fetch a file from the first mirror that serves it, and return that mirror."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.file_name}"
        try:
            fetch_file(file, url, folder, limits=limits, on_bytes=bar.advance)
        except DataError as error:
            failures.append(f"  {url}: {error}")
            bar.restart_file()
        else:
            _remove_others(file, folder)
            bar.finish_file(file.gzip_bytes)
            return mirror
    raise DataError("\n".join([f"{file} could not be downloaded:", *failures, _by_hand(folder)]))


def _remove_others(file: KnownFile, folder: Path) -> None:
    """Remove files of wrong content that would be found before the one just fetched."""
    while (found := find_parts(folder)[file.part]).name != file.file_name:
        found.unlink()


def _by_hand(folder: Path) -> str:
    return (
        f"Files from elsewhere can be put into {folder}, or into a folder that MNISTLIN_DATA_DIR"
        " names. `dataset: mnist-5k` needs no download."
    )


class _FilesProgress:
    """Moves a bar over several files, and takes it back when a file has to be started again."""

    def __init__(self, bar: Progress | None, total: int) -> None:
        self._bar = bar
        self._finished = 0
        if bar is not None:
            bar.total = total

    def advance(self, n_bytes: int) -> None:
        if self._bar is not None:
            self._bar.update(n_bytes)

    def finish_file(self, n_bytes: int) -> None:
        self._finished += n_bytes

    def restart_file(self) -> None:
        if self._bar is not None:
            self._bar.reset()
            self._bar.update(self._finished)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
