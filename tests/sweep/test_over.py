"""Sweeps over any key: which members there are, who shares a stack, and what is refused."""

import numpy as np
import pytest

from mnistlin import run_experiment
from mnistlin.config import json_schema, load_config
from mnistlin.config.schema import is_whole, sweepable_keys
from mnistlin.errors import ConfigError
from mnistlin.runs.sweep_folder import member_names
from mnistlin.sweep import resume_sweep, run_sweep
from mnistlin.sweep.plan import STACK_WIDTH, tasks_of

RATES, LAMBDAS = "training.learning_rate", "training.l2_lambda"

VALUES = {
    "model": ["softmax", "logistic"],
    "data.classes": [[1, 7], [7, 2]],
    "data.train_size": [30, None],
    "data.val_size": [20, None],
    "training.epochs": [1, 2],
    "training.batch_size": [4, 8],
}
"""Two values of keys whose default does not fit the data of the tests."""


def two_values(key):
    """Return two values that the schema allows for a key."""
    section, _, name = key.partition(".")
    of_section = {"data": "DataConfig", "training": "TrainingConfig"}
    sections = json_schema()["$defs"]
    allowed = sections[of_section.get(section, "EarlyStoppingConfig")]["properties"][name]
    if "enum" in allowed:
        return allowed["enum"][:2]
    default = allowed["default"]
    others = {"boolean": not default, "integer": default + 1, "number": (default + 1) / 2}
    return [default, others[allowed["type"]]]


@pytest.fixture
def over_config(make_config):
    """Return a function that makes the config of a sweep over some keys."""

    def make(over, seeds=(0,), **options):
        sweep = {"over": over, "seeds": list(seeds)}
        return load_config(make_config(**options), {"sweep": sweep})

    return make


def contents(sweep):
    """Return what must be the same whichever workers train a sweep."""
    names = ("sweep.csv", "metrics.csv", "steps.csv", "weights.npz", "confusion.csv")
    files = [path for path in sweep.path.rglob("*") if path.name in names]
    return {str(path.relative_to(sweep.path)): path.read_bytes() for path in files}


@pytest.mark.parametrize("key", sweepable_keys())
def test_every_key_of_the_schema_can_be_swept_over(key, over_config, dataset, tmp_path):
    values = VALUES.get(key)
    options = {"epochs": 1}
    if key == "data.dataset":
        (tmp_path / "other").symlink_to(dataset)
        values = [str(dataset), str(tmp_path / "other")]
    elif key == "training.skip_orders":
        options["order"] = "legacy"
    elif key in {"model", "data.classes"}:
        options["data"] = {"classes": [1, 7]}
    elif key in {"data.val_from", "data.train_rows"}:
        options["data"] = {"train_size": 30, "val_size": 20}
    sweep = run_sweep(over_config({key: values or two_values(key)}, **options), tmp_path / "runs")
    assert sweep.status == "finished"
    assert len(sweep.members) == 2
    (column, *_), *rows = [
        line.split(",") for line in (sweep.path / "sweep.csv").read_text().splitlines()
    ]
    assert column == key.rpartition(".")[2]
    assert len({row[0] for row in rows}) == 2


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("training.seed", "--seeds"),
        ("training.checkpoint_seconds", "no effect"),
        ("name", "no effect"),
        ("training.learning_rat", "did you mean training.learning_rate"),
    ],
)
def test_keys_that_make_no_difference_are_refused_with_a_reason(key, reason, over_config):
    with pytest.raises(ConfigError, match=reason):
        over_config({key: [1, 2]})


