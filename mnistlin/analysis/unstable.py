"""Learning rates that are too large: unstable members of a sweep, and divergence.

A run cannot stay at its minimum where the learning rate times the sharpness there is 2 or more. A
sweep is tested once, when it has ended, and sweep.json keeps the result, so that figures can name
these members without the images.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from mnistlin.data.splits import Split, SplitLoader, shared_loader, sharing
from mnistlin.errors import ConfigError, DataError, RunError
from mnistlin.model.heads import Head
from mnistlin.model.objective import Objective
from mnistlin.model.optimum import minimise
from mnistlin.model.sharpness import (
    STABILITY_LIMIT,
    largest_stable_rate,
    sharpness,
    sharpness_bound,
)
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.runs.records import UnstableRecord
from mnistlin.runs.sweep_folder import Sweep, record_unstable
from mnistlin.training.evaluation import objective_on

MAX_IMAGES = 1000
"""Images on which the members of a sweep are tested; the search for a minimum takes 0.1 s."""

_TOLERANCE = 0.05
"""Relative error of a sharpness: between sets of 1,000 images it differs by more than that."""


def with_unstable_members(sweep: Sweep) -> Sweep:
    """Return a sweep that knows its unstable members; those of one that has ended are recorded.

    `info.unstable` stays None if the data is missing, or not what it was.
    """
    if sweep.info.unstable is not None:
        return sweep
    try:
        found = _tested(sweep)
    except (ConfigError, DataError):
        return sweep
    if sweep.status in {"finished", "partly_failed"}:
        with suppress(RunError):  # a read-only folder: the next command tests it again
            record_unstable(sweep.path, found)
    return replace(sweep, info=sweep.info.updated(unstable=found))


def _tested(sweep: Sweep) -> tuple[UnstableRecord, ...]:
    """Test one seed for each setting, those with the same training set together."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for runs in sweep.by_setting.values():
        for run in list(runs.values())[:1]:
            if run.config.training.l2_lambda:
                groups[f"{run.config.model} {run.config.data!r}"].append(run)
    found: list[UnstableMember] = []
    with sharing(shared_loader() or SplitLoader()):
        for group in groups.values():
            found += unstable_members(group, load_own_splits(group[0]).train)
    return tuple(
        UnstableRecord(run=each.run.path.name, largest_stable_rate=each.largest_stable_rate)
        for each in found
    )


@dataclass(frozen=True)
class UnstableMember:
    """A run whose learning rate is too large for any run to stay at its minimum."""

    run: Run
    sharpness_of_minimum: float

    @property
    def largest_stable_rate(self) -> float:
        """The learning rate below which a run could stay at the minimum."""
        return largest_stable_rate(self.sharpness_of_minimum)


def unstable_members(runs: Sequence[Run], train: Split) -> list[UnstableMember]:
    """Return the members that cannot stay at their own minimum.

    The sharpness of the minimum grows with λ, because weights are smaller and samples less certain.
    So for each learning rate the members are tested from the largest λ down to the first stable
    one, on at most MAX_IMAGES images.

    Parameters
    ----------
    runs : sequence of Run
        One for each setting; they share their training set.
    train : Split
        This set.
    """
    of_rate = defaultdict(list)
    for run in runs:
        if run.config.training.l2_lambda:
            of_rate[run.config.training.learning_rate].append(run)
    if not of_rate:
        return []
    objective = objective_on_some(train, runs[0].head)
    bound = sharpness_bound(objective, np.zeros(runs[0].weights_shape))
    # Of each λ. What is below the limit of a rate is so for smaller rates too, which come later.
    sharpness_for: dict[float, float] = {}
    unstable = []
    for rate in sorted(of_rate, reverse=True):
        for run in sorted(of_rate[rate], key=lambda run: -run.config.training.l2_lambda):
            l2_lambda = run.config.training.l2_lambda
            limit = STABILITY_LIMIT / rate
            if bound + 2 * l2_lambda < limit:
                break
            if l2_lambda not in sharpness_for:
                penalised = replace(objective, l2_lambda=l2_lambda)
                sharpness_for[l2_lambda] = _sharpness_of_minimum(penalised, run, limit)
            if sharpness_for[l2_lambda] < limit:
                break
            unstable.append(UnstableMember(run, sharpness_for[l2_lambda]))
    return unstable


def _sharpness_of_minimum(objective: Objective, run: Run, limit: float) -> float:
    """Return the sharpness of J at its minimum, or a larger one if that too is below a limit.

    At weights whose growth would lower J the minimum is farther out, where samples are more
    certain: the search can end there if they are less sharp than the limit.
    """
    W = run.weights["last"].astype(np.float64)
    if not np.isfinite(W).all():
        W = np.zeros_like(W)
    found = np.inf
    # A gradient of norm g leaves weights that are at most g / 2 λ from the minimum.
    for tolerance in sorted({np.inf, 0.05, min(0.05, 5 * objective.l2_lambda)}, reverse=True):
        point = minimise(objective, W, tolerance).point
        W = point.weights
        grows = np.vdot(point.gradient, W) < 0
        if grows or tolerance < np.inf:
            found = sharpness(objective, W, _TOLERANCE)
        if grows and found < limit:
            break
    return found


def objective_on_some(split: Split, head: Head) -> Objective:
    """Return J without a penalty on at most MAX_IMAGES images of a split, evenly spaced."""
    chosen = np.unique(np.linspace(0, split.n_samples - 1, MAX_IMAGES).astype(np.intp))
    some = replace(split, rows=split.rows[chosen], targets=split.targets[chosen])
    return objective_on(some, head, l2_lambda=0.0)


def stable_rate_like(learning_rate: float, objective: Objective) -> float:
    """Return a learning rate divided by 10 until training is stable at its start.

    Training begins at W = 0, where all samples are uncertain and the sharpness is near its largest.
    """
    samples = objective.samples
    n_outputs = objective.head.n_outputs(samples.n_classes)
    limit = largest_stable_rate(sharpness(objective, np.zeros((samples.n_features + 1, n_outputs))))
    while learning_rate >= limit:
        learning_rate /= 10
    return learning_rate


def likely_cause_of_divergence(run: Run) -> str:
    """Return the likely cause of a run's divergence, and a learning rate that would be stable.

    The penalty alone multiplies every weight by 1 - 2 η λ a step, which grows it if η λ > 1.
    """
    training = run.config.training
    product = training.learning_rate * training.l2_lambda
    cause = f"likely cause: training.learning_rate {training.learning_rate:g} is too large"
    if product > 1:
        cause = (
            f"likely cause: learning_rate x l2_lambda is {product:g}, and above 1 the penalty "
            "alone makes the weights larger with every step"
        )
    try:
        train = load_own_splits(run).train
    except (DataError, ConfigError):  # a worker may have trained the run where the data is
        return f"{cause}; lower the learning rate"
    objective = replace(objective_on_some(train, run.head), l2_lambda=training.l2_lambda)
    rate = stable_rate_like(training.learning_rate / 10, objective)
    return f"{cause}; try training.learning_rate={rate:g}"
