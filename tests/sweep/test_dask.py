"""A real Dask cluster of processes on this machine, which know nothing of our files."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from mnistlin.config import dump_yaml, load_config
from mnistlin.errors import ConfigError, RunError
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.sweep import cluster as dask
from mnistlin.sweep import resume_sweep, run_sweep

distributed = pytest.importorskip("distributed")
dask_config = pytest.importorskip("dask.config")


@pytest.fixture(scope="module")
def cluster():
    """Start a scheduler and two workers; a worker that dies is started again."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_cluster_gives_the_same_bits_without_our_files(
    cluster, sweep_config, contents, unbroken, dataset, tmp_path
):
    """The pixels are sent with the task: the data is removed before the first stack is sent."""
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


def test_a_cluster_gives_the_same_bits_for_sweeps_over_any_key(cluster, make_config, tmp_path):
    over = {"data.train_size": [30, 60], "training.learning_rate": [0.1, 0.2]}
    config = load_config(make_config(), {"sweep": {"over": over}})
    here = run_sweep(config, tmp_path / "here")
    there = run_sweep(config, tmp_path / "there", scheduler=cluster.scheduler_address)
    for name in ("sweep.csv", *(f"{run.path.name}/weights.npz" for run in here.members.values())):
        assert (there.path / name).read_bytes() == (here.path / name).read_bytes(), name


MANY = {"seeds": tuple(range(5)), "epochs": 100, "checks_per_epoch": 1}


@pytest.fixture(scope="module")
def uninterrupted(sweep_config, contents, tmp_path_factory):
    """Return what the sweep of MANY holds that ran through in this process."""
    return contents(run_sweep(sweep_config(**MANY), tmp_path_factory.mktemp("uninterrupted")))


def test_the_sweep_completes_though_a_worker_is_killed(
    cluster, sweep_config, contents, uninterrupted, tmp_path
):
    """Another worker trains its stacks again, to the same bits."""
    victim = cluster.workers[0].pid
    killed = []

    def kill_in_the_middle(progress):
        if progress.stacks_done >= 1 and not killed:
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    sweep = run_sweep(
        sweep_config(**MANY), tmp_path, kill_in_the_middle, scheduler=cluster.scheduler_address
    )
    assert killed
    assert (sweep.status, sweep.failures) == ("finished", [])
    assert contents(sweep) == uninterrupted


def test_a_cluster_can_be_interrupted(cluster, sweep_config, after_stacks, tmp_path):
    """Stacks that are not through are cancelled."""
    config = sweep_config(seeds=tuple(range(50)), epochs=200)
    sweep = run_sweep(config, tmp_path, after_stacks(1), scheduler=cluster.scheduler_address)
    assert sweep.status == "interrupted"
    assert 3 <= len(sweep.members) < 150


def test_without_a_scheduler_no_folder_is_made(sweep_config, tmp_path, monkeypatch):
    """Nobody listens at that port."""
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=f"no Dask scheduler answers at {address}"):
            run_sweep(sweep_config(), tmp_path / "runs", scheduler=address)
    assert not (tmp_path / "runs").exists()


def test_a_scheduler_without_workers_is_told(sweep_config, tmp_path, monkeypatch):
    """With the command that starts one."""
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.5)
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


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        ("tls://127.0.0.1:1", {}),
        ("tls://127.0.0.1:1", {"tls.client": {"key": "no.pem", "cert": "no.pem"}}),
        ("tcp://127.0.0.1:1", {"require-encryption": True}),
    ],
    ids=["no certificates", "missing files", "no encryption"],
)
def test_an_address_that_does_not_fit_the_certificates_is_refused(
    address, settings, sweep_config, tmp_path
):
    """A usage error that says where Dask has its certificates, before a folder is made."""
    with (
        dask_config.set({f"distributed.comm.{key}": value for key, value in settings.items()}),
        pytest.raises(ConfigError, match=rf"{address}: .*distributed\.comm"),
    ):
        run_sweep(sweep_config(), tmp_path / "runs", scheduler=address)
    assert not (tmp_path / "runs").exists()


