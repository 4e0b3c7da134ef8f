"""When training has gone on long enough: a rule over validation losses, and nothing else."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopper:
    """The rule's memory: the best validation loss, and the checks since it was improved on.

    A check improves if its loss is below the best one by more than `min_delta` (report part 2d).

    Attributes
    ----------
    best_loss : float
        Lowest validation loss that counted as an improvement, in nats.
    checks_without_improvement : int
        Checks in a row, up to the last one, that did not improve.
    """

    best_loss: float = math.inf
    checks_without_improvement: int = 0

    def after(self, val_loss: float, min_delta: float = 0.0) -> "Stopper":
        """Return the memory after one more check."""
        if val_loss < self.best_loss - min_delta:
            return Stopper(val_loss, 0)
        return Stopper(self.best_loss, self.checks_without_improvement + 1)

    def is_out_of(self, patience: int) -> bool:
        """Say whether training stops here: at the `patience`-th check in a row without gain."""
        return self.checks_without_improvement >= patience
