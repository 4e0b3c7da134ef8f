"""What training yields: segments, with checks, early stopping and divergence. Nothing trains here.

The trainer makes a `Recording` of each segment of a stack. Once its checks are evaluated,
`segments_of` makes a `Segment` of it for each member, cut back to where its training ended.
Segments are atomic: rows are written, checkpoints saved and interrupts handled between them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.linear import squared_norm, unstack
from mnistlin.model.products import Floats
from mnistlin.training.evaluation import Score
from mnistlin.training.schedule import Setup

MAX_LOSS = 1e6
"""Training has diverged with a loss above this many nats, even if it is still finite."""

Outcome: TypeAlias = Literal["finished", "early_stopped", "diverged"]


@dataclass(frozen=True)
class EarlyStoppingState:
    """The state of early stopping: the best validation loss, and the checks since then.

    A check improves if its loss is below the best one by more than `min_delta` (report part 2d).
    """

    best_loss: float = math.inf
    checks_without_improvement: int = 0

    def after(self, val_loss: float, min_delta: float = 0.0) -> "EarlyStoppingState":
        """Return the state after one more check."""
        if val_loss < self.best_loss - min_delta:
            return EarlyStoppingState(val_loss, 0)
        return EarlyStoppingState(self.best_loss, self.checks_without_improvement + 1)

    def should_stop(self, patience: int) -> bool:
        """Return whether training stops: after `patience` checks in a row that did not improve."""
        return self.checks_without_improvement >= patience


class Check(NamedTuple):
    """One row of metrics.csv: the model after a step, on the full training and validation sets.

    Losses are mean cross entropies in nats, without the penalty; accuracies are fractions. The last
    column is filled in by `segments_of`.
    """

    step: int
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    l2_penalty: float
    weight_norm: float
    checks_without_improvement: int = 0

    @property
    def has_diverged(self) -> bool:
        """Whether a loss is above the limit, or a number is not finite."""
        losses = self.train_loss, self.val_loss
        numbers = (*losses, self.l2_penalty, self.weight_norm)
        return max(losses) > MAX_LOSS or not all(map(math.isfinite, numbers))


@dataclass(frozen=True)
class MemberState:
    """The state of one model's training: what it needs to continue, and its results so far.

    `weights` are those after the last step; `last` those at the last check, zeros before the first;
    `best` those at the first check with the lowest validation loss, `best_loss`. Each has the shape
    (n_features + 1, n_outputs).
    """

    weights: Floats
    last: Floats
    best: Floats
    best_loss: float = math.inf
    early_stopping: EarlyStoppingState = field(default_factory=EarlyStoppingState)

    @classmethod
    def starting_at(cls, weights: Floats) -> "MemberState":
        """Return the state before the first step, with these weights."""
        return cls(weights, weights, weights)

    @classmethod
    def at_zero(cls, shape: tuple[int, int], dtype: str) -> "MemberState":
        """Return the state before the first step of a run: all weights are zero."""
        return cls.starting_at(np.zeros(shape, dtype, order="F"))  # as `unstack` has them

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as named arrays, whose shapes and dtypes depend on the setup alone."""
        return {
            "weights": self.weights,
            "last": self.last,
            "best": self.best,
            "best_loss": np.array(self.best_loss),
            "stopper_best_loss": np.array(self.early_stopping.best_loss),
            "checks_without_improvement": np.array(self.early_stopping.checks_without_improvement),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "MemberState":
        """Return the state that `to_arrays` turned into arrays."""
        early_stopping = EarlyStoppingState(
            arrays["stopper_best_loss"].item(), arrays["checks_without_improvement"].item()
        )
        weights, last, best = (arrays[name] for name in ("weights", "last", "best"))
        return cls(weights, last, best, arrays["best_loss"].item(), early_stopping)


@dataclass(frozen=True)
class Recording:
    """One segment of a stack as it was trained, before its checks are evaluated.

    batch_losses : (n_models, n_steps), mean loss of each batch before its update
    snapshots : (n_checks, n_models, n_outputs, n_features + 1), weights at the checks
    weights : (n_models, n_outputs, n_features + 1), weights after the last step
    """

    epochs: range
    members: tuple[int, ...]
    batch_losses: NDArray[np.float64]
    snapshots: Floats
    weights: Floats


@dataclass(frozen=True)
class Segment:
    """One segment of one member: the steps and checks that count, and the state after them.

    `batch_losses` has one loss for each of `steps`. `outcome` says why training ended, None if it
    continues.
    """

    member: int
    epochs: range
    steps: range
    steps_per_epoch: int
    batch_losses: NDArray[np.float64]
    checks: tuple[Check, ...]
    state: MemberState
    outcome: Outcome | None


def segments_of(
    setup: Setup, recording: Recording, score: Score, states: Mapping[int, MemberState]
) -> list[Segment]:
    """Return the segment of each member that was still training.

    Training ends at a batch or a check that diverged, of which no row is kept, at the check where
    early stopping runs out of patience, or with the last segment.

    Parameters
    ----------
    setup : Setup
        What is trained.
    recording : Recording
        The segment, of members that may have ended before it.
    score : Score
        Of the snapshots on the training and the validation set, (2, n_checks * n_models).
    states : mapping of int to MemberState
        The members that were still training, with their states before the segment.
    """
    checks = _checks(setup, recording, score)
    return [
        _segment(setup, recording, i, checks[i], states[member])
        for i, member in enumerate(recording.members)
        if member in states
    ]


@np.errstate(over="ignore", invalid="ignore")
def _checks(setup: Setup, recording: Recording, score: Score) -> list[list[Check]]:
    """Return the checks of each member."""
    schedule = setup.schedule
    steps = schedule.checks(schedule.steps(recording.epochs))
    squares = squared_norm(recording.snapshots)
    train_loss, val_loss = score.loss.reshape(2, *squares.shape)
    train_accuracy, val_accuracy = score.accuracy.reshape(2, *squares.shape)
    l2_penalty = squares * [setup.l2_lambdas[member] for member in recording.members]
    columns = (train_loss, train_accuracy, val_loss, val_accuracy, l2_penalty, np.sqrt(squares))
    rows = np.stack(columns, axis=-1)  # as in Check, after step and epoch
    return [
        [
            Check(step, step // schedule.steps_per_epoch, *row)
            for step, row in zip(steps, rows[:, i].tolist(), strict=True)
        ]
        for i in range(len(recording.members))
    ]


def _segment(
    setup: Setup, recording: Recording, i: int, measured: list[Check], state: MemberState
) -> Segment:
    """Return the segment of the i-th member of a recording, cut back to where training ended."""
    rule, schedule = setup.stopping, setup.schedule
    steps, batch_losses = schedule.steps(recording.epochs), recording.batch_losses[i]
    is_last = recording.epochs.stop == schedule.epochs
    bad = np.flatnonzero(~(batch_losses <= MAX_LOSS))  # not >, so that nan is bad
    end = steps[bad[0]] if bad.size else steps.stop
    outcome: Outcome | None = "diverged" if bad.size else "finished" if is_last else None
    checks: list[Check] = []
    early_stopping = state.early_stopping
    for check in measured:
        if check.step >= end:
            break
        if check.has_diverged:
            outcome, end = "diverged", check.step + 1
            break
        early_stopping = early_stopping.after(check.val_loss, rule.min_delta if rule else 0.0)
        waited = early_stopping.checks_without_improvement
        checks.append(check._replace(checks_without_improvement=waited))
        if rule and early_stopping.should_stop(rule.patience):
            outcome, end = "early_stopped", check.step + 1
            break
    n_steps = end - steps.start
    return Segment(
        member=recording.members[i],
        epochs=recording.epochs,
        steps=steps[:n_steps],
        steps_per_epoch=schedule.steps_per_epoch,
        batch_losses=batch_losses[:n_steps],
        checks=tuple(checks),
        state=replace(_state_after(state, recording, i, checks), early_stopping=early_stopping),
        outcome=outcome,
    )


def _state_after(
    state: MemberState, recording: Recording, i: int, checks: list[Check]
) -> MemberState:
    """Return the state of the i-th member after the checks that count."""
    state = replace(state, weights=unstack(recording.weights[i]))
    if not checks:
        return state
    snapshots = recording.snapshots[:, i]
    state = replace(state, last=unstack(snapshots[len(checks) - 1]))
    val_losses = [check.val_loss for check in checks]
    if min(val_losses) < state.best_loss:
        lowest = val_losses.index(min(val_losses))
        best_loss = val_losses[lowest]
        state = replace(state, best=unstack(snapshots[lowest]), best_loss=best_loss)
    return state