def test_without_dask_the_extra_is_named(sweep_config, tmp_path, monkeypatch):
    """A ConfigError that can be pasted into a shell."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'mnistlin\[dask\]'"):
        run_sweep(sweep_config(), tmp_path, scheduler="tcp://127.0.0.1:8786")


ALONE = ("--no-nanny", "--nthreads", "1", "--no-dashboard")
"""Options of a worker that is not started again when it dies."""


@pytest.fixture
def dask_process(tmp_path, wait_for):
    """Return a function that starts a scheduler or a worker without a nanny, as commands do."""
    processes = []

    def start(what, *arguments, path=()):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *sys.path])}
        log_path = tmp_path / f"{what}-{len(processes)}.log"
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
                cwd=tmp_path,
                env=environment,
                stdout=log,
                stderr=log,
            )
        processes.append(process)
        if what == "worker":
            wait_for(lambda: "Registered to" in log_path.read_text())
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(dask_process, tmp_path, wait_for):
    """Start a scheduler; return its process and address."""
    file = tmp_path / "scheduler.json"
    process = dask_process(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    wait_for(file.exists)
    wait_for(lambda: "address" in file.read_text())
    return process, json.loads(file.read_text())["address"]


@pytest.fixture
def start_worker(dask_process, scheduler):
    """Return a function that starts a worker of the scheduler."""
    return lambda: dask_process("worker", scheduler[1], *ALONE)


def after_first_stack(act):
    """Return an on_progress that acts once, when a stack is done, and notes all warnings."""
    acted, warnings = [], []

    def on_progress(progress):
        warnings[:] = progress.warnings
        if progress.stacks_done and not acted:
            acted.append(act())

    on_progress.warnings = warnings
    return on_progress


@pytest.fixture
def lose_patience(monkeypatch):
    """Return a function that makes the driver wait for signs of life for some seconds only."""

    def wait_for_no_longer_than(seconds):
        monkeypatch.setattr(dask, "CONNECT_SECONDS", seconds)
        monkeypatch.setattr(dask, "CLOSE_SECONDS", 1)

    return wait_for_no_longer_than


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGKILL, id="dies"),
        pytest.param(signal.SIGSTOP, id="freezes", marks=pytest.mark.faults),
    ],
)
def test_a_sweep_whose_only_worker_is_lost_ends_and_says_how_to_resume(
    number, scheduler, start_worker, sweep_config, contents, uninterrupted, tmp_path, lose_patience
):
    worker = start_worker()

    def act():
        worker.send_signal(number)
        lose_patience(seconds=1)

    words = "no worker of the Dask scheduler at .* has been heard of for 1 s"
    config, on_progress = sweep_config(**MANY), after_first_stack(act)
    with pytest.raises(RunError, match=words) as caught:
        run_sweep(config, tmp_path / "runs", on_progress, scheduler=scheduler[1])
    (path,) = (tmp_path / "runs").iterdir()
    assert f"`mnistlin sweep --resume {path}`" in str(caught.value)
    check_what_a_lost_cluster_leaves(path, contents, uninterrupted)


def check_what_a_lost_cluster_leaves(path, contents, uninterrupted):
    """Hold a sweep that ended without its cluster to be incomplete, and resumable elsewhere."""
    sweep = load_sweep(path)
    assert (sweep.status, sweep.failures) == ("failed", [])
    assert sweep.members
    assert contents(resume_sweep(path)) == uninterrupted


IMPATIENT = """
from mnistlin.cli import main
from mnistlin.sweep import cluster

