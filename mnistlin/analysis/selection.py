"""Choosing among settings by their scores with several seeds.

Settings are compared by their means over the seeds, with paired t-tests (Holm 1979). Because the
best one is chosen by the same scores, tests against it are corrected for the number of all pairs.
The choice by one standard error is the simplest setting whose mean is within one standard error of
the best one's (Breiman et al. 1984, section 3.4.3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from mnistlin.analysis.statistics import CONFIDENCE, holm, t_interval
from mnistlin.runs.sweep_folder import Key

Scores: TypeAlias = Mapping[Key, Mapping[int, float]]
"""The score of each setting with each seed."""


@dataclass(frozen=True)
class Choice:
    """The settings that a sweep favours."""

    best: Key
    similar: tuple[Key, ...]
    """Settings that do not differ significantly from the best one; without a test, none."""
    one_standard_error: Key | None
    """The simplest setting within one standard error of the best; None with a single seed."""
    p_values: Mapping[Key, float]
    """p-values of the tests against the reference, corrected for their number."""
    standard_error: float | None = None
    """Standard error of the mean score of the best setting."""


def choose(
    scores: Scores,
    cost: Callable[[Key], Any] = lambda _: 0,
    *,
    lowest: bool = False,
    reference: Key | None = None,
) -> Choice:
    """Choose among settings by their scores.

    Parameters
    ----------
    scores : mapping of tuple to mapping of int to float
        For each setting its score with each seed, at least one.
    cost : callable
        How complex or expensive a setting is; anything that can be compared.
    lowest : bool
        Whether low scores are good.
    reference : tuple, optional
        The setting that all others are tested against; by default the best one.
    """
    sign = -1 if lowest else 1
    means = {key: sign * float(np.mean(list(found.values()))) for key, found in scores.items()}
    best = max(means, key=means.__getitem__)
    against_best = _p_values_against_best(scores, best)
    similar = [key for key, p in against_best.items() if p >= 1 - CONFIDENCE]
    n_seeds, simplest, error = len(scores[best]), None, None
    if n_seeds > 1:
        error = float(np.std(list(scores[best].values()), ddof=1)) / n_seeds**0.5
        within = [key for key, mean in means.items() if mean >= means[best] - error]
        simplest = min(within, key=lambda key: (cost(key), -means[key]))
    p_values = against_best if reference is None else _p_values(scores, reference)
    return Choice(best, tuple(similar), simplest, p_values, error)


def _p_values(scores: Scores, reference: Key) -> dict[Key, float]:
    """Return the corrected p-value of each other setting that can be tested against one."""
    found = {
        key: p
        for key in scores
        if key != reference and (p := _p_value(scores[key], scores[reference])) is not None
    }
    return dict(zip(found, holm(list(found.values())), strict=True))


def _p_values_against_best(scores: Scores, best: Key) -> dict[Key, float]:
    """Return the p-values of the others, corrected for all pairs: any of them might be the best."""
    found = {
        (a, b): p
        for a, b in combinations(scores, 2)
        if (p := _p_value(scores[a], scores[b])) is not None
    }
    corrected = dict(zip(found, holm(list(found.values())), strict=True))
    return {b if a == best else a: p for (a, b), p in corrected.items() if best in {a, b}}


def _p_value(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    """Return the p-value of equal means over the common seeds; None if they allow no test."""
    differences = [a[seed] - b[seed] for seed in a if seed in b]
    if len(differences) < 2:
        return None
    interval = t_interval(differences)
    if interval is not None:
        return interval.p_value
    return None if any(differences) else 1.0  # the same with every seed
