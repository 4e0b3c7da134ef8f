"""Small datasets, a server on loopback that can misbehave, and a machine that has no data."""

import gzip
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from mnistlin.data.catalog import DATASETS, MNIST, PARTS, Dataset, KnownFile, find_parts
from mnistlin.data.idx import encode_idx

REAL_DATA_DIR = os.environ.get("MNISTLIN_DATA_DIR")


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No data but the bundled, an empty cache, and no network."""
    monkeypatch.delenv("MNISTLIN_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    monkeypatch.setenv("MNISTLIN_OFFLINE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def real_mnist() -> Path:
    """Return the folder of the real MNIST; skip where there is none."""
    for folder in (Path(REAL_DATA_DIR or "", MNIST.name), Path(REAL_DATA_DIR or "")):
        if REAL_DATA_DIR and len(find_parts(folder)) == len(PARTS):
            return folder
    pytest.skip("the environment variable MNISTLIN_DATA_DIR names no folder that holds MNIST")


@pytest.fixture
def debian_fashion_mnist() -> Path:
    """Return the folder of Debian's Fashion-MNIST; skip where it is not installed."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    if len(find_parts(folder)) < len(PARTS):
        pytest.skip(f"{folder} is not there: apt-get install dataset-fashion-mnist")
    return folder


@dataclass
class TinySet:
    """A dataset of a few images, as a known one would be: content, files, hashes.

    `contents` are the IDX files by part, `published` the .gz files by name.
    """

    dataset: Dataset
    contents: dict[str, bytes]
    published: dict[str, bytes]

    def write(self, folder: Path, parts=PARTS, *, ending: str = ".gz") -> Path:
        """Write some of the files, as .gz files or (`ending=""`) raw."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            path = folder / self.dataset.file(part).file_name.replace(".gz", ending)
            path.write_bytes(pack(self.contents[part]) if ending else self.contents[part])
        return folder


def pack(content: bytes) -> bytes:
    """Compress without name and time."""
    return gzip.compress(content, mtime=0)


def sha256(content: bytes) -> str:
    """Return the hash as the catalogue writes it."""
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def make_set() -> Callable[..., TinySet]:
    """Make a tiny dataset; with the same arguments the same."""

    def make(name="tiny", train_labels=(0, 1, 2, 0, 1, 2), test_labels=(2, 1, 0), size=(3, 2)):
        rng = np.random.default_rng(len(name))
        contents = {}
        for stem, labels in (("train", train_labels), ("t10k", test_labels)):
            images = rng.integers(0, 256, (len(labels), *size), np.uint8)
            contents[f"{stem}-images"] = encode_idx(images)
            contents[f"{stem}-labels"] = encode_idx(np.array(labels, np.uint8))
        files = tuple(
            KnownFile(
                title=name.title(),
                part=part,
                raw_bytes=len(contents[part]),
                gzip_bytes=len(pack(contents[part])),
                gzip_sha256=sha256(pack(contents[part])),
                sha256=sha256(contents[part]),
            )
            for part in PARTS
        )
        dataset = Dataset(name, name.title(), "", files, mirrors=("http://127.0.0.1:9/",))
        published = {file.file_name: pack(contents[file.part]) for file in files}
        return TinySet(dataset, contents, published)

    return make


@pytest.fixture
def tiny(make_set, monkeypatch) -> TinySet:
    """Put a tiny dataset into the catalogue for the length of a test."""
    made = make_set()
    monkeypatch.setitem(DATASETS, made.dataset.name, made.dataset)
    return made


@dataclass
class Server:
    """A server on loopback; what it does depends on the first part of the path."""

    url: str
    requests: list[str] = field(default_factory=list)
    published: dict[str, bytes] = field(default_factory=dict)
    released: Event = field(default_factory=Event)

    def mirror(self, behaviour: str) -> str:
        """Return the URL of a mirror that behaves in one of the ways of `Handler`."""
        return f"{self.url}/{behaviour}/"

    def asked(self) -> Counter:
        """Return how often each behaviour was asked for."""
        return Counter(path.split("/")[1] for path in self.requests)


class Handler(BaseHTTPRequestHandler):
    """Serves /<behaviour>/<file name>."""

    server_state: Server

    def do_GET(self) -> None:
        """Do with the file what the path asks for."""
        self.server_state.requests.append(self.path)
        _, behaviour, name = self.path.split("/")
        with suppress(ConnectionError):  # the client may have heard enough
            getattr(self, behaviour)(self.server_state.published[name])

    def send(self, body: bytes, length: int | None = None, encoding: str | None = None) -> None:
        """Answer 200 with a body, and perhaps with the length that it should have."""
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def good(self, body: bytes) -> None:
        """Send the file."""
        self.send(body, len(body))

    def encoding(self, body: bytes) -> None:
        """Take the gzip for one of the transport, to be undone, if the client can undo it."""
        accepted = self.headers["Accept-Encoding"]
        self.send(body, len(body), encoding="gzip" if "gzip" in accepted else None)

    def missing(self, _: bytes) -> None:
        """Know nothing of it."""
        self.send_error(404)

    def failing(self, _: bytes) -> None:
        """Have trouble."""
        self.send_error(500)

    def truncated(self, body: bytes) -> None:
        """Send less than was said."""
        self.send(body[: len(body) // 2], len(body))

    def cut(self, body: bytes) -> None:
        """Send half of the file and do not say how much it should be."""
        self.send(body[: len(body) // 2])

    def page(self, _: bytes) -> None:
        """Send a web page in its place, as the portal of a hotel does."""
        self.send(b"<!DOCTYPE html><title>Please log in</title>")

    def other(self, body: bytes) -> None:
        """Send a file that differs in a bit."""
        self.send(body[:-1] + bytes([body[-1] ^ 1]), len(body))

    def endless(self, body: bytes) -> None:
        """Send the file and never stop."""
        self.send(body)
        while not self.server_state.released.is_set():
            self.wfile.write(bytes(1 << 16))

    def silent(self, _: bytes) -> None:
        """Never answer."""
        self.server_state.released.wait(30)

    def stalling(self, body: bytes) -> None:
        """Begin normally, then stall, and continue when nobody waits any more."""
        self.send(body[:10], len(body))
        self.server_state.released.wait(30)
        self.wfile.write(body[10:])

    def dripping(self, body: bytes) -> None:
        """Send a byte now and then, too often for a time-out of the socket."""
        self.send(b"", len(body))
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(0.1)
            if self.server_state.released.is_set():
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch, tiny) -> Iterator[Server]:
    """Run a server that publishes the tiny dataset, and allow to use the network."""
    monkeypatch.setenv("MNISTLIN_OFFLINE", "0")
    handler = type("BoundHandler", (Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state = Server(f"http://127.0.0.1:{http.server_port}", published=tiny.published)
    handler.server_state = state
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.released.set()
    http.shutdown()
    thread.join()
    http.server_close()
