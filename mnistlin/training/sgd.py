"""The trainer: mini-batch gradient descent on a stack of models, as a generator of legs.

While one leg trains, other threads evaluate the checks of the leg before it; a stop is then found
a leg late, and cut back exactly, as if it had been found at once.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.heads import Floats
from mnistlin.model.linear import gradient, logits, squared_norm
from mnistlin.training.batches import PixelReader, epoch_order
from mnistlin.training.evaluation import Evaluator, Score
from mnistlin.training.legs import Check, Leg, MemberState, Trail, judge
from mnistlin.training.setup import Setup

BATCHES_PER_CHUNK = 32
"""Batches whose logits are kept until all their losses are computed at once."""

KEPT_BYTES = 16 * 2**20
"""Pixels that are kept where all epochs have the same batches; converting them anew each time
takes a seventh of a binary run."""

MAX_HELPERS = 8
"""Threads that evaluate at most beside the one that trains; each has buffers of its own."""

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
    zero = MemberState.at_zero(setup.weights_shape, setup.training.dtype)
    first_epoch, state = resume or (0, zero)
    states = dict.fromkeys(range(len(setup.l2_lambdas)), state)
    stack, referee = _Stack(setup, state.weights), _Referee(setup)
    pool = ThreadPoolExecutor(max(1, referee.n_helpers))

    def trained() -> Iterator[Callable[[], _Evaluated]]:
        for epochs in setup.schedule.legs(first_epoch):
            yield referee.start(stack.train(epochs), pool)

    # BLAS itself stays on one thread, so that bits do not depend on the number of cores.
    with threadpool_limits(1, "blas"):
        try:
            for evaluated in _one_behind(trained()):
                leg = referee.judge(evaluated(), states)
                yield leg
                states = {each.member: each.state for each in leg.members if not each.outcome}
                if not states:
                    return
                stack.keep(tuple(states))
        finally:
            pool.shutdown(cancel_futures=True)


def _one_behind(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield each item only after the next one has been made."""
    before: list[_Item] = []
    for item in items:
        yield from before
        before = [item]
    yield from before


@dataclass(frozen=True)
class _Recording:
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


@dataclass(frozen=True)
class _Evaluated:
    """A recording, and the checks of each of its members as they were measured."""

    recording: _Recording
    checks: list[list[Check]]


class _Stack:
    """The weights of the members that still train, and the steps that move them."""

    @np.errstate(over="ignore")  # a λ may be beyond float32; that too is divergence
    def __init__(self, setup: Setup, weights: Floats) -> None:
        self._split, self._head, self._how = setup.train, setup.head, setup.training
        self._schedule, self._n_classes = setup.schedule, setup.n_classes
        self._reader = PixelReader(setup.train, self._how.batch_size, self._how.dtype)
        self._members = tuple(range(len(setup.l2_lambdas)))
        self._l2_lambdas = np.array(setup.l2_lambdas, dtype=self._how.dtype)
        self._weights = np.stack([weights] * len(self._members))
        self._kept = self._pixels_to_keep()

    def keep(self, members: tuple[int, ...]) -> None:
        """Let all but these members leave."""
        if members == self._members:
            return
        at = [self._members.index(member) for member in members]
        self._members, self._weights = members, self._weights[at]
        self._l2_lambdas = self._l2_lambdas[at]

    @np.errstate(over="ignore", invalid="ignore")  # divergence is judged by its numbers
    def train(self, epochs: range) -> _Recording:
        """Take all steps of some epochs."""
        batch_losses: list[NDArray[np.float64]] = []
        snapshots: list[Floats] = []
        for epoch in epochs:
            steps = self._schedule.steps(range(epoch, epoch + 1))
            batches = self._batches(epoch)
            for first in range(0, len(steps), BATCHES_PER_CHUNK):
                chunk = slice(first, first + BATCHES_PER_CHUNK)
                batch_losses.append(self._take_steps(steps[chunk], batches[chunk], snapshots))
        return _Recording(
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
        checks = self._schedule.checks(steps)
        for i, (step, samples) in enumerate(zip(steps, batches, strict=True)):
            Z[i] = self._step(self._pixels(step, samples), Y[i])
            if step in checks:
                snapshots.append(self._weights.copy())
        losses = self._head.losses(Z, Y[:, None])
        means: NDArray[np.float64] = losses.mean(axis=-1, dtype=np.float64).T
        return means

    def _pixels_to_keep(self) -> list[Floats]:
        """Return the pixels of each batch of an epoch; none if epochs differ, or they are many."""
        batches = self._batches(0)
        n_bytes = batches.size * self._weights.shape[2] * self._weights.itemsize
        if self._how.shuffle or n_bytes > KEPT_BYTES:
            return []
        return [self._reader.read(samples).copy() for samples in batches]

    def _pixels(self, step: int, samples: NDArray[np.intp]) -> Floats:
        """Return the pixels P of a batch, good until the next one's."""
        if self._kept:
            return self._kept[step % self._schedule.steps_per_epoch]
        return self._reader.read(samples)

    def _step(self, P: Floats, Y: Floats) -> Floats:
        """Move the weights against the gradient on one batch; return its logits before that."""
        W = self._weights
        Z = logits(W, P)
        R = self._head.predict(Z) - Y
        W -= self._how.learning_rate * gradient(R, W, P, self._l2_lambdas)
        return Z


class _Referee:
    """Evaluates the checks of a leg on both whole sets, and judges its members by them."""

    def __init__(self, setup: Setup) -> None:
        self.n_helpers = min(MAX_HELPERS, _n_cores() - 1)
        self._train, self._val = (
            Evaluator(split, setup.head, setup.training.dtype, self.n_helpers)
            for split in (setup.train, setup.val)
        )
        self._setup = setup

    def start(self, recording: _Recording, pool: Executor) -> Callable[[], _Evaluated]:
        """Begin to evaluate; what is returned waits for the result."""
        weights = recording.snapshots.reshape(-1, *self._setup.weights_shape)
        train_score, val_score = self._train.start(weights, pool), self._val.start(weights, pool)
        return lambda: _Evaluated(recording, self._checks(recording, train_score(), val_score()))

    @np.errstate(over="ignore", invalid="ignore")
    def _checks(self, recording: _Recording, train: Score, val: Score) -> list[list[Check]]:
        """Return the checks of each member."""
        schedule = self._setup.schedule
        steps = schedule.checks(schedule.steps(recording.epochs))
        squares = squared_norm(recording.snapshots)
        columns = {
            "train_loss": train.loss.reshape(squares.shape),
            "train_accuracy": train.accuracy.reshape(squares.shape),
            "val_loss": val.loss.reshape(squares.shape),
            "val_accuracy": val.accuracy.reshape(squares.shape),
            "l2_penalty": squares * [self._setup.l2_lambdas[i] for i in recording.members],
            "weight_norm": np.sqrt(squares),
        }
        return [
            [
                Check(
                    step=step,
                    epoch=step // schedule.steps_per_epoch,
                    checks_without_improvement=0,
                    **{name: float(column[row, i]) for name, column in columns.items()},
                )
                for row, step in enumerate(steps)
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