cluster.CLOSE_SECONDS = 1.0
main()
"""
"""The command, which does not wait long for a scheduler that does not answer."""


@pytest.fixture
def start_sweep(sweep_config, tmp_path, wait_for):
    """Return a function that starts a long sweep as a command, and waits for its first stack."""
    processes = []

    def start(address, program=("-m", "mnistlin")):
        config = sweep_config(**MANY)
        (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
        command = ("sweep", "--config", "config.yaml", "--no-plots", "--scheduler", address)
        process = subprocess.Popen(
            [sys.executable, *program, *command],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        tables = tmp_path.glob
        wait_for(lambda: any("finished" in p.read_text() for p in tables("runs/*/sweep.csv")))
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_client_that_was_killed_leaves_a_cluster_that_resumes_its_sweep(
    cluster, start_sweep, contents, uninterrupted, tmp_path
):
    client = start_sweep(cluster.scheduler_address)
    client.kill()
    client.wait()
    (path,) = (tmp_path / "runs").iterdir()
    resumed = resume_sweep(path, scheduler=cluster.scheduler_address)
    assert resumed.status == "finished"
    assert contents(resumed) == uninterrupted


def test_ctrl_c_ends_a_sweep_whose_scheduler_does_not_answer(
    scheduler, start_worker, start_sweep, tmp_path
):
    start_worker()
    client = start_sweep(scheduler[1], program=("-c", IMPATIENT))
    scheduler[0].send_signal(signal.SIGSTOP)
    client.send_signal(signal.SIGINT)
    _, stderr = client.communicate(timeout=60)
    assert client.returncode == 130, stderr
    (path,) = (tmp_path / "runs").iterdir()
    assert f"resume with: mnistlin sweep --resume runs/{path.name}" in stderr
    assert "Traceback" not in stderr


def test_a_scheduler_that_dies_is_one_error_that_says_how_to_resume(
    scheduler, start_worker, start_sweep, contents, uninterrupted, tmp_path
):
    """Dask's own logs of the lost connection, with tracebacks, stay off the terminal."""
    start_worker()
    client = start_sweep(scheduler[1])
    scheduler[0].kill()
    _, stderr = client.communicate(timeout=60)
    assert client.returncode == 1, stderr
    assert f"the connection to the Dask scheduler at {scheduler[1]} was lost" in stderr
    assert "Traceback" not in stderr
    (path,) = (tmp_path / "runs").iterdir()
    assert f"`mnistlin sweep --resume runs/{path.name}`" in stderr
    check_what_a_lost_cluster_leaves(path, contents, uninterrupted)


@pytest.mark.faults
def test_a_frozen_worker_is_reported_and_its_stack_trained_once_it_wakes(
    scheduler, start_worker, sweep_config, tmp_path, lose_patience
):
    lose_patience(seconds=5)
    config = sweep_config(**MANY)
    frozen = start_worker()
    start_worker()
    on_progress = after_first_stack(lambda: frozen.send_signal(signal.SIGSTOP))

    def wake_when_reported(progress):
        on_progress(progress)
        if progress.warnings:
            frozen.send_signal(signal.SIGCONT)

    sweep = run_sweep(config, tmp_path / "runs", wake_when_reported, scheduler=scheduler[1])
    assert sweep.status == "finished"
    assert any("has not been heard of for 5 s" in each for each in on_progress.warnings)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param(
            "raise ModuleNotFoundError('No module named mnistlin')",
            "no mnistlin",
            id="none",
            marks=pytest.mark.faults,
        ),
        pytest.param(
            "__version__ = '0.0.1'", r"has 0\.0\.1, and this is mnistlin", id="another version"
        ),
    ],
)
def test_a_worker_with_another_mnistlin_is_refused(
    source, words, cluster, dask_process, sweep_config, tmp_path
):
    """By a probe that needs no mnistlin to be unpickled; the error has the worker's address."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mnistlin.py").write_text(source)
    address = cluster.scheduler_address
    dask_process("worker", address, *ALONE, path=[str(tmp_path / "other")])
    with pytest.raises(RunError, match=words) as caught:
        run_sweep(sweep_config(), tmp_path / "runs", scheduler=address)
    assert "the Dask worker tcp://127.0.0.1:" in str(caught.value)
    assert not (tmp_path / "runs").exists()
