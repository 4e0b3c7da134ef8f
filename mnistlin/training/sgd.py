"""A stack of models that train side by side: their weights, and the steps that move them.

What is recorded is judged elsewhere; nothing here knows whether training goes well.

The trainer: mini-batch gradient descent on a stack of models, as a generator of legs.

While one leg trains, other threads evaluate the checks of the leg before it; a stop is then found
a leg late, and cut back exactly, as if it had been found at once. Where steps are short, each leg
is evaluated before the next one trains.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.linear import gradient, logits, squared_norm
from mnistlin.model.products import Floats, Inputs
from mnistlin.training.batches import PixelReader, epoch_order
from mnistlin.training.evaluation import Evaluator, Score
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import Check, Leg, MemberState, Trail, judge

LOGITS_PER_CHUNK = 2**16
"""Logits that are kept, about, until the losses of their batches are computed at once: those of an
epoch at a time would take 4 % longer in a binary run, and more gain nothing."""

KEPT_INPUT_BYTES = 16 * 2**20
"""Inputs are kept up to this size, if all epochs have the same batches: reading them anew would
double the time of a binary step."""


@dataclass(frozen=True)
class Recording:
    """One leg of the stack as it was trained, with all that there is to judge.

    Attributes
    ----------
    epochs : range
        The epochs of the leg.
    members : tuple of int
        Which models of the stack these are.
    batch_losses : ndarray of shape (n_models, n_steps)
        Mean cross entropy of each batch before its update.
    snapshots : ndarray of shape (n_checks, n_models, n_outputs, n_features + 1)
        Weights at the checks.
    weights : ndarray of shape (n_models, n_outputs, n_features + 1)
        Weights after the last step.
    """

    epochs: range
    members: tuple[int, ...]
    batch_losses: NDArray[np.float64]
    snapshots: Floats
    weights: Floats


class Stack:
    """The weights of the members that still train, and the steps that move them."""

    @np.errstate(over="ignore")  # a λ may be beyond float32; that too is divergence
    def __init__(self, setup: Setup, weights: Floats) -> None:
        self._split, self._head, self._how = setup.train, setup.head, setup.training
        self._schedule, self._n_classes = setup.schedule, setup.n_classes
        self._reader = PixelReader(setup.train, self._how.batch_size, self._how.dtype)
        self._members = tuple(range(len(setup.l2_lambdas)))
        self._l2_lambdas = np.array(setup.l2_lambdas, dtype=self._how.dtype)
        self._weights = np.stack([weights] * len(self._members))
        self._kept = self._inputs_to_keep()

    def keep(self, members: tuple[int, ...]) -> None:
        """Let all but these members leave."""
        if members == self._members:
            return
        at = [self._members.index(member) for member in members]
        self._members, self._weights = members, self._weights[at]
        self._l2_lambdas = self._l2_lambdas[at]

    @np.errstate(over="ignore", invalid="ignore")  # divergence is judged by its numbers
    def train(self, epochs: range) -> Recording:
        """Take all steps of some epochs."""
        steps = self._schedule.steps(epochs)
        batches = np.concatenate([self._batches(epoch) for epoch in epochs])
        logits_per_step = self._weights[..., 0].size * self._how.batch_size
        steps_per_chunk = max(1, LOGITS_PER_CHUNK // logits_per_step)
        batch_losses: list[NDArray[np.float64]] = []
        snapshots: list[Floats] = []
        for first in range(0, len(steps), steps_per_chunk):
            chunk = slice(first, first + steps_per_chunk)
            batch_losses.append(self._take_steps(steps[chunk], batches[chunk], snapshots))
        return Recording(
            epochs,
            self._members,
            np.concatenate(batch_losses, axis=-1),
            np.stack(snapshots),
            self._weights.copy(),
        )

    def _batches(self, epoch: int) -> NDArray[np.intp]:
        """Return the samples of each batch of an epoch, (steps_per_epoch, batch_size)."""
        how = self._how
        order = epoch_order(self._split.n_samples, how.seed, epoch, shuffle=how.shuffle)
        return order[: self._schedule.steps_per_epoch * how.batch_size].reshape(-1, how.batch_size)

    def _take_steps(
        self, steps: range, batches: NDArray[np.intp], snapshots: list[Floats]
    ) -> NDArray[np.float64]:
        """Train on some batches; return their losses (n_models, n_steps), append the snapshots."""
        targets = self._split.targets[batches]
        Y = self._head.one_hot(targets, self._n_classes, self._how.dtype)
        Z = np.empty((len(steps), *self._weights.shape[:2], batches.shape[1]), self._how.dtype)
        checks = set(self._schedule.checks(steps))
        for i, (step, samples) in enumerate(zip(steps, batches, strict=True)):
            Z[i] = self._step(self._inputs(step, samples), Y[i])
            if step in checks:
                snapshots.append(self._weights.copy())
        losses = self._head.losses(Z, Y[:, None])
        means: NDArray[np.float64] = losses.mean(axis=-1, dtype=np.float64).T
        return means

    def _inputs_to_keep(self) -> list[Floats]:
        """Return the inputs of each batch of an epoch; none if they come once, or are many."""
        how, schedule = self._how, self._schedule
        n_inputs = schedule.steps_per_epoch * how.batch_size * self._weights.shape[2]
        come_again = schedule.epochs > 1 and not how.shuffle
        if not come_again or n_inputs * self._weights.itemsize > KEPT_INPUT_BYTES:
            return []
        return [self._reader.read(samples).to_array() for samples in self._batches(epoch=0)]

    def _inputs(self, step: int, samples: NDArray[np.intp]) -> Inputs:
        """Return the inputs X of a batch, to be used before the next one's are asked for."""
        if self._kept:
            return self._kept[step % self._schedule.steps_per_epoch]
        return self._reader.read(samples)

    def _step(self, X: Inputs, Y: Floats) -> Floats:
        """Move the weights against the gradient on one batch; return its logits before that."""
        W = self._weights
        Z = logits(W, X)
        R = self._head.predict(Z) - Y
        W -= self._how.learning_rate * gradient(R, W, X, self._l2_lambdas)
        return Z


