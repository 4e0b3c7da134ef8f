"""configs/schema.json says what the models say, and every shipped config names it."""

import json

import jsonschema
import pytest
import yaml

from mnistlin.config import editor_line, json_schema, shipped_configs, shipped_schema

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_shipped_file_is_current():
    """To update it: mnistlin config schema > configs/schema.json."""
    assert json.loads(shipped_schema().read_text(encoding="utf-8")) == json_schema()


@pytest.mark.parametrize("path", shipped_configs().values(), ids=shipped_configs())
def test_each_shipped_config_names_the_schema_and_follows_it(path):
    text = path.read_text(encoding="utf-8")
    first, _, relative = text.splitlines()[0].partition("$schema=")
    assert first == "# yaml-language-server: "
    assert (path.parent / relative).resolve() == shipped_schema().resolve()
    assert not [*VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_the_line_for_editors_names_the_installed_file():
    assert editor_line() == f"# yaml-language-server: $schema={shipped_schema()}"
    assert shipped_schema().is_absolute()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": "softmax", "learning_rate": 1},
        {"model": "linear"},
        {"model": "softmax", "training": {"epochs": 0}},
        {"model": "softmax", "data": {"classes": [2, 2]}},
        {"model": "softmax", "sweep": {}},
    ],
)
def test_it_refuses_what_loading_refuses(values):
    assert [*VALIDATOR.iter_errors(values)]


def test_every_key_is_described():
    """An editor shows the description when the pointer rests on a key."""
    schema = json_schema()
    keys = [each for part in schema["$defs"].values() for each in part["properties"].values()]
    keys += [each for each in schema["properties"].values() if "$ref" not in str(each)]
    assert all(key["description"].endswith(".") for key in keys)
