"""`predict`: which class a drawing or a photo is, and which of its pixels decide that."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlin.analysis.result import Result, Tables, Values
from mnistlin.data.catalog import fills_image
from mnistlin.data.drawing import (
    count_marks,
    find_ink,
    is_photo,
    light_on_dark,
    reaches_border,
    read_image,
    to_training_form,
)
from mnistlin.figures import captions
from mnistlin.runs.classifier import Classifier, WeightsName
from mnistlin.runs.folder import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_DRAWN = 8
"""Maximum number of images in the figure, one per row."""

_ROW_HEIGHT, _PAGE_EDGES = 1.95, 1.6
"""Height in inches of each image, and of the text above and below all of them."""

_GREY: Any = {"cmap": "gray", "vmin": 0, "vmax": 255}


@dataclass(frozen=True, eq=False)
class PredictedImage:
    """An image file, the image as the model gets it, and the prediction."""

    file: str
    grey: NDArray[np.float64]
    """The image, (height, width), 0 to 255."""
    pixels: NDArray[np.float64]
    """The same in the form of the training images."""
    probabilities: NDArray[np.float64]
    """Probability of each class, in ascending order of the labels."""
    warning: str
    """Why this may not be an image of one class; empty if nothing does."""

    @cached_property
    def ranking(self) -> list[int]:
        """Indices of the classes, the most probable first."""
        return [int(k) for k in np.argsort(-self.probabilities, kind="stable")]


@dataclass(frozen=True)
class Prediction(Result):
    """The predictions of one run for some images."""

    run: Run
    weights: WeightsName
    images: tuple[PredictedImage, ...]

    title = "Prediction"
    stem = "prediction"

    @cached_property
    def classifier(self) -> Classifier:
        """The model that predicts."""
        return self.run.classifier(self.weights)

    @property
    def labels(self) -> list[int]:
        """The classes, ascending."""
        return [int(label) for label in self.classifier.classes_]

    @cached_property
    def names(self) -> list[str]:
        """What the classes are called, in the order of their labels."""
        return [
            name for _, name in sorted(zip(self.run.classes, self.run.class_names, strict=True))
        ]

    def _class(self, k: int) -> dict[str, Any]:
        """Return the label of a class, and its name if it has one."""
        label, name = self.labels[k], self.names[k]
        return {"class": label} | ({"class_name": name} if name != str(label) else {})

    def values(self) -> Values:
        """Return which weights are used and, for a single image, the class and its probability."""
        values: dict[str, Any] = {"run": str(self.run.path), "weights": self.weights}
        if len(self.images) == 1:
            (image,) = self.images
            best = image.ranking[0]
            values |= {"image": image.file, **self._class(best)}
            values["probability"] = float(image.probabilities[best])
        return values

    def tables(self) -> Tables:
        """Return the probabilities of a single image, or one row per image."""
        if len(self.images) == 1:
            (image,) = self.images
            rows = [{**self._class(k), **_share(image, k)} for k in image.ranking]
            return {"probabilities": rows}
        return {"images": [self._row(image) for image in self.images]}

    def as_object(self) -> Values:
        """Return the classes, and class and probabilities of each image in their order."""
        images = [
            {
                "file": image.file,
                **self._class(image.ranking[0]),
                "probabilities": image.probabilities.tolist(),
            }
            for image in self.images
        ]
        return {
            "run": str(self.run.path),
            "weights": self.weights,
            "classes": self.labels,
            "images": images,
        }

    def records(self) -> Tables:
        """Return one row per image with the probability of each class."""
        rows = [
            {
                "file": image.file,
                **self._class(image.ranking[0]),
                **dict(zip(map(str, self.labels), image.probabilities.tolist(), strict=True)),
            }
            for image in self.images
        ]
        return {self.stem: rows}

    def warnings(self) -> Sequence[str]:
        """Return which images do not look like one digit."""
        return [f"{image.file}: {image.warning}" for image in self.images if image.warning]

    def figure(self) -> "Figure":
        """Draw each image, what the model saw, the probabilities, and the evidence of each pixel.

        The evidence is weight times input, for the two most probable classes on one colour scale.
        """
        from mnistlin.figures.style import is_for_paper, page
        from mnistlin.figures.weights import COLORMAP, symmetric_scale

        shown = self.images[:MAX_DRAWN]
        note = (
            "Evidence: weight × input of each pixel; red supports the class, blue opposes it. "
            "Its sum and the bias are the logit."
        )
        if len(shown) < len(self.images):
            note = f"The first {len(shown)} of {len(self.images)} images. {note}"
        n_rows, n_columns = (2, 3) if is_for_paper() else (1, 5)  # of one image
        height = _PAGE_EDGES + _ROW_HEIGHT * n_rows * len(shown)
        with page(captions.of_run("Predictions", self.run), note, height) as figure:
            grid = figure.subplots(n_rows * len(shown), n_columns, squeeze=False)
            for image, row in zip(shown, grid.reshape(len(shown), -1), strict=True):
                first, second = image.ranking[:2]
                maps = [self.classifier.evidence(image.pixels, k) for k in (first, second)]
                scale = symmetric_scale(np.array(maps))
                name = captions.plain(Path(image.file).name, 22)
                _draw_image(row[0], image.grey, name, **_GREY)
                for axes in row[5:]:
                    axes.set_axis_off()
                _draw_image(row[1], 255 - image.pixels, "model input", **_GREY)
                self._draw_probabilities(row[2], image)
                for axes, k, evidence in zip(row[3:5], (first, second), maps, strict=True):
                    gap = " " if captions.has_short_names(self.run) else "\n"
                    title = f"evidence for{gap}{captions.plain(self.names[k], 12)}"
                    _draw_image(axes, evidence, title, cmap=COLORMAP, norm=scale)
        return figure

    def _row(self, image: PredictedImage) -> Values:
        first, second = image.ranking[:2]
        return {
            "file": image.file,
            **self._class(first),
            **_share(image, first),
            "second": self.names[second],
            "second_probability": float(image.probabilities[second]),
        }

    def _draw_probabilities(self, axes: "Axes", image: PredictedImage) -> None:
        from mnistlin.figures.style import BLUE, MUTED, is_for_paper

        shown = sorted(image.ranking[: 5 if is_for_paper() else 10])
        colors = [BLUE if k == image.ranking[0] else "#b9c4cd" for k in shown]
        bars = axes.barh(
            [captions.plain(self.names[k], 12) for k in shown], image.probabilities[shown]
        )
        for bar, color in zip(bars, colors, strict=True):
            bar.set_color(color)
        axes.bar_label(bars, fmt="{:.2f}", padding=2, fontsize=7, color=MUTED)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1.25)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelsize=7.5)
        axes.set_title("probability", loc="left", fontsize=8.5)


def predict(
    run: Run,
    files: Sequence[str | Path],
    weights: WeightsName = "last",
    *,
    invert: bool | None = None,
) -> Prediction:
    """Classify image files with the model of a run.

    Each is converted to the form of MNIST's images, or of Fashion-MNIST's if the run was trained
    on these; see `mnistlin.data.drawing`. A file of the size of the training images is assumed to
    be in their form already, except for its polarity.

    Parameters
    ----------
    run : Run
        The run.
    files : sequence of str or Path
        PNG or JPEG files.
    weights : {"last", "best"}
        Those of the last check, or of the check with the lowest validation loss.
    invert : bool, optional
        Whether the digits are darker than their paper. None decides for each image.

    Raises
    ------
    DataError
        If a file cannot be read as an image.
    RunError
        If the run's weights cannot be read.
    """
    classifier = run.classifier(weights)
    is_filled = fills_image(run.config.data.dataset)
    images = tuple(_predicted(classifier, file, invert, is_filled=is_filled) for file in files)
    return Prediction(run, weights, images)


def _predicted(
    classifier: Classifier, file: str | Path, invert: bool | None, *, is_filled: bool
) -> PredictedImage:
    grey, shape = read_image(file), classifier.image_shape
    ink = find_ink(grey, invert=invert)
    if grey.shape != shape:
        pixels = to_training_form(ink, shape, fills_image=is_filled)
    elif is_filled:  # no border shows which grey level the paper has
        pixels = light_on_dark(grey, invert=invert)
    else:
        pixels = 255 * ink
    (probabilities,) = classifier.predict_proba(pixels[None])
    n_marks = count_marks(pixels)
    warning = ""
    if n_marks == 0:
        warning = "no ink was found, so the prediction means nothing; is the image empty?"
    elif grey.shape != shape and is_photo(grey) and reaches_border(ink):
        warning = (
            "ink was found at the edge of this photo, such as lines, a shadow or another object; "
            "leave paper on all sides of what is to be classified"
        )
    elif n_marks > 1:
        warning = f"{n_marks} separate marks were found; the model expects one object per image"
    return PredictedImage(str(file), grey, pixels, probabilities, warning)


def _share(image: PredictedImage, k: int) -> Values:
    return {"probability": float(image.probabilities[k])}


def _draw_image(axes: "Axes", pixels: NDArray[np.float64], title: str, **look: Any) -> None:
    from mnistlin.figures.style import FAINT

    axes.imshow(pixels, **look)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=FAINT)
    axes.set_title(title, loc="left", fontsize=8.5)
