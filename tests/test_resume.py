"""Interrupted runs resume, bit-identical to an uninterrupted run, or are left unchanged."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from mnistlin import DataError, RunError, load_run, run_experiment
from mnistlin.experiment import resume_experiment
from mnistlin.runs.files import sole_writer

ONE_EPOCH_A_LEG = {"patience": 10_000}
RESULTS = ("metrics.csv", "steps.csv", "weights.npz", "confusion.csv")


@pytest.fixture
def config_of(make_config):
    """Return a function that makes a config with short legs, a checkpoint after each."""

    def make(model="softmax", early_stopping=ONE_EPOCH_A_LEG, **options):
        how = {"epochs": 6, "checkpoint_seconds": 0.0, **options}
        return make_config(model, early_stopping=early_stopping, **how)

    return make


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory):
    """Return a function that trains a run to its end, once for each config and epochs.

    It also returns, for each of the epochs, what the run would leave behind if it were killed then.
    """
    known = {}

    def train(config, *epochs):
        key = config.model_dump_json(), epochs
        if key not in known:
            folder = tmp_path_factory.mktemp("left-behind")

            def copy_run(progress):
                if progress.epoch in epochs:
                    (path,) = (folder / "whole").iterdir()
                    shutil.copytree(path, folder / f"killed-{progress.epoch}")

            whole = run_experiment(config, folder / "whole", copy_run)
            known[key] = whole, [folder / f"killed-{epoch}" for epoch in epochs]
        return known[key]

    return train


@pytest.fixture
def killed(left_behind, tmp_path):
    """Return a function that returns what a run that is killed during an epoch leaves behind."""

    def kill(config, epoch):
        _, (folder,) = left_behind(config, epoch)
        return shutil.copytree(folder, tmp_path / f"killed-{config.model}-{epoch}")

    return kill


def results(folder):
    """Return all that must be the same in two runs of one config."""
    files = {name: (folder / name).read_bytes() for name in RESULTS}
    summary = json.loads((folder / "summary.json").read_text())
    return files | {"summary": {**summary, "train_seconds": None}}


def contents(folder):
    """Return every file of a folder with its bytes, but for the mark of a lock."""
    paths = [path for path in sorted(folder.rglob("*")) if path.name != ".lock"]
    return {path: path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": None, "epochs": 60, "l2_lambda": 0.01},
        {"model": "logistic", "dtype": "float32"},
        {"model": "logistic", "early_stopping": None, "epochs": 60, "shuffle": False},
        {"early_stopping": {"patience": 3, "min_delta": 0.01}, "epochs": 100},
        {"learning_rate": 10.0},  # so that the best check comes early
        {"order": "legacy", "skip_orders": 2, "seed": 2**32 - 1, "epochs": 60},
        {"order": "legacy", "data": {"train_size": 40, "train_rows": "sample"}, "epochs": 60},
    ],
    ids=str,
)
def test_a_killed_run_resumes_to_the_bytes_of_an_unbroken_one(options, config_of, left_behind):
    """In its first epochs or in its last: rows after the checkpoint are trained again."""
    config = config_of(**options)
    whole, _ = left_behind(config)
    last = int(whole.steps["epoch"][-1])
    unbroken, folders = left_behind(config, 0, 1, last)
    for folder in folders:
        assert load_run(folder).status == "running"
        resumed = resume_experiment(folder)
        assert resumed.status == unbroken.status
        assert results(resumed.path) == results(unbroken.path)
        assert not (folder / "checkpoint.npz").exists()


def test_a_run_that_is_interrupted_again_and_again_comes_to_the_same_end(config_of, tmp_path):
    """Each time it continues with the very next epoch."""
    config = config_of()
    unbroken = run_experiment(config, tmp_path)
    run = run_experiment(config, tmp_path, lambda _: True)
    while run.status == "interrupted":
        run = resume_experiment(run.path, lambda _: True)
    assert run.status == "finished"
    assert [entry.epoch for entry in run.info.resumed] == [1, 2, 3, 4, 5]
    assert results(run.path) == results(unbroken.path)


def test_a_run_that_failed_resumes(config_of, tmp_path):
    """An exception in the caller's hook marks the run as failed, and it can be resumed."""

    def fail(progress):
        if progress.epoch == 3:
            raise ZeroDivisionError

    config = config_of()
    with pytest.raises(ZeroDivisionError):
        run_experiment(config, tmp_path / "failed", fail)
    (folder,) = (tmp_path / "failed").iterdir()
    assert load_run(folder).status == "failed"
    resumed = resume_experiment(folder)
    assert results(resumed.path) == results(run_experiment(config, tmp_path).path)


