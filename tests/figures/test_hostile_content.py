"""Figures of content that is hard to draw stay readable: long names, 12 curves, constant values."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.figures.draw import OVERLAY_FIGURES, RUN_FIGURES
from mnistlin.figures.panel import robust_limits, steady

pytestmark = pytest.mark.no_cover  # slow, and other tests reach the same lines

LONG = "a_very_long_name_without_any_space_" * 4


@pytest.mark.parametrize("name", RUN_FIGURES)
@pytest.mark.parametrize(
    ("run", "smallest"),
    [
        *[("stopped_run", "page"), ("stopped_run", "paper"), ("constant_run", "page")],
        *[("long_run", "page"), ("long_run", "paper")],
    ],
    indirect=["smallest"],
)
def test_the_figures_of_a_run_are_readable(name, run, smallest, assert_readable, request):
    """Whether values change or not."""
    assert_readable(RUN_FIGURES[name](request.getfixturevalue(run)), smallest)


@pytest.mark.parametrize("name", OVERLAY_FIGURES)
@pytest.mark.parametrize(
    ("n", "smallest"), [(2, "paper"), (12, "page"), (12, "paper")], indirect=["smallest"]
)
def test_overlays_are_readable(name, n, softmax_run, smallest, assert_readable):
    """Of runs that differ only in their long names."""
    runs = [
        replace(softmax_run, config=softmax_run.config.model_copy(update={"name": f"{i}_{LONG}"}))
        for i in range(n)
    ]
    assert_readable(OVERLAY_FIGURES[name](runs), smallest)


@pytest.mark.parametrize("name", OVERLAY_FIGURES)
def test_a_long_legend_does_not_squeeze_the_panels(name, softmax_run):
    """It is beside both of them, which take most of the page as they do with two runs."""
    few, many = (panel_heights(OVERLAY_FIGURES[name]([softmax_run] * n)) for n in (2, 12))
    assert sum(many) > 0.5
    assert many == pytest.approx(few, abs=0.03)


def panel_heights(figure):
    """Return the height of each panel as a part of that of its page."""
    figure.draw_without_rendering()
    return [axes.get_position().height for axes in figure.axes]


def test_the_scale_of_an_accuracy_ends_at_1(stopped_run):
    """No accuracy is higher, so no number above 1 is written."""
    axes = RUN_FIGURES["accuracy"](stopped_run).axes[0]
    assert axes.get_ylim()[1] <= 1.01


def test_one_unsteady_curve_does_not_squeeze_the_others():
    """The scale is that of the steady ones."""
    steps = np.arange(40)
    calm = [(steps, np.linspace(0.90, 0.92, 40) + i / 1000) for i in range(4)]
    wild = (steps, np.where(steps % 2, 0.2, 0.9))
    limits = robust_limits(steady([*calm, wild]))
    assert limits.low >= 0.9
    assert len(steady([*calm, wild])) == 4
    assert len(steady(calm)) == 4
