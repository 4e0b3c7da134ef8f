"""Which steps, checks and legs a run has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import TrainingConfig
from mnistlin.errors import ConfigError
from mnistlin.training.schedule import IMAGES_PER_LEG, Schedule

small_counts = st.integers(1, 60)


@st.composite
def schedules(draw):
    """Draw a schedule, and the config and number of images that it is made of."""
    training = TrainingConfig(
        epochs=draw(small_counts),
        batch_size=draw(small_counts),
        checks_per_epoch=draw(small_counts),
    )
    n_samples = training.batch_size + draw(st.integers(0, 500))
    n_rows, stops_early = draw(st.integers(1, 300)), draw(st.booleans())
    schedule = Schedule.of(training, n_samples, n_rows, stops_early=stops_early)
    return schedule, training, n_samples, stops_early


@given(schedules())
def test_an_epoch_has_as_many_steps_as_whole_batches(drawn):
    """The incomplete last batch is dropped."""
    schedule, training, n_samples, _ = drawn
    left_over = n_samples - schedule.steps_per_epoch * training.batch_size
    assert 0 <= left_over < training.batch_size


@given(schedules())
def test_checks_come_after_multiples_and_after_the_last_step(drawn):
    """Multiples of steps_per_epoch // checks_per_epoch, counted over the whole run."""
    schedule, training, _, _ = drawn
    n_steps = schedule.epochs * schedule.steps_per_epoch
    every = max(1, schedule.steps_per_epoch // training.checks_per_epoch)
    expected = {*range(0, n_steps, every), n_steps - 1}
    assert schedule.checks(range(n_steps)) == sorted(expected)


@given(schedules())
def test_legs_cover_all_epochs_in_order(drawn):
    """Each once, none empty, and their steps follow one another."""
    schedule, training, _, _ = drawn
    legs = list(schedule.legs(0))
    assert [epoch for leg in legs for epoch in leg] == list(range(training.epochs))
    assert schedule.has_several_legs == (len(legs) > 1)
    steps = [step for leg in legs for step in schedule.steps(leg)]
    assert steps == list(range(training.epochs * schedule.steps_per_epoch))


@given(schedules())
def test_every_leg_has_a_check(drawn):
    """Otherwise there would be nothing to judge, and nothing to show."""
    schedule, *_ = drawn
    assert all(schedule.checks(schedule.steps(leg)) for leg in schedule.legs(0))


@given(schedules())
def test_a_leg_is_one_epoch_where_early_stopping_waits_for_it(drawn):
    """So that a stop costs an epoch at most."""
    schedule, _, _, stops_early = drawn
    if stops_early:
        assert all(len(leg) == 1 for leg in schedule.legs(0))


@given(schedules())
def test_legs_of_a_resumed_run_are_those_of_the_unbroken_one(drawn):
    """From any first epoch of a leg on."""
    schedule, *_ = drawn
    legs = list(schedule.legs(0))
    for i, leg in enumerate(legs):
        assert list(schedule.legs(leg.start)) == legs[i:]


@pytest.mark.parametrize("n_samples", [10_000, 60_000, 1_000_000, 100_000_000])
def test_a_leg_is_short_enough_to_be_interrupted(n_samples):
    """It trains on about IMAGES_PER_LEG images, or on one epoch."""
    schedule = Schedule.of(TrainingConfig(epochs=1000), n_samples, n_rows=1, stops_early=False)
    assert (
        schedule.epochs_per_leg == 1 or schedule.epochs_per_leg * n_samples <= 1.5 * IMAGES_PER_LEG
    )


@pytest.mark.parametrize(
    ("n_samples", "epochs", "steps_per_epoch", "n_checks"),
    [(20_000, 50, 156, 253), (4005, 1, 31, 6)],
)
def test_the_runs_of_the_report(n_samples, epochs, steps_per_epoch, n_checks):
    """Softmax has 253 checks, the last after its last step; an epoch of 2-vs-3 has 31 steps."""
    training = TrainingConfig(epochs=epochs, batch_size=128)
    schedule = Schedule.of(training, n_samples, n_rows=10, stops_early=False)
    checks = schedule.checks(schedule.steps(range(epochs)))
    assert (schedule.steps_per_epoch, len(checks)) == (steps_per_epoch, n_checks)
    assert checks[-1] == epochs * steps_per_epoch - 1


def test_a_batch_as_large_as_the_training_set_is_one_step():
    """And a larger one is refused, since there would be none."""
    schedule = Schedule.of(TrainingConfig(batch_size=40), 40, n_rows=1, stops_early=False)
    assert (schedule.steps_per_epoch, schedule.check_every) == (1, 1)
    with pytest.raises(ConfigError, match=r"training\.batch_size: found 41.* 40 images"):
        Schedule.of(TrainingConfig(batch_size=41), 40, n_rows=1, stops_early=False)
