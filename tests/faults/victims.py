"""Processes that run a command of mnistlin, many at once, or are killed at critical moments.

They are forked from a server that has imported everything already, so that a hundred of them take
no longer than they train.
"""

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm

from mnistlin.runs.files import GrowingFile

PATIENCE_SECONDS = 60

_servers = multiprocessing.get_context("forkserver")
_servers.set_forkserver_preload(["mnistlin.cli", "mnistlin.experiment", "mnistlin.sweep", __name__])

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


def run(*arguments, prepare=None):
    """Run a command to its end; return its exit code, which is -9 if it was killed."""
    with started(*arguments, prepare=prepare) as process:
        process.join()
    return process.exitcode


def run_at_once(n_processes, *arguments):
    """Run a command in processes that all begin at the same moment; return their exit codes."""
    barrier = _servers.Barrier(n_processes)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(*arguments, prepare=barrier.wait))
            for _ in range(n_processes)
        ]
        for process in processes:
            process.join()
    return [process.exitcode for process in processes]


@contextmanager
def started(*arguments, prepare=None):
    """Run a command while inside; `prepare` is called in its process before it begins."""
    words = [str(argument) for argument in arguments]
    process = _servers.Process(target=_command, args=(words, prepare))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def kill_when(process, is_time, delay):
    """Kill a process `delay` seconds after an event, if it is still running."""
    end = time.monotonic() + PATIENCE_SECONDS
    while process.is_alive() and not is_time():
        assert time.monotonic() < end, "what was waited for did not come about"
        time.sleep(0.001)
    process.join(delay)
    process.kill()


class DieBefore:
    """Die at once before the n-th change of a file or folder below some folder.

    Every change counts: opening for writing, moving, removing, making. So the file that is being
    written is there or not there, whole, moved or not yet moved, as n goes up.
    """

    def __init__(self, below, n):
        self.below, self.n = str(below), n

    def __call__(self):
        """Watch the changes of this process."""
        number = itertools.count(1)

        def watch(event, arguments):
            if self._is_change(event, arguments) and next(number) == self.n:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)

    def _is_change(self, event, arguments):
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            return bool(writes) and self._is_below(path)
        return event in _CHANGES and self._is_below(arguments[0])

    def _is_below(self, path):
        """Say whether a path is ours; one that is relative to an open folder is taken to be."""
        if not isinstance(path, str | os.PathLike):
            return False
        return os.fspath(path).startswith(self.below) or not Path(path).is_absolute()


class DieWithinPiece:
    """Die when half of the n-th piece of a CSV file is written."""

    def __init__(self, _, n):
        self.n = n

    def __call__(self):
        """Replace the writing of pieces in this process."""
        number = itertools.count(1)
        append = GrowingFile.append

        def append_or_die(file, text):
            if next(number) < self.n:
                append(file, text)
                return
            with file.path.open("ab", buffering=0) as torn:
                torn.write(text.encode()[: len(text) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        GrowingFile.append = append_or_die


def _command(words, prepare):
    """Run a command in this process, quietly."""
    from mnistlin.cli.app import cli

    tqdm.set_lock(threading.RLock())  # its own one is of the system, and would outlive a kill
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    if prepare is not None:
        prepare()
    cli(words, prog_name="mnistlin")
