"""How runs on one figure are told apart: by the config keys in which they differ."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mnistlin.config import ExperimentConfig
from mnistlin.figures.captions import plain
from mnistlin.runs.folder import Run

WITHOUT_EFFECT = frozenset({"training.checkpoint_seconds"})
"""Keys that decide none of a run's numbers."""

UNORDERED = frozenset({"training.seed"})
"""Keys whose values are numbers that mean nothing by their size."""

MAX_KEYS = 4


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Return the config keys in which runs differ, by path, such as "training.shuffle".

    The name counts only if nothing else differs.
    """
    configs = [_flat(run.config) for run in runs]
    paths = dict.fromkeys(path for config in configs for path in config)
    differing = [path for path in paths if len({_text(config, path) for config in configs}) > 1]
    telling = [path for path in differing if path not in WITHOUT_EFFECT]
    return [path for path in telling if path != "name"] or telling


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return a label a run, all different, such as "shuffle: false", with a line a key.

    If only names differ, or more than MAX_KEYS keys do, the label is the name. Runs that still have
    the same label are told apart by their folders.
    """
    keys = differing_keys(runs)
    is_name_enough = keys == ["name"] or len(keys) > MAX_KEYS
    labels = [
        plain(run.config.name) if is_name_enough else _label(_flat(run.config), keys)
        for run in runs
    ]
    times = Counter(labels)
    return [
        label
        if label and times[label] == 1
        else "\n".join(filter(None, [label, plain(run.path.name)]))
        for label, run in zip(labels, runs, strict=True)
    ]


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return runs sorted by the one key in which they differ if it holds numbers, else as given."""
    numbers = _numbers(runs)
    if numbers is None:
        return list(runs)
    return [runs[i] for i in sorted(range(len(runs)), key=numbers.__getitem__)]


def ordered_values(runs: Sequence[Run]) -> list[float] | None:
    """Return each run's value of the one key in which runs differ, if it is one of a quantity."""
    return None if UNORDERED.intersection(differing_keys(runs)) else _numbers(runs)


def _numbers(runs: Sequence[Run]) -> list[float] | None:
    keys = differing_keys(runs)
    values: list[Any] = [_flat(run.config).get(key) for key in keys for run in runs]
    are_numbers = len(keys) == 1 and all(type(value) in (int, float) for value in values)
    return [float(value) for value in values] if are_numbers else None


def _flat(config: ExperimentConfig) -> dict[str, Any]:
    """Return a config's values by their paths; a section that is off is a value, None."""
    flat: dict[str, Any] = {}
    for name, section in config.model_dump(mode="json", exclude={"sweep"}).items():
        if isinstance(section, dict):
            flat |= {f"{name}.{key}": value for key, value in section.items()}
        else:
            flat[name] = section
    return flat


def _label(config: dict[str, Any], keys: Sequence[str]) -> str:
    return "\n".join(
        plain(f"{key.rpartition('.')[2]}: {_text(config, key)}") for key in keys if key in config
    )


def _text(config: dict[str, Any], path: str) -> str:
    """Return a value as YAML has it."""
    value = config.get(path, "absent")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