@pytest.mark.parametrize("name", ["metrics.csv", "steps.csv"])
def test_what_was_written_after_the_checkpoint_is_cut_off(name, config_of, killed, tmp_path):
    """Be it half a line, other rows, or the zeros that a power cut leaves."""
    config = config_of()
    expected = results(run_experiment(config, tmp_path).path)
    folder = killed(config, 3)
    for tail in (b"21,3,0.2", b"21,3,nonsense\n", b"\0" * 5000):
        copy = shutil.copytree(folder, tmp_path / f"{name}-{len(tail)}")
        with (copy / name).open("ab") as file:
            file.write(tail)
        assert results(resume_experiment(copy).path) == expected


def test_what_a_killed_process_was_writing_is_cleared_away(config_of, killed):
    """Its temporary files are removed, as is its lock file."""
    folder = killed(config_of(), 3)
    (folder / ".weights.npz.123.tmp").write_bytes(b"half")
    (folder / ".lock").touch()
    resume_experiment(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_lock_that_is_a_link_leads_nowhere(config_of, killed, tmp_path):
    """In a folder from elsewhere it may point to any file of the user; that file is not opened."""
    folder, precious = killed(config_of(), 3), tmp_path / "precious"
    precious.write_text("precious")
    (folder / ".lock").unlink(missing_ok=True)
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(RunError, match="cannot lock"):
        resume_experiment(folder)
    assert precious.read_text() == "precious"


def test_run_json_tells_of_each_resumption(config_of, killed, monkeypatch):
    """Which epoch, when, by what command, and what changed since the run began."""
    folder = killed(config_of(), 3)
    before = load_run(folder).info
    monkeypatch.setattr("platform.python_version", lambda: "99.0")
    run = resume_experiment(folder)
    (entry,) = run.info.resumed
    assert (entry.epoch, entry.changed) == (3, {"python": (before.python, "99.0")})
    assert run.info.started_utc == before.started_utc <= entry.started_utc
    assert run.info.python == before.python


def test_train_seconds_count_all_parts_of_a_run(config_of, tmp_path, monkeypatch):
    """What was trained before the checkpoint counts too."""
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))
    run = run_experiment(config_of(), tmp_path, lambda progress: progress.epoch == 2)
    before = run.summary["train_seconds"]
    assert resume_experiment(run.path).summary["train_seconds"] > before > 0


def test_at_the_default_a_short_run_has_one_checkpoint(config_of, killed):
    """It is written before the first epoch, so even a run that is killed at once can be resumed."""
    folder = killed(config_of(checkpoint_seconds=5), 4)
    assert resume_experiment(folder).info.resumed[0].epoch == 0


STACK = {"sweep": "20260114T093012Z_sweep-lambda_x", "l2_lambdas": [0], "seed": 0}


def drop(name):
    """Return a function that removes a file of a folder."""
    return lambda folder: (folder / name).unlink()


