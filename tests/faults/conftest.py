"""What the fault tests share. They run when asked for with `-m faults`."""

import os
import subprocess

import pytest

IS_SHORT = os.environ.get("MNISTLIN_FAULTS") == "short"


@pytest.fixture(scope="session")
def times():
    """Return a function that chooses between a number of times and that of the shorter form."""
    return lambda whole, short: short if IS_SHORT else whole


class Disk:
    """A small disk in memory, mounted on a folder."""

    def __init__(self, path):
        self.path = path

    def remount(self, *options):
        """Change its size (`size=64k`), or whether it can be written to (`ro`, `rw`)."""
        _run("mount", "-o", ",".join(["remount", *options]), self.path)


@pytest.fixture
def disk(tmp_path):
    """Return a small disk of a megabyte; skip where none can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a tmpfs cannot be mounted here: {error}")
    yield Disk(path)
    _run("umount", "--lazy", path)


def _run(*words):
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
