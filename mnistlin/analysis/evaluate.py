"""How good are the weights of a run on a set of images, and where do they err? On any data.

Where some weights err: the confusion matrix of an evaluation, and the images behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnistlin.analysis.own_data import load_own_splits, split_named
from mnistlin.analysis.statistics import wilson_interval
from mnistlin.config import DataConfig
from mnistlin.data.idx import by_text
from mnistlin.data.splits import Split, load_splits
from mnistlin.errors import DataError
from mnistlin.figures import captions
from mnistlin.figures.confusion import counts_figure
from mnistlin.figures.panel import draw_images
from mnistlin.figures.style import (
    FOOTER,
    HEADER,
    HEIGHT,
    MARGIN,
    NOTE,
    WIDTH,
    house_style,
    new_figure,
    say_instead,
    write_note,
)
from mnistlin.figures.weights import tile_boxes
from mnistlin.runs.folder import Run
from mnistlin.training.evaluation import Predictions, confusion_counts, predict

WeightsName: TypeAlias = Literal["last", "best"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised. A fraction of nothing is None.

    Attributes
    ----------
    label : int
        The class.
    n_samples : int
        Its images.
    precision : float, optional
        Fraction of those that were taken for it that are of it.
    recall : float, optional
        Fraction of its images that were taken for it.
    f1 : float, optional
        Harmonic mean of both (van Rijsbergen 1979).
    """

    label: int
    n_samples: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Evaluation:
    """What some weights of a run make of a set of images.

    Attributes
    ----------
    run : Run
        Whose weights.
    weights : {"last", "best"}
        Which of them.
    dataset : str
        What a config calls the dataset.
    split_name : str
        `train`, `val` or `test`.
    split : Split
        The images; its classes are those of the run.
    predictions : Predictions
        What the model says of each of them.
    """

    run: Run
    weights: WeightsName
    dataset: str
    split_name: str
    split: Split
    predictions: Predictions

    @property
    def doubt(self) -> str | None:
        """What speaks against the numbers, if the run was steered by these very images."""
        is_own = self.dataset == self.run.config.data.dataset
        warnings = self.run.info.warnings
        return "; ".join(warnings) if warnings and is_own and self.split_name == "val" else None

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        return float(self.predictions.loss.mean())

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Which images are classified rightly, (n_samples,)."""
        is_right: NDArray[np.bool_] = self.predictions.class_index == self.split.targets
        return is_right

    @property
    def n_right(self) -> int:
        """How many images are classified rightly."""
        return int(self.is_right.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are classified rightly."""
        return self.n_right / self.split.n_samples

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson interval of the accuracy: what other images of the same kind might have given."""
        return wilson_interval(self.n_right, self.split.n_samples)

    @cached_property
    def confusion(self) -> NDArray[np.intp]:
        """How often class i (row) was taken for class j (column), (n_classes, n_classes)."""
        n_classes = len(self.split.classes)
        return confusion_counts(self.split.targets, self.predictions.class_index, n_classes)

    def class_scores(self) -> Iterator[ClassScore]:
        """Yield how well each class is recognised."""
        right = np.diagonal(self.confusion).tolist()
        taken, there = self.confusion.sum(axis=0).tolist(), self.confusion.sum(axis=1).tolist()
        for k, label in enumerate(self.split.classes):
            yield ClassScore(
                label,
                there[k],
                precision=_fraction(right[k], taken[k]),
                recall=_fraction(right[k], there[k]),
                f1=_fraction(2 * right[k], taken[k] + there[k]),
            )

    def most_confident_mistakes(self, n: int) -> NDArray[np.intp]:
        """Return up to n wrongly classified samples, the most probable wrong class first."""
        wrong = np.flatnonzero(~self.is_right)
        confidence = self.predictions.probability[wrong].max(axis=1)
        return wrong[np.argsort(-confidence, kind="stable")[:n]]


def evaluate(
    run: Run, weights: WeightsName = "last", split_name: str = "val", dataset: str | None = None
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

    Raises
    ------
    DataError
        If the data is missing or wrong, or its labels or the shape of its images do not fit.
    ConfigError
        If there is no such split.
    RunError
        If the run's weights cannot be read.
    """
    W = run.weights[weights]  # damage is told before data is loaded
    if dataset is None:
        split = split_named(load_own_splits(run), split_name)
    else:
        split = _split_of_other(run, dataset, split_name)
    predictions = predict(split, W, run.head)
    name = dataset or run.config.data.dataset
    return Evaluation(run, weights, name, split_name, split, predictions)


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
            f"the labels {', '.join(unknown)} of {splits.folder} are none that {run.path} knows, "
            f"which are {', '.join(map(str, run.classes))}"
        )
    index_of = np.array([run.classes.index(label) for label in split.classes])
    targets = index_of[split.targets]
    return replace(split, targets=targets, classes=run.classes, scaling=run.scaling)


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


N_IMAGES = 24
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@house_style()
def mistakes_figure(evaluation: "Evaluation") -> Figure:
    """Draw the images that are classified wrongly with the most confidence."""
    figure = new_figure(*_words("Most confident mistakes", evaluation))
    samples = evaluation.most_confident_mistakes(N_IMAGES)
    if not len(samples):
        say_instead(figure, f"all {evaluation.split.n_samples:,} images are classified rightly")
        return figure
    bottom = FOOTER + NOTE
    room = (MARGIN, bottom, WIDTH - 2 * MARGIN, HEIGHT - HEADER - bottom)
    boxes = tile_boxes(len(samples), evaluation.split.image_shape, room)
    words = [caption(evaluation, int(sample)) for sample in samples]
    draw_images(figure, boxes, evaluation.split, samples, words)
    write_note(
        figure,
        "True class → the class it was taken for, and the probability given to that. "
        f"{len(samples)} of {(~evaluation.is_right).sum():,} mistakes, the most confident first.",
    )
    return figure


def evaluation_confusion_figure(evaluation: "Evaluation") -> Figure:
    """Draw how often each class was taken for which."""
    return counts_figure(
        _words("Confusion matrix", evaluation),
        evaluation.confusion,
        evaluation.split.classes,
        f"{SPLITS[evaluation.split_name]} images",
    )


def caption(evaluation: "Evaluation", sample: int) -> tuple[str, str]:
    """Return such as ("3 → 5", "0.97") for a sample."""
    named, classes = int(evaluation.predictions.class_index[sample]), evaluation.split.classes
    probability = float(evaluation.predictions.probability[sample, named])
    true = classes[evaluation.split.targets[sample]]
    return f"{true} → {classes[named]}", f"{probability:.2f}"


def _words(what: str, evaluation: "Evaluation") -> tuple[str, str, str]:
    """Return title, settings and footer of a page."""
    run = evaluation.run
    low, high = evaluation.accuracy_interval
    settings = (
        f"{_images(evaluation)}, {evaluation.weights} weights: accuracy {evaluation.accuracy:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f}), loss {evaluation.loss:.4f} nats"
    )
    return captions.title(what, run), settings, captions.footer([run])


def _images(evaluation: "Evaluation") -> str:
    split = f"{evaluation.split.n_samples:,} {SPLITS[evaluation.split_name]} images"
    is_own = evaluation.dataset == evaluation.run.config.data.dataset
    return split if is_own else f"{split} of {captions.plain(evaluation.dataset)}"
