"""`mnistlin train --resume`: an interrupted run is resumed."""

import json
import shutil
import signal

import pytest

from mnistlin import load_config, load_run, run_experiment

LONG = """\
name: long
model: softmax
data: {dataset: mnist-5k, train_size: 400, val_size: 100}
training: {epochs: 12, batch_size: 50, learning_rate: 0.05, checkpoint_seconds: 0}
early_stopping: {patience: 99}
"""
RESULTS = ("metrics.csv", "steps.csv", "weights.npz", "confusion.csv")


def values(output):
    """Return the `key: value` lines of a result as a dict."""
    return dict(line.split(": ", 1) for line in output.splitlines())


@pytest.fixture
def long_yaml(workplace):
    """Write the config of a run of several segments."""
    (workplace / "long.yaml").write_text(LONG)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the folder of the whole run of long.yaml."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "long.yaml").write_text(LONG)
    return run_experiment(folder / "long.yaml", folder / "runs").path


@pytest.mark.parametrize(
    ("number", "status", "exit_code"),
    [
        (signal.SIGTERM, "interrupted", 143),
        (signal.SIGKILL, "running", -signal.SIGKILL),
    ],
    ids=["term", "kill"],
)
@pytest.mark.usefixtures("long_yaml")
def test_a_run_that_was_ended_by_a_signal_is_resumed_to_the_same_bytes(
    number, status, exit_code, started, mnistlin, workplace, uninterrupted
):
    """The result says from which epoch; exit 0, and the files of an uninterrupted run."""
    after_rows = (number, "mnistlin.runs.writer:RunWriter", "append", 5)
    process = started("train", "--config", "long.yaml", "--no-plots", signal_after=after_rows)
    process.communicate(timeout=60)
    (folder,) = (workplace / "runs").iterdir()
    assert (load_run(folder).status, process.returncode) == (status, exit_code)
    result = mnistlin("train", "--resume", folder, "--no-plots")
    assert result.exit_code == 0, result.output
    shown = values(result.stdout)
    assert (shown["status"], shown["run"]) == ("finished", str(folder))
    assert 0 < int(shown["resumed_from_epoch"]) < 12
    assert result.stderr == ""
    for name in RESULTS:
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name


@pytest.fixture
def unfinished(workplace):
    """Return the folder of a run that was interrupted in its first epochs."""
    settings = {"training.checkpoint_seconds": 0, "early_stopping.patience": 99}
    config = load_config("tiny.yaml", settings)
    return run_experiment(config, "runs", lambda progress: progress.epoch == 1).path


def test_a_resumed_run_has_figures(unfinished, mnistlin):
    """As if it had never been interrupted."""
    mnistlin("train", "--resume", unfinished)
    assert {path.name for path in (unfinished / "plots").iterdir()} >= {"loss.png", "accuracy.png"}


def test_what_changed_since_the_beginning_is_a_warning(unfinished, mnistlin):
    """The bits may then differ from those of an uninterrupted run."""
    folder = unfinished
    info = json.loads((folder / "run.json").read_text())
    info["libraries"]["numpy"] = "1.0"
    (folder / "run.json").write_text(json.dumps(info))
    result = mnistlin("train", "--resume", folder, "--no-plots")
    assert result.exit_code == 0
    assert "warning: libraries.numpy was 1.0 when the run began" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--config", "tiny.yaml"], ["--set", "training.epochs=5"], ["--seed", "1"], ["--name", "x"]],
    ids=" ".join,
)
def test_a_resumed_run_keeps_its_config(arguments, mnistlin, workplace):
    """Options that would change it are a usage error."""
    result = mnistlin("train", "--resume", "runs/x", *arguments)
    assert result.exit_code == 2
    assert "the run's own config" in result.stderr


def test_what_is_to_be_resumed_must_be_an_unfinished_run(mnistlin, workplace, tiny_run):
    """A finished run, a folder of something else, and no folder: exit 1, and one line each."""
    for folder, word in (
        (tiny_run, "has ended (finished)"),
        ("runs", "no run.json"),
        ("x", "does not exist"),
    ):
        result = mnistlin("train", "--resume", folder)
        assert (result.exit_code, result.stdout) == (1, "")
        assert word in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_member_of_a_sweep_leads_to_the_sweep(mnistlin, workplace):
    """The message has the command that resumes all of it; so has that for the sweep's folder."""
    arguments = ("--config", "tiny.yaml", "--lambdas", "0.1,0", "--no-plots")
    mnistlin("sweep-lambda", *arguments)
    (sweep,) = (workplace / "runs").iterdir()
    for folder in (sweep / "lambda-0.1_seed-0", sweep):
        result = mnistlin("train", "--resume", folder)
        assert result.exit_code == 1
        assert "mnistlin sweep --resume" in result.stderr


class TestReplay:
    """`mnistlin replay`: a run is trained again and compared."""

    def test_the_same_bits_are_exit_0(self, mnistlin, tiny_run):
        """It says that the run is identical, and which run."""
        result = mnistlin("replay", tiny_run)
        assert result.exit_code == 0
        shown = values(result.stdout)
        assert (shown["replay"], shown["run"]) == ("identical", str(tiny_run))
        assert result.stderr == ""

    def test_other_bits_are_exit_5_with_the_first_difference(self, mnistlin, tiny_run):
        """With step, column, both values; only a run without hashes can have an edited file."""
        lines = (tiny_run / "steps.csv").read_text().splitlines(keepends=True)
        lines[4] = "3,0,0.25\n"
        (tiny_run / "steps.csv").write_text("".join(lines))
        refused = mnistlin("replay", tiny_run)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "modified since it ended: steps.csv" in refused.stderr
        info = json.loads((tiny_run / "run.json").read_text()) | {"files": None}
        (tiny_run / "run.json").write_text(json.dumps(info))
        result = mnistlin("replay", tiny_run)
        assert result.exit_code == 5
        lines = result.stdout.splitlines()
        assert {"replay: differs", "differs: steps.csv"} <= set(lines)
        assert "first_difference: step 3, batch_loss in steps.csv: 0.25 in" in result.stdout
        assert "one of them may have been edited" in " ".join(result.stdout.split())

    def test_what_changed_is_told(self, mnistlin, tiny_run):
        """A row for each, with both values."""
        shutil.rmtree(tiny_run / "plots", ignore_errors=True)
        text = (tiny_run / "config.yaml").read_text()
        changed = text.replace("learning_rate: 0.05", "learning_rate: 0.06")
        (tiny_run / "config.yaml").write_text(changed)
        result = mnistlin("replay", tiny_run)
        assert result.exit_code == 5
        rows = [line.split() for line in result.stdout.splitlines()]
        assert ["config.training.learning_rate", "0.05", "0.06"] in rows

    def test_an_unfinished_run_is_exit_1(self, mnistlin, tiny_run):
        """There is nothing to compare with."""
        text = (tiny_run / "run.json").read_text()
        (tiny_run / "run.json").write_text(text.replace('"finished"', '"running"'))
        result = mnistlin("replay", tiny_run)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "train --resume" in result.stderr

    def test_ctrl_c_ends_a_replay(self, uninterrupted, started):
        """Exit 130, without a result."""
        before_training = (signal.SIGINT, "mnistlin.sweep.workers", "setup_for", 1)
        process = started("replay", uninterrupted, signal_after=before_training)
        stdout, _ = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (130, "")
