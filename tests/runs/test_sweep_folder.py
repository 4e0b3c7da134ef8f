"""The folder of a sweep: names, the table, and what is refused."""

import csv
import json
import shutil

import pytest

from mnistlin.config import SweepConfig
from mnistlin.errors import RunError
from mnistlin.runs.index import find_runs
from mnistlin.runs.sweep_folder import load_sweep, member_names
from mnistlin.sweep import run_sweep


@pytest.fixture
def sweep(make_config, tmp_path):
    """Return a finished sweep whose λ and seeds are in no order."""
    settings = SweepConfig(l2_lambdas=(0.0, 1.0, 0.25), seeds=(7, 3))
    return run_sweep(make_config().model_copy(update={"sweep": settings}), tmp_path / "runs")


@pytest.mark.parametrize(
    ("l2_lambda", "name"),
    [
        (0.0, "lambda-0_seed-3"),
        (-0.0, "lambda-0_seed-3"),
        (1.0, "lambda-1_seed-3"),
        (0.01, "lambda-0.01_seed-3"),
        (1e-7, "lambda-1e-07_seed-3"),
        (1e22, "lambda-1e22_seed-3"),
        (0.1 + 0.2, "lambda-0.30000000000000004_seed-3"),
    ],
)
def test_a_member_is_named_by_lambda_and_seed(l2_lambda, name):
    """Shortly, with no letter that a file system minds, and differently if λ differ at all."""
    sweep = SweepConfig(l2_lambdas=[l2_lambda], seeds=[3])
    assert list(member_names(sweep).values()) == [name]


def test_the_table_has_a_row_for_each_member_in_the_order_of_the_config(sweep):
    """Its numbers are those of the member's summary."""
    with (sweep.path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["l2_lambda"]), int(row["seed"])) for row in rows] == list(sweep.members)
    assert list(sweep.members) == [
        (l2_lambda, seed) for l2_lambda in (0.0, 1.0, 0.25) for seed in (7, 3)
    ]
    for row, run in zip(rows, sweep.members.values(), strict=True):
        assert (row["run"], row["status"]) == (run.path.name, "finished")
        assert float(row["weight_norm"]) == run.summary["last_weight_norm"]
        assert int(row["stop_epoch"]) == run.summary["stop_epoch"]
        for name in ("last_val_accuracy", "best_val_loss", "last_train_loss"):
            assert float(row[name]) == run.summary[name]


def test_sweep_json_says_what_run_json_says_of_a_run(sweep):
    """Status, times, command, versions, machine, and the hashes of the data."""
    info = json.loads((sweep.path / "sweep.json").read_text())
    (run, *_) = sweep.members.values()
    assert info["status"] == "finished"
    assert set(run.info.model_dump()) - set(info) == {"stack", "files"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sweep.json", None),
        ("sweep.json", "{"),
        ("sweep.json", "[]"),
        ("sweep.json", '{"status": "asleep"}'),
        ("config.yaml", None),
        ("config.yaml", "model: softmax"),
        ("config.yaml", "model: nothing"),
    ],
)
def test_what_is_not_the_folder_of_a_sweep_is_refused(name, content, sweep):
    """The message names the folder."""
    (sweep.path / name).unlink()
    if content is not None:
        (sweep.path / name).write_text(content)
    with pytest.raises(RunError, match=sweep.path.name):
        load_sweep(sweep.path)


def test_members_that_are_not_complete_do_not_count(sweep):
    """Neither a missing folder, nor a run that has not ended, nor a damaged one."""
    gone, running, damaged, *others = sweep.members
    shutil.rmtree(sweep.members[gone].path)
    info = sweep.members[running].info.updated(status="running", files=None)
    (sweep.members[running].path / "run.json").write_text(info.model_dump_json())
    (sweep.members[damaged].path / "config.yaml").write_text("")
    assert list(load_sweep(sweep.path).members) == others


def test_a_sweep_is_listed_as_one_line(sweep):
    """Its members are not listed; a damaged sweep is."""
    (entry,) = find_runs(sweep.path.parent)
    assert (entry.path, entry.name, entry.status) == (sweep.path, "tiny", "finished")
    (sweep.path / "sweep.json").write_text("{")
    (entry,) = find_runs(sweep.path.parent)
    assert entry.status == "damaged"
