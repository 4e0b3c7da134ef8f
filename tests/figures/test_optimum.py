"""A run and the minimum of its objective, or the proof that there is none."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.optimum import SMALLEST_J, find_optimum


@pytest.fixture(scope="module")
def minimum(make_run):
    """Return the minimum of a run with a penalty."""
    found = find_optimum(make_run(l2_lambda=0.1, batch_size=20))
    assert found.kind == "minimum"
    return found


@pytest.fixture(scope="module")
def separable(make_run):
    """Return the search on a run without penalty on a separable set."""
    found = find_optimum(make_run(epochs=2, batch_size=20))
    assert found.kind == "no minimum"
    return found


def test_the_way_is_the_distance_of_each_check_from_the_minimum(minimum):
    """J of metrics.csv less J*, on a log scale."""
    way, _ = minimum.figure().axes
    line = way.get_lines()[0]
    metrics = minimum.run.metrics
    expected = metrics["train_loss"] + metrics["l2_penalty"] - minimum.found.point.value
    np.testing.assert_array_equal(line.get_xdata(), metrics["step"])
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert way.get_yscale() == "log"


def test_on_every_line_through_the_minimum_it_is_the_lowest_point(minimum):
    """And the marked weights are on their lines, all of it within the panel."""
    _, valley = minimum.figure().axes
    curves = [line for line in valley.get_lines() if len(line.get_xdata()) > 1]
    assert len(curves) == 2
    for curve in curves:
        lowest = np.argmin(curve.get_ydata())
        assert curve.get_xdata()[lowest] == pytest.approx(0)
        assert (np.diff(curve.get_ydata(), 2) > 0).all()
    low, high = valley.get_ylim()
    for line in valley.get_lines():
        if len(line.get_xdata()) == 1:
            assert low < line.get_ydata()[0] < high


def test_a_run_at_the_minimum_itself_can_be_drawn(minimum):
    """It has no direction from there."""
    at_minimum = replace(minimum, of_run=minimum.found)
    assert len(at_minimum.figure().axes) == 2


def test_multiples_of_separating_weights_fall_for_ever(separable, words_of):
    """Until J is 0 to the last digit; those of the run need not."""
    figure = separable.figure()
    rays, probabilities = figure.axes
    _, _, found, _ = rays.get_lines()
    values = found.get_ydata()[found.get_xdata() >= 1]
    above_zero = values[:-1] > 0  # below the smallest float, J is 0
    assert (np.diff(values)[above_zero] < 0).all()
    assert rays.get_ylim()[0] == SMALLEST_J
    of_found = probabilities.get_lines()[1].get_ydata()
    assert of_found.min() > 0.5
    assert (np.diff(of_found) >= 0).all()
    assert "so there is no minimum." in " ".join(words_of(figure))


def test_without_a_proof_none_is_claimed(separable, words_of):
    """The note says what was not found."""
    figure = replace(separable, kind="lowest found").figure()
    words = " ".join(words_of(figure))
    assert "Neither a minimum nor weights that classify every training image correctly" in words
    assert words.startswith("Run and lowest J found")
