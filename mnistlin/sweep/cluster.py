"""Training stacks on a Dask cluster.

Workers get the pixels from here: they need mnistlin, but no data and no shared disk. Dask sends
pickled objects both ways, so scheduler and workers must be trusted; TLS is set in Dask's own
configuration (`distributed.comm.tls`).

A cluster fails silently: what waits for a worker that never comes, or for a scheduler that is
gone, waits forever. So the workers are probed before any stack is sent, and watched while stacks
train.
"""

import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from mnistlin._version import __version__
from mnistlin.data.splits import Split, Splits
from mnistlin.errors import ConfigError, RunError
from mnistlin.sweep.workers import Configs, Data, Result, WorkersLostError, train_stack

CONNECT_SECONDS = 30.0
"""How long to wait for a scheduler, for a first worker, and for any sign of life of a worker."""

WATCH_SECONDS = 1.0
"""How often the scheduler is asked for its workers."""

CLOSE_SECONDS = 5.0
"""How long closing the connection may take; a scheduler that died does not answer."""


@contextmanager
def dask_cluster(address: str, data: Data) -> "Iterator[DaskCluster]":
    """Train on a Dask cluster while inside.

    Parameters
    ----------
    address : str
        Of the scheduler, such as tcp://10.0.0.1:8786.
    data : callable
        Loads the data of a config, which the scheduler then keeps once for all stacks.

    Raises
    ------
    ConfigError
        If Dask is not installed, or the address is not valid or does not fit Dask's settings of
        TLS.
    RunError
        If no scheduler answers, it has no worker, or a worker does not answer or does not have
        this version of mnistlin.
    """
    try:
        import dask  # noqa: PLC0415  an extra that most sweeps do without
        from distributed import Client  # noqa: PLC0415
    except ImportError:
        raise ConfigError("--scheduler needs Dask; pip install 'mnistlin[dask]'") from None
    # The pixels are large and go as part of the graph, so that no death of a worker loses them.
    settings = {"distributed.admin.large-graph-warning-threshold": "1 TB"}
    with dask.config.set(settings), _without_tracebacks():
        _check_certificates(address)
        try:
            client: Any = Client(  # type: ignore[no-untyped-call]
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except ValueError as error:
            raise ConfigError(f"--scheduler {address}: {error}") from None
        except OSError as error:
            raise RunError(f"no Dask scheduler answers at {address}: {error}") from None
        cluster = DaskCluster(client, address, data)
        try:
            cluster.wait_for_workers()
            yield cluster
        finally:
            cluster.close()


def _check_certificates(address: str) -> None:
    """Check that an address fits Dask's settings of TLS; a client that failed would not end."""
    from distributed.security import Security  # noqa: PLC0415  as above

    try:
        found = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    except OSError as error:
        problem = f"the certificates cannot be read: {error}"
    else:
        if address.startswith("tls:") and found["ssl_context"] is None:
            problem = "no certificates are set"
        elif address.startswith("tcp:") and found["require_encryption"]:
            problem = "Dask is set to require TLS, which has addresses tls://HOST:PORT"
        else:
            return
    raise ConfigError(
        f"--scheduler {address}: {problem}; see distributed.comm in Dask's own configuration"
    )


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keep what Dask logs of a lost connection off the terminal; `DaskCluster.watch` reports it."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class DaskCluster:
    """The workers of a Dask cluster, as one client of its scheduler sees them."""

    n_at_once = None

    def __init__(self, client: Any, address: str, data: Data) -> None:
        self._client, self._address, self._data = client, address, data
        self._executor = client.get_executor(pure=False)
        self._sent: dict[int, Any] = {}
        self._heard = self._looked = time.monotonic()
        self._look: Future[Any] = _in_background(client.scheduler_info)
        self._last_seen: dict[str, tuple[float, float]] = {}  # by scheduler; when that changed here
        self._probes: dict[str, Future[Any]] = {}
        self._frozen: set[str] = set()

    def wait_for_workers(self) -> None:
        """Wait until there are workers, and all of them have answered a probe.

        Raises
        ------
        RunError
            If there are none, or one cannot train.
        """
        end = time.monotonic() + CONNECT_SECONDS
        while True:
            self.watch()
            unanswered = [a for a in self._last_seen if not self._probes[a].done()]
            if self._last_seen and not unanswered:
                return
            if time.monotonic() > end:
                raise self._silence(unanswered)
            time.sleep(0.05)

    def _silence(self, unanswered: list[str]) -> RunError:
        if unanswered:
            return RunError(
                f"the Dask worker {', '.join(unanswered)} does not answer for "
                f"{CONNECT_SECONDS:g} s; restart it or remove it from the cluster"
            )
        return RunError(
            f"the Dask scheduler at {self._address} has no worker; start one with "
            f"`dask worker {self._address} --nthreads 1`"
        )

    def submit(self, configs: Configs) -> Result:
        """Start to train a stack on whichever worker is free."""
        data = self._data(configs[0])
        if id(data) not in self._sent:
            self._sent[id(data)] = self._client.submit(_itself, packed(data), pure=False)
        result: Result = self._executor.submit(train_stack, configs, data=self._sent[id(data)])
        return result

    def deaths(self, result: Result) -> int:
        """Return on how many workers a stack was that died, before Dask gave it up."""
        from distributed import KilledWorker  # noqa: PLC0415

        if result.cancelled():  # by somebody else, so it is worth another attempt
            return 1
        error = result.exception()
        return error.allowed_failures + 1 if isinstance(error, KilledWorker) else 0

    def watch(self) -> list[str]:
        """Check the workers; return warnings about those that stopped answering.

        Raises
        ------
        WorkersLostError
            If the scheduler is gone, or no worker has been heard of for CONNECT_SECONDS.
        RunError
            If a worker does not have this version of mnistlin.
        """
        if self._client.status != "running":
            raise WorkersLostError(
                f"the connection to the Dask scheduler at {self._address} was lost"
            )
        self._note_workers()
        self._check_versions()
        silent_since = time.monotonic() - CONNECT_SECONDS
        if self._probes and self._heard < silent_since:
            raise WorkersLostError(
                f"no worker of the Dask scheduler at {self._address} has been heard of for "
                f"{CONNECT_SECONDS:g} s"
            )
        silent = {a for a, (_, heard) in self._last_seen.items() if heard < silent_since}
        frozen, self._frozen = silent - self._frozen, silent
        return [
            f"the Dask worker {address} has not been heard of for {CONNECT_SECONDS:g} s; if it "
            "stays silent, Dask will train its stacks on another"
            for address in sorted(frozen)
        ]

    def close(self) -> None:
        """Cancel all that still trains, and leave the cluster, whether it answers or not."""
        leaving = _in_background(self._leave)
        with suppress(Exception):  # nothing depends on it any more
            leaving.result(CLOSE_SECONDS)

    def _leave(self) -> None:
        with suppress(Exception):
            self._executor.shutdown(wait=False)
        self._client.close(timeout=CLOSE_SECONDS)

    def _note_workers(self) -> None:
        """Take in the scheduler's last answer, ask again, and probe workers that are new."""
        now = time.monotonic()
        if not self._look.done() or (self._probes and now < self._looked + WATCH_SECONDS):
            return
        if self._look.exception() is None:
            found = self._look.result()["workers"]
            before = self._last_seen
            self._last_seen = {
                address: before[address]
                if address in before and before[address][0] == worker["last_seen"]
                else (worker["last_seen"], now)
                for address, worker in found.items()
            }
            self._heard = max((self._heard, *(heard for _, heard in self._last_seen.values())))
            for address in found:
                if address not in self._probes:
                    self._probes[address] = _in_background(self._version_on, address)
        self._looked = now
        self._look = _in_background(self._client.scheduler_info)

    def _version_on(self, address: str) -> Any:
        """Ask a worker for its version, by a function that it can unpickle without mnistlin."""
        answers = self._client.run(
            pkgutil.resolve_name, "mnistlin:__version__", workers=[address], on_error="return"
        )
        return answers.get(address)

    def _check_versions(self) -> None:
        for address, probe in self._probes.items():
            if not probe.done() or probe.exception() or address not in self._last_seen:
                continue  # it left before it answered
            found = probe.result()
            if isinstance(found, ImportError | AttributeError):
                found = f"no mnistlin ({found})"
            elif not isinstance(found, str) or found == __version__:
                continue
            raise RunError(
                f"the Dask worker {address} has {found}, and this is mnistlin "
                f"{__version__}; install this version there, or remove the worker"
            )


def packed(splits: Splits) -> Splits:
    """Return the same splits with their own images only, not those of whole files."""
    test = splits.test and _packed(splits.test)
    return replace(splits, train=_packed(splits.train), val=_packed(splits.val), test=test)


def _packed(split: Split) -> Split:
    rows = np.arange(split.n_samples, dtype=np.uint32)
    return replace(split, images=split.images[split.rows], rows=rows)


def _itself(value: Splits) -> Splits:
    return value


def _in_background(call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """Call in a daemon thread, which does not keep this process if there is no answer."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future
