"""The benchmarks: all trainers do the same work."""

from dataclasses import replace

import pytest

from benchmarks import floor
from benchmarks.trainers import mnistlin_stack, plain_numpy
from benchmarks.workloads import all_workloads


@pytest.fixture(params=["softmax", "binary"])
def workload(request):
    """Return two epochs of a workload on the bundled digits."""
    whole = all_workloads("mnist-5k")[request.param]
    training = whole.config.training.model_copy(update={"epochs": 2})
    return replace(whole, config=whole.config.model_copy(update={"training": training}))


def test_plain_numpy_comes_to_our_accuracies(workload):
    """And so do the others, as their tables show."""
    ours, plain = mnistlin_stack.train(workload), plain_numpy.train(workload)
    assert ours.train_accuracy == pytest.approx(plain.train_accuracy, abs=1e-3)
    assert ours.val_accuracy == pytest.approx(plain.val_accuracy, abs=1e-3)


def test_a_model_has_as_many_outputs_as_its_head_needs(workload):
    """More would change no accuracy, only the time of the other trainers."""
    assert workload.n_outputs == (10 if workload.config.model == "softmax" else 1)


def test_a_step_and_its_floors_are_timed(workload):
    """Also where the one pixel of all images is black."""
    assert all(each > 0 for each in floor.microseconds(workload, n_steps=5))
