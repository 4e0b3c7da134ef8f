"""`compare`: does one run classify more images correctly than another, or could it be chance?

All runs are evaluated on the same images: two of them image by image, or more pair by pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.evaluate import SPLITS, Evaluation, caption, evaluate
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import CONFIDENCE, POWER, PairedCounts, holm, holm_levels
from mnistlin.config.yaml_text import shown
from mnistlin.errors import DataError, RunError
from mnistlin.figures import captions
from mnistlin.figures.style import BLUE, FAINT, HEIGHT, INK, MUTED, VERMILION
from mnistlin.runs.classifier import WeightsName
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import differences, load_own_splits
from mnistlin.runs.records import SplitRecord
from mnistlin.text import signed, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mnistlin.data.splits import Splits

MAX_ROWS = 2
"""Rows of images of each run of a pair."""

LABEL_LETTERS, LABEL_LINES = 20, 2
"""Characters per line, and lines, of a run's label on paper."""


@dataclass(frozen=True)
class Pair:
    """Two runs, A and B, on the same images."""

    a: Evaluation
    b: Evaluation
    counts: PairedCounts
    p_value: float
    """p-value of McNemar's exact test, corrected for the number of pairs (Holm)."""
    level: float = 1 - CONFIDENCE
    """The level at which Holm's method tests this pair: lower with more than one pair."""

    @property
    def is_significant(self) -> bool:
        """Whether the runs differ by more than chance."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def smallest_gap(self) -> float | None:
        """The difference that these images detect with probability POWER at this pair's level."""
        return self.counts.smallest_gap(self.level)

    @property
    def config_differences(self) -> dict[str, tuple[Any, Any]]:
        """Config keys, by path, in which the runs differ, with the values of A and of B."""
        return differences(*(each.run.config.identity for each in (self.a, self.b)))

    def only_correct(self, which: str) -> NDArray[np.intp]:
        """Return the samples that only "a", or only "b", classifies correctly.

        Those on which the other is most confident come first.
        """
        correct, wrong = (self.a, self.b) if which == "a" else (self.b, self.a)
        samples = np.flatnonzero(correct.is_correct & ~wrong.is_correct)
        confidence = wrong.predictions.probability[samples].max(axis=1)
        return samples[np.argsort(-confidence, kind="stable")]

    def verdict(self) -> str:
        """Return whether these images can resolve the gap between the runs."""
        n, gap, smallest = self.counts.n, abs(self.counts.difference), self.smallest_gap
        if smallest is None:
            return f"no: {n:,} images are too few for any gap"
        verdict = "yes" if gap >= smallest else "only just" if self.is_significant else "no"
        return (
            f"{verdict}: with {written(self.counts.discordance, '.1%')} of them classified "
            f"correctly by one run only, {n:,} images detect a gap of {_gap(smallest, n)} or more "
            f"in {written(POWER, '.0%')} of all cases; the gap here is {_gap(gap, n)}"
        )

    def row(self, a: str, b: str) -> Values:
        """Return the pair as a row of a table, with names for A and B."""
        low, high = self.counts.interval
        return {
            "a": a,
            "b": b,
            "only_a_right": self.counts.only_a,
            "only_b_right": self.counts.only_b,
            "difference": self.counts.difference,
            "low": low,
            "high": high,
            "p_value": self.p_value,
            "smallest_gap": self.smallest_gap,
        }


