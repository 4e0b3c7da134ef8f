"""From a config file, or the name of a shipped one, and overrides to a checked `ExperimentConfig`.

All that is wrong with a file is told in one error, each problem with its key, what was found and
what is allowed. What is allowed is said in `schema`; how YAML reads, in `yaml_text`.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnistlin.config.schema import ExperimentConfig
from mnistlin.config.yaml_text import YamlError, parse_yaml
from mnistlin.errors import ConfigError

_PACKAGE = Path(__file__).parent.parent


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Load an experiment config.

    Parameters
    ----------
    source : str or Path
        A YAML file, or the name of a shipped config such as `quickstart`.
    overrides : sequence of str
        Settings that win over the file, each as `dotted.key=value`, the value in YAML.

    Returns
    -------
    ExperimentConfig
        Checked and complete: keys that the file leaves out have their defaults.

    Raises
    ------
    ConfigError
        If there is no such file, it is not YAML, or anything in it is not allowed; the message
        lists every problem.
    """
    try:
        path = _find(source)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {source}: {error}") from None
    return parse_config(text, source=str(path), overrides=overrides)


def parse_config(
    text: str, source: str = "config", overrides: Sequence[str] = ()
) -> ExperimentConfig:
    """Check the YAML text of a config; as `load_config`, for text that is no file.

    Parameters
    ----------
    text : str
        The YAML document.
    source : str
        What error messages call it.
    overrides : sequence of str
        As for `load_config`.
    """
    try:
        values, repeated = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{source}: {error}") from None
    if values is None:
        raise ConfigError(f"{source}: the file is empty; it must hold at least the key 'model'")
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: found {_shown(values)}; a config is a mapping of keys")
    problems = [f"{path}: the key stands twice; keep one" for path in repeated]
    for override in overrides:
        _apply(values, override)
    try:
        config = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors(include_url=False)]
    if problems:
        raise ConfigError(_listed(source, problems))
    return config


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with the package, by name."""
    installed = _PACKAGE / "configs"
    folder = installed if installed.is_dir() else _PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_configs()
    if str(source) in shipped:
        return shipped[str(source)]
    what = "is a folder" if path.is_dir() else "does not exist"
    raise ConfigError(
        f"the config {str(source)!r} {what}{_did_you_mean(str(source), shipped)}; give the path of "
        f"a YAML file or the name of a shipped config: {', '.join(shipped)}"
    )


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `dotted.key=value` in the nested mapping, making mappings on the way."""
    dotted, equals, text = override.partition("=")
    *parents, key = dotted.strip().split(".")
    if not equals or not key or not all(parents):
        raise ConfigError(f"--set {override}: write it as key=value, such as training.epochs=10")
    try:
        value, _ = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"--set {override}: {error}") from None
    for parent in parents:
        if not isinstance(values.get(parent), dict):
            values[parent] = {}
        values = values[parent]
    values[key] = value


def _problem(detail: ErrorDetails) -> str:
    """Put one validation error into words: key, what was found, what is allowed."""
    keys = [part for part in detail["loc"] if isinstance(part, str)]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in detail["loc"]).lstrip(".")
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    if detail["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        guess = _did_you_mean(keys[-1], known) or f"; known here: {', '.join(known)}"
        return f"{path}: unknown key{guess}"
    if detail["type"] == "missing":
        return f"{path}: the key is missing"
    if not path:
        return reason
    return f"{path}: found {_shown(detail['input'])}; {reason}"


def _known_keys(parents: Iterable[str]) -> list[str]:
    """Return the keys of the section that a path of keys leads to."""
    section: type[BaseModel] = ExperimentConfig
    for parent in parents:
        annotation = section.model_fields[parent].annotation
        section = next(
            part for part in (annotation, *get_args(annotation)) if hasattr(part, "model_fields")
        )
    return list(section.model_fields)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(source: str, problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)])
