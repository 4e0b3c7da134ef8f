"""Printed intervals hold the true value as often as they say, and tests seldom raise an alarm.

Few draws of each simulation; `python -m benchmarks.coverage` takes more.
"""

import pytest

from benchmarks.coverage import SIMULATIONS, coverage

N_DRAWS = 100
MARGIN = 0.05
"""At 100 draws a true 0.95 is found below 0.90 in 1 % of all cases; the seed is fixed."""


@pytest.mark.parametrize("name", SIMULATIONS)
def test_it_holds_in_95_percent_of_all_draws(name):
    """Or more often, where an interval is conservative."""
    found, _ = coverage(SIMULATIONS[name], N_DRAWS)
    assert found >= 0.95 - MARGIN
