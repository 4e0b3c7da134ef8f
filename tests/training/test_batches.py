"""The order of the images, their inputs, and the blocks in which a split is evaluated."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import TrainingConfig
from mnistlin.model.products import SYMMETRIC, Scaling
from mnistlin.model.samples import PixelBuffer
from mnistlin.training import batches
from mnistlin.training.batches import PixelReader, epoch_orders, large_blocks, one_class_blocks


def order_of(n_samples, seed, epoch, shuffle=True):
    """Return the order of one epoch."""
    training = TrainingConfig(seed=seed, shuffle=shuffle)
    return next(epoch_orders(training, n_samples, epoch))


@given(st.integers(0, 200), st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_an_epoch_sees_each_image_once(n_samples, seed, epoch):
    """Shuffled or not."""
    for shuffle in (True, False):
        order = order_of(n_samples, seed, epoch, shuffle)
        np.testing.assert_array_equal(np.sort(order), np.arange(n_samples))


def test_the_order_depends_on_seed_and_epoch_alone():
    """What was drawn before, here or elsewhere, does not matter."""
    first = order_of(100, 3, 7)
    np.random.default_rng(3).permutation(100)
    orders = epoch_orders(TrainingConfig(seed=3), 100, 6)
    next(orders)
    np.testing.assert_array_equal(next(orders), first)


def test_other_seeds_and_epochs_have_other_orders():
    """Seed 0 in epoch 1 is not seed 1 in epoch 0 either."""
    orders = {order_of(100, seed, epoch).tobytes() for seed in range(9) for epoch in range(9)}
    assert len(orders) == 81


def test_the_order_is_the_documented_one():
    """So that others can repeat a run from its config."""
    expected = np.random.default_rng([4, 2]).permutation(50)
    np.testing.assert_array_equal(order_of(50, 4, 2), expected)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_without_shuffling_the_order_is_that_of_the_file(epoch):
    np.testing.assert_array_equal(order_of(5, 9, epoch, shuffle=False), range(5))


@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_legacy_orders_are_those_of_a_script_that_shuffles_with_numpy(n_samples, seed, skipped):
    """One stream, of which some orders may be skipped, and which is replayed on resuming."""
    stream, expected = np.random.RandomState(seed), []
    for _ in range(skipped + 3):
        indices = list(range(n_samples))
        stream.shuffle(indices)
        expected.append(indices)
    training = TrainingConfig(seed=seed, order="legacy", skip_orders=skipped)
    orders = epoch_orders(training, n_samples)
    assert [next(orders).tolist() for _ in range(3)] == expected[skipped:]
    assert next(epoch_orders(training, n_samples, first_epoch=2)).tolist() == expected[-1]


def test_legacy_orders_follow_the_rows_drawn_from_the_same_stream():
    stream = np.random.RandomState(5)
    stream.choice(100, 30, replace=False)
    stream.choice(70, 10, replace=False)
    indices = np.arange(30)
    stream.shuffle(indices)
    training = TrainingConfig(seed=5, order="legacy")
    found = next(epoch_orders(training, 30, drawn_from=(100, 70)))
    np.testing.assert_array_equal(found, indices)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_are_read_in_the_order_asked_for(make_split, dtype):
    """Repeated ones too, and the bias pixel at the end."""
    split = make_split(10)
    samples = np.array([9, 0, 3, 3])
    pixels = PixelReader(split, 8, dtype).read(split.rows[samples]).P
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels[:, :-1], split.images[split.rows[samples]])
    np.testing.assert_array_equal(pixels[:, -1], 255)


def test_a_reader_may_be_asked_for_few_and_then_for_many(make_split):
    """What it read before leaves no trace."""
    split = make_split(10)
    reader = PixelReader(split, 6, "float64")
    for samples in (np.arange(6), np.array([7]), np.array([], dtype=np.intp), np.arange(4, 10)):
        pixels = reader.read(split.rows[samples]).P
        np.testing.assert_array_equal(pixels[:, :-1], split.images[split.rows[samples]])
        np.testing.assert_array_equal(pixels[:, -1], 255)


def test_two_readers_of_a_split_have_buffers_of_their_own(make_split):
    """Threads read side by side."""
    split = make_split(10)
    one, two = (PixelReader(split, 3, "float64") for _ in range(2))
    first = one.read(split.rows[[0, 1]]).P
    before = first.copy()
    two.read(split.rows[[2, 3]])
    np.testing.assert_array_equal(first, before)


def test_the_bias_pixel_follows_the_scaling(make_split):
    split = replace(make_split(10), scaling=Scaling.standard(30.0, 50.0))
    X = PixelReader(split, 10, "float64").read(split.rows)
    assert set(X.P[:, -1]) == {80.0}
    np.testing.assert_allclose(X.to_array()[:, :-1], (split.images[split.rows] - 30.0) / 50)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_buffer_takes_images_of_fewer_pixels_too(order):
    """Of any size up to its own, one after the other; pixels have the memory order of images."""
    buffer = PixelBuffer(4, 5, SYMMETRIC)
    for shape in ((4, 5), (2, 3), (4, 0), (3, 5)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        pixels = buffer.fill(np.asarray(images, order=order), "float32")
        assert pixels.flags[f"{order}_CONTIGUOUS"] or images.size == 0
        np.testing.assert_array_equal(pixels[:, :-1], images)
        np.testing.assert_array_equal(pixels[:, -1], 255)


def test_memory_mapped_images_are_read_alike(make_split, tmp_path):
    """Raw files are never loaded as a whole."""
    split = make_split(10)
    split.images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", np.uint8, mode="r", shape=split.images.shape)
    samples = np.arange(9, -1, -1)
    expected = PixelReader(split, 10, "float32").read(split.rows[samples]).P
    found = PixelReader(replace(split, images=mapped), 10, "float32").read(split.rows[samples]).P
    np.testing.assert_array_equal(found, expected)


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
        of_class = [
            whole_pixels(each, dark_split.n_features) for each in found if each.targets == k
        ]
        expected = dark_split.images[dark_split.rows[dark_split.targets == k]]
        np.testing.assert_array_equal(np.concatenate(of_class), expected)


def test_kept_blocks_lose_what_is_black_in_a_whole_block(dark_split):
    """In the images of one class that is more than in all of them."""
    found = one_class_blocks(dark_split, keep=True)
    left_out = {
        block.targets.item(): set(range(13)) - set(columns_of(block, 12)) for block in found
    }
    assert left_out == {0: {5}, 1: {5, 7}, 2: {5}}


def test_few_samples_are_in_blocks_of_all_classes(dark_split, monkeypatch):
    """Each with its target and all of its pixels, in order; many are in blocks of one class."""
    n, n_classes = dark_split.n_samples, len(dark_split.classes)
    monkeypatch.setattr(batches, "BLOCK_ROWS", 2 * (n // n_classes + 1))
    found = list(large_blocks(dark_split))
    assert len(found) == math.ceil(n / batches.BLOCK_ROWS) > 1
    targets = np.concatenate([block.targets for block in found])
    np.testing.assert_array_equal(targets, dark_split.targets)
    images = np.concatenate([whole_pixels(block, dark_split.n_features) for block in found])
    np.testing.assert_array_equal(images, dark_split.images[dark_split.rows])
    monkeypatch.setattr(batches, "BLOCK_ROWS", 2 * (n // n_classes))
    assert {block.targets.shape for block in large_blocks(dark_split)} == {(1,)}


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
        monkeypatch.setattr(batches, "_KEPT_IMAGE_BYTES", limit)
        found = one_class_blocks(dark_split, keep=True)
        assert {block.images is dark_split.images for block in found} == {not is_kept}


def test_blocks_are_about_equally_large(make_split, monkeypatch):
    """A last block of a few samples would cost as many calls as a whole one."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", 10)
    split = make_split(50, 2)
    found = one_class_blocks(split, keep=True)
    sizes = [len(block.gather()) for block in found if block.targets == 0]
    assert max(sizes) - min(sizes) <= 1
