"""Which steps, checks and segments a run has, and which setups are refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config import TrainingConfig
from mnistlin.errors import ConfigError
from mnistlin.training.schedule import _IMAGES_PER_SEGMENT, Schedule

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
def test_segments_cover_all_epochs_in_order(drawn):
    """Each once, none empty, and their steps follow one another."""
    schedule, training, _, _ = drawn
    segments = list(schedule.segments(0))
    assert [epoch for segment in segments for epoch in segment] == list(range(training.epochs))
    assert schedule.has_several_segments == (len(segments) > 1)
    steps = [step for segment in segments for step in schedule.steps(segment)]
    assert steps == list(range(training.epochs * schedule.steps_per_epoch))


@given(schedules())
def test_every_segment_has_a_check(drawn):
    """Otherwise there would be nothing to judge, and nothing to show."""
    schedule, *_ = drawn
    assert all(schedule.checks(schedule.steps(segment)) for segment in schedule.segments(0))


@given(schedules())
def test_a_segment_is_one_epoch_where_early_stopping_waits_for_it(drawn):
    """So that a stop costs an epoch at most."""
    schedule, _, _, stops_early = drawn
    if stops_early:
        assert all(len(segment) == 1 for segment in schedule.segments(0))


@given(schedules())
def test_segments_of_a_resumed_run_are_those_of_the_uninterrupted_one(drawn):
    """From the first epoch of any segment on."""
    schedule, *_ = drawn
    segments = list(schedule.segments(0))
    for i, segment in enumerate(segments):
        assert list(schedule.segments(segment.start)) == segments[i:]


@pytest.mark.parametrize("n_samples", [10_000, 60_000, 1_000_000, 100_000_000])
def test_a_segment_is_short_enough_to_be_interrupted(n_samples):
    """It trains on about _IMAGES_PER_SEGMENT images, or on one epoch."""
    schedule = Schedule.of(TrainingConfig(epochs=1000), n_samples, n_rows=1, stops_early=False)
    assert (
        schedule.epochs_per_segment == 1
        or schedule.epochs_per_segment * n_samples <= 1.5 * _IMAGES_PER_SEGMENT
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


def test_a_batch_as_large_as_the_training_set_is_one_step(make_setup):
    """And a larger one is refused, since there would be none."""
    schedule = make_setup(batch_size=40).schedule
    assert (schedule.steps_per_epoch, schedule.check_every) == (1, 1)
    with pytest.raises(ConfigError, match=r"training\.batch_size: found 41.* 40 images"):
        make_setup(batch_size=41)


@pytest.mark.parametrize(
    ("head", "classes", "message"),
    [
        ("softmax", (3,), "only the class 3; a classifier needs at least two"),
        ("logistic", (1, 2, 7), "found 1, 2, 7, but model: logistic has 2 classes"),
    ],
)
def test_a_setup_whose_classes_do_not_fit_is_refused(
    head, classes, message, make_setup, make_split
):
    split = replace(make_split(40, len(classes)), classes=classes)
    with pytest.raises(ConfigError, match=message):
        make_setup(head, splits=(split, split))
