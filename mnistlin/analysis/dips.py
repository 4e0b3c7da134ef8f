"""Why does accuracy dip again and again? Puts together what periods and hard batches tell."""

from dataclasses import dataclass

import numpy as np

from mnistlin.analysis.batches import HardBatches, LossByPosition, hard_batches, loss_by_position
from mnistlin.analysis.own_data import n_train_of
from mnistlin.analysis.periods import (
    Measurement,
    Prediction,
    measure_period,
    predict_period,
)
from mnistlin.runs.folder import Run


@dataclass(frozen=True)
class Dips:
    """All that there is to say about the dips of a run.

    Attributes
    ----------
    predicted : Prediction
        The period by the config.
    measured : Measurement
        The period by metrics.csv.
    losses : LossByPosition
        How hard the batches are.
    hard : HardBatches, optional
        The hardest of them; None for a shuffled run, whose batches are others in every epoch.
    """

    predicted: Prediction
    measured: Measurement
    losses: LossByPosition
    hard: HardBatches | None

    @property
    def agree(self) -> bool:
        """Whether the two periods are the same, or both none."""
        return self.predicted.period == self.measured.period

    @property
    def dip_positions(self) -> list[int]:
        """Places in the epoch, from 0, of the deepest dips; each once."""
        positions = self.measured.deepest_dips() % self.predicted.steps_per_epoch
        return [int(position) for position in np.unique(positions)]

    @property
    def is_near_return(self) -> bool:
        """Whether checks a measured period apart are nearer in the epoch than two neighbours."""
        if self.measured.period is None:
            return False
        length = self.predicted.steps_per_epoch
        drift = min(self.measured.period % length, -self.measured.period % length)
        return 0 < drift < self.predicted.check_every / 2


def explain_dips(run: Run) -> Dips:
    """Look for the dips of a run's validation accuracy, and for their cause.

    Raises
    ------
    RunError
        If the run is too short, or damaged.
    DataError, ConfigError
        If its training images are missing, or not the same as they were.
    """
    predicted = predict_period(run.config.training, n_train_of(run))
    measured = measure_period(run)
    losses = loss_by_position(run, predicted.steps_per_epoch)
    hard = None if run.config.training.shuffle else hard_batches(run, losses)
    return Dips(predicted, measured, losses, hard)
