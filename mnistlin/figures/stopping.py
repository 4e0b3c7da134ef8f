"""What rules of early stopping would have made of a run: where they stop, and what that costs."""

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mnistlin.figures import captions
from mnistlin.figures.panes import pane
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnistlin.analysis.stopping import RuleOutcome
    from mnistlin.runs.folder import Run

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
