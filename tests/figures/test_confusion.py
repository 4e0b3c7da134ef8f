"""The confusion matrix: true classes down, predicted ones across, recall beside."""

from itertools import pairwise

import numpy as np
import pytest

from mnistlin.figures.confusion import accuracy, confusion_figure, counts_figure, recall, row_shares
from mnistlin.figures.style import INK, is_dark

COUNTS = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])


def counts_on(axes):
    """Return the numbers written in the cells, by (row, column)."""
    return {
        (round(text.get_position()[1]), round(text.get_position()[0])): int(text.get_text())
        for text in axes.texts
    }


def test_every_count_that_is_not_zero_is_written_in_its_cell(softmax_run):
    """Row = true class, column = predicted class: a transposed matrix would not pass."""
    matrix = confusion_figure(softmax_run).axes[0]
    counts = softmax_run.confusion
    assert not np.array_equal(counts, counts.T)
    assert counts_on(matrix) == {(i, j): counts[i, j] for i, j in np.argwhere(counts)}
    assert matrix.get_ylabel() == "true class"
    assert matrix.get_xlabel() == "predicted class"


def test_colours_are_shares_of_the_row(softmax_run):
    """So that rare classes are not pale."""
    cells = confusion_figure(softmax_run).axes[0].collections[0]
    counts = softmax_run.confusion
    expected = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cells.get_array(), expected)


def test_text_has_contrast_to_its_cell(softmax_run):
    """White on dark cells, ink on light ones."""
    matrix = confusion_figure(softmax_run).axes[0]
    cells = matrix.collections[0].to_rgba(row_shares(softmax_run.confusion))
    for text in matrix.texts:
        column, row = map(round, text.get_position())
        assert text.get_color() == ("white" if is_dark(cells[row, column]) else INK)


def test_recall_is_drawn_and_written_in_line_with_its_row(softmax_run):
    """A dot a class, and its value with the number of images."""
    matrix, strip, *_ = confusion_figure(softmax_run).axes
    dots = strip.get_lines()[0]
    counts = softmax_run.confusion
    np.testing.assert_allclose(dots.get_xdata(), np.diagonal(counts) / counts.sum(axis=1))
    np.testing.assert_array_equal(dots.get_ydata(), [0, 1, 2])
    assert strip.get_ylim() == matrix.get_ylim()
    written = [text.get_text() for text in strip.texts]
    assert written == [
        f"{value:.3f}  of {total:,}"
        for value, total in zip(recall(counts), counts.sum(axis=1), strict=True)
    ]


def test_the_dashed_line_is_the_accuracy(softmax_run, words_of):
    """The same number as in the last row of metrics.csv."""
    figure = confusion_figure(softmax_run)
    line = figure.axes[1].get_lines()[1]
    last = softmax_run.metrics["val_accuracy"][-1]
    assert line.get_xdata()[0] == pytest.approx(last)
    assert f"accuracy {last:.4f}, of all 30" in words_of(figure)[-1]


def test_a_class_without_images_has_no_recall():
    """Nor does it count as an error."""
    np.testing.assert_array_equal(recall(COUNTS), [0.8, np.nan, 0.75])
    assert accuracy(COUNTS) == pytest.approx(11 / 14)


def test_rows_and_columns_are_named_by_their_labels(stopped_run):
    """In the order of the config: the class with target 1 first."""
    matrix = confusion_figure(stopped_run).axes[0]
    assert [label.get_text() for label in matrix.get_xticklabels()] == ["1", "0"]
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["1", "0"]


def test_many_classes_make_the_page_grow_and_keep_their_counts(make_run, make_dataset, softmax_run):
    """26 classes are still readable."""
    run = make_run(dataset=make_dataset(26), epochs=1)
    figure = confusion_figure(run)
    assert figure.get_figheight() > confusion_figure(softmax_run).get_figheight()
    assert len(figure.axes[0].texts) == np.count_nonzero(run.confusion)


def test_long_names_of_classes_do_not_overlap():
    """Those of the columns are turned, and very long ones are cut."""
    names = ["T-shirt/top", "Ankle boot", "a name that is much too long for a figure"]
    figure = counts_figure(("", "", ""), COUNTS, names, "test images")
    figure.draw_without_rendering()
    columns, rows = (axis.get_ticklabels() for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis))
    assert [label.get_text() for label in rows[:2]] == names[:2]
    assert len(rows[2].get_text()) < len(names[2])
    assert {label.get_rotation() for label in columns} == {40.0}
    boxes = [label.get_window_extent() for label in rows]
    assert all(a.y0 > b.y1 for a, b in pairwise(boxes))
