"""Common rules of early stopping, and where each of them stops training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_PATIENCE = 50
MIN_DELTAS = (0.0, 1e-3)
COURSE_PATIENCE = 10
"""The rule of the assignment; of equivalent rules, the one closest to it is reported."""


@dataclass(frozen=True)
class StoppingRule:
    """Stop after some checks (or epochs) in a row that do not improve the validation loss."""

    patience: int
    min_delta: float = 0.0
    unit: Literal["checks", "epochs"] = "checks"
    in_checks: int | None = None
    """For a rule that counts epochs: the patience in checks that stops at the same check."""

    @property
    def distance(self) -> tuple[float, bool, int]:
        """How far it is from the rule of the assignment; smaller is nearer."""
        return self.min_delta, self.unit == "epochs", abs(self.patience - COURSE_PATIENCE)

    @property
    def key(self) -> int | None:
        """The `early_stopping.patience` that stops where it does; None if there is none."""
        return self.patience if self.unit == "checks" else self.in_checks

    def __str__(self) -> str:
        words = f"patience {self.patience}"
        if self.unit == "epochs":
            words += " counted in epochs, by the last check of each"
        if self.in_checks is not None:
            words += f" (here the same as patience {self.in_checks} in checks)"
        if self.min_delta:
            words += f", improvements of more than {self.min_delta:g} nats"
        if self.patience > 1 and self.patience != COURSE_PATIENCE:
            less = self.patience - 1
            words += f" (or a counter compared with > {less} instead of >= {less})"
        return words


def stops(epoch: NDArray[np.int64], val_loss: NDArray[np.float64]) -> dict[int, StoppingRule]:
    """Return each check at which a rule stops, with the rule nearest to that of the assignment.

    "The lowest of the last N + 1 checks is the first of them", as the official solution of 2022 has
    it, stops where patience N does; if the very first check is the lowest of the first N, it
    stops one check earlier, where patience N - 1 does.
    """
    found: dict[int, StoppingRule] = {}
    for rule, check in _all_stops(epoch, val_loss):
        if check not in found or rule.distance < found[check].distance:
            found[check] = rule
    return found


def all_have_stopped(epoch: NDArray[np.int64], val_loss: NDArray[np.float64]) -> bool:
    """Return whether longer training would change no stop: the most patient rules have stopped.

    A check that improves by more than a `min_delta` improves without one too, so rules with one
    stop no later.
    """
    return all(
        _checks_without_improvement(val_loss[checks], 0.0).max() > MAX_PATIENCE
        for checks in _units(epoch).values()
    )


def _units(epoch: NDArray[np.int64]) -> dict[Literal["checks", "epochs"], NDArray[np.intp]]:
    """Return the checks that a rule looks at: all, or the last of each epoch."""
    last_of_epochs = np.flatnonzero(np.diff(epoch, append=epoch[-1] + 1))
    return {"checks": np.arange(len(epoch)), "epochs": last_of_epochs}


def _all_stops(
    epoch: NDArray[np.int64], val_loss: NDArray[np.float64]
) -> Iterator[tuple[StoppingRule, int]]:
    for min_delta in MIN_DELTAS:
        in_checks = np.maximum.accumulate(_checks_without_improvement(val_loss, min_delta))
        for unit, checks in _units(epoch).items():
            waited = _checks_without_improvement(val_loss[checks], min_delta)
            reached = np.maximum.accumulate(waited)
            for patience in range(1, MAX_PATIENCE + 2):  # one more, for a counter compared with >
                first = int(np.searchsorted(reached, patience))
                if first == len(checks):
                    break
                check = int(checks[first])
                is_first = (
                    unit == "epochs" and np.searchsorted(in_checks, in_checks[check]) == check
                )
                same = int(in_checks[check]) if is_first else None
                yield StoppingRule(patience, min_delta, unit, same), check


def _checks_without_improvement(losses: NDArray[np.float64], min_delta: float) -> NDArray[np.int64]:
    """Return, for each check, how many in a row up to it did not improve on the best."""
    waited, best, count = np.empty(len(losses), np.int64), np.inf, 0
    for i, loss in enumerate(losses.tolist()):
        improves = loss < best - min_delta
        best, count = (loss, 0) if improves else (best, count + 1)
        waited[i] = count
    return waited
