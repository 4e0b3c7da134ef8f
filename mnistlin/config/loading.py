"""What is wrong with a config, in words: the key, what was found, and what is allowed.

From a config file, or the name of a shipped one, and overrides to a checked `ExperimentConfig`.

All that is wrong with a file is told in one error. What is allowed is said in `schema`, how YAML
reads in `yaml_text`, and what is wrong is put into words in `problems`.
"""

import copy
import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnistlin.config.schema import ExperimentConfig
from mnistlin.config.yaml_text import MAX_CHARACTERS, YamlError, parse_yaml
from mnistlin.errors import ConfigError

_YAML_WORDS: dict[object, str] = {None: "null", True: "true", False: "false"}


def problems_of(error: ValidationError, schema: type[BaseModel], values: Any) -> list[str]:
    """Put a validation error into words.

    Rules between keys are looked at only where all keys are sound; so that all problems are told
    together, they are looked at again with the unsound keys left out.

    Parameters
    ----------
    error : ValidationError
        What `schema` said of `values`.
    schema : type
        A pydantic model.
    values : object
        What was checked.
    """
    details = [detail for detail in error.errors(include_url=False) if not _follows(detail, error)]
    problems = [line for detail in details for line in _in_words(detail, schema)]
    unsound = [detail["loc"] for detail in details if detail["loc"]]
    if unsound:
        named = tuple(f"{_dotted(loc[:2])}:" for loc in unsound)
        problems += [
            rule for rule in _broken_rules(schema, values, unsound) if not rule.startswith(named)
        ]
    return problems


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, or nothing if none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


@contextmanager
def unreadable_as_config_error(what: str) -> Iterator[None]:
    """Turn what keeps a text file from being read into a ConfigError that says why, once."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {what}: it is not UTF-8 text") from None


def shown(value: object) -> str:
    """Return a value as an error shows it: short, and in YAML's words."""
    text = _YAML_WORDS[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _broken_rules(
    schema: type[BaseModel], values: Any, unsound: list[tuple[int | str, ...]]
) -> list[str]:
    """Return the rules between keys that are broken even without the unsound values."""
    rest = copy.deepcopy(values)
    for section, *keys in unsound:
        holder, key = (rest.get(section), keys[0]) if keys else (rest, section)
        if isinstance(holder, dict):
            holder.pop(key, None)
    try:
        schema.model_validate(rest)
    except ValidationError as error:
        return [
            line
            for detail in error.errors(include_url=False)
            if not detail["loc"]
            for line in _in_words(detail, schema)
        ]
    return []


def _follows(detail: ErrorDetails, error: ValidationError) -> bool:
    """Say whether this is only the consequence of an item that is told by itself."""
    loc = detail["loc"]
    others = (other["loc"] for other in error.errors(include_url=False))
    return detail["type"] == "too_short" and any(
        len(other) > len(loc) and other[: len(loc)] == loc for other in others
    )


def _in_words(detail: ErrorDetails, schema: type[BaseModel]) -> list[str]:
    keys = [part for part in detail["loc"] if isinstance(part, str)]
    path = _dotted(detail["loc"])
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    if not path:
        return reason.split("\n")
    if detail["type"] == "extra_forbidden":
        known = _known_keys(schema, keys[:-1])
        guess = did_you_mean(keys[-1], known) or f"; known here: {', '.join(known)}"
        return [f"{path}: unknown key{guess}"]
    if detail["type"] == "missing":
        return [f"{path}: the key is missing"]
    if detail["type"] == "model_type":
        reason = "it must be a mapping of keys"
    return [f"{path}: found {shown(detail['input'])}; {reason}"]


def _dotted(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")


def _known_keys(schema: type[BaseModel], parents: Iterable[str]) -> list[str]:
    """Return the keys of the section that a path of keys leads to."""
    section = schema
    for parent in parents:
        annotation = section.model_fields[parent].annotation
        section = next(
            part for part in (annotation, *get_args(annotation)) if hasattr(part, "model_fields")
        )
    return list(section.model_fields)


_PACKAGE = Path(__file__).parent.parent

REPORT_NAME = "report"
"""The shipped file that is no experiment: it lists those of a report."""

Schema = TypeVar("Schema", bound=BaseModel)


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
    with unreadable_as_config_error(f"the config {source}"):
        path = _find(source)
        with path.open("rb") as file:  # of a longer file, enough to tell that it is too long
            text = file.read(4 * MAX_CHARACTERS + 1).decode()
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
    return parse_as(ExperimentConfig, text, source, overrides)


def parse_as(
    schema: type[Schema], text: str, source: str = "config", overrides: Sequence[str] = ()
) -> Schema:
    """Check YAML text against a schema; as `parse_config`, for another kind of file.

    Parameters
    ----------
    schema : type
        A pydantic model.
    text, source, overrides
        As for `parse_config`.
    """
    try:
        values, repeated = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{source}: {error}") from None
    if values is None:
        needed = next(name for name, field in schema.model_fields.items() if field.is_required())
        raise ConfigError(f"{source}: the file is empty; it must hold at least the key {needed!r}")
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: found {shown(values)}; a config is a mapping of keys")
    for override in overrides:
        repeated += _apply(values, override)
    problems = [f"{path}: the key stands twice; keep one" for path in repeated]
    try:
        config = schema.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, schema, values)
    if problems:
        raise ConfigError(_listed(source, problems))
    return config


def shipped_configs() -> dict[str, Path]:
    """Return the experiment configs that come with the package, by name."""
    paths = sorted(_shipped_folder().glob("*.yaml"))
    return {path.stem: path for path in paths if path.stem != REPORT_NAME}


def shipped_report() -> Path:
    """Return the file with the experiments of the report that comes with the package."""
    return _shipped_folder() / f"{REPORT_NAME}.yaml"


def _shipped_folder() -> Path:
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_configs()
    if str(source) in shipped:
        return shipped[str(source)]
    what = "is a folder" if path.is_dir() else "does not exist"
    raise ConfigError(
        f"the config {str(source)!r} {what}; give the path of a YAML file or the name of a shipped "
        f"config: {', '.join(shipped)}{did_you_mean(str(source), shipped)}"
    )


def _apply(values: dict[str, Any], override: str) -> list[str]:
    """Set one `dotted.key=value` in the nested mapping; return the keys that its value repeats."""
    dotted, equals, text = override.partition("=")
    *parents, key = dotted.strip().split(".")
    if not equals or not key or not all(parents):
        raise ConfigError(f"--set {override}: write it as key=value, such as training.epochs=10")
    try:
        value, repeated = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"--set {override}: {error}") from None
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise ConfigError(
                f"--set {override}: in the file, {parent}: found {shown(values)}; "
                "it must be a mapping of keys"
            )
    values[key] = value
    return [f"{dotted}.{path}" for path in repeated]


def _listed(source: str, problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)])
