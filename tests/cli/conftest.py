"""Running commands as a user does, in an empty folder."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mnistlin import load_config, run_experiment
from mnistlin.cli.app import cli

TINY = """\
name: tiny
model: softmax
data: {dataset: mnist-5k, train_size: 200, val_size: 100}
training: {epochs: 3, batch_size: 20, learning_rate: 0.05}
"""


@pytest.fixture(autouse=True)
def _sketchy_figures(monkeypatch):
    """Spare the layout and the pixels of figures: commands decide which there are, not how."""
    draw = Figure.draw

    def draw_unless_in_pixels(figure, renderer):
        if not isinstance(renderer, RendererAgg):
            draw(figure, renderer)

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
    monkeypatch.setattr(Figure, "draw", draw_unless_in_pixels)


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


# A run that gets its signal from outside may end before it, or not have begun.
_SIGNALS_ITSELF = """
import os
import sys
from pkgutil import resolve_name
from mnistlin.cli import main

number, owner, method, n_calls = sys.argv[1:5]
del sys.argv[1:5]
owner, calls_left = resolve_name(owner), int(n_calls)
call = getattr(owner, method)

def call_and_signal(*args, **kwargs):
    global calls_left
    result = call(*args, **kwargs)
    calls_left -= 1
    if calls_left == 0:
        os.kill(os.getpid(), int(number))
    return result

setattr(owner, method, call_and_signal)
main()
"""


@pytest.fixture
def started(workplace):
    """Return a function that starts a command as a process of its own, which ends with the test.

    With `signal_after=(number, owner, method, n_calls)` it sends itself that signal once the method
    of `owner`, such as "mnistlin.runs.writer:RunWriter", has returned for the n-th time.
    """
    processes = []

    def start(*arguments, signal_after=None, **streams):
        program = ("-m", "mnistlin")
        if signal_after is not None:
            number, *what = signal_after
            program = ("-c", _SIGNALS_ITSELF, int(number), *what)
        process = subprocess.Popen(
            [sys.executable, *map(str, (*program, *arguments))],
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
