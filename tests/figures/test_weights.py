"""Weights as images: each output its tile, upright, on one scale around 0."""

from shutil import copytree

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from mnistlin.errors import RunError
from mnistlin.figures.style import page
from mnistlin.figures.tiles import Tiles
from mnistlin.figures.weights import symmetric_scale, weights_figure
from mnistlin.runs.folder import load_run
from mnistlin.text import signed


@pytest.fixture
def with_weight(tmp_path):
    """Return a function that copies a run, one row of its last weights set to a value."""

    def change(run, row, value):
        weights = {name: W.copy() for name, W in run.weights.items()}
        weights["last"][row] = value
        folder = copytree(run.path, tmp_path / "changed")
        np.savez(folder / "weights.npz", **weights)
        return load_run(folder)

    return change


def tiles_of(figure):
    """Return the images of the one panel that has some."""
    return list(next(axes for axes in figure.axes if axes.images).images)


def words_above(figure):
    """Return the words above the tiles: those at the left, and those at the right."""
    texts = next(axes for axes in figure.axes if axes.images).texts
    at = {text: text.get_horizontalalignment() for text in texts}
    return tuple(
        [text.get_text() for text in texts if at[text] == side] for side in ("left", "right")
    )


def test_each_tile_is_a_column_of_weights(softmax_run):
    """Pixels are read row by row; a tile is as high and as wide as an image, its top row on top."""
    tiles = tiles_of(weights_figure(softmax_run))
    height, width = softmax_run.image_shape
    assert len(tiles) == 3
    for i, image in enumerate(tiles):
        shown = image.get_array()
        for row in range(height):
            for column in range(width):
                weight = softmax_run.weights["last"][row * width + column, i]
                assert shown[row, column] == weight
        left, right, bottom, top = image.get_extent()
        assert image.origin == "upper"
        assert (right - left, bottom - top) == pytest.approx((width, height))
    low, high = image.axes.get_ylim()
    assert low > high  # y grows downwards


def test_all_tiles_share_one_scale_centred_on_zero(softmax_run):
    """The largest weight, of any sign, sets both ends; the bias does not count."""
    (scale,) = {image.norm for image in tiles_of(weights_figure(softmax_run))}
    assert scale.vmax == -scale.vmin
    assert scale.vmax == pytest.approx(np.abs(softmax_run.weights["last"][:-1]).max())


def test_tiles_are_titled_by_class_and_tell_the_bias(softmax_run):
    """The bias is not a pixel, so it is written."""
    biases = [f"bias {signed(bias, '.2g')}" for bias in softmax_run.weights["last"][-1]]
    assert words_above(weights_figure(softmax_run)) == (["0", "1", "2"], biases)


def test_a_logistic_model_has_one_tile_that_says_which_class_is_positive(stopped_run):
    """Red supports the first named class, the target y = 1."""
    figure = weights_figure(stopped_run)
    (tile,) = tiles_of(figure)
    (bar,) = (axes for axes in figure.axes if axes is not tile.axes)
    assert words_above(figure)[0] == ["1 against 0"]
    assert bar.get_title("left") == "for 1 (y = 1)"
    assert bar.get_xlabel() == "for 0 (y = 0)"


def test_weights_of_many_classes_fit_on_a_page(make_run, make_dataset, words_of):
    """26 tiles do not overlap; their biases, for which there is no space, are given below."""
    run = make_run(dataset=make_dataset(26, shape=(8, 5)), epochs=1)
    figure = weights_figure(run)
    tiles = tiles_of(figure)
    assert words_above(figure) == ([str(label) for label in range(26)], [])
    boxes = [
        Bbox.from_extents(left, top, right, bottom)
        for left, right, bottom, top in (image.get_extent() for image in tiles)
    ]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    biases = run.weights["last"][-1]
    assert f"{signed(biases.min(), '.2g')} to {signed(biases.max(), '.2g')}" in words_of(figure)[-1]


@pytest.mark.parametrize(
    ("n_tiles", "shape", "columns"),
    [(1, (28, 28), 1), (2, (28, 28), 2), (10, (28, 28), 5), (4, (4, 40), 1), (4, (40, 4), 4)],
)
def test_tiles_have_as_many_columns_as_make_them_largest(n_tiles, shape, columns):
    """On a page twice as wide as high."""
    with page(("", "", "")) as figure:
        tiles = np.zeros((n_tiles, *shape))
        assert Tiles(figure.subplots(), tiles, words_height=0.25).n_columns == columns


def test_the_note_says_which_weights_are_shown(stopped_run, words_of):
    """Those of the last check, not of the best."""
    last = stopped_run.metrics["step"][-1]
    assert words_of(weights_figure(stopped_run))[-1].startswith(f"Weights after step {last:,}")


def test_weights_that_nothing_has_moved_have_a_scale():
    """An all-zero tile is white, not an error."""
    scale = symmetric_scale(np.zeros((4, 2)))
    assert scale(0.0) == pytest.approx(0.5)


def test_a_run_without_checks_has_no_weights_to_show(diverged_run, words_of):
    """The page says why."""
    figure = weights_figure(diverged_run)
    assert not figure.axes
    assert "no check was reached" in words_of(figure)[-1]


def test_weights_that_are_not_finite_are_refused(softmax_run, with_weight):
    """A damaged folder, since training keeps none."""
    with pytest.raises(RunError, match=r"weights\.npz is damaged: .* finite"):
        weights_figure(with_weight(softmax_run, 0, np.nan))


def test_a_large_bias_does_not_fade_the_tiles(softmax_run, with_weight):
    """The scale is that of the pixels."""
    figure = weights_figure(with_weight(softmax_run, -1, 99.0))
    assert tiles_of(figure)[0].norm.vmax < 99
    assert words_above(figure)[1][0] == "bias +99"