@dataclass(frozen=True)
class Comparison(Result):
    """Several runs on the same images: individually and in pairs."""

    evaluations: tuple[Evaluation, ...]
    pairs: tuple[Pair, ...]

    title = "Comparison"
    stem = "comparison"

    @property
    def names(self) -> list[str]:
        """Short names of the runs: letters, or numbers if there are more runs than letters."""
        n = len(self.evaluations)
        return [*ascii_uppercase[:n]] if n <= 26 else [str(number + 1) for number in range(n)]

    def values(self) -> Values:
        """Return the numbers of the pair, or what more than two runs have in common."""
        first = self.evaluations[0]
        if len(self.pairs) == 1:
            return _pair_values(self.pairs[0])
        return {
            "weights": first.weights,
            "split": first.split_name,
            "n_samples": first.split.n_samples,
        }

    def warnings(self) -> Sequence[str]:
        """Return those of all runs, each once."""
        return list(dict.fromkeys(each for one in self.evaluations for each in one.warnings()))

    def tables(self) -> Tables:
        """Return one row per run and one per pair, if there is more than one pair."""
        if len(self.pairs) == 1:
            return {}
        runs = [
            {
                "name": name,
                "accuracy": each.accuracy,
                "low": each.accuracy_interval[0],
                "high": each.accuracy_interval[1],
                "run": each.run.path.name,
            }
            for name, each in zip(self.names, self.evaluations, strict=True)
        ]
        named = zip(combinations(self.names, 2), self.pairs, strict=True)
        return {"runs": runs, "pairs": [pair.row(*names) for names, pair in named]}

    def explanation(self) -> str:
        """Describe which differences are more than chance, and which are undecided."""
        return (_of_pair if len(self.pairs) == 1 else _of_pairs)(self)

    def records(self) -> Tables:
        """Return one row per pair, with the folders of the runs."""
        return {
            "pairs": [each.row(each.a.run.path.name, each.b.run.path.name) for each in self.pairs]
        }

    def figure(self) -> "Figure":
        """Draw a pair with the images on which both differ, or all pairs as a matrix."""
        return _pair_figure(self.pairs[0]) if len(self.pairs) == 1 else _pairs_figure(self)


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
    splits: dict[Any, Splits] = {}  # runs that share their data share the loaded images
    for run in runs:
        if run.config.data not in splits:
            splits[run.config.data] = load_own_splits(run)
    evaluations = tuple(
        evaluate(run, weights, split_name, own_splits=splits[run.config.data]) for run in runs
    )
    couples = list(combinations(evaluations, 2))
    counts = [PairedCounts.of(a.is_correct, b.is_correct) for a, b in couples]
    raw = [each.p_value for each in counts]
    tests = zip(couples, counts, holm(raw), holm_levels(raw), strict=True)
    return Comparison(evaluations, tuple(Pair(a, b, n, p, level) for (a, b), n, p, level in tests))


def _check_same_images(runs: Sequence[Run], split_name: str) -> None:
    """Make sure that a split has the same hashes in all runs; whether it exists is not checked."""
    for run in runs[1:]:
        first, other = (_recorded(each, split_name) for each in (runs[0], run))
        if first != other:
            raise DataError(
                f"the {split_name} images of {runs[0].path} and {run.path} are not the same: "
                f"{_shown(first)} against {_shown(other)}; only runs evaluated on the same images "
                f"can be compared image by image (--split: {', '.join(SPLITS)})"
            )


def _recorded(run: Run, split_name: str) -> SplitRecord | None:
    """Return number and hashes of the samples of a split, as run.json has them."""
    record: SplitRecord | None = getattr(run.info.data.splits, split_name, None)
    return record


def _shown(record: SplitRecord | None) -> str:
    if record is None:
        return "none"
    hashes = f"{record.images_sha256[:8]}/{record.labels_sha256[:8]}"
    return f"{record.n_samples} samples, SHA-256 {hashes}"


def _gap(gap: float, n: int) -> str:
    n_images = round(gap * n)
    return f"{gap:.4f} ({n_images:,} image{'s' * (n_images != 1)})"


def _of_pair(comparison: Comparison) -> str:
    (pair,) = comparison.pairs
    counts = pair.counts
    only = (
        f"{counts.only_a:,} of {counts.n:,} images are correctly classified by A only, "
        f"{counts.only_b:,} by B only (p = {pair.p_value:.2g}, McNemar's exact test)."
    )
    if not pair.is_significant:
        return (
            f"{only} So these images do not decide which run is better; that is no evidence that "
            "they are equally good."
        )
    better = "A" if counts.difference > 0 else "B"
    return (
        f"{only} So {better} is better on such images, by more than chance explains. The test is "
        "about these two runs; other seeds may differ."
    )


