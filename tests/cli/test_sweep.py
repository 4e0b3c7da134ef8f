"""`mnistlin sweep`: values on the command line, results, and errors."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from mnistlin.runs.sweep_folder import load_sweep

TINY = ("sweep", "--config", "tiny.yaml", "--no-plots", "--set", "training.epochs=1")


def sweep_of(result):
    assert result.exit_code == 0, result.stderr
    return load_sweep(result.stdout.splitlines()[-1].removeprefix("run: "))


@pytest.mark.parametrize(
    ("over", "key", "values"),
    [
        ("training.learning_rate=0.01:1:3log", "training.learning_rate", (0.01, 0.1, 1)),
        ("data.train_size=20:200:3log", "data.train_size", (20, 63, 200)),
        ("training.batch_size=2:4:9log", "training.batch_size", (2, 3, 4)),
        ("training.epochs=1-3", "training.epochs", (1, 2, 3)),
        ("data.classes=[[2, 3], [4, 9]]", "data.classes", ((2, 3), (4, 9))),
        ("data.train_size=100,null", "data.train_size", (100, None)),
        ("training.dtype=float32, float64", "training.dtype", ("float32", "float64")),
    ],
)
def test_values_are_lists_ranges_or_yaml(over, key, values, mnistlin):
    assert sweep_of(mnistlin(*TINY, "--over", over)).settings.over == {key: values}


def test_a_table_from_best_to_worst_and_the_choice_in_words(mnistlin):
    over = ("--over", "training.learning_rate=0.05,0.0001", "--over", "training.l2_lambda=0,0.1")
    result = mnistlin(*TINY, *over, "--seeds", "0-2")
    header, *rows = result.stdout.splitlines()[:5]
    assert header.split()[:3] == ["learning_rate", "l2_lambda", "runs"]
    accuracies = [float(row.split()[3]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "Best by mean validation accuracy" in result.stdout
    assert max(map(len, result.stdout.splitlines()[:6])) <= 90


def test_json_has_a_setting_for_each_row_and_the_choice(mnistlin):
    result = mnistlin(*TINY, "--over", "training.batch_size=10,20", "--json")
    found = json.loads(result.stdout)
    assert {each["batch_size"] for each in found["settings"]} == {10, 20}
    assert found["choice"]["best"].startswith("batch_size ")


def test_figures_are_drawn(mnistlin):
    arguments = [each for each in TINY if each != "--no-plots"]
    sweep = sweep_of(mnistlin(*arguments, "--over", "training.batch_size=10,20"))
    assert [path.name for path in (sweep.path / "plots").iterdir()] == ["choice.png"]
    assert mnistlin("plot", sweep.path, "--out", "again").stdout.splitlines() == [
        "again/choice.png"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--over", "training.batch_size"], ["KEY=VALUES"]),
        (["--over", "training.lr=1"], ["training.lr cannot be swept over"]),
        (["--over", "training.batch_size=0"], ["training.batch_size: found 0"]),
        (["--over", "training.learning_rate=0:1:3log"], ["cannot reach 0"]),
        (["--over", "training.seed=1,2"], ["--seeds"]),
        ([], ["--over"]),
    ],
)
def test_bad_input_is_exit_2_and_leaves_nothing(options, words, mnistlin, workplace):
    result = mnistlin(*TINY, *options)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert not (workplace / "runs").exists()


def test_an_unfinished_sweep_is_resumed(mnistlin):
    sweep = sweep_of(mnistlin(*TINY, "--over", "training.batch_size=10,20"))
    (sweep.members[10, 0].path / "weights.npz").unlink()
    (sweep.members[10, 0].path / "run.json").unlink()
    again = sweep_of(mnistlin("sweep", "--resume", sweep.path, "--no-plots"))
    assert len(again.members) == 2


@pytest.mark.parametrize("one", [("--seed", "7"), ("--set", "training.seed=7")])
@pytest.mark.parametrize("command", ["train", "sweep-lambda"])
def test_one_seed_and_a_list_of_seeds_exclude_each_other(command, one, mnistlin, workplace):
    """Neither is ignored, and nothing is trained."""
    result = mnistlin(command, "--config", "tiny.yaml", "--seeds", "0-2", *one)
    assert result.exit_code == 2
    assert "--seeds a list of them; choose one" in result.stderr
    assert not (workplace / "runs").exists()


def test_train_with_several_seeds_prints_means_and_intervals(mnistlin):
    result = mnistlin("train", "--config", "tiny.yaml", "--seeds", "0-2", "--no-plots")
    sweep = sweep_of(result)
    assert len(sweep.members) == 3
    (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == ["val_accuracy"]]
    mean, sd, low, high = map(float, line.split()[1:])
    assert low < mean < high
    assert sd > 0


def test_evaluating_a_member_on_the_test_set_is_warned_of(mnistlin):
    held_out = ("--set", "data.val_from=train", "--set", "data.val_size=50")
    sweep = sweep_of(mnistlin(*TINY, *held_out, "--over", "training.batch_size=10,20"))
    result = mnistlin("evaluate", sweep.members[10, 0].path, "--split", "test")
    assert result.exit_code == 0
    assert "too optimistic" in result.stderr


def test_runs_shows_the_accuracy_of_the_chosen_member(mnistlin):
    sweep = sweep_of(mnistlin(*TINY, "--over", "training.learning_rate=0.0001,0.05"))
    best = max(
        (run.summary for run in sweep.members.values()), key=lambda s: s["last_val_accuracy"]
    )
    (entry,) = json.loads(mnistlin("runs", "--json").stdout)["runs"]
    assert entry["summary"]["last_val_accuracy"] == best["last_val_accuracy"]
    assert f"{best['last_val_accuracy']:.4f}" in mnistlin("runs").stdout
    found = mnistlin("runs", "--filter", f"last_val_accuracy>{best['last_val_accuracy'] - 0.01}")
    assert sweep.path.name in found.stdout


def test_last_is_the_newest_sweep_that_can_be_resumed(mnistlin, monkeypatch):
    """One of which stacks failed, and neither a finished one nor one that diverged."""
    over = ("--over", "training.batch_size=10,20")

    def fail(_):
        raise MemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("mnistlin.sweep.workers.train", fail)
        failed = mnistlin(*TINY, *over)
    assert failed.exit_code == 5
    assert mnistlin(*TINY, *over).exit_code == 0
    assert mnistlin(*TINY, "--over", "training.l2_lambda=1e6,0").exit_code == 5
    again = sweep_of(mnistlin("sweep", "--resume", "@last", "--no-plots"))
    assert failed.stdout.splitlines()[-1] == f"run: {again.path}"
    none = mnistlin("sweep", "--resume", "@last")
    assert none.exit_code == 2
    assert "no unfinished sweeps" in none.stderr


def test_an_interrupted_sweep_draws_what_it_has_and_prints_how_to_resume_it(
    started, workplace, mnistlin
):
    """With `--jobs 2`, it does so in test_terminal."""
    over = ("--over", "training.batch_size=50,100", "--seeds", "0-1")
    after_a_stack = (signal.SIGINT, "mnistlin.runs.sweep_folder:SweepWriter", "add", 1)
    process = started("sweep", "--config", "tiny.yaml", *over, signal_after=after_a_stack)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "status: interrupted" in stdout
    (path,) = (workplace / "runs").iterdir()
    assert list((path / "plots").iterdir())
    (command,) = [line for line in stderr.splitlines() if line.startswith("resume with: ")]
    words = shlex.split(command.removeprefix("resume with: mnistlin "))
    assert mnistlin(*words, "--set", "training.epochs=1").exit_code == 2  # its config is fixed
    assert mnistlin(*words, "--no-plots").exit_code == 0
    assert load_sweep(path).status == "finished"


@pytest.mark.usefixtures("workplace")
def test_a_sweep_whose_log_nobody_reads_completes(workplace):
    """As in `mnistlin sweep ... 2>&1 >/dev/null | head -0`."""
    ours, theirs = os.pipe()
    os.close(ours)
    over = ("--over", "training.batch_size=10,20", "--over", "training.l2_lambda=1e6,0")
    done = subprocess.run(
        [sys.executable, "-m", "mnistlin", *TINY, *over, "--jobs", "2"],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=100,
        check=False,
    )
    os.close(theirs)
    (path,) = (workplace / "runs").iterdir()
    assert load_sweep(path).status == "partly_failed"  # of what diverged the log would have told
    assert len(load_sweep(path).members) == 4
    assert done.stdout.splitlines()[-1] == f"run: runs/{path.name}"
