"""What is wrong with a config, in words: the key, what was found, and what is allowed."""

import copy
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

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
