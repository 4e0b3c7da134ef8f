"""Which models a sweep trains, and which of them train side by side; derived from the config."""

import math
from dataclasses import dataclass
from itertools import pairwise

from mnistlin.config import ExperimentConfig
from mnistlin.errors import ConfigError
from mnistlin.runs.records import StackRecord
from mnistlin.runs.sweep_folder import Key

STACK_WIDTH = 20
"""Largest number of models in a stack. In stacks of 1, 5, 10, 20 and 40, a softmax model on MNIST
took 1, 0.68, 0.54, 0.49 and 0.50 of its time alone; a logistic one 1, 0.40, 0.34, 0.32 and 0.31."""


@dataclass(frozen=True)
class Task:
    """The members of a sweep that train side by side and share the order of batches."""

    l2_lambdas: tuple[float, ...]
    seed: int

    @property
    def keys(self) -> list[Key]:
        """λ and seed of each member."""
        return [(l2_lambda, self.seed) for l2_lambda in self.l2_lambdas]

    def __str__(self) -> str:
        """Name the members in messages: λ = 1, 0.1, 0 with seed 2."""
        return f"λ = {', '.join(f'{value:g}' for value in self.l2_lambdas)} with seed {self.seed}"

    def configs(self, config: ExperimentConfig) -> tuple[ExperimentConfig, ...]:
        """Return the config of each member."""
        return tuple(member_config(config, *key) for key in self.keys)

    def described(self, sweep: str) -> StackRecord:
        """Return the entry `stack` of a member's run.json; `sweep` is the name of the folder."""
        return StackRecord(sweep=sweep, l2_lambdas=self.l2_lambdas, seed=self.seed)


def tasks_of(config: ExperimentConfig) -> tuple[Task, ...]:
    """Return the tasks of a sweep, seed after seed.

    The λ are split, in their order, into as few stacks as STACK_WIDTH allows, all about as wide.

    Raises
    ------
    ConfigError
        If the config has no section `sweep`.
    """
    if config.sweep is None:
        raise ConfigError(
            f"the config {config.name!r} has no λ to sweep over; add a section such as "
            "sweep: {l2_lambdas: [1, 0.1, 0]}, or pass --lambdas 1,0.1,0"
        )
    values = config.sweep.l2_lambdas
    n_parts = math.ceil(len(values) / STACK_WIDTH)
    bounds = [len(values) * part // n_parts for part in range(n_parts + 1)]
    return tuple(
        Task(values[start:stop], seed)
        for seed in config.sweep.seeds
        for start, stop in pairwise(bounds)
    )


def member_config(config: ExperimentConfig, l2_lambda: float, seed: int) -> ExperimentConfig:
    """Return the config with which `train` would train this member of a sweep alone."""
    training = config.training.model_copy(update={"l2_lambda": l2_lambda, "seed": seed})
    return config.model_copy(update={"training": training, "sweep": None})
