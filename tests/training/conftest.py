"""What the tests of the trainer share."""

from dataclasses import replace

import pytest


@pytest.fixture
def dark_split(make_split):
    """Return a split of which some pixels are black, in all images or in those of one class."""
    whole = make_split(60, 3)
    images = whole.images.copy()
    images[:, 5] = 0
    images[whole.rows[whole.targets == 1], 7] = 0
    return replace(whole, images=images)
