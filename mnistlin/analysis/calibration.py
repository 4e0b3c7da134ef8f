"""Whether the probabilities of a model can be trusted, and how well scores separate two classes.

A model is calibrated if of all images that it classifies with probability p a fraction p is
classified correctly (Guo et al. 2017, https://arxiv.org/abs/1706.04599). Images are sorted by that
probability, the confidence, and cut into bins of equal size (Nixon et al. 2019,
https://arxiv.org/abs/1904.01685); the expected calibration error is

    ECE = Σ_bins (n_bin / n) |accuracy_bin - mean confidence_bin|

It is above 0 for calibrated models too, as bins have few images. How far follows from drawing the
outcomes by the model's own probabilities (Bröcker and Smith 2007,
https://doi.org/10.1175/WAF993.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.statistics import proportion_interval
from mnistlin.text import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval = tuple[float, float]

N_BINS = 15
N_RESAMPLES = 1000
_LEVELS = (0.025, 0.975)


@dataclass(frozen=True)
class ReliabilityBin:
    """Images with about the same confidence."""

    n_samples: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    low: float
    """Lower end of the exact interval of the accuracy."""
    high: float


@dataclass(frozen=True, eq=False)
class Roc:
    """How well the probability of a class separates its images from those of the other class."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    auc: float
    """Area under the curve: how often an image of the class gets the higher probability."""
    auc_interval: Interval


@dataclass(frozen=True)
class Calibration:
    """How confidence and accuracy of a model agree on a set of images."""

    bins: tuple[ReliabilityBin, ...]
    ece: float
    ece_interval: Interval
    """95 % bootstrap interval, centred on the error found."""
    ece_if_calibrated: float
    """The ECE that a calibrated model does not exceed in 95 % of samples of this size."""
    over_confidence: float
    """Mean confidence minus accuracy."""
    over_confidence_interval: Interval
    brier_score: float
    roc: Roc | None
    """ROC curve of the first of two classes; None with more, or if one does not occur."""

    def values(self) -> Mapping[str, Any]:
        """Return the scores by key."""
        values: dict[str, Any] = {
            "expected_calibration_error": self.ece,
            "expected_calibration_error_interval": self.ece_interval,
            "expected_calibration_error_if_calibrated": self.ece_if_calibrated,
            "over_confidence": self.over_confidence,
            "over_confidence_interval": self.over_confidence_interval,
            "brier_score": self.brier_score,
        }
        if self.roc:
            values |= {"auc": self.roc.auc, "auc_interval": self.roc.auc_interval}
        return values

    def explanation(self) -> str:
        """Return whether the model is calibrated, as far as these images tell."""
        low, high = self.over_confidence_interval
        gap, low_end, high_end = (signed(x, ".4f") for x in (self.over_confidence, low, high))
        size = f"mean confidence minus accuracy is {gap} ({low_end} to {high_end})"
        if low > 0:
            direction = f"The model is over-confident: {size}."
        elif high < 0:
            direction = f"The model is under-confident: {size}."
        else:
            direction = f"Neither over- nor under-confidence was detected: {size}."
        comparison = (
            f"The expected calibration error is {self.ece:.4f}; a calibrated model's would be at "
            f"most {self.ece_if_calibrated:.4f} in 95 % of samples of this size"
        )
        verdict = (
            "so the probabilities are not calibrated"
            if self.ece > self.ece_if_calibrated
            else "so no miscalibration was detected"
        )
        return f"{direction} {comparison}, {verdict}."


def calibration(
    probabilities: NDArray[np.float64], targets: NDArray[np.integer[Any]], seed: int = 0
) -> Calibration:
    """Compare the confidence of a model with its accuracy.

    The Brier score is the mean of Σ_k (p_k - y_k)², halved with two classes, as scikit-learn's
    `brier_score_loss` has it (Brier 1950).

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
        Of each class; rows add up to 1.
    targets : ndarray of shape (n_samples,)
        Class indices.
    seed : int
        Of the resampling.
    """
    rng, n = np.random.default_rng(seed), len(targets)
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    order = np.argsort(confidence, kind="stable")
    confidence, correct = confidence[order], (predicted == targets)[order].astype(float)
    starts = np.linspace(0, n, min(N_BINS, n), endpoint=False).astype(int)
    samples = [np.sort(rng.integers(0, n, n)) for _ in range(N_RESAMPLES)]
    ece = _ece(confidence, correct, starts)
    # Resampling adds noise, which makes every resampled error larger, so only their spread is used.
    resampled = np.array([_ece(confidence[rows], correct[rows], starts) for rows in samples])
    gap = confidence - correct
    gaps = [gap[rows].mean() for rows in samples]
    calibrated = [_ece(confidence, rng.random(n) < confidence, starts) for _ in samples]
    return Calibration(
        bins=tuple(_bin(*part) for part in _parts(confidence, correct, starts)),
        ece=ece,
        ece_interval=_interval(np.clip(resampled - (resampled.mean() - ece), 0, None)),
        ece_if_calibrated=float(np.quantile(calibrated, 0.95)),
        over_confidence=float(gap.mean()),
        over_confidence_interval=_interval(gaps),
        brier_score=_brier_score(probabilities, targets),
        roc=_roc(probabilities[:, 0], targets == 0, rng) if probabilities.shape[1] == 2 else None,
    )