MAX_HELPERS = 8
"""Threads that evaluate at most beside the one that trains; each has buffers of its own."""

SHORT_STEP = 200_000
"""Multiplications of W Xᵀ below which no leg is evaluated beside the next: training and evaluation
would mostly wait for each other's turn at the interpreter. On two cores, evaluating after each leg
makes a binary run a tenth faster, with a quarter less CPU time."""

KEPT_FREE_BYTES = 16 * 2**20
"""Freed arrays up to this size stay with glibc's malloc, for those of the next block. It would give
them back to the kernel, and get new pages each time: a tenth of a binary run."""

_Item = TypeVar("_Item")


def train(setup: Setup, resume: tuple[int, MemberState] | None = None) -> Iterator[Leg]:
    """Train a stack of models.

    Parameters
    ----------
    setup : Setup
        What is trained, on what, and how.
    resume : (int, MemberState), optional
        The epoch to go on with, the first of a leg, and the state that ended the leg before it;
        for a stack of one.

    Yields
    ------
    Leg
        Judged epochs, with the states that end them. A member that has ended is in no further leg.
    """
    _let_malloc_keep_memory()
    zero = MemberState.at_zero(setup.weights_shape, setup.training.dtype)
    first_epoch, state = resume or (0, zero)
    states = dict.fromkeys(range(len(setup.l2_lambdas)), state)
    stack, referee = Stack(setup, state.weights), _Referee(setup)
    pool = ThreadPoolExecutor(max(1, referee.n_helpers))

    def trained() -> Iterator[Callable[[], _Evaluated]]:
        for epochs in setup.schedule.legs(first_epoch):
            yield referee.start(stack.train(epochs), pool)

    # BLAS itself stays on one thread, so that bits do not depend on the number of cores. The limit
    # is one of the process with the OpenBLAS of NumPy's wheels.
    with threadpool_limits(1, "blas"):
        try:
            for evaluated in trained() if _has_short_steps(setup) else _one_behind(trained()):
                leg = referee.judge(evaluated(), states)
                yield leg
                states = {each.member: each.state for each in leg.members if not each.outcome}
                if not states:
                    return
                stack.keep(tuple(states))
        finally:
            pool.shutdown(cancel_futures=True)


