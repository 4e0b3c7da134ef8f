"""What if the rule of early stopping had been another? Replays rules over one run's checks.

What rules of early stopping would have made of a run: where they stop, and what that costs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.figures import captions
from mnistlin.figures.panel import pane
from mnistlin.figures.style import (
    FOOTER,
    HEADER,
    INK,
    MARGIN,
    NOTE,
    OKABE_ITO,
    WIDTH,
    house_style,
    new_figure,
    write_note,
)
from mnistlin.runs.folder import Run
from mnistlin.training.segments import Stopper


@dataclass(frozen=True)
class RuleOutcome:
    """What a rule would have made of the run.

    Attributes
    ----------
    patience : int
        Checks without improvement at which training stops.
    min_delta : float
        By how much a check must improve the loss to count, in nats.
    has_stopped : bool
        Whether it stops within the run; if not, the rest is about the run's last check.
    step, epoch : int
        Where training ends.
    last_val_loss : float
        Validation loss there, in nats: that of the weights `last`.
    best_val_loss : float
        Lowest validation loss up to there: that of the weights `best`.
    best_step : int
        Where it was reached.
    last_regret, best_regret : float
        How far the two are above the lowest validation loss of the whole run, in nats.
    """

    patience: int
    min_delta: float
    has_stopped: bool
    step: int
    epoch: int
    last_val_loss: float
    best_val_loss: float
    best_step: int
    last_regret: float
    best_regret: float


def replay_rules(
    run: Run, patiences: Iterable[int], min_deltas: Iterable[float] = (0.0,)
) -> list[RuleOutcome]:
    """Replay rules of early stopping over a run's metrics.csv.

    Parameters
    ----------
    run : Run
        Best a long one without early stopping: a rule that outlasts it cannot be told.
    patiences : iterable of int
        Checks, at least 1.
    min_deltas : iterable of float
        Each is combined with each patience.

    Returns
    -------
    list of RuleOutcome
        All patiences of the first min_delta, then of the next.

    Raises
    ------
    RunError
        If the run has no check, or metrics.csv cannot be read.
    """
    if not len(run.metrics["step"]):
        raise RunError(f"{run.path}: metrics.csv has no checks, so there is no rule to replay")
    patiences = list(patiences)
    return [
        _outcome(run.metrics, stoppers, patience, min_delta)
        for min_delta in min_deltas
        for stoppers in [_stoppers(run.metrics["val_loss"], min_delta)]
        for patience in patiences
    ]


def alike(outcomes: Iterable[RuleOutcome]) -> Iterator[tuple[RuleOutcome, RuleOutcome]]:
    """Yield first and last of each group of consecutive rules that keep the same best weights."""
    for _, group in groupby(outcomes, _what_is_kept):
        rules = list(group)
        yield rules[0], rules[-1]


def _what_is_kept(outcome: RuleOutcome) -> tuple[float, int, bool]:
    return outcome.min_delta, outcome.best_step, outcome.has_stopped


def _stoppers(val_losses: NDArray[Any], min_delta: float) -> list[Stopper]:
    """Return the rule's memory after each check."""
    steps = accumulate(
        val_losses.tolist(), lambda memory, loss: memory.after(loss, min_delta), initial=Stopper()
    )
    return list(steps)[1:]


def _outcome(
    metrics: Mapping[str, NDArray[Any]],
    stoppers: Sequence[Stopper],
    patience: int,
    min_delta: float,
) -> RuleOutcome:
    losses = metrics["val_loss"]
    stop = next((i for i, memory in enumerate(stoppers) if memory.is_out_of(patience)), None)
    end = len(losses) - 1 if stop is None else stop
    best = int(np.argmin(losses[: end + 1]))
    lowest = float(losses.min())
    return RuleOutcome(
        patience=patience,
        min_delta=min_delta,
        has_stopped=stop is not None,
        step=int(metrics["step"][end]),
        epoch=int(metrics["epoch"][end]),
        last_val_loss=float(losses[end]),
        best_val_loss=float(losses[best]),
        best_step=int(metrics["step"][best]),
        last_regret=float(losses[end]) - lowest,
        best_regret=float(losses[best]) - lowest,
    )


