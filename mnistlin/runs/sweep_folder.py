"""The folder of a sweep: its own files, written and read; its members are ordinary run folders.

config.yaml  sweep.json  sweep.csv  plots/  and a folder for each member, named by the swept keys:
lambda-0.01_seed-0/, learning_rate-0.1_lambda-0.01_seed-0/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import count, product
from pathlib import Path
from typing import Any, TypeAlias

from mnistlin.config import ExperimentConfig, SweepConfig, dump_yaml
from mnistlin.errors import RunError
from mnistlin.runs.files import (
    is_locked,
    json_bytes,
    marks_failure,
    remove_leftovers,
    sole_writer,
    sync_folder,
    write_bytes,
)
from mnistlin.runs.folder import Run, load_run, read_config, sweep_resume_command
from mnistlin.runs.records import (
    ChoiceRecord,
    FailureRecord,
    SweepInfo,
    SweepStatus,
    UnstableRecord,
    read_record,
    utc_now,
)
from mnistlin.runs.scan import ENDED, is_sweep
from mnistlin.runs.tables import Value, csv_text, html_table

Key: TypeAlias = tuple[Any, ...]
"""What identifies a member: its value of each swept key, and its seed."""

_FROM_SUMMARY = (
    "last_train_loss",
    "last_train_accuracy",
    "last_val_loss",
    "last_val_accuracy",
    "best_train_loss",
    "best_train_accuracy",
    "best_val_loss",
    "best_val_accuracy",
    "last_weight_norm",
    "stop_epoch",
)
_RENAMED = {"last_weight_norm": "weight_norm"}

DIVERGED = "training diverged"
"""The `error` of a failure that would be repeated by training again."""


def keys_of(sweep: SweepConfig) -> list[Key]:
    """Return the members: all combinations in the order of the config, each with all seeds."""
    return list(product(*sweep.swept.values(), sweep.seeds))


def column_of(key: str) -> str:
    """Return the column of a swept key in sweep.csv: its last part, such as l2_lambda."""
    return key.rpartition(".")[2]


def member_names(sweep: SweepConfig) -> dict[Key, str]:
    """Return the folder of each member, such as lambda-0.01_seed-0; -2, -3 on collision."""
    labels = ["lambda" if key == "training.l2_lambda" else column_of(key) for key in sweep.swept]
    names: dict[Key, str] = {}
    taken: set[str] = set()
    for key in keys_of(sweep):
        parts = zip([*labels, "seed"], key, strict=True)
        stem = "_".join(f"{label}-{_slug(value)}" for label, value in parts)
        name = stem
        for number in count(2):
            if name.lower() not in taken:  # some file systems ignore case
                break
            name = f"{stem}-{number}"
        taken.add(name.lower())
        names[key] = name
    return names


def _slug(value: Any) -> str:
    """Return a value as part of a file name."""
    if isinstance(value, float):
        return repr(abs(value)).removesuffix(".0").replace("+", "")  # abs: for -0.0
    if isinstance(value, tuple):
        return "-".join(map(_slug, value))
    return re.sub(r"[^A-Za-z0-9.]+", "-", value_text(value))[:40].strip("-.") or "x"


def value_text(value: Any) -> str:
    """Return the value of a swept key as tables and figures show it."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(map(value_text, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Sweep:
    """The folder of a sweep; its members are read on first use.

    Attributes
    ----------
    path : Path
        The folder.
    config : ExperimentConfig
        The resolved config.
    settings : SweepConfig
        Its section `sweep`.
    info : SweepInfo
        sweep.json: status, command, times, versions, machine, data, failures.
    """

    path: Path
    config: ExperimentConfig
    settings: SweepConfig
    info: SweepInfo

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}, {self.current_status}, {len(self.members)} runs)"

    def _repr_html_(self) -> str:
        """Return sweep.csv as a table, one row per member, which notebooks show."""
        rows = [_row(key, run) for key, run in self.members.items()]
        return html_table([csv_columns(self.settings.swept), *rows])

    @property
    def status(self) -> SweepStatus:
        """running, finished, partly_failed, interrupted or failed, as sweep.json says."""
        return self.info.status

    @property
    def current_status(self) -> str:
        """The status; `unfinished` where it is `running` and no process is writing the sweep."""
        is_dead = self.status == "running" and not is_locked(self.path)
        return "unfinished" if is_dead else self.status

    @property
    def resume_command(self) -> str:
        """The command that trains what is missing."""
        return sweep_resume_command(self.path)

    @property
    def recorded_folder(self) -> Path | None:
        """The folder in which the data was found; None if the members have different data."""
        return None if "data.dataset" in self.settings.swept else self.info.data.recorded_folder

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Stacks that failed and members that diverged: l2_lambdas, seed and error of each."""
        return [failure.model_dump(mode="json") for failure in self.info.failures]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What limits every finding about the sweep: warnings, status, changes to its members."""
        found = [*self.info.warnings]
        if self.current_status not in {"finished", "partly_failed"}:
            found.append(f"the sweep has not ended: {self.current_status}")
        n_failed = sum(len(failure.runs) for failure in self.info.failures)
        if n_failed:
            found.append(f"{n_failed} of {len(keys_of(self.settings))} members failed or diverged")
        modified = [run.path.name for run in self.members.values() if run.modified]
        if modified:
            found.append(f"modified since the run ended: {', '.join(modified)}")
        return tuple(found)

    @cached_property
    def members(self) -> Mapping[Key, Run]:
        """The members whose training has ended, in the order of the config."""
        found = ((key, self._member(name)) for key, name in member_names(self.settings).items())
        return {key: run for key, run in found if run is not None}

    @cached_property
    def by_setting(self) -> Mapping[Key, Mapping[int, Run]]:
        """The members with a check that did not diverge: for each combination, a run per seed."""
        found: dict[Key, dict[int, Run]] = {key[:-1]: {} for key in keys_of(self.settings)}
        for (*values, seed), run in self.members.items():
            if run.status != "diverged" and len(run.metrics["step"]):
                found[tuple(values)][seed] = run
        return found

    @cached_property
    def by_lambda(self) -> Mapping[float, Mapping[int, Run]]:
        """As `by_setting`, by λ; empty if the sweep is not over λ alone."""
        if list(self.settings.swept) != ["training.l2_lambda"]:
            return {}
        return {l2_lambda: runs for (l2_lambda,), runs in self.by_setting.items()}

    @cached_property
    def unstable(self) -> Mapping[Key, float]:
        """The settings that cannot stay at their minimum, with the largest learning rate that can.

        Empty too if `info.unstable` is None: they were not tested yet.
        """
        keys = {name: key[:-1] for key, name in member_names(self.settings).items()}
        found = self.info.unstable or ()
        return {keys[each.run]: each.largest_stable_rate for each in found if each.run in keys}

    @property
    def chosen(self) -> Run | None:
        """The member that was chosen when the sweep had ended, if one was."""
        name = self.info.chosen
        is_one = name is not None and name in member_names(self.settings).values()
        return self._member(str(name)) if is_one else None

    def _member(self, name: str) -> Run | None:
        """Return a member if its folder is complete."""
        try:
            run = load_run(self.path / name)
        except RunError:
            return None
        return run if run.status in ENDED else None


