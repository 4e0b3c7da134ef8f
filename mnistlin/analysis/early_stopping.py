"""`explain early-stopping`: where other rules would have ended a run, and at what cost.

A rule needs the losses of the checks only, so any rule can be applied to a finished run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, cycle, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run
from mnistlin.training.segments import EarlyStoppingState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_REGRET = 1e-4
"""Below this, in nats, the scale of the regret is linear, so that 0 has a place on it."""


@dataclass(frozen=True)
class AppliedRule:
    """One rule, and where it would have ended the run; steps and epochs count from 0.

    `last` is the check at which training ends and `best` the lowest validation loss up to there.
    A regret is a loss above the lowest of the whole run. All losses are in nats.
    """

    patience: int
    min_delta: float
    has_stopped: bool
    """Whether it stops within the run; if not, training ends at the last check of the run."""
    step: int
    epoch: int
    last_val_loss: float
    best_val_loss: float
    best_step: int
    last_regret: float
    best_regret: float


@dataclass(frozen=True)
class EarlyStopping(Result):
    """Rules applied to the checks of one run: all patiences of one min_delta, then of the next."""

    run: Run
    rules: tuple[AppliedRule, ...]

    title = "Other rules of early stopping"
    stem = "early-stopping"

    @property
    def lowest_val_loss(self) -> float:
        """The lowest validation loss of the whole run, in nats."""
        return float(self.run.metrics["val_loss"].min())

    def values(self) -> Values:
        """Return the run and its lowest loss."""
        return {"run": str(self.run.path), "lowest_val_loss": self.lowest_val_loss}

    def tables(self) -> Tables:
        """Return one row for each group of rules that keep the same weights."""
        return {"rules": [_group_row(*ends) for ends in alike(self.rules)]}

    def records(self) -> Tables:
        """Return one row for each rule."""
        return {self.stem: [asdict(rule) for rule in self.rules]}

    def explanation(self) -> str:
        """Describe what the smallest and the largest patience keep, and which one is enough."""
        rules = [rule for rule in self.rules if rule.min_delta == self.rules[0].min_delta]
        steps, losses = self.run.metrics["step"], self.run.metrics["val_loss"]
        words = (
            f"The lowest validation loss of this run is {self.lowest_val_loss:.5f}, at step "
            f"{steps[np.argmin(losses)]:,}. With min_delta {rules[0].min_delta:g}, "
        )
        words += "; ".join(_about(rule) for rule in dict.fromkeys((rules[0], rules[-1])))
        enough = next((rule.patience for rule in rules if not rule.best_regret), None)
        if enough is None:
            return f"{words}. None of these rules reaches the lowest loss."
        return f"{words}. The smallest of these that reaches the lowest loss is patience {enough}."

    def figure(self) -> "Figure":
        """Draw the epoch in which each rule stops, and its regret, against patience."""
        from mnistlin.figures import captions
        from mnistlin.figures.panel import add_legend
        from mnistlin.figures.style import (
            DASHES,
            HEIGHT,
            OKABE_ITO,
            is_for_paper,
            name_axes,
            page,
            sequential_colors,
        )

        note = (
            "Lines: the best weights up to the stop. Dots: the last weights. Open circles: the "
            "rule had not stopped when the run ended."
        )
        height = HEIGHT + (2.4 if is_for_paper() else 0.6)
        with page(captions.of_run("Early stopping", self.run), note, height) as figure:
            panels = figure.subplot_mosaic([["epochs"], ["regret"]], sharex=True)
            epochs, regret = panels["epochs"], panels["regret"]
            groups = {min_delta: [*each] for min_delta, each in groupby(self.rules, _min_delta)}
            are_few = len(groups) <= len(OKABE_ITO)
            colors = OKABE_ITO if are_few else sequential_colors(len(groups))
            dashes = cycle(DASHES[:1] if are_few else DASHES)
            for (min_delta, rules), color, dash in zip(
                groups.items(), colors, dashes, strict=False
            ):
                look = {"color": color, "linestyle": dash, "label": f"min_delta {min_delta:g}"}
                _draw_rules(epochs, regret, rules, look)
            name_axes(epochs, "epoch in which training stops")
            epochs.set_ylim(bottom=0)
            add_legend(epochs)
            name_axes(
                regret,
                "regret: validation loss above the lowest of the run, nats, log scale",
                "patience (checks without improvement)",
            )
            regret.set_yscale("symlog", linthresh=SMALLEST_REGRET, linscale=2)
            regret.yaxis.set_major_formatter("{x:g}")
            regret.set_ylim(bottom=-0.3 * SMALLEST_REGRET)
            regret.locator_params("x", integer=True)
            regret.set_xlim(left=0)
            if self.run.config.early_stopping:
                for axes in (epochs, regret):
                    axes.axvline(self.run.config.early_stopping.patience, linestyle="--", color="k")
        return figure


def explain_early_stopping(
    run: Run, patiences: Iterable[int], min_deltas: Iterable[float] = (0.0,)
) -> EarlyStopping:
    """Apply rules of early stopping to the checks of a run.

    Parameters
    ----------
    run : Run
        Preferably long and without early stopping: a rule cannot be followed beyond its end.
    patiences : iterable of int
        Checks, at least 1, in increasing order.
    min_deltas : iterable of float
        Each is combined with each patience.

    Raises
    ------
    RunError
        If the run has no checks, or metrics.csv cannot be read.
    """
    if not len(run.metrics["step"]):
        raise RunError(f"{run.path}: metrics.csv has no checks, so no rule can be applied")
    patiences = list(patiences)
    rules = [
        _applied(run, states, patience, min_delta)
        for min_delta in dict.fromkeys(min_deltas)
        for states in [_states(run.metrics["val_loss"].tolist(), min_delta)]
        for patience in patiences
    ]
    return EarlyStopping(run, tuple(rules))


def alike(rules: Iterable[AppliedRule]) -> Iterator[tuple[AppliedRule, AppliedRule]]:
    """Yield the first and last of each group of consecutive rules that keep the same weights."""
    for _, group in groupby(rules, lambda rule: (rule.min_delta, rule.best_step, rule.has_stopped)):
        members = list(group)
        yield members[0], members[-1]


def _min_delta(rule: AppliedRule) -> float:
    return rule.min_delta


def _states(val_losses: Sequence[float], min_delta: float) -> list[EarlyStoppingState]:
    """Return the state of early stopping after each check."""
    states = accumulate(
        val_losses, lambda state, loss: state.after(loss, min_delta), initial=EarlyStoppingState()
    )
    return list(states)[1:]


def _applied(
    run: Run, states: Sequence[EarlyStoppingState], patience: int, min_delta: float
) -> AppliedRule:
    steps, losses = run.metrics["step"], run.metrics["val_loss"]
    stop = next((i for i, state in enumerate(states) if state.should_stop(patience)), None)
    end = len(losses) - 1 if stop is None else stop
    best = int(np.argmin(losses[: end + 1]))
    return AppliedRule(
        patience=patience,
        min_delta=min_delta,
        has_stopped=stop is not None,
        step=int(steps[end]),
        epoch=int(run.metrics["epoch"][end]),
        last_val_loss=float(losses[end]),
        best_val_loss=float(losses[best]),
        best_step=int(steps[best]),
        last_regret=float(losses[end] - losses.min()),
        best_regret=float(losses[best] - losses.min()),
    )


def _group_row(first: AppliedRule, last: AppliedRule) -> dict[str, Any]:
    return {
        "min_delta": first.min_delta,
        "patience": _span(first.patience, last.patience),
        "stop_epoch": _span(first.epoch, last.epoch) if last.has_stopped else "never",
        "best_step": first.best_step,
        "best_val_loss": first.best_val_loss,
        "best_regret": first.best_regret,
    }


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _about(rule: AppliedRule) -> str:
    end = f"stops in epoch {rule.epoch}"
    if not rule.has_stopped:
        end = f"does not stop in the {rule.epoch + 1} epochs of this run"
    return f"patience {rule.patience} {end} and keeps a loss of {rule.best_val_loss:.5f}"


def _draw_rules(
    epochs: "Axes", regret: "Axes", rules: Sequence[AppliedRule], look: dict[str, Any]
) -> None:
    patience = [rule.patience for rule in rules]
    stops = [rule.epoch for rule in rules]
    line, color = {**look, "drawstyle": "steps-mid"}, look["color"]
    epochs.plot(patience, stops, **line)
    late = [(rule.patience, rule.epoch) for rule in rules if not rule.has_stopped]
    if late:
        epochs.plot(*zip(*late, strict=True), "o", mfc="white", color=color, markersize=4)
    regret.plot(patience, [rule.best_regret for rule in rules], **line)
    last = [rule.last_regret for rule in rules]
    regret.plot(patience, last, "o", color=color, markersize=3, clip_on=False)
