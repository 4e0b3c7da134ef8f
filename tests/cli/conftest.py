"""Running commands as a user does, in an empty folder."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mnistlin import load_config, run_experiment
from mnistlin.cli.app import cli

TINY = """\
name: tiny
model: softmax
data: {dataset: mnist-5k, train_size: 200, val_size: 100}
training: {epochs: 3, batch_size: 20, learning_rate: 0.05}
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Return an empty folder, now the working directory, with a small config in tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def mnistlin(workplace):
    """Return a function that runs a command in this process; its result has exit_code and texts."""

    def run(*arguments, env=None):
        result = CliRunner().invoke(cli, [str(each) for each in arguments], env=env)
        assert "Traceback" not in result.output
        assert "internal error" not in result.output
        return result

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a function that trains tiny.yaml, once for each settings, and returns the folder."""
    folders = {}

    def train(**settings):
        key = tuple(settings.items())
        if key not in folders:
            folder = tmp_path_factory.mktemp("trained")
            (folder / "tiny.yaml").write_text(TINY)
            config = load_config(folder / "tiny.yaml", settings)
            folders[key] = run_experiment(config, folder / "runs").path
        return folders[key]

    return train


@pytest.fixture
def tiny_run(trained, workplace):
    """Return the folder of a finished run of tiny.yaml, without figures."""
    path = trained()
    return shutil.copytree(path, workplace / "runs" / path.name)


@pytest.fixture
def started(workplace):
    """Return a function that starts a command as a process of its own, which ends with the test."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "mnistlin", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
