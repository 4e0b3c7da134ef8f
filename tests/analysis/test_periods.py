"""Periods: one by the config, one by the table, each without a look at the other."""

import numpy as np
import pytest
from scipy.signal import lfilter

from mnistlin import RunError
from mnistlin.analysis.periods import (
    MIN_CORRELATION,
    loss_by_position,
    measure_period,
    predict_period,
)
from mnistlin.config import TrainingConfig

N_TRAIN = 4005
"""Images of 2 and 3 in the report's training set."""


def training(**settings):
    """Return the report's settings, with some changed."""
    return TrainingConfig(**{"shuffle": False, "batch_size": 128, **settings})


def with_dips(lag, n=311, depth=0.02, noise=0.001, seed=0):
    """Return accuracies that dip every `lag` checks, with some noise."""
    accuracy = 0.97 + noise * np.random.default_rng(seed).standard_normal(n)
    accuracy[::lag] -= depth
    return accuracy


class TestPrediction:
    """By batch size and number of images alone."""

    @pytest.mark.parametrize(
        ("batch_size", "expected"),
        [(128, (31, 6, 186)), (100, (40, 8, 40)), (64, (62, 12, 372)), (150, (26, 5, 130))],
    )
    def test_a_check_meets_the_same_batch_when_both_counts_come_round(self, batch_size, expected):
        """Steps an epoch, steps a check, and their least common multiple."""
        found = predict_period(training(batch_size=batch_size), N_TRAIN)
        assert (found.steps_per_epoch, found.check_every, found.period) == expected

    def test_shuffled_batches_never_come_back(self):
        """No period."""
        assert predict_period(training(shuffle=True), N_TRAIN).period is None

    def test_where_every_check_follows_the_same_batch_nothing_goes_up_and_down(self):
        """With one check an epoch."""
        assert predict_period(training(checks_per_epoch=1), N_TRAIN).period is None


