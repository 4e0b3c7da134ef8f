"""checkpoint.npz: what is saved comes back, bit for bit, or is refused."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from mnistlin import RunError
from mnistlin.config import EarlyStoppingConfig
from mnistlin.runs.arrays import npz_bytes
from mnistlin.runs.checkpoint import Checkpoint, TableEnd, load_checkpoint, save_checkpoint
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, csv_text
from mnistlin.training.segments import Check, EarlyStoppingState, MemberState


@pytest.fixture
def setup(make_setup):
    """Return a setup of 3 epochs of 5 steps, a check after each."""
    return make_setup(stopping=EarlyStoppingConfig())


@pytest.fixture
def checkpoint(setup, tmp_path):
    """Return a checkpoint before epoch 2, whose rows are in the folder."""
    rng = np.random.default_rng(0)
    weights, last, best = rng.normal(size=(3, *setup.weights_shape))
    state = replace(
        MemberState.starting_at(weights),
        last=last,
        best=best,
        best_loss=0.1 + 0.2,
        early_stopping=EarlyStoppingState(math.inf, 7),
    )
    steps = range(10)
    checks = tuple(Check(step, step // 5, *rng.random(6), 0) for step in steps)
    batches = [(step, step // 5, 1 / 3) for step in steps]
    tables = {
        "metrics.csv": csv_text([METRICS_COLUMNS, *checks]),
        "steps.csv": csv_text([STEPS_COLUMNS, *batches]),
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    ends = (
        TableEnd(len(text), hashlib.sha256(text.encode()).hexdigest()) for text in tables.values()
    )
    return Checkpoint(2, state, *ends, 1.5, checks)


def test_what_is_saved_comes_back_bit_for_bit(checkpoint, setup, tmp_path):
    """Weights, losses (infinite ones too), counts, lengths, time; and the checks from the table."""
    save_checkpoint(tmp_path, checkpoint)
    loaded = load_checkpoint(tmp_path, setup)
    for name in ("weights", "last", "best"):
        found, expected = getattr(loaded.state, name), getattr(checkpoint.state, name)
        assert (found.tobytes(), found.dtype) == (expected.tobytes(), expected.dtype)
    assert loaded.state.best_loss == checkpoint.state.best_loss
    assert loaded.state.early_stopping == checkpoint.state.early_stopping
    assert replace(loaded, state=None) == replace(checkpoint, state=None)


def test_a_checkpoint_replaces_the_one_before_it_or_leaves_it(
    checkpoint, setup, tmp_path, monkeypatch
):
    """If writing fails half-way, the older one is still there, and nothing else."""
    save_checkpoint(tmp_path, checkpoint)
    names = sorted(path.name for path in tmp_path.iterdir())

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RunError, match="No space left"):
        save_checkpoint(tmp_path, replace(checkpoint, epoch=1))
    assert load_checkpoint(tmp_path, setup).epoch == checkpoint.epoch
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_any_flipped_bit_is_noticed_or_does_not_matter(checkpoint, setup, tmp_path):
    """Whatever byte is damaged, what is loaded is what was saved."""
    save_checkpoint(tmp_path, checkpoint)
    path = tmp_path / "checkpoint.npz"
    content = path.read_bytes()
    n_refused = 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            loaded = load_checkpoint(tmp_path, setup)
        except RunError as error:
            n_refused += "checkpoint.npz" in str(error)
        else:
            assert loaded.state.weights.tobytes() == checkpoint.state.weights.tobytes()
            assert replace(loaded, state=None) == replace(checkpoint, state=None)
    assert n_refused > 100


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": np.int64(3)},  # the last is 2
        {"epoch": np.int64(-1)},
        {"epoch": np.float64(2)},
        {"train_seconds": np.float64(math.nan)},
        {"weights": np.zeros((13, 3), np.float32)},
        {"weights": np.zeros((3, 13))},
        {"metrics_bytes": np.int64(2**62)},
        {"steps_bytes": np.int64(1)},
        {"steps_bytes": np.int64(-1)},
        {"epoch": np.int64(1)},  # has fewer rows
        {"epoch": np.int64(0)},  # has none
        {"steps_sha256": np.zeros(32, np.uint8)},
        {"metrics_sha256": np.zeros(32, np.uint8)},
        {"metrics_sha256": np.zeros(31, np.uint8)},
    ],
    ids=str,
)
def test_a_checkpoint_that_does_not_fit_is_refused(change, checkpoint, setup, tmp_path):
    """Numbers that the run cannot have, or that its tables contradict."""
    save_checkpoint(tmp_path, checkpoint)
    path = tmp_path / "checkpoint.npz"
    with np.load(path) as archive:
        path.write_bytes(npz_bytes(**(dict(archive) | change)))
    with pytest.raises(RunError, match=r"\.(npz|csv)"):
        load_checkpoint(tmp_path, setup)
