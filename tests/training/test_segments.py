"""What becomes a segment: where training ends, and what is kept."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import EarlyStoppingConfig
from mnistlin.training.evaluation import Score
from mnistlin.training.segments import MAX_LOSS, EarlyStoppingState, MemberState, segments_of
from mnistlin.training.sgd import Stack

BEYOND = [math.nan, math.inf, math.nextafter(MAX_LOSS, math.inf)]


@pytest.fixture(scope="module")
def segment_of(make_setup, make_split):
    """Return a function that returns a segment of one member, which has a check after every step.

    The segment is the second of the run. Every weight of its i-th snapshot is i, so that it can be
    recognised in the state.
    """

    def one(
        val_losses,
        batch_losses=None,
        state=None,
        patience=None,
        min_delta=0.0,
        l2_lambda=0.0,
        is_last=False,
        **columns,
    ):
        n = len(val_losses)
        setup = make_setup(
            "logistic",
            (l2_lambda,),
            patience and EarlyStoppingConfig(patience=patience, min_delta=min_delta),
            splits=(make_split(5 * n), make_split(5)),
            batch_size=5,
            epochs=2 if is_last else 3,
            checks_per_epoch=n,
        )
        score = {"train_loss": np.full(n, 0.5), **columns}
        shape = setup.weights_shape[::-1]
        snapshots = np.arange(float(n))[:, None, None, None] * np.ones((n, 1, *shape))
        snapshots += columns.get("weight", np.zeros(n))[:, None, None, None]
        state = state or MemberState.at_zero(setup.weights_shape, "float64")
        recording = replace(
            Stack(setup, state, first_epoch=1).train(range(1, 2)),
            batch_losses=np.array([batch_losses or np.full(n, 0.5)], dtype=float),
            snapshots=snapshots,
            weights=np.full((1, *shape), 99.0),
        )
        measured = Score(
            np.array([score["train_loss"], val_losses], dtype=float), np.full((2, n), 0.8)
        )
        (segment,) = segments_of(setup, recording, measured, {0: state})
        return segment

    return one


def kept(segment):
    """Return the number of rows kept of both tables, and which snapshots are last and best."""
    state = segment.state
    return len(segment.checks), len(segment.batch_losses), state.last[0, 0], state.best[0, 0]


def changed(n, at, value, default=0.0):
    """Return n equal numbers but for one."""
    numbers = np.full(n, default)
    numbers[at] = value
    return numbers


def test_a_sound_segment_is_kept_whole(segment_of):
    segment = segment_of([3, 1, 2])
    assert kept(segment) == (3, 3, 2, 1)
    assert (segment.outcome, segment.steps) == (None, range(3, 6))
    assert segment.state.weights[0, 0] == 99
    assert segment.state.best_loss == 1


def test_the_last_segment_finishes_if_nothing_else_ended_training(segment_of):
    assert segment_of([3, 1, 2], is_last=True).outcome == "finished"


@pytest.mark.parametrize("is_last", [False, True])
def test_early_stopping_cuts_back_to_the_check_that_ended_it(is_last, segment_of):
    segment = segment_of([1, 2, 2, 0, 0], patience=2, is_last=is_last)
    assert kept(segment) == (3, 3, 2, 0)
    assert segment.outcome == "early_stopped"
    assert [check.checks_without_improvement for check in segment.checks] == [0, 1, 2]


def test_patience_continues_over_the_end_of_a_segment(segment_of):
    first = segment_of([1, 2], patience=3)
    second = segment_of([2, 2, 2], state=first.state, patience=3)
    assert (len(second.checks), second.outcome) == (2, "early_stopped")
    assert second.state.best is first.state.best


def test_checks_without_improvement_are_counted_without_early_stopping_too(segment_of):
    segment = segment_of([1, 2, 3, 0])
    assert [check.checks_without_improvement for check in segment.checks] == [0, 1, 2, 0]


@given(
    losses=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=8),
    min_delta=st.floats(0, 5),
)
def test_best_is_the_first_of_the_lowest_losses_whatever_min_delta(segment_of, losses, min_delta):
    """`min_delta` decides when to stop, never which weights are best."""
    segment = segment_of(losses, patience=100, min_delta=min_delta)
    assert kept(segment)[3] == losses.index(min(losses))


def test_an_equal_check_of_a_later_segment_does_not_replace_the_best(segment_of):
    first = segment_of([1, 2])
    second = segment_of([1, 2], state=first.state)
    assert second.state.best is first.state.best


@pytest.mark.parametrize("loss", BEYOND)
def test_a_bad_batch_loss_ends_training_before_its_row(loss, segment_of):
    segment = segment_of([3, 1, 2, 2], [0.5, 0.5, loss, 0.5], is_last=True)
    assert kept(segment) == (2, 2, 1, 1)
    assert (segment.outcome, segment.steps) == ("diverged", range(4, 6))


@pytest.mark.parametrize("loss", BEYOND)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_bad_check_ends_training_before_its_row(split, loss, segment_of):
    """The batch loss of its step, measured before the update, was still sound and is kept."""
    if split == "val":
        segment = segment_of([3, 1, loss, 0], is_last=True)
    else:
        segment = segment_of([3, 1, 2, 0], is_last=True, train_loss=changed(4, 2, loss, 0.5))
    assert kept(segment) == (2, 3, 1, 1)
    assert segment.outcome == "diverged"


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_norm_that_is_not_finite_is_divergence(weight, segment_of):
    segment = segment_of([3, 1, 2, 0], weight=changed(4, 2, weight))
    assert (len(segment.checks), segment.outcome) == (2, "diverged")


def test_a_penalty_that_is_not_finite_is_divergence(segment_of):
    """λ Σ W² can overflow where the norm does not."""
    segment = segment_of([3, 1], l2_lambda=1e300, weight=changed(2, 1, 1e10))
    assert (len(segment.checks), segment.outcome) == (1, "diverged")


def test_losses_up_to_the_limit_are_sound(segment_of):
    segment = segment_of([MAX_LOSS], [MAX_LOSS], train_loss=np.array([MAX_LOSS]))
    assert segment.outcome is None


def test_what_ended_training_first_counts(segment_of):
    """A stop before a bad batch is a stop; a bad batch before the stop is divergence."""
    bad_at_3 = [0.5, 0.5, 0.5, math.nan]
    assert segment_of([1, 2, 2, 2], bad_at_3, patience=2).outcome == "early_stopped"
    assert segment_of([1, 2, 2, 2], bad_at_3, patience=3).outcome == "diverged"


def test_divergence_before_the_first_check_leaves_zero_weights(segment_of):
    segment = segment_of([1, 1], [math.nan, 0.5])
    assert kept(segment) == (0, 0, 0, 0)
    assert segment.outcome == "diverged"


def test_divergence_keeps_the_last_good_weights_of_the_segment_before(segment_of):
    first = segment_of([2, 3])
    segment = segment_of([1, 1], [math.nan, 0.5], state=first.state)
    assert segment.state.last is first.state.last
    assert segment.state.best is first.state.best
    assert len(segment.steps) == len(segment.batch_losses) == 0


def stop_index(losses, patience, min_delta=0.0):
    """Return at which of the checks training stops, or None."""
    stopper = EarlyStoppingState()
    for i, loss in enumerate(losses):
        stopper = stopper.after(loss, min_delta)
        if stopper.should_stop(patience):
            return i
    return None


@pytest.mark.parametrize("patience", [1, 2, 10])
def test_training_stops_at_exactly_the_check_that_exhausts_patience(patience):
    """With patience 10 at the tenth check in a row, not at the ninth or eleventh."""
    losses = [1.0] + [2.0] * 20
    assert stop_index(losses, patience) == patience


def test_an_equal_loss_is_no_improvement():
    """Only a lower one is."""
    assert stop_index([1.0, 1.0], patience=1) == 1
    assert stop_index([1.0, math.nextafter(1.0, 0.0)], patience=1) is None


def test_an_improvement_starts_the_count_again():
    """Only checks in a row count."""
    assert stop_index([5, 6, 6, 4, 6, 6, 6], patience=3) == 6


def test_a_gain_of_min_delta_or_less_is_none():
    """The best loss then stays, so that many small gains add up to one."""
    assert stop_index([1.0, 0.75], patience=1, min_delta=0.25) == 1
    assert stop_index([1.0, 0.7], patience=1, min_delta=0.25) is None
    assert stop_index([1.0, 0.9, 0.8, 0.7], patience=3, min_delta=0.25) is None


def test_the_first_check_improves_on_nothing():
    """Whatever its loss and min_delta."""
    assert EarlyStoppingState().after(1e5, min_delta=1e3) == EarlyStoppingState(1e5, 0)


@given(
    st.lists(st.integers(0, 8).map(float), max_size=40),
    st.integers(1, 5),
    st.sampled_from([0, 1, 2]),
)
def test_the_rule_is_the_one_that_the_report_states(losses, patience, min_delta):
    """Stated for all losses at once, not one after the other."""

    def improves(i):
        marks = [math.inf]
        for loss in losses[:i]:
            if loss < marks[-1] - min_delta:
                marks.append(loss)
        return losses[i] < marks[-1] - min_delta

    gains = [improves(i) for i in range(len(losses))]
    runs = [i for i in range(patience - 1, len(gains)) if not any(gains[i - patience + 1 : i + 1])]
    assert stop_index(losses, patience, min_delta) == (runs[0] if runs else None)