def test_a_rate_and_lambda_grid_is_one_stack_and_its_members_are_those_trained_alone(
    over_config, tmp_path
):
    config = over_config({RATES: [0.05, 0.1, 0.2], LAMBDAS: [0.0, 0.01, 0.1]}, epochs=10)
    assert len(tasks_of(config)) == 1
    sweep = run_sweep(config, tmp_path)
    assert len(sweep.members) == 9
    for (rate, l2_lambda, _), run in sweep.members.items():
        assert (run.config.training.learning_rate, run.config.training.l2_lambda) == (
            rate,
            l2_lambda,
        )
        alone = run_experiment(run.config, tmp_path / "alone")
        for name, column in alone.metrics.items():
            np.testing.assert_allclose(run.metrics[name], column, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(run.weights["last"], alone.weights["last"], rtol=0, atol=1e-12)


def test_members_that_differ_in_other_keys_are_tasks_of_their_own(over_config):
    over = {"training.batch_size": [4, 8], LAMBDAS: [0.0, 0.1]}
    tasks = tasks_of(over_config(over, seeds=(0, 1)))
    found = [
        {(config.training.batch_size, config.training.seed) for config in t.configs} for t in tasks
    ]
    assert found == [{(4, 0)}, {(8, 0)}, {(4, 1)}, {(8, 1)}]


def test_no_stack_is_wider_than_allowed(over_config):
    over = {RATES: [0.01 * i for i in range(1, 8)], LAMBDAS: [0.01 * i for i in range(7)]}
    widths = [len(task.keys) for task in tasks_of(over_config(over))]
    assert sum(widths) == 49
    assert max(widths) <= STACK_WIDTH


def test_the_bytes_do_not_depend_on_who_trains_nor_on_interruptions(
    over_config, after_stacks, tmp_path
):
    config = over_config({"training.batch_size": [4, 8], RATES: [0.1, 0.2]}, seeds=(0, 1))
    expected = contents(run_sweep(config, tmp_path / "one"))
    assert contents(run_sweep(config, tmp_path / "two", jobs=2)) == expected
    partly = run_sweep(config, tmp_path / "three", after_stacks(2))
    assert partly.status == "interrupted"
    assert contents(resume_sweep(partly.path)) == expected


def test_folders_are_named_by_the_last_part_of_the_keys(over_config):
    over = {RATES: [0.01], LAMBDAS: [0.1], "data.classes": [[2, 3]], "training.shuffle": [True]}
    (name,) = member_names(over_config(over).sweep).values()
    assert name == "learning_rate-0.01_lambda-0.1_classes-2-3_shuffle-yes_seed-0"


def test_folders_whose_names_would_be_equal_are_numbered(over_config):
    over = {"data.dataset": ["my data", "my/data", "a" * 60, "a" * 70]}
    names = list(member_names(over_config(over).sweep).values())
    assert names[:2] == ["dataset-my-data_seed-0", "dataset-my-data_seed-0-2"]
    assert len(set(names)) == 4


def test_impossible_combinations_are_reported_together_before_anything_runs(over_config, tmp_path):
    over = {"model": ["softmax", "logistic"], "data.classes": [None, [1, 2], [1, 2, 7]]}
    with pytest.raises(ConfigError) as caught:
        run_sweep(over_config(over), tmp_path / "runs")
    assert "model logistic, classes all" in str(caught.value)
    assert "model logistic, classes 1 2 7" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_combinations_that_do_not_fit_the_data_are_reported_together(over_config, tmp_path):
    over = {"training.batch_size": [8, 70], "data.train_size": [20, 90]}
    with pytest.raises(ConfigError) as caught:
        run_sweep(over_config(over), tmp_path / "runs")
    assert "training.batch_size: found 70" in str(caught.value)
    assert "data.train_size: found 90" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_seeds_need_members_whose_order_depends_on_them(over_config):
    with pytest.raises(ConfigError, match="shuffle no"):
        tasks_of(over_config({"training.shuffle": [True, False]}, seeds=(0, 1)))


def test_sampled_rows_are_drawn_anew_for_each_seed(over_config, tmp_path):
    data = {"train_rows": "sample", "train_size": 30, "val_size": 20}
    config = over_config({}, seeds=(0, 1), shuffle=False, data=data)
    first, second = run_sweep(config, tmp_path).members.values()
    assert first.info.data.splits.train != second.info.data.splits.train


def test_seeds_alone_are_a_sweep(over_config, tmp_path):
    sweep = run_sweep(over_config({}, seeds=(0, 1, 2)), tmp_path)
    assert [run.path.name for run in sweep.members.values()] == ["seed-0", "seed-1", "seed-2"]


def test_whole_numbers_are_told_from_others():
    assert is_whole("data.train_size")
    assert is_whole("early_stopping.patience")
    assert not any(map(is_whole, [RATES, "data.classes", "model", "data.dataset", "nonsense.key"]))
