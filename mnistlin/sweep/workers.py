"""One stack, trained from its config to values that can be sent home. No files are written here.

Where stacks train: in this process, in processes of this machine, on a Dask cluster.

All three are a `concurrent.futures.Executor` with what it needs to know beside the stack. Which
stacks there are, and what becomes of the results, is not known here.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Split, Splits, load_splits
from mnistlin.errors import ConfigError, RunError
from mnistlin.experiment import describe_run, setup_for
from mnistlin.runs.provenance import utc_now
from mnistlin.sweep.plan import Stack, member_config
from mnistlin.training.segments import Leg, MemberLeg
from mnistlin.training.sgd import train

OnLeg = Callable[[range], bool]

# BLAS has one number of threads a process; two stacks at once would reset it under each other,
# as could happen in the threads of a Dask worker.
_one_at_a_time = threading.Lock()

_load_once = lru_cache(maxsize=1)(load_splits)


@dataclass(frozen=True)
class TrainedStack:
    """What became of a stack.

    Attributes
    ----------
    members : tuple of MemberLeg
        The whole history of each, as if it were one leg.
    train_seconds : float
        How long the stack trained.
    info : dict
        What run.json says of where and with what it was trained.
    """

    members: tuple[MemberLeg, ...]
    train_seconds: float
    info: dict[str, Any]


def train_stack(
    config: ExperimentConfig,
    stack: Stack,
    data: Splits | None = None,
    on_leg: OnLeg | None = None,
) -> TrainedStack | None:
    """Train one stack of a sweep.

    Parameters
    ----------
    config : ExperimentConfig
        The config of the sweep.
    stack : Stack
        Which of its models.
    data : Splits, optional
        Its data; found by name if it is not given, once in each process.
    on_leg : callable, optional
        Called with the epochs of each leg; if it returns True, training ends without a result.

    Returns
    -------
    TrainedStack, optional
        None if `on_leg` ended it.
    """
    splits = _load_once(config.data) if data is None else data
    config = member_config(config, stack.l2_lambdas[0], stack.seed)
    info = {"started_utc": utc_now(), **describe_run(splits, config)}
    legs: list[list[MemberLeg]] = [[] for _ in stack.l2_lambdas]
    with _one_at_a_time:
        started = time.perf_counter()
        for leg in train(setup_for(config, splits, stack.l2_lambdas)):
            for each in leg.members:
                past = legs[each.member]
                if past:  # only the newest state is needed
                    past[-1] = replace(past[-1], state=each.state)
                past.append(each)
            if on_leg is not None and on_leg(leg.epochs) and _goes_on(leg):
                return None
        train_seconds = time.perf_counter() - started
    return TrainedStack(tuple(map(joined, legs)), train_seconds, info)


def _goes_on(leg: Leg) -> bool:
    return any(member.outcome is None for member in leg.members)


def joined(legs: Sequence[MemberLeg]) -> MemberLeg:
    """Return consecutive legs of one member as a single one."""
    first, last = legs[0], legs[-1]
    return replace(
        last,
        steps=range(first.steps.start, last.steps.stop),
        batch_losses=np.concatenate([leg.batch_losses for leg in legs]),
        checks=tuple(check for leg in legs for check in leg.checks),
    )


CONNECT_SECONDS = 30
"""How long to wait for a scheduler and its first worker."""


@dataclass(frozen=True)
class Workers:
    """An executor, and how to use it.

    Attributes
    ----------
    executor : Executor
        Runs `train_stack`.
    n_at_once : int, optional
        How many stacks to hand it at a time; None for all of them.
    arguments : mapping
        What `train_stack` gets beside config and stack.
    """

    executor: Executor
    n_at_once: int | None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def submit(self, config: ExperimentConfig, stack: Stack) -> "Future[TrainedStack | None]":
        """Hand over one stack; if the workers are broken, the future says so."""
        try:
            return self.executor.submit(train_stack, config, stack, **self.arguments)
        except BrokenExecutor as error:
            failed: Future[TrainedStack | None] = Future()
            failed.set_exception(error)
            return failed


@contextmanager
def this_process(splits: Splits, on_leg: OnLeg) -> Iterator[Workers]:
    """Train one stack after the other, right here."""
    yield Workers(_Here(), 1, {"data": splits, "on_leg": on_leg})


@contextmanager
def processes(n_jobs: int) -> Iterator[Workers]:
    """Train stacks in processes of this machine, which find the data by its name.

    The processes hold one end of a pipe whose other end is the driver's, and end when that is
    closed: because the driver is done, because it does not want their stacks any more, or because
    it was killed.
    """
    context = multiprocessing.get_context("spawn")
    lifeline, drivers_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(n_jobs, context, _hold_lifeline, (lifeline,))
    try:
        # One more than train, so that nobody waits while results are written.
        yield Workers(pool, n_jobs + 1)
    finally:
        drivers_end.close()
        pool.shutdown()
        lifeline.close()


@contextmanager
def dask_cluster(address: str, splits: Splits) -> Iterator[Workers]:
    """Train stacks on the workers of a Dask cluster, which get the pixels from here.

    A worker needs mnistlin and no data, no shared disk. Stacks of a worker that dies are trained
    by another one.

    Parameters
    ----------
    address : str
        Of the scheduler, such as tcp://10.0.0.1:8786.
    splits : Splits
        The data, which the scheduler keeps once for all stacks.

    Raises
    ------
    ConfigError
        If Dask is not installed, or the address is not one.
    RunError
        If no scheduler answers there, or it has no worker.
    """
    try:
        import dask  # noqa: PLC0415  an extra that most sweeps do without
        from distributed import Client  # noqa: PLC0415
    except ImportError:
        raise ConfigError("--scheduler needs Dask; pip install 'mnistlin[dask]'") from None
    # The pixels are large and go as part of the graph, so that no death of a worker loses them.
    quiet = dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})
    with quiet, _connected(Client, address) as client:
        pixels = client.submit(_itself, packed(splits), pure=False)
        executor = client.get_executor(pure=False)
        try:
            yield Workers(executor, None, {"data": pixels})
        finally:
            executor.shutdown(wait=False)


@contextmanager
def _connected(client_class: Any, address: str) -> Iterator[Any]:
    try:
        client = client_class(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except ValueError as error:
        raise ConfigError(f"--scheduler {address}: {error}") from None
    except OSError as error:
        raise RunError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise RunError(
                f"the Dask scheduler at {address} has no worker; start one with "
                f"`dask worker {address} --nthreads 1`"
            ) from None
        yield client


class _Here(Executor):
    """Runs what is submitted before `submit` returns."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # whoever asks for the result gets it
            future.set_exception(error)
        return future


def packed(splits: Splits) -> Splits:
    """Return the same splits with their own images only, not those of whole files."""
    test = splits.test and _packed(splits.test)
    return replace(splits, train=_packed(splits.train), val=_packed(splits.val), test=test)


def _packed(split: Split) -> Split:
    return replace(split, images=split.images[split.rows], rows=np.arange(split.n_samples))


def _itself(value: Splits) -> Splits:
    return value


def _hold_lifeline(lifeline: Connection) -> None:
    """Prepare a process: Ctrl-C is the driver's business, and without the driver it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: it returns when the other end is closed
    os._exit(0)
