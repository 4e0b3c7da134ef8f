"""Processes of this machine: what happens if one of them, or the driver, is killed."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mnistlin.config import dump_yaml
from mnistlin.data.splits import Splits
from mnistlin.errors import RunError
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.sweep import run_sweep
from mnistlin.sweep.cluster import packed

LONG = {"epochs": 100, "checks_per_epoch": 1}
"""Training that takes long enough to be killed in the middle."""

SCRIPT = """
import sys
from mnistlin.config import load_config
from mnistlin.sweep import run_sweep

if __name__ == "__main__":
    run_sweep(load_config(sys.argv[1]), sys.argv[2], jobs=2)
"""

DEADLY = """
import os, signal, sys
from mnistlin.config import load_config
from mnistlin.sweep import run_sweep, workers

def deadly(setup, train=workers.train):
    if setup.training.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(setup)

workers.train = deadly  # in the processes too, which import this script

if __name__ == "__main__":
    run_sweep(load_config(sys.argv[1]), sys.argv[2], jobs=2)
"""

TRAINING = """
import os, sys
from pathlib import Path
from mnistlin.config import load_config
from mnistlin.sweep import run_sweep, workers

def noted(setup, train=workers.train):
    Path(f"training-{os.getpid()}").touch()
    return train(setup)

workers.train = noted  # in the processes

if __name__ == "__main__":
    run_sweep(load_config(sys.argv[1]), sys.argv[2], jobs=2)
"""

SENDING = """
import time
from pathlib import Path
from mnistlin.sweep.workers import processes

def large(name):
    result = bytes(300_000_000)  # half a second later it is being sent
    Path(name).touch()
    return result

if __name__ == "__main__":
    with processes(1, large) as workers:
        workers.submit("begun")
        while not Path("begun").exists():
            time.sleep(0.001)
        time.sleep(0.5)
    print("ended")
"""


@pytest.fixture
def run_script(tmp_path):
    """Return a function that runs a script with a config and the folder `runs`, to its end."""

    def run(script, config):
        (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
        (tmp_path / "script.py").write_text(script)
        return subprocess.run(
            [sys.executable, "script.py", "config.yaml", "runs"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def is_alive(pid):
    """Say whether a process is there, and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_packed_splits_hold_their_own_images_and_no_others(make_split, tmp_path):
    """The same pixels and labels in the same order, without the rest of the file."""
    splits = Splits(make_split(40), make_split(23), make_split(9), "mine", tmp_path)
    small = packed(splits)
    for name in ("train", "val", "test"):
        before, after = getattr(splits, name), getattr(small, name)
        assert after.sha256() == before.sha256()
        assert len(after.images) == after.n_samples < len(before.images)
    assert packed(replace(splits, test=None)).test is None


def test_the_sweep_finishes_though_workers_are_killed(sweep_config, contents, tmp_path):
    """Each lost stack is trained again, bit-identical, and the caller gets a warning.

    All workers are killed at one moment, so that no stack is lost twice, which would end it.
    """
    config = sweep_config(seeds=tuple(range(6)), **LONG)
    killed, warnings = set(), []

    def kill(progress):
        warnings[:] = progress.warnings
        if progress.stacks_done and not killed:
            killed.update(process.pid for process in multiprocessing.active_children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    sweep = run_sweep(config, tmp_path / "runs", kill, jobs=2)
    assert len(killed) == 2
    assert (sweep.status, sweep.failures) == ("finished", [])
    assert contents(sweep) == contents(run_sweep(config, tmp_path / "uninterrupted"))
    assert all("a worker died" in warning for warning in warnings)


def test_a_stack_that_kills_its_workers_fails_alone(sweep_config, run_script, tmp_path):
    """All others are trained, and the reason names the deaths."""
    done = run_script(DEADLY, sweep_config())
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs").iterdir()
    sweep = load_sweep(path)
    assert {seed for _, seed in sweep.members} == {0, 2}
    (failure,) = sweep.failures
    assert failure["seed"] == 1
    assert "2 workers or more died while they trained it" in failure["error"]


def test_a_script_without_main_guard_is_refused(sweep_config, run_script, tmp_path):
    """One error with the line, before any process is started or any folder made."""
    done = run_script(SCRIPT.replace('if __name__ == "__main__":', "if True:"), sweep_config())
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "line 7: this starts processes" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_too_few_open_files_are_reported(sweep_config, run_script, tmp_path):
    """With the limit, and the option that avoids it."""
    limited = SCRIPT.replace(
        "if __name__", "import resource\nresource.setrlimit(7, (20, 20))\nif __name__"
    )
    done = run_script(limited, sweep_config())
    assert done.returncode == 1
    assert "cannot start a process for --jobs: Too many open files" in done.stderr
    assert "ulimit -n" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_machine_without_shared_memory_is_reported(sweep_config, tmp_path, monkeypatch):
    """Semaphores are files in /dev/shm."""

    def refuse(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refuse)
    with pytest.raises(RunError, match="/dev/shm"):
        run_sweep(sweep_config(), tmp_path / "runs", jobs=2)
    assert not (tmp_path / "runs").exists()


def test_an_error_in_a_worker_is_recorded(sweep_config, dataset, tmp_path):
    """Here the data vanishes after the driver has read it."""
    mine = shutil.copytree(dataset, tmp_path / "mine")
    config = sweep_config(data={"dataset": str(mine)})
    sweep = run_sweep(
        config, tmp_path / "runs", lambda _: shutil.rmtree(mine, ignore_errors=True), jobs=2
    )
    assert sweep.status == "partly_failed"
    assert {failure["error"].partition("'")[0] for failure in sweep.failures} == {"the dataset "}


def test_an_interruption_does_not_wait_for_stacks_that_train(sweep_config, tmp_path):
    """The processes end at once, in the middle of their work."""
    config = sweep_config(epochs=1_000_000, checks_per_epoch=1)
    began = time.monotonic()
    sweep = run_sweep(config, tmp_path, lambda _: time.monotonic() > began + 2, jobs=2)
    assert time.monotonic() < began + 20
    assert (sweep.status, len(sweep.members)) == ("interrupted", 0)
    assert not multiprocessing.active_children()


def test_processes_end_while_one_sends_its_result(sweep_config, run_script):
    """Not in the middle of it: the driver would wait for the rest for ever."""
    done = run_script(SENDING, sweep_config())
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_driver(sweep_config, tmp_path, wait_for):
    """A driver that is killed leaves no process behind that trains for nobody."""
    config = sweep_config(epochs=1_000_000, checks_per_epoch=1)
    (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
    (tmp_path / "script.py").write_text(TRAINING)
    command = [sys.executable, "script.py", "config.yaml", "runs"]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}

    def workers():
        return [int(each.name.partition("-")[2]) for each in tmp_path.glob("training-*")]

    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | path) as driver:
        wait_for(lambda: len(workers()) == 2)
        assert all(map(is_alive, workers()))
        driver.kill()
    wait_for(lambda: not any(map(is_alive, workers())))
