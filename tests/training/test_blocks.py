"""The blocks of one class in which a split is evaluated."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.training import batches
from mnistlin.training.batches import one_class_blocks


def whole_pixels(block, n_features):
    """Return the pixels of a block with its black ones, (n, n_features)."""
    pixels = np.zeros((len(block.gather()), n_features), np.uint8)
    pixels[:, columns_of(block, n_features)[:-1]] = block.gather()
    return pixels


def columns_of(block, n_features):
    """Return which columns of P a block has."""
    return block.weights(np.arange(n_features + 1)[None])[0]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("block_rows", [1, 6, 100])
def test_each_sample_is_in_one_block_of_its_class(dark_split, monkeypatch, keep, block_rows):
    """With all of its pixels: those that its block lacks are black."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", block_rows)
    found = list(one_class_blocks(dark_split, keep=keep))
    assert max(len(block.gather()) for block in found) <= block_rows
    for k in range(3):
        of_class = [whole_pixels(block, dark_split.n_features) for block in found if block.k == k]
        expected = dark_split.images[dark_split.rows[dark_split.targets == k]]
        np.testing.assert_array_equal(np.concatenate(of_class), expected)


def test_kept_blocks_lose_what_is_black_in_a_whole_block(dark_split):
    """In the images of one class that is more than in all of them."""
    found = one_class_blocks(dark_split, keep=True)
    left_out = {block.k: set(range(13)) - set(columns_of(block, 12)) for block in found}
    assert left_out == {0: {5}, 1: {5, 7}, 2: {5}}


def test_the_white_pixel_comes_last(dark_split):
    """In kept blocks as in others."""
    for keep in (False, True):
        for block in one_class_blocks(dark_split, keep=keep):
            assert columns_of(block, dark_split.n_features)[-1] == dark_split.n_features


def test_images_may_be_black_altogether(dark_split):
    """Then the white pixel is all that is left."""
    black = replace(dark_split, images=np.zeros_like(dark_split.images))
    for block in one_class_blocks(black, keep=True):
        assert block.columns.tolist() == [dark_split.n_features]
        assert block.gather().shape[1] == 0


def test_kept_blocks_have_their_pixels_to_themselves(dark_split):
    """And nothing else, neither the file they come from nor rows of other blocks; pixel by pixel.

    Their pixels in the order of the file would be right, and slow.
    """
    for block in one_class_blocks(dark_split, keep=True):
        assert not np.shares_memory(block.images, dark_split.images)
        assert block.images.flags.f_contiguous
        assert len(block.images) == len(block.gather())


def test_large_splits_are_not_held_twice(dark_split, monkeypatch):
    """Their pixels stay where they are, in a file maybe, until they are asked for."""
    n_bytes = dark_split.n_samples * dark_split.n_features
    for limit, is_kept in ((n_bytes, True), (n_bytes - 1, False)):
        monkeypatch.setattr(batches, "KEPT_IMAGE_BYTES", limit)
        found = one_class_blocks(dark_split, keep=True)
        assert {block.images is dark_split.images for block in found} == {not is_kept}


def test_blocks_are_about_equally_large(make_split, monkeypatch):
    """A last block of a few samples would cost as many calls as a whole one."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", 10)
    split = make_split(50, 2)
    sizes = [len(block.gather()) for block in one_class_blocks(split, keep=True) if block.k == 0]
    assert max(sizes) - min(sizes) <= 1
