"""From config files and settings to a checked `ExperimentConfig`, or one error with all problems.

Files are read as YAML, merged in the order in which they are given, and overridden by settings
(dotted keys and values); the result is checked against the schema once.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnistlin.config.schema import ExperimentConfig
from mnistlin.config.yaml_text import MAX_CHARACTERS, YamlError, parse_yaml, shown
from mnistlin.errors import ConfigError
from mnistlin.shipped import shipped_configs, shipped_schema
from mnistlin.text import did_you_mean, nearest

Schema = TypeVar("Schema", bound=BaseModel)
Overrides: TypeAlias = Mapping[str, Any] | Iterable[str]
"""Dotted keys and their values, or texts of the form `dotted.key=value`."""

_OVERRIDES = "an override"


def load_config(
    source: str | Path | Sequence[str | Path] | ExperimentConfig, overrides: Overrides = ()
) -> ExperimentConfig:
    """Load an experiment config.

    Parameters
    ----------
    source : str, Path, sequence of these, or ExperimentConfig
        A YAML file or the name of a shipped config such as `quickstart`. Several are merged:
        mappings key by key, lists as a whole; the later one wins.
    overrides : mapping of str to object, or iterable of str
        Settings that override the files: dotted keys and values, such as
        `{"training.epochs": 10}`, or texts such as `"training.epochs=10"` with the value in YAML.

    Returns
    -------
    ExperimentConfig
        Checked and complete: keys that the files leave out have their defaults.

    Raises
    ------
    ConfigError
        If a file does not exist, is not YAML, or contains anything that is not allowed; the
        message lists every problem.
    """
    if isinstance(source, ExperimentConfig):
        if not overrides:
            return source
        layers = [_Layer("the config", source.model_dump(mode="json"))]
    else:
        sources = [source] if isinstance(source, str | Path) else source
        layers = [_layer(*_read(each)) for each in sources]
    return _checked(ExperimentConfig, layers, overrides)


def parse_config(text: str, source: str = "config", overrides: Overrides = ()) -> ExperimentConfig:
    """Check the YAML text of a config; as `load_config`, for text that is not in a file."""
    return parse_as(ExperimentConfig, text, source, overrides)


def parse_as(
    schema: type[Schema], text: str, source: str = "config", overrides: Overrides = ()
) -> Schema:
    """Check YAML text against a pydantic model; `source` is what error messages call the text."""
    return _checked(schema, [_layer(source, text)], overrides)


def parse_setting(text: str) -> tuple[str, Any]:
    """Return the dotted key and the value of a text such as `training.epochs=10`.

    Raises
    ------
    ConfigError
        If it has another form, or the value is not YAML.
    """
    dotted, equals, value_text = text.partition("=")
    dotted = dotted.strip()
    if not equals or not all(dotted.split(".")):
        raise ConfigError(f"setting {text!r}: write it as key=value, such as training.epochs=10")
    try:
        value, repeated = parse_yaml(value_text)
    except YamlError as error:
        raise ConfigError(f"setting {text!r}: {error}") from None
    if repeated:
        raise ConfigError(f"setting {text!r}: {_twice(repeated[0])}")
    return dotted, value


def editor_line() -> str:
    """Return the comment that tells editors with a YAML language server where the schema is."""
    return f"# yaml-language-server: $schema={shipped_schema()}"


@contextmanager
def unreadable_as_config_error(what: str) -> Iterator[None]:
    """Turn an error of reading a text file into a ConfigError that says what it was."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {what}: it is not UTF-8 text") from None


@dataclass(frozen=True)
class _Layer:
    """The values of one file, and the dotted keys that occur twice in it."""

    source: str
    values: Any
    repeated: Sequence[str] = ()


@dataclass(frozen=True)
class _Problem:
    """A dotted key and what is wrong with it; one without a key concerns the whole file."""

    key: str
    text: str


def _read(source: str | Path) -> tuple[str, str]:
    """Return a config's path, or its name if it is a shipped one, and its text."""
    with unreadable_as_config_error(f"the config {source}"):
        path = _find(source)
        with path.open("rb") as file:  # of a longer file, enough to see that it is too long
            return str(source), file.read(4 * MAX_CHARACTERS + 1).decode()


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
        f"config (`mnistlin config show` lists them){did_you_mean(str(source), shipped)}"
    )


def _layer(source: str, text: str) -> _Layer:
    try:
        return _Layer(source, *parse_yaml(text))
    except YamlError as error:
        raise ConfigError(f"{source}: {error}") from None


def _checked(schema: type[Schema], layers: Sequence[_Layer], overrides: Overrides) -> Schema:
    """Merge layers, apply overrides, and check the result once."""
    values: dict[str, Any] = {}
    for layer in layers:
        if layer.values is None:
            needed = [name for name, field in schema.model_fields.items() if field.is_required()]
            raise ConfigError(
                f"{layer.source}: the file is empty; a config needs at least the key {needed[0]!r}"
            )
        if not isinstance(layer.values, dict):
            raise ConfigError(
                f"{layer.source}: found {shown(layer.values)}; a config is a mapping of keys"
            )
        _merge(values, layer.values)
    settings = overrides if isinstance(overrides, Mapping) else dict(map(parse_setting, overrides))
    source = " + ".join(layer.source for layer in layers)
    for key, value in settings.items():
        if problem := _set(values, key, value):
            raise ConfigError(listed(source, [problem]))
    problems = [
        f"{_twice(key)}{_from(layer.source, layers)}" for layer in layers for key in layer.repeated
    ]
    try:
        config = schema.model_validate(values)
    except ValidationError as error:
        problems += [
            f"{problem.key}: {problem.text}{_from(_origin(problem.key, layers, settings), layers)}"
            if problem.key
            else problem.text
            for problem in _problems_of(error, schema, values)
        ]
    if problems:
        raise ConfigError(listed(source, problems))
    return config


