"""How far is a run from the best weights that there are? They can be computed: J is convex."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.evaluation import WeightsName
from mnistlin.analysis.own_data import load_own_splits
from mnistlin.analysis.proportions import PairedCounts
from mnistlin.data.splits import Split, Splits
from mnistlin.model.heads import HEADS, Floats, Head
from mnistlin.model.linear import squared_norm
from mnistlin.model.optimum import BLOCK_ROWS, Objective, Place, minimise
from mnistlin.runs.folder import Run
from mnistlin.training.batches import PixelReader
from mnistlin.training.evaluation import predict

Outcome: TypeAlias = Literal["minimum", "no minimum", "lowest found"]


@dataclass(frozen=True)
class Standing:
    """How some weights do.

    Attributes
    ----------
    place : Place
        J and its gradient there.
    train_is_right, val_is_right : ndarray of shape (n_samples,)
        Which images are classified rightly.
    true_class_probability : ndarray of shape (n_train,)
        What is given to the true class of each training image.
    """

    place: Place
    train_is_right: NDArray[np.bool_]
    val_is_right: NDArray[np.bool_]
    true_class_probability: NDArray[np.float64]

    @property
    def train_accuracy(self) -> float:
        """Fraction of the training images."""
        return float(self.train_is_right.mean())

    @property
    def val_accuracy(self) -> float:
        """Fraction of the validation images."""
        return float(self.val_is_right.mean())

    @property
    def weight_norm(self) -> float:
        """Frobenius norm of the weights."""
        return float(np.sqrt(squared_norm(self.place.weights)))


@dataclass(frozen=True)
class Optimum:
    """A run beside the best weights that could be found for its own training set and λ.

    Attributes
    ----------
    run : Run
        The run.
    weights : {"last", "best"}
        Which of its weights.
    objective : Objective
        What both are measured by.
    of_run, found : Standing
        The run, and the weights that were found.
    outcome : str
        `minimum`: what was found is the minimum. `no minimum`: without penalty, what was found
        classifies every training image rightly, so there is none. `lowest found`: the search ended
        before either was clear.
    n_iterations : int
        Steps of the search.
    """

    run: Run
    weights: WeightsName
    objective: Objective
    of_run: Standing
    found: Standing
    outcome: Outcome
    n_iterations: int

    @property
    def l2_lambda(self) -> float:
        """Penalty λ."""
        return self.objective.l2_lambda

    @property
    def gap(self) -> float:
        """J of the run above the infimum of J, or above the lowest J found, in nats."""
        lowest = 0.0 if self.outcome == "no minimum" else self.found.place.value
        return self.of_run.place.value - lowest

    @property
    def paired(self) -> PairedCounts:
        """On how many validation images what was found is right (A), and the run (B)."""
        return PairedCounts.of(self.found.val_is_right, self.of_run.val_is_right)

    @property
    def certainty(self) -> float | None:
        """How far the J that was found can be above the true minimum at most, in nats.

        J is strongly convex with modulus 2 λ, so J - J* ≤ ‖∇J‖² / (4 λ) (Nesterov 2004, theorem
        2.1.10), save for rounding. None without penalty.
        """
        if not self.l2_lambda:
            return None
        return self.found.place.gradient_norm**2 / (4 * self.l2_lambda)

    @property
    def translations(self) -> dict[str, float | None]:
        """The same penalty in the words of other tools; None for "no penalty".

        Exact if they penalise the bias too: a column of ones among the inputs, and no intercept.
        """
        n, l2_lambda = self.objective.n_samples, self.l2_lambda
        return {
            "sklearn_LogisticRegression_C": 1 / (2 * n * l2_lambda) if l2_lambda else None,
            "sklearn_SGDClassifier_alpha": 2 * l2_lambda,
            "torch_weight_decay": 2 * l2_lambda,
        }


def find_optimum(run: Run, weights: WeightsName = "last") -> Optimum:
    """Minimise the objective of a run on its own training set.

    Parameters
    ----------
    run : Run
        The run.
    weights : {"last", "best"}
        Which of its weights are compared with the minimum.

    Raises
    ------
    RunError
        If its weights cannot be read.
    DataError, ConfigError
        If its data is missing, or not the same as it was.
    """
    W = run.weights[weights].T.astype(np.float64)
    splits, head = load_own_splits(run), HEADS[run.config.model]
    objective = objective_on(splits.train, head, run.config.training.l2_lambda)
    descent = minimise(objective, W)
    if objective.l2_lambda:
        outcome: Outcome = "minimum" if descent.has_converged else "lowest found"
    else:
        outcome = "no minimum" if descent.place.separates else "lowest found"
    return Optimum(
        run,
        weights,
        objective,
        _standing(objective.at(W), splits, head),
        _standing(descent.place, splits, head),
        outcome,
        descent.n_iterations,
    )


def objective_on(split: Split, head: Head, l2_lambda: float) -> Objective:
    """Return J of a model on a split."""
    reader = PixelReader(split, BLOCK_ROWS, "float64")
    return Objective(head, reader.read, split.targets, len(split.classes), l2_lambda)


def values_along(
    objective: Objective, start: Floats, end: Floats, t: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return J at start + t (end - start), for each of some t."""
    return objective.values(start + t[:, None, None] * (end - start))


def _standing(place: Place, splits: Splits, head: Head) -> Standing:
    train, val = (predict(split, place.weights, head) for split in (splits.train, splits.val))
    return Standing(
        place,
        train_is_right=train.class_index == splits.train.targets,
        val_is_right=val.class_index == splits.val.targets,
        true_class_probability=np.exp(-train.loss),
    )
