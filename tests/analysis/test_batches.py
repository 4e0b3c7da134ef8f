"""Hard batches are found, and what is in them."""

import numpy as np
import pytest

from mnistlin import RunError
from mnistlin.analysis.dips import hard_batches, loss_by_position


def test_losses_are_averaged_by_their_place_in_the_epoch(made_up):
    """Over whole epochs, without the first."""
    epochs = [[9.0, 9.0, 9.0], [1.0, 2.0, 3.0], [3.0, 4.0, 9.0]]
    run = made_up(batch_losses=[*np.ravel(epochs), 7.0])
    found = loss_by_position(run, 3)
    assert found.n_epochs == 2
    np.testing.assert_allclose(found.mean, [2, 3, 6])
    np.testing.assert_allclose(found.error, [1, 1, 3])
    assert found.hardest() == [2, 1, 0]


def test_two_epochs_are_too_few(made_up):
    """There is nothing to average."""
    with pytest.raises(RunError, match="three whole epochs"):
        loss_by_position(made_up(batch_losses=np.ones(6)), 3)


def test_the_batches_of_an_unshuffled_run_are_its_images_in_order(train_tiny):
    """Batch p has images p B to (p + 1) B - 1, the hardest first, and is counted by class."""
    run = train_tiny("logistic", shuffle=False, epochs=5, batch_size=8)
    n_positions = int((run.steps["epoch"] == 0).sum())
    losses = loss_by_position(run, n_positions)
    found = hard_batches(run, losses)
    assert [batch.position for batch in found.batches] == losses.hardest()
    for batch in found.batches:
        expected = np.arange(8) + 8 * batch.position
        np.testing.assert_array_equal(np.sort(batch.samples), expected)
        classes = found.train.targets[batch.samples]
        np.testing.assert_array_equal(batch.counts, [(classes == k).sum() for k in (0, 1)])
        assert batch.mean_loss == losses.mean[batch.position]
    assert found.counts.sum() == found.train.n_samples
