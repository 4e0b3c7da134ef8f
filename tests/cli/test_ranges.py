"""Lists of λ, seeds and patiences as they are typed."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.cli.options import FloatList, WholeList

LISTS = {"floats": FloatList(), "whole": WholeList(), "from-1": WholeList(at_least=1)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,0.1,0", [1, 0.1, 0]),
        ("1e-4, .5,2.", [1e-4, 0.5, 2]),
        ("1e-4:1:9log", [1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1, 10**-0.5, 1]),
        ("8:2:3log", [8, 4, 2]),
        ("0,1e-2:1:3log,5", [0, 0.01, 0.1, 1, 5]),
        ("-1", [-1]),  # whether a λ may be negative is decided by the config
    ],
)
def test_floats_are_numbers_and_ranges_on_a_log_scale(text, expected):
    assert FloatList().convert(text, None, None) == pytest.approx(expected, rel=1e-5)


def test_the_values_of_a_range_have_six_digits_and_exact_ends():
    found = FloatList().convert("1e-4:1:9log", None, None)
    assert found == [0.0001, 0.000316228, 0.001, 0.00316228, 0.01, 0.0316228, 0.1, 0.316228, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("0,5-6,2", [0, 5, 6, 2]), ("3-3", [3]), ("-1", [-1])],
)
def test_whole_numbers_are_numbers_and_ranges(text, expected):
    assert WholeList().convert(text, None, None) == expected


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("floats", "1,,2", "''"),
        ("floats", "", "''"),
        ("floats", "1,a", "'a'"),
        ("floats", "nan", "'nan'"),
        ("floats", "1:2:3", "1e-4:1:9log"),
        ("floats", "0:1:9log", "cannot reach 0"),
        ("floats", "1e-4:1:1log", "2 to 1000 values"),
        ("floats", "1e-4:1:999999999log", "2 to 1000 values"),
        ("floats", "1], shuffle: [1", "'1]'"),
        ("whole", "0-", "'0-'"),
        ("whole", "4-0", "increases"),
        ("whole", "0-999999999", "at most 1000"),
        ("whole", "1.5", "'1.5'"),
        ("from-1", "3,0-2", "found 0; the smallest number allowed is 1"),
    ],
)
def test_anything_else_is_a_usage_error_that_quotes_it(kind, text, words):
    with pytest.raises(click.BadParameter) as error:
        LISTS[kind].convert(text, None, None)
    assert words in error.value.message
    assert error.value.message.startswith(f"{text}: ")


@given(
    st.text(max_size=40) | st.text("0123456789-:,.elog+", max_size=20), st.sampled_from([*LISTS])
)
def test_fuzz_any_text_is_numbers_or_a_usage_error(text, kind):
    try:
        values = LISTS[kind].convert(text, None, None)
    except click.BadParameter:
        return
    assert values
    assert all(isinstance(value, float if kind == "floats" else int) for value in values)
