"""Part 4 of the report, from the real MNIST; skipped where MNISTLIN_DATA_DIR leads to none."""

import os

import pytest

from mnistlin import load_config
from mnistlin.data.splits import load_splits
from mnistlin.errors import DataError
from mnistlin.sweep import run_sweep

pytestmark = pytest.mark.no_cover  # slow, and other tests reach the same lines

DATA_DIR = os.environ.get("MNISTLIN_DATA_DIR")
PUBLISHED = {
    1.0: (0.812, 0.010, 0.603),
    0.1: (0.8826, 0.002, 1.656),
    0.01: (0.9096, 0.001, 3.302),
    0.001: (0.916, 0.001, 4.617),
    0.0: (0.916, 0.001, 4.894),
}
"""Of each λ: validation accuracy at the end, how exactly it is known, and the weight norm."""


@pytest.fixture
def config(monkeypatch):
    """Return the report's own sweep, or skip."""
    if not DATA_DIR:
        pytest.skip("MNISTLIN_DATA_DIR is not set: the real MNIST is needed")
    monkeypatch.setenv("MNISTLIN_DATA_DIR", DATA_DIR)
    config = load_config("softmax-lambda-sweep")
    try:
        load_splits(config.data)
    except DataError as error:
        pytest.skip(f"the real MNIST is needed: {error}")
    return config


def test_4_accuracy_and_weight_norm_fall_with_lambda(config, tmp_path):
    """Accuracies as the report has them, weight norms within 1 %; with λ = 0 it is part 3.

    Part 3: 253 checks, the last at step 7799, train 92.3 %, validation 91.6 %.
    """
    sweep = run_sweep(config, tmp_path)
    assert {l2_lambda for l2_lambda, _ in sweep.members} == set(PUBLISHED)
    for (l2_lambda, _), run in sweep.members.items():
        accuracy, tolerance, norm = PUBLISHED[l2_lambda]
        assert run.summary["last_step"] == 7799
        assert run.summary["last_val_accuracy"] == pytest.approx(accuracy, abs=tolerance)
        assert run.summary["last_weight_norm"] == pytest.approx(norm, rel=0.01)
    plain = sweep.members[0.0, 0]
    assert (plain.status, plain.summary["stop_epoch"]) == ("finished", 49)
    assert (len(plain.metrics["step"]), len(plain.steps["step"])) == (253, 7800)
    assert plain.summary["last_train_accuracy"] == pytest.approx(0.92335, abs=5e-4)
    assert plain.summary["last_val_accuracy"] == pytest.approx(0.9160, abs=5e-4)
