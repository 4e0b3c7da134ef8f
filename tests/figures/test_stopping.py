"""Rules of early stopping over their patience."""

import numpy as np
import pytest

from mnistlin.analysis.early_stopping import explain_early_stopping


@pytest.fixture(scope="module")
def run(make_run):
    """Return a run with ups and downs."""
    return make_run(epochs=20, learning_rate=0.3)


def test_epoch_and_regret_are_drawn_over_patience(run):
    """A line for the best weights, dots for the last ones."""
    outcomes = explain_early_stopping(run, range(1, 20))
    epochs, regret = outcomes.figure().axes
    line = epochs.get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), range(1, 20))
    np.testing.assert_array_equal(line.get_ydata(), [each.epoch for each in outcomes.rules])
    best, last = regret.get_lines()
    np.testing.assert_array_equal(best.get_ydata(), [each.best_regret for each in outcomes.rules])
    np.testing.assert_array_equal(last.get_ydata(), [each.last_regret for each in outcomes.rules])


def test_no_regret_has_a_place_on_the_scale(run):
    """Zero is within the limits, though the rest is logarithmic."""
    _, regret = explain_early_stopping(run, [1, 10_000]).figure().axes
    assert regret.get_ylim()[0] < 0


def test_rules_that_do_not_stop_are_ringed(run):
    """What is drawn for them is only the end of the run."""
    outcomes = explain_early_stopping(run, [1, 10_000])
    epochs, _ = outcomes.figure().axes
    rings = epochs.get_lines()[1]
    assert list(rings.get_xdata()) == [10_000]
    assert list(rings.get_ydata()) == [19]


def test_each_min_delta_is_a_curve(run):
    """Named in the legend, in its own colour."""
    outcomes = explain_early_stopping(run, range(1, 5), [0.0, 0.01])
    epochs, regret = outcomes.figure().axes
    words = [text.get_text() for text in epochs.get_legend().get_texts()]
    assert words == ["min_delta 0", "min_delta 0.01"]
    assert len({line.get_color() for line in regret.get_lines()}) == 2


def test_the_rule_of_the_run_itself_is_marked(stopped_run):
    """A line at its patience, in both panels."""
    figure = explain_early_stopping(stopped_run, range(1, 6)).figure()
    for axes in figure.axes:
        assert list(axes.get_lines()[-1].get_xdata()) == [3, 3]
