"""A run that is trained again is bit-identical; if it is not, the difference is reported."""

import json
import shutil

import numpy as np
import pytest

from mnistlin import RunError, load_run, run_experiment
from mnistlin.analysis.replay import replay, stack_of
from mnistlin.config import SweepConfig, load_config
from mnistlin.experiment import resume_experiment
from mnistlin.sweep import run_sweep


@pytest.fixture
def run(make_config, tmp_path):
    """Return a finished run."""
    return run_experiment(make_config(), tmp_path / "runs")


def info_changed(run, **values):
    """Return a run after values in its run.json were set."""
    info = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(info | values))
    return load_run(run.path)


def unverified(run):
    """Return a run without recorded hashes, as version 0.1.0 wrote it: any file may differ."""
    return info_changed(run, files=None)


def edited(run, name, old, new, count=-1):
    """Return an unverified run after a text in one of its files was replaced."""
    path = run.path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, count))
    return unverified(run)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "logistic", "dtype": "float32", "shuffle": False},
        {"early_stopping": {"patience": 2, "min_delta": 0.05}, "epochs": 50},
        {"learning_rate": 1e9},
        {"l2_lambda": 0.1, "epochs": 40},
    ],
    ids=str,
)
def test_a_run_is_repeated_bit_for_bit(options, make_config, tmp_path):
    """Whether it finished, stopped early or diverged; nothing differs, nothing changed."""
    result = replay(run_experiment(make_config(**options), tmp_path))
    assert result.is_identical
    assert (result.first, result.largest_weight_difference, result.changed) == (None, 0, {})


def test_a_run_that_was_resumed_is_repeated_too(make_config, tmp_path):
    """Its bits are those of an unbroken run."""
    config = make_config(epochs=40, checkpoint_seconds=0.0)
    broken_off = run_experiment(config, tmp_path, lambda _: True)
    assert replay(resume_experiment(broken_off.path)).is_identical


def test_a_member_of_a_sweep_is_repeated_in_its_stack(make_config, tmp_path):
    """Each of them, though some leave the stack before others."""
    settings = SweepConfig(l2_lambdas=(1.0, 0.1, 0.0), seeds=(0, 3))
    config = make_config(early_stopping={"patience": 3, "min_delta": 0.02}, epochs=30)
    sweep = run_sweep(config.model_copy(update={"sweep": settings}), tmp_path)
    assert len(sweep.members) == 6
    assert len({run.steps["step"][-1] for run in sweep.members.values()}) > 1
    for (_, seed), member in sweep.members.items():
        found = tuple(each.training.l2_lambda for each in stack_of(member))
        assert found == settings.l2_lambdas
        assert {each.training.seed for each in stack_of(member)} == {seed}
        assert replay(member).is_identical


def test_a_member_of_a_sweep_over_rates_is_repeated_with_its_own(make_config, tmp_path):
    over = {"training.learning_rate": [0.1, 0.2], "training.l2_lambda": [0.1, 0.0]}
    sweep = run_sweep(load_config(make_config(), {"sweep": {"over": over}}), tmp_path)
    for member in sweep.members.values():
        found = tuple(each.training.learning_rate for each in stack_of(member))
        assert found == (0.1, 0.1, 0.2, 0.2)
        assert replay(member).is_identical


def test_nothing_is_written(run):
    """The folder of the run is as it was, and nothing is beside it."""
    before = {path: path.stat().st_mtime_ns for path in run.path.parent.rglob("*")}
    replay(run)
    assert {path: path.stat().st_mtime_ns for path in run.path.parent.rglob("*")} == before


def test_the_first_difference_is_told_with_step_and_column(run):
    """A value in the middle of metrics.csv was changed by a hair."""
    value = repr(float(run.metrics["val_loss"][9]))
    changed = float(np.nextafter(float(value), 1))
    result = replay(edited(run, "metrics.csv", value, repr(changed)))
    assert result.differing == ("metrics.csv",)
    assert (result.first.step, result.first.column) == (run.metrics["step"][9], "val_loss")
    assert (result.first.file, result.first.before) == ("metrics.csv", changed)
    assert result.first.now == float(value)


def test_of_two_tables_the_lower_step_is_told(run):
    """steps.csv differs from step 3 on, metrics.csv from step 20 on."""
    edited(run, "metrics.csv", "\n20,", "\n21,", 1)
    result = replay(edited(run, "steps.csv", "\n3,0,", "\n3,0,1", 1))
    assert result.differing == ("metrics.csv", "steps.csv")
    assert (result.first.file, result.first.step) == ("steps.csv", 3)
    assert result.first.column == "batch_loss"


@pytest.mark.parametrize(("n_rows", "before", "now"), [(-1, None, 27), (1, 28, None)])
def test_a_row_too_few_or_too_many_is_a_difference(n_rows, before, now, run):
    """Told at its step, with None where there is no such row."""
    path = run.path / "steps.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1] if n_rows < 0 else [*lines, "28,4,0.5\n"]))
    first = replay(unverified(run)).first
    assert (first.step, first.column) == (27 if n_rows < 0 else 28, "step")
    assert (first.before, first.now) == (before, now)


