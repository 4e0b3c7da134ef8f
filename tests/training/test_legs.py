"""How a trail is judged: where it ends, and what is kept of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import EarlyStoppingConfig
from mnistlin.training.segments import MAX_LOSS, Check, MemberState, Trail, judge

START = 10
GOOD = Check(
    step=0,
    epoch=0,
    train_loss=0.5,
    train_accuracy=0.8,
    val_loss=0.6,
    val_accuracy=0.7,
    l2_penalty=0.1,
    weight_norm=1.0,
    checks_without_improvement=0,
)
BEYOND = [math.nan, math.inf, math.nextafter(MAX_LOSS, math.inf)]


def trail(val_losses, batch_losses=None):
    """Return the trail of a leg that has a check after every step, from step START on.

    The snapshot of the i-th check holds nothing but i, so that it can be recognised.
    """
    n = len(val_losses)
    checks = [GOOD._replace(step=START + i, val_loss=loss) for i, loss in enumerate(val_losses)]
    snapshots = np.arange(n, dtype=float)[:, None, None] * np.ones((n, 1, 2))
    losses = np.full(n, 0.5) if batch_losses is None else np.array(batch_losses, dtype=float)
    return Trail(range(START, START + n), losses, checks, snapshots, np.full((1, 2), 99.0))


def judged(a_trail, state=None, patience=None, min_delta=0.0, is_last=False):
    """Judge a trail, from zero weights if no state is given."""
    stopping = patience and EarlyStoppingConfig(patience=patience, min_delta=min_delta)
    state = state or MemberState.at_zero((1, 2), "float64")
    return judge(0, state, a_trail, stopping, is_last=is_last)


def kept(leg):
    """Return the number of rows kept of both tables, and which snapshots are last and best."""
    return len(leg.checks), len(leg.batch_losses), leg.state.last[0, 0], leg.state.best[0, 0]


def test_a_sound_trail_is_kept_whole():
    """All rows, the last snapshot, and the one with the lowest validation loss."""
    leg = judged(trail([3, 1, 2]))
    assert kept(leg) == (3, 3, 2, 1)
    assert (leg.outcome, leg.steps) == (None, range(10, 13))
    assert leg.state.weights[0, 0] == 99
    assert leg.state.best_loss == 1


def test_the_last_leg_finishes():
    """If nothing else ended it."""
    assert judged(trail([3, 1, 2]), is_last=True).outcome == "finished"


@pytest.mark.parametrize("is_last", [False, True])
def test_early_stopping_cuts_back_to_the_check_that_ended_it(is_last):
    """What was trained after it leaves no row and no weights; in the last leg too."""
    leg = judged(trail([1, 2, 2, 0, 0]), patience=2, is_last=is_last)
    assert kept(leg) == (3, 3, 2, 0)
    assert leg.outcome == "early_stopped"
    assert [check.checks_without_improvement for check in leg.checks] == [0, 1, 2]


def test_patience_goes_on_over_the_end_of_a_leg():
    """The state carries the count, and the best loss."""
    first = judged(trail([1, 2]), patience=3)
    second = judged(trail([2, 2, 2]), state=first.state, patience=3)
    assert (len(second.checks), second.outcome) == (2, "early_stopped")
    assert second.state.best is first.state.best


def test_checks_without_improvement_are_counted_without_early_stopping_too():
    """A column of metrics.csv from which stopping can be judged afterwards."""
    leg = judged(trail([1, 2, 3, 0]))
    assert [check.checks_without_improvement for check in leg.checks] == [0, 1, 2, 0]


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=12), st.floats(0, 5))
def test_best_is_the_first_of_the_lowest_losses_whatever_min_delta(losses, min_delta):
    """`min_delta` decides when to stop, never which weights are best."""
    leg = judged(trail(losses), patience=100, min_delta=min_delta)
    assert kept(leg)[3] == losses.index(min(losses))


def test_a_better_check_of_an_earlier_leg_stays_the_best():
    """And one that is equal does not replace it."""
    first = judged(trail([1, 2]))
    second = judged(trail([1, 2]), state=first.state)
    assert second.state.best is first.state.best


@pytest.mark.parametrize("loss", BEYOND)
def test_a_bad_batch_loss_ends_training_before_its_row(loss):
    """Rows and weights before it are kept, none from it on."""
    leg = judged(trail([3, 1, 2, 2], [0.5, 0.5, loss, 0.5]), is_last=True)
    assert kept(leg) == (2, 2, 1, 1)
    assert (leg.outcome, leg.steps) == ("diverged", range(10, 12))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("train_loss", value) for value in BEYOND),
        *(("val_loss", value) for value in BEYOND),
        *(("weight_norm", value) for value in (math.nan, math.inf)),
    ],
)
def test_a_bad_check_ends_training_before_its_row(column, value):
    """The batch loss of its step, measured before the update, was still sound and is kept."""
    a_trail = trail([3, 1, 2, 0])
    a_trail.checks[2] = a_trail.checks[2]._replace(**{column: value})
    leg = judged(a_trail, is_last=True)
    assert kept(leg) == (2, 3, 1, 1)
    assert leg.outcome == "diverged"


def test_a_penalty_that_is_not_finite_is_divergence():
    """λ Σ W² can overflow where the norm does not, and tables never hold what is not a number."""
    a_trail = trail([3, 1])
    a_trail.checks[1] = a_trail.checks[1]._replace(l2_penalty=math.inf)
    leg = judged(a_trail)
    assert (len(leg.checks), leg.outcome) == (1, "diverged")


def test_losses_up_to_the_limit_are_sound():
    """A million nats, and not a hair more, is still a loss."""
    a_trail = trail([MAX_LOSS], [MAX_LOSS])
    a_trail.checks[0] = a_trail.checks[0]._replace(train_loss=MAX_LOSS)
    assert judged(a_trail).outcome is None


def test_what_ended_first_counts():
    """A stop before a bad batch is a stop; a bad batch before the stop is divergence."""
    bad_at_3 = [0.5, 0.5, 0.5, math.nan]
    assert judged(trail([1, 2, 2, 2], bad_at_3), patience=2).outcome == "early_stopped"
    assert judged(trail([1, 2, 2, 2], bad_at_3), patience=3).outcome == "diverged"


def test_divergence_before_the_first_check_leaves_zero_weights():
    """There is no better to keep."""
    leg = judged(trail([1, 1], [math.nan, 0.5]))
    assert kept(leg) == (0, 0, 0, 0)
    assert leg.outcome == "diverged"


def test_divergence_keeps_the_last_good_weights_of_the_leg_before():
    """Even if no row of its own leg is kept."""
    first = judged(trail([2, 3]))
    leg = judged(trail([1, 1], [math.nan, 0.5]), state=first.state)
    assert leg.state.last is first.state.last
    assert leg.state.best is first.state.best
    assert len(leg.steps) == len(leg.batch_losses) == 0


def test_a_state_has_its_weights_to_itself():
    """Views would keep every snapshot of every leg in memory for as long as the state."""
    state = judged(trail([2, 1, 3])).state
    assert all(array.base is None for array in (state.weights, state.last, state.best))
