"""Where stacks train: in this process or in processes of this machine (on a cluster: `cluster`).

A worker gets the configs of a stack and returns its results as values; only the driver in `run`
writes files. A worker that dies loses the task that it was training and no other.
"""

import ast
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import SplitLoader, Splits
from mnistlin.errors import RunError
from mnistlin.experiment import setup_for
from mnistlin.runs.provenance import describe_origin
from mnistlin.runs.records import Origin
from mnistlin.training.segments import Segment
from mnistlin.training.sgd import train

if TYPE_CHECKING:
    from types import FrameType

_T = TypeVar("_T")

_SECONDS_TO_SEND = 10.0
"""After these an abandoned process exits although it may be sending a result."""

_is_working, _is_abandoned = threading.Lock(), threading.Event()
"""State of a process of `Processes`."""

OnSegment = Callable[[range], bool]
Data: TypeAlias = Callable[[ExperimentConfig], Splits]
"""Loads the data of a config, or returns it again."""

Configs: TypeAlias = tuple[ExperimentConfig, ...]
"""The members of a stack: configs that differ in λ and the learning rate alone."""

# The number of BLAS threads is one setting of the process; two stacks at once, as in the threads
# of a Dask worker, would reset it for each other.
_one_at_a_time = threading.Lock()

_loader = SplitLoader()

_MAIN = ("__main__", "<module>")


@dataclass(frozen=True)
class TrainedStack:
    """The results of a stack: one segment per member, and what run.json says of it."""

    members: tuple[Segment, ...]
    train_seconds: float
    info: Origin


def train_stack(
    configs: Configs,
    data: Splits | None = None,
    on_segment: OnSegment | None = None,
    recorded: Path | None = None,
) -> TrainedStack | None:
    """Train the members of a stack.

    Parameters
    ----------
    configs : tuple of ExperimentConfig
        One for each member.
    data : Splits, optional
        Their data; by default it is located by its name, once in each process.
    on_segment : callable, optional
        Called with the epochs of each segment; if it returns True, training ends without a result.
    recorded : Path, optional
        Where the data is looked for if its name leads to none.

    Returns
    -------
    TrainedStack, optional
        None if `on_segment` ended it.
    """
    config = configs[0]
    splits = data or _loader.load(config.data, recorded, config.training)
    info = describe_origin(config, splits)
    history: list[list[Segment]] = [[] for _ in configs]
    with _one_at_a_time:
        started = time.perf_counter()
        for segments in train(setup_for(configs, splits)):
            for each in segments:
                past = history[each.member]
                if past:  # only the newest state is needed
                    past[-1] = replace(past[-1], state=each.state)
                past.append(each)
            continues = any(each.outcome is None for each in segments)
            if on_segment is not None and on_segment(segments[0].epochs) and continues:
                return None
        train_seconds = time.perf_counter() - started
    return TrainedStack(tuple(map(_joined, history)), train_seconds, info)


def _joined(segments: Sequence[Segment]) -> Segment:
    """Return consecutive segments of one member as a single one."""
    first, last = segments[0], segments[-1]
    return replace(
        last,
        epochs=range(first.epochs.start, last.epochs.stop),
        steps=range(first.steps.start, last.steps.stop),
        batch_losses=np.concatenate([each.batch_losses for each in segments]),
        checks=tuple(check for each in segments for check in each.checks),
    )


Result: TypeAlias = "Future[TrainedStack | None]"


class Workers(Protocol):
    """What trains the stacks of a sweep."""

    @property
    def n_at_once(self) -> int | None:
        """How many stacks may be submitted before one is done; None for all."""

    def submit(self, configs: Configs) -> Result:
        """Start to train a stack."""

    def deaths(self, result: Result) -> int:
        """Return how many workers died while they trained a stack that is done."""

    def watch(self) -> list[str]:
        """Return new warnings about workers.

        Raises
        ------
        WorkersLostError
            If no more stacks can be trained.
        """


class WorkersLostError(RunError):
    """All workers are gone, or cannot be reached."""


class ThisProcess:
    """Trains one stack after another before `submit` returns."""

    n_at_once = 1

    def __init__(self, data: Data, on_segment: OnSegment) -> None:
        self._data, self._on_segment = data, on_segment

    def submit(self, configs: Configs) -> Result:
        """Train a stack."""
        result: Result = Future()
        try:
            data = self._data(configs[0])
            result.set_result(train_stack(configs, data, self._on_segment))
        except Exception as error:  # raised again where the result is asked for
            result.set_exception(error)
        return result

    def deaths(self, result: Result) -> int:  # noqa: ARG002
        """Return 0: if this process dies, nothing remains to ask."""
        return 0

    def watch(self) -> list[str]:
        """Return no warnings."""
        return []


