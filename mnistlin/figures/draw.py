"""The figures of runs and sweeps by name, and the files that they are drawn into."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from mnistlin.errors import RunError
from mnistlin.figures.confusion import confusion_figure
from mnistlin.figures.curves import (
    accuracy_figure,
    accuracy_overlay,
    log_loss_figure,
    loss_figure,
    loss_overlay,
)
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

Subject = TypeVar("Subject")


RUN_FIGURES: dict[str, Callable[[Run], Figure]] = {
    "loss": loss_figure,
    "accuracy": accuracy_figure,
    "weights": weights_figure,
    "confusion": confusion_figure,
}
"""The figures of a run, by the names of their files."""

REPORT_RUN_FIGURES = RUN_FIGURES | {"loss-log": log_loss_figure}
"""The figures of a run that a report can show."""

OVERLAY_FIGURES: dict[str, Callable[[Sequence[Run]], Figure]] = {
    "loss": loss_overlay,
    "accuracy": accuracy_overlay,
}
"""The figures of several runs together."""

SWEEP_FIGURES: dict[str, Callable[[Sweep], Figure]] = {
    "val-accuracy": val_accuracy_figure,
    "final-accuracy": final_accuracy_figure,
    "weight-norm": weight_norm_figure,
    "weights": lambda_weights_figure,
}
"""The figures of a sweep."""


def draw_run(run: Run, out_dir: Path | None = None, fmt: str = "png") -> list[Path]:
    """Draw the figures of one run into a folder; return the files, in the order of RUN_FIGURES.

    Parameters
    ----------
    run : Run
        The run.
    out_dir : Path, optional
        Default: plots/ in the folder of the run.
    fmt : {"png", "svg", "pdf"}
        Format of the figures.

    Raises
    ------
    RunError
        If some figures cannot be drawn or written, saying why; all others are there then.
    """
    return _draw_each(RUN_FIGURES, run, out_dir or run.path / "plots", fmt)


def draw_overlay(runs: Sequence[Run], out_dir: Path, fmt: str = "png") -> list[Path]:
    """Draw several runs together; labels name the config keys in which they differ.

    Raises
    ------
    RunError
        If there is no run, or as for `draw_run`.
    """
    if not runs:
        raise RunError("there are no runs to draw; name at least one run folder")
    return _draw_each(OVERLAY_FIGURES, runs, out_dir, fmt)


def draw_sweep(sweep: Sweep, out_dir: Path, fmt: str = "png") -> list[Path]:
    """Draw the figures of a sweep, finished or not.

    Raises
    ------
    RunError
        As for `draw_run`.
    """
    return _draw_each(SWEEP_FIGURES, sweep, out_dir, fmt)


def _draw_each(
    figures: Mapping[str, Callable[[Subject], Figure]], subject: Subject, out_dir: Path, fmt: str
) -> list[Path]:
    makers = {name: partial(make, subject) for name, make in figures.items()}
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
            with figures_freed():
                paths.append(save(make(), out_dir, name, fmt))
        except RunError as error:
            reasons.append(str(error))
    if reasons:
        causes = "; ".join(dict.fromkeys(reasons))  # often one cause for all of them
        raise RunError(f"{len(reasons)} of {len(makers)} figures could not be drawn: {causes}")
    return paths


@contextmanager
def figures_freed() -> Iterator[None]:
    """Free the figures of the block at its end; also a decorator.

    They have reference cycles, and would wait until Python searches for these; that of a long run
    takes 50 MB.
    """
    gc.freeze()  # so that only new objects are searched, which takes a tenth of the time
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
