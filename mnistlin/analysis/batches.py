"""Which batches of an epoch are hard, and what is in them? Told by steps.csv and the images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.own_data import load_own_splits
from mnistlin.data.splits import Split
from mnistlin.errors import RunError
from mnistlin.model.heads import HEADS
from mnistlin.runs.folder import Run
from mnistlin.training.batches import epoch_order
from mnistlin.training.evaluation import predict

N_HARDEST = 3


@dataclass(frozen=True)
class LossByPosition:
    """The mean batch loss at each place of an epoch, over all whole epochs but the first.

    Attributes
    ----------
    mean : ndarray of shape (steps_per_epoch,)
        In nats, before the update of the step.
    error : ndarray of shape (steps_per_epoch,)
        Its standard error: how far chance moves it from epoch to epoch.
    n_epochs : int
        Epochs that it was averaged over.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    n_epochs: int

    def hardest(self) -> list[int]:
        """Return the positions with the highest loss, the highest first."""
        return [int(position) for position in np.argsort(-self.mean, kind="stable")[:N_HARDEST]]


@dataclass(frozen=True)
class Batch:
    """One batch of an unshuffled run.

    Attributes
    ----------
    position : int
        Its place in every epoch, from 0.
    mean_loss : float
        Over the epochs, in nats.
    samples : ndarray of shape (batch_size,)
        Its samples in the training split, those that the last weights find hardest first.
    counts : ndarray of shape (n_classes,)
        How many samples it has of each class.
    """

    position: int
    mean_loss: float
    samples: NDArray[np.intp]
    counts: NDArray[np.intp]


@dataclass(frozen=True)
class HardBatches:
    """The hardest batches of an unshuffled run.

    Attributes
    ----------
    train : Split
        The training images.
    batches : tuple of Batch
        The hardest first.
    counts : ndarray of shape (n_classes,)
        How many samples the training split has of each class.
    """

    train: Split
    batches: tuple[Batch, ...]
    counts: NDArray[np.intp]


def loss_by_position(run: Run, steps_per_epoch: int) -> LossByPosition:
    """Average the batch losses of a run by their place in the epoch.

    Raises
    ------
    RunError
        If the run has fewer than three whole epochs, or steps.csv cannot be read.
    """
    losses = run.steps["batch_loss"]
    n_epochs = len(losses) // steps_per_epoch - 1
    if n_epochs < 2:
        raise RunError(f"{run.path}: it takes three whole epochs or more to compare their batches")
    by_epoch = losses[steps_per_epoch:][: n_epochs * steps_per_epoch].reshape(n_epochs, -1)
    error = by_epoch.std(axis=0, ddof=1) / np.sqrt(n_epochs)
    return LossByPosition(by_epoch.mean(axis=0), error, n_epochs)


def hard_batches(run: Run, losses: LossByPosition) -> HardBatches:
    """Look into the hardest batches of an unshuffled run.

    Raises
    ------
    DataError
        If the training images are missing, or not the same as they were.
    RunError
        If the weights cannot be read.
    """
    how = run.config.training
    W = run.weights["last"]
    train = load_own_splits(run).train
    order = epoch_order(train.n_samples, how.seed, 0, shuffle=how.shuffle)
    sample_losses = predict(train, W.T, HEADS[run.config.model]).loss
    n_classes = len(train.classes)

    def batch_at(position: int) -> Batch:
        samples = order[position * how.batch_size :][: how.batch_size]
        samples = samples[np.argsort(-sample_losses[samples], kind="stable")]
        counts = np.bincount(train.targets[samples], minlength=n_classes)
        return Batch(position, float(losses.mean[position]), samples, counts)

    batches = tuple(map(batch_at, losses.hardest()))
    return HardBatches(train, batches, np.bincount(train.targets, minlength=n_classes))
