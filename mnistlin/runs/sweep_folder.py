"""The folder of a sweep: its own files, read and written; its members are ordinary run folders.

config.yaml  sweep.json  sweep.csv  lambda-<λ>_seed-<seed>/  plots/
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from mnistlin.config import ExperimentConfig, SweepConfig, dump_yaml
from mnistlin.errors import RunError
from mnistlin.runs.files import (
    is_locked,
    json_bytes,
    marks_failure,
    remove_leftovers,
    write_bytes,
)
from mnistlin.runs.folder import Run, load_run, read_config
from mnistlin.runs.records import (
    ENDED,
    FailureRecord,
    SweepInfo,
    SweepStatus,
    read_record,
    utc_now,
)
from mnistlin.runs.tables import Value, csv_text, html_table

Key: TypeAlias = tuple[float, int]
"""What names a member: its λ and its seed."""

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
SWEEP_COLUMNS = (
    "l2_lambda",
    "seed",
    *(name.replace("last_weight_norm", "weight_norm") for name in _FROM_SUMMARY),
    "status",
    "run",
)


DIVERGED = "training diverged"
"""The `error` of a failure that training again would repeat."""


def member_name(key: Key) -> str:
    """Return the folder of a member, such as lambda-0.01_seed-0."""
    l2_lambda, seed = key
    shortest = repr(abs(l2_lambda)).removesuffix(".0").replace("+", "")  # abs: for -0.0
    return f"lambda-{shortest}_seed-{seed}"


def keys_of(sweep: SweepConfig) -> list[Key]:
    """Return the members of a sweep: λ after λ in the order of the config, each with all seeds."""
    return [(l2_lambda, seed) for l2_lambda in sweep.l2_lambdas for seed in sweep.seeds]


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
        return html_table([SWEEP_COLUMNS, *(_row(key, run) for key, run in self.members.items())])

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
        return shlex.join(["mnistlin", "sweep-lambda", "--resume", str(self.path)])

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Stacks that failed and members that diverged: l2_lambdas, seed and error of each."""
        return [failure.model_dump(mode="json") for failure in self.info.failures]

    @cached_property
    def members(self) -> Mapping[Key, Run]:
        """The members whose training has ended, λ after λ in the order of the config."""
        found = ((key, self._member(key)) for key in keys_of(self.settings))
        return {key: run for key, run in found if run is not None}

    @cached_property
    def by_lambda(self) -> Mapping[float, Mapping[int, Run]]:
        """The members that have a check and did not diverge, by λ in its order, then by seed."""
        sound = {
            key: run
            for key, run in self.members.items()
            if run.status != "diverged" and len(run.metrics["step"])
        }
        return {
            l2_lambda: {seed: run for (value, seed), run in sound.items() if value == l2_lambda}
            for l2_lambda in self.settings.l2_lambdas
        }

    def _member(self, key: Key) -> Run | None:
        """Return a member if its folder is complete."""
        try:
            run = load_run(self.path / member_name(key))
        except RunError:
            return None
        return run if run.status in ENDED else None


def is_sweep(path: Path) -> bool:
    """Return whether a folder is that of a sweep."""
    return (path / "sweep.json").is_file()


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
        self._order = keys_of(config.sweep) if config.sweep else []
        self._rows: dict[Key, Sequence[Value]] = {}
        self._info = info.updated(failures=())
        remove_leftovers(path)
        text = dump_yaml(config.model_dump(mode="json"))
        write_bytes(path / "config.yaml", text.encode(), durable=True)
        self._write_table()
        self._write_info()  # last: it makes the folder a sweep

    def add(self, members: Mapping[Key, Run]) -> None:
        """Add members whose training has ended to sweep.csv; those that diverged are failures."""
        self._rows |= {key: _row(key, run) for key, run in members.items()}
        for (l2_lambda, seed), run in members.items():
            if run.status == "diverged":
                self._fail([l2_lambda], seed, DIVERGED)
        self._write_table()

    def add_failure(self, l2_lambdas: Sequence[float], seed: int, reason: str) -> None:
        """Record why a stack could not be trained."""
        self._fail(l2_lambdas, seed, reason)
        blanks = [None] * len(_FROM_SUMMARY)
        for l2_lambda in l2_lambdas:
            self._rows[l2_lambda, seed] = (l2_lambda, seed, *blanks, "failed", None)
        self._write_table()

    def close(self) -> None:
        """Record in sweep.json how the sweep ended, which follows from its members."""
        statuses = {row[-2] for row in self._rows.values()}
        if len(self._rows) < len(self._order):
            self._end("interrupted")
        else:
            self._end("partly_failed" if statuses & {"failed", "diverged"} else "finished")

    def marks_failure(self) -> AbstractContextManager[None]:
        """Record it in sweep.json if something raises inside."""
        return marks_failure(self._end)

    def _fail(self, l2_lambdas: Sequence[float], seed: int, reason: str) -> None:
        failure = FailureRecord(l2_lambdas=tuple(l2_lambdas), seed=seed, error=reason)
        self._info = self._info.updated(failures=(*self._info.failures, failure))

    def _end(self, status: SweepStatus) -> None:
        self._info = self._info.updated(status=status, ended_utc=utc_now())
        self._write_info()

    def _write_info(self) -> None:
        content = json_bytes(self._info.model_dump(mode="json"))
        write_bytes(self.path / "sweep.json", content, durable=True)

    def _write_table(self) -> None:
        rows = [self._rows[key] for key in self._order if key in self._rows]
        write_bytes(self.path / "sweep.csv", csv_text([SWEEP_COLUMNS, *rows]).encode())


def _row(key: Key, run: Run) -> tuple[Value, ...]:
    """Return a member's row of sweep.csv."""
    return (*key, *(run.summary.get(name) for name in _FROM_SUMMARY), run.status, run.path.name)
