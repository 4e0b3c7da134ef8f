"""What YAML text means to a config, and what it refuses."""

import math
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.config.yaml_text import MAX_CHARACTERS, YamlError, dump_yaml, parse_yaml

PLAIN_SCALARS = {
    "1e-4": 1e-4,
    "1E3": 1000.0,
    "-2.5e+3": -2500.0,
    "5.": 5.0,
    ".5": 0.5,
    "+.5": 0.5,
    "12": 12,
    "+12": 12,
    "-3": -3,
    "017": 17,
    "0o17": 15,
    "0x1F": 31,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "~": None,
    "null": None,
    "Null": None,
    "": None,
    "true": True,
    "False": False,
    "TRUE": True,
}

WORDS_OF_YAML_1_1 = (
    *("on", "off", "yes", "No", "y", "n"),
    *(
        "1_000",
        "12:30",
        "0b11",
        "0o8",
        "2001-01-01",
        "tRue",
        "nan",
        "inf",
        "1e",
        "e5",
        ".",
        "+",
        "=",
    ),
)

texts = st.text() | st.text("0123456789.eExo+-_:~\x85\u2028", max_size=6)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "value"), PLAIN_SCALARS.items())
def test_plain_scalars_follow_yaml_1_2(text, value):
    """`1e-4` is a number, `0o17` is fifteen, an empty value is null."""
    found = parse_yaml(f"key: {text}")[0]["key"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number():
    """`.nan` is a float, which the schema then refuses with a reason."""
    assert math.isnan(parse_yaml(".nan")[0])


@pytest.mark.parametrize("word", WORDS_OF_YAML_1_1)
def test_what_only_yaml_1_1_converts_stays_text(word):
    """`on` is no boolean, and 12:30 is not 750."""
    assert parse_yaml(f"key: {word}")[0] == {"key": word}


@pytest.mark.parametrize("quoted", ["'1e-4'", '"1e-4"', "|-\n  1e-4", ">-\n  1e-4"])
def test_quotes_and_blocks_make_text(quoted):
    """Only a plain scalar can be a number."""
    assert parse_yaml(f"key: {quoted}")[0] == {"key": "1e-4"}


@pytest.mark.parametrize(
    "text", ["9" * 4301, "0x" + "f" * 3001, "0o" + "7" * 4001, "1e999", "-" + "9" * 50_000]
)
def test_numbers_of_absurd_length_raise_nothing(text):
    """Python refuses to convert more than 4,300 digits; such text must not reach it."""
    value, _ = parse_yaml(text)
    assert isinstance(value, str) or math.isinf(value)


def test_each_repeated_key_is_reported_with_its_path():
    """Repeated keys are found at every depth; of two values the first is kept."""
    text = "a: 1\nb: {c: 1, c: 2}\na: 3\nd: [{e: 1, e: 2}]"
    value, repeated = parse_yaml(text)
    assert sorted(repeated) == ["a", "b.c", "d[0].e"]
    assert value == {"a": 1, "b": {"c": 1}, "d": [{"e": 1}]}


def test_numbers_as_keys_are_their_text():
    """So an unknown key 1 is reported as it was written."""
    assert parse_yaml("0o17: x\nnull: y")[0] == {"0o17": "x", "null": "y"}


@pytest.mark.parametrize(
    ("broken", "line", "remedy", "mended"),
    [
        ("data:\n\tclasses: [2]", 2, "spaces, not tabs", "data:\n  classes: [2]"),
        ("a:\n  b: 1\n   c: 2", 3, "the same number of spaces", "a:\n  b: 1\n  c: 2"),
        ("a:\n  b: 1\n c: 2", 3, "the same number of spaces", "a:\n  b: 1\n  c: 2"),
        ("a: b: c", 1, "quote text with a colon", "a: 'b: c'"),
        ("a: 1\nb 2\n", 3, "`key: value` on this line or the one before it", "a: 1\nb: 2\n"),
    ],
)
def test_broken_yaml_is_answered_with_a_remedy(broken, line, remedy, mended):
    """It works: the mended text is YAML."""
    with pytest.raises(YamlError, match=rf"^line {line}, .*{re.escape(remedy)}"):
        parse_yaml(broken)
    assert parse_yaml(mended)


@pytest.mark.parametrize("text", ["", "# only a comment", "---", "~"])
def test_an_empty_document_is_none(text):
    """The loader distinguishes an empty file from an empty mapping."""
    assert parse_yaml(text) == (None, [])


def test_windows_files_read_alike():
    """A byte-order mark and carriage returns change nothing."""
    assert parse_yaml("\ufeffa: 1\r\nb:\r\n  c: 2\r\n")[0] == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: &x 2\nc: *x", 3, "aliases"),
        ("a: 1\nb: !mine 2", 2, "tags"),
        ("a: 1\n? [b]\n: 2", 2, "key"),
        ("a: 1\nb: !!python/object/apply:os.getcwd []", 2, "tags"),
        ("a: 1\nb: !!binary aGk=", 2, "tags"),
        ("a: 1\n--- \nb: 2", 2, "document"),
        ("a: 1\n\tb: 2", 2, "character"),
        ("a: [1, 2", 1, "expected"),
        ("a: b: c", 1, "mapping"),
    ],
)
def test_what_is_refused_is_told_with_its_line(text, line, word):
    """Aliases, tags, complex keys and broken syntax are reported with their position."""
    with pytest.raises(YamlError, match=rf"line {line}, column \d+: .*{word}"):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["!!str 5", "!!int '5'", "! 5", "!!float 1"])
