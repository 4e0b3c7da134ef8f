"""What does each step of an epoch do to validation accuracy? An experiment without shuffling.

From the last weights of a run one more epoch is trained in the same order, and evaluated after
every step. If the run has stopped within an epoch, the rest of that one is trained first. The loss
of a batch before its update does not show this: it depends on the previous step as much as on the
batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnistlin.analysis.periods import LossByPosition
from mnistlin.data.splits import Split, Splits
from mnistlin.experiment import setup_for
from mnistlin.model.linear import unstack
from mnistlin.model.products import Floats
from mnistlin.runs.folder import Run
from mnistlin.training.batches import epoch_orders
from mnistlin.training.evaluation import predict
from mnistlin.training.schedule import Setup
from mnistlin.training.segments import MemberState
from mnistlin.training.sgd import Stack, train

N_STEPS = 3
"""Number of steps that are examined: those that lower accuracy most."""


@dataclass(frozen=True)
class Batch:
    """The batch of one position of the epoch, and what its step does to validation accuracy."""

    position: int
    mean_loss: float
    """Mean over the epochs of its loss before the update, in nats."""
    accuracy_change: float
    """Validation accuracy after the step minus that before it, in the experiment."""
    samples: NDArray[np.uint32]
    """Its samples in the training split, those with the highest loss at the last weights first."""
    counts: NDArray[np.intp]
    """How many samples it has of each class."""


@dataclass(frozen=True)
class OneMoreEpoch:
    """Validation accuracy through one more epoch in the same order.

    `accuracy` has one value before the first step and one after each step, (steps_per_epoch + 1,).
    """

    train: Split
    follows_part: bool
    """Whether the run had stopped within an epoch, whose rest comes before this one."""
    accuracy: NDArray[np.float64]
    batches: tuple[Batch, ...]
    """Those whose steps lower accuracy most, the worst first."""

    @property
    def change(self) -> NDArray[np.float64]:
        """What each step changes, by position."""
        return np.diff(self.accuracy)

    def steps_to_recover(self, position: int) -> int | None:
        """Return after how many steps accuracy has recovered; None if not in this epoch."""
        later = np.flatnonzero(self.accuracy[position + 2 :] >= self.accuracy[position])
        return int(later[0]) + 1 if len(later) else None


def one_more_epoch(run: Run, splits: Splits, losses: LossByPosition) -> OneMoreEpoch:
    """Train one more epoch from the last weights, and examine its worst steps."""
    n_steps = len(losses.mean)
    how = run.config.training.model_copy(update={"epochs": 1, "checks_per_epoch": n_steps})
    config = run.config.model_copy(update={"training": how, "early_stopping": None})
    setup = setup_for([config], splits)
    n_done = (int(run.metrics["step"][-1]) + 1) % n_steps
    W = run.weights["last"]
    if n_done:
        W = _trained_on(setup, W, range(n_done, n_steps))
    segments = train(setup, (0, MemberState.starting_at(W)))
    after = [check.val_accuracy for (segment,) in segments for check in segment.checks]
    before = predict(splits.val, W, run.head).class_index == splits.val.targets
    accuracy = np.array([before.mean(), *after])

    order = next(epoch_orders(how, splits.train.n_samples))
    sample_losses = predict(splits.train, W, run.head).loss
    change = np.diff(accuracy)

    def batch_at(position: int) -> Batch:
        samples = order[position * how.batch_size :][: how.batch_size]
        samples = samples[np.argsort(-sample_losses[samples], kind="stable")]
        counts = np.bincount(splits.train.targets[samples], minlength=len(splits.train.classes))
        loss = float(losses.mean[position])
        return Batch(position, loss, float(change[position]), samples, counts)

    worst = np.argsort(change, kind="stable")[:N_STEPS]
    batches = tuple(batch_at(int(each)) for each in worst)
    return OneMoreEpoch(splits.train, n_done > 0, accuracy, batches)


def _trained_on(setup: Setup, weights: Floats, positions: range) -> Floats:
    """Return the weights after the steps at some positions of an epoch without shuffling."""
    size = setup.training.batch_size
    trainer = Stack(setup, MemberState.starting_at(weights))
    with threadpool_limits(1, "blas"):
        for position in positions:
            trainer.step_on(np.arange(position * size, (position + 1) * size))
    return unstack(trainer.weights[0])
