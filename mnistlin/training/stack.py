"""A stack of models that train side by side: their weights, and the steps that move them.

What is recorded is judged elsewhere; nothing here knows whether training goes well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlin.model.heads import Floats
from mnistlin.model.inputs import Inputs
from mnistlin.model.linear import gradient, logits
from mnistlin.training.batches import PixelReader, epoch_order
from mnistlin.training.setup import Setup

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
