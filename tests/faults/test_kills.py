"""Runs and sweeps killed at any moment resume, bit-identical to uninterrupted ones."""

import itertools
import random
import shutil
import signal
from functools import partial

import pytest
from kept_bytes import RESULTS, bytes_of_run, bytes_of_sweep
from victims import DieBefore, DieWithinPiece, kill_when, run, started

from mnistlin import RunError, load_run, run_experiment
from mnistlin.config import SweepConfig, dump_yaml
from mnistlin.experiment import resume_experiment
from mnistlin.sweep import resume_sweep, run_sweep

pytestmark = pytest.mark.faults

SEED = 20260114
KILLED = -signal.SIGKILL


KINDS = ("run", "sweep")
MARKS = {"checkpoint.npz", ".lock"}
"""What a run that dies after it has ended may leave behind; it does no harm."""

FILES = {"config.yaml", "run.json", "summary.json", *RESULTS, *MARKS}

RUN = """\
name: victim
model: softmax
data: {dataset: mnist-5k}
training: {epochs: 80, batch_size: 64, learning_rate: 0.02, checkpoint_seconds: 0}
"""
SWEEP = """\
name: victim
model: softmax
data: {dataset: mnist-5k, train_size: 1000, val_size: 500}
training: {epochs: 60, batch_size: 50, learning_rate: 0.02}
sweep: {l2_lambdas: [1, 0.01, 0], seeds: [0, 1, 2, 3, 4]}
"""