def calibration_figure(
    found: Calibration, words: tuple[str, str, str], first_class: str
) -> "Figure":
    """Draw accuracy against confidence, and with two classes the ROC curve of the first.

    Parameters
    ----------
    found : Calibration
        What is drawn.
    words : (str, str, str)
        Title, settings and footer.
    first_class : str
        Name of the first class.
    """
    from mnistlin.figures.style import page, side_by_side

    low, high = found.ece_interval
    note = (
        f"Expected calibration error {found.ece:.4f} (95 % interval {low:.4f} to {high:.4f}; a "
        f"calibrated model: up to {found.ece_if_calibrated:.4f}), Brier score "
        f"{found.brier_score:.4f}."
    )
    with page(words, note) as figure:
        if found.roc is None:
            reliability, counts = side_by_side(figure, 1, 1)
            _draw_gaps(counts, found)
        else:
            reliability, curve = side_by_side(figure, 1, 1)
            _draw_roc(curve, found.roc, first_class)
        _draw_reliability(reliability, found)
    return figure


def _parts(
    confidence: NDArray[np.float64], correct: NDArray[np.float64], starts: NDArray[np.intp]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    cuts = starts[1:]
    return list(zip(np.split(confidence, cuts), np.split(correct, cuts), strict=True))


def _bin(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> ReliabilityBin:
    n, n_correct = len(correct), int(correct.sum())
    low, high = proportion_interval(n_correct, n)
    return ReliabilityBin(n, float(confidence.mean()), n_correct / n, low, high)


def _ece(confidence: NDArray[np.float64], correct: NDArray[Any], starts: NDArray[np.intp]) -> float:
    """Return the expected calibration error of samples sorted by confidence."""
    return float(np.abs(np.add.reduceat(confidence - correct, starts)).sum() / len(confidence))


def _interval(resampled: Sequence[float] | NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, _LEVELS)
    return float(low), float(high)


def _brier_score(probabilities: NDArray[np.float64], targets: NDArray[np.integer[Any]]) -> float:
    n_classes = probabilities.shape[1]
    errors = probabilities - np.eye(n_classes)[targets]
    score = float((errors**2).sum(axis=1).mean())
    return score / 2 if n_classes == 2 else score


def _roc(
    scores: NDArray[np.float64], is_first: NDArray[np.bool_], rng: np.random.Generator
) -> Roc | None:
    """Return the ROC curve; None if one of the classes does not occur."""
    if is_first.all() or not is_first.any():
        return None
    order = np.argsort(-scores, kind="stable")
    is_last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    true, false = (
        np.append(0, np.cumsum(each[order])[is_last_of_equals] / each.sum())
        for each in (is_first, ~is_first)
    )
    ours, others = scores[is_first], scores[~is_first]
    resampled = [
        _auc(rng.choice(ours, len(ours)), rng.choice(others, len(others)))
        for _ in range(N_RESAMPLES)
    ]
    return Roc(false, true, _auc(ours, others), _interval(resampled))


def _auc(ours: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return how often a score of the class is above one of the others; ties count half."""
    others = np.sort(others)
    below = np.searchsorted(others, ours, "left") + np.searchsorted(others, ours, "right")
    return float(below.mean() / (2 * len(others)))


def _draw_reliability(axes: "Axes", found: Calibration) -> None:
    from mnistlin.figures.style import BLUE, MUTED, legend_below, name_axes

    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, label="calibrated")
    x, y = ([getattr(each, name) for each in found.bins] for name in ("confidence", "accuracy"))
    spread = [[each.accuracy - each.low, each.high - each.accuracy] for each in found.bins]
    axes.errorbar(
        x,
        y,
        yerr=np.clip(np.array(spread).T, 0, None),
        fmt="o",
        markersize=4.5,
        elinewidth=1,
        color=BLUE,
        label=f"a bin of about {found.bins[0].n_samples:,} images",
    )
    low = max(0.0, min([*x, *(each.low for each in found.bins)]) - 0.03)
    axes.set_xlim(low, 1.01)
    axes.set_ylim(low, 1.01)
    legend_below(axes)
    name_axes(axes, "accuracy, with 95 % interval", "confidence (probability of the class)")


def _draw_gaps(axes: "Axes", found: Calibration) -> None:
    from mnistlin.figures.style import BLUE, MUTED, VERMILION, name_axes

    gaps = [each.accuracy - each.confidence for each in found.bins]
    colors = [BLUE if gap >= 0 else VERMILION for gap in gaps]
    axes.bar(range(1, len(gaps) + 1), gaps, color=colors)
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.locator_params("x", integer=True)
    axes.grid(visible=False, axis="x")
    name_axes(
        axes,
        "accuracy − confidence: below 0 over-confident",
        "bin, from the lowest confidence to the highest",
    )


def _draw_roc(axes: "Axes", roc: Roc, first_class: str) -> None:
    from mnistlin.figures.style import BLUE, MUTED, legend_below, name_axes

    low, high = roc.auc_interval
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, label="chance")
    axes.plot(
        roc.false_positive_rate,
        roc.true_positive_rate,
        color=BLUE,
        label=f"AUC {roc.auc:.4f} (95 % interval {low:.4f} to {high:.4f})",
    )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    legend_below(axes)
    name_axes(
        axes,
        f"true positive rate: images of {first_class} found",
        f"false positive rate: others taken for {first_class}",
    )
