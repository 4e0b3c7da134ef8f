"""From run folders to image files: the way into this room."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from mnistlin.errors import RunError
from mnistlin.figures.confusion import confusion_figure
from mnistlin.figures.curves import accuracy_figure, accuracy_overlay, loss_figure, loss_overlay
from mnistlin.figures.style import save
from mnistlin.figures.sweeps import (
    final_accuracy_figure,
    lambda_weights_figure,
    val_accuracy_figure,
    weight_norm_figure,
)
from mnistlin.figures.weights import weights_figure
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep


def draw_run(run: Run, out_dir: Path, fmt: str = "png") -> list[Path]:
    """Draw all figures of one run: loss, accuracy, weights and confusion.

    Parameters
    ----------
    run : Run
        A run folder, finished or not.
    out_dir : Path
        Where the files go; made if need be.
    fmt : {"png", "svg", "pdf"}
        Their format.

    Returns
    -------
    list of Path
        The files, in this order.

    Raises
    ------
    RunError
        If some figures cannot be drawn or written, saying why; all others are there then.
    """
    makers = {
        "loss": partial(loss_figure, run),
        "accuracy": partial(accuracy_figure, run),
        "weights": partial(weights_figure, run),
        "confusion": partial(confusion_figure, run),
    }
    return draw_all(makers, out_dir, fmt)


def draw_overlay(runs: Sequence[Run], out_dir: Path, fmt: str = "png") -> list[Path]:
    """Draw loss and accuracy of several runs over each other.

    Parameters
    ----------
    runs : sequence of Run
        At least one; the figures tell them apart by the config keys in which they differ.
    out_dir : Path
        Where the files go; made if need be.
    fmt : {"png", "svg", "pdf"}
        Their format.

    Returns
    -------
    list of Path
        The files, in this order.

    Raises
    ------
    RunError
        If some figures cannot be drawn or written, saying why; all others are there then.
    """
    if not runs:
        raise RunError("there are no runs to draw over each other; name at least one run folder")
    makers = {"loss": partial(loss_overlay, runs), "accuracy": partial(accuracy_overlay, runs)}
    return draw_all(makers, out_dir, fmt)


def draw_sweep(sweep: Sweep, out_dir: Path, fmt: str = "png") -> list[Path]:
    """Draw what λ does in a sweep: accuracy over steps, and accuracy and weights against λ.

    Parameters
    ----------
    sweep : Sweep
        The folder of a sweep, finished or not.
    out_dir : Path
        Where the files go; made if need be.
    fmt : {"png", "svg", "pdf"}
        Their format.

    Returns
    -------
    list of Path
        The files, in this order.

    Raises
    ------
    RunError
        If some figures cannot be drawn or written, saying why; all others are there then.
    """
    makers = {
        "val-accuracy": partial(val_accuracy_figure, sweep),
        "final-accuracy": partial(final_accuracy_figure, sweep),
        "weight-norm": partial(weight_norm_figure, sweep),
        "weights": partial(lambda_weights_figure, sweep),
    }
    return draw_all(makers, out_dir, fmt)


def draw_all(makers: Mapping[str, Callable[[], Figure]], out_dir: Path, fmt: str) -> list[Path]:
    """Make figures and write each to a file of its name; what fails does not stop the others.

    Raises
    ------
    RunError
        At the end, if any failed.
    """
    paths, reasons = [], []
    for name, make in makers.items():
        try:
            paths.append(save(make(), out_dir, name, fmt))
        except RunError as error:
            reasons.append(str(error))
    if reasons:
        causes = "; ".join(dict.fromkeys(reasons))  # often one cause for all of them
        raise RunError(f"{len(reasons)} of {len(makers)} figures could not be drawn: {causes}")
    return paths