def test_numbers_that_are_written_otherwise_are_other_bits(run):
    """No number differs, but the file does."""
    result = replay(edited(run, "metrics.csv", "0,0,", "0,00,", 1))
    assert (result.differing, result.first) == (("metrics.csv",), None)


def test_other_weights_are_told_by_the_largest_difference(run):
    """One weight of `best` is a hundredth larger."""
    weights = {name: W.copy() for name, W in run.weights.items()}
    weights["best"][3, 1] += 0.01
    np.savez(run.path / "weights.npz", **weights)
    result = replay(unverified(run))
    assert result.differing == ("weights.npz",)
    assert result.largest_weight_difference == pytest.approx(0.01, rel=1e-3)


def test_what_may_explain_a_difference_is_told(make_config, dataset, tmp_path, monkeypatch):
    """Versions, processor, data and config, each as it was and as it is now."""
    copy = shutil.copytree(dataset, tmp_path / "copy")
    run = run_experiment(make_config(data={"dataset": str(copy)}), tmp_path)
    images = copy / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\7")
    monkeypatch.setattr("platform.python_version", lambda: "99.0")
    cpu = run.info.cpu
    run = info_changed(edited(run, "config.yaml", "epochs: 4", "epochs: 5"), cpu="Z80")
    changed = replay(run).changed
    assert changed["python"] == (run.info.python, "99.0")
    assert changed["cpu"] == ("Z80", cpu)
    assert changed["config.training.epochs"] == (4, 5)
    assert "data.splits.train.images_sha256" in changed
    assert "data.splits.train.labels_sha256" not in changed


def test_a_replay_can_be_ended(make_config, tmp_path):
    """After a segment, if the caller wants it; there is no result then."""
    run = run_experiment(make_config(early_stopping={"patience": 999}), tmp_path)
    segments = []
    assert replay(run, lambda epochs: segments.append(epochs) or len(segments) == 2) is None
    assert segments == [range(1), range(1, 2)]


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_unfinished_run_has_nothing_to_compare_with(status, run):
    """The message says how to resume it."""
    with pytest.raises(RunError, match=r"train --resume"):
        replay(info_changed(run, status=status))


@pytest.mark.parametrize("name", ["metrics.csv", "steps.csv", "weights.npz"])
def test_damage_is_told_before_anything_is_trained(name, run, monkeypatch):
    """A long run need not be trained again to learn that there is nothing to compare with."""
    monkeypatch.setattr("mnistlin.analysis.replay.train_stack", pytest.fail)
    (run.path / name).write_bytes(b"damaged")
    with pytest.raises(RunError, match=name):
        replay(unverified(run))


@pytest.mark.parametrize("name", ["metrics.csv", "steps.csv", "weights.npz", "summary.json"])
def test_a_modified_run_is_refused_and_can_be_trained_again(name, run, monkeypatch):
    content = bytearray((run.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run.path / name).write_bytes(content)
    config = run.path / "config.yaml"
    with monkeypatch.context() as patched:
        patched.setattr("mnistlin.analysis.replay.train_stack", pytest.fail)
        with pytest.raises(RunError, match=f"modified since it ended: {name}") as caught:
            replay(load_run(run.path))
    assert f"`mnistlin train --config {config}`" in str(caught.value)
    assert replay(run_experiment(config, run.path.parent)).is_identical


@pytest.mark.parametrize(
    "stack",
    [
        [],
        "stack",
        {},
        {"l2_lambdas": [0.5, 0.1], "seed": 0},
        {"l2_lambdas": [0.0, 0.1], "seed": 1},
        {"l2_lambdas": [0.0, -0.1], "seed": 0},
        {"l2_lambdas": [0.0, float("nan")], "seed": 0},
        {"l2_lambdas": [0.0, float("inf")], "seed": 0},
        {"l2_lambdas": [0.0, "0.1"], "seed": 0},
        {"l2_lambdas": [0.0, True], "seed": 0},
        {"l2_lambdas": [0.0, 10**400], "seed": 0},
        {"l2_lambdas": [0.0] * 100_000, "seed": 0},
        {"l2_lambdas": 0.0, "seed": 0},
    ],
    ids=lambda stack: str(stack)[:40],
)
def test_a_stack_that_cannot_be_is_refused(stack, run, monkeypatch):
    """run.json may come from a stranger: no run is in a stack without it, of millions, of -1."""
    monkeypatch.setattr("mnistlin.analysis.replay.train_stack", pytest.fail)
    with pytest.raises(RunError, match="stack"):
        replay(info_changed(run, stack=stack))


def test_a_run_can_be_replayed_from_elsewhere(run, tmp_path):
    """The location of its folder does not matter."""
    moved = shutil.move(run.path, tmp_path / "moved")
    assert replay(load_run(moved)).is_identical
