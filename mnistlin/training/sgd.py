"""The trainer: mini-batch gradient descent on a stack of models, as a generator of segments.

While one segment trains, other threads evaluate the checks of the segment before it; a stop is
then found one segment late, and cut back exactly. Where steps are short, each segment is evaluated
before the next one trains.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.model.linear import gradient, logits, stack
from mnistlin.model.products import Floats
from mnistlin.model.samples import max_helpers
from mnistlin.training.batches import PixelReader, epoch_orders
from mnistlin.training.evaluation import Evaluator, Score
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MemberState, Recording, Segment, segments_of

_STEPS_PER_CHUNK = 64
"""Steps whose logits are kept until the losses of their batches are computed, all at once."""

_SHORT_STEP = 200_000
"""Multiplications of W Xᵀ below which no segment is evaluated while the next one trains: both would
mostly wait for the interpreter's lock."""

_Item = TypeVar("_Item")


def train(setup: Setup, resume: tuple[int, MemberState] | None = None) -> Iterator[list[Segment]]:
    """Train a stack of models.

    Parameters
    ----------
    setup : Setup
        What is trained.
    resume : (int, MemberState), optional
        For a stack of one: the epoch to continue with, the first of a segment, and the state after
        the segment before it.

    Yields
    ------
    list of Segment
        One for each member that was still training.
    """
    zero = MemberState.at_zero(setup.weights_shape, setup.training.dtype)
    first_epoch, state = resume or (0, zero)
    states = dict.fromkeys(range(len(setup.l2_lambdas)), state)
    members = Stack(setup, state, first_epoch)
    n_helpers = max_helpers()
    evaluator = Evaluator(
        (setup.train, setup.val),
        setup.head,
        setup.training.dtype,
        n_helpers,
        keep_blocks=setup.schedule.has_several_segments,
    )
    pool = ThreadPoolExecutor(max(1, n_helpers))

    def trained() -> Iterator[tuple[Recording, Callable[[], Score]]]:
        for epochs in setup.schedule.segments(first_epoch):
            recording = members.train(epochs)
            snapshots = recording.snapshots
            weights = snapshots.reshape(-1, *snapshots.shape[2:])
            yield recording, evaluator.start(weights, pool)

    # BLAS itself stays on one thread, so that bits do not depend on the number of cores. With the
    # OpenBLAS of NumPy's wheels, the limit applies to the whole process.
    with threadpool_limits(1, "blas"):
        try:
            ready = trained() if _has_short_steps(setup) else _one_behind(trained())
            for recording, score in ready:
                segments = segments_of(setup, recording, score(), states)
                yield segments
                states = {each.member: each.state for each in segments if each.outcome is None}
                if not states:
                    return
                members.keep(tuple(states))
        finally:
            pool.shutdown(cancel_futures=True)


class Stack:
    """The members that are still training, all from one state, and their update steps."""

    @np.errstate(over="ignore")  # a λ may overflow float32; that too is divergence
    def __init__(self, setup: Setup, state: MemberState, first_epoch: int = 0) -> None:
        training = setup.training
        self._setup, self._schedule = setup, setup.schedule
        self._reader = PixelReader(setup.train, training.batch_size, training.dtype)
        self._members = tuple(range(len(setup.l2_lambdas)))
        self._l2_lambdas = np.array(setup.l2_lambdas, dtype=training.dtype)
        rates = setup.learning_rates or [training.learning_rate] * len(self._members)
        self._learning_rates = np.array(rates, dtype=training.dtype)
        self.weights = stack(*[state.weights] * len(self._members))
        self._orders = epoch_orders(training, setup.train.n_samples, first_epoch, setup.drawn_from)

    def keep(self, members: tuple[int, ...]) -> None:
        """Remove all but these members."""
        if members == self._members:
            return
        at = [self._members.index(member) for member in members]
        self._members, self.weights = members, self.weights[at]
        self._l2_lambdas, self._learning_rates = self._l2_lambdas[at], self._learning_rates[at]

    @np.errstate(over="ignore", invalid="ignore")  # divergence shows in the losses
    def train(self, epochs: range) -> Recording:
        """Take all steps of the next epochs."""
        steps = self._schedule.steps(epochs)
        batches = [self._next_batches() for _ in epochs]
        # One epoch, which may be all that fits into memory, is not copied.
        all_batches = np.concatenate(batches) if len(batches) > 1 else batches[0]
        batch_losses: list[NDArray[np.float64]] = []
        snapshots: list[Floats] = []
        for first in range(0, len(steps), _STEPS_PER_CHUNK):
            chunk = slice(first, first + _STEPS_PER_CHUNK)
            batch_losses.append(self._take_steps(steps[chunk], all_batches[chunk], snapshots))
        return Recording(
            epochs,
            self._members,
            np.concatenate(batch_losses, axis=-1),
            np.stack(snapshots),
            self.weights.copy(),
        )

    def _next_batches(self) -> NDArray[np.uint32]:
        """Return the samples of each batch of the next epoch, (steps_per_epoch, batch_size)."""
        shape = self._schedule.steps_per_epoch, self._setup.training.batch_size
        return next(self._orders)[: math.prod(shape)].reshape(shape)

    def _take_steps(
        self, steps: range, batches: NDArray[np.uint32], snapshots: list[Floats]
    ) -> NDArray[np.float64]:
        """Train on some batches; return their losses (n_models, n_steps), append the snapshots."""
        setup, dtype = self._setup, self._setup.training.dtype
        rows = setup.train.rows[batches].astype(np.intp)  # once, not in each step
        Y = setup.head.one_hot(setup.train.targets[batches], setup.n_classes, dtype)
        Z = np.empty((len(steps), *self.weights.shape[:2], batches.shape[1]), dtype)
        checks = set(self._schedule.checks(steps))
        for i, step in enumerate(steps):
            Z[i] = self.step(rows[i], Y[i])
            if step in checks:
                snapshots.append(self.weights.copy())
        losses = setup.head.losses(Z, Y[:, None])
        means: NDArray[np.float64] = losses.mean(axis=-1, dtype=np.float64).T
        return means

    def step(self, rows: NDArray[np.integer[Any]], Y: Floats) -> Floats:
        """Take a step on some `Split.rows` with targets Y; return their logits before the step."""
        X = self._reader.read(rows)
        Z = logits(self.weights, X)
        R = self._setup.head.residual(Z, Y)
        self.move(gradient(R, self.weights, X, self._l2_lambdas))
        return Z

    def step_on(self, samples: NDArray[np.integer[Any]]) -> None:
        """Take a step on a batch of the training split, as an experiment after a run does."""
        setup, train = self._setup, self._setup.train
        Y = setup.head.one_hot(train.targets[samples], setup.n_classes, setup.training.dtype)
        self.step(train.rows[samples], Y)

    def move(self, G: Floats) -> None:
        """Update the weights with gradients of J, of their shape: all that a step does to them.

        `explain stability` does the same with the gradient on all images.
        """
        self.weights -= self._learning_rates[:, None, None] * G


def _has_short_steps(setup: Setup) -> bool:
    """Return whether W Xᵀ of a batch, for all models, is a small product."""
    n_weights = len(setup.l2_lambdas) * math.prod(setup.weights_shape)
    return n_weights * setup.training.batch_size < _SHORT_STEP


def _one_behind(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield each item only after the next one has been computed."""
    before: list[_Item] = []
    for item in items:
        yield from before
        before = [item]
    yield from before
