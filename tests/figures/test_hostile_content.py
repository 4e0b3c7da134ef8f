"""Figures of content that is hard to draw stay readable: long names, 12 curves, constant values."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from mnistlin.figures.draw import OVERLAY_FIGURES, RUN_FIGURES
from mnistlin.figures.panel import robust_limits, steady
from mnistlin.figures.style import drawn_for_paper, save

pytestmark = pytest.mark.no_cover  # slow, and other tests reach the same lines

LONG = "a_very_long_name_without_any_space_" * 4


@pytest.fixture
def assert_readable(monkeypatch, tmp_path):
    """Return a function that checks all texts of a figure as they are drawn."""
    drawn = []
    draw = Text.draw

    def remember(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn.append((text, text.get_window_extent()))
        draw(text, renderer, *args, **kwargs)

    def check(figure, smallest):
        with monkeypatch.context() as patched:
            patched.setattr(Text, "draw", remember)
            save(figure, tmp_path, "figure")
            drawn.clear()  # what was drawn before the layout was fixed
            figure.canvas.draw()
        for i, (text, extent) in enumerate(drawn):
            words, canvas = text.get_text(), figure.bbox.padded(2)
            assert text.get_fontsize() >= smallest, words
            assert canvas.x0 <= extent.x0 <= extent.x1 <= canvas.x1, words
            assert canvas.y0 <= extent.y0 <= extent.y1 <= canvas.y1, words
            for other, beside in drawn[:i]:
                assert not extent.padded(-2).overlaps(beside.padded(-2)), (words, other.get_text())

    return check


@pytest.fixture(scope="module")
def constant_run(make_run):
    """Return a run whose weights hardly move, with a long name."""
    return make_run(name=LONG[:100], learning_rate=1e-12)


@pytest.fixture(params=["page", "paper"])
def smallest(request):
    """Return the smallest type of a style, which is in use during the test."""
    if request.param == "page":
        yield 6.0
        return
    with drawn_for_paper():
        yield 7.0


@pytest.mark.parametrize("name", RUN_FIGURES)
@pytest.mark.parametrize("run", ["stopped_run", "constant_run"])
def test_the_figures_of_a_run_are_readable(name, run, smallest, assert_readable, request):
    """Whether values change or not."""
    assert_readable(RUN_FIGURES[name](request.getfixturevalue(run)), smallest)


@pytest.mark.parametrize("name", OVERLAY_FIGURES)
@pytest.mark.parametrize("n", [2, 12])
def test_overlays_are_readable(name, n, softmax_run, smallest, assert_readable):
    """Of runs that differ only in their long names."""
    runs = [
        replace(softmax_run, config=softmax_run.config.model_copy(update={"name": f"{i}_{LONG}"}))
        for i in range(n)
    ]
    assert_readable(OVERLAY_FIGURES[name](runs), smallest)


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
