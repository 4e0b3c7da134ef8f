"""Loss of one run on logarithmic axes, where the first steps and the slow end both show."""

from typing import Any

from matplotlib.figure import Figure

from mnistlin.figures import captions
from mnistlin.figures.curves import PARTS
from mnistlin.figures.panel import add_legend, step_axes
from mnistlin.figures.style import house_style, new_figure, say_instead
from mnistlin.runs.folder import Run

_LINE: Any = {"linewidth": 1.3}


@house_style()
def log_loss_figure(run: Run) -> Figure:
    """Draw the losses on both whole sets, with both axes logarithmic.

    Steps are counted from 1 here, since a logarithmic axis has no 0.
    """
    figure = new_figure(*captions.of_run("Loss", run))
    if not len(run.metrics["step"]):
        say_instead(figure, "no check was reached", captions.ending(run))
        return figure
    axes = step_axes(figure, "cross entropy (nats), log scale", [run])
    steps = run.metrics["step"] + 1
    for part, (name, color) in PARTS.items():
        axes.plot(steps, run.metrics[f"{part}_loss"], color=color, label=name, **_LINE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, 1.1 * steps[-1])
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlabel("steps taken, log scale")
    add_legend(axes)
    return figure
