"""Runs on the same images: two of them by image, many of them by pair."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.compare import compare
from mnistlin.text import signed


@pytest.fixture(scope="module")
def runs(make_run):
    """Return runs of which the last is much worse."""
    return [make_run(l2_lambda=value) for value in (0.0, 0.1, 20.0)]


def test_the_interval_is_drawn_at_the_difference(runs):
    """A point at the difference, a line from low to high, grey up to the smallest gap."""
    comparison = compare([runs[0], runs[2]])
    (pair,) = comparison.pairs
    gap = comparison.figure().axes[0]
    _, interval, point = gap.get_lines()
    np.testing.assert_allclose(interval.get_xdata(), pair.counts.interval)
    assert point.get_xdata() == [pair.counts.difference]
    (grey,) = gap.patches
    assert grey.get_width() == pytest.approx(2 * pair.smallest_gap)
    low, high = gap.get_xlim()
    assert low < min(pair.counts.interval)
    assert high > max(pair.counts.interval)


def test_images_on_which_only_one_is_correct_are_shown(runs, words_of):
    """Their numbers are given for both, and the page has space for exactly these."""
    comparison = compare([runs[0], runs[2]])
    (pair,) = comparison.pairs
    figure = comparison.figure()
    words = [text.get_text() for part in figure.subfigs for text in part.texts]
    for name, n in (("A", pair.counts.only_a), ("B", pair.counts.only_b)):
        assert any(f"correct in {name} only: {n} image{'s' * (n != 1)} " in each for each in words)
    n_images = sum(len(axes.images) for axes in figure.axes)
    assert n_images == pair.counts.only_a + pair.counts.only_b  # few enough for one page


def test_equal_runs_make_a_smaller_page(runs):
    """There are no images to show."""
    same, different = (compare([runs[0], other]).figure() for other in (runs[0], runs[2]))
    assert not any(axes.images for axes in same.axes)
    assert same.get_figheight() < different.get_figheight()


def test_each_pair_is_a_cell_and_its_mirror(runs):
    """Row minus column in percentage points, bold where it is more than chance."""
    found = compare(runs)
    first, *others = found.pairs
    comparison = replace(found, pairs=(replace(first, p_value=0.001), *others))
    _, matrix = comparison.figure().axes
    cells = {text.get_position(): text for text in matrix.texts}
    assert len(cells) == 6
    for (i, j), pair in zip([(0, 1), (0, 2), (1, 2)], comparison.pairs, strict=True):
        for position, value in (
            ((j, i), pair.counts.difference),
            ((i, j), -pair.counts.difference),
        ):
            assert cells[position].get_text() == signed(100 * value, ".1f")
            assert (cells[position].get_fontweight() == "bold") == pair.is_significant
    assert {pair.is_significant for pair in comparison.pairs} == {True, False}


def test_each_run_has_its_accuracy_with_the_interval(runs):
    """In the order of the runs, with what distinguishes them."""
    comparison = compare(runs)
    accuracies, _ = comparison.figure().axes
    points = [line.get_xdata()[0] for line in accuracies.get_lines() if line.get_marker() == "o"]
    assert points == [each.accuracy for each in comparison.evaluations]
    labels = [label.get_text() for label in accuracies.get_yticklabels()]
    assert labels == ["l2_lambda: 0   A", "l2_lambda: 0.1   B", "l2_lambda: 20   C"]
