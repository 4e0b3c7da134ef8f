"""Which steps, checks and legs a run has. All of it follows from the config and the data's size.

What a stack is trained on and how, in one value that the parts of the trainer share.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mnistlin.config import EarlyStoppingConfig, TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.errors import ConfigError
from mnistlin.model.linear import Head

ROWS_PER_EVALUATION = 512
"""Rows of weights evaluated together: half as many take 7 % longer, and more gain nothing."""

IMAGES_PER_LEG = 1_000_000
"""About as many images are trained on in a leg at most, so that an interrupt is heeded soon."""


@dataclass(frozen=True)
class Schedule:
    """The plan of a run; steps and epochs count from 0 over the whole of it.

    Attributes
    ----------
    epochs : int
        Epochs at most.
    steps_per_epoch : int
        Whole batches in the training set; the incomplete one is dropped.
    check_every : int
        A check comes after every step that is a multiple of this, and after the last step.
    epochs_per_leg : int
        Epochs whose checks are evaluated together.
    """

    epochs: int
    steps_per_epoch: int
    check_every: int
    epochs_per_leg: int

    @classmethod
    def of(
        cls, training: TrainingConfig, n_samples: int, n_rows: int, *, stops_early: bool
    ) -> "Schedule":
        """Plan the training of weights of n_rows rows in all on n_samples images.

        Raises
        ------
        ConfigError
            If a batch is larger than the training set, so that there is no step.
        """
        if training.batch_size > n_samples:
            raise ConfigError(
                f"training.batch_size: found {training.batch_size}, but the training set has only "
                f"{n_samples} images; choose a smaller batch, or raise data.train_size"
            )
        steps_per_epoch = n_samples // training.batch_size
        check_every = max(1, steps_per_epoch // training.checks_per_epoch)
        rows_per_epoch = n_rows * steps_per_epoch / check_every
        together = min(ROWS_PER_EVALUATION / rows_per_epoch, IMAGES_PER_LEG / n_samples)
        epochs_per_leg = 1 if stops_early else max(1, round(together))
        return cls(training.epochs, steps_per_epoch, check_every, epochs_per_leg)

    @property
    def has_several_legs(self) -> bool:
        """Whether there is more than one leg, if nothing stops it."""
        return self.epochs > self.epochs_per_leg

    def legs(self, first_epoch: int) -> Iterator[range]:
        """Yield the epochs of each leg, from the one that begins with first_epoch."""
        for epoch in range(first_epoch, self.epochs, self.epochs_per_leg):
            yield range(epoch, min(epoch + self.epochs_per_leg, self.epochs))

    def steps(self, epochs: range) -> range:
        """Return the steps of some consecutive epochs."""
        return range(epochs.start * self.steps_per_epoch, epochs.stop * self.steps_per_epoch)

    def checks(self, steps: range) -> list[int]:
        """Return those of some steps after whose update a check comes."""
        last = self.epochs * self.steps_per_epoch - 1
        return [step for step in steps if step % self.check_every == 0 or step == last]


@dataclass(frozen=True)
class Setup:
    """A stack of models that differ in λ alone, and everything that decides what becomes of it.

    Attributes
    ----------
    train, val : Split
        What is trained on, and what is validated on.
    head : Head
        Logistic or softmax.
    training : TrainingConfig
        Epochs, batches, learning rate, precision; its own λ is not used.
    stopping : EarlyStoppingConfig or None
        When a member stops before its last epoch.
    l2_lambdas : tuple of float
        λ of each member.
    """

    train: Split
    val: Split
    head: Head
    training: TrainingConfig
    stopping: EarlyStoppingConfig | None
    l2_lambdas: tuple[float, ...]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    @property
    def weights_shape(self) -> tuple[int, int]:
        """Shape of one member's weights, (n_outputs, n_features + 1)."""
        return self.head.n_outputs(self.n_classes), self.train.n_features + 1

    @cached_property
    def schedule(self) -> Schedule:
        """Steps, checks and legs.

        Raises
        ------
        ConfigError
            If a batch is larger than the training set.
        """
        return Schedule.of(
            self.training,
            n_samples=self.train.n_samples,
            n_rows=len(self.l2_lambdas) * self.weights_shape[0],
            stops_early=self.stopping is not None,
        )
