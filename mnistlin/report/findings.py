"""Sentences about the outcomes of experiments, each true of whatever the numbers are.

For each name that a part may list under `findings` there is one function. What was published is not
looked at here.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mnistlin.analysis.claims import TrainedExperiment
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.statistics import signed, with_spread, written
from mnistlin.analysis.sweep_effect import LambdaSummary, summarise
from mnistlin.analysis.words import about_dips
from mnistlin.errors import RunError
from mnistlin.runs.folder import Run

OVER_FITTED = 1e-3
"""By how many nats the validation loss must have risen to be called so."""


def paragraphs(name: str, outcomes: Sequence[TrainedExperiment]) -> list[tuple[str, str]]:
    """Return what a finding has to say: the name of each experiment that it tells something of.

    Raises
    ------
    RunError
        If a file of a run is missing or damaged.
    """
    if name in ABOUT_SWEEPS:
        found = [(each.name, ABOUT_SWEEPS[name](summarise(each.whole_sweep))) for each in outcomes]
    else:
        found = [(each.name, ABOUT_RUNS[name](each)) for each in outcomes]
    return [(experiment, words) for experiment, words in found if words]


def _curves(outcome: TrainedExperiment) -> str:
    losses = [with_spread(outcome.values(f"last_{part}_loss"), ".4f") for part in ("train", "val")]
    accuracies = [
        with_spread(outcome.values(f"last_{part}_accuracy"), ".2%") for part in ("train", "val")
    ]
    steps = outcome.run.summary["last_step"] + 1
    return (
        f"After {steps:,} steps, the loss is {losses[0]} on the training set and "
        f"{losses[1]} on the validation set; {accuracies[0]} of the training images and "
        f"{accuracies[1]} of the validation images are classified rightly."
    )


def _early_stopping(outcome: TrainedExperiment) -> str:
    run = outcome.run
    summary, stopping = run.summary, run.config.early_stopping
    if stopping is None:
        return ""
    if run.status != "early_stopped":
        return "Training came to its last epoch; nothing stopped it early."
    return (
        f"Training stopped in epoch {summary['stop_epoch']} of {run.config.training.epochs}, at "
        f"step {summary['stop_step']:,}: the {stopping.patience} checks after step "
        f"{summary['best_step']:,} brought no validation loss below {summary['best_val_loss']:.5f}."
    )


def _over_fitting(outcome: TrainedExperiment) -> str:
    summary = outcome.run.summary
    if outcome.run.config.early_stopping:
        return ""
    words = (
        f"The lowest validation loss is {summary['best_val_loss']:.4f}, at step "
        f"{summary['best_step']:,}. At the end, after step {summary['last_step']:,}, it is "
        f"{summary['last_val_loss']:.4f}, while the training loss went from "
        f"{summary['best_train_loss']:.4f} to {summary['last_train_loss']:.4f}."
    )
    rise = summary["last_val_loss"] - summary["best_val_loss"]
    if rise > OVER_FITTED and summary["last_train_loss"] < summary["best_train_loss"]:
        return f"{words} What training gained after that point, it learned of its own images only."
    return f"{words} That is no over-fitting to speak of."


def _dips(outcome: TrainedExperiment) -> str:
    try:
        return about_dips(explain_dips(outcome.run))
    except RunError as error:
        return f"Whether accuracy dips regularly cannot be told ({error})."


def _gap(outcome: TrainedExperiment) -> str:
    gaps = np.array([_gap_at_ends(run) for run in outcome.runs])
    early, late = 100 * gaps.mean(axis=0)
    return (
        f"On average over the {_checks(outcome)} of the first epoch, the training set is "
        f"{_points(early)} the validation set; over those of the last, {_points(late)} it."
    )


def _checks(outcome: TrainedExperiment) -> str:
    n_seeds = len(outcome.runs)
    return f"checks (and {n_seeds} seeds)" if n_seeds > 1 else "checks"


def _points(gap: float) -> str:
    return f"{abs(gap):.2f} percentage points {'above' if gap >= 0 else 'below'}"


def _gap_at_ends(run: Run) -> tuple[float, float]:
    return accuracy_gap(run, 0), accuracy_gap(run, -1)


def accuracy_gap(run: Run, epoch: int) -> float:
    """Return train minus validation accuracy, averaged over the checks of an epoch with any.

    Parameters
    ----------
    run : Run
        The run.
    epoch : int
        0 for the first epoch, -1 for the last.
    """
    epochs = run.metrics["epoch"]
    of_epoch = epochs == np.unique(epochs)[epoch]
    gap = run.metrics["train_accuracy"] - run.metrics["val_accuracy"]
    return float(gap[of_epoch].mean())


def _confusion(outcome: TrainedExperiment) -> str:
    counts, labels = outcome.run.confusion, outcome.run.classes
    errors = counts - np.diag(np.diagonal(counts))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    recall = np.diagonal(counts) / np.maximum(1, counts.sum(axis=1))
    hardest = int(recall.argmin())
    return (
        f"The most frequent confusion is a {labels[true]} taken for a {labels[predicted]} "
        f"({errors[true, predicted]} times); the {labels[hardest]} is recognised least often "
        f"({written(recall[hardest], '.1%')})."
    )


def _weights(summaries: Sequence[LambdaSummary]) -> str:
    """Say how large the weights are that the images show."""
    sizes = [
        f"{each.weight_norm.mean:#.3g} for λ = {each.l2_lambda:g}"
        for each in summaries
        if each.weight_norm
    ]
    return f"All tiles share one colour scale. The norm of the weights is {', '.join(sizes)}."


def _lambda_accuracy(summaries: Sequence[LambdaSummary]) -> str:
    sound = _sound(summaries)
    shown = [
        f"{with_spread(each.last_val_accuracy, '.2%')} with λ = {each.l2_lambda:g}"
        for each in sound
    ]
    seeds = max(each.n_seeds for each in sound)
    of_seeds = f" (mean ± standard deviation of {seeds} seeds)" if seeds > 1 else ""
    return f"Validation accuracy ends at {', '.join(shown)}{of_seeds}."


def _lambda_tests(summaries: Sequence[LambdaSummary]) -> str:
    found = [(each, each.difference) for each in _sound(summaries) if each.difference]
    if not found:
        return "The sweep has no λ = 0 to compare the others with."
    verdicts = [
        f"λ = {each.l2_lambda:g} is {difference.verdict} "
        f"({signed(100 * difference.mean, '.2f')} points)"
        for each, difference in found
    ]
    return (
        "Each λ is held against λ = 0 with the same seeds, over the checks of the last epoch, by "
        f"paired t-tests corrected for their number: {'; '.join(verdicts)}. The seeds change the "
        "order of batches only: how much other validation images would move these differences is "
        "not in the tests."
    )


def _lambda_weight_norm(summaries: Sequence[LambdaSummary]) -> str:
    sound = sorted(_sound(summaries), key=lambda each: each.l2_lambda)
    norms = [each.weight_norm.mean for each in sound if each.weight_norm]
    if not norms or not norms[-1]:
        return "There are no norms to compare."
    return (
        f"From λ = {sound[0].l2_lambda:g} to λ = {sound[-1].l2_lambda:g} the norm of the weights "
        f"goes from {norms[0]:#.3g} to {norms[-1]:#.3g}, a ratio of {norms[0] / norms[-1]:.3g}."
    )


def _sound(summaries: Sequence[LambdaSummary]) -> list[LambdaSummary]:
    return [each for each in summaries if each.n_seeds]


ABOUT_RUNS: dict[str, Callable[[TrainedExperiment], str]] = {
    "curves": _curves,
    "early-stopping": _early_stopping,
    "over-fitting": _over_fitting,
    "dips": _dips,
    "gap": _gap,
    "confusion": _confusion,
}
ABOUT_SWEEPS: dict[str, Callable[[Sequence[LambdaSummary]], str]] = {
    "weights": _weights,
    "lambda-accuracy": _lambda_accuracy,
    "lambda-tests": _lambda_tests,
    "lambda-weight-norm": _lambda_weight_norm,
}
