"""The order of the images, and their inputs as the model wants them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.training.batches import PixelBuffer, PixelReader, epoch_order


@given(st.integers(0, 200), st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_an_epoch_sees_each_image_once(n_samples, seed, epoch):
    """Shuffled or not."""
    for shuffle in (True, False):
        order = epoch_order(n_samples, seed, epoch, shuffle)
        np.testing.assert_array_equal(np.sort(order), np.arange(n_samples))


def test_the_order_depends_on_seed_and_epoch_alone():
    """What was drawn before, here or elsewhere, does not matter."""
    first = epoch_order(100, 3, 7, shuffle=True)
    np.random.default_rng(3).permutation(100)
    epoch_order(100, 3, 6, shuffle=True)
    np.testing.assert_array_equal(epoch_order(100, 3, 7, shuffle=True), first)


def test_other_seeds_and_epochs_have_other_orders():
    """Seed 0 in epoch 1 is not seed 1 in epoch 0 either."""
    orders = {
        epoch_order(100, seed, epoch, True).tobytes() for seed in range(9) for epoch in range(9)
    }
    assert len(orders) == 81


def test_the_order_is_the_documented_one():
    """So that others can repeat a run from its config."""
    expected = np.random.default_rng([4, 2]).permutation(50)
    np.testing.assert_array_equal(epoch_order(50, 4, 2, shuffle=True), expected)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_without_shuffle_images_come_as_they_lie(epoch):
    """In every epoch, whatever the seed."""
    np.testing.assert_array_equal(epoch_order(5, 9, epoch, shuffle=False), range(5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_are_read_in_the_order_asked_for(make_split, dtype):
    """Rows of the split and not of the file, repeated ones too, and a white pixel at the end."""
    split = make_split(10)
    samples = np.array([9, 0, 3, 3])
    pixels = PixelReader(split, 8, dtype).read(samples).P
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels[:, :-1], split.images[split.rows[samples]])
    np.testing.assert_array_equal(pixels[:, -1], 255)


def test_a_reader_may_be_asked_for_few_and_then_for_many(make_split):
    """What it read before leaves no trace."""
    split = make_split(10)
    reader = PixelReader(split, 6, "float64")
    for samples in (np.arange(6), np.array([7]), np.array([], dtype=np.intp), np.arange(4, 10)):
        pixels = reader.read(samples).P
        np.testing.assert_array_equal(pixels[:, :-1], split.images[split.rows[samples]])
        np.testing.assert_array_equal(pixels[:, -1], 255)


def test_two_readers_of_a_split_have_buffers_of_their_own(make_split):
    """Threads read side by side."""
    split = make_split(10)
    one, two = (PixelReader(split, 3, "float64") for _ in range(2))
    first = one.read(np.array([0, 1])).P
    before = first.copy()
    two.read(np.array([2, 3]))
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_buffer_takes_images_of_fewer_pixels_too(order):
    """Of any size up to its own, one after the other; pixels lie in memory as images do."""
    buffer = PixelBuffer(4, 5, "float32")
    for shape in ((4, 5), (2, 3), (4, 0), (3, 5)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        pixels = buffer.fill(np.asarray(images, order=order))
        assert pixels.flags[f"{order}_CONTIGUOUS"] or images.size == 0
        np.testing.assert_array_equal(pixels[:, :-1], images)
        np.testing.assert_array_equal(pixels[:, -1], 255)


def test_memory_mapped_images_are_read_alike(make_split, tmp_path):
    """Raw files are never loaded as a whole."""
    split = make_split(10)
    split.images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", np.uint8, mode="r", shape=split.images.shape)
    samples = np.arange(9, -1, -1)
    expected = PixelReader(split, 10, "float32").read(samples).P
    found = PixelReader(replace(split, images=mapped), 10, "float32").read(samples).P
    np.testing.assert_array_equal(found, expected)
