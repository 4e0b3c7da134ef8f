"""`evaluate`: how good are the weights of a run on a set of images, and where do they err?"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.calibration import Calibration, calibration, calibration_figure
from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.analysis.statistics import proportion_interval
from mnistlin.config import DataConfig
from mnistlin.data.catalog import DATASETS
from mnistlin.data.idx import by_text
from mnistlin.data.splits import Split, Splits, load_splits
from mnistlin.errors import ConfigError, DataError
from mnistlin.figures import captions
from mnistlin.runs.classifier import WeightsName
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import SELECTION_ON_TEST_DATA, load_own_splits
from mnistlin.training.evaluation import Predictions, confusion_counts, predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


N_ROWS = 3
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised; a fraction without images is None."""

    label: int
    n_samples: int
    precision: float | None
    """Fraction of the images classified as this class that belong to it."""
    recall: float | None
    """Fraction of the images of this class that are classified as it."""
    f1: float | None
    """Harmonic mean of both (van Rijsbergen 1979)."""


@dataclass(frozen=True)
class Evaluation(Result):
    """The predictions of some weights of a run on a split, whose classes are those of the run."""

    run: Run
    weights: WeightsName
    dataset: str
    split_name: str
    split: Split
    predictions: Predictions
    is_own_data: bool
    """Whether the split is one of the run, and not all rows of a dataset that was named."""

    title = "Evaluation"

    @property
    def stem(self) -> str:
        """evaluation, then the dataset if it is not the run's own, the split and the weights."""
        parts = ["evaluation", self._other_dataset, self.split_name, self.weights]
        return "-".join(filter(None, parts))

    @property
    def _other_dataset(self) -> str:
        """How files name a dataset: a folder by a hash of path and content too.

        Names may be equal, images may change, and names in another script become dashes.
        """
        if self.is_own_data:
            return ""
        if self.dataset in DATASETS:
            return self.dataset
        path = Path(self.dataset).resolve()
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name)[:40]
        identity = (os.fsencode(path), *map(str.encode, self.split.sha256().values()))
        return f"{name}-{hashlib.sha256(b'/'.join(identity)).hexdigest()[:8]}"

    def warnings(self) -> Sequence[str]:
        """Return those of the run; that about model selection only for its validation images."""
        is_selected = self.is_own_data and self.split_name == "val"
        return [each for each in self.run.warnings if is_selected or each != SELECTION_ON_TEST_DATA]

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        return float(self.predictions.loss.mean())

    @cached_property
    def is_correct(self) -> NDArray[np.bool_]:
        """Which images are correctly classified, (n_samples,)."""
        is_correct: NDArray[np.bool_] = self.predictions.class_index == self.split.targets
        return is_correct

    @property
    def n_correct(self) -> int:
        """How many images are correctly classified."""
        return int(self.is_correct.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are correctly classified."""
        return self.n_correct / self.split.n_samples

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Exact interval of the accuracy on other images of the same kind."""
        return proportion_interval(self.n_correct, self.split.n_samples)

    @cached_property
    def confusion(self) -> NDArray[np.intp]:
        """How often class i (row) was predicted as class j (column), (n_classes, n_classes)."""
        n_classes = len(self.split.classes)
        return confusion_counts(self.split.targets, self.predictions.class_index, n_classes)

    @cached_property
    def calibration(self) -> Calibration:
        """How well the probabilities agree with the fraction that is correct."""
        return calibration(self.predictions.probability, self.split.targets)

    def class_scores(self) -> Iterator[ClassScore]:
        """Yield how well each class is recognised."""
        correct = np.diagonal(self.confusion).tolist()
        predicted, true = self.confusion.sum(axis=0).tolist(), self.confusion.sum(axis=1).tolist()
        for k, label in enumerate(self.split.classes):
            yield ClassScore(
                label,
                true[k],
                precision=_fraction(correct[k], predicted[k]),
                recall=_fraction(correct[k], true[k]),
                f1=_fraction(2 * correct[k], predicted[k] + true[k]),
            )

    def most_confident_mistakes(self, n: int) -> NDArray[np.intp]:
        """Return up to n misclassified samples, the most probable wrong class first."""
        wrong = np.flatnonzero(~self.is_correct)
        confidence = self.predictions.probability[wrong].max(axis=1)
        return wrong[np.argsort(-confidence, kind="stable")[:n]]

    def values(self) -> Values:
        """Return loss and accuracy, and on what they were measured."""
        return {
            "run": str(self.run.path),
            "weights": self.weights,
            "dataset": self.dataset,
            "split": self.split_name,
            "n_samples": self.split.n_samples,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "accuracy_interval": self.accuracy_interval,
            **self.calibration.values(),
        }

    def tables(self) -> Tables:
        """Return the scores of each class, with its name if it has one."""
        names = self.run.class_names
        has_names = names != tuple(map(str, self.run.classes))
        rows = [
            asdict(score) | ({"name": name} if has_names else {})
            for score, name in zip(self.class_scores(), names, strict=True)
        ]
        return {"classes": rows}

    def explanation(self) -> str:
        """Return whether the probabilities can be trusted."""
        return self.calibration.explanation()

    def records(self) -> Tables:
        """Return the confusion matrix and the bins of the calibration too."""
        labels = self.split.classes
        rows = [
            {"true": label, **dict(zip(map(str, labels), counts, strict=True))}
            for label, counts in zip(labels, self.confusion.tolist(), strict=True)
        ]
        bins = [asdict(each) for each in self.calibration.bins]
        tables = {f"{self.stem}_confusion": rows, f"{self.stem}_calibration": bins}
        return {**tables, **super().records()}

    def figures(self) -> "Mapping[str, Figure]":
        """Draw the most confident mistakes, the confusion matrix and the calibration."""
        return {
            f"{self.stem}_mistakes": self.figure(),
            f"{self.stem}_confusion": self.confusion_figure(),
            f"{self.stem}_calibration": self.calibration_figure(),
        }

    def figure(self) -> "Figure":
        """Draw the misclassified images with the most probable wrong class."""
        from mnistlin.figures.panel import draw_images, images_per_row
        from mnistlin.figures.style import page, say_instead

        n_columns, n_wrong = images_per_row(self.run), int((~self.is_correct).sum())
        samples = self.most_confident_mistakes(n_columns * N_ROWS)
        note = (
            "True class → predicted class, and the probability of the predicted class. "
            f"{len(samples)} of {n_wrong:,} misclassified images, the most confident first."
        )
        with page(self._words("Most confident mistakes"), note if n_wrong else "") as figure:
            if not n_wrong:
                n = self.split.n_samples
                say_instead(figure, f"all {n:,} images are correctly classified")
                return figure
            words = [caption(self, int(sample)) for sample in samples]
            draw_images(figure.subplots(), self.split, samples, words, n_columns)
        return figure

    def confusion_figure(self) -> "Figure":
        """Draw the confusion matrix."""
        from mnistlin.figures.confusion import counts_figure

        words, of_what = self._words("Confusion matrix"), f"{SPLITS[self.split_name]} images"
        return counts_figure(words, self.confusion, self.run.class_names, of_what)

    def calibration_figure(self) -> "Figure":
        """Draw accuracy against confidence, and with two classes the ROC curve."""
        words = self._words("Calibration")
        return calibration_figure(self.calibration, words, self.run.class_names[0])

    def _words(self, what: str) -> tuple[str, str, str]:
        """Return title, settings and footer of a page."""
        images = f"{self.split.n_samples:,} {SPLITS[self.split_name]} images"
        if not self.is_own_data:
            images += f" of {captions.plain(self.dataset)}"
        low, high = self.accuracy_interval
        settings = (
            f"{images}, {self.weights} weights: accuracy {self.accuracy:.4f} "
            f"(95 % interval {low:.4f} to {high:.4f}), loss {self.loss:.4f} nats"
        )
        return captions.title(what, self.run), settings, captions.footer([self.run])


def evaluate(
    run: Run,
    weights: WeightsName = "last",
    split_name: str = "val",
    dataset: str | None = None,
    *,
    own_splits: Splits | None = None,
) -> Evaluation:
    """Evaluate weights of a run on one of its own splits, or on another dataset.

    Parameters
    ----------
    run : Run
        The run.
    weights : {"last", "best"}
        Those of its last check, or of the check with the lowest validation loss.
    split_name : {"train", "val", "test"}
        Of another dataset, `val` and `test` both mean its test file.
    dataset : str, optional
        As in a config; all rows of its files are used. None for the run's own data.
    own_splits : Splits, optional
        The run's own data, if it is loaded already.

    Raises
    ------
    DataError
        If the data is missing or wrong, or its labels or the shape of its images do not fit.
    ConfigError
        If there is no such split.
    RunError
        If the run's weights cannot be read.
    """
    W = run.weights[weights]  # a damaged file is reported before data is loaded
    if dataset is None:
        split = _split_named(own_splits or load_own_splits(run), split_name)
    else:
        split = _split_of_other(run, dataset, split_name)
    predictions = predict(split, W, run.head)
    name = dataset or run.config.data.dataset
    return Evaluation(
        run, weights, name, split_name, split, predictions, is_own_data=dataset is None
    )


def caption(evaluation: Evaluation, sample: int) -> tuple[str, str]:
    """Return the captions of a sample, such as ("3 → 5", "0.97"); long names take two lines."""
    named, names = int(evaluation.predictions.class_index[sample]), evaluation.run.class_names
    probability = f"{evaluation.predictions.probability[sample, named]:.2f}"
    true, predicted = (
        captions.plain(names[k], 12) for k in (evaluation.split.targets[sample], named)
    )
    if max(len(true), len(predicted)) <= captions.SHORT_NAME:
        return f"{true} → {predicted}", probability
    return f"{true}, {probability}\n→ {predicted}", ""


def _split_of_other(run: Run, dataset: str, split_name: str) -> Split:
    """Load a split of a dataset that the run was not trained on, with the classes of the run."""
    splits = load_splits(DataConfig(dataset=dataset, classes=run.config.data.classes))
    split = splits.train if split_name == "train" else splits.val
    if split.image_shape != run.image_shape:
        raise DataError(
            f"the images of {splits.folder} have {by_text(split.image_shape)} pixels, but "
            f"{run.path} was trained on {by_text(run.image_shape)}; its weights fit no others"
        )
    unknown = [str(label) for label in split.classes if label not in run.classes]
    if unknown:
        raise DataError(
            f"the labels {', '.join(unknown)} of {splits.folder} are not among the classes of "
            f"{run.path}, which are {', '.join(map(str, run.classes))}"
        )
    index_of = np.array([run.classes.index(label) for label in split.classes], np.uint8)
    targets = index_of[split.targets]
    return replace(split, targets=targets, classes=run.classes, scaling=run.scaling)


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _split_named(splits: Splits, name: str) -> Split:
    """Return one of the splits.

    Raises
    ------
    ConfigError
        If there is no such split.
    """
    split: Split | None = getattr(splits, name) if name in SPLITS else None
    if split is None:
        raise ConfigError(
            f"there is no {name} set: with data.val_from: test, the images of the test file are "
            "the validation set; ask for val"
        )
    return split
