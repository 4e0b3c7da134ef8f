"""Does a run over-fit? Its validation loss rises while its training loss still falls.

The rise is tested over the validation images: the loss of each with the last weights, minus its
loss with the weights of the check at which the mean was lowest. Because that check was chosen on
the same images, the rise is biased upwards; its p-value is corrected for the number of checks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, Verdict, claim, verdict_on_all
from mnistlin.analysis.evaluate import Evaluation, evaluate
from mnistlin.analysis.result import Result, Values
from mnistlin.analysis.statistics import CONFIDENCE, Interval, PairedCounts, t_interval
from mnistlin.runs.folder import Run
from mnistlin.text import signed, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class OverFitting(Result):
    """The last weights of a run compared with the best ones, on the same validation images."""

    best: Evaluation
    last: Evaluation

    title = "Over-fitting"

    @property
    def run(self) -> Run:
        """The run."""
        return self.last.run

    stem = "over-fitting"

    @property
    def train_loss_falls(self) -> bool:
        """Whether the training loss is lower at the last check than at the best one."""
        summary = self.run.summary
        return bool(summary["last_train_loss"] < summary["best_train_loss"])

    @property
    def changes(self) -> NDArray[np.float64]:
        """Change of the loss of each validation image from the best weights to the last, nats."""
        changes: NDArray[np.float64] = self.last.predictions.loss - self.best.predictions.loss
        return changes

    @property
    def rise(self) -> float:
        """Mean change of the validation loss, in nats."""
        return float(self.changes.mean())

    @property
    def interval(self) -> Interval | None:
        """Interval of the rise over validation images; None if no image changed."""
        return t_interval(self.changes)

    @property
    def p_value(self) -> float:
        """p-value of no change, corrected for the number of checks to choose from (Bonferroni)."""
        if self.interval is None:
            return 1.0
        return min(1.0, self.interval.p_value * (len(self.run.metrics["step"]) - 1))

    @property
    def paired(self) -> PairedCounts:
        """On how many validation images the last weights (A) and the best ones (B) are correct."""
        return PairedCounts.of(self.last.is_correct, self.best.is_correct)

    def verdict(self, tolerance: float) -> Verdict:
        """Return whether the run over-fits, by more than a tolerance in nats."""
        if not self.train_loss_falls or self.interval is None:
            return "differs"
        if self.rise > tolerance and self.p_value < 1 - CONFIDENCE:
            return "agrees"
        return "differs" if self.interval.high <= tolerance else "inconclusive"

    def values(self) -> Values:
        """Return the losses of both weights and how the images changed."""
        summary, interval = self.run.summary, self.interval
        return {
            "run": str(self.run.path),
            "best_step": summary["best_step"],
            "best_val_loss": self.best.loss,
            "last_val_loss": self.last.loss,
            "rise": self.rise,
            "rise_interval": (interval.low, interval.high) if interval else None,
            "p_value": self.p_value,
            "train_loss_falls": self.train_loss_falls,
            "newly_misclassified": self.paired.only_b,
            "newly_correct": self.paired.only_a,
            "images_with_lower_loss": float((self.changes < 0).mean()),
        }

    def explanation(self) -> str:
        """Describe how the losses of the validation images changed after the best check."""
        summary, interval = self.run.summary, self.interval
        if interval is None:
            return (
                f"The validation loss is lowest at the last check, step {summary['last_step']:,}, "
                "so nothing shows over-fitting in this run."
            )
        train = "falls" if self.train_loss_falls else "rises"
        changes = np.sort(self.changes)[::-1]
        n_most = int(np.searchsorted(np.cumsum(changes), changes.sum())) + 1
        cause = ""
        if self.rise > 0:
            n = min(n_most, len(changes))
            cause = (
                f" The {n:,} images whose loss rose most account for the whole rise."
                if n < len(changes) / 2
                else ""
            )
        return (
            f"From step {summary['best_step']:,} to step {summary['last_step']:,} the training "
            f"loss {train} from {summary['best_train_loss']:.4f} to "
            f"{summary['last_train_loss']:.4f}. The mean validation loss changes by "
            f"{signed(self.rise, '.4f')} nats (95 % interval over images "
            f"{signed(interval.low, '.4f')} to {signed(interval.high, '.4f')}; biased upwards, "
            f"because the same images chose that step: p = {self.p_value:.2g} if corrected for the "
            "number of checks), while the loss of "
            f"{written((self.changes < 0).mean(), '.1%')} of the images falls.{cause} "
            f"{self.paired.only_b} images are newly misclassified and {self.paired.only_a} newly "
            "correct."
        )

    def figure(self) -> "Figure":
        """Draw both losses over the steps, and the change of the loss of each image."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import (
            BLUE,
            VERMILION,
            legend_below,
            name_axes,
            page,
            side_by_side,
        )

        metrics, summary = self.run.metrics, self.run.summary
        with page(captions.of_run("Over-fitting", self.run)) as figure:
            losses, images = side_by_side(figure, 1, 1)
            steps = metrics["step"] + 1
            losses.plot(steps, metrics["train_loss"], color=BLUE, label="training set")
            losses.plot(steps, metrics["val_loss"], color=VERMILION, label="validation set")
            losses.axvline(summary["best_step"] + 1, color="k", linewidth=1, linestyle="--")
            losses.set(xscale="log", yscale="log")
            legend_below(losses)
            name_axes(losses, "loss, nats (log scale); dashed: lowest", "steps taken (log scale)")
            images.plot(np.sort(self.changes), color=VERMILION)
            images.axhline(0, color="k", linewidth=1)
            images.set_yscale("symlog", linthresh=1e-3)
            name_axes(images, "change of the loss after that, nats", "validation images, in order")
        return figure


