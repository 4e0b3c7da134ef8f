"""Fetch one file from one server, checked, and within limits of time and size.

The only module that uses pooch, and imports it only when it is called. Which server to ask, and
what to do when it fails, is for `cache`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from mnistlin.data.catalog import KnownFile
from mnistlin.data.sniff import GZIP_MAGIC, HEAD_BYTES, describe_head
from mnistlin.errors import DataError

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
