"""When training has gone on long enough."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.training.segments import Stopper


def stop_index(losses, patience, min_delta=0.0):
    """Return at which of the checks training stops, or None."""
    stopper = Stopper()
    for i, loss in enumerate(losses):
        stopper = stopper.after(loss, min_delta)
        if stopper.is_out_of(patience):
            return i
    return None


@pytest.mark.parametrize("patience", [1, 2, 10])
def test_training_stops_at_exactly_the_check_that_exhausts_patience(patience):
    """With patience 10 at the tenth check in a row without gain, not at the ninth or eleventh."""
    losses = [1.0] + [2.0] * 20
    assert stop_index(losses, patience) == patience


def test_an_equal_loss_is_no_improvement():
    """Only a lower one is."""
    assert stop_index([1.0, 1.0], patience=1) == 1
    assert stop_index([1.0, math.nextafter(1.0, 0.0)], patience=1) is None


def test_an_improvement_starts_the_count_again():
    """Checks without gain must stand in a row."""
    assert stop_index([5, 6, 6, 4, 6, 6, 6], patience=3) == 6


def test_a_gain_of_min_delta_or_less_is_none():
    """It must be more; the best loss then stays, so that many small gains add up to one."""
    assert stop_index([1.0, 0.75], patience=1, min_delta=0.25) == 1
    assert stop_index([1.0, 0.7], patience=1, min_delta=0.25) is None
    assert stop_index([1.0, 0.9, 0.8, 0.7], patience=3, min_delta=0.25) is None


def test_the_first_check_improves_on_nothing():
    """Whatever its loss and min_delta."""
    assert Stopper().after(1e5, min_delta=1e3) == Stopper(1e5, 0)


@given(
    st.lists(st.integers(0, 8).map(float), max_size=40),
    st.integers(1, 5),
    st.sampled_from([0, 1, 2]),
)
def test_the_rule_is_the_one_that_the_report_states(losses, patience, min_delta):
    """Judged by the losses as a whole, instead of one after the other."""

    def improves(i):
        marks = [math.inf]
        for loss in losses[:i]:
            if loss < marks[-1] - min_delta:
                marks.append(loss)
        return losses[i] < marks[-1] - min_delta

    gains = [improves(i) for i in range(len(losses))]
    runs = [i for i in range(patience - 1, len(gains)) if not any(gains[i - patience + 1 : i + 1])]
    assert stop_index(losses, patience, min_delta) == (runs[0] if runs else None)
