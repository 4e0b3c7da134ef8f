"""Lists of λ and seeds as they are typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.cli.options import lambdas_of, seeds_of
from mnistlin.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,0.1,0", [1, 0.1, 0]),
        ("1e-4, .5,2.", [1e-4, 0.5, 2]),
        ("1e-4:1:9log", [1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1, 10**-0.5, 1]),
        ("8:2:3log", [8, 4, 2]),
        ("0,1e-2:1:3log,5", [0, 0.01, 0.1, 1, 5]),
        ("-1", [-1]),  # that a λ may not be negative is for the config to say
    ],
)
def test_lambdas_are_numbers_and_ranges_on_a_log_scale(text, expected):
    """Values of a range have six digits, so that files show them as they are."""
    assert [float(value) for value in lambdas_of(text)] == pytest.approx(expected, rel=1e-5)


def test_the_ends_of_a_range_are_exact():
    """And the values in the middle are as short as they can be."""
    assert lambdas_of("1e-4:1:5log") == ["0.0001", "0.001", "0.01", "0.1", "1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("0,5-6,2", [0, 5, 6, 2]), ("3-3", [3]), ("-1", [-1])],
)
def test_seeds_are_numbers_and_ranges(text, expected):
    """Both ends of a range belong to it."""
    assert [int(value) for value in seeds_of(text)] == expected


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (lambdas_of, "1,,2", "''"),
        (lambdas_of, "", "''"),
        (lambdas_of, "1,a", "'a'"),
        (lambdas_of, "nan", "'nan'"),
        (lambdas_of, "1:2:3", "1e-4:1:9log"),
        (lambdas_of, "0:1:9log", "cannot reach 0"),
        (lambdas_of, "1e-4:1:1log", "2 to 1000 values"),
        (lambdas_of, "1e-4:1:999999999log", "2 to 1000 values"),
        (lambdas_of, "1], shuffle: [1", "'1]'"),
        (seeds_of, "0-", "'0-'"),
        (seeds_of, "4-0", "goes up"),
        (seeds_of, "0-999999999", "at most 1000"),
        (seeds_of, "1.5", "'1.5'"),
    ],
)
def test_anything_else_is_refused(read, text, words):
    """The message says what was found and what may be there."""
    with pytest.raises(ConfigError) as error:
        read(text)
    assert words in str(error.value)
    assert "--lambdas" in str(error.value) or "--seeds" in str(error.value)


@given(st.text(max_size=40), st.sampled_from([lambdas_of, seeds_of]))
def test_fuzz_any_text_is_numbers_or_a_config_error(text, read):
    """Nothing else is raised, and what is returned are numbers."""
    try:
        values = read(text)
    except ConfigError:
        return
    assert [float(value) for value in values]
