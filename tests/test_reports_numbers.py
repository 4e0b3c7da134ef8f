"""The numbers of the report, from the real MNIST; skipped where MNISTLIN_DATA_DIR leads to none."""

import os
from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.claims import Answers
from mnistlin.config import load_config
from mnistlin.data.splits import load_splits
from mnistlin.errors import DataError
from mnistlin.experiment import run_experiment, setup_for
from mnistlin.report.claims import rows_of
from mnistlin.report.plan import load_report
from mnistlin.report.runner import train_all

pytestmark = pytest.mark.no_cover  # slow, and other tests reach the same lines

DATA_DIR = os.environ.get("MNISTLIN_DATA_DIR")


@pytest.fixture(scope="module", autouse=True)
def _mnist_is_here():
    """Skip all without the real MNIST."""
    if not DATA_DIR:
        pytest.skip("MNISTLIN_DATA_DIR is not set: the real MNIST is needed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNISTLIN_DATA_DIR", DATA_DIR)
        try:
            load_splits(load_config("binary").data)
        except DataError as error:
            pytest.skip(f"the real MNIST is needed: {error}")


@pytest.fixture(autouse=True)
def mnist(monkeypatch):
    """Lead to the real MNIST."""
    monkeypatch.setenv("MNISTLIN_DATA_DIR", DATA_DIR)


def setup_of(name, *overrides):
    """Return the trainer's setup for a shipped config in float64."""
    config = load_config(name, ["training.dtype=float64", *overrides])
    return setup_for([config], load_splits(config.data))


def test_2d_early_stopping_ends_in_epoch_33(tmp_path):
    """Step 1038, train 97.5 % (3908 of 4005), validation 97.9 % (2000 of 2042), loss 0.06577."""
    run = run_experiment(load_config("binary-early-stopping"), tmp_path)
    summary = run.summary
    assert run.status == "early_stopped"
    assert (summary["stop_step"], summary["stop_epoch"]) == (1038, 33)
    assert (summary["n_train"], summary["n_val"]) == (4005, 2042)
    assert summary["last_train_accuracy"] == 3908 / 4005
    assert summary["last_val_accuracy"] == 2000 / 2042
    assert np.trace(run.confusion) == 2000
    assert summary["last_val_loss"] == pytest.approx(0.065772, abs=5e-7)


@pytest.mark.parametrize(
    ("settings", "epoch", "step", "val_loss"),
    [
        ({}, 33, 1038, 0.06577187753329566),
        ({"training.shuffle": True}, 16, 522, 0.07166134981545134),
    ],
    ids=["not shuffled", "shuffled"],
)
def test_a_public_student_report_of_2022_comes_out_to_the_last_digit(
    settings, epoch, step, val_loss, tmp_path
):
    overrides = {"training.dtype": "float64", "training.order": "legacy", **settings}
    summary = run_experiment(load_config("binary-early-stopping", overrides), tmp_path).summary
    assert (summary["stop_epoch"], summary["stop_step"]) == (epoch, step)
    assert summary["last_val_loss"] == pytest.approx(val_loss, abs=1e-12)


def test_softmax_with_the_order_of_the_course_s_scripts(tmp_path):
    overrides = {"training.dtype": "float64", "training.order": "legacy"}
    summary = run_experiment(load_config("softmax", overrides), tmp_path).summary
    found = summary["last_train_accuracy"], summary["last_val_accuracy"]
    assert found == (0.9225, 0.9157)
    assert summary["last_weight_norm"] == pytest.approx(4.894063, abs=5e-7)


@pytest.mark.parametrize(
    ("train_size", "mean", "sd"), [(None, 33.32, 78.57), (20_000, 33.55, 78.88)]
)
def test_mean_and_sd_of_the_pixels_of_mnist(train_size, mean, sd):
    overrides = {"data.scaling": "standard", "data.train_size": train_size}
    scaling = load_splits(load_config("softmax", overrides).data).train.scaling
    assert (scaling.mean, scaling.divisor) == pytest.approx((mean, sd), abs=0.005)


def test_the_early_stopped_run_is_that_of_the_plain_trainer(histories, reference, assert_alike):
    """Every row, batch loss and weight to 1e-9, up to the very step at which both stop."""
    setup = setup_of("binary-early-stopping")
    (found,) = histories(setup)
    assert_alike(found, reference(setup))


def test_the_shuffled_binary_run_is_that_of_the_plain_trainer(histories, reference, assert_alike):
    """With L2 and other classes than the report's."""
    setup = setup_of(
        "binary-shuffled", "training.epochs=5", "training.l2_lambda=0.01", "data.classes=[9, 4]"
    )
    (found,) = histories(setup)
    assert_alike(found, reference(setup))


def test_the_softmax_run_is_that_of_the_plain_trainer(histories, reference, assert_alike):
    """Its first epochs, with two λ in one stack."""
    setup = setup_of("softmax", "training.epochs=2", "data.train_size=4000", "data.val_size=1000")
    stack = replace(setup, l2_lambdas=(0.0, 0.1))
    for member, found in enumerate(histories(stack)):
        assert_alike(found, reference(stack, member))


def test_published_results_of_logistic_regression_come_out_to_the_last_digit(tmp_path):
    """Every number of the page "Published results by year", but for the slower softmax."""
    report = load_report("tdt4265-published")
    parts = [part for part in report.plan.parts if part.id != "2021-softmax"]
    configs = {name: found for name, found in report.configs.items() if "softmax" not in name}
    experiments, answers = train_all(configs, tmp_path), Answers()
    rows = [
        row for part in parts for row, _ in rows_of(part, experiments, answers, is_comparable=True)
    ]
    assert len(rows) == 13
    assert {row.claim: row.verdict for row in rows if row.verdict != "agrees"} == {}
