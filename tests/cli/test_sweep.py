"""`mnistlin sweep`: values on the command line, results, and errors."""

import json

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
