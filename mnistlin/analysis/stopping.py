"""What if the rule of early stopping had been another? Replays rules over one run's checks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.errors import RunError
from mnistlin.runs.folder import Run
from mnistlin.training.early_stopping import Stopper


@dataclass(frozen=True)
class RuleOutcome:
    """What a rule would have made of the run.

    Attributes
    ----------
    patience : int
        Checks without improvement at which training stops.
    min_delta : float
        By how much a check must improve the loss to count, in nats.
    has_stopped : bool
        Whether it stops within the run; if not, the rest is about the run's last check.
    step, epoch : int
        Where training ends.
    last_val_loss : float
        Validation loss there, in nats: that of the weights `last`.
    best_val_loss : float
        Lowest validation loss up to there: that of the weights `best`.
    best_step : int
        Where it was reached.
    last_regret, best_regret : float
        How far the two are above the lowest validation loss of the whole run, in nats.
    """

    patience: int
    min_delta: float
    has_stopped: bool
    step: int
    epoch: int
    last_val_loss: float
    best_val_loss: float
    best_step: int
    last_regret: float
    best_regret: float


def replay_rules(
    run: Run, patiences: Iterable[int], min_deltas: Iterable[float] = (0.0,)
) -> list[RuleOutcome]:
    """Replay rules of early stopping over a run's metrics.csv.

    Parameters
    ----------
    run : Run
        Best a long one without early stopping: a rule that outlasts it cannot be told.
    patiences : iterable of int
        Checks, at least 1.
    min_deltas : iterable of float
        Each is combined with each patience.

    Returns
    -------
    list of RuleOutcome
        All patiences of the first min_delta, then of the next.

    Raises
    ------
    RunError
        If the run has no check, or metrics.csv cannot be read.
    """
    if not len(run.metrics["step"]):
        raise RunError(f"{run.path}: metrics.csv has no checks, so there is no rule to replay")
    patiences = list(patiences)
    return [
        _outcome(run.metrics, stoppers, patience, min_delta)
        for min_delta in min_deltas
        for stoppers in [_stoppers(run.metrics["val_loss"], min_delta)]
        for patience in patiences
    ]


def alike(outcomes: Iterable[RuleOutcome]) -> Iterator[tuple[RuleOutcome, RuleOutcome]]:
    """Yield first and last of each group of consecutive rules that keep the same best weights."""
    for _, group in groupby(outcomes, _what_is_kept):
        rules = list(group)
        yield rules[0], rules[-1]


def _what_is_kept(outcome: RuleOutcome) -> tuple[float, int, bool]:
    return outcome.min_delta, outcome.best_step, outcome.has_stopped


def _stoppers(val_losses: NDArray[Any], min_delta: float) -> list[Stopper]:
    """Return the rule's memory after each check."""
    steps = accumulate(
        val_losses.tolist(), lambda memory, loss: memory.after(loss, min_delta), initial=Stopper()
    )
    return list(steps)[1:]


def _outcome(
    metrics: Mapping[str, NDArray[Any]],
    stoppers: Sequence[Stopper],
    patience: int,
    min_delta: float,
) -> RuleOutcome:
    losses = metrics["val_loss"]
    stop = next((i for i, memory in enumerate(stoppers) if memory.is_out_of(patience)), None)
    end = len(losses) - 1 if stop is None else stop
    best = int(np.argmin(losses[: end + 1]))
    lowest = float(losses.min())
    return RuleOutcome(
        patience=patience,
        min_delta=min_delta,
        has_stopped=stop is not None,
        step=int(metrics["step"][end]),
        epoch=int(metrics["epoch"][end]),
        last_val_loss=float(losses[end]),
        best_val_loss=float(losses[best]),
        best_step=int(metrics["step"][best]),
        last_regret=float(losses[end]) - lowest,
        best_regret=float(losses[best]) - lowest,
    )
