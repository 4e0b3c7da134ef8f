"""When training has gone on long enough: a rule over validation losses, and nothing else.

What training yields: legs, and the judgement of their checks. No training is done here.

A leg is a run of consecutive epochs whose checks are evaluated together: one epoch where early
stopping waits for them, more otherwise, for one large matrix product is faster than many small
ones. Legs are atomic: one is judged whole, and what is written, saved or interrupted is so between
two legs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import EarlyStoppingConfig
from mnistlin.model.products import Floats


@dataclass(frozen=True)
class Stopper:
    """The rule's memory: the best validation loss, and the checks since it was improved on.

    A check improves if its loss is below the best one by more than `min_delta` (report part 2d).

    Attributes
    ----------
    best_loss : float
        Lowest validation loss that counted as an improvement, in nats.
    checks_without_improvement : int
        Checks in a row, up to the last one, that did not improve.
    """

    best_loss: float = math.inf
    checks_without_improvement: int = 0

    def after(self, val_loss: float, min_delta: float = 0.0) -> "Stopper":
        """Return the memory after one more check."""
        if val_loss < self.best_loss - min_delta:
            return Stopper(val_loss, 0)
        return Stopper(self.best_loss, self.checks_without_improvement + 1)

    def is_out_of(self, patience: int) -> bool:
        """Say whether training stops here: at the `patience`-th check in a row without gain."""
        return self.checks_without_improvement >= patience


MAX_LOSS = 1e6
"""A loss above this many nats is divergence, even where it is still finite."""

Outcome: TypeAlias = Literal["finished", "early_stopped", "diverged"]


class Check(NamedTuple):
    """One row of metrics.csv: the model after the update of a step, measured on both whole sets.

    Losses are mean cross entropies in nats, without the penalty; accuracies are fractions. The last
    column is known once the check has been judged.
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
    def is_sound(self) -> bool:
        """Say whether the model has not diverged."""
        losses_are_small = max(self.train_loss, self.val_loss) <= MAX_LOSS
        numbers = (self.train_loss, self.val_loss, self.l2_penalty, self.weight_norm)
        return losses_are_small and all(map(math.isfinite, numbers))


@dataclass(frozen=True)
class MemberState:
    """All that training one model needs in order to go on, and all that it has found.

    Attributes
    ----------
    weights : ndarray of shape (n_outputs, n_features + 1)
        After the last step, to train on from.
    last : ndarray of shape (n_outputs, n_features + 1)
        At the last check; zeros before the first.
    best : ndarray of shape (n_outputs, n_features + 1)
        At the check with the lowest validation loss, the first of equals.
    best_loss : float
        That loss.
    stopper : Stopper
        Memory of the rule of early stopping.
    """

    weights: Floats
    last: Floats
    best: Floats
    best_loss: float = math.inf
    stopper: Stopper = field(default_factory=Stopper)

    @classmethod
    def at_zero(cls, shape: tuple[int, int], dtype: str) -> "MemberState":
        """Return the state before the first step: all weights are zero."""
        zeros = np.zeros(shape, dtype=dtype)
        return cls(zeros, zeros, zeros)


@dataclass(frozen=True)
class Trail:
    """What one member left behind in a leg, before anyone has judged it.

    Attributes
    ----------
    steps : range
        The steps of the leg.
    batch_losses : ndarray of shape (n_steps,)
        Mean cross entropy of each batch before its update, in nats.
    checks : sequence of Check
        As measured, not yet judged.
    snapshots : ndarray of shape (n_checks, n_outputs, n_features + 1)
        The weights that were measured.
    weights : ndarray of shape (n_outputs, n_features + 1)
        After the last step.
    """

    steps: range
    batch_losses: NDArray[np.float64]
    checks: Sequence[Check]
    snapshots: Floats
    weights: Floats


@dataclass(frozen=True)
class MemberLeg:
    """What one leg made of one member, judged and, if training ended within it, cut back.

    Attributes
    ----------
    member : int
        Which model of the stack.
    steps : range
        Steps whose batch loss counts.
    batch_losses : ndarray of shape (n_steps,)
        One for each of them.
    checks : tuple of Check
        Checks that count.
    state : MemberState
        How the member ends the leg.
    outcome : {"finished", "early_stopped", "diverged"}, optional
        Why its training ended, or None if it goes on.
    """

    member: int
    steps: range
    batch_losses: NDArray[np.float64]
    checks: tuple[Check, ...]
    state: MemberState
    outcome: Outcome | None


@dataclass(frozen=True)
class Leg:
    """Some epochs of the whole stack, whose members are those that still trained."""

    epochs: range
    members: tuple[MemberLeg, ...]


def judge(
    member: int,
    state: MemberState,
    trail: Trail,
    stopping: EarlyStoppingConfig | None,
    *,
    is_last: bool,
) -> MemberLeg:
    """Read a trail in order, and cut it back to where training ended, if it did.

    Training ends at a batch or a check that diverged, of which no row is kept, at the check where
    early stopping runs out of patience, or with the last leg.

    Parameters
    ----------
    member : int
        Which model of the stack.
    state : MemberState
        How it began the leg.
    trail : Trail
        What it left.
    stopping : EarlyStoppingConfig, optional
        The rule, or None to train to the end.
    is_last : bool
        Whether no leg follows.
    """
    bad = np.flatnonzero(~(trail.batch_losses <= MAX_LOSS))  # not <=, so that nan is bad
    end = trail.steps[bad[0]] if bad.size else trail.steps.stop
    outcome: Outcome | None = "diverged" if bad.size else "finished" if is_last else None
    checks: list[Check] = []
    stopper = state.stopper
    for check in trail.checks:
        if check.step >= end:
            break
        if not check.is_sound:
            outcome, end = "diverged", check.step + 1
            break
        stopper = stopper.after(check.val_loss, stopping.min_delta if stopping else 0.0)
        waited = stopper.checks_without_improvement
        checks.append(check._replace(checks_without_improvement=waited))
        if stopping and stopper.is_out_of(stopping.patience):
            outcome, end = "early_stopped", check.step + 1
            break
    n_steps = end - trail.steps.start
    return MemberLeg(
        member=member,
        steps=trail.steps[:n_steps],
        batch_losses=trail.batch_losses[:n_steps],
        checks=tuple(checks),
        state=_state_after(state, trail, [check.val_loss for check in checks], stopper),
        outcome=outcome,
    )


def _state_after(
    state: MemberState, trail: Trail, val_losses: Sequence[float], stopper: Stopper
) -> MemberState:
    """Return the state that ends a leg, by the losses of the checks that count."""
    # Copies, for views would keep all snapshots of the leg in memory.
    state = replace(state, weights=trail.weights.copy(), stopper=stopper)
    if not val_losses:
        return state
    state = replace(state, last=trail.snapshots[len(val_losses) - 1].copy())
    if min(val_losses) < state.best_loss:
        lowest = val_losses.index(min(val_losses))
        best = trail.snapshots[lowest].copy()
        state = replace(state, best=best, best_loss=val_losses[lowest])
    return state