def _let_malloc_keep_memory() -> None:
    """Free one large array, by which glibc's malloc learns to keep smaller ones for reuse."""
    np.empty(KEPT_FREE_BYTES, np.uint8)


def _has_short_steps(setup: Setup) -> bool:
    """Say whether W Xᵀ of a batch, for all models, is a small product."""
    n_weights = len(setup.l2_lambdas) * math.prod(setup.weights_shape)
    return n_weights * setup.training.batch_size < SHORT_STEP


def _one_behind(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield each item only after the next one has been made."""
    before: list[_Item] = []
    for item in items:
        yield from before
        before = [item]
    yield from before


@dataclass(frozen=True)
class _Evaluated:
    """A recording, and the checks of each of its members as they were measured."""

    recording: Recording
    checks: list[list[Check]]


class _Referee:
    """Evaluates the checks of a leg on both whole sets, and judges its members by them."""

    def __init__(self, setup: Setup) -> None:
        self.n_helpers = min(MAX_HELPERS, _n_cores() - 1)
        self._evaluator = Evaluator(
            (setup.train, setup.val),
            setup.head,
            setup.training.dtype,
            self.n_helpers,
            keep_blocks=setup.schedule.has_several_legs,
        )
        self._setup = setup

    def start(self, recording: Recording, pool: Executor) -> Callable[[], _Evaluated]:
        """Begin to evaluate; what is returned waits for the result."""
        weights = recording.snapshots.reshape(-1, *self._setup.weights_shape)
        score = self._evaluator.start(weights, pool)
        return lambda: _Evaluated(recording, self._checks(recording, score()))

    @np.errstate(over="ignore", invalid="ignore")
    def _checks(self, recording: Recording, score: Score) -> list[list[Check]]:
        """Return the checks of each member."""
        schedule = self._setup.schedule
        steps = schedule.checks(schedule.steps(recording.epochs))
        squares = squared_norm(recording.snapshots)
        train_loss, val_loss = score.loss.reshape(2, *squares.shape)
        train_accuracy, val_accuracy = score.accuracy.reshape(2, *squares.shape)
        l2_penalty = squares * [self._setup.l2_lambdas[i] for i in recording.members]
        columns = (train_loss, train_accuracy, val_loss, val_accuracy, l2_penalty, np.sqrt(squares))
        rows = np.stack(columns, axis=-1)  # as in Check, after step and epoch
        return [
            [
                Check(step, step // schedule.steps_per_epoch, *row)
                for step, row in zip(steps, rows[:, i].tolist(), strict=True)
            ]
            for i in range(len(recording.members))
        ]

    def judge(self, evaluated: _Evaluated, states: dict[int, MemberState]) -> Leg:
        """Judge the members that still train, by the states in which they began the leg."""
        recording, schedule = evaluated.recording, self._setup.schedule
        steps = schedule.steps(recording.epochs)
        is_last = recording.epochs.stop == schedule.epochs
        return Leg(
            recording.epochs,
            tuple(
                judge(
                    member,
                    states[member],
                    Trail(
                        steps,
                        recording.batch_losses[i],
                        evaluated.checks[i],
                        recording.snapshots[:, i],
                        recording.weights[i],
                    ),
                    self._setup.stopping,
                    is_last=is_last,
                )
                for i, member in enumerate(recording.members)
                if member in states
            ),
        )


def _n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