class Processes(Generic[_T]):
    """Calls a function such as `train_stack` in processes of this machine.

    They get configs only, and find the data by its name.

    Each process is a pool of its own, so that one that dies breaks no other; it is replaced when
    the next stack is submitted. The processes hold one end of a pipe whose other end is the
    driver's, and exit when that is closed: because the driver is done, does not want their stacks
    any more, or was killed. They never exit while they send a result: the driver would wait for the
    rest of it for ever.
    """

    def __init__(self, n_jobs: int, function: Callable[[Configs], _T]) -> None:
        self.n_at_once = n_jobs
        self._function = function
        self._context = multiprocessing.get_context("spawn")
        self._pools: list[tuple[ProcessPoolExecutor, Future[_T] | None]] = []
        with _process_errors():
            self._lifeline, self._drivers_end = self._context.Pipe(duplex=False)
        try:
            for _ in range(n_jobs):
                self._pools.append((self._started(), None))
        except BaseException:
            self.close()
            raise

    def submit(self, configs: Configs) -> Future[_T]:
        """Start a call in a process that is free."""
        i, (pool, last) = next(
            (i, (pool, last))
            for i, (pool, last) in enumerate(self._pools)
            if last is None or last.done()
        )
        with _process_errors():
            if last is not None and self.deaths(last):
                pool = self._started()
            try:
                result = pool.submit(_call, self._function, configs)
            except BrokenExecutor:  # it died while it had nothing to do
                pool = self._started()
                result = pool.submit(_call, self._function, configs)
        self._pools[i] = (pool, result)
        return result

    def results(
        self, stacks: Sequence[Configs], seconds: float | None = None
    ) -> Iterator[dict[int, Future[_T]]]:
        """Call the function with each stack; yield the calls that have ended, by their index.

        After so many seconds they are yielded even if there are none, so that the caller can stop.
        """
        waiting, in_flight = deque(enumerate(stacks)), dict[Future[_T], int]()
        while waiting or in_flight:
            while waiting and len(in_flight) < self.n_at_once:
                i, configs = waiting.popleft()
                in_flight[self.submit(configs)] = i
            ended, _ = wait(in_flight, seconds, FIRST_COMPLETED)
            yield {in_flight.pop(result): result for result in ended}

    def deaths(self, result: Future[_T]) -> int:
        """Return 1 if the process died."""
        return int(isinstance(result.exception(), BrokenExecutor))

    def watch(self) -> list[str]:
        """Return no warnings: the death of a process ends its task."""
        return []

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._drivers_end.close()
        for pool, _ in self._pools:
            pool.shutdown()
        self._lifeline.close()

    def _started(self) -> ProcessPoolExecutor:
        """Return a pool whose one process has been started."""
        with _process_errors():
            pool = ProcessPoolExecutor(1, self._context, _hold_lifeline, (self._lifeline,))
            pool.submit(int)
        return pool


@contextmanager
def _process_errors() -> Iterator[None]:
    """Turn an OSError inside into an error that says what processes need."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot start a process for --jobs: {error.strerror or error}; processes need a "
            "writable /dev/shm and about 20 open files each (see `ulimit -n`); use fewer jobs, or "
            "--jobs 1, which needs neither"
        ) from error


@contextmanager
def processes(n_jobs: int, function: Callable[[Configs], _T]) -> Iterator[Processes[_T]]:
    """Provide processes of this machine, which call a function of configs.

    Raises
    ------
    RunError
        If they cannot be started, or the main script, which they import again, is not guarded.
    """
    _check_main_guard()
    workers = Processes(n_jobs, function)
    try:
        yield workers
    finally:
        workers.close()


def _hold_lifeline(lifeline: Connection) -> None:
    """Prepare a process: the driver handles Ctrl-C, and without the driver the process exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with, args=(lifeline,), daemon=True).start()


def _call(function: Callable[[Configs], _T], configs: Configs) -> _T:
    """Call a function in a process, which does not return if nobody wants the result any more."""
    with _is_working:
        try:
            return function(configs)
        finally:
            if _is_abandoned.is_set():
                os._exit(0)


def _exit_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: it returns when the other end is closed
    _is_abandoned.set()
    if _is_working.acquire(blocking=False):  # idle, or sending a result: its pool ends the process
        time.sleep(_SECONDS_TO_SEND)  # unless the driver was killed
    os._exit(0)


def _check_main_guard() -> None:
    """Reject a main script that is not guarded: the processes that it spawns import it again."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 (CPython has it; inspect uses it)
    while frame and (frame.f_globals.get("__name__"), frame.f_code.co_name) != _MAIN:
        frame = frame.f_back
    if frame is None:  # a notebook, another thread
        return
    path, line = frame.f_code.co_filename, frame.f_lineno
    try:
        body = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # such as `python -c`, which has no file to import
        return
    (statement,) = (each for each in body if each.lineno <= line <= (each.end_lineno or line))
    condition = ast.walk(statement.test) if isinstance(statement, ast.If) else ()
    if not any(isinstance(each, ast.Name) and each.id == "__name__" for each in condition):
        raise RunError(
            f"{path}, line {line}: this starts processes, which import the script again; call it "
            'below `if __name__ == "__main__":`, or train sweeps with jobs=1'
        )
