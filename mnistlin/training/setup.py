"""What a stack is trained on and how, in one value that the parts of the trainer share."""

from dataclasses import dataclass
from functools import cached_property

from mnistlin.config import EarlyStoppingConfig, TrainingConfig
from mnistlin.data.splits import Split
from mnistlin.model.heads import Head
from mnistlin.training.schedule import Schedule


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
