"""`mnistlin sweep-lambda`: what it prints, how it ends, and that it can be taken up again."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from mnistlin import load_config, run_sweep
from mnistlin.runs.sweep_folder import load_sweep

LONG = """\
name: long
model: softmax
data: {dataset: mnist-5k, train_size: 200, val_size: 100}
training: {epochs: 2, batch_size: 20, learning_rate: 0.05}
sweep: {l2_lambdas: [0.1, 0], seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
"""
TINY_SWEEP = ("sweep-lambda", "--config", "tiny.yaml", "--lambdas", "1,0.01,0", "--no-plots")
TABLES = ("metrics.csv", "steps.csv", "weights.npz")


def ends(output):
    """Return the `key: value` lines below the table."""
    lines = [line.split(": ", 1) for line in output.splitlines() if ": " in line]
    return {key: value for key, value in lines if key != "note"}


def sweep_of(result):
    """Return the sweep that a command made."""
    return load_sweep(ends(result.stdout)["run"])


def row(result, l2_lambda):
    """Return the cells of a λ in the table, by the names of their columns."""
    names, *rows = [
        [cell for cell in line.split("  ") if cell] for line in result.stdout.splitlines()
    ]
    (cells,) = [cells for cells in rows if cells and cells[0] == l2_lambda]
    return dict(zip(names, map(str.strip, cells), strict=False))


def contents(path):
    """Return what must be the same of a sweep, however often it was interrupted."""
    members = [folder / name for folder in path.glob("lambda-*") for name in TABLES]
    return {file.relative_to(path): file.read_bytes() for file in [path / "sweep.csv", *members]}


@pytest.fixture
def long_yaml(workplace):
    """Write the config of a sweep of several stacks."""
    (workplace / "long.yaml").write_text(LONG)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the contents of the whole sweep of long.yaml."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "long.yaml").write_text(LONG)
    return contents(run_sweep(load_config(folder / "long.yaml"), folder / "runs").path)


class TestResult:
    """What is printed."""

    def test_a_table_of_all_lambdas_and_then_the_folder(self, mnistlin):
        """A row a λ, whose numbers are means over the seeds; `run: PATH` comes last."""
        result = mnistlin(*TINY_SWEEP, "--seeds", "0-2")
        assert result.exit_code == 0
        sweep = sweep_of(result)
        assert result.stdout.splitlines()[-1] == f"run: {sweep.path}"
        assert ends(result.stdout)["status"] == "finished"
        assert ends(result.stdout)["warning"] == "model selection used the test set"
        norms = [run.metrics["weight_norm"][-1] for run in sweep.by_lambda[0.01].values()]
        found = row(result, "0.01")
        assert found["weight_norm"].startswith(f"{sum(norms) / 3:.4f} ± ")
        assert (found["runs"], found["stop_epoch"]) == ("3", "2")

    def test_differences_have_an_interval_and_a_verdict(self, mnistlin):
        """And notes on what they mean: one λ, all λ, and which chance is in it."""
        result = mnistlin(*TINY_SWEEP, "--seeds", "0-2")
        found = row(result, "1")
        low, high = map(float, found["95 % interval"].split(" to "))
        assert low < float(found["minus λ = 0"]) < high
        assert found["verdict"] in {"better", "worse", "not resolved"}
        assert row(result, "0")["verdict"] == "-"
        assert "corrected for 2 λ (Holm)" in result.stdout
        assert "the interval covers the order of batches only" in result.stdout

    def test_one_seed_is_not_tested(self, mnistlin):
        """No spread, no interval, and no claim."""
        result = mnistlin(*TINY_SWEEP)
        assert row(result, "1")["verdict"] == "one seed: not tested"
        assert "±" not in result.stdout
        assert "interval covers" not in result.stdout

    def test_without_lambda_0_nothing_is_compared(self, mnistlin):
        """The columns are left out, and a note says why."""
        result = mnistlin(*TINY_SWEEP, "--lambdas", "1,0.1")
        assert "verdict" not in result.stdout
        assert "no run with λ = 0" in result.stdout

    def test_json_is_one_object(self, mnistlin):
        """With a value for each cell of the table."""
        found = json.loads(mnistlin(*TINY_SWEEP, "--seeds", "0,1", "--json").stdout)
        assert [each["l2_lambda"] for each in found["lambdas"]] == [1, 0.01, 0]
        assert found["lambdas"][0]["difference"]["n_pairs"] == 2
        assert found["lambdas"][0]["last_val_accuracy"].keys() == {"mean", "sd"}
        assert (found["status"], found["failures"]) == ("finished", [])

    def test_figures_are_drawn_and_can_be_drawn_again(self, mnistlin):
        """By the command itself, and by `plot`; as a file a figure."""
        few = ("--set", "data.classes=[2, 3]")
        sweep = sweep_of(mnistlin(*TINY_SWEEP[:-1], *few))
        names = {"val-accuracy", "final-accuracy", "weight-norm", "weights"}
        assert {path.name for path in (sweep.path / "plots").iterdir()} == {
            f"{name}.png" for name in names
        }
        result = mnistlin("plot", sweep.path, "--out", "again", "--format", "svg")
        assert set(result.stdout.splitlines()) == {f"again/{name}.svg" for name in names}

    def test_runs_lists_it_as_one_line(self, mnistlin):
        sweep = sweep_of(mnistlin(*TINY_SWEEP))
        (line,) = [line for line in mnistlin("runs").stdout.splitlines() if "finished" in line]
        assert line.split()[:2] == [sweep.path.name, "finished"]


class TestConfig:
    """Where λ and seeds come from."""

    @pytest.mark.usefixtures("long_yaml")
    def test_options_win_over_the_config(self, mnistlin):
        """λ, seeds and everything else."""
        result = mnistlin(
            *("sweep-lambda", "--config", "long.yaml", "--no-plots", "--name", "other"),
            *("--lambdas", "0,1e-2:1:3log", "--seeds", "7", "--set", "training.epochs=1"),
        )
        config = sweep_of(result).config
        assert config.sweep.l2_lambdas == (0, 0.01, 0.1, 1)
        assert (config.sweep.seeds, config.training.epochs, config.name) == ((7,), 1, "other")

    @pytest.mark.parametrize("options", [["--seed", "3"], ["--set", "training.seed=3"]])
    def test_a_seed_is_the_one_seed_of_the_sweep(self, options, mnistlin):
        """A member's own seed comes from the sweep, so training.seed alone would say nothing."""
        sweep = sweep_of(mnistlin(*TINY_SWEEP, *options))
        assert sweep.settings.seeds == (3,)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--lambdas", "1,1.0,0"], ["1.0 is repeated"]),
            (["--lambdas", "0,-1"], ["sweep.l2_lambdas[1]: found -1"]),
            (["--lambdas", "0,one"], ["'one'", "1e-4:1:9log"]),
            (["--seeds", "0-2", "--set", "training.shuffle=false"], ["the same run"]),
            (["--seeds", "0,0"], ["repeated"]),
            (["--jobs", "0"], ["1<=x"]),
            (["--jobs", "2", "--scheduler", "tcp://localhost:1"], ["choose one"]),
            (["--resume", "runs"], ["leave out"]),
        ],
    )
    def test_bad_input_is_exit_2_and_leaves_nothing(self, options, words, mnistlin, workplace):
        """The message says what was found."""
        result = mnistlin(*TINY_SWEEP, *options)
        assert result.exit_code == 2
        assert all(word in result.stderr for word in words), result.stderr
        assert not (workplace / "runs").exists()

    def test_a_config_without_lambdas_says_how_to_name_them(self, mnistlin):
        """`train` takes such a file, a sweep does not."""
        result = mnistlin("sweep-lambda", "--config", "tiny.yaml")
        assert result.exit_code == 2
        assert "--lambdas" in result.stderr

    def test_a_bare_command_takes_the_reports_own_sweep(self, mnistlin, workplace, monkeypatch):
        """Which needs MNIST; that it is not here is the data's error, not the config's."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
        result = mnistlin("sweep-lambda")
        assert result.exit_code == 3
        assert "MNIST" in result.stderr


class TestEnds:
    """How it ends, and how it is resumed."""

    def test_a_member_that_diverged_is_exit_5_and_has_its_cause_named(self, mnistlin):
        """The others are finished and in the table."""
        result = mnistlin(*TINY_SWEEP, "--lambdas", "1000,0")
        assert result.exit_code == 5
        assert "lambda-1000_seed-0: training diverged" in result.stderr
        assert "learning_rate x l2_lambda is 50" in result.stderr
        assert ends(result.stdout)["status"] == "partly_failed"
        assert row(result, "1000")["runs"] == "0 of 1"
        (failure,) = sweep_of(result).failures
        assert failure == {
            "l2_lambdas": [1000],
            "seed": 0,
            "error": "training diverged",
            "runs": ["lambda-1000_seed-0"],
        }

    def test_a_stack_that_failed_is_exit_5_and_names_the_way_back(self, mnistlin, monkeypatch):
        """--resume trains it, and then all is well."""

        def fail(_):
            raise MemoryError("no room")

        with monkeypatch.context() as patched:
            patched.setattr("mnistlin.sweep.workers.train", fail)
            result = mnistlin(*TINY_SWEEP)
        sweep = sweep_of(result)
        assert result.exit_code == 5
        assert "MemoryError: no room" in result.stderr
        assert f"`mnistlin sweep --resume {sweep.path}`" in result.stderr
        assert mnistlin("sweep-lambda", "--resume", sweep.path, "--no-plots").exit_code == 0

    @pytest.mark.usefixtures("long_yaml")
    @pytest.mark.parametrize(
        ("number", "exit_code", "status", "jobs"),
        [
            pytest.param(signal.SIGINT, 130, "interrupted", 1, id="int-1"),
            pytest.param(signal.SIGTERM, 143, "interrupted", 2, id="term-2"),
            pytest.param(
                signal.SIGKILL, -signal.SIGKILL, "running", 2, id="kill-2", marks=pytest.mark.faults
            ),
        ],
    )
    def test_a_sweep_that_was_ended_by_a_signal_is_resumed_to_the_same_bytes(
        self, number, exit_code, status, jobs, mnistlin, started, workplace, uninterrupted
    ):
        """What was complete is kept; sweep.csv, metrics, steps and weights are those of one go."""
        command = ("sweep-lambda", "--config", "long.yaml", "--no-plots")
        after_a_stack = (number, "mnistlin.runs.sweep_folder:SweepWriter", "add", 1)
        process = started(
            *command, "--jobs", jobs, "--runs-dir", "broken", signal_after=after_a_stack
        )
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == exit_code
        (path,) = (workplace / "broken").iterdir()
        if status == "interrupted":
            assert f"resume with: mnistlin sweep --resume broken/{path.name}" in stderr
        assert load_sweep(path).status == status
        assert 2 <= len(load_sweep(path).members) < 16
        assert mnistlin("sweep-lambda", "--resume", path, "--no-plots").exit_code == 0
        assert contents(path) == uninterrupted

    @pytest.mark.usefixtures("workplace")
    def test_a_terminal_has_a_bar_with_the_stacks_done(self):
        """Beside the epochs of all of them."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        command = [sys.executable, "-m", "mnistlin", *TINY_SWEEP, "--seeds", "0-1"]
        command += ["--set", "training.epochs=120"]  # what takes no time has no bar
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # at the end
            while True:
                shown += os.read(ours, 100_000)
        os.close(ours)
        assert process.wait() == 0
        assert b"240/240" in shown
        assert b"stacks=2/2" in shown
