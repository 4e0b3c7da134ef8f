"""`explain dips`: why does validation accuracy dip regularly, and which steps lower it?

The period of the dips is predicted and measured. Their cause is tested by an experiment: from the
last weights of an unshuffled run, one more epoch in the same order, evaluated after every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim
from mnistlin.analysis.one_more_epoch import OneMoreEpoch, one_more_epoch
from mnistlin.analysis.periods import (
    MIN_CORRELATION,
    ExpectedPeriod,
    LossByPosition,
    MeasuredPeriod,
    checks_for,
    loss_by_position,
    measure_period,
    predict_period,
)
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.data.splits import Split
from mnistlin.figures import captions
from mnistlin.figures.style import BLUE, GREEN, HEIGHT, INK, MUTED, SKY, VERMILION
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.text import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FEW_POSITIONS = 3
"""Dips at more positions than these are not marked by position."""

N_IMAGES, MAX_LABELLED_CLASSES = 9, 12
DIP_COLOR, PREDICTED_COLOR = VERMILION, GREEN


@dataclass(frozen=True)
class Dips(Result):
    """The dips of a run: their period by config and by metrics.csv, and the steps behind them."""

    run: Run
    predicted: ExpectedPeriod
    measured: MeasuredPeriod
    losses: LossByPosition
    epoch: OneMoreEpoch | None
    """None for a shuffled run, in which no batch returns."""

    title = "Dips of the validation accuracy"
    stem = "dips"

    @property
    def is_too_long(self) -> bool:
        """Whether the predicted period is longer than this run can show."""
        return (self.predicted.lag or 0) > self.measured.max_lag

    @property
    def agree(self) -> bool:
        """Whether the two periods are the same, or both none."""
        return self.predicted.period == self.measured.period

    @property
    def dip_positions(self) -> list[int]:
        """Distinct positions in the epoch, from 0, of the deepest dips."""
        positions = self.measured.deepest_dips() % self.predicted.steps_per_epoch
        return [int(position) for position in np.unique(positions)]

    @property
    def is_near_return(self) -> bool:
        """Whether checks a measured period apart are closer in the epoch than consecutive ones."""
        if self.measured.period is None:
            return False
        length = self.predicted.steps_per_epoch
        drift = min(self.measured.period % length, -self.measured.period % length)
        return 0 < drift < self.predicted.check_every / 2

    def values(self) -> Values:
        """Return both periods, and where the dips are."""
        return {
            "run": str(self.run.path),
            "steps_per_epoch": self.predicted.steps_per_epoch,
            "check_every": self.predicted.check_every,
            "predicted_period": self.predicted.period,
            "measured_period": self.measured.period,
            "correlation": self.measured.highest_correlation,
            "agree": self.agree,
            "deepest_dips": self.measured.deepest_dips().tolist(),
            "positions_of_dips": self.dip_positions,
        }

    def tables(self) -> Tables:
        """Return the batches whose steps lower accuracy most, with their class counts."""
        if self.epoch is None:
            return {}
        labels = [f"n_{label}" for label in self.epoch.train.classes]
        rows = [
            {
                "position": batch.position,
                "accuracy_change": batch.accuracy_change,
                "mean_loss": batch.mean_loss,
                **dict(zip(labels, batch.counts.tolist(), strict=True)),
            }
            for batch in self.epoch.batches
        ]
        return {"hardest_batches": rows}

    def explanation(self) -> str:
        """Describe whether the periods agree, and which steps lower accuracy."""
        parts = [self._about_period(), self._about_measurement(), self._about_agreement()]
        parts.append(self._about_positions() if self.epoch is None else self._about_steps())
        if len(self.measured.deepest_dips()):
            parts.append("J is convex and has no local optimum that could cause the dips.")
        return " ".join(filter(None, parts))

    def _about_period(self) -> str:
        plan = self.predicted
        if self.epoch is None:
            return (
                "With shuffling every epoch has other batches: no period follows from their order."
            )
        words = (
            f"Without shuffling the same {plan.steps_per_epoch} batches come in the same order in "
            "every epoch"
        )
        if plan.period is None:
            return f"{words}, and every check follows the same batch: no period is expected."
        each = f"every {plan.check_every} steps" if plan.check_every > 1 else "after every step"
        return f"{words}, and a check comes {each}: it follows the same batch every {plan.lcm()}."

    def _about_measurement(self) -> str:
        found = self.measured
        if found.period is not None:
            return (
                f"Measured: {found.period:,} steps, with a correlation of "
                f"{found.highest_correlation:.2f}."
            )
        return (
            f"Measured: no period of up to {found.max_lag * found.spacing:,} steps; the highest "
            f"correlation, {found.highest_correlation:.2f}, is below {MIN_CORRELATION:g}."
        )

    def _about_agreement(self) -> str:
        expected, found = self.predicted, self.measured
        if self.agree:
            return "Prediction and measurement agree."
        if expected.period is not None and self.is_near_return:
            return (
                f"After {found.period:,} steps a check is not at the same position of the epoch, "
                f"which takes {expected.period:,}, but so close to it that the weights are nearly "
                "the same."
            )
        if self.is_too_long and expected.lag is not None:
            n_checks = checks_for(expected.lag)
            epochs = -(-n_checks * expected.check_every // expected.steps_per_epoch)
            return (
                f"The predicted period, {expected.lag} checks, is too long for this run: it would "
                f"show in {n_checks:,} checks, which take {epochs:,} epochs."
            )
        if found.period is None:
            return "The predicted period does not show in this run."
        return "Prediction and measurement do not agree: the order of batches does not explain it."

    def _about_positions(self) -> str:
        losses = self.losses
        spread = f"{losses.mean.std():.4f} nats between the positions of an epoch"
        if losses.p_value >= 0.05:
            return (
                f"Without their trend, mean batch losses differ by {spread}, no more than by "
                f"chance (p = {losses.p_value:.2g}, analysis of variance): no position stands out."
            )
        return (
            f"Without their trend, mean batch losses differ by {spread}, more than by chance (p = "
            f"{losses.p_value:.2g}, analysis of variance), although the batches differ."
        )

    def _about_steps(self) -> str:
        assert self.epoch is not None  # noqa: S101 (the caller has looked)
        worst = self.epoch.batches[0]
        start = "from the last weights"
        if self.epoch.follows_part:
            start = "after the rest of the one in which the run has stopped"
        words = f"One more epoch {start}, evaluated after every step: "
        if worst.accuracy_change >= 0:
            return f"{words}no step lowers validation accuracy."
        before, after = self.epoch.accuracy[worst.position : worst.position + 2]
        steps = self.epoch.steps_to_recover(worst.position)
        recovery = "and it does not recover within the epoch"
        if steps is not None:
            recovery = f"and {steps} step{'s' * (steps != 1)} later it has recovered"
        words += (
            f"the step at position {worst.position} lowers validation accuracy most, from "
            f"{before:.4f} to {after:.4f}, {recovery}."
        )
        positions = self.dip_positions
        if not positions:
            return f"{words} No check of the run stands out as a dip."
        dips = _listed(self.measured.deepest_dips().tolist())
        where = f"position{'s' * (len(positions) > 1)} {_listed(positions)}"
        return f"{words} The deepest dips of the run, at steps {dips}, are at {where} of the epoch."

    def figure(self) -> "Figure":
        """Draw the dips, the correlation, and what each step of an epoch does."""
        from mnistlin.figures.style import is_for_paper, page, stacked

        n_rows = len(self.epoch.batches) if self.epoch else 0
        words = captions.of_run("Dips in accuracy", self.run)
        panel_rows, n_panel_rows = ("A;C;P", 3) if is_for_paper() else ("AA;CP", 2)
        height_of_images = (1.5 if is_for_paper() else 0.95) * n_rows
        height = HEIGHT + 0.9 + 2.4 * (n_panel_rows - 2) + height_of_images
        with page(words, self._note(), height) as figure:
            if self.epoch is None:
                panels = figure.subplot_mosaic(panel_rows)
                _draw_losses(panels["P"], self.losses)
            else:
                top, below = stacked(figure, [2.4 * n_panel_rows, height_of_images])
                panels = top.subplot_mosaic(panel_rows)
                _draw_epoch(panels["P"], self, self.epoch)
                _draw_batches(below, self.epoch)
            _draw_accuracy(panels["A"], self)
            _draw_correlation(panels["C"], self)
        return figure

    def _note(self) -> str:
        plan = self.predicted
        words = f"{plan.steps_per_epoch} steps per epoch, a check every {plan.check_every}"
        if self.epoch is None:
            return f"{words}. Shuffled: every epoch has other batches. Bars: ±1 standard error."
        if plan.period is None:
            return f"{words}. Every check follows the same batch."
        return f"{words}: a check follows the same batch every {plan.lcm()}."


def explain_dips(run: Run) -> Dips:
    """Look for the dips of a run's validation accuracy, and for the steps that cause them.

    Raises
    ------
    RunError
        If the run is too short, or damaged.
    DataError, ConfigError
        If its data is missing, or not the same as it was.
    """
    predicted = predict_period(run.config.training, run.info.data.splits.train.n_samples)
    measured = measure_period(run)
    losses = loss_by_position(run, predicted.steps_per_epoch)
    epoch = None
    if not run.config.training.shuffle:
        epoch = one_more_epoch(run, load_own_splits(run), losses)
    return Dips(run, predicted, measured, losses, epoch)


@claim("dips-only-without-shuffle")
def _dips_only_without_shuffle(evidence: Evidence) -> Finding:
    """The first experiment has dips with a period; the others, which are shuffled, have none."""
    periods = [
        evidence.ask(explain_dips, each.run).measured.period for each in evidence.experiments
    ]
    words = [f"every {period} steps" if period else "none" for period in periods]
    verdict: Verdict = "agrees" if periods[0] and not any(periods[1:]) else "differs"
    return Finding(verdict, f"without shuffling {words[0]}; with it {', '.join(words[1:])}")


@claim("local-optima")
def _local_optima(evidence: Evidence) -> Finding:
    """Dips are caused by local optima, which the convex objective cannot have."""
    found = evidence.ask(explain_dips, evidence.first.run)
    return Finding(
        "differs",
        f"the objective is convex: no local optima; {_repetition(found.measured)}",
        explanation=found.explanation(),
        figure=found.figure,
    )


def _repetition(found: MeasuredPeriod) -> str:
    if found.period is None:
        return f"no period (highest correlation {found.highest_correlation:.2f})"
    return f"accuracy repeats after {found.period} steps ({found.highest_correlation:.2f})"


def _listed(numbers: Sequence[int]) -> str:
    """Return numbers as a list in a sentence: "1, 2 and 3"."""
    words = [f"{number:,}" for number in numbers]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _draw_accuracy(axes: "Axes", dips: Dips) -> None:
    """Draw the accuracy, with its deepest dips, on a scale that leaves out the first checks."""
    from mnistlin.figures.style import name_axes

    steps, accuracy = dips.run.metrics["step"], dips.run.metrics["val_accuracy"]
    settled = accuracy[steps >= dips.measured.steps[0]]
    at = np.isin(steps, dips.measured.deepest_dips())
    axes.plot(steps, accuracy, color=BLUE, linewidth=1.1)
    axes.plot(steps[at], accuracy[at], "o", color=DIP_COLOR, markersize=5)
    # To the right, since above a dip its label would be on the curve.
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}
    for step, value in zip(steps[at], accuracy[at], strict=True):
        axes.annotate(f"{step:,}", (step, value), (5, 0), **look)
    pad = 0.1 * (np.ptp(settled) or 0.01)
    axes.set_ylim(settled.min() - pad, settled.max() + pad)
    axes.set_xlim(0, steps[-1])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params("y", nbins=5)
    name_axes(axes, "validation accuracy (fraction)", "step (update)")


def _draw_correlation(axes: "Axes", dips: Dips) -> None:
    """Draw the correlation by lag, with the measured and the predicted period."""
    from mnistlin.figures.style import legend_below, name_axes

    found, predicted = dips.measured, dips.predicted
    lags = np.arange(1, found.max_lag + 1)
    last = min(found.max_lag, max(60, 2 * (predicted.lag or 0), 2 * (found.lag or 0)))
    is_period = lags == found.lag
    for mask, color in ((~is_period, BLUE), (is_period, DIP_COLOR)):
        axes.vlines(lags[mask], 0, found.correlation[mask], color=color, linewidth=130 / last)
    measured = "none" if found.lag is None else f"{found.lag} checks, {found.period:,} steps"
    axes.plot([], [], color=DIP_COLOR, label=f"measured: {measured}")
    label = "predicted: none"
    if predicted.lag is not None:
        label = f"predicted: {predicted.lag} checks, {predicted.period:,} steps"
        if predicted.lag <= last:
            axes.plot([predicted.lag], [1.0], "v", color=PREDICTED_COLOR, markersize=8)
    axes.plot([], [], "v", color=PREDICTED_COLOR, markersize=8, label=label)
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.set_ylim(-0.6, 1.15)
    axes.set_yticks([-0.5, 0, 0.5, 1])
    axes.set_xlim(0, last + 1)
    legend_below(axes)
    name_axes(axes, "correlation of its fluctuation", "checks later")


def _draw_losses(axes: "Axes", losses: LossByPosition) -> None:
    """Draw the mean loss by position."""
    from mnistlin.figures.style import name_axes

    positions = np.arange(len(losses.mean))
    axes.bar(positions, losses.mean, color=BLUE)
    axes.errorbar(positions, losses.mean, losses.error, linestyle="", color=INK, elinewidth=0.8)
    axes.set_ylim(0, 1.2 * losses.mean.max())
    axes.set_xlim(-1, len(positions))
    axes.locator_params("x", integer=True)
    name_axes(axes, "mean batch loss without its trend, nats", "position in the epoch (step)")


def _draw_epoch(axes: "Axes", dips: Dips, epoch: OneMoreEpoch) -> None:
    """Draw the accuracy after each step of one more epoch, and the positions of the dips."""
    from mnistlin.figures.style import legend_below, name_axes

    after, positions = epoch.accuracy[1:], np.arange(len(epoch.change))
    axes.plot([-1, *positions], epoch.accuracy, color=BLUE, marker="o", markersize=3)
    worst = [batch.position for batch in epoch.batches if batch.accuracy_change < 0]
    label = "steps that lower it most"
    axes.plot(worst, after[worst], "v", color=DIP_COLOR, markersize=7, label=label)
    if 0 < len(dips.dip_positions) <= FEW_POSITIONS:
        for position in dips.dip_positions:
            label = "position of the deepest dips" if position == dips.dip_positions[0] else ""
            axes.axvline(position, color=MUTED, linestyle="--", label=label or None)
    low, high = epoch.accuracy.min(), epoch.accuracy.max()
    axes.set_ylim(low - 0.1 * (high - low or 0.01), high + 0.1 * (high - low or 0.01))
    legend_below(axes)
    axes.locator_params("x", integer=True)
    name_axes(axes, "accuracy after each step of one more epoch", "position in the epoch (step)")


def _draw_batches(part: "SubFigure", epoch: OneMoreEpoch) -> None:
    """Draw a row per batch: its step, its class mix, and its images with the highest loss."""
    from mnistlin.figures.panel import draw_images
    from mnistlin.figures.style import in_lines, is_for_paper

    words = (
        "their batches: position, change of accuracy, class mix (line: all training images), "
        "images with the highest loss"
    )
    part.suptitle(in_lines(words), x=0.0, ha="left", fontsize=9.5)
    n_images = 4 if is_for_paper() else N_IMAGES
    widths = [1.5, 1.6, n_images]
    grid = part.subplots(len(epoch.batches), 3, squeeze=False, width_ratios=widths)
    for (about, mix, images), batch in zip(grid, epoch.batches, strict=True):
        about.set_axis_off()
        change = signed(100 * batch.accuracy_change, ".2f")
        about.text(0, 0.5, f"position {batch.position}\n{change} points", va="center", fontsize=9)
        _draw_mix(mix, batch.counts, epoch.train)
        samples = batch.samples[:n_images]
        labels = [str(epoch.train.classes[target]) for target in epoch.train.targets[samples]]
        draw_images(images, epoch.train, samples, [(label, "") for label in labels], n_images)


def _draw_mix(axes: "Axes", counts: NDArray[np.intp], train: Split) -> None:
    """Draw the share of each class in a batch, and in the whole training set."""
    classes = np.arange(len(counts))
    overall = np.bincount(train.targets, minlength=len(counts)) / train.n_samples
    axes.bar(classes, counts / counts.sum(), color=SKY, width=0.8)
    axes.hlines(overall, classes - 0.45, classes + 0.45, color=INK, linewidth=1.4)
    shows_labels = len(classes) <= MAX_LABELLED_CLASSES
    labels = [str(label) if shows_labels else "" for label in train.classes]
    axes.set_xticks(classes, labels, fontsize=8)
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