def load_sweep(path: str | Path) -> Sweep:
    """Open the folder of a sweep.

    Parameters
    ----------
    path : str or Path
        The folder.

    Raises
    ------
    RunError
        If it is not the folder of a sweep, or its sweep.json or config.yaml cannot be read.
    """
    path = Path(path)
    if not is_sweep(path):
        raise RunError(
            f"{path} is not the folder of a sweep: it has no sweep.json; "
            "`mnistlin runs` lists runs and sweeps"
        )
    info, config = read_record(path / "sweep.json", SweepInfo), read_config(path / "config.yaml")
    if config.sweep is None:
        raise RunError(f"{path} is a damaged sweep: its config.yaml has no section 'sweep'")
    return Sweep(path, config, config.sweep, info)


class SweepWriter:
    """Writes config.yaml, sweep.json and sweep.csv, into a new folder or that of a sweep to resume.

    `info` is the content of sweep.json until the sweep ends. Every method raises a RunError if
    something cannot be written.
    """

    def __init__(self, path: Path, config: ExperimentConfig, info: SweepInfo) -> None:
        self.path = path
        if config.sweep is None:
            raise ValueError("a sweep needs a config with a section `sweep`")
        self._names = member_names(config.sweep)
        self._keys = list(config.sweep.swept)
        self._rows: dict[Key, Sequence[Value]] = {}
        self._info = info.updated(failures=(), unstable=None, chosen=None)
        remove_leftovers(path)
        text = dump_yaml(config.model_dump(mode="json"))
        write_bytes(path / "config.yaml", text.encode(), durable=True)
        self._write_table()
        self._write_info()  # last: it makes the folder a sweep

    def add(self, members: Mapping[Key, Run]) -> None:
        """Add members whose training has ended to sweep.csv; those that diverged are failures."""
        self._rows |= {key: _row(key, run) for key, run in members.items()}
        for key, run in members.items():
            if run.status == "diverged":
                self._fail([key], DIVERGED)
        self._write_table()

    def add_failure(self, keys: Sequence[Key], reason: str) -> None:
        """Record why the members of a stack could not be trained."""
        self._fail(keys, reason)
        blanks = [None] * len(_FROM_SUMMARY)
        self._rows |= {key: (*_cells(key), *blanks, "failed", None) for key in keys}
        self._write_table()

    def folder_of(self, key: Key) -> Path:
        """Return the run folder of a member."""
        return self.path / self._names[key]

    def close(self) -> None:
        """Record in sweep.json how the sweep ended, which follows from its members."""
        statuses = {row[-2] for row in self._rows.values()}
        if len(self._rows) < len(self._names):
            self._end("interrupted")
        else:
            self._end("partly_failed" if statuses & {"failed", "diverged"} else "finished")

    def marks_failure(self) -> AbstractContextManager[None]:
        """Record the failure in sweep.json if an exception is raised inside."""
        return marks_failure(self._end)

    def _fail(self, keys: Sequence[Key], reason: str) -> None:
        failure = FailureRecord(
            l2_lambdas=tuple(
                value
                for key in keys
                for name, value in zip(self._keys, key, strict=False)
                if name == "training.l2_lambda"
            ),
            seed=keys[0][-1],
            error=reason,
            runs=tuple(self._names[key] for key in keys),
        )
        self._info = self._info.updated(failures=(*self._info.failures, failure))

    def _end(self, status: SweepStatus) -> None:
        self._info = self._info.updated(status=status, ended_utc=utc_now())
        self._write_info()

    def _write_info(self) -> None:
        _write_info(self.path, self._info)
        sync_folder(self.path)

    def _write_table(self) -> None:
        rows = [self._rows[key] for key in self._names if key in self._rows]
        write_bytes(self.path / "sweep.csv", csv_text([csv_columns(self._keys), *rows]).encode())


