"""Fractions and paired counts, against textbooks, published examples and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnistlin.analysis.statistics import POWER, PairedCounts, proportion_interval

TUBERCLE = PairedCounts(both=20, only_a=12, only_b=2, neither=16)
"""Two media for growing bacteria (Armitage and Berry 1994, p. 127)."""

AIRWAYS = PairedCounts(both=1, only_a=1, only_b=7, neither=12)
"""Airway hyper-responsiveness (Bentur et al. 2009, in Fagerland, Lydersen and Laake 2014)."""

RHEUMATISM = PairedCounts(both=14, only_a=5, only_b=0, neither=22)
"""A worked example of the interval (Altman et al. 2000, Statistics with Confidence, p. 52)."""

counts = st.builds(PairedCounts, *[st.integers(0, 60)] * 4).filter(lambda each: each.n > 0)


class TestProportion:
    """The interval of one fraction."""

    @pytest.mark.parametrize(("n_correct", "n"), [(0, 10), (3, 7), (10, 10), (2000, 2042)])
    def test_at_its_ends_the_tails_have_a_fortieth(self, n_correct, n):
        """So many or more are that rare at the lower end, so many or fewer at the upper one."""
        low, high = proportion_interval(n_correct, n)
        tails = stats.binom.sf(n_correct - 1, n, low), stats.binom.cdf(n_correct, n, high)
        assert low == 0 if n_correct == 0 else tails[0] == pytest.approx(0.025)
        assert high == 1 if n_correct == n else tails[1] == pytest.approx(0.025)

    @pytest.mark.parametrize("n", [10, 1000])
    @pytest.mark.parametrize("fraction", [0.5, 0.916, 0.98, 0.995, 0.999])
    def test_it_holds_every_fraction_with_at_least_95_percent(self, fraction, n):
        """Near 1 too, where an interval by the normal distribution does not; without simulation."""
        numbers = np.arange(n + 1)
        probabilities = stats.binom.pmf(numbers, n, fraction)
        likely = numbers[probabilities > 1e-9]
        ends = [proportion_interval(int(n_correct), n) for n_correct in likely]
        holds = [low <= fraction <= high for low, high in ends]
        assert probabilities[likely][holds].sum() >= 0.95


class TestMcNemar:
    """The exact test on the images that only one gets right."""

    def test_textbook_tables(self):
        """P as printed: 0.0129, and 0.0703."""
        assert TUBERCLE.p_value == pytest.approx(0.0129, abs=5e-5)
        assert AIRWAYS.p_value == pytest.approx(0.0703, abs=5e-5)

    @given(counts)
    def test_it_is_the_binomial_test_of_the_disagreements(self, each):
        """Both tails of fair coins; images on which both agree do not count."""
        n, fewer = each.only_a + each.only_b, min(each.only_a, each.only_b)
        tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
        assert each.p_value == pytest.approx(min(1, 2 * tail))

    def test_without_disagreement_there_is_no_evidence(self):
        """The p-value is 1."""
        assert PairedCounts(30, 0, 0, 3).p_value == 1


class TestInterval:
    """The interval of the difference."""

    def test_published_examples(self):
        """To the digits that are printed."""
        assert AIRWAYS.interval == pytest.approx((-0.507, -0.026), abs=5e-4)
        assert RHEUMATISM.interval == pytest.approx((0.011, 0.226), abs=6e-4)

    @given(counts)
    def test_it_holds_the_difference_and_turns_with_the_runs(self, each):
        """B against A is minus A against B."""
        low, high = each.interval
        assert low - 1e-12 <= each.difference <= high + 1e-12
        turned = PairedCounts(each.both, each.only_b, each.only_a, each.neither)
        assert turned.interval == pytest.approx((-high, -low))

    def test_it_covers_the_truth_as_often_as_it_says(self):
        """In 95 % of samples from a known truth, give or take chance."""
        truth = [0.90, 0.04, 0.02, 0.04]
        samples = np.random.default_rng(0).multinomial(500, truth, size=500)
        intervals = [PairedCounts(*map(int, sample)).interval for sample in samples]
        covered = np.mean([low <= 0.02 <= high for low, high in intervals])
        assert covered == pytest.approx(0.95, abs=0.03)


class TestSmallestGap:
    """The gap that so many images find."""

    def test_such_a_gap_is_found_as_often_as_promised(self):
        """Samples with just that gap give z > 1.96 in 80 %, give or take chance."""
        n, psi = 2000, 0.1
        gap = PairedCounts(1800, 100, 100, 0).smallest_gap()
        truth = [1 - psi, (psi + gap) / 2, (psi - gap) / 2]
        samples = np.random.default_rng(1).multinomial(n, truth, size=5000)
        only_a, only_b = samples[:, 1], samples[:, 2]
        z = (only_a - only_b) / np.sqrt(only_a + only_b)
        assert np.mean(z > stats.norm.isf(0.025)) == pytest.approx(POWER, abs=0.02)

    def test_more_images_find_a_smaller_one(self):
        """Four times as many about halve it."""
        few, many = (PairedCounts(900 * n, 50 * n, 50 * n, 0).smallest_gap() for n in (1, 4))
        assert many == pytest.approx(few / 2, rel=0.01)

    def test_fewer_disagreements_than_the_gap_would_need_are_not_believed(self):
        """Without any, the gap is as if all of its disagreements went one way."""
        gap = PairedCounts(1000, 0, 0, 0).smallest_gap()
        n_images = round(1000 * gap)
        assert PairedCounts(1000 - n_images, n_images, 0, 0).p_value < 0.05

    def test_three_images_find_none(self):
        """Not even if the runs differ on all of them."""
        assert PairedCounts(0, 3, 0, 0).smallest_gap() is None


def test_counting():
    """`of` counts the four cases of two arrays."""
    a = np.array([True, True, False, False, True])
    b = np.array([True, False, True, False, False])
    found = PairedCounts.of(a, b)
    assert found == PairedCounts(both=1, only_a=2, only_b=1, neither=1)
    assert (found.n, found.difference) == (5, pytest.approx(0.2))
    assert found.discordance == pytest.approx(0.6)


@given(st.integers(1, 20_000), st.data())
def test_intervals_and_p_values_are_those_of_scipys_exact_tests(n, data):
    """They are computed from its special functions, which take less time to import."""
    n_correct = data.draw(st.integers(0, n))
    expected = stats.binomtest(n_correct, n).proportion_ci(0.95, method="exact")
    assert proportion_interval(n_correct, n) == pytest.approx(tuple(expected), rel=1e-9)
    counts = PairedCounts(both=0, only_a=n_correct, only_b=n - n_correct, neither=0)
    assert counts.p_value == pytest.approx(stats.binomtest(n_correct, n).pvalue, rel=1e-9)