def _of_pairs(comparison: Comparison) -> str:
    pairs, accuracies = comparison.pairs, [each.accuracy for each in comparison.evaluations]
    n_clear, best = sum(pair.is_significant for pair in pairs), int(np.argmax(accuracies))
    undecided = [
        name
        for i, name in enumerate(comparison.names)
        for (a, b), pair in zip(combinations(range(len(accuracies)), 2), pairs, strict=True)
        if {i, best} == {a, b} and not pair.is_significant
    ]
    words = (
        f"{n_clear} of {len(pairs)} pairs differ by more than chance explains (McNemar's exact "
        f"tests, corrected by Holm). {comparison.names[best]} has the highest accuracy, "
        f"{accuracies[best]:.4f}; "
    )
    if not undecided:
        return words + "it is better than every other run on such images."
    return words + f"whether it is better than {', '.join(undecided)} is undecided."


def _pair_values(pair: Pair) -> dict[str, Any]:
    differing = [
        f"{key} {shown(a)} / {shown(b)}" for key, (a, b) in pair.config_differences.items()
    ]
    counts = pair.counts
    return {
        "a": str(pair.a.run.path),
        "b": str(pair.b.run.path),
        "differs": differing or ["no config key"],
        "weights": pair.a.weights,
        "split": pair.a.split_name,
        "n_samples": counts.n,
        "accuracy_a": pair.a.accuracy,
        "accuracy_a_interval": pair.a.accuracy_interval,
        "accuracy_b": pair.b.accuracy,
        "accuracy_b_interval": pair.b.accuracy_interval,
        "only_a_right": counts.only_a,
        "only_b_right": counts.only_b,
        "difference": counts.difference,
        "difference_interval": counts.interval,
        "p_value": pair.p_value,
        "smallest_gap": pair.smallest_gap,
        "can_resolve": pair.verdict(),
    }


