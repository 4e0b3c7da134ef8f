"""The files that come with the package: configs, report files and the JSON Schema of configs."""

import json
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

REPORTS = ("report", "tdt4265-published")
"""Names of the report files; all other YAML files are configs."""

_PACKAGE = Path(__file__).parent


def shipped_configs() -> dict[str, Path]:
    """Return the experiment configs that come with the package, by name, such as `quickstart`."""
    folder = _folder()
    paths = (path for path in folder.rglob("*.yaml") if path.stem not in REPORTS)
    names = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    return dict(sorted(names.items(), key=lambda item: ("/" in item[0], item[0])))


def shipped_reports() -> dict[str, Path]:
    """Return the report files that come with the package, by name."""
    paths = {name: _folder() / f"{name}.yaml" for name in REPORTS}
    return {name: path for name, path in paths.items() if path.is_file()}


def purpose(config: Path) -> str:
    """Return the first paragraph of a config's comments, which says what it shows."""
    text = config.read_text(encoding="utf-8")
    comments = (line.removeprefix("#").strip() for line in text.splitlines())
    rest = dropwhile(lambda line: line.startswith("yaml-language-server"), comments)
    return " ".join(takewhile(bool, rest))


def shipped_schema() -> Path:
    """Return the JSON Schema of configs that comes with the package, for editors."""
    return _folder() / "schema.json"


def keys_in_schema() -> list[str]:
    """Return the dotted keys of a config, from the shipped schema, which is quick to read."""
    schema = _read_schema()
    keys = []
    for name, about in schema["properties"].items():
        refs = [each["$ref"] for each in (about, *about.get("anyOf", ())) if "$ref" in each]
        sections = [schema["$defs"][ref.rpartition("/")[2]] for ref in refs]
        below = [f"{name}.{key}" for section in sections for key in section.get("properties", ())]
        keys += below or [name]
    return keys


def sweepable_keys_in_schema() -> list[str]:
    """Return the dotted keys that a sweep may vary, from the shipped schema."""
    over = _read_schema()["$defs"]["SweepConfig"]["properties"]["over"]
    keys: list[str] = over["propertyNames"]["enum"]
    return keys


def _read_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(shipped_schema().read_text(encoding="utf-8"))
    return schema


def _folder() -> Path:
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"