def test_tags_of_the_core_schema_are_refused_like_others(text):
    """A tag that is not obeyed must not be passed over: `!!str 5` is not the number 5."""
    with pytest.raises(YamlError, match="tags"):
        parse_yaml(f"a: {text}")


def test_an_alias_bomb_is_refused_before_it_expands():
    """Nine lines that would make a thousand million items."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(YamlError, match="aliases"):
        parse_yaml("\n".join(lines))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_bottomless_nesting_is_an_error_and_no_crash(opening):
    """Python's recursion limit is not the user's affair."""
    with pytest.raises(YamlError, match=r"deep|plain word"):  # as PyYAML's version reads "? "
        parse_yaml(opening * 5000)


def test_nesting_deeper_than_any_config_is_still_read():
    """The limit is far beyond what a config uses."""
    assert parse_yaml("[" * 40 + "]" * 40)[0]


def test_length_is_limited():
    """A text of the greatest length is read; one character more says what it is allowed to be."""
    comment = "#" * (MAX_CHARACTERS - 5)
    assert parse_yaml(f"a: 1\n{comment}")[0] == {"a": 1}
    with pytest.raises(YamlError, match=rf"{MAX_CHARACTERS + 1} characters.*{MAX_CHARACTERS}"):
        parse_yaml(f"a: 1\n{comment}#")


@given(st.text(max_size=200) | st.text("[]{}:,-?&*!|>'\"%@`#\n\t a1.~", max_size=60))
def test_any_text_gives_a_value_or_a_yaml_error(text):
    """Nothing else is raised, whatever the file contains."""
    try:
        parse_yaml(text)
    except YamlError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)


@given(trees)
def test_what_is_written_reads_back_the_same(tree):
    """Texts that look like numbers, odd characters and extreme floats included."""
    assert parse_yaml(dump_yaml({"key": tree})) == ({"key": tree}, [])


@pytest.mark.parametrize(
    "text", ["1e-4", "1e5", "0o17", "0x1f", "on", "12:30", "null", "~", ".5", " a", "a\nb", "\x85"]
)
def test_text_that_looks_like_something_else_is_written_so_that_it_stays_text(text):
    """YAML 1.1 and 1.2 disagree about what needs quotes; the reader here follows 1.2."""
    assert parse_yaml(dump_yaml({"name": text}))[0] == {"name": text}


def test_other_readers_of_yaml_find_the_same_values():
    """What is written can be read by plain PyYAML too, numbers as numbers."""
    values = {"a": 1e-05, "b": [0.1, 2], "c": {"d": "on", "e": None}}
    assert yaml.safe_load(dump_yaml(values)) == values


def test_lists_stand_on_one_line_and_keys_in_their_order():
    """The file that is written looks like one that a person writes."""
    text = dump_yaml({"b": {"classes": [2, 3]}, "a": "ŷ"})
    assert text == "b:\n  classes: [2, 3]\na: ŷ\n"
