"""`mnistlin train`: what it prints, what it writes, how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import suppress

import numpy as np
import pytest

from mnistlin import load_run
from mnistlin.figures.draw import RUN_FIGURES


def values(output):
    """Return the `key: value` lines of a result as a dict."""
    return dict(line.split(": ", 1) for line in output.splitlines())


def test_a_run_prints_its_result_and_then_its_folder(mnistlin):
    """Stdout has `key: value` lines, the last of which is the folder that was made."""
    result = mnistlin("train", "--config", "tiny.yaml", "--no-plots")
    assert result.exit_code == 0
    run = load_run(values(result.stdout)["run"])
    assert result.stdout.splitlines()[-1] == f"run: {run.path}"
    assert values(result.stdout)["val_accuracy"] == f"{run.metrics['val_accuracy'][-1]:.6g}"
    assert values(result.stdout)["warning"] == "model selection used the test set"


def test_figures_are_drawn_unless_they_are_not_wanted(mnistlin, workplace, tiny_run):
    """plots/ has the figures of a run; with --no-plots there is no such folder."""
    assert not (tiny_run / "plots").exists()
    result = mnistlin("train", "--config", "tiny.yaml")
    plots = load_run(values(result.stdout)["run"]).path / "plots"
    names = {path.name for path in plots.iterdir()}
    assert names == {f"{name}.png" for name in RUN_FIGURES}


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--config", "tiny.yaml"),
        ("train", "--config", "tiny.yaml", "--seeds", "0,1"),
        ("sweep-lambda", "--config", "tiny.yaml", "--lambdas", "0,1"),
    ],
)
def test_the_result_is_printed_before_figures_are_drawn(mnistlin, monkeypatch, command):
    """Drawing takes seconds, for which nobody has to wait to read the numbers."""
    printed = []

    def write(path, *_):
        printed.append(sys.stdout.buffer.getvalue().decode())
        return path

    monkeypatch.setattr("mnistlin.figures.style.write_into", write)
    assert mnistlin(*command).exit_code == 0
    assert "\nrun: " in printed[0]


def test_figures_have_the_format_and_the_style_that_are_asked_for(mnistlin, workplace):
    """A page for a paper is 3.4 inches wide: 244.8 points."""
    look = ("--format", "svg", "--style", "paper")
    result = mnistlin("train", "--config", "tiny.yaml", *look)
    plots = load_run(values(result.stdout)["run"]).path / "plots"
    assert {path.suffix for path in plots.iterdir()} == {".svg"}
    assert 'width="244.8pt"' in (plots / "loss.svg").read_text()


def test_json_is_the_summary_as_one_object(mnistlin):
    """--json prints strict JSON and nothing else."""
    result = mnistlin("train", "--config", "tiny.yaml", "--no-plots", "--json")
    summary = json.loads(result.stdout)
    run = load_run(summary["run"])
    assert summary["status"] == "finished"
    assert {key: summary[key] for key in run.summary} == run.summary


def test_print_config_shows_the_resolved_config_and_runs_nothing(mnistlin, workplace):
    """What it prints is a config with every key, which gives the same config again."""
    result = mnistlin("train", "--config", "tiny.yaml", "--print-config", "--seed", "7")
    assert "seed: 7" in result.stdout
    assert "checks_per_epoch: 5" in result.stdout
    assert not (workplace / "runs").exists()
    (workplace / "again.yaml").write_text(result.stdout)
    again = mnistlin("train", "--config", "again.yaml", "--print-config")
    assert again.stdout == result.stdout


def test_options_override_the_config(mnistlin):
    """--set, --seed and --name end up in the run's config; a name like a number stays a name."""
    result = mnistlin(
        *("train", "--config", "tiny.yaml", "--no-plots", "--seed", "3", "--name", "1e3"),
        *("--set", "training.epochs=1", "--set", "early_stopping.patience=2"),
    )
    config = load_run(values(result.stdout)["run"]).config
    assert (config.training.epochs, config.training.seed, config.name) == (1, 3, "1e3")
    assert config.early_stopping.patience == 2


@pytest.mark.parametrize("name", ["\U0001f642", "tl;dr: #1 'ŷ'"])
def test_any_text_can_be_a_name(name, mnistlin):
    """config.yaml keeps it as it is; the folder has only the characters that are safe."""
    result = mnistlin("train", "--config", "tiny.yaml", "--no-plots", "--name", name)
    assert load_run(values(result.stdout)["run"]).config.name == name


def test_several_configs_are_merged(mnistlin, workplace):
    (workplace / "more.yaml").write_text("training: {epochs: 2}")
    result = mnistlin("train", "--config", "tiny.yaml", "--config", "more.yaml", "--print-config")
    assert "epochs: 2" in result.stdout
    assert "batch_size: 20" in result.stdout


def test_a_warning_about_the_data_is_printed_and_kept(mnistlin):
    """One line before the run, and an entry of the list in JSON."""
    few = ("train", "--config", "tiny.yaml", "--no-plots", "--set", "data.val_size=1")
    warning, run = mnistlin(*few).stdout.splitlines()[-2:]
    assert warning.startswith("warning: no validation image of class ")
    assert run.startswith("run: ")
    assert warning == f"warning: {json.loads(mnistlin(*few, '--json').stdout)['warnings'][-1]}"


