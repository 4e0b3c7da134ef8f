"""Commands about configs: `config show`, `config schema`."""

import json
from typing import Any

import click

from mnistlin.cli.completion import CONFIG
from mnistlin.cli.options import Group, debug_option, set_option
from mnistlin.cli.terminal import echo, echo_wrapped


@click.group(cls=Group)
def config() -> None:
    """Show shipped configs and the keys that a config may have."""


@config.command()
@click.argument("configs", type=CONFIG, nargs=-1, metavar="[FILE|NAME]...")
@set_option
@debug_option
def show(configs: tuple[str, ...], settings: tuple[tuple[str, Any], ...]) -> None:
    """Print a config with all its keys; without arguments, list the shipped configs.

    Several configs are merged as `train --config A --config B` merges them.

    \b
    Examples:
      mnistlin config show
      mnistlin config show softmax --set training.seed=1 > mine.yaml
    """
    from mnistlin.config import dump_yaml, editor_line, load_config, shipped_configs
    from mnistlin.shipped import purpose

    if not configs:
        shipped = shipped_configs()
        margin = max(map(len, shipped)) + 2
        for name, path in shipped.items():
            echo_wrapped(f"{name:<{margin}}{purpose(path)}", hanging=" " * margin)
        return
    values = load_config(configs, dict(settings)).model_dump(mode="json")
    echo(f"{editor_line()}\n{dump_yaml(values)}", nl=False)


@config.command()
@debug_option
def schema() -> None:
    """Print the JSON Schema of config files: keys, ranges, defaults and what they mean.

    \b
    Example:
      mnistlin config schema > schema.json
    """
    from mnistlin.config import json_schema

    echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


COMMANDS = (config,)
