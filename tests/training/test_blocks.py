"""The blocks of one class in which a split is evaluated."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.training import blocks
from mnistlin.training.blocks import one_class_blocks


@pytest.fixture
def split(make_split):
    """Return a split of which some pixels are black, in all images or in those of one class."""
    whole = make_split(40, 3)
    images = whole.images.copy()
    images[:, 5] = 0
    images[whole.rows[whole.targets == 1], 7] = 0
    return replace(whole, images=images)


def whole_pixels(block, n_features):
    """Return the pixels of a block with its black ones, (n, n_features)."""
    pixels = np.zeros((len(block.pixels()), n_features), np.uint8)
    pixels[:, block.columns[:-1]] = block.pixels()
    return pixels


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("block_rows", [1, 6, 100])
def test_each_sample_is_in_one_block_of_its_class(split, monkeypatch, keep, block_rows):
    """With all of its pixels: those that its block lacks are black."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", block_rows)
    found = list(one_class_blocks(split, keep=keep))
    assert max(len(block.pixels()) for block in found) <= block_rows
    for k in range(3):
        of_class = [whole_pixels(block, split.n_features) for block in found if block.k == k]
        expected = split.images[split.rows[split.targets == k]]
        np.testing.assert_array_equal(np.concatenate(of_class), expected)


def test_kept_blocks_lose_what_is_black_in_a_whole_block(split):
    """In the images of one class that is more than in all of them."""
    found = one_class_blocks(split, keep=True)
    left_out = {block.k: set(range(13)) - set(block.columns) for block in found}
    assert left_out == {0: {5}, 1: {5, 7}, 2: {5}}


def test_the_white_pixel_comes_last(split):
    """In kept blocks as in others."""
    for keep in (False, True):
        last = {block.columns[-1] for block in one_class_blocks(split, keep=keep)}
        assert last == {split.n_features}


def test_images_may_be_black_altogether(split):
    """Then the white pixel is all that is left."""
    black = replace(split, images=np.zeros_like(split.images))
    for block in one_class_blocks(black, keep=True):
        assert block.columns.tolist() == [split.n_features]
        assert block.pixels().shape[1] == 0


def test_large_splits_are_not_held_twice(split, monkeypatch):
    """Their pixels stay where they are, in a file maybe, until they are asked for."""
    monkeypatch.setattr(blocks, "KEPT_BYTES", split.n_samples * split.n_features - 1)
    found = one_class_blocks(split, keep=True)
    assert all(block.images is split.images for block in found)


def test_blocks_are_about_equally_large(make_split, monkeypatch):
    """A last block of a few samples would cost as many calls as a whole one."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 10)
    split = make_split(50, 2)
    sizes = [len(block.pixels()) for block in one_class_blocks(split, keep=True) if block.k == 0]
    assert max(sizes) - min(sizes) <= 1