def _merge(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Merge a later layer into the values: mappings are merged, everything else is replaced."""
    for key, value in later.items():
        if isinstance(value, dict):
            if not isinstance(values.get(key), dict):
                values[key] = {}
            _merge(values[key], value)
        else:
            values[key] = copy.deepcopy(value) if isinstance(value, list) else value


def _set(values: dict[str, Any], dotted: str, value: Any) -> str:
    """Set one dotted key; return what prevents it, or nothing."""
    *parents, key = dotted.split(".")
    for depth, parent in enumerate(parents, 1):
        section = values.get(parent)
        if section is None:
            section = values[parent] = {}
        if not isinstance(section, dict):
            above = ".".join(parents[:depth])
            return (
                f"{above}: found {shown(section)}; it must be a mapping of keys for "
                f"{dotted} to be set"
            )
        values = section
    values[key] = value
    return ""


def _origin(key: str, layers: Sequence[_Layer], settings: Mapping[str, Any]) -> str:
    """Return where the value of a dotted key comes from: an override, or the last file with it."""
    if any(f"{key}.".startswith((f"{each}.", f"{each}[")) for each in settings):
        return _OVERRIDES
    path = key.partition("[")[0].split(".")
    for depth in range(len(path), 0, -1):
        for layer in reversed(layers):
            if _has(layer.values, path[:depth]):
                return layer.source
    return ""


def _has(values: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def _from(origin: str, layers: Sequence[_Layer]) -> str:
    """Name the origin of a problem where the name of the file does not already say it."""
    return f" (from {origin})" if origin and (len(layers) > 1 or origin == _OVERRIDES) else ""


def _twice(key: str) -> str:
    return f"{key}: the key occurs twice; keep one"


def listed(source: str, problems: Sequence[str]) -> str:
    """Return the text of one error about a file: how many problems it has, one per line."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)])


def _problems_of(
    error: ValidationError, schema: type[BaseModel], values: Any
) -> Iterator[_Problem]:
    """Yield the problems of a validation.

    Pydantic checks rules between keys only if all keys are valid. To report all problems together,
    the rules are checked again without the invalid keys.
    """
    details = error.errors(include_url=False)
    for detail in details:
        if not _follows(detail, details):
            yield from _in_words(detail, schema)
    invalid = [detail["loc"] for detail in details if detail["loc"]]
    if invalid:
        named = {_dotted(loc[:2]) for loc in invalid}
        for rule in _broken_rules(schema, values, invalid):
            if rule.key not in named:
                yield rule


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Return whether a list is too short only because one of its items is invalid."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details
    )


def _broken_rules(
    schema: type[BaseModel], values: Any, invalid: Sequence[tuple[int | str, ...]]
) -> list[_Problem]:
    """Return the rules between keys that are broken even without the invalid values."""
    rest = copy.deepcopy(values)
    for section, *keys in invalid:
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


_TYPES = {
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "bool_type": "it must be true or false",
    "string_type": "it must be text",
    "tuple_type": "it must be a list, such as [2, 3]",
    "model_type": "it must be a mapping of keys",
}
"""What a value must be, by pydantic's type of the error, in the words of YAML."""


def _in_words(detail: ErrorDetails, schema: type[BaseModel]) -> Iterator[_Problem]:
    path = _dotted(detail["loc"])
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    reason = _TYPES.get(detail["type"], reason)
    if not path:  # a rule between keys, one line each
        for line in reason.split("\n"):
            key, colon, text = line.partition(": ")
            yield _Problem(key, text) if colon and " " not in key else _Problem("", line)
    elif detail["type"] == "extra_forbidden":
        yield _Problem(path, f"unknown key{_nearest_key(schema, detail['loc'])}")
    elif detail["type"] == "missing":
        yield _Problem(path, "the key is missing")
    else:
        yield _Problem(path, f"found {shown(detail['input'])}; {reason}")


def _dotted(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")


def _nearest_key(schema: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Return a suggestion: the full path of the key that was probably meant, or all keys."""
    *parents, word = (part for part in loc if isinstance(part, str))
    here = {key: _dotted((*loc[:-1], key)) for key in _section(schema, parents).model_fields}
    anywhere = dict(_keys_below(schema))
    # `sweep.seed` means sweep.seeds, and a lone `seed` means training.seed, not sweep.
    if meant := nearest(word, here, cutoff=0.85):
        return f"; did you mean {here[meant]}?"
    if meant := word if word in anywhere else nearest(word, here):
        return f"; did you mean {(here | anywhere)[meant]}?"
    if meant := nearest(word, anywhere):
        return f"; did you mean {anywhere[meant]}?"
    return f"; known here: {', '.join(here)}"


def _keys_below(schema: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key of a schema and of its sections, with its dotted path."""
    for key in schema.model_fields:
        yield key, f"{path}{key}"
        if (section := _section_of(schema, key)) is not None:
            yield from _keys_below(section, f"{path}{key}.")


def _section(schema: type[BaseModel], parents: Iterable[str]) -> type[BaseModel]:
    for parent in parents:
        schema = _section_of(schema, parent) or schema
    return schema


def _section_of(schema: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of a key that holds a section, or a list of sections."""
    waiting: list[Any] = [schema.model_fields[key].annotation]
    for annotation in waiting:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        waiting += get_args(annotation)
    return None