def _pair_figure(pair: Pair) -> "Figure":
    """Draw the difference of two runs with its interval, and the images on which they differ."""
    from mnistlin.figures.panel import draw_images, images_per_row
    from mnistlin.figures.style import in_lines, is_for_paper, page, stacked

    runs = [pair.a.run, pair.b.run]
    sides = [("A", BLUE, pair.a, pair.b), ("B", VERMILION, pair.b, pair.a)]
    n_columns = images_per_row(runs[0])
    shown = [pair.only_correct(name.lower())[: n_columns * MAX_ROWS] for name, *_ in sides]
    height_of_words = 1.1 if is_for_paper() else 0.35
    heights = [height_of_words + 1.0 * -(-len(samples) // n_columns) for samples in shown]
    note = (
        "Above each image: its true class → the prediction of the other run, and its probability; "
        "the most confident first."
    )
    gap_height = 2.8 if is_for_paper() else 1.6
    with page(
        captions.of_runs("Comparison", runs), note, 1.6 + gap_height + sum(heights)
    ) as figure:
        top, *parts = stacked(figure, [gap_height, *heights])
        _draw_gap(top.subplots(), pair)
        labels = captions.run_labels(runs)
        for part, samples, label, (name, color, own, other) in zip(
            parts, shown, labels, sides, strict=True
        ):
            n = pair.counts.only_a if name == "A" else pair.counts.only_b
            words = (
                f"correct in {name} only: {n:,} image{'s' * (n != 1)}   "
                f"({name}: {_in_one_line(label)}; accuracy {own.accuracy:.4f})"
            )
            part.suptitle(in_lines(words), x=0.0, ha="left", fontsize=9.5, color=color)
            if len(samples):
                captions_of = [caption(other, int(sample)) for sample in samples]
                draw_images(part.subplots(), own.split, samples, captions_of, n_columns)
    return figure


def _draw_gap(axes: "Axes", pair: Pair) -> None:
    """Draw the interval of the difference on the range that these images cannot resolve."""
    from mnistlin.figures.style import name_axes

    counts, (low, high), smallest = pair.counts, pair.counts.interval, pair.smallest_gap
    words = (
        f"accuracy of A − accuracy of B: {signed(counts.difference, '.4f')}, 95 % interval "
        f"{signed(low, '.4f')} to {signed(high, '.4f')}; p = {pair.p_value:.2g} (McNemar, exact)"
    )
    share = written(POWER, ".0%")
    grey = f"grey: gaps that {counts.n:,} images detect in under {share} of all cases"
    name_axes(axes, words, grey if smallest else "")
    if smallest is not None:
        axes.axvspan(-smallest, smallest, color=FAINT, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.plot([low, high], [0, 0], color=INK, linewidth=2.4, solid_capstyle="round")
    axes.plot([counts.difference], [0], "o", color=INK, markersize=7)
    limit = 1.15 * max(abs(low), abs(high), smallest or 0.0)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)


def _pairs_figure(comparison: Comparison) -> "Figure":
    """Draw the accuracy of each run with its interval, and the difference of each pair."""
    from mnistlin.figures.style import end_at_one, is_for_paper, name_axes, page, stacked

    n, runs = len(comparison.evaluations), [each.run for each in comparison.evaluations]
    note = (
        "95 % intervals. Bold and coloured: p below 0.05 by McNemar's exact test, corrected for "
        f"{len(comparison.pairs)} pairs (Holm)."
    )
    height = max(HEIGHT - 1, 2.4 + 0.62 * n)
    with page(captions.of_runs("Comparison", runs), note, height) as figure:
        if is_for_paper():
            figure.set_figheight(2 * figure.get_figheight())
            accuracies, matrix = (part.subplots() for part in stacked(figure, [1, 1]))
        else:
            accuracies, matrix = figure.subplots(1, 2, width_ratios=[1, 3])
        _draw_accuracies(accuracies, comparison)
        end_at_one(accuracies, "x")
        name_axes(accuracies, "", "accuracy (fraction)")
        _draw_differences(matrix, comparison)
        name_axes(matrix, "accuracy of row − column, percentage points")
    return figure


def _row_label(words: str) -> str:
    """Return what a run is called beside its interval: on paper in several short lines."""
    from mnistlin.figures.style import is_for_paper

    if not is_for_paper():
        return captions.plain(words, 60)
    lines = wrap(words, LABEL_LETTERS, max_lines=LABEL_LINES, placeholder=" …")
    return "\n".join(captions.plain(line, LABEL_LETTERS) for line in lines)


def _draw_accuracies(axes: "Axes", comparison: Comparison) -> None:
    labels = captions.run_labels([each.run for each in comparison.evaluations])
    for row, each in enumerate(comparison.evaluations):
        axes.plot(each.accuracy_interval, [row, row], color=BLUE, linewidth=2.4)
        axes.plot([each.accuracy], [row], "o", color=BLUE, markersize=6)
    named = zip(labels, comparison.names, strict=True)
    words = [f"{_row_label(_in_one_line(label))}   {name}" for label, name in named]
    axes.set_yticks(range(len(labels)), words)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _draw_differences(axes: "Axes", comparison: Comparison) -> None:
    from mnistlin.figures.style import is_for_paper, smallest_type

    n, type_sizes = len(comparison.evaluations), 70 if is_for_paper() else 75
    size = min(9.5, type_sizes / n)
    for (i, j), pair in zip(combinations(range(n), 2), comparison.pairs, strict=True):
        for row, column, value in ((i, j, pair.counts.difference), (j, i, -pair.counts.difference)):
            look: dict[str, Any] = {"color": MUTED}
            if pair.is_significant:
                weight = "normal" if is_for_paper() else "bold"
                look = {"color": BLUE if value > 0 else VERMILION, "fontweight": weight}
            words = signed(100 * value, ".1f")
            if size < smallest_type():  # no space for the number
                words, look = words[0], {**look, "fontsize": smallest_type()}
            axes.text(
                column, row, words, **{"ha": "center", "va": "center", "fontsize": size, **look}
            )
    axes.set_xticks(range(n), comparison.names)
    axes.set_yticks(range(n), comparison.names)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _in_one_line(label: str) -> str:
    return label.replace("\n", ", ")