def find_over_fitting(run: Run) -> OverFitting:
    """Compare the last weights of a run with those of its lowest validation loss.

    Raises
    ------
    RunError
        If the weights cannot be read.
    DataError, ConfigError
        If the data is missing, or not what the run was trained with.
    """
    return OverFitting(evaluate(run, "best"), evaluate(run, "last"))


def accuracy_gap(run: Run, epoch: int) -> float:
    """Return training minus validation accuracy, averaged over the checks of an epoch.

    Parameters
    ----------
    run : Run
        The run.
    epoch : int
        Its position among the epochs that have a check, as an index: 0 is the first, -1 the last.
    """
    epochs = run.metrics["epoch"]
    of_epoch = epochs == np.unique(epochs)[epoch]
    gap = run.metrics["train_accuracy"] - run.metrics["val_accuracy"]
    return float(gap[of_epoch].mean())


@claim("over-fits")
def _over_fits(evidence: Evidence) -> Finding:
    """Validation loss rises again while training loss still falls."""
    found = evidence.ask(find_over_fitting, evidence.first.run)
    summary = found.run.summary
    return Finding(
        found.verdict(evidence.tolerance),
        f"validation loss {summary['best_val_loss']:.4f} at step {summary['best_step']:,}, "
        f"{summary['last_val_loss']:.4f} at the end",
        f"{signed(found.rise, '.4f')} nats",
        found.explanation(),
        found.figure,
    )


@claim("val-accuracy-falls")
def _val_accuracy_falls(evidence: Evidence) -> Finding:
    """Validation accuracy is lower at the end than at the lowest validation loss."""
    found = evidence.ask(find_over_fitting, evidence.first.run)
    counts = found.paired
    low, high = counts.interval
    verdict: Verdict = "inconclusive"
    if counts.p_value < 0.05:
        verdict = "agrees" if counts.difference < 0 else "differs"
    return Finding(
        verdict,
        f"{written(found.best.accuracy, '.2%')} at the lowest validation loss, "
        f"{written(found.last.accuracy, '.2%')} at the end",
        f"{signed(100 * counts.difference, '.2f')} points "
        f"({signed(100 * low, '.2f')} to {signed(100 * high, '.2f')})",
        f"{counts.only_b} validation images are newly misclassified at the end and "
        f"{counts.only_a} newly correct (McNemar's exact test: p = {counts.p_value:.2g}).",
    )


@claim("gap-opens-further")
def _gap_opens_further(evidence: Evidence) -> Finding:
    """The gap at the end of the second experiment, which is longer, is larger than of the first."""
    short, long = evidence.experiments[:2]
    at_end = {run.config.training.seed: accuracy_gap(run, -1) for run in short.runs}
    runs = [run for run in long.runs if run.config.training.seed in at_end]
    early = np.array([at_end[run.config.training.seed] for run in runs])
    late = np.array([accuracy_gap(run, -1) for run in runs])
    return _gap_finding(early, late, f"at the end of {short.name}", is_one_run=False)


@claim("gap-opens")
def _gap_opens(evidence: Evidence) -> Finding:
    """Training accuracy gains on validation accuracy from the first epoch to the last."""
    runs = evidence.first.runs
    early = np.array([accuracy_gap(run, 0) for run in runs])
    late = np.array([accuracy_gap(run, -1) for run in runs])
    is_one_run = len(runs) == 1 and not runs[0].config.training.shuffle
    return _gap_finding(early, late, "in the first epoch", is_one_run=is_one_run)


def _gap_finding(
    early: NDArray[np.float64], late: NDArray[np.float64], when: str, *, is_one_run: bool
) -> Finding:
    """Test the change of a gap over seeds; without shuffling, all seeds are one run."""
    if not len(late):
        return Finding("inconclusive", "the experiments share no seed")
    change = late - early
    verdict = verdict_on_all([change])
    if is_one_run and change[0]:
        verdict = "agrees" if change[0] > 0 else "differs"
    seeds = f" ({len(late)} seeds)" if len(late) > 1 else ""
    return Finding(
        verdict,
        f"{signed(100 * early.mean(), '.2f')} points {when}, "
        f"{signed(100 * late.mean(), '.2f')} at the end{seeds}",
        f"{signed(100 * change.mean(), '.2f')} points",
    )
