"""One file from one server: whole or not at all, and never for ever."""

import subprocess
import sys
import threading
import time

import pytest

from mnistlin.data.download import TimeLimits, cache_folder, fetch_file
from mnistlin.errors import DataError


def test_a_fetched_file_is_the_published_one(server, tiny, tmp_path):
    """All bytes arrive, and each is counted once."""
    file = tiny.dataset.files[0]
    counts = []
    url = server.mirror("good") + file.file_name
    fetch_file(file, url, tmp_path, on_bytes=counts.append)
    assert (tmp_path / file.file_name).read_bytes() == tiny.published[file.file_name]
    assert sum(counts) == file.gzip_bytes


def test_a_server_that_would_unpack_the_file_is_kept_from_it(server, tiny, tmp_path):
    """Some servers declare the gzip of a .gz file as their own; they are asked not to."""
    file = tiny.dataset.files[0]
    fetch_file(file, server.mirror("encoding") + file.file_name, tmp_path)
    assert (tmp_path / file.file_name).read_bytes() == tiny.published[file.file_name]


def test_a_failed_fetch_leaves_the_file_that_was_there(server, tiny, tmp_path):
    """An older file is replaced by a good one only."""
    file = tiny.dataset.files[0]
    (tmp_path / file.file_name).write_bytes(b"older")
    with pytest.raises(DataError, match="wrong SHA-256"):
        fetch_file(file, server.mirror("other") + file.file_name, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_an_abandoned_fetch_stops_by_itself(server, tiny, tmp_path):
    """What the server sends after the time limit is not counted, kept or waited for."""
    file = tiny.dataset.files[0]
    counts = []
    before = threading.active_count()
    with pytest.raises(DataError, match="longer than"):
        fetch_file(
            file,
            server.mirror("stalling") + file.file_name,
            tmp_path,
            limits=TimeLimits(file_seconds=0.3, slowest_rate=float("inf")),
            on_bytes=counts.append,
        )
    server.released.set()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert counts == list(tmp_path.iterdir()) == []


def test_large_files_may_take_longer():
    """The limit for a file grows with its size, so that a slow line is no failure."""
    limits = TimeLimits(file_seconds=5, slowest_rate=100)
    assert limits.total_seconds(1000) == 15


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is a custom of Linux")
def test_the_cache_has_a_folder_for_each_dataset(tmp_path):
    """Each dataset has its own folder in the user's cache."""
    assert cache_folder("mnist") == tmp_path / "home-cache" / "mnistlin" / "mnist"


def test_loading_local_data_imports_nothing_that_downloads():
    """pooch, requests and filelock are slow to import and wait until they are needed."""
    code = (
        "import sys\n"
        "from mnistlin.config import DataConfig\n"
        "from mnistlin.data.splits import load_splits\n"
        "load_splits(DataConfig(dataset='mnist-5k'))\n"
        "print(sorted({'pooch', 'requests', 'filelock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