def record_choice(path: Path, choice: ChoiceRecord) -> None:
    """Record in sweep.json the chosen member and its score on the test set, once and for all.

    Raises
    ------
    RunError
        If there already is one, or it cannot be written.
    """
    with sole_writer(path):
        info = read_record(path / "sweep.json", SweepInfo)
        if info.choice is not None:
            raise RunError(f"{path / 'sweep.json'} already has a choice; it is made only once")
        _write_info(path, info.updated(choice=choice))


def record_unstable(path: Path, unstable: Sequence[UnstableRecord]) -> None:
    """Record in sweep.json which settings are unstable; RunError if that fails."""
    _record(path, unstable=tuple(unstable))


def record_chosen(path: Path, run: str) -> None:
    """Record in sweep.json which member was chosen; RunError if that fails."""
    _record(path, chosen=run)


def _record(path: Path, **values: Any) -> None:
    with sole_writer(path):
        info = read_record(path / "sweep.json", SweepInfo)
        _write_info(path, info.updated(**values))


def _write_info(path: Path, info: SweepInfo) -> None:
    content = json_bytes(info.model_dump(mode="json"))
    write_bytes(path / "sweep.json", content, durable=True)


def csv_columns(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of sweep.csv."""
    numbers = (_RENAMED.get(name, name) for name in _FROM_SUMMARY)
    return (*map(column_of, keys), "seed", *numbers, "status", "run")


def _row(key: Key, run: Run) -> tuple[Value, ...]:
    """Return a member's row of sweep.csv."""
    numbers = (run.summary.get(name) for name in _FROM_SUMMARY)
    return (*_cells(key), *numbers, run.status, run.path.name)


def _cells(key: Key) -> tuple[Value, ...]:
    """Return the cells of a member's swept values and seed."""
    return tuple(v if type(v) in {int, float} else value_text(v) for v in key)
