"""The cache is completed from whichever mirror works, whatever the others do."""

import io
import multiprocessing
import re
from dataclasses import replace

import filelock
import pytest
from tqdm import tqdm

from mnistlin.data import download as cache
from mnistlin.data.catalog import PARTS, find_parts
from mnistlin.data.download import TimeLimits, cache_folder, complete_cache, download
from mnistlin.errors import CacheError, DataError

QUICK = TimeLimits(
    connect_seconds=1.0, silence_seconds=0.5, file_seconds=1.5, slowest_rate=float("inf")
)
FAILURES = {
    "missing": "it answered 404 Not Found",
    "failing": "it answered 500 Internal Server Error",
    "truncated": "no connection, or it was lost",
    "cut": "what it sent has the wrong SHA-256",
    "page": "what it sent is a web page (HTML)",
    "other": "what it sent has the wrong SHA-256",
    "endless": "what it sent is longer than",
    "silent": "it did not answer in time",
    "stalling": "no connection, or it was lost",
    "dripping": "it took longer than 2 seconds",
}
SLOW = {"stalling", "dripping"}


class Bar:
    """A progress bar that only counts."""

    total = None
    n = 0
    closed = False

    def update(self, n):
        """Count."""
        self.n += n

    def close(self):
        """Remember that it was closed."""
        self.closed = True


def contents_of(folder):
    """Return the bytes of all files in a folder by name, except the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_a_download_brings_all_files_and_leaves_nothing_else(server, tiny, tmp_path):
    """After a download the folder holds the four published files, byte by byte."""
    download(tiny.dataset, tmp_path / "set", [server.mirror("good")])
    assert contents_of(tmp_path / "set") == tiny.published


@pytest.mark.parametrize("behaviour", [each for each in FAILURES if each not in SLOW])
def test_the_next_mirror_is_asked_whatever_goes_wrong(behaviour, server, tiny, tmp_path):
    """A mirror that fails costs time and nothing else; it is not asked again."""
    mirrors = [server.mirror(behaviour), server.mirror("good")]
    download(tiny.dataset, tmp_path, mirrors, limits=QUICK)
    assert contents_of(tmp_path) == tiny.published
    assert server.asked() == {behaviour: 1, "good": len(PARTS)}


def test_a_mirror_that_is_not_there_is_passed_over(server, tiny, tmp_path):
    """A refused connection and a name that is no URL are failures like others."""
    mirrors = ["http://127.0.0.1:1", "nonsense", server.mirror("good")]
    download(tiny.dataset, tmp_path, mirrors, limits=QUICK)
    assert contents_of(tmp_path) == tiny.published


@pytest.mark.parametrize(("behaviour", "reason"), FAILURES.items())
def test_the_error_says_why_each_mirror_failed(behaviour, reason, server, tiny, tmp_path):
    """If no mirror serves a file, the error names file, URLs, reasons and ways out."""
    mirrors = [server.mirror(behaviour), server.mirror("missing")]
    with pytest.raises(DataError) as caught:
        download(tiny.dataset, tmp_path, mirrors, limits=QUICK)
    name = tiny.dataset.files[0].file_name
    message = str(caught.value)
    assert "Tiny's train-images could not be downloaded" in message
    assert f"{server.mirror(behaviour)}{name}: {reason}" in message
    assert f"{server.mirror('missing')}{name}: it answered 404" in message
    assert str(tmp_path) in message
    assert "MNISTLIN_DATA_DIR" in message
    assert "mnist-5k" in message
    assert contents_of(tmp_path) == {}


def test_only_what_is_missing_or_wrong_is_downloaded(server, tiny, tmp_path):
    """Good files stay, raw or packed otherwise; a damaged one is replaced."""
    tiny.write(tmp_path, PARTS[:2], ending="")
    damaged = tmp_path / "t10k-images.idx3-ubyte"
    damaged.write_bytes(tiny.contents["t10k-images"][:-1])
    download(tiny.dataset, tmp_path, [server.mirror("good")])
    assert [path.rpartition("/")[2] for path in server.requests] == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    assert find_parts(tmp_path)["t10k-images"].name == "t10k-images-idx3-ubyte.gz"
    assert not damaged.exists()


def test_a_complete_folder_needs_no_network(tiny, tmp_path):
    """Nothing is asked for when all is there, MNISTLIN_OFFLINE or not."""
    tiny.write(tmp_path)
    download(tiny.dataset, tmp_path, ["http://127.0.0.1:1"])


def test_offline_never_touches_the_network(server, tiny, tmp_path, monkeypatch):
    """With MNISTLIN_OFFLINE=1 a missing dataset is an error that says so, and no folder is made."""
    monkeypatch.setenv("MNISTLIN_OFFLINE", "1")
    with pytest.raises(DataError, match=r"Tiny is not on this machine, and MNISTLIN_OFFLINE"):
        download(tiny.dataset, tmp_path / "set", [server.mirror("good")])
    assert server.requests == []
    assert not (tmp_path / "set").exists()


def test_two_processes_download_once(server, tiny, tmp_path):
    """Of two processes that find the files missing, one downloads and the other uses them."""
    spawn = multiprocessing.get_context("spawn")
    arguments = (tiny.dataset, tmp_path, [server.mirror("good")])
    processes = [spawn.Process(target=download, args=arguments) for _ in range(2)]
    with filelock.FileLock(tmp_path / ".lock"):
        for process in processes:
            process.start()
        processes[1].join(1.0)  # time to start, and to find the files missing
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert contents_of(tmp_path) == tiny.published
    assert server.asked() == {"good": len(PARTS)}


def test_waiting_for_another_process_has_an_end(server, tiny, tmp_path, monkeypatch):
    """A process that waits too long for the lock reports what it waits for."""
    monkeypatch.setattr(cache, "LOCK_SECONDS", 0.1)
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(DataError, match="another process has been downloading"),
    ):
        download(tiny.dataset, tmp_path, [server.mirror("good")])


def test_what_a_killed_download_left_behind_is_removed(server, tiny, tmp_path):
    """A temporary folder of a process that died does not stay for ever."""
    (tmp_path / ".download-abc").mkdir()
    (tmp_path / ".download-abc" / "half").write_bytes(b"half a file")
    download(tiny.dataset, tmp_path, [server.mirror("good")])
    assert contents_of(tmp_path) == tiny.published


def test_a_cache_that_cannot_be_written_is_a_clear_error(server, tiny, tmp_path):
    """A folder that cannot be made is named, with the reason."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(CacheError, match=re.escape(f"the folder {blocked / 'set'} cannot be")):
        download(tiny.dataset, blocked / "set", [server.mirror("good")])


