"""`explain stability`: does the loss fluctuate because of overshoot or of batch noise?

Gradient descent at a constant rate, the only kind that a config can ask for, is stable where
learning_rate * sharpness < 2. The experiment decides: with the full training set as one batch,
batch noise is gone and overshoot stays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.analysis.claims import Evidence, Finding, claim
from mnistlin.analysis.claims import Verdict as ClaimVerdict
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.data.splits import Splits
from mnistlin.experiment import setup_for
from mnistlin.figures import captions
from mnistlin.figures.style import BLUE, INK, VERMILION, legend_below, name_axes, page, side_by_side
from mnistlin.model.linear import stack, unstack
from mnistlin.model.objective import Objective
from mnistlin.model.optimum import minimise
from mnistlin.model.products import Floats
from mnistlin.model.sharpness import STABILITY_LIMIT, largest_stable_rate, sharpness
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.text import written
from mnistlin.training.batches import epoch_orders
from mnistlin.training.evaluation import objective_on
from mnistlin.training.segments import MemberState
from mnistlin.training.sgd import Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_STEPS, N_JUDGED = 300, 100
"""Steps of the experiment, and how many of the last ones are judged."""

N_PASSES = 500
"""Approximate number of passes over the training set in `explain_stability`."""

_GONE = 0.1
"""A full batch leaves less than this fraction of a fluctuation that is batch noise."""

_DECAYING = 0.5
"""A fluctuation whose second half is smaller than the first by this factor is still decaying."""

_NEGLIGIBLE = 1e-3
"""A fluctuation below this fraction of the loss needs no explanation."""

_CLOSE = 0.8
"""Fraction of the limit from which on a learning rate is close to it."""

Verdict: TypeAlias = Literal["noise", "overshoot", "inconclusive", "no fluctuation"]


@dataclass(frozen=True)
class Stability(Result):
    """A run's learning rate, the limits, and the loss after each step of the experiment.

    `full_batch` and `batches` are validation losses (N_STEPS,) in nats, nan after divergence.
    """

    run: Run
    sharpness_of_run: float
    sharpness_of_minimum: float | None
    """None if λ = 0, where there may be no minimum."""
    full_batch: NDArray[np.float64]
    batches: NDArray[np.float64]

    title = "Overshoot or noise"
    stem = "stability"

    @property
    def learning_rate(self) -> float:
        """The learning rate of the run."""
        return self.run.config.training.learning_rate

    @property
    def sharpest(self) -> float:
        """The sharpness at the minimum, or that of the run if there is none."""
        of_minimum = self.sharpness_of_minimum
        return self.sharpness_of_run if of_minimum is None else of_minimum

    @property
    def verdict(self) -> Verdict:
        """What the experiment shows."""
        full, batches = fluctuation(self.full_batch), fluctuation(self.batches)
        if max(full, batches) <= _NEGLIGIBLE * self.batches[-1]:
            return "no fluctuation"
        if full < _GONE * batches:
            return "noise"
        half = N_JUDGED // 2
        first, last = self.full_batch[-N_JUDGED:-half], self.full_batch[-half:]
        is_decaying = fluctuation(last) < _DECAYING * fluctuation(first)
        return "inconclusive" if is_decaying else "overshoot"

    def values(self) -> Values:
        """Return both sharpnesses, the limit, and the two fluctuations; None if one is infinite."""
        rate = self.learning_rate
        return {
            "run": str(self.run.path),
            "learning_rate": rate,
            "l2_lambda": self.run.config.training.l2_lambda,
            "sharpness_limit": STABILITY_LIMIT / rate,
            "sharpness_run": self.sharpness_of_run,
            "sharpness_minimum": self.sharpness_of_minimum,
            "largest_stable_rate": _finite(largest_stable_rate(self.sharpest)),
            "fluctuation_full_batch": _finite(fluctuation(self.full_batch)),
            "fluctuation_batches": _finite(fluctuation(self.batches)),
            "verdict": self.verdict,
        }

    def records(self) -> Tables:
        """Return the losses of the experiment."""
        losses = zip(self.full_batch.tolist(), self.batches.tolist(), strict=True)
        rows = [
            {"step": step, "full_batch_val_loss": full, "batches_val_loss": batches}
            for step, (full, batches) in enumerate(losses)
        ]
        return {self.stem: rows}

    def explanation(self) -> str:
        """Compare the learning rate with the limits, and describe what the experiment shows."""
        return f"{self._about_limits()} {self._about_experiment()}"

    def _about_limits(self) -> str:
        rate, of_run, of_minimum = (
            self.learning_rate,
            self.sharpness_of_run,
            self.sharpness_of_minimum,
        )
        words = (
            "Gradient descent is stable where the learning rate times the sharpness is below 2: at "
            f"{rate:g}, up to a sharpness of {STABILITY_LIMIT / rate:.3g}. At the last weights of "
            f"the run it is {of_run:.3g}, {_to_limit(rate * of_run)}"
        )
        if of_minimum is None:
            return f"{words}. Without a penalty there may be no minimum to stay at."
        words += f"; at the minimum it is {of_minimum:.3g}, {_to_limit(rate * of_minimum)}."
        if rate * of_minimum < STABILITY_LIMIT:
            return words
        return (
            f"{words} No run can stay at this minimum with a learning rate above "
            f"{largest_stable_rate(of_minimum):.3g}."
        )

    def _about_experiment(self) -> str:
        batch = self.run.config.training.batch_size
        full, batches = fluctuation(self.full_batch), fluctuation(self.batches)
        words = (
            f"The experiment: {N_STEPS} more steps from the last weights. Over the last {N_JUDGED} "
            f"the validation loss fluctuates by {_sd(batches)} with batches of {batch:,}, and by "
            f"{_sd(full)} with the full training set as one batch."
        )
        ends = {
            "no fluctuation": "Both fluctuations are negligible.",
            "noise": f"A full batch leaves less than {written(_GONE, '.0%')} of the fluctuation: "
            "it is batch noise, not overshoot.",
            "overshoot": "What a full batch leaves cannot be batch noise: the steps overshoot.",
            "inconclusive": "With a full batch the fluctuation is still there, but decays: the "
            "experiment does not decide between noise and overshoot.",
        }
        return f"{words} {ends[self.verdict]}"

    def figure(self) -> "Figure":
        """Draw the losses of the experiment, and the learning rate compared with the limits."""
        note = (
            "Both lines start at the last weights of the run. What remains with the full training "
            "set as one batch is not batch noise."
        )
        with page(captions.of_run("Overshoot or noise", self.run), note) as figure:
            losses, limits = side_by_side(figure, 2.2, 1)
            self._draw_losses(losses)
            self._draw_limits(limits)
        return figure

    def _draw_losses(self, axes: "Axes") -> None:
        batch = self.run.config.training.batch_size
        steps = np.arange(1, N_STEPS + 1)
        axes.plot(steps, self.batches, color=BLUE, linewidth=1, label=f"batches of {batch:,}")
        axes.plot(steps, self.full_batch, color=VERMILION, label="full training set")
        axes.axvspan(N_STEPS - N_JUDGED, N_STEPS, color=INK, alpha=0.06, linewidth=0)
        axes.annotate(
            "judged",
            (N_STEPS - N_JUDGED / 2, 1),
            (0, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
        )
        name_axes(axes, "validation loss, nats", "steps after the run")
        legend_below(axes)

    def _draw_limits(self, axes: "Axes") -> None:
        bars = {"last weights": self.sharpness_of_run}
        if self.sharpness_of_minimum is not None:
            bars["minimum"] = self.sharpness_of_minimum
        heights = [self.learning_rate * each for each in bars.values()]
        colors = [VERMILION if height >= STABILITY_LIMIT else BLUE for height in heights]
        drawn = axes.bar(list(bars), heights, color=colors, width=0.5)
        axes.bar_label(drawn, [f"{height:.3g}" for height in heights], padding=2)
        axes.axhline(STABILITY_LIMIT, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.annotate(
            "limit",
            (1, STABILITY_LIMIT),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
        )
        axes.set_ylim(0, 1.2 * max(STABILITY_LIMIT, *heights))
        axes.set_xlim(-0.6, len(bars) - 0.4)
        name_axes(axes, "learning rate × sharpness")


def _to_limit(product: float) -> str:
    """Return how a learning rate times a sharpness compares with the limit."""
    if product >= STABILITY_LIMIT:
        return "above the limit"
    return "close to the limit" if product >= _CLOSE * STABILITY_LIMIT else "below the limit"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _sd(fluctuation: float) -> str:
    if np.isinf(fluctuation):
        return "more than can be measured (it diverges)"
    return f"{fluctuation:.2g} nats (standard deviation)"


def fluctuation(losses: NDArray[np.float64]) -> float:
    """Return the standard deviation of the last losses about a parabola; inf if one is nan.

    About a parabola, since a loss that falls smoothly does not fluctuate.
    """
    last = losses[-N_JUDGED:]
    if not np.isfinite(last).all():
        return np.inf
    steps = np.linspace(-1, 1, len(last))
    around = last - np.polyval(np.polyfit(steps, last, 2), steps)
    return float(np.sqrt(np.square(around).sum() / (len(last) - 3)))


def explain_stability(run: Run, on_pass: Callable[[], object] = lambda: None) -> Stability:
    """Compare a run's learning rate with the sharpness of its objective, and do the experiment.

    Parameters
    ----------
    run : Run
        The run.
    on_pass : callable
        Called after each pass over the training images, about N_PASSES times.

    Raises
    ------
    RunError
        If its weights cannot be read.
    DataError, ConfigError
        If its data is missing, or not the same as it was.
    """
    W = run.weights["last"].astype(np.float64)
    splits, training = load_own_splits(run), run.config.training
    objective = objective_on(splits.train, run.head, training.l2_lambda)
    of_run = sharpness(objective, W)
    of_minimum = None
    if training.l2_lambda:
        found = minimise(objective, W, on_pass=on_pass)
        of_minimum = sharpness(objective, found.point.weights) if found.has_converged else None
    validation = objective_on(splits.val, run.head, l2_lambda=0.0)
    full = _full_batch_steps(_trainer(run, splits), objective, on_pass)
    batches = _batch_steps(_trainer(run, splits), run, splits)
    full_losses, batch_losses = (_losses(validation, each) for each in (full, batches))
    return Stability(run, of_run, of_minimum, full_losses, batch_losses)


@np.errstate(over="ignore", invalid="ignore")
def _losses(validation: Objective, weights: Floats) -> NDArray[np.float64]:
    losses = validation.values(weights)
    return np.where(np.isfinite(losses), losses, np.nan)


def _trainer(run: Run, splits: Splits) -> Stack:
    """Return the trainer of a run, at its last weights and in float64."""
    training = run.config.training.model_copy(update={"dtype": "float64"})
    setup = setup_for([run.config.model_copy(update={"training": training})], splits)
    return Stack(setup, MemberState.starting_at(run.weights["last"].astype(np.float64)))


@np.errstate(over="ignore", invalid="ignore")
def _full_batch_steps(
    trainer: Stack, objective: Objective, on_pass: Callable[[], object]
) -> Floats:
    """Return the weights after each step, (N_STEPS, n_features + 1, n_outputs)."""
    steps = []
    with threadpool_limits(1, "blas"):
        for _ in range(N_STEPS):
            gradient = objective.at(unstack(trainer.weights[0]), "float32").gradient
            trainer.move(stack(gradient))
            on_pass()
            steps.append(unstack(trainer.weights[0]))
    return np.array(steps)


@np.errstate(over="ignore", invalid="ignore")
def _batch_steps(trainer: Stack, run: Run, splits: Splits) -> Floats:
    """As `_full_batch_steps`, with the batches after the last check, in the order of the run."""
    training, split = run.config.training, splits.train
    size, n_batches, steps = training.batch_size, split.n_samples // training.batch_size, []
    epoch, n_done = divmod(int(run.metrics["step"][-1]) + 1, n_batches)
    orders = epoch_orders(training, split.n_samples, epoch, splits.drawn_from)
    batches = chain.from_iterable(
        order[: n_batches * size].reshape(n_batches, size) for order in orders
    )
    with threadpool_limits(1, "blas"):
        for samples in islice(batches, n_done, n_done + N_STEPS):
            trainer.step_on(samples)
            steps.append(unstack(trainer.weights[0]))
    return np.array(steps)


@claim("steps-overshoot")
def _steps_overshoot(evidence: Evidence) -> Finding:
    """The loss fluctuates because the steps overshoot, so a full batch leaves the fluctuation."""
    found = evidence.ask(explain_stability, evidence.first.run)
    verdicts: dict[Verdict, ClaimVerdict] = {"overshoot": "agrees", "noise": "differs"}
    full, batches = fluctuation(found.full_batch), fluctuation(found.batches)
    batch = evidence.first.run.config.training.batch_size
    return Finding(
        verdicts.get(found.verdict, "inconclusive"),
        f"the validation loss fluctuates by {batches:.2g} nats with batches of {batch:,}, by "
        f"{full:.2g} with the full training set",
        explanation=found.explanation(),
        figure=found.figure,
    )
