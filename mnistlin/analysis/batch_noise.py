"""Where does the noise of a validation curve come from? How it depends on the batch size.

If the noise comes from the batches, its standard deviation falls with 1 / √batch size. Runs are
compared over the same steps: the validation loss of their checks minus a running mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from mnistlin.analysis.claims import Evidence, Finding, claim, verdict_on_all
from mnistlin.analysis.result import Result, Tables, TooShortError, Values
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import load_own_splits
from mnistlin.text import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW_STEPS = 180
"""Steps of the running mean that is subtracted."""

_MIRRORED = ("accuracy", "loss")
N_BLOCKS = 10
"""Blocks of consecutive checks whose correlations are taken as independent."""


@dataclass(frozen=True)
class BatchNoise(Result):
    """The noise of the validation loss of runs with different batch sizes, in nats."""

    runs: tuple[tuple[Run, ...], ...]
    """A run per seed for each batch size, in increasing order."""
    noise: NDArray[np.float64]
    """Standard deviations, of shape (n_sizes, n_seeds)."""

    title = "Noise and batch size"
    stem = "batch-noise"

    @property
    def batch_sizes(self) -> list[int]:
        """The batch sizes."""
        return [of[0].config.training.batch_size for of in self.runs]

    @property
    def means(self) -> NDArray[np.float64]:
        """The noise of each batch size, averaged over the seeds."""
        means: NDArray[np.float64] = self.noise.mean(axis=1)
        return means

    def values(self) -> Values:
        """Return the exponent of the power law that fits the noise."""
        return {"exponent": self.exponent}

    @property
    def exponent(self) -> float:
        """The slope of log noise against log batch size; −1/2 for batch noise."""
        return float(np.polyfit(np.log(self.batch_sizes), np.log(self.means), 1)[0])

    def tables(self) -> Tables:
        """Return one row per batch size."""
        return {
            "batch_sizes": [
                {"batch_size": size, "noise": float(mean), "n_seeds": self.noise.shape[1]}
                for size, mean in zip(self.batch_sizes, self.means, strict=True)
            ]
        }

    def explanation(self) -> str:
        """Describe how the noise changes with the batch size."""
        first, last = self.batch_sizes[0], self.batch_sizes[-1]
        return (
            f"The validation loss fluctuates by {self.means[0]:.2g} nats around its running mean "
            f"with batches of {first:,}, and by {self.means[-1]:.2g} with batches of {last:,}: a "
            f"ratio of {self.means[0] / self.means[-1]:.1f}, where batch noise alone would give "
            f"{np.sqrt(last / first):.1f}. It scales with the batch size to the power of "
            f"{written(self.exponent, '.2f')}; that power is −0.5 for batch noise alone, and 0 for "
            "fluctuations that do not depend on the batches."
        )

    def figure(self) -> "Figure":
        """Draw the noise against the batch size, and one curve of each."""
        from matplotlib.ticker import LogLocator

        from mnistlin.figures import captions
        from mnistlin.figures.style import (
            BLUE,
            INK,
            OKABE_ITO,
            legend_below,
            name_axes,
            page,
            side_by_side,
        )

        sizes, means = np.array(self.batch_sizes), self.means
        words = captions.of_runs("Noise and batch size", [run for of in self.runs for run in of])
        seed = f", seed {self.runs[0][0].config.training.seed}" if len(self.runs[0]) > 1 else ""
        with page(words) as figure:
            curves, axes = side_by_side(figure, 1, 1)
            for of, color in zip(self.runs, OKABE_ITO, strict=False):
                steps, deviation = _deviation(of[0])
                label = f"batch size {of[0].config.training.batch_size:,}"
                curves.plot(steps, deviation, color=color, linewidth=0.8, label=label)
            curves.locator_params("x", nbins=6)
            curves.xaxis.set_major_formatter("{x:,.0f}")
            legend_below(curves)
            name_axes(curves, f"validation loss − running mean, nats{seed}", "step (update)")
            expected = means[0] * np.sqrt(sizes[0] / sizes)
            axes.plot(sizes, expected, color=INK, linestyle="--", label="1 / √batch size")
            axes.plot(sizes, means, "o-", color=BLUE, label="measured")
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axes.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # less than a decade is usual
            axes.yaxis.set_major_formatter("{x:g}")
            legend_below(axes)
            name_axes(axes, "standard deviation, nats (log scale)", "batch size (log scale)")
        return figure


def batch_noise(runs: Sequence[Sequence[Run]]) -> BatchNoise:
    """Measure the noise of runs; each item has the runs of one batch size, with the same seeds.

    Raises
    ------
    TooShortError
        If a run is shorter than two windows.
    """
    in_order = sorted(map(tuple, runs), key=lambda of: of[0].config.training.batch_size)
    noise = [[float(_deviation(run)[1].std()) for run in of] for of in in_order]
    return BatchNoise(tuple(in_order), np.array(noise))


def _deviation(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return steps and validation loss minus its running mean, over the second half of the run."""
    steps, losses = run.metrics["step"], run.metrics["val_loss"]
    spacing = max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1
    window = max(3, WINDOW_STEPS // spacing) | 1
    if len(steps) < 4 * window:
        raise TooShortError(
            run.path, f"{len(steps)} checks are too few to measure noise; train for more epochs"
        )
    half = window // 2
    mean = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    deviation = (losses[half:-half] - mean)[len(mean) // 2 :]
    return steps[half:-half][len(mean) // 2 :], deviation


@claim("noise-falls-with-batch-size")
def _noise_falls_with_batch_size(evidence: Evidence) -> Finding:
    """The noise of the validation loss falls with each larger batch size."""
    found = batch_noise([each.runs for each in evidence.experiments])
    falls = -np.diff(np.log(found.noise), axis=0)
    sizes = ", ".join(f"{size:,}" for size in found.batch_sizes)
    noise = ", ".join(f"{mean:.2g}" for mean in found.means)
    return Finding(
        verdict_on_all(list(falls)),
        f"fluctuation of the validation loss {noise} nats with batches of {sizes}",
        explanation=found.explanation(),
        figure=found.figure,
    )


@claim("accuracy-mirrors-loss")
def _accuracy_mirrors_loss(evidence: Evidence) -> Finding:
    """Validation accuracy is low where validation loss is high: their fluctuations anticorrelate.

    The correlation is taken within blocks of consecutive checks, whose values are independent
    enough for a t-test of the mean (of Fisher's z).
    """
    run = evidence.first.run
    metrics = run.metrics
    n = len(metrics["step"]) // N_BLOCKS
    if n < 10:
        raise TooShortError(run.path, f"{len(metrics['step'])} checks are too few to correlate")
    correlations = []
    for block in range(1, N_BLOCKS):  # everything changes quickly in the first
        part = slice(block * n, (block + 1) * n)
        accuracy, loss = (_without_trend(metrics[f"val_{name}"][part]) for name in _MIRRORED)
        if accuracy.std() and loss.std():
            correlations.append(float(np.corrcoef(accuracy, loss)[0, 1]))
    if not correlations:
        return Finding("inconclusive", "accuracy or loss does not fluctuate")
    z = -np.arctanh(np.clip(correlations, -0.999999, 0.999999))
    return Finding(
        verdict_on_all([z]),
        f"correlation of accuracy and loss around their trend {written(-np.tanh(z.mean()), '.2f')}",
    )


def _without_trend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    residual: NDArray[np.float64] = scipy.signal.detrend(values)
    return residual


@dataclass(frozen=True)
class BatchClasses(Result):
    """How many images of each class the batches of an unshuffled run have."""

    run: Run
    counts: NDArray[np.intp]
    """Numbers of images, (n_batches, n_classes)."""

    title = "Classes in the batches"
    stem = "batch-classes"

    @property
    def p_value(self) -> float:
        """Probability of a spread at least as uneven by chance (χ² test)."""
        return float(scipy.stats.chi2_contingency(self.counts).pvalue)

    def values(self) -> Values:
        """Return the range of the first class."""
        first = self.counts[:, 0]
        return {
            "run": str(self.run.path),
            "n_batches": len(first),
            "fewest": int(first.min()),
            "most": int(first.max()),
            "p_value": self.p_value,
        }

    def explanation(self) -> str:
        """Describe how evenly the classes are spread."""
        less = "not significantly less" if self.p_value >= 0.05 else "less"
        return (
            f"All {len(self.counts)} batches of an epoch have images of "
            f"{'every class' if self.counts.min() else 'some of the classes'}. The classes are "
            f"{less} evenly spread than in a random order (χ² test: p = {self.p_value:.2g})."
        )

    def figure(self) -> "Figure":
        """Draw the share of each class by position in the epoch."""
        from mnistlin.figures import captions
        from mnistlin.figures.style import (
            OKABE_ITO,
            legend_beside,
            name_axes,
            page,
            sequential_colors,
        )

        with page(captions.of_run("Classes in the batches", self.run)) as figure:
            axes = figure.subplots()
            bottom, n_classes = np.zeros(len(self.counts)), len(self.run.classes)
            are_few = n_classes <= len(OKABE_ITO)
            colors = OKABE_ITO if are_few else sequential_colors(n_classes)
            for k, (label, color) in enumerate(zip(self.run.classes, colors, strict=False)):
                axes.bar(
                    range(len(bottom)), self.counts[:, k], bottom=bottom, color=color, label=label
                )
                bottom += self.counts[:, k]
            legend_beside(axes, title="class")
            name_axes(axes, "images in the batch", "position in the epoch")
        return figure


def batch_classes(run: Run) -> BatchClasses:
    """Count the classes in the batches of an unshuffled run."""
    train = load_own_splits(run).train
    size = run.config.training.batch_size
    n_batches = train.n_samples // size
    targets = train.targets[: n_batches * size].reshape(n_batches, size)
    counts = np.stack([(targets == k).sum(axis=1) for k in range(len(train.classes))], axis=1)
    return BatchClasses(run, counts)


@claim("batches-of-one-digit")
def _batches_of_one_digit(evidence: Evidence) -> Finding:
    """Without shuffling, some batches have images of one class only."""
    run = evidence.first.run
    if run.config.training.shuffle:
        return Finding("inconclusive", "this run is shuffled")
    found = evidence.ask(batch_classes, run)
    largest = found.counts.max(axis=1)
    size = int(found.counts[0].sum())
    numbers = sorted({found.counts[:, 0].min(), found.counts[:, 0].max()})
    return Finding(
        "agrees" if (largest == size).any() else "differs",
        f"{' to '.join(map(str, numbers))} images of class {run.classes[0]} among {size} in each "
        f"of {len(largest)} batches",
        explanation=found.explanation(),
        figure=found.figure,
    )