LEFT, RIGHT, TITLE, AXIS, BETWEEN = 0.65, 0.15, 0.35, 0.5, 0.2
PANEL = 1.85
SMALLEST_REGRET = 1e-4
"""Below this, in nats, the scale of the regret is linear, so that 0 has a place on it."""


@house_style()
def stopping_figure(run: "Run", outcomes: "Sequence[RuleOutcome]") -> Figure:
    """Draw the epoch in which rules stop, and their regret, over their patience.

    Parameters
    ----------
    run : Run
        The run that the rules were replayed on.
    outcomes : sequence of RuleOutcome
        What became of them; each min_delta is a curve.
    """
    height = HEADER + 2 * (TITLE + PANEL) + BETWEEN + AXIS + NOTE + FOOTER
    figure = new_figure(*captions.of_run("Early stopping", run), height=height)
    left, width = MARGIN + LEFT, WIDTH - 2 * MARGIN - LEFT - RIGHT
    y = height - HEADER - TITLE - PANEL
    epochs = pane(figure, (left, y, width, PANEL), "epoch in which training stops")
    y -= BETWEEN + TITLE + PANEL
    title = "regret: validation loss above the lowest of the run, nats, log scale"
    regret = pane(figure, (left, y, width, PANEL), title, "patience (checks without improvement)")
    curves = _by_min_delta(outcomes)
    for color, (min_delta, rules) in zip(_colors(len(curves)), curves.items(), strict=True):
        _draw_curve(epochs, regret, rules, color, f"min_delta {min_delta:g}")
    _finish(epochs, regret, run)
    write_note(
        figure,
        "Lines: of the best weights until then. Dots: of the last weights. Open ring: the rule had "
        "not stopped when the run ended.",
    )
    return figure


def _draw_curve(
    epochs: Axes, regret: Axes, rules: "Sequence[RuleOutcome]", color: Any, label: str
) -> None:
    patience = [rule.patience for rule in rules]
    stops = [rule.epoch for rule in rules]
    epochs.plot(patience, stops, color=color, drawstyle="steps-mid", label=label)
    late = [rule for rule in rules if not rule.has_stopped]
    epochs.plot(
        [rule.patience for rule in late],
        [rule.epoch for rule in late],
        "o",
        markerfacecolor="white",
        markeredgecolor=color,
        markersize=4,
    )
    look = {"color": color, "drawstyle": "steps-mid"}
    regret.plot(patience, [rule.best_regret for rule in rules], **look)
    regret.plot(patience, [rule.last_regret for rule in rules], "o", color=color, markersize=3)


def _finish(epochs: Axes, regret: Axes, run: "Run") -> None:
    """Set the scales of both panels, and mark the rule that the run itself had."""
    regret.set_yscale("symlog", linthresh=SMALLEST_REGRET)
    regret.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    regret.set_ylim(bottom=-0.3 * SMALLEST_REGRET)
    epochs.set_ylim(bottom=0)
    epochs.tick_params(labelbottom=False)
    for axes in (epochs, regret):
        axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
        axes.set_xlim(left=0)
        if run.config.early_stopping is not None:
            rule = run.config.early_stopping.patience
            axes.axvline(rule, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    epochs.legend(loc="upper left")


def _by_min_delta(outcomes: "Sequence[RuleOutcome]") -> "dict[float, list[RuleOutcome]]":
    curves: dict[float, list[RuleOutcome]] = {}
    for outcome in outcomes:
        curves.setdefault(outcome.min_delta, []).append(outcome)
    return curves


def _colors(n: int) -> list[str]:
    return [OKABE_ITO[i % len(OKABE_ITO)] for i in range(n)]
