"""Prediction and measurement of the dips, put together on real digits."""

from dataclasses import replace

import pytest

from mnistlin import run_experiment
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.words import about_dips


@pytest.fixture(scope="module")
def dips(digits_run):
    """Return the dips of an unshuffled run."""
    return explain_dips(digits_run)


def test_without_shuffle_the_predicted_period_is_measured(dips):
    """12 steps an epoch and a check every 2: the same place again after an epoch."""
    assert (dips.predicted.steps_per_epoch, dips.predicted.check_every) == (12, 2)
    assert dips.predicted.period == dips.measured.period == 12
    assert dips.agree
    assert len(dips.hard.batches) == 3


def test_batches_differ_without_shuffle(dips):
    """By more than chance."""
    assert dips.losses.mean.std() > 2 * dips.losses.error.mean()


def test_with_shuffle_there_is_nothing_to_find(digits_run, tmp_path):
    """No period, batches alike, and no images to blame."""
    config = digits_run.config
    how = config.training.model_copy(update={"shuffle": True})
    found = explain_dips(run_experiment(config.model_copy(update={"training": how}), tmp_path))
    assert found.predicted.period is found.measured.period is found.hard is None
    assert found.agree
    assert found.losses.mean.std() < 2 * found.losses.error.mean()


def test_a_table_that_contradicts_its_config_is_told(dips):
    """Both periods are kept, and the paragraph says that they do not agree."""
    other = replace(dips, measured=replace(dips.measured, lag=5))
    assert (other.predicted.period, other.measured.period) == (12, 10)
    assert not other.agree
    assert "do not agree: this config does not explain these dips" in about_dips(other)


def test_a_near_return_is_not_a_return(dips):
    """155 steps are one less than an epoch of 156, and not the 4836 that it takes."""
    plan = replace(dips.predicted, steps_per_epoch=156, check_every=31, period=4836)
    near = replace(dips, predicted=plan, measured=replace(dips.measured, lag=5, spacing=31))
    assert near.is_near_return
    assert not near.agree
    assert "After 155 steps a check is not at the same place" in about_dips(near)
    assert not replace(near, measured=replace(near.measured, lag=4)).is_near_return


def test_positions_are_places_in_the_epoch(dips):
    """Of the deepest dips, each once."""
    steps = dips.measured.deepest_dips()
    assert dips.dip_positions == sorted({int(step) % 12 for step in steps})
    assert len(dips.dip_positions) < len(steps)
