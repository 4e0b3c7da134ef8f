"""Experiment configs: what they may contain, and the way from YAML to a checked object and back.

`schema` says what is allowed, `yaml_text` reads and writes YAML, `loading` merges files and
overrides, checks them, and reports everything that is wrong in one readable error.
"""

from mnistlin.config.loading import (
    editor_line,
    load_config,
    parse_as,
    parse_config,
    parse_setting,
)
from mnistlin.config.schema import (
    WITHOUT_EFFECT,
    DataConfig,
    EarlyStoppingConfig,
    ExperimentConfig,
    SweepConfig,
    TrainingConfig,
    config_keys,
    flat,
    json_schema,
)
from mnistlin.config.yaml_text import dump_yaml
from mnistlin.shipped import shipped_configs, shipped_reports, shipped_schema

__all__ = [
    "WITHOUT_EFFECT",
    "DataConfig",
    "EarlyStoppingConfig",
    "ExperimentConfig",
    "SweepConfig",
    "TrainingConfig",
    "config_keys",
    "dump_yaml",
    "editor_line",
    "flat",
    "json_schema",
    "load_config",
    "parse_as",
    "parse_config",
    "parse_setting",
    "shipped_configs",
    "shipped_reports",
    "shipped_schema",
]
