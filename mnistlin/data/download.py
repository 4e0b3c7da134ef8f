"""Completing the user's cache of datasets: check it by content, download what is missing.

The only module that uses pooch, requests and filelock, which are imported when they are needed.
Downloads are limited in time and size, verified before they replace anything, and made by one
process at a time.
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

from mnistlin.data.catalog import Dataset, KnownFile, find_candidates, find_parts
from mnistlin.data.idx import GZIP_MAGIC, HEAD_BYTES, IdxError, describe_head, read_idx
from mnistlin.errors import CacheError, DataError

SCRATCH_PREFIX = ".download-"
"""Prefix of the names of temporary folders."""

LOCK_SECONDS = 900.0
"""How long to wait for another process that downloads the same dataset."""

ELSEWHERE = "or into a folder that MNISTLIN_DATA_DIR names"

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class TimeLimits:
    """How long a server may take."""

    connect_seconds: float = 10.0
    silence_seconds: float = 20.0
    """Between two pieces of an answer."""
    file_seconds: float = 60.0
    """Seconds for a file, in addition to the time that its size takes at the slowest rate."""
    slowest_rate: float = 50_000.0
    """Bytes per second."""

    def total_seconds(self, n_bytes: int) -> float:
        """Return how long a file of this size may take in total."""
        return self.file_seconds + n_bytes / self.slowest_rate


class Progress(Protocol):
    """A progress bar that counts bytes, such as that of tqdm."""

    n: Any
    total: Any

    def update(self, n: int, /) -> object:
        """Count `n` more bytes, or fewer if it is negative."""

    def close(self) -> object:
        """Remove the bar."""


def cache_folder(name: str) -> Path:
    """Return the folder of a dataset in the user's cache; it need not exist."""
    import pooch  # noqa: PLC0415  slow to import, and seldom needed

    return Path(pooch.os_cache("mnistlin")) / name


def complete_cache(
    dataset: Dataset, progress: Progress | None = None, elsewhere: str = ELSEWHERE
) -> None:
    """Download what is missing of a known dataset in the user's cache, or has a wrong content.

    Parameters
    ----------
    dataset : Dataset
        The dataset. For one that comes with the package, nothing is done.
    progress : Progress, optional
        Moved as bytes arrive and closed at the end; not touched if nothing is downloaded.
    elsewhere : str
        Where else files may be put by hand, for the error.

    Raises
    ------
    DataError
        If a file cannot be downloaded or the network is forbidden.
    CacheError
        If the folder cannot be written.
    """
    if dataset.bundled_folder is None:
        folder = cache_folder(dataset.name)
        download(dataset, folder, dataset.mirrors, progress=progress, elsewhere=elsewhere)


def download(  # noqa: PLR0913 (what varies in a test: mirrors, limits, bar)
    dataset: Dataset,
    folder: Path,
    mirrors: Sequence[str],
    *,
    limits: TimeLimits | None = None,
    progress: Progress | None = None,
    elsewhere: str = ELSEWHERE,
) -> None:
    """Do what `complete_cache` does, for any folder, mirrors and time limits.

    Whatever goes wrong with one mirror, the next is tried; the one that worked goes first for the
    next file. The folder is made if it does not exist.
    """
    if not any(_needs_work(folder, file) for file in dataset.files):
        return
    by_hand = _by_hand(dataset, folder, elsewhere)
    if is_offline() and (wrong := _missing(dataset, folder)):
        found = find_parts(folder)
        what = (
            f"{dataset.title} is not on this machine"
            if not found
            else f"{', '.join(map(str, wrong))}: missing or damaged in {folder}"
        )
        raise DataError(f"{what}, and MNISTLIN_OFFLINE forbids downloading. {by_hand}")
    order = list(mirrors)
    with _sole_writer(folder, by_hand):
        files = _missing(dataset, folder)  # another process may have downloaded them meanwhile
        bar = _FilesProgress(progress, sum(file.gzip_bytes for file in files))
        try:
            for file in files:
                worked = _fetch_from_any(order, file, folder, limits, bar, by_hand)
                order.sort(key=lambda mirror: mirror != worked)
        finally:
            bar.close()
        for file in dataset.files:
            _remove_wrong(file, folder)


