"""The range of y: all that matters, and a word about what is left out."""

import numpy as np
import pytest

from mnistlin.figures.panel import N_BINS, Limits, off_scale, robust_limits, thinned

STEPS = np.arange(100)


def falling(start):
    """Return a curve that stays at `start` for five steps and then between 1 and 2."""
    return STEPS, np.where(STEPS < 5, start, np.minimum(2, 2.1 - STEPS / 90))


def test_a_far_beginning_does_not_squash_the_rest():
    """Limits come from the settled nine tenths if the beginning would stretch them too far."""
    limits = robust_limits([falling(50.0)])
    assert 1.0 <= limits.low < limits.high <= 2.0


def test_a_near_beginning_is_shown():
    """A beginning that stretches the scale less than twofold stays on it."""
    assert robust_limits([falling(2.5)]).high == pytest.approx(2.5)


def test_few_points_are_all_shown():
    """With a handful of checks there is no beginning to leave out."""
    assert robust_limits([(np.arange(5), np.array([90.0, 1, 1, 1, 1]))]).high == pytest.approx(90)


def test_each_curve_has_its_own_beginning():
    """The settled part of a short run is shown, although it is in the first tenth of a long one."""
    long = (np.arange(1000), np.ones(1000))
    assert robust_limits([long, falling(50.0)]).high > 1.8


def test_edges_of_a_band_are_shown():
    """Bands widen the limits like curves."""
    limits = robust_limits([falling(2.0)], [(STEPS, np.full(100, 2.7))])
    assert limits.high == pytest.approx(2.7)


def test_values_that_no_axis_can_show_do_not_count():
    """Neither nan nor infinity spoils the limits."""
    values = np.linspace(1, 2, 100)
    values[[20, 40, 60]] = np.nan, np.inf, 1e300
    assert robust_limits([(STEPS, values)]) == Limits(1.0, 2.0)


def test_no_values_have_no_limits():
    """A run without checks has nothing to fit."""
    assert robust_limits([(np.empty(0, int), np.empty(0))]) is None


def test_a_log_scale_is_for_losses_that_differ_hugely():
    """It is chosen by the settled values, and then hides nothing."""
    curve = (STEPS, np.geomspace(1e-3, 10, 100))
    limits = robust_limits([curve], allows_log=True)
    assert limits == Limits(pytest.approx(1e-3), pytest.approx(10), is_log=True)
    assert off_scale([curve], limits, ".2f") == ""
    assert not robust_limits([curve]).is_log


def test_a_small_lower_edge_does_not_ask_for_a_log_scale():
    """Mean - sd may be nearly 0 where the mean is not."""
    edges = [(STEPS, np.full(100, 1e-6)), (STEPS, np.full(100, 3.0))]
    assert not robust_limits([falling(2.0)], edges, allows_log=True).is_log


def test_constant_values_have_room_around_them():
    """Padding keeps a flat curve off the frame."""
    low, high = robust_limits([(STEPS, np.ones(100))]).padded
    assert low < 1 < high


def test_what_is_left_out_is_told():
    """The note names the extreme and the steps in which it occurs."""
    curve = falling(50.0)
    note = off_scale([curve], robust_limits([curve]), ".1f")
    assert note == "not shown: up to 50.0 in steps 0 to 4"
    assert off_scale([curve], Limits(0, 50), ".1f") == ""


def test_what_is_left_out_below_is_told_too():
    """Accuracies begin low."""
    steps, values = falling(50.0)
    curve = (steps, -values)
    assert "down to -50.0" in off_scale([curve], robust_limits([curve]), ".1f")


def test_a_curve_of_a_million_points_keeps_its_ends_and_extremes():
    steps = np.arange(1_000_003)
    values = np.random.default_rng(0).normal(size=len(steps))
    values[[123_456, 777_777]] = -9, 9
    kept, shown = thinned(steps, values)
    assert len(kept) < 5 * N_BINS
    assert {0, 123_456, 777_777, 1_000_002} <= set(kept.tolist())
    np.testing.assert_array_equal(shown, values[kept])
    assert np.all(np.diff(kept) > 0)


def test_a_curve_that_a_panel_can_show_is_drawn_as_it_is():
    steps = np.arange(4 * N_BINS)
    assert len(thinned(steps, np.sin(steps))[0]) == len(steps)
