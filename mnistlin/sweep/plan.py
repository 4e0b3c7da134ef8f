"""Which models a sweep trains, and which of them train side by side; derived from the config.

Members that differ in λ and the learning rate alone share a stack, and each batch is read once for
all of them. All others are separate tasks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mnistlin.config import ExperimentConfig, load_config
from mnistlin.errors import ConfigError
from mnistlin.runs.records import StackRecord
from mnistlin.runs.sweep_folder import Key, column_of, keys_of, value_text

STACK_WIDTH = 20
"""Largest number of models in a stack. In stacks of 1, 5, 10, 20 and 40, a softmax model on MNIST
took 1, 0.68, 0.54, 0.49 and 0.50 of its time alone; a logistic one 1, 0.40, 0.34, 0.32 and 0.31."""

MAX_MEMBERS = 10_000
"""Maximum number of members of a sweep; more are a typo."""


@dataclass(frozen=True)
class Task:
    """The members of a sweep that train side by side and share the order of batches."""

    keys: tuple[Key, ...]
    configs: tuple[ExperimentConfig, ...] = field(compare=False)

    def __str__(self) -> str:
        """Name the members in messages."""
        n, config = len(self.configs), self.configs[0]
        members = f"{n} models" if n > 1 else "the model"
        values = [value_text(value) for value in self.keys[0][:-1]]
        return f"{members} with seed {config.training.seed}, from {', '.join(values)} on"

    def described(self, sweep: str) -> StackRecord:
        """Return the entry `stack` of a member's run.json; `sweep` is the name of the folder."""
        how = [config.training for config in self.configs]
        rates = tuple(each.learning_rate for each in how)
        return StackRecord(
            sweep=sweep,
            l2_lambdas=tuple(each.l2_lambda for each in how),
            learning_rates=rates if len(set(rates)) > 1 else (),
            seed=how[0].seed,
        )


def tasks_of(config: ExperimentConfig) -> tuple[Task, ...]:
    """Return the tasks of a sweep, seed after seed.

    Members of a stack are split, in their order, into as few tasks as STACK_WIDTH allows, all about
    as wide.

    Raises
    ------
    ConfigError
        If the config has no section `sweep`, or combinations of its values are not valid; all of
        them are reported together.
    """
    if config.sweep is None:
        raise ConfigError(
            f"the config {config.name!r} has no λ to sweep over; add a section such as "
            "sweep: {l2_lambdas: [1, 0.1, 0]}, or pass --lambdas 1,0.1,0 or --over KEY=VALUES"
        )
    configs = _member_configs(config)
    stacks: dict[str, list[Key]] = {}
    for seed in config.sweep.seeds:
        for key, each in configs.items():
            if key[-1] == seed:
                stacks.setdefault(_shared(each), []).append(key)
    return tuple(
        Task(part, tuple(configs[key] for key in part))
        for keys in stacks.values()
        for part in _parts(keys)
    )


def stacked(
    config: ExperimentConfig, l2_lambdas: Sequence[float], learning_rates: Sequence[float] = ()
) -> tuple[ExperimentConfig, ...]:
    """Return the configs of a stack that differ from this one in λ and the learning rate alone."""
    rates = learning_rates or [config.training.learning_rate] * len(l2_lambdas)
    how = config.training
    return tuple(
        config.model_copy(
            update={"training": how.model_copy(update={"l2_lambda": value, "learning_rate": rate})}
        )
        for value, rate in zip(l2_lambdas, rates, strict=True)
    )


def _member_configs(config: ExperimentConfig) -> dict[Key, ExperimentConfig]:
    """Return the config with which `train` would train each member alone."""
    assert config.sweep is not None  # noqa: S101 (checked by the caller)
    sweep = config.sweep
    n_members = math.prod(map(len, sweep.swept.values())) * len(sweep.seeds)
    if n_members > MAX_MEMBERS:
        raise ConfigError(
            f"sweep: {n_members:,} combinations; at most {MAX_MEMBERS:,} are trained in one sweep"
        )
    found: dict[Key, ExperimentConfig] = {}
    problems: dict[str, list[str]] = {}
    for key in keys_of(sweep):
        seeds = {"seeds": list(sweep.seeds)} if len(sweep.seeds) > 1 else None
        settings = dict(zip(sweep.swept, key, strict=False)) | {"sweep": seeds}
        try:
            member = load_config(config, settings)
        except ConfigError as error:
            where = ", ".join(
                f"{column_of(name)} {value_text(value)}"
                for name, value in zip(sweep.swept, key, strict=False)
            )
            reason = str(error).partition(": ")[2]
            problems.setdefault(reason, []).append(where)
            continue
        training = member.training.model_copy(update={"seed": key[-1]})
        found[key] = member.model_copy(update={"training": training, "sweep": None})
    if problems:
        raise ConfigError(
            "\n".join(
                ["sweep: combinations that are not possible"]
                + [f"  {_shortened(where)}: {reason}" for reason, where in problems.items()]
            )
        )
    return found


def _shortened(names: Sequence[str], n_shown: int = 3) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - n_shown
    return "; ".join(names[:n_shown]) + (f"; and {more} more" if more > 0 else "")


def _shared(config: ExperimentConfig) -> str:
    """Return what the members of a stack have in common, as text."""
    (common,) = stacked(config, [0.0], [1.0])
    return common.model_dump_json()


def _parts(keys: Sequence[Key]) -> list[tuple[Key, ...]]:
    n_parts = math.ceil(len(keys) / STACK_WIDTH)
    bounds = [len(keys) * part // n_parts for part in range(n_parts + 1)]
    return [tuple(keys[start:stop]) for start, stop in pairwise(bounds)]
