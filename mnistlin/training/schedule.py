"""What is trained, and when: a stack of models, and its steps, checks and segments.

All of it follows from the config and the data. A segment is a run of consecutive epochs whose
checks are evaluated together: one epoch with early stopping, which waits for them, and more
otherwise, since one large matrix product is faster than many small ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mnistlin.config import EarlyStoppingConfig, TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.errors import ConfigError
from mnistlin.model.heads import Head

_ROWS_PER_EVALUATION = 512
"""Rows of weights evaluated together: half as many take 7 % longer, and more gain nothing."""

_IMAGES_PER_SEGMENT = 1_000_000
"""Approximate maximum of images per segment, so that an interrupt takes effect soon."""


@dataclass(frozen=True)
class Schedule:
    """The steps of a run; steps and epochs count from 0 over the whole run.

    A check comes after every step that is a multiple of `check_every`, and after the last step.
    """

    epochs: int
    steps_per_epoch: int
    check_every: int
    epochs_per_segment: int

    @classmethod
    def of(
        cls, training: TrainingConfig, n_samples: int, n_rows: int, *, stops_early: bool
    ) -> "Schedule":
        """Plan the training of n_rows rows of weights on n_samples images.

        The incomplete last batch of an epoch is dropped.
        """
        steps_per_epoch = n_samples // training.batch_size
        check_every = max(1, steps_per_epoch // training.checks_per_epoch)
        rows_per_epoch = n_rows * steps_per_epoch / check_every
        together = min(_ROWS_PER_EVALUATION / rows_per_epoch, _IMAGES_PER_SEGMENT / n_samples)
        epochs_per_segment = 1 if stops_early else max(1, round(together))
        return cls(training.epochs, steps_per_epoch, check_every, epochs_per_segment)

    @property
    def has_several_segments(self) -> bool:
        """Whether there is more than one segment, unless training ends early."""
        return self.epochs > self.epochs_per_segment

    def segments(self, first_epoch: int = 0) -> Iterator[range]:
        """Yield the epochs of each segment, from the one that begins with first_epoch."""
        for epoch in range(first_epoch, self.epochs, self.epochs_per_segment):
            yield range(epoch, min(epoch + self.epochs_per_segment, self.epochs))

    def steps(self, epochs: range) -> range:
        """Return the steps of some consecutive epochs."""
        return range(epochs.start * self.steps_per_epoch, epochs.stop * self.steps_per_epoch)

    def checks(self, steps: range) -> list[int]:
        """Return the steps of a range that are followed by a check."""
        last = self.epochs * self.steps_per_epoch - 1
        return [step for step in steps if step % self.check_every == 0 or step == last]


@dataclass(frozen=True)
class Setup:
    """A stack of models to train: they share all but λ and the learning rate.

    `l2_lambdas` and, unless it is empty, `learning_rates` have one value per member, which replaces
    that of `training`. `drawn_from` is that of the splits.

    Raises
    ------
    ConfigError
        If the config does not fit the data: too few or too many classes, or too large a batch.
    """

    train: Split
    val: Split
    head: Head
    training: TrainingConfig
    stopping: EarlyStoppingConfig | None
    l2_lambdas: tuple[float, ...]
    drawn_from: tuple[int, ...] = ()
    learning_rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        classes, n_samples = self.train.classes, self.train.n_samples
        max_classes = self.head.max_classes or len(classes)
        if len(classes) < 2:
            raise ConfigError(
                f"data.classes: the data has only the class {classes[0]}; a classifier needs at "
                "least two"
            )
        if len(classes) > max_classes:
            raise ConfigError(
                f"data.classes: found {', '.join(map(str, classes))}, but model: {self.head.name} "
                f"has {max_classes} classes; name {max_classes}, or use model: softmax"
            )
        if self.training.batch_size > n_samples:
            raise ConfigError(
                f"training.batch_size: found {self.training.batch_size}, but the training set has "
                f"only {n_samples} images; choose a smaller batch, or raise data.train_size"
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    @property
    def weights_shape(self) -> tuple[int, int]:
        """Shape of one member's weights, (n_features + 1, n_outputs)."""
        return self.train.n_features + 1, self.head.n_outputs(self.n_classes)

    @cached_property
    def schedule(self) -> Schedule:
        """Steps, checks and segments."""
        return Schedule.of(
            self.training,
            n_samples=self.train.n_samples,
            n_rows=len(self.l2_lambdas) * self.weights_shape[1],
            stops_early=self.stopping is not None,
        )
