"""Whatever a run folder holds, it is read or refused, and no command shows a traceback.

Each test has a few examples, and with `-m faults` five times as many; both grow with the hypothesis
profile in force.
"""

import os
import shutil
import tracemalloc

import click
import pytest
from click.testing import CliRunner
from hostile import Files, spoiled_files, write_folder
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mnistlin import RunError, load_run, run_experiment
from mnistlin.cli.app import cli
from mnistlin.data.splits import load_splits
from mnistlin.experiment import setup_for
from mnistlin.runs.checkpoint import load_checkpoint
from mnistlin.runs.index import find_runs
from mnistlin.runs.listing import table

pytestmark = pytest.mark.no_cover  # slow, and other tests reach the same lines

MEMORY = 32 * 2**20
"""Far more than a sound folder of this size takes, and far less than a bomb."""

EXIT_CODES = {0, 1, 2, 3, 4, 5}


def run_readers(group=cli, path=()):
    """Yield the words of each command that takes run folders."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from run_readers(command, (*path, name))
        elif any(str(parameter.metavar).startswith("RUN_DIR") for parameter in command.params):
            yield (*path, name)


RUN_READERS = [words for words in run_readers() if words != ("train",)]
TRAINERS = {("replay",), ("explain", "optimum"), ("explain", "early-stopping")}
"""Commands that train again by a run's config, which may ask for a long run."""


@pytest.fixture(scope="module")
def config(make_config):
    """Return a config whose run takes a moment."""
    return make_config(checkpoint_seconds=0.0, early_stopping={"patience": 99})


@pytest.fixture(scope="module")
def unfinished(config, tmp_path_factory):
    """Return the files of an interrupted run: all there can be."""
    run = run_experiment(config, tmp_path_factory.mktemp("runs"), lambda p: p.epoch == 2)
    return Files.of(run.path)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """Return the files of a finished run."""
    return Files.of(run_experiment(config, tmp_path_factory.mktemp("runs")).path)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return a function that writes a run folder, always in the same empty folder of runs."""
    path = tmp_path_factory.mktemp("hostile") / "runs" / "20260114T093012Z_tiny"

    def make(good, spoiled):
        shutil.rmtree(path.parent, ignore_errors=True)
        path.mkdir(parents=True)
        write_folder(path, good, spoiled)
        return path

    return make


def read_all(folder, setup):
    """Read everything in a folder that can be read; return how many things were refused."""
    refusals = []
    readers = [
        *(lambda name=name: getattr(load_run(folder), name) for name in READ),
        lambda: load_checkpoint(folder, setup),
    ]
    for read in readers:
        try:
            read()
        except RunError as error:
            refusals.append(str(error))
    assert all(str(folder) in refusal and len(refusal) < 10_000 for refusal in refusals)
    return len(refusals)


READ = ("classes", "weights_shape", "summary", "metrics", "steps", "weights", "confusion")


@pytest.fixture(params=["few", pytest.param("many", marks=pytest.mark.faults)])
def for_examples(request):
    """Return a function that calls a test with a few examples, or many, to draw data from."""
    if request.param == "many" and os.environ.get("MNISTLIN_FAULTS") == "short":
        pytest.skip("MNISTLIN_FAULTS=short: only the few examples of the normal suite")

    def call(test, few):
        n = {"few": few, "many": 5 * few}[request.param] * settings.default.max_examples // 100
        settings(max_examples=n)(given(data=st.data())(test))()

    return call


def test_reading_fuzz(for_examples, unfinished, config, folder_of):
    """Nothing else than RunError, and no memory to speak of."""
    setup = setup_for([config], load_splits(config.data))

    def test(data):
        folder = folder_of(unfinished, data.draw(spoiled_files(unfinished)))
        tracemalloc.start()
        try:
            n_refused = read_all(folder, setup)
            assert all(line.isprintable() for line in table(find_runs(folder.parent))[0])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        event(f"{n_refused} of {len(READ) + 1} refused")
        assert peak < MEMORY

    for_examples(test, few=30)


def run_command(*arguments):
    """Run a command in this process; it must end in a known way."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert result.exit_code in EXIT_CODES, result.output
    assert "Traceback" not in result.output
    assert "internal error" not in result.output, result.output
    event(f"exit {result.exit_code}")
    return result


def test_resuming_fuzz(for_examples, unfinished, folder_of):
    """Either the run is resumed, as far as it can be written, or its folder is as it was."""

    def test(data):
        folder = folder_of(unfinished, data.draw(spoiled_files(unfinished)))
        before = snapshot(folder)
        result = run_command("train", "--resume", folder, "--no-plots")
        is_unchanged = snapshot(folder) == before
        assert result.exit_code == 0 or "cannot write" in result.stderr or is_unchanged

    for_examples(test, few=10)


def snapshot(folder):
    """Return every entry of a folder with its size and time."""
    return {
        path.name: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.iterdir()
    }


@pytest.mark.parametrize("words", RUN_READERS, ids=" ".join)
def test_commands_fuzz(words, for_examples, finished, folder_of, finished_run):
    """Each command that takes a run reads it, or says why it cannot."""
    names = set(finished) - ({"config.yaml"} if words in TRAINERS else set())
    others = [finished_run.path] if words == ("compare",) else []

    def test(data):
        folder = folder_of(finished, data.draw(spoiled_files(finished, sorted(names))))
        run_command(*words, folder, *others)

    for_examples(test, few=3)
