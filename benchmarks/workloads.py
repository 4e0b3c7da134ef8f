"""The workloads of the benchmarks, the same for all trainers, and their data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnistlin.config import DataConfig, ExperimentConfig, load_config
from mnistlin.data.splits import Split, load_splits
from mnistlin.experiment import setup_for
from mnistlin.sweep.plan import stacked
from mnistlin.training.schedule import Setup


@dataclass(frozen=True)
class Result:
    """The result of a trainer: training time, and final accuracies of its last model."""

    seconds: float
    train_accuracy: float
    val_accuracy: float


@dataclass(frozen=True)
class Workload:
    """One training job: a config, and the λ of the models that are trained with it."""

    name: str
    config: ExperimentConfig
    l2_lambdas: tuple[float, ...]

    @cached_property
    def setup(self) -> Setup:
        """The workload as a setup of our trainer."""
        return setup_for(stacked(self.config, self.l2_lambdas), load_splits(self.config.data))

    @property
    def n_outputs(self) -> int:
        """Number of logits of one model: of a logistic model, one."""
        return self.setup.weights_shape[1]

    def batches(self, epoch: int) -> np.ndarray:
        """Return the samples of each batch of an epoch, (steps, batch_size): the same for all."""
        how, n = self.config.training, self.setup.train.n_samples
        order = np.arange(n)
        if how.shuffle:
            order = np.random.default_rng([how.seed, epoch]).permutation(n)
        steps = n // how.batch_size
        return order[: steps * how.batch_size].reshape(steps, how.batch_size)

    def has_check(self, step: int) -> bool:
        """Return whether the full sets are evaluated after this step."""
        schedule = self.setup.schedule
        return (
            step % schedule.check_every == 0
            or step == schedule.epochs * schedule.steps_per_epoch - 1
        )

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return X, y, X_val, y_val: scaled inputs with the bias column, and class indices.

        For a logistic model, y is 1 for the first class and 0 for the second.
        """
        return (*self._scaled(self.setup.train, dtype), *self._scaled(self.setup.val, dtype))

    def _scaled(self, split: Split, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        X = np.ones((split.n_samples, split.n_features + 1), dtype)
        X[:, :-1] = split.images[split.rows] / 127.5 - 1
        y = split.targets.astype(np.intp)
        return X, 1 - y if self.config.model == "logistic" else y

    @cached_property
    def flops(self) -> float:
        """Arithmetic of its matrix products, as the formulas have them."""
        setup, schedule = self.setup, self.setup.schedule
        n_steps = schedule.epochs * schedule.steps_per_epoch
        n_checks = len(schedule.checks(range(n_steps)))
        per_image = 2 * len(self.l2_lambdas) * np.prod(setup.weights_shape)
        n_images = setup.train.n_samples + setup.val.n_samples
        return float(
            per_image * (2 * n_steps * self.config.training.batch_size + n_checks * n_images)
        )


def all_workloads(dataset: str = "mnist") -> dict[str, Workload]:
    """Return the three workloads: softmax, binary without early stopping, and five λ at once."""
    softmax = _on(load_config("softmax"), dataset)
    binary = _on(load_config("binary-early-stopping", ["early_stopping=null"]), dataset)
    five = (1.0, 0.1, 0.01, 0.001, 0.0)
    workloads = (
        Workload("softmax", softmax, (0.0,)),
        Workload("binary", binary, (0.0,)),
        Workload("five-lambdas", softmax, five),
    )
    return {workload.name: workload for workload in workloads}


def _on(config: ExperimentConfig, dataset: str) -> ExperimentConfig:
    if dataset == config.data.dataset:
        return config
    data = DataConfig(dataset=dataset, classes=config.data.classes)
    return config.model_copy(update={"data": data})
