"""The figures that a part may ask for, and in words what each shows, for who does not see it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.dips import dips_figure, explain_dips
from mnistlin.analysis.statistics import written
from mnistlin.figures.confusion import confusion_figure
from mnistlin.figures.curves import (
    accuracy_figure,
    accuracy_overlay,
    log_loss_figure,
    loss_figure,
    loss_overlay,
)
from mnistlin.figures.draw import draw_all
from mnistlin.figures.sweeps import (
    final_accuracy_figure,
    lambda_weights_figure,
    val_accuracy_figure,
    weight_norm_figure,
)
from mnistlin.figures.weights import weights_figure
from mnistlin.report.plan import Part
from mnistlin.report.runner import Outcomes
from mnistlin.runs.files import write_bytes
from mnistlin.runs.folder import Run
from mnistlin.runs.sweep_folder import Sweep


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes
    ----------
    path : Path
        Its SVG file.
    alt : str
        What it shows, in words and numbers.
    caption : str
        What it is.
    """

    path: Path
    alt: str
    caption: str


def draw_pictures(part: Part, outcomes: Outcomes, folder: Path) -> list[Picture]:
    """Draw the figures of a part into files that bear its name.

    Raises
    ------
    RunError
        If one cannot be drawn or written.
    ConfigError
        If one needs a sweep and is asked for a run, or the other way round.
    """
    shown = [outcomes[name] for name in part.experiments]
    makers: dict[str, Callable[[], Any]] = {}
    words: dict[str, tuple[str, str]] = {}
    for name in part.pictures:
        for file, make, alt, caption in _pictures(name, shown):
            makers[f"{part.id}-{file}"] = make
            words[f"{part.id}-{file}"] = alt, caption
    paths = draw_all(makers, folder, "svg") if makers else []
    for path in paths:
        write_bytes(path, compact(path.read_text(encoding="utf-8")).encode())
    return [Picture(path, *words[path.stem]) for path in paths]


def compact(svg: str) -> str:
    """Return an SVG without comments and indents, and in tenths of a point.

    No eye sees the five decimals more, and a page of many figures is a third smaller.
    """
    bare = re.sub(r"\n\s*", "\n", re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL))
    return _PLACES.sub(lambda place: _DECIMALS.sub(_rounded, place[0]), bare)


_PLACES = re.compile(r' (?:d|x|y)="[^"]*"|translate\([^)]*\)')
_DECIMALS = re.compile(r"-?[0-9]+\.[0-9]{2,}")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


Drawing: TypeAlias = tuple[str, Callable[[], Any], str, str]
"""File name, how to draw it, alternative text, caption."""


def _pictures(name: str, outcomes: Sequence[TrainedExperiment]) -> list[Drawing]:
    """Return one figure for all outcomes, or one for each."""
    if name in OF_SWEEPS:
        make_for, caption = OF_SWEEPS[name]
        sweeps = [outcome.whole_sweep for outcome in outcomes]
        return [
            (name, partial(make_for, each), _sweep_alt(caption, each), caption) for each in sweeps
        ]
    if name in OF_ALL_RUNS:
        make_of_all, caption = OF_ALL_RUNS[name]
        runs = [outcome.run for outcome in outcomes]
        alts = " ".join(_run_alt("", outcome) for outcome in outcomes)
        return [(name, partial(make_of_all, runs), f"{caption}. {alts}", caption)]
    make, caption = OF_RUNS[name]
    several = len(outcomes) > 1
    return [
        (
            f"{name}-{outcome.name}" if several else name,
            partial(make, outcome.run),
            _run_alt(f"{caption}. ", outcome),
            f"{caption} ({outcome.name})" if several else caption,
        )
        for outcome in outcomes
    ]


def _dips_figure(run: Run) -> Any:
    return dips_figure(run, explain_dips(run))


def _run_alt(start: str, outcome: TrainedExperiment) -> str:
    summary = outcome.run.summary
    ends = [
        f"loss {summary[f'last_{part}_loss']:.4f} and accuracy "
        f"{written(summary[f'last_{part}_accuracy'], '.2%')} on the {name} set"
        for part, name in {"train": "training", "val": "validation"}.items()
    ]
    return (
        f"{start}{outcome.name}, {summary['last_step'] + 1:,} steps; at the end {', '.join(ends)}."
    )


def _sweep_alt(start: str, sweep: Sweep) -> str:
    runs = [(value, next(iter(runs.values()))) for value, runs in sweep.by_lambda.items() if runs]
    ends = [
        f"λ = {value:g}: validation accuracy {written(run.metrics['val_accuracy'][-1], '.2%')}, "
        f"weight norm {run.metrics['weight_norm'][-1]:.3g}"
        for value, run in runs
    ]
    return f"{start}. With the first seed, at the end: {'; '.join(ends)}."


OF_RUNS: dict[str, tuple[Callable[[Run], Any], str]] = {
    "loss": (loss_figure, "Loss over the steps"),
    "loss-log": (log_loss_figure, "The same loss on logarithmic axes"),
    "accuracy": (accuracy_figure, "Accuracy over the steps"),
    "weights": (weights_figure, "The weights as images"),
    "confusion": (confusion_figure, "Which class is taken for which, on the validation set"),
    "dips": (_dips_figure, "Dips of the accuracy, their period, and the batches behind them"),
}
OF_ALL_RUNS: dict[str, tuple[Callable[[Sequence[Run]], Any], str]] = {
    "loss-overlay": (loss_overlay, "The losses of all runs, over each other"),
    "accuracy-overlay": (accuracy_overlay, "The accuracies of all runs, over each other"),
}
OF_SWEEPS: dict[str, tuple[Callable[[Sweep], Any], str]] = {
    "lambda-accuracy": (val_accuracy_figure, "Validation accuracy over the steps, a curve a λ"),
    "lambda-final-accuracy": (final_accuracy_figure, "Accuracy at the end against λ"),
    "lambda-weight-norm": (weight_norm_figure, "Norm of the weights at the end against λ"),
    "lambda-weights": (lambda_weights_figure, "The weights as images, a row a λ"),
}
