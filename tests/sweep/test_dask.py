"""A real Dask cluster of processes on this machine, which know nothing of our files."""

import os
import shutil
import signal
import socket
import sys

import pytest

from mnistlin.errors import ConfigError, RunError
from mnistlin.sweep import run_sweep, workers

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster():
    """Start a scheduler and two workers."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_cluster_gives_the_same_bits_without_our_files(
    cluster, sweep_config, contents, unbroken, dataset, tmp_path
):
    """The pixels go with the task: the data is gone before the first stack is handed out."""
    mine = shutil.copytree(dataset, tmp_path / "mine")
    sweep = run_sweep(
        sweep_config(data={"dataset": str(mine)}),
        tmp_path / "runs",
        lambda _: shutil.rmtree(mine, ignore_errors=True),
        scheduler=cluster.scheduler_address,
    )
    assert sweep.status == "finished"
    found, expected = contents(sweep), unbroken
    for name in expected:
        if not name.endswith("config.yaml"):  # which names another dataset
            assert found[name] == expected[name], name


def test_the_sweep_completes_though_a_worker_is_killed(cluster, sweep_config, contents, tmp_path):
    """Another worker trains its stacks again, to the same bits."""
    config = sweep_config(seeds=tuple(range(6)), epochs=1000, checks_per_epoch=1)
    victim = cluster.workers[0].pid
    killed = []

    def kill_in_the_middle(progress):
        if progress.stacks_done >= 1 and not killed:
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    sweep = run_sweep(
        config, tmp_path / "runs", kill_in_the_middle, scheduler=cluster.scheduler_address
    )
    assert killed
    assert (sweep.status, sweep.failures) == ("finished", [])
    assert contents(sweep) == contents(run_sweep(config, tmp_path / "unbroken"))


def test_a_cluster_can_be_interrupted(cluster, sweep_config, after_stacks, tmp_path):
    """Stacks that are not through are cancelled."""
    config = sweep_config(seeds=tuple(range(50)), epochs=200)
    sweep = run_sweep(config, tmp_path, after_stacks(1), scheduler=cluster.scheduler_address)
    assert sweep.status == "interrupted"
    assert 3 <= len(sweep.members) < 150


def test_without_a_scheduler_no_folder_is_made(sweep_config, tmp_path, monkeypatch):
    """Nobody listens at that port."""
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=f"no Dask scheduler answers at {address}"):
            run_sweep(sweep_config(), tmp_path / "runs", scheduler=address)
    assert not (tmp_path / "runs").exists()


def test_a_scheduler_without_workers_is_told(sweep_config, tmp_path, monkeypatch):
    """With the command that starts one."""
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(RunError, match=r"has no worker.*dask worker tcp://"),
    ):
        run_sweep(sweep_config(), tmp_path, scheduler=cluster.scheduler_address)


@pytest.mark.parametrize("address", ["nonsense://host:1", "tcp://127.0.0.1:port"])
def test_what_is_no_address_is_refused(address, sweep_config, tmp_path):
    """A usage error, with the address in it."""
    with pytest.raises(ConfigError, match=address):
        run_sweep(sweep_config(), tmp_path, scheduler=address)


def test_without_dask_the_extra_is_named(sweep_config, tmp_path, monkeypatch):
    """A ConfigError that can be pasted into a shell."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'mnistlin\[dask\]'"):
        run_sweep(sweep_config(), tmp_path, scheduler="tcp://127.0.0.1:8786")
