"""The folder of a sweep: its own files, written and read; its members are ordinary run folders.

config.yaml  sweep.json  sweep.csv  lambda-<λ>_seed-<seed>/  plots/
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from mnistlin.config import ExperimentConfig, SweepConfig, dump_yaml
from mnistlin.errors import RunError
from mnistlin.runs.files import marks_failure, remove_leftovers, write_bytes, write_json
from mnistlin.runs.folder import Run, load_run, read_config, read_json
from mnistlin.runs.provenance import ENDED, utc_now
from mnistlin.runs.tables import Value, csv_text

SweepStatus: TypeAlias = Literal["running", "finished", "partly_failed", "interrupted", "failed"]

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
    info : mapping
        Content of sweep.json: status, command, times, versions, machine, data, failures.
    """

    path: Path
    config: ExperimentConfig
    settings: SweepConfig
    info: Mapping[str, Any]

    @property
    def status(self) -> str:
        """running, finished, partly_failed, interrupted or failed."""
        return str(self.info["status"])

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """Stacks that failed and members that diverged: l2_lambdas, seed and error of each."""
        failures = self.info.get("failures")
        return failures if isinstance(failures, list) else []

    @cached_property
    def members(self) -> Mapping[Key, Run]:
        """The members whose training has ended, λ after λ in the order of the config."""
        found = ((key, self._member(key)) for key in keys_of(self.settings))
        return {key: run for key, run in found if run is not None}

    @cached_property
    def by_lambda(self) -> Mapping[float, Mapping[int, Run]]:
        """The members with a check that did not diverge: for each λ, in its order, a run a seed."""
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
    info, config = read_json(path / "sweep.json"), read_config(path / "config.yaml")
    if info.get("status") not in get_args(SweepStatus) or config.sweep is None:
        raise RunError(f"{path} is a damaged sweep: it has no status, or its config no sweep")
    return Sweep(path, config, config.sweep, info)


class SweepWriter:
    """Writes config.yaml, sweep.json and sweep.csv, into a new folder or that of a sweep to resume.

    `info` is the content of sweep.json beside the status and the times. Every method raises a
    RunError if something cannot be written.
    """

    def __init__(self, path: Path, config: ExperimentConfig, info: Mapping[str, Any]) -> None:
        self.path = path
        self._order = keys_of(config.sweep) if config.sweep else []
        self._rows: dict[Key, Sequence[Value]] = {}
        values = config.model_dump(mode="json")
        self._info: dict[str, Any] = {
            "status": "running",
            "started_utc": utc_now(),
            **info,
            "ended_utc": None,
            "config": values,  # a copy, so that a change of config.yaml is noticed
            "failures": [],
        }
        remove_leftovers(path)
        write_bytes(path / "config.yaml", dump_yaml(values).encode())
        self._write_table()
        write_json(path / "sweep.json", self._info)  # last: it makes the folder a sweep

    def add(self, members: Mapping[Key, Run]) -> None:
        """Add members whose training has ended to sweep.csv; those that diverged are failures."""
        self._rows |= {key: _row(key, run) for key, run in members.items()}
        self._info["failures"] += [
            {"l2_lambdas": [key[0]], "seed": key[1], "error": DIVERGED}
            for key, run in members.items()
            if run.status == "diverged"
        ]
        self._write_table()

    def add_failure(self, l2_lambdas: Sequence[float], seed: int, reason: str) -> None:
        """Record why a stack could not be trained."""
        failure = {"l2_lambdas": list(l2_lambdas), "seed": seed, "error": reason}
        self._info["failures"].append(failure)
        blanks = [""] * len(_FROM_SUMMARY)
        for l2_lambda in l2_lambdas:
            self._rows[l2_lambda, seed] = (l2_lambda, seed, *blanks, "failed", "")
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

    def _end(self, status: SweepStatus) -> None:
        self._info |= {"status": status, "ended_utc": utc_now()}
        write_json(self.path / "sweep.json", self._info, durable=True)

    def _write_table(self) -> None:
        rows = [self._rows[key] for key in self._order if key in self._rows]
        write_bytes(self.path / "sweep.csv", csv_text([SWEEP_COLUMNS, *rows]).encode())


def _row(key: Key, run: Run) -> tuple[Value, ...]:
    """Return a member's row of sweep.csv; cells without a number stay empty."""
    found = (run.summary.get(name) for name in _FROM_SUMMARY)
    numbers = ("" if value is None else value for value in found)
    return (*key, *numbers, run.status, run.path.name)