@pytest.fixture
def moments():
    """Return the source of all randomness: where and when there is a kill."""
    return random.Random(SEED)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a config, given as text or object, and returns its path."""

    def write(config):
        path = tmp_path / "config.yaml"
        path.write_text(
            config if isinstance(config, str) else dump_yaml(config.model_dump(mode="json"))
        )
        return path

    return write


def only(parent):
    """Return the one folder in a folder; None if there is none yet."""
    return next(parent.iterdir(), None) if parent.is_dir() else None


def has_begun(folder):
    """Say whether a folder is one of a run or a sweep yet."""
    return folder is not None and any((folder / f"{kind}.json").exists() for kind in KINDS)


def has_rows(runs, n_bytes):
    """Say whether steps.csv of the run in a folder is as long as that."""
    folder = only(runs)
    return has_begun(folder) and (folder / "steps.csv").stat().st_size >= n_bytes


def has_members(runs, n_members):
    """Say whether the sweep in a folder has so many members, complete or not."""
    folder = only(runs)
    return has_begun(folder) and len(list(folder.glob("lambda-*"))) >= n_members


def mend(folder):
    """Go on with a run if it was not at its end; return whether it was not."""
    if load_run(folder).status == "finished":
        with pytest.raises(RunError, match="has ended"):
            resume_experiment(folder)
        return False
    return resume_experiment(folder).status == "finished"


def deaths(death, tmp_path, command, every):
    """Run a command again and again, dying before one change after the other, until it lives.

    If `every` is 5, it dies before the first change, the sixth, and so on.

    Yield what each death left behind: the folder in which the command makes its own. `command` may
    be a function that prepares such a folder and returns the words of the command.
    """
    for n in itertools.count(1, every):
        runs = tmp_path / f"{death.__name__}-{n}"
        runs.mkdir()
        words = command(runs) if callable(command) else (*command, "--runs-dir", runs)
        exit_code = run(*words, prepare=death(runs, n))
        if exit_code == 0:
            break
        assert exit_code == KILLED
        yield runs
    print(f"\n{death.__name__} 1 to {n - every} of {' '.join(map(str, words[:2]))}")


class TestRandomMoments:
    """Kills at moments that have nothing to do with what is being done just then."""

    def test_runs(self, write, tmp_path, moments, times):
        """100 of 100 end in the same bytes, and at least 80 resume from a later epoch than 0."""
        train = ("train", "--config", write(RUN), "--no-plots", "--runs-dir")
        assert run(*train, tmp_path / "unbroken") == 0
        expected = bytes_of_run(only(tmp_path / "unbroken"))
        n_bytes, n_kills, epochs = len(expected["steps.csv"]), times(100, short=6), []
        for number in range(2 * n_kills):
            runs = tmp_path / f"{number}"
            with started(*train, runs) as victim:
                begun = partial(has_rows, runs, moments.uniform(0, 0.95) * n_bytes)
                kill_when(victim, begun, moments.uniform(0, 0.05))
            folder = only(runs)
            if number % 5 == 0:
                with started("train", "--resume", folder, "--no-plots") as victim:
                    kill_when(victim, lambda: True, moments.uniform(0, 0.5))
            if load_run(folder).status == "running":  # else it had just ended
                epochs.append(resume_experiment(folder).info.resumed[-1].epoch)
            assert bytes_of_run(folder) == expected, f"kill {number}"
            shutil.rmtree(runs)
            if len(epochs) == n_kills:
                break
        assert len(epochs) == n_kills
        assert sum(epoch > 0 for epoch in epochs) >= 0.8 * n_kills, epochs
        print(f"\n{n_kills} kills of a run; resumed from the epochs {sorted(epochs)}")

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_sweeps(self, jobs, write, tmp_path, moments, times):
        """20 of 20 sweeps end in the same bytes; what was complete is not trained again."""
        sweep = ("sweep-lambda", "--config", write(SWEEP), "--no-plots", "--runs-dir")
        assert run(*sweep, tmp_path / "unbroken") == 0
        expected = bytes_of_sweep(only(tmp_path / "unbroken"))
        n_kills, n_kept = times(20, short=2) if jobs == 1 else times(5, short=1), []
        for number in range(n_kills):
            runs = tmp_path / f"{number}"
            with started(*sweep, runs, "--jobs", jobs) as victim:
                begun = partial(has_members, runs, moments.randrange(14))
                kill_when(victim, begun, moments.uniform(0, 0.3))
            folder = only(runs)
            n_kept.append(len(list(folder.glob("lambda-*"))))
            assert resume_sweep(folder).status == "finished"
            assert bytes_of_sweep(folder) == expected, f"kill {number}"
        print(f"\n{n_kills} kills of a sweep with --jobs {jobs}, with {n_kept} of 15 members")


class TestEveryWrite:
    """Kills before and after each change of a file or folder; of every few in the short form."""

    @pytest.fixture
    def config(self, make_config):
        """Return the config of a run of four legs, with a checkpoint after each."""
        return make_config(early_stopping={"patience": 999}, checkpoint_seconds=0.0)

    @pytest.mark.parametrize("death", [DieBefore, DieWithinPiece])
    def test_of_a_run(self, death, config, write, tmp_path, times):
        """Before it has a run.json it is not a run yet; from then on it can always be resumed."""
        expected = bytes_of_run(run_experiment(config, tmp_path / "unbroken").path)
        n_resumed = 0
        command = ("train", "--config", write(config), "--no-plots")
        for runs in deaths(death, tmp_path, command, times(1, short=8)):
            folder = only(runs)
            if has_begun(folder):
                n_resumed += mend(folder)
                assert bytes_of_run(folder) == expected, runs.name
                assert {path.name for path in folder.iterdir()} <= FILES
        assert n_resumed >= times(8, short=1)

    @pytest.mark.parametrize("death", [DieBefore, DieWithinPiece])
    def test_of_a_resumption(self, death, config, tmp_path, times):
        """A run that is killed while it resumes can be resumed again."""
        expected = bytes_of_run(run_experiment(config, tmp_path / "unbroken").path)
        broken_off = run_experiment(config, tmp_path / "broken", lambda _: True).path

        def prepare(runs):
            return "train", "--resume", shutil.copytree(broken_off, runs / "run"), "--no-plots"

        for runs in deaths(death, tmp_path, prepare, times(1, short=8)):
            mend(runs / "run")
            assert bytes_of_run(runs / "run") == expected, runs.name

    @pytest.mark.parametrize("death", [DieBefore, DieWithinPiece])
    def test_of_a_sweep(self, death, config, write, tmp_path, times):
        """The same for the files of a sweep, and those of its members."""
        settings = SweepConfig(l2_lambdas=(0.1, 0.0), seeds=(0, 1))
        config = config.model_copy(update={"sweep": settings})
        expected = bytes_of_sweep(run_sweep(config, tmp_path / "unbroken").path)
        n_resumed = 0
        command = ("sweep-lambda", "--config", write(config), "--no-plots")
        for runs in deaths(death, tmp_path, command, times(1, short=10)):
            folder = only(runs)
            if has_begun(folder):
                n_resumed += 1
                assert resume_sweep(folder).status == "finished"
                assert bytes_of_sweep(folder) == expected, runs.name
        assert n_resumed >= times(8, short=1)