class TestMeasurement:
    """By the accuracies alone."""

    @pytest.mark.parametrize("lag", [2, 5, 26, 31, 60])
    def test_regular_dips_are_found(self, made_up, lag):
        """Their distance is the period, and no multiple of it."""
        found = measure_period(made_up(with_dips(lag), spacing=6))
        assert (found.lag, found.period) == (lag, 6 * lag)
        assert found.highest_correlation > 0.8

    def test_it_does_not_look_at_the_config(self, made_up):
        """The config says 186 steps, the table says 42."""
        run = made_up(with_dips(7), spacing=6)
        assert predict_period(run.config.training, N_TRAIN).period == 186
        assert measure_period(run).period == 42

    def test_noise_has_no_period(self, made_up):
        """Its highest correlation is far below one half."""
        found = measure_period(made_up(with_dips(31, depth=0)))
        assert found.period is None
        assert found.highest_correlation < MIN_CORRELATION

    def test_a_constant_has_no_period(self, made_up):
        """There is nothing that could repeat."""
        assert measure_period(made_up(np.full(311, 0.97))).period is None

    def test_a_slow_rise_is_no_period(self, made_up):
        """It is subtracted with the running mean."""
        rise = np.linspace(0, 0.1, 311)
        assert measure_period(made_up(with_dips(31, depth=0) + rise)).period is None
        assert measure_period(made_up(with_dips(31) + rise)).period == 186

    def test_the_wild_beginning_is_left_out(self, made_up):
        """Its 31 checks would drown all that follows."""
        accuracy = with_dips(31)
        accuracy[:31] = np.linspace(0, 0.9, 31)
        assert measure_period(made_up(accuracy)).period == 186

    def test_the_check_after_the_last_step_need_not_fit_in(self, made_up):
        """It comes whenever training ends."""
        run = made_up(with_dips(31))
        for name, value in (("step", run.metrics["step"][-1] + 1), ("val_accuracy", 0.1)):
            run.metrics[name] = np.append(run.metrics[name], value)
        assert measure_period(run).period == 186

    def test_gaps_between_checks_are_refused(self, made_up):
        """Distances in checks would mean nothing."""
        run = made_up(with_dips(31))
        for name in run.metrics:
            run.metrics[name] = np.delete(run.metrics[name], 100)
        with pytest.raises(RunError, match="not evenly spaced"):
            measure_period(run)

    @pytest.mark.parametrize("n", [0, 1, 180])
    def test_too_few_checks_are_refused(self, made_up, n):
        """The message says how many it takes, and so many are enough."""
        with pytest.raises(RunError, match=f"{n} checks are too few .* 181 or more"):
            measure_period(made_up(with_dips(5, n)))
        assert measure_period(made_up(with_dips(5, 181))).lag == 5

    def test_the_deepest_dips_are_where_they_were_put(self, made_up):
        """In steps, in order."""
        found = measure_period(made_up(with_dips(31)))
        assert (found.deepest_dips() % 186 == 0).all()
        assert (np.diff(found.deepest_dips()) > 0).all()

    @pytest.mark.parametrize("window", [3, 10, 31])
    def test_a_slow_drift_has_no_period(self, made_up, window):
        """Neighbouring checks are alike, but nothing repeats, however slow the drift."""
        rng = np.random.default_rng(window)
        noise = rng.standard_normal(311 + window - 1)
        accuracy = 0.97 + 0.001 * np.convolve(noise, np.ones(window), mode="valid")
        assert measure_period(made_up(accuracy, spacing=31)).period is None

    @pytest.mark.parametrize(
        ("n", "average", "persistence"),
        [(181, 1, 0.0), (181, 1, 0.9), (181, 10, 0.0), (181, 45, 0.0), (311, 1, 0.97)],
    )
    def test_at_most_one_in_twenty_runs_without_a_period_shows_one(
        self, made_up, n, average, persistence
    ):
        """Over 200 series of noise, of its moving averages, and of noise that persists.

        Of those tried, a moving average of 10 checks, in the shortest run, is the worst: 3.8 %.
        """
        rng = np.random.default_rng([n, average, int(100 * persistence)])
        noise = rng.standard_normal((200, n + 100))
        series = lfilter(np.ones(average), [1.0, -persistence], noise)[:, 100:]
        found = [measure_period(made_up(0.9 + 0.001 * each)).lag for each in series]
        assert sum(lag is not None for lag in found) <= 10

    def test_noise_has_hardly_any_dips(self, made_up):
        rng = np.random.default_rng(1)
        found = [measure_period(made_up(rng.normal(0.97, 0.001, 311))) for _ in range(100)]
        assert sum(len(each.deepest_dips()) > 0 for each in found) <= 5


class TestLossByPosition:
    """Batch losses by their position in the epoch, without their trend."""

    def test_a_falling_loss_alone_makes_no_difference_between_positions(self, made_up):
        """An exponential fall over 40 epochs of 7 steps."""
        found = loss_by_position(made_up(batch_losses=np.exp(-np.arange(280) / 100)), 7)
        assert np.ptp(found.mean) < 1e-3

    @pytest.mark.parametrize("length", [2, 3, 6, 7])
    def test_a_position_with_a_higher_loss_is_found(self, made_up, length):
        """The last one, by 1 nat, whatever the trend."""
        losses = 0.01 * np.arange(40 * length) + (np.arange(40 * length) % length == length - 1)
        found = loss_by_position(made_up(batch_losses=losses), length)
        assert found.mean.argmax() == length - 1
        assert np.ptp(found.mean) == pytest.approx(1, abs=0.1)
        assert found.p_value < 1e-6

    def test_positions_without_a_difference_seldom_differ_by_more_than_chance(self, made_up):
        rng = np.random.default_rng(0)
        runs = (made_up(batch_losses=rng.normal(size=20 * 8) - np.arange(160)) for _ in range(200))
        assert sum(loss_by_position(run, 8).p_value < 0.05 for run in runs) <= 18

    def test_two_epochs_are_too_few(self, made_up):
        with pytest.raises(RunError, match="four whole epochs"):
            loss_by_position(made_up(batch_losses=np.ones(6)), 3)
