"""Dips, their periods and the batches behind them on one page."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.dips import explain_dips


@pytest.fixture(scope="module")
def run(make_run):
    """Return an unshuffled run of 15 steps an epoch, 5 checks in each."""
    return make_run(shuffle=False, epochs=40, learning_rate=0.3)


@pytest.fixture(scope="module")
def dips(run):
    """Return its dips, as if the period had been measured where it is predicted."""
    found = explain_dips(run)
    lag = found.predicted.period // found.predicted.check_every
    return replace(found, measured=replace(found.measured, lag=lag))


@pytest.fixture
def panels(dips):
    """Return the panels of accuracy, correlation and losses."""
    return dips.figure().axes[:3]


def test_the_deepest_dips_are_marked_on_the_accuracy(run, dips, panels):
    """At their steps, at their height."""
    curve, marks = panels[0].get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), run.metrics["val_accuracy"])
    np.testing.assert_array_equal(marks.get_xdata(), dips.measured.deepest_dips())
    at = np.isin(run.metrics["step"], dips.measured.deepest_dips())
    np.testing.assert_array_equal(marks.get_ydata(), run.metrics["val_accuracy"][at])


def test_predicted_and_measured_period_are_marked_at_their_lags(dips, panels):
    """In checks, with the steps in the legend."""
    predicted = next(line for line in panels[1].get_lines() if len(line.get_xdata()) == 1)
    plan = dips.predicted
    assert predicted.get_xdata()[0] == plan.period / plan.check_every
    words = [text.get_text() for text in panels[1].get_legend().get_texts()]
    lag, period = dips.measured.lag, dips.measured.period
    assert words[0] == f"measured: {lag} checks, {period} steps"
    assert words[1] == f"predicted: {plan.period // plan.check_every} checks, {plan.period} steps"


def test_the_accuracy_after_each_step_is_drawn(dips, panels):
    """From the one before the epoch on, with the steps that lower it most."""
    curve, worst, *_ = panels[2].get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), dips.epoch.accuracy)
    assert curve.get_xdata()[0] == -1
    lowering = [each.position for each in dips.epoch.batches if each.accuracy_change < 0]
    np.testing.assert_array_equal(worst.get_xdata(), lowering)


def test_each_batch_has_its_class_mix_and_images(dips):
    """Three rows below the panels."""
    figure = dips.figure()
    below = figure.axes[3:]
    mixes = [axes for axes in below if axes.patches]
    assert len(mixes) == len(dips.epoch.batches) == 3
    for axes, batch in zip(mixes, dips.epoch.batches, strict=True):
        heights = [bar.get_height() for bar in axes.patches]
        np.testing.assert_allclose(heights, batch.counts / batch.counts.sum())
    words = " ".join(text.get_text() for axes in below for text in axes.texts)
    assert all(f"position {batch.position}\n" in words for batch in dips.epoch.batches)
    first = next(axes for axes in below if axes.images)
    train, sample = dips.epoch.train, dips.epoch.batches[0].samples[0]
    pixels = train.images[train.rows[sample]].reshape(train.image_shape)
    np.testing.assert_array_equal(first.images[0].get_array(), pixels)


def test_a_shuffled_run_has_no_batches_to_show(dips, words_of):
    """And no period in the legend."""
    shuffled = replace(
        dips,
        epoch=None,
        predicted=replace(dips.predicted, period=None),
        measured=replace(dips.measured, lag=None),
    )
    figure = shuffled.figure()
    assert len(figure.axes) == 3
    heights = [bar.get_height() for bar in figure.axes[2].patches]
    np.testing.assert_allclose(heights, dips.losses.mean)
    words = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert words == ["measured: none", "predicted: none"]
    assert "every epoch has other batches" in " ".join(words_of(figure))
