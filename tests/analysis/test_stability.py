"""Overshoot or noise: the limits of the learning rate, and the experiment that decides."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.stability import (
    N_JUDGED,
    N_STEPS,
    explain_stability,
    fluctuation,
)
from mnistlin.errors import RunError
from mnistlin.training.sgd import Stack


@pytest.fixture(scope="module")
def below(at_rate):
    """Return the answer for a run at half of the limit."""
    return explain_stability(at_rate(0.5, epochs=20))


@pytest.fixture(scope="module")
def above(at_rate):
    """Return the answer for a run at one and a half times the limit."""
    return explain_stability(at_rate(1.5, epochs=20))


def test_below_the_limit_the_fluctuation_is_batch_noise(below):
    """A full batch ends it."""
    assert below.verdict == "noise"
    assert below.learning_rate * below.sharpness_of_minimum == pytest.approx(1, rel=1e-3)
    assert "it is batch noise, not overshoot" in below.explanation()
    assert "No run can stay" not in below.explanation()


def test_above_the_limit_the_steps_overshoot(above):
    """A full batch does not end it."""
    assert above.verdict == "overshoot"
    assert above.learning_rate * above.sharpness_of_minimum == pytest.approx(3, rel=1e-3)
    assert "the steps overshoot" in above.explanation()
    assert "No run can stay at this minimum" in above.explanation()


def test_without_a_penalty_nothing_is_said_of_a_minimum(train_tiny):
    """There may be none."""
    result = explain_stability(train_tiny("softmax", learning_rate=0.05))
    assert result.values()["sharpness_minimum"] is None
    assert "there may be no minimum" in result.explanation()


def with_weights(run, weights):
    """Return a run with other last weights."""
    found = replace(run)
    found.__dict__["weights"] = {**run.weights, "last": weights}
    return found


def test_where_all_predictions_are_saturated_nothing_curves(train_tiny):
    """The Hessian is exactly 0: no learning rate is too large there."""
    run = train_tiny("logistic", learning_rate=0.3)
    result = explain_stability(with_weights(run, 1e6 * run.weights["last"]))
    assert result.sharpness_of_run == 0
    assert result.values()["largest_stable_rate"] is None
    assert "At the last weights of the run it is 0, below the limit" in result.explanation()
    result.figure()


def test_weights_that_overflow_are_one_clear_error(train_tiny):
    run = train_tiny("softmax", dtype="float64")
    W = np.full_like(run.weights["last"], 1e308)
    with pytest.raises(RunError, match="Hessian at these weights is not finite"):
        explain_stability(with_weights(run, W))


STEPS = np.arange(N_STEPS)
SMOOTH = 1 + np.exp(-STEPS / 100)
JUMPING = 1 + 0.1 * (-1.0) ** STEPS
DECAYING = 1 + 0.1 * (-1.0) ** STEPS * np.exp(-(STEPS - N_STEPS) / 30)
DIVERGED = np.append(JUMPING[:-10], np.full(10, np.nan))


@pytest.mark.parametrize(
    ("full_batch", "batches", "verdict", "words"),
    [
        (SMOOTH, JUMPING, "noise", "it is batch noise"),
        (JUMPING, JUMPING, "overshoot", "the steps overshoot"),
        (1 + (JUMPING - 1) / 3, JUMPING, "overshoot", "the steps overshoot"),
        (DIVERGED, JUMPING, "overshoot", "it diverges"),
        (DECAYING, JUMPING, "inconclusive", "does not decide"),
        (SMOOTH, SMOOTH, "no fluctuation", "Both fluctuations are negligible"),
    ],
)
def test_the_experiment_decides(below, full_batch, batches, verdict, words):
    """Each branch, on losses that belong to it."""
    result = replace(below, full_batch=full_batch, batches=batches)
    assert result.verdict == verdict
    assert words in result.explanation()


@pytest.mark.parametrize(
    ("product", "words"),
    [(0.5, "below the limit"), (1.9, "close to the limit"), (2.1, "above the limit")],
)
def test_each_sharpness_is_compared_with_the_limit(below, product, words):
    """On either side of it."""
    value = product / below.learning_rate
    result = replace(below, sharpness_of_run=value, sharpness_of_minimum=value)
    assert result.explanation().count(words) == 2


def test_a_smooth_fall_is_no_fluctuation():
    """The standard deviation is taken about a parabola, and that of jumps of ±0.1 is 0.1."""
    falling = np.linspace(2, 1, N_STEPS) ** 2
    assert fluctuation(falling) == pytest.approx(0, abs=1e-12)
    assert fluctuation(falling + JUMPING) == pytest.approx(0.1, rel=3 / N_JUDGED)


def test_noise_alone_is_seldom_called_overshoot(below):
    """Where the full batch has a hundredth of the noise and nothing else: never in 200 draws."""
    rng = np.random.default_rng(0)
    found = {
        replace(
            below,
            full_batch=SMOOTH + 1e-4 * rng.standard_normal(N_STEPS),
            batches=1 + 1e-2 * rng.standard_normal(N_STEPS),
        ).verdict
        for _ in range(200)
    }
    assert found == {"noise"}


def test_the_losses_are_saved_and_drawn(above):
    """One row per step, and a panel for each of the two statements."""
    (rows,) = above.records().values()
    assert len(rows) == N_STEPS
    losses, limits = above.figure().axes
    assert len(losses.get_lines()[0].get_xdata()) == N_STEPS
    assert len(limits.patches) == 2


@pytest.mark.parametrize("order", ["independent", "legacy"])
def test_the_experiment_continues_in_the_order_of_the_run(train_tiny, order):
    """After an early stop in the middle of an epoch: as if the run had not stopped."""
    how = {"epochs": 30, "learning_rate": 0.3, "shuffle": True, "order": order}
    how["checks_per_epoch"] = 1000  # a check after every step
    stopped = train_tiny("logistic", early_stopping={"patience": 3}, **how)
    whole = train_tiny("logistic", **how)
    n_taken = len(stopped.metrics["step"])
    n_batches = len(whole.metrics["step"]) // how["epochs"]
    assert n_taken % n_batches
    expected = whole.metrics["val_loss"][n_taken : n_taken + N_STEPS]
    assert len(expected) > n_batches
    found = explain_stability(stopped).batches[: len(expected)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_experiment_takes_the_steps_of_the_trainer(train_tiny, monkeypatch):
    """Whatever these may be: a trainer that does not move leaves the loss where it is."""
    monkeypatch.setattr(Stack, "move", lambda *_: None)
    found = explain_stability(train_tiny("softmax", learning_rate=0.05))
    for losses in (found.full_batch, found.batches):
        np.testing.assert_allclose(losses, found.run.metrics["val_loss"][-1], rtol=1e-5)