def is_offline() -> bool:
    """Return whether MNISTLIN_OFFLINE forbids using the network."""
    return os.environ.get("MNISTLIN_OFFLINE", "").lower() not in {"", "0", "false", "no", "off"}


def fetch_file(
    file: KnownFile,
    url: str,
    folder: Path,
    *,
    limits: TimeLimits | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> None:
    """Download a known file into an existing folder, completely or not at all.

    Parameters
    ----------
    file : KnownFile
        What the file must be as published; it gets the name under which it is published.
    url : str
        Where it is served.
    folder : Path
        Where it is put.
    limits : TimeLimits, optional
        How long it may take.
    on_bytes : callable
        Called from another thread with the number of bytes that have newly arrived.

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
    """Return a downloader that ends as soon as it is clear that it is going wrong.

    Pooch's own has no limits of size and total time, and leaves the connection open if a write
    fails.
    """
    import requests  # noqa: PLC0415

    def download_to(url: str, output_file: str, _: object) -> None:
        timeout = (limits.connect_seconds, limits.silence_seconds)
        # Without "identity" a server may unpack the file, and then the SHA-256 differs.
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
    """Run an action in a thread; if it takes too long, set its event and do not wait for it.

    The timeouts of a socket stop neither a server that sends a byte now and then nor a name server
    that never answers.
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
            return "no connection, or it was lost"
        case ValueError():
            return "what it sent has the wrong SHA-256"
        case DataError() | TimeoutError():
            return str(error)
    return f"{type(error).__name__}: {error}"


def _missing(dataset: Dataset, folder: Path) -> list[KnownFile]:
    """Return the files that a folder does not hold under any name, by content."""
    return [file for file in dataset.files if _right(folder, file) is None]


def _needs_work(folder: Path, file: KnownFile) -> bool:
    """Return whether the file that would be used is not the right one."""
    found = find_parts(folder).get(file.part)
    return found is None or not _holds(found, file)


def _right(folder: Path, file: KnownFile) -> Path | None:
    """Return the first file in a folder that has the content of a known one."""
    candidates = find_candidates(folder).get(file.part, [])
    return next((path for path in candidates if _holds(path, file)), None)


def _holds(path: Path, file: KnownFile) -> bool:
    try:
        return read_idx(path, max_items=0, hashed=True).sha256 == file.sha256
    except IdxError:
        return False


def _remove_wrong(file: KnownFile, folder: Path) -> None:
    """Remove files of wrong content that would be used in place of the right one."""
    right = _right(folder, file)
    while (found := find_parts(folder)[file.part]) != right:
        found.unlink()


@contextmanager
def _sole_writer(folder: Path, by_hand: str) -> Iterator[None]:
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
            f"the folder {folder} cannot be written: {error.strerror or error}. {by_hand}"
        ) from None


def _fetch_from_any(  # noqa: PLR0913, PLR0917
    mirrors: Sequence[str],
    file: KnownFile,
    folder: Path,
    limits: TimeLimits | None,
    bar: "_FilesProgress",
    by_hand: str,
) -> str:
    """Download a file from the first mirror that serves it, and return that mirror."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.file_name}"
        try:
            fetch_file(file, url, folder, limits=limits, on_bytes=bar.advance)
        except DataError as error:
            failures.append(f"  {url}: {error}")
            bar.restart_file()
        else:
            bar.finish_file(file.gzip_bytes)
            return mirror
    raise DataError("\n".join([f"{file} could not be downloaded:", *failures, by_hand]))


def _by_hand(dataset: Dataset, folder: Path, elsewhere: str) -> str:
    advice = [f"Files from elsewhere can be put into {folder}, {elsewhere}.", dataset.hint]
    advice.append("`--config quickstart` needs no download: its dataset is mnist-5k.")
    return " ".join(filter(None, advice))


class _FilesProgress:
    """Moves one bar over several files, and back when a file has to be started again."""

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
            self._bar.update(self._finished - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