def cut(name, length):
    """Return a function that cuts off the end of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def edit(name, old, new):
    """Return a function that replaces a text in a file."""

    def replace(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return replace


def bend_checkpoint(folder):
    """Change one bit of the first weight in the checkpoint."""
    content = bytearray((folder / "checkpoint.npz").read_bytes())
    content[content.index(b"\n") + 1] ^= 1
    (folder / "checkpoint.npz").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop("run.json"), ["is not a run folder"]),
        (drop("checkpoint.npz"), ["has no checkpoint.npz", "train --config"]),
        (cut("checkpoint.npz", 1000), ["checkpoint.npz is damaged", "train --config"]),
        (bend_checkpoint, ["checkpoint.npz is damaged", "train --config"]),
        (drop("metrics.csv"), ["metrics.csv"]),
        (cut("metrics.csv", 300), ["metrics.csv"]),
        (cut("steps.csv", 20), ["steps.csv"]),
        (edit("steps.csv", "step,epoch", "steps,epoch"), ["steps.csv", "rows"]),
        (edit("steps.csv", "\n8,1,", "\n9,1,"), ["steps.csv", "rows", "train --config"]),
        (edit("metrics.csv", ",0.", ",1."), ["metrics.csv", "rows", "train --config"]),
        (edit("config.yaml", "learning_rate: 0.1", "learning_rate: 0.2"), ["from 0.1 to 0.2"]),
        (edit("config.yaml", "epochs: 6", "epochs: 7"), ["training.epochs from 6 to 7", "undo"]),
        (edit("config.yaml", "epochs", "epoch"), ["damaged", "did you mean training.epochs?"]),
        (edit("run.json", '"running"', '"finished"'), ["has ended (finished)", "replay"]),
        (edit("run.json", '"running"', '"early_stopped"'), ["has ended (early_stopped)"]),
        (edit("run.json", '"running"', '"diverged"'), ["has ended (diverged)"]),
        (
            edit("run.json", '"stack": null', f'"stack": {json.dumps(STACK)}'),
            ["mnistlin sweep --resume"],
        ),
    ],
)
def test_what_cannot_be_resumed_is_left_as_it_is(damage, words, config_of, killed):
    """The message says what is in the way, and not a byte of the folder changes."""
    folder = killed(config_of(), 3)
    damage(folder)
    before = contents(folder)
    with pytest.raises(RunError) as caught:
        resume_experiment(folder)
    assert all(word in str(caught.value) for word in words), caught.value
    assert contents(folder) == before


def test_the_checkpoint_of_another_run_is_refused(config_of, killed):
    """Weights of another shape or type are not taken."""
    logistic, softmax = killed(config_of("logistic"), 2), killed(config_of(), 3)
    shutil.copy(logistic / "checkpoint.npz", softmax)
    before = contents(softmax)
    with pytest.raises(RunError, match="expected"):
        resume_experiment(softmax)
    assert contents(softmax) == before


def test_other_data_is_refused(config_of, killed, dataset, tmp_path):
    """A run that began with other images is not resumed with these."""
    copy = shutil.copytree(dataset, tmp_path / "copy")
    folder = killed(config_of(data={"dataset": str(copy)}), 3)
    images = copy / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\7")
    before = contents(folder)
    with pytest.raises(DataError, match=r"data\.splits\.val\.images_sha256"):
        resume_experiment(folder)
    assert contents(folder) == before


def hold_lock(folder, is_held, may_end):
    """Be another process that writes a folder."""
    with sole_writer(folder):
        is_held.set()
        may_end.wait(60)


def test_two_processes_do_not_write_one_run(config_of, killed):
    """While another process holds the lock, resuming is refused; once it has ended, it works."""
    folder = killed(config_of(), 3)
    spawn = multiprocessing.get_context("spawn")
    is_held, may_end = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold_lock, args=(folder, is_held, may_end))
    other.start()
    assert is_held.wait(60)
    before = contents(folder)
    with pytest.raises(RunError, match="another process is writing"):
        resume_experiment(folder)
    assert contents(folder) == before
    other.kill()
    other.join()
    assert resume_experiment(folder).status == "finished"


def test_a_run_is_locked_while_it_goes(config_of, tmp_path):
    """Nobody resumes a run that is still being trained."""
    refusals = []

    def resume_meanwhile(_):
        (folder,) = Path(tmp_path / "runs").iterdir()
        with pytest.raises(RunError) as caught:
            resume_experiment(folder)
        refusals.append(str(caught.value))

    run_experiment(config_of(epochs=1), tmp_path / "runs", resume_meanwhile)
    assert len(refusals) == 1
    assert "another process is writing" in refusals[0]