@pytest.mark.parametrize("behaviour", ["good", "other"])
def test_the_bar_counts_every_byte_once(behaviour, server, tiny, tmp_path):
    """The bar ends at its total, also when a mirror sent a wrong file first, and is closed."""
    bar = Bar()
    mirrors = [server.mirror(behaviour), server.mirror("good")]
    download(tiny.dataset, tmp_path, mirrors, limits=QUICK, progress=bar)
    assert bar.n == bar.total == tiny.dataset.gzip_bytes
    assert bar.closed


def test_the_bar_is_closed_when_the_download_fails(server, tiny, tmp_path):
    """A failed download leaves no bar on the screen, and none of its bytes counted."""
    bar = Bar()
    with pytest.raises(DataError):
        download(tiny.dataset, tmp_path, [server.mirror("other")], progress=bar)
    assert bar.closed
    assert bar.n == 0


def test_a_download_that_fails_at_once_shows_no_bar(server, tiny, tmp_path):
    """So that its error begins on a line of its own."""
    screen = io.StringIO()
    with pytest.raises(DataError), tqdm(total=0, file=screen, delay=60) as bar:
        download(tiny.dataset, tmp_path, [server.mirror("other")], progress=bar)
    assert screen.getvalue() == ""


def test_the_cache_is_completed_from_the_mirrors_of_the_dataset(server, tiny, tmp_path):
    mirrors = (server.mirror("missing"), server.mirror("good"))
    complete_cache(replace(tiny.dataset, mirrors=mirrors))
    folder = cache_folder("tiny")
    assert tmp_path in folder.parents
    assert contents_of(folder) == tiny.published
