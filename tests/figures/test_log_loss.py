"""The loss on logarithmic axes."""

from mnistlin.figures.curves import log_loss_figure


def test_both_axes_are_logarithmic_and_show_every_check(softmax_run):
    """Steps are counted from 1, for there is no 0 on such an axis."""
    (axes,) = log_loss_figure(softmax_run).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines = dict(zip(("train_loss", "val_loss"), axes.lines, strict=True))
    for column, line in lines.items():
        assert line.get_xdata().tolist() == (softmax_run.metrics["step"] + 1).tolist()
        assert line.get_ydata().tolist() == softmax_run.metrics[column].tolist()
        low, high = axes.get_ylim()
        assert low <= line.get_ydata().min() <= line.get_ydata().max() <= high
