"""Processes of this machine: what happens if one of them, or the driver, is killed."""

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

from mnistlin.data.splits import Splits
from mnistlin.sweep import resume_sweep, run_sweep
from mnistlin.sweep.workers import packed

LONG = {"epochs": 1000, "checks_per_epoch": 1}
"""Training that takes long enough to be killed in the middle."""

SCRIPT = """
import sys
from mnistlin.config import load_config
from mnistlin.sweep import run_sweep

if __name__ == "__main__":
    run_sweep(load_config(sys.argv[1]), sys.argv[2], jobs=2)
"""


def children(pid):
    """Return the processes that a process has started and that are still there (Linux)."""
    return {
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    }


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


def test_a_killed_worker_fails_the_unfinished_stacks_and_resuming_mends(
    sweep_config, contents, tmp_path
):
    """The pool is broken then; the sweep still ends in order, and says why."""
    config = sweep_config(seeds=tuple(range(6)), **LONG)
    killed = []

    def kill_in_the_middle(progress):
        if progress.stacks_done >= 1 and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    sweep = run_sweep(config, tmp_path / "runs", kill_in_the_middle, jobs=2)
    assert killed
    assert sweep.status == "partly_failed"
    assert sweep.members
    assert len(sweep.failures) * 3 + len(sweep.members) == 18
    assert "BrokenProcessPool" in sweep.failures[0]["error"]
    again = resume_sweep(sweep.path)
    assert again.status == "finished"
    assert contents(again) == contents(run_sweep(config, tmp_path / "unbroken"))


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
    sweep = run_sweep(config, tmp_path, lambda _: time.monotonic() > began + 3, jobs=2)
    assert time.monotonic() < began + 20
    assert (sweep.status, len(sweep.members)) == ("interrupted", 0)
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_driver(sweep_config, tmp_path, wait_for):
    """A driver that is killed leaves no process behind that trains for nobody."""
    from mnistlin.config import dump_yaml

    config = sweep_config(epochs=1_000_000, checks_per_epoch=1)
    (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", "config.yaml", "runs"]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | path) as driver:
        wait_for(lambda: len(children(driver.pid)) >= 3)  # two, and a tracker of resources
        workers = children(driver.pid)
        driver.kill()
    wait_for(lambda: not any(map(is_alive, workers)))
