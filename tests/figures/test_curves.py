"""Loss and accuracy figures show the columns of the run's tables, and nothing else."""

import numpy as np
import pytest

from mnistlin.figures.curves import accuracy_figure, block_statistics, loss_figure
from mnistlin.figures.panel import steps_per_epoch


def lines_of(axes):
    """Return x and y of the lines of a panel, by the first line of their label."""
    return {
        line.get_label().split("\n")[0]: (
            np.asarray(line.get_xdata()),
            np.asarray(line.get_ydata()),
        )
        for line in axes.get_lines()
    }


def assert_column(line, run, column):
    """Hold a line to a column of metrics.csv."""
    np.testing.assert_array_equal(line[0], run.metrics["step"])
    np.testing.assert_array_equal(line[1], run.metrics[column])


def test_loss_lines_are_the_columns_of_metrics(softmax_run):
    """Both losses on whole sets, at the steps of the checks."""
    (axes,) = loss_figure(softmax_run).axes
    lines = lines_of(axes)
    assert_column(lines["training set"], softmax_run, "train_loss")
    assert_column(lines["validation set"], softmax_run, "val_loss")


def test_accuracy_lines_are_the_columns_of_metrics(softmax_run):
    """Both accuracies on whole sets, at the steps of the checks."""
    (axes,) = accuracy_figure(softmax_run).axes
    lines = lines_of(axes)
    assert_column(lines["training set"], softmax_run, "train_accuracy")
    assert_column(lines["validation set"], softmax_run, "val_accuracy")


@pytest.mark.parametrize("draw", [loss_figure, accuracy_figure])
def test_a_long_run_is_drawn_with_no_more_points_than_a_panel_can_show(long_run, draw):
    """Each line begins and ends with the first and the last check, and keeps their extremes."""
    what = draw.__name__.removesuffix("_figure")
    lines = [line for line in draw(long_run).axes[0].lines if " set\n" in line.get_label()]
    for line, part in zip(lines, ("train", "val"), strict=True):
        values, shown = long_run.metrics[f"{part}_{what}"], line.get_ydata()
        assert len(shown) < len(values) / 4
        assert [shown[0], shown[-1]] == [values[0], values[-1]]
        assert [shown.min(), shown.max()] == [values.min(), values.max()]


def test_the_batch_loss_is_a_mean_over_ten_steps(softmax_run):
    """Each point is in the middle of its ten steps."""
    (axes,) = loss_figure(softmax_run).axes
    x, y = lines_of(axes)["batch loss"]
    losses = softmax_run.steps["batch_loss"]
    assert x[0] == pytest.approx(4.5)
    assert len(x) == len(losses) // 10
    assert y[3] == pytest.approx(losses[30:40].mean())


def test_the_band_is_one_standard_deviation_wide_on_either_side(softmax_run):
    """Its corners are mean - sd and mean + sd of the ten steps."""
    (axes,) = loss_figure(softmax_run).axes
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    ten = softmax_run.steps["batch_loss"][30:40]
    at_block = corners[np.isclose(corners[:, 0], 34.5), 1]
    assert at_block.min() == pytest.approx(ten.mean() - ten.std())
    assert at_block.max() == pytest.approx(ten.mean() + ten.std())


def test_an_incomplete_last_block_is_left_out():
    """Its mean would be that of fewer steps."""
    mean, sd = block_statistics(np.array([1.0, 3.0, 2.0, 2.0, 99.0]), block=2)
    np.testing.assert_allclose(mean, [2, 2])
    np.testing.assert_allclose(sd, [1, 0])


@pytest.mark.parametrize(
    ("draw", "column"), [(loss_figure, "val_loss"), (accuracy_figure, "val_accuracy")]
)
def test_the_best_check_is_ringed(stopped_run, draw, column):
    """It is the one with the lowest validation loss, in both figures."""
    (axes,) = draw(stopped_run).axes
    (x,), (y,) = lines_of(axes)["best check"]
    best = stopped_run.metrics["val_loss"].argmin()
    assert x == stopped_run.metrics["step"][best]
    assert y == stopped_run.metrics[column][best]


