"""Types of values that the shell completes: configs, datasets, keys with values, files.

Completion has to be fast, so the words come from the shipped files, without pydantic.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from mnistlin.shipped import (
    keys_in_schema,
    shipped_configs,
    shipped_reports,
    sweepable_keys_in_schema,
)

T = TypeVar("T")


class Completed(click.ParamType[T], Generic[T]):
    """A value that a function parses, completed from the words of another, else as a path.

    An error of the parser is a ConfigError, as for the config that the value belongs to.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[str], T],
        words: Callable[[str], Iterable[str]] = lambda _: (),
        path_type: str = "file",
    ) -> None:
        self.name = name
        self._parse, self._words, self._path_type = parse, words, path_type

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Parse the text."""
        del param, ctx
        return self._parse(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that begin with what was typed; if there is none, ask for paths."""
        del ctx, param
        words = dict.fromkeys(self._words(incomplete))
        found = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type=self._path_type)]


def setting_type(
    parse: Callable[[str], T], keys: Callable[[], Iterable[str]] = keys_in_schema
) -> Completed[T]:
    """Return the type of `KEY=VALUE`, whose keys, and the datasets of data.dataset, are known."""

    def words(incomplete: str) -> Iterable[str]:
        key, equals, _ = incomplete.partition("=")
        if equals:
            return [f"{key}={name}" for name in _datasets()] if key == "data.dataset" else ()
        return [f"{key}=" for key in keys()]

    return Completed("setting", parse, words)


def _yaml_files(incomplete: str) -> list[str]:
    """Return the YAML files that begin with what was typed."""
    folder, _, name = incomplete.rpartition("/")
    if any(letter in incomplete for letter in "*?["):
        return []
    found = Path(f"{folder}/" if folder or incomplete[:1] == "/" else ".").glob(f"{name}*.y*ml")
    return sorted(f"{folder}/{path.name}" if folder else path.name for path in found)


def _datasets(_: str = "") -> Iterable[str]:
    from mnistlin.data.catalog import DATASETS

    return DATASETS


def sweepable() -> list[str]:
    """Return the keys that a sweep may vary."""
    return sweepable_keys_in_schema()


CONFIG = Completed("config", str, lambda typed: [*shipped_configs(), *_yaml_files(typed)])
REPORT = Completed("report", str, lambda typed: [*shipped_reports(), *_yaml_files(typed)])
DATASET = Completed("dataset", str, _datasets, "dir")
FILE = Completed("file", str)
