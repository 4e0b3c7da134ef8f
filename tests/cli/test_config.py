"""`mnistlin config show|schema`."""

import json

import yaml

from mnistlin.config import load_config, parse_config, shipped_configs


def test_show_without_arguments_lists_the_shipped_configs(mnistlin):
    lines = mnistlin("config", "show").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*shipped_configs()]
    assert all(len(line.split()) > 3 for line in lines)


def test_show_prints_a_config_with_all_keys_that_reads_back_the_same(mnistlin):
    result = mnistlin("config", "show", "softmax-lambda-sweep", "--set", "training.seed=1")
    assert parse_config(result.stdout) == load_config("softmax-lambda-sweep", ["training.seed=1"])
    assert "checkpoint_seconds: 5.0" in result.stdout


def test_show_merges_configs(mnistlin):
    result = mnistlin("config", "show", "quickstart", "tiny.yaml")
    assert yaml.safe_load(result.stdout)["name"] == "tiny"


def test_show_names_the_nearest_shipped_config(mnistlin):
    result = mnistlin("config", "show", "quikstart")
    assert result.exit_code == 2
    assert "did you mean quickstart?" in result.stderr


def test_schema_prints_a_json_schema(mnistlin):
    found = json.loads(mnistlin("config", "schema").stdout)
    assert set(found["properties"]) == {
        *("name", "model", "data", "training", "early_stopping", "sweep"),
    }
