"""One stack, trained from its config to values that can be sent home. No files are written here."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Splits, load_splits
from mnistlin.experiment import describe_run, setup_for
from mnistlin.runs.provenance import utc_now
from mnistlin.sweep.plan import Stack, member_config
from mnistlin.training.legs import Leg, MemberLeg
from mnistlin.training.sgd import train

OnLeg = Callable[[range], bool]

# BLAS has one number of threads a process; two stacks at once would reset it under each other,
# as could happen in the threads of a Dask worker.
_one_at_a_time = threading.Lock()

_load_once = lru_cache(maxsize=1)(load_splits)


@dataclass(frozen=True)
class TrainedStack:
    """What became of a stack.

    Attributes
    ----------
    members : tuple of MemberLeg
        The whole history of each, as if it were one leg.
    train_seconds : float
        How long the stack trained.
    info : dict
        What run.json says of where and with what it was trained.
    """

    members: tuple[MemberLeg, ...]
    train_seconds: float
    info: dict[str, Any]


def train_stack(
    config: ExperimentConfig,
    stack: Stack,
    data: Splits | None = None,
    on_leg: OnLeg | None = None,
) -> TrainedStack | None:
    """Train one stack of a sweep.

    Parameters
    ----------
    config : ExperimentConfig
        The config of the sweep.
    stack : Stack
        Which of its models.
    data : Splits, optional
        Its data; found by name if it is not given, once in each process.
    on_leg : callable, optional
        Called with the epochs of each leg; if it returns True, training ends without a result.

    Returns
    -------
    TrainedStack, optional
        None if `on_leg` ended it.
    """
    splits = _load_once(config.data) if data is None else data
    config = member_config(config, stack.l2_lambdas[0], stack.seed)
    info = {"started_utc": utc_now(), **describe_run(splits, config)}
    legs: list[list[MemberLeg]] = [[] for _ in stack.l2_lambdas]
    with _one_at_a_time:
        started = time.perf_counter()
        for leg in train(setup_for(config, splits, stack.l2_lambdas)):
            for each in leg.members:
                past = legs[each.member]
                if past:  # only the newest state is needed
                    past[-1] = replace(past[-1], state=each.state)
                past.append(each)
            if on_leg is not None and on_leg(leg.epochs) and _goes_on(leg):
                return None
        train_seconds = time.perf_counter() - started
    return TrainedStack(tuple(map(joined, legs)), train_seconds, info)


def _goes_on(leg: Leg) -> bool:
    return any(member.outcome is None for member in leg.members)


def joined(legs: Sequence[MemberLeg]) -> MemberLeg:
    """Return consecutive legs of one member as a single one."""
    first, last = legs[0], legs[-1]
    return replace(
        last,
        steps=range(first.steps.start, last.steps.stop),
        batch_losses=np.concatenate([leg.batch_losses for leg in legs]),
        checks=tuple(check for leg in legs for check in leg.checks),
    )
