"""Where some weights err: the confusion matrix of an evaluation, and the images behind it."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from mnistlin.figures import captions
from mnistlin.figures.confusion import counts_figure
from mnistlin.figures.panes import draw_images
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

if TYPE_CHECKING:
    from mnistlin.analysis.evaluation import Evaluation

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
