"""Is one run better than another, or could it be chance? All are judged on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.evaluation import Evaluation, WeightsName, evaluate
from mnistlin.analysis.own_data import SPLIT_NAMES
from mnistlin.analysis.proportions import PairedCounts
from mnistlin.analysis.statistics import CONFIDENCE, holm
from mnistlin.errors import DataError, RunError
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import differences

WITHOUT_EFFECT = ("name", "training.checkpoint_seconds")
"""Config keys that decide none of a run's numbers."""


@dataclass(frozen=True)
class Pair:
    """Two runs, A and B, on the same images.

    Attributes
    ----------
    a, b : Evaluation
        Each on its own.
    counts : PairedCounts
        On how many images both are right, or only one.
    p_value : float
        Of McNemar's exact test, corrected for the number of pairs (Holm).
    """

    a: Evaluation
    b: Evaluation
    counts: PairedCounts
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether chance alone would seldom give such a difference."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def can_resolve(self) -> bool:
        """Whether so many images would find a gap of this size most of the time."""
        smallest = self.counts.smallest_gap
        return smallest is not None and abs(self.counts.difference) >= smallest

    @property
    def config_differences(self) -> dict[str, tuple[Any, Any]]:
        """Config keys, by path, in which the runs differ, with the values of A and of B."""
        a, b = (each.run.config.model_dump(mode="json") for each in (self.a, self.b))
        found = differences(a, b)
        return {key: values for key, values in found.items() if key not in WITHOUT_EFFECT}

    def only_right(self, which: str) -> NDArray[np.intp]:
        """Return the samples on which only "a", or only "b", is right.

        Those on which the other is wrong with the most confidence come first.
        """
        right, wrong = (self.a, self.b) if which == "a" else (self.b, self.a)
        samples = np.flatnonzero(right.is_right & ~wrong.is_right)
        confidence = wrong.predictions.probability[samples].max(axis=1)
        return samples[np.argsort(-confidence, kind="stable")]


@dataclass(frozen=True)
class Comparison:
    """Several runs on the same images.

    Attributes
    ----------
    evaluations : tuple of Evaluation
        Each run on its own.
    pairs : tuple of Pair
        Each with each other, in their order.
    """

    evaluations: tuple[Evaluation, ...]
    pairs: tuple[Pair, ...]

    @property
    def names(self) -> list[str]:
        """Short names of the runs: letters, or numbers if there are more runs than letters."""
        n = len(self.evaluations)
        return [*ascii_uppercase[:n]] if n <= 26 else [str(number + 1) for number in range(n)]


def compare(
    runs: Sequence[Run], weights: WeightsName = "last", split_name: str = "val"
) -> Comparison:
    """Compare runs on a split that they share.

    Parameters
    ----------
    runs : sequence of Run
        At least two.
    weights : {"last", "best"}
        Which weights of each.
    split_name : {"train", "val", "test"}
        On which images.

    Raises
    ------
    RunError
        If there are fewer than two runs, or the weights of one cannot be read.
    DataError
        If the split is not the same in all runs, or its data is missing or wrong.
    ConfigError
        If there is no such split.
    """
    if len(runs) < 2:
        raise RunError("a comparison needs two runs or more; name another run folder")
    _check_same_images(runs, split_name)
    evaluations = tuple(evaluate(run, weights, split_name) for run in runs)
    couples = list(combinations(evaluations, 2))
    counts = [PairedCounts.of(a.is_right, b.is_right) for a, b in couples]
    p_values = holm([each.p_value for each in counts])
    pairs = [Pair(*each, n, p) for each, n, p in zip(couples, counts, p_values, strict=True)]
    return Comparison(evaluations, tuple(pairs))


def _check_same_images(runs: Sequence[Run], split_name: str) -> None:
    """Make sure that a split has the same hashes in all runs; whether it exists is not checked."""
    for run in runs[1:]:
        first, other = (_recorded(each, split_name) for each in (runs[0], run))
        if first != other:
            raise DataError(
                f"the {split_name} images of {runs[0].path} and {run.path} are not the same: "
                f"{_shown(first)} against {_shown(other)}; only runs that were judged on the same "
                f"images can be compared image by image ({', '.join(SPLIT_NAMES)} can be chosen)"
            )


def _recorded(run: Run, split_name: str) -> Any:
    """Return number and hashes of the samples of a split, as run.json has them."""
    splits = run.info["data"].get("splits")
    return splits.get(split_name) if isinstance(splits, dict) else None


def _shown(recorded: Any) -> str:
    if not isinstance(recorded, dict):
        return "none"
    images, labels = (str(recorded.get(f"{what}_sha256"))[:8] for what in ("images", "labels"))
    return f"{recorded.get('n_samples')} samples, SHA-256 {images}/{labels}"
