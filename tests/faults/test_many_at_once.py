"""Many processes at once: each run has a folder of its own, and one folder has one writer."""

import shutil

import pytest
from kept_bytes import bytes_of_run
from victims import run_at_once

from mnistlin import load_run, run_experiment
from mnistlin.config import dump_yaml

pytestmark = pytest.mark.faults


def test_fifty_runs_that_begin_in_one_second_have_fifty_folders(make_config, tmp_path):
    """All are finished, and all hold the same."""
    config = make_config()
    (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
    runs = tmp_path / "runs"
    command = ("train", "--config", tmp_path / "config.yaml", "--no-plots", "--runs-dir", runs)
    assert run_at_once(50, *command) == [0] * 50
    folders = list(runs.iterdir())
    assert len(folders) == 50
    expected = bytes_of_run(run_experiment(config, tmp_path / "unbroken").path)
    assert all(bytes_of_run(folder) == expected for folder in folders)
    assert {load_run(folder).status for folder in folders} == {"finished"}


def test_of_many_that_resume_one_run_one_does(make_config, tmp_path, times):
    """The others report that it is being written, or that it has just ended."""
    config = make_config(early_stopping={"patience": 999}, checkpoint_seconds=0.0)
    expected = bytes_of_run(run_experiment(config, tmp_path / "unbroken").path)
    broken_off = run_experiment(config, tmp_path / "broken", lambda _: True).path
    for number in range(times(10, short=2)):
        folder = shutil.copytree(broken_off, tmp_path / f"run-{number}")
        exit_codes = run_at_once(8, "train", "--resume", folder, "--no-plots")
        assert sorted(exit_codes) == [0] + [1] * 7
        assert bytes_of_run(folder) == expected
        assert len(load_run(folder).info.resumed) == 1
