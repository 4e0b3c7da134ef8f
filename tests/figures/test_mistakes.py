"""The images behind the errors of an evaluation."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.evaluate import evaluate
from mnistlin.figures.panel import draw_images
from mnistlin.figures.style import page


@pytest.fixture(scope="module")
def evaluation(softmax_run):
    """Return the evaluation of a run that errs."""
    found = evaluate(softmax_run)
    assert not found.is_correct.all()
    return found


def test_the_most_confident_mistakes_are_shown_with_their_captions(evaluation):
    """Images of the split, in order, each with true class, named class and probability."""
    (axes,) = (each for each in evaluation.figure().axes if each.images)
    mistakes = evaluation.most_confident_mistakes(len(axes.images))
    assert len(axes.images) == (~evaluation.is_correct).sum()  # few enough for one page
    split, predictions = evaluation.split, evaluation.predictions
    captions = iter(text.get_text() for text in axes.texts)
    for image, sample in zip(axes.images, mistakes, strict=True):
        pixels = split.images[split.rows[sample]].reshape(split.image_shape)
        np.testing.assert_array_equal(image.get_array(), pixels)
        true, named = split.targets[sample], predictions.class_index[sample]
        assert next(captions) == f"{split.classes[true]} → {split.classes[named]}"
        assert next(captions) == f"{predictions.probability[sample, named]:.2f}"


def test_an_image_is_that_of_the_row_of_its_sample(evaluation):
    """A split may use some rows of its file only, in any order."""
    backwards = replace(evaluation.split, rows=evaluation.split.rows[::-1])
    with page(("", "", "")) as figure:
        axes = figure.subplots()
        draw_images(axes, backwards, np.array([0, 1]), [("a", ""), ("b", "")], n_columns=2)
    for image, row in zip(axes.images, evaluation.split.rows[[-1, -2]], strict=True):
        pixels = backwards.images[row].reshape(backwards.image_shape)
        np.testing.assert_array_equal(image.get_array(), pixels)


def test_the_page_tells_accuracy_and_interval(evaluation, words_of):
    """And how many mistakes there are."""
    words = " ".join(words_of(evaluation.figure()))
    low, high = evaluation.accuracy_interval
    assert f"accuracy {evaluation.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})" in words
    assert f"of {(~evaluation.is_correct).sum()} misclassified images" in words


def test_no_mistakes_are_said_in_words(evaluation, words_of):
    """An empty page would look like a failure."""
    certain = np.eye(len(evaluation.split.classes))[:, evaluation.split.targets]
    all_right = replace(evaluation.predictions, logits=certain)
    perfect = replace(evaluation, predictions=all_right)
    assert "all 30 images are correctly classified" in words_of(perfect.figure())


def test_the_confusion_matrix_is_that_of_the_evaluated_images(softmax_run, words_of):
    """Of the training set here, which the note says."""
    figure = evaluate(softmax_run, split_name="train").confusion_figure()
    total = sum(int(text.get_text()) for text in figure.axes[0].texts)
    assert total == 60
    assert "Counts of training images" in " ".join(words_of(figure))
