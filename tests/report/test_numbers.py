"""How numbers are written."""

import pytest

from mnistlin.analysis.statistics import with_spread
from mnistlin.text import signed, written


def test_percentages_have_a_space_and_minus_signs_are_true():
    """As typographers have it."""
    assert written(0.97577, ".2%") == "97.58 %"
    assert written(-1.5, ".1f") == "−1.5"


@pytest.mark.parametrize(
    ("value", "text"), [(0.004, "0.00"), (-0.004, "0.00"), (0.25, "+0.25"), (-0.25, "−0.25")]
)
def test_what_is_written_as_zero_has_no_sign(value, text):
    """+0.00 would be a claim."""
    assert signed(value, ".2f") == text


def test_a_single_value_has_no_spread():
    """Several have their standard deviation, with one unit for both."""
    assert with_spread([0.5], ".1%") == "50.0 %"
    assert with_spread([0.4, 0.6], ".1%") == "50.0 ± 14.1 %"
    assert with_spread(None, ".1%") == "-"