@pytest.mark.parametrize("draw", [loss_figure, accuracy_figure])
def test_an_early_stop_is_marked(stopped_run, draw, legend_of):
    """A line marks the last check, and the legend says where that is."""
    (axes,) = draw(stopped_run).axes
    last, epoch = stopped_run.metrics["step"][-1], stopped_run.metrics["epoch"][-1]
    np.testing.assert_array_equal(lines_of(axes)["early stop"][0], last)
    assert f"early stop step {last:,}, epoch {epoch} no better for 3 checks" in legend_of(axes)


@pytest.mark.parametrize("draw", [loss_figure, accuracy_figure])
def test_no_early_stop_is_marked_in_a_finished_run(softmax_run, draw):
    """The mark means something."""
    (axes,) = draw(softmax_run).axes
    assert "early stop" not in lines_of(axes)


def test_the_legend_names_the_curves_and_their_ends(softmax_run, legend_of):
    """Values to four digits, as in the report."""
    (axes,) = loss_figure(softmax_run).axes
    last = {name: column[-1] for name, column in softmax_run.metrics.items()}
    assert legend_of(axes)[:4] == [
        "batch loss mean of 10 steps",
        "±1 sd of the 10 steps",
        f"training set {last['train_loss']:.4f} at the end",
        f"validation set {last['val_loss']:.4f} at the end",
    ]


@pytest.mark.parametrize("draw", [loss_figure, accuracy_figure])
def test_the_legend_covers_no_data(stopped_run, draw):
    """It is beside the panel, and ends on the page."""
    figure = draw(stopped_run)
    figure.canvas.draw()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 > axes.get_window_extent().x1
    assert legend.x1 < figure.bbox.x1


@pytest.mark.parametrize(
    ("draw", "y_title"),
    [(loss_figure, "cross entropy (nats)"), (accuracy_figure, "accuracy (fraction)")],
)
def test_axes_say_their_units(softmax_run, draw, y_title):
    """Steps below, epochs below them."""
    (axes,) = draw(softmax_run).axes
    (epochs,) = axes.child_axes
    assert axes.get_title("left") == y_title
    assert axes.get_xlabel() == "step (update)"
    assert epochs.get_xlabel() == "epoch"


def test_epochs_stand_below_their_first_steps(softmax_run):
    """15 steps an epoch: step 30 is where epoch 2 begins."""
    figure = accuracy_figure(softmax_run)
    figure.canvas.draw()
    (axes,) = figure.axes
    (epochs,) = axes.child_axes
    assert steps_per_epoch(softmax_run) == 15
    np.testing.assert_allclose(np.array(epochs.get_xlim()) * 15, axes.get_xlim())


def test_the_words_on_the_page(softmax_run, words_of):
    """Title, settings, footer."""
    title, settings, footer, *_ = words_of(accuracy_figure(softmax_run))
    assert title.startswith("Accuracy of softmax regression")
    assert "learning rate 0.02" in settings
    assert softmax_run.path.name in footer
    assert "model selection used the test set" in footer


def test_one_step_and_one_check_are_drawn(make_run):
    """As points, since a line needs two."""
    run = make_run(epochs=1, batch_size=60)
    for draw in (loss_figure, accuracy_figure):
        (axes,) = draw(run).axes
        assert all(line.get_marker() == "o" for line in axes.get_lines())


def test_a_run_without_checks_has_its_batch_losses(diverged_run):
    """What there is, is drawn."""
    (axes,) = loss_figure(diverged_run).axes
    np.testing.assert_array_equal(lines_of(axes)["batch loss"][1], diverged_run.steps["batch_loss"])


def test_a_run_without_checks_has_no_accuracy(diverged_run, words_of):
    """The page says why."""
    figure = accuracy_figure(diverged_run)
    assert not figure.axes
    assert "no check was reached\ndiverged after step" in words_of(figure)[-1]


def test_what_the_scale_hides_is_told_above_the_panel(make_run):
    """A loss that begins far off is cut, and the figure says so."""
    run = make_run(epochs=60)
    beginning = run.metrics["train_accuracy"][:3].min()
    (axes,) = accuracy_figure(run).axes
    assert axes.get_ylim()[0] > beginning
    assert any("not shown: down to" in text.get_text() for text in axes.texts)
