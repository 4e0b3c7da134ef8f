"""Which of the runs in a folder are listed, in which order, and the table that fits a terminal."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from mnistlin.config import WITHOUT_EFFECT, config_keys, parse_setting
from mnistlin.errors import ConfigError
from mnistlin.runs.index import Entry
from mnistlin.runs.records import Summary
from mnistlin.runs.scan import short_name
from mnistlin.runs.sweep_folder import column_of, value_text
from mnistlin.runs.tables import GAP, aligned
from mnistlin.text import did_you_mean, printable

_RESULTS = ("last_val_accuracy", "best_val_accuracy", "stop_epoch")
_FIRST_KEYS = (
    *("data.dataset", "training.l2_lambda", "training.learning_rate", "training.seed", "model"),
)
"""Keys whose columns are the last to be dropped from a narrow table."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_FILTER = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Filter:
    """A condition on an entry, such as `last_val_accuracy > 0.9`."""

    key: str
    comparison: str
    value: Any

    def matches(self, entry: Entry) -> bool:
        """Return whether an entry, or a member of it, has the key with such a value."""
        return any(self._holds(value) for value in entry.values_of(self.key))

    def _holds(self, value: Any) -> bool:
        if self.comparison in {"=", "!="}:
            is_text = isinstance(value, str) and not isinstance(self.value, str)
            is_equal = value == (str(self.value) if is_text else self.value)
            return bool(is_equal == (self.comparison == "="))
        are_numbers = all(type(each) in (int, float) for each in (value, self.value))
        return are_numbers and bool(_COMPARISONS[self.comparison](value, self.value))


def parse_filter(text: str) -> Filter:
    """Parse a filter such as `training.seed=1` or `last_val_accuracy>0.9`.

    Raises
    ------
    ConfigError
        If it has another form, there is no such key, or the value is not YAML, or no number where
        it is compared by size.
    """
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"filter {text!r}: write it as KEY=VALUE, such as data.dataset=mnist, or with "
            "!=, <, <=, > or >=, such as 'last_val_accuracy>0.9'"
        )
    key, comparison = full_key(match[1]), match[2]
    _, value = parse_setting(f"{key}={match[3]}")
    if comparison not in {"=", "!="} and type(value) not in (int, float):
        raise ConfigError(f"filter {text!r}: found {match[3]!r}; {comparison} needs a number")
    return Filter(key, comparison, value)


def full_key(word: str) -> str:
    """Return the key of entries that a word names: the key itself, or the last part of one.

    Raises
    ------
    ConfigError
        If there is none.
    """
    known = known_keys()
    by_last_part = {column_of(key): key for key in reversed(known)}
    if word in known:
        return word
    if word in by_last_part:
        return by_last_part[word]
    raise ConfigError(
        f"unknown key {word!r}{did_you_mean(word, [*known, *by_last_part])}; allowed are config "
        "keys, such as training.seed, those of summary.json, such as last_val_accuracy, and "
        "name, kind, status, started_utc, run"
    )


def known_keys() -> list[str]:
    """Return all keys by which runs can be filtered and sorted."""
    of_entry = ["kind", "status", "started_utc", "run"]
    return [*of_entry, *config_keys(), *Summary.model_fields]


def sorted_by(entries: Sequence[Entry], key: str, *, descending: bool = False) -> list[Entry]:
    """Return entries in the order of one key, numbers by size; those without it come last."""

    def first(entry: Entry) -> Any:
        return next(iter(entry.values_of(key)), None)

    def rank(entry: Entry) -> tuple[int, float, str]:
        value = first(entry)
        is_number = isinstance(value, int | float)
        return (0, float(value), "") if is_number else (1, 0.0, str(value))

    having = [entry for entry in entries if first(entry) is not None]
    missing = [entry for entry in entries if first(entry) is None]
    return [*sorted(having, key=rank, reverse=descending), *missing]


def table(entries: Sequence[Entry], width: int | None = None) -> tuple[list[str], list[str]]:
    """Return the lines of a table of runs, header first, and the columns that did not fit.

    In addition to status and results there is a column for each config key in which the entries
    differ. Where the table is wider than `width`, the header is wrapped, then names of folders are
    shortened, and then columns are left out, except the first one, the folder.
    """
    if not entries:
        return [], []
    keys = differing_keys(entries)
    columns = {"run": [entry.path.name for entry in entries]}
    columns["status"] = [entry.status for entry in entries]
    columns |= {key: [_cell(entry, key) for entry in entries] for key in (*keys, *_RESULTS)}
    columns = {
        key: [printable(cell, kept="") for cell in column] for key, column in columns.items()
    }
    heads = {key: [column_of(key)] for key in columns}
    left_out: list[str] = []
    if width is not None and _width(heads, columns) > width:
        heads = {key: head.replace("_", "_\n").split("\n") for key, [head] in heads.items()}
    if width is not None and _width(heads, columns) > width:
        columns["run"] = list(map(short_name, columns["run"]))
        rest = [key for key in keys if key not in _FIRST_KEYS]
        main = [key for key in _FIRST_KEYS if key in keys]
        removable = ["status", "last_val_accuracy", *main, "stop_epoch", "best_val_accuracy", *rest]
        while removable and _width(heads, columns) > width:
            left_out.append(removable.pop())
            del columns[left_out[-1]]
    return _lines(heads, columns), left_out


def differing_keys(entries: Sequence[Entry]) -> list[str]:
    """Return the config keys in which entries differ, in the order of the config."""
    having = [entry.settings for entry in entries if entry.settings]
    return [
        key
        for key in config_keys()
        if key not in WITHOUT_EFFECT
        and len({repr(settings.get(key, ())) for settings in having}) > 1
    ]


def notes(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what to do about runs with problems."""
    for entry in entries:
        if entry.note:
            yield f"{entry.path.name}: {entry.note}"


def _cell(entry: Entry, key: str) -> str:
    values = entry.values_of(key)
    if len(values) > 1:
        return f"{len(values)} values"
    if not values or (key in _RESULTS and values[0] is None):
        return "-"
    if key.endswith("accuracy"):
        return f"{values[0]:.4f}"
    return "null" if values[0] is None else value_text(values[0])


def _width(heads: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[str]]) -> int:
    """Return the width of a table of these columns."""
    widths = [max(map(len, (*heads[key], *cells))) for key, cells in columns.items()]
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _lines(heads: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return aligned lines; those of the header end just above the cells."""
    n_lines = max(len(heads[key]) for key in columns)
    tops = ([""] * (n_lines - len(heads[key])) + [*heads[key]] for key in columns)
    return aligned([*zip(*tops, strict=True), *zip(*columns.values(), strict=True)])
