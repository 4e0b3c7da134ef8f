"""Experiment configs: what one may contain, and the way from YAML to a checked object and back.

`schema` says what is allowed, `yaml_text` reads and writes YAML, `loading` brings the two together
with `--set` overrides and turns everything that is wrong into one readable error.
"""

from mnistlin.config.loading import (
    load_config,
    parse_as,
    parse_config,
    shipped_configs,
    shipped_report,
)
from mnistlin.config.schema import (
    DataConfig,
    EarlyStoppingConfig,
    ExperimentConfig,
    SweepConfig,
    TrainingConfig,
)
from mnistlin.config.yaml_text import dump_yaml

__all__ = [
    "DataConfig",
    "EarlyStoppingConfig",
    "ExperimentConfig",
    "SweepConfig",
    "TrainingConfig",
    "dump_yaml",
    "load_config",
    "parse_as",
    "parse_config",
    "shipped_configs",
    "shipped_report",
]