def test_runs_dir_comes_from_the_option_then_the_environment(mnistlin, workplace):
    """--runs-dir wins over MNISTLIN_RUNS_DIR, which wins over runs/."""
    arguments = ("train", "--config", "tiny.yaml", "--no-plots")
    mnistlin(*arguments, env={"MNISTLIN_RUNS_DIR": "from-environment"})
    mnistlin(*arguments, "--runs-dir", "here", env={"MNISTLIN_RUNS_DIR": "elsewhere"})
    made = {path.name for path in workplace.iterdir() if path.is_dir()}
    assert made == {"from-environment", "here"}


def test_quiet_and_piped_runs_have_no_bar(mnistlin):
    """Nothing goes to stderr where it is no terminal."""
    assert mnistlin("train", "--config", "tiny.yaml", "--no-plots", "-q").stderr == ""
    assert mnistlin("train", "--config", "tiny.yaml", "--no-plots").stderr == ""


def test_a_terminal_has_a_bar(workplace):
    """On a terminal the bar counts epochs and shows the validation accuracy."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-m", "mnistlin", "train", "--config", "tiny.yaml", "--no-plots"]
    command += ["--set", "training.epochs=500"]  # what takes no time has no bar
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, check=True, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # at the end
        while True:
            shown += os.read(ours, 100_000)
    os.close(ours)
    assert b"500/500" in shown
    assert b"val_accuracy=" in shown


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--config", "tini.yaml"], 2, ["'tini.yaml' does not exist", "config show"]),
        (["--config", "quickstrat"], 2, ["did you mean quickstart?"]),
        (
            ["--config", "tiny.yaml", "--set", "training.epoch=1"],
            2,
            ["did you mean training.epochs?"],
        ),
        (["--config", "tiny.yaml", "--set", "epochs"], 2, ["write it as key=value"]),
        (["--config", "tiny.yaml", "--set", "training.batch_size=201"], 2, ["201", "only 200"]),
        (["--config", "tiny.yaml", "--set", "data.train_size=4001"], 2, ["4001"]),
        (["--config", "tiny.yaml", "--set", "data.classes=[4, 11]"], 2, ["11"]),
        (["--config", "tiny.yaml", "--set", "sweep.l2_lambdas=[1]"], 2, ["sweep-lambda"]),
        (["--config", "tiny.yaml", "--set", "data.dataset=nowhere"], 3, ["nowhere"]),
        (["--config", "tiny.yaml", "--set", "data.dataset=mnist"], 3, ["mnist-5k"]),
    ],
)
def test_bad_input_gets_one_clear_error(
    arguments, exit_code, words, mnistlin, workplace, monkeypatch
):
    """Exit 2 for a config, 3 for data; the message says what was found; no folder is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    result = mnistlin("train", *arguments)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert all(word in result.stderr for word in words), result.stderr
    assert not (workplace / "runs").exists()


def test_divergence_is_exit_4_and_names_its_cause(mnistlin):
    """A learning rate that is far too large is named, as is a penalty that overshoots."""
    arguments = ("train", "--config", "tiny.yaml", "--no-plots")
    too_large = mnistlin(*arguments, "--set", "training.learning_rate=1e9")
    assert too_large.exit_code == 4
    assert "training.learning_rate 1e+09 is too large" in too_large.stderr
    overshoots = mnistlin(*arguments, "--set", "training.l2_lambda=1000")
    assert overshoots.exit_code == 4
    assert "learning_rate x l2_lambda is 50" in overshoots.stderr
    assert load_run(values(overshoots.stdout)["run"]).status == "diverged"


def test_a_figure_that_fails_is_only_a_warning(mnistlin, monkeypatch):
    """The results are safe by then, so the command still succeeds."""

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("mnistlin.figures.draw.draw_run", fail)
    result = mnistlin("train", "--config", "tiny.yaml")
    assert result.exit_code == 0
    assert "warning" in result.stderr
    assert "no space left on device" in result.stderr


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [
        pytest.param(signal.SIGINT, 130, id="int"),
        pytest.param(signal.SIGTERM, 143, id="term", marks=pytest.mark.faults),
    ],
)
def test_a_signal_ends_the_run_with_everything_written(
    number, exit_code, started, wait_for, workplace
):
    """Status interrupted, complete files, figures, and the command that resumes."""
    fast = ("--set", "training.epochs=1000000", "--set", "data.classes=[2, 3]")
    process = started("train", "--config", "tiny.yaml", *fast)
    wait_for(lambda: any(p.stat().st_size > 1000 for p in workplace.glob("runs/*/metrics.csv")))
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "stopping; interrupt again" in stderr
    run = load_run(values(stdout)["run"])
    assert run.status == "interrupted"
    assert run.summary["last_step"] == run.metrics["step"][-1] <= run.steps["step"][-1]
    assert (run.path / "plots" / "loss.png").exists()
    assert f"resume with: mnistlin train --resume {run.path}" in stderr


def test_a_second_signal_ends_the_run_at_once(started, wait_for, workplace, write_dataset):
    """An epoch of two million steps, which takes over 20 seconds anywhere, is not waited for."""
    many, few = (np.zeros((n, 1, 1), np.uint8) for n in (2_000_000, 2))
    write_dataset(workplace / "many", (many, np.arange(len(many)) % 2), (few, [0, 1]))
    process = started(
        *("train", "--config", "tiny.yaml", "--set", "data={dataset: ./many}"),
        *("--set", "training.batch_size=1", "--set", "training.checks_per_epoch=1"),
    )
    wait_for(lambda: list(workplace.glob("runs/*/steps.csv")))
    process.send_signal(signal.SIGINT)
    assert "stopping; interrupt again" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
