"""Several runs on one page."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.figures.curves import accuracy_overlay, loss_overlay
from mnistlin.figures.panel import add_legend
from mnistlin.figures.style import OKABE_ITO, page, sequential_colors


@pytest.fixture(scope="module")
def pair(make_run):
    """Two runs of one experiment, without and with shuffle."""
    return [make_run(shuffle=False), make_run(shuffle=True)]


@pytest.fixture(scope="module")
def three_lambdas(make_run):
    """Three runs that differ in λ, not in its order."""
    return [make_run(l2_lambda=value, epochs=3) for value in (0.1, 1.0, 0.0)]


@pytest.mark.parametrize(("draw", "what"), [(loss_overlay, "loss"), (accuracy_overlay, "accuracy")])
def test_lines_are_the_columns_of_each_run(pair, draw, what):
    """Validation on top, training below."""
    for axes, part in zip(draw(pair).axes, ("val", "train"), strict=True):
        for line, run in zip(axes.get_lines(), pair, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), run.metrics["step"])
            np.testing.assert_array_equal(line.get_ydata(), run.metrics[f"{part}_{what}"])


def test_runs_are_labelled_by_what_differs(pair, legend_of):
    """With the value at the end, since they are few."""
    upper, lower = accuracy_overlay(pair).axes
    for axes, column in ((upper, "val_accuracy"), (lower, "train_accuracy")):
        ends = [run.metrics[column][-1] for run in pair]
        assert legend_of(axes) == [
            f"shuffle: false {ends[0]:.4f} at the end",
            f"shuffle: true {ends[1]:.4f} at the end",
        ]


def test_the_name_of_a_run_is_broken_after_its_time():
    """Not within a word."""
    with page(("", "", "")) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], label="learning_rate: 0.02\n20260114T093010Z_quickstart")
        add_legend(axes)
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == "learning_rate: 0.02\n20260114T093010Z_\nquickstart"


def test_both_panels_have_one_scale(pair):
    """The gap between training and validation is to be seen."""
    upper, lower = loss_overlay(pair).axes
    assert upper.get_ylim() == lower.get_ylim()
    assert upper.get_xlim() == lower.get_xlim()


def test_panels_say_what_they_show(pair):
    """Steps and epochs are written below the lower one."""
    upper, lower = loss_overlay(pair).axes
    assert upper.get_title("left") == "validation cross entropy (nats)"
    assert lower.get_title("left") == "training cross entropy (nats)"
    assert lower.get_xlabel() == "step (update)"
    assert [axes.get_xlabel() for axes in lower.child_axes] == ["epoch"]


def test_values_in_order_have_colours_in_order(three_lambdas, legend_of):
    """Sorted by λ, from dark to light."""
    upper, _ = accuracy_overlay(three_lambdas).axes
    assert [label.split(" at")[0][:-7] for label in legend_of(upper)] == [
        "l2_lambda: 0",
        "l2_lambda: 0.1",
        "l2_lambda: 1",
    ]
    assert [line.get_color() for line in upper.get_lines()] == sequential_colors(3)


def test_more_runs_than_colours_differ_in_line_style(softmax_run):
    """No two runs look alike."""
    names = [f"run-{i}" for i in range(len(OKABE_ITO) + 3)]
    runs = [
        replace(softmax_run, config=softmax_run.config.model_copy(update={"name": name}))
        for name in names
    ]
    upper, lower = accuracy_overlay(runs).axes
    looks = {(line.get_color(), str(line.get_linestyle())) for line in upper.get_lines()}
    assert len(looks) == len(runs)
    assert lower.get_legend() is None


def test_runs_with_epochs_of_different_length_have_no_epoch_axis(make_run, softmax_run):
    """It would be wrong for one of them."""
    _, lower = accuracy_overlay([softmax_run, make_run(batch_size=10)]).axes
    assert not lower.child_axes


def test_a_shorter_run_is_drawn_in_front(make_run, softmax_run):
    """Otherwise the longer one, which begins the same, would hide it."""
    shorter = make_run(epochs=2)
    upper, _ = accuracy_overlay([shorter, softmax_run]).axes
    short, long = upper.get_lines()
    assert short.get_zorder() > long.get_zorder()


def test_a_run_without_checks_is_named(softmax_run, diverged_run, legend_of):
    """It has no curve, but the reader asked for it."""
    upper, _ = accuracy_overlay([softmax_run, diverged_run]).axes
    assert [label.endswith("no check") for label in legend_of(upper)] == [False, True]


def test_no_checks_at_all_are_told(diverged_run, words_of):
    """An empty panel would look like a bug."""
    figure = loss_overlay([diverged_run, diverged_run])
    assert not figure.axes
    assert "no check was reached in any of the runs" in words_of(figure)


def test_the_footer_names_the_runs(pair, words_of):
    """And the doubt that they share."""
    _, _, footer, *_ = words_of(accuracy_overlay(pair))
    assert all(run.path.name in footer for run in pair)
    assert "model selection used the test set" in footer
