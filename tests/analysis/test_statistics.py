"""Means, intervals and corrections, against SciPy and against a textbook's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnistlin.analysis.statistics import Mean, holm, t_interval

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_the_spread_of_a_sample_is_divided_by_n_minus_1():
    """2, 4, 4, 4, 5, 5, 7, 9 has the sum of squares 32 about its mean 5."""
    found = Mean.of([2, 4, 4, 4, 5, 5, 7, 9])
    assert found.mean == 5
    assert found.sd == pytest.approx(np.sqrt(32 / 7))


def test_one_value_has_no_spread():
    """It is not 0 but unknown."""
    assert Mean.of([3.5]) == Mean(3.5, None)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_of_differences_is_that_of_scipys_paired_test(n):
    """Ends and p-value."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(0.5, size=n)
    expected = stats.ttest_rel(a, b)
    found = t_interval(a - b)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_the_interval_holds_the_true_mean_95_times_in_100():
    """Of samples of 3, over 1,000 draws; three standard errors are 2 %."""
    rng = np.random.default_rng(0)
    intervals = [t_interval(sample) for sample in rng.normal(1.0, 2.0, (1000, 3))]
    share = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert share == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("values", [[1.0], [0.25, 0.25, 0.25], [0.1 + 0.2, 0.3]])
def test_without_spread_there_is_no_interval(values):
    """One value, or several that are equal but for rounding."""
    assert t_interval(values) is None


def test_holms_correction_of_an_example():
    """0.01 · 4, 0.02 · 3, 0.03 · 2 (not below the one before), 0.04 · 1 (likewise)."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(probabilities)
def test_holm_is_between_no_correction_and_bonferronis(p_values):
    """It keeps the order of the p-values and stays a probability."""
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        assert p <= found <= min(1, len(p_values) * p)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
