"""Prediction and measurement of the dips, put together on real digits."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin import run_experiment
from mnistlin.analysis.dips import explain_dips


@pytest.fixture(scope="module")
def dips(digits_run):
    """Return the dips of an unshuffled run."""
    return explain_dips(digits_run)


def test_without_shuffle_the_predicted_period_is_measured(dips):
    """12 steps an epoch and a check every 2: the same place again after an epoch."""
    assert (dips.predicted.steps_per_epoch, dips.predicted.check_every) == (12, 2)
    assert dips.predicted.period == dips.measured.period == 12
    assert dips.agree
    assert len(dips.epoch.batches) == 3


def test_batches_differ_without_shuffling(dips):
    """By more than chance."""
    assert dips.losses.p_value < 0.001


def test_one_more_epoch_goes_on_where_the_run_ended(dips, digits_run):
    """It begins at the last accuracy, and its steps are those of a longer run of this config."""
    epoch, n = dips.epoch, dips.predicted.steps_per_epoch
    assert epoch.accuracy[0] == digits_run.metrics["val_accuracy"][-1]
    config = digits_run.config
    how = config.training.model_copy(update={"epochs": config.training.epochs + 1})
    config = config.model_copy(update={"training": how})
    longer = run_experiment(config, digits_run.path.parent)
    steps, accuracy = longer.metrics["step"], longer.metrics["val_accuracy"]
    last_epoch = steps >= config.training.epochs * n - n
    np.testing.assert_allclose(
        epoch.accuracy[1:][steps[last_epoch] % n], accuracy[last_epoch], atol=1e-12
    )


def test_a_run_that_stopped_within_an_epoch_first_completes_it(digits_run, tmp_path):
    """So positions are those of the run: the epoch is that of a longer run that did not stop."""
    rules = {"early_stopping": {"patience": 190, "min_delta": 0.5}}
    config = type(digits_run.config).model_validate(digits_run.config.model_dump() | rules)
    stopped = run_experiment(config, tmp_path)
    n = stopped.info.data.splits.train.n_samples // config.training.batch_size
    last = int(stopped.metrics["step"][-1])
    assert (last + 1) % n != 0
    found = explain_dips(stopped)
    how = config.training.model_copy(update={"epochs": last // n + 2, "checks_per_epoch": n})
    longer = config.model_copy(update={"training": how, "early_stopping": None})
    accuracy = run_experiment(longer, tmp_path).metrics["val_accuracy"]
    np.testing.assert_array_equal(found.epoch.accuracy, accuracy[-n - 1 :])
    assert "rest of the one in which the run has stopped" in found.explanation()


def test_the_batches_shown_are_those_whose_steps_lower_accuracy_most(dips):
    """Batch p has images p B to (p + 1) B - 1, and is counted by class."""
    epoch = dips.epoch
    change = epoch.change
    worst = np.argsort(change, kind="stable")[:3]
    assert [each.position for each in epoch.batches] == worst.tolist()
    for batch in epoch.batches:
        assert batch.accuracy_change == change[batch.position]
        np.testing.assert_array_equal(np.sort(batch.samples), np.arange(64) + 64 * batch.position)
        classes = epoch.train.targets[batch.samples]
        np.testing.assert_array_equal(batch.counts, [(classes == k).sum() for k in (0, 1)])


def test_recovery_is_counted_in_steps(dips):
    """Until accuracy is at its level before the step again."""
    epoch = replace(dips.epoch, accuracy=np.array([0.9, 0.8, 0.85, 0.9, 0.95]))
    assert epoch.steps_to_recover(0) == 2
    assert replace(epoch, accuracy=np.array([0.9, 0.8, 0.85])).steps_to_recover(0) is None


def test_with_shuffling_there_is_nothing_to_find(digits_run, tmp_path):
    """No period, batches alike, and no images to blame."""
    config = digits_run.config
    how = config.training.model_copy(update={"shuffle": True})
    found = explain_dips(run_experiment(config.model_copy(update={"training": how}), tmp_path))
    assert found.predicted.period is found.measured.period is found.epoch is None
    assert found.agree


def test_a_table_that_contradicts_its_config_is_told(dips):
    """Both periods are kept, and the paragraph says that they do not agree."""
    other = replace(dips, measured=replace(dips.measured, lag=5))
    assert (other.predicted.period, other.measured.period) == (12, 10)
    assert not other.agree
    assert "do not agree: the order of batches does not explain it" in other.explanation()


def test_a_near_return_is_not_a_return(dips):
    """155 steps are one less than an epoch of 156, and not the 4836 that it takes."""
    plan = replace(dips.predicted, steps_per_epoch=156, check_every=31, period=4836)
    near = replace(dips, predicted=plan, measured=replace(dips.measured, lag=5, spacing=31))
    assert near.is_near_return
    assert not near.agree
    assert "After 155 steps a check is not at the same position" in near.explanation()
    assert not replace(near, measured=replace(near.measured, lag=4)).is_near_return


def test_checks_after_every_step_are_described_so(dips):
    every_step = replace(dips, predicted=replace(dips.predicted, check_every=1))
    assert "a check comes after every step: it" in every_step.explanation()
    assert "a check comes every 2 steps: it" in dips.explanation()


def test_positions_are_places_in_the_epoch(dips):
    """Of the deepest dips, each once."""
    steps = dips.measured.deepest_dips()
    assert dips.dip_positions == sorted({int(step) % 12 for step in steps})
    assert len(dips.dip_positions) < len(steps)
