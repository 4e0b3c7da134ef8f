"""Where a run comes from: command, time, versions, machine, code and data, for run.json.

Which runs may be gone on with, and what run.json says when one is.

The state that a run goes on from is in `checkpoint`.
"""

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Split, Splits
from mnistlin.errors import DataError, RunError
from mnistlin.runs.folder import Run

LIBRARIES = ("numpy", "scipy", "matplotlib", "pydantic", "pyyaml", "click")

ORIGIN_KEYS = ("mnistlin", "git", "python", "libraries", "blas", "cpu", "platform")
"""What of run.json may explain that the same experiment has other bits."""


def utc_now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 has it: 2026-01-14T09:30:12Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe_origin(command: Sequence[str]) -> dict[str, Any]:
    """Return what can be known about the program and machine of a run.

    Parameters
    ----------
    command : sequence of str
        The command line, or what else began the run.
    """
    return {
        "command": list(command),
        "mnistlin": _version("mnistlin"),
        "git": _git_state(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "blas": _blas(),
        "cpu": _cpu(),
        "platform": platform.platform(),
    }


def describe_data(splits: Splits) -> dict[str, Any]:
    """Return which images were used, each split with the SHA-256 of its pixels and its labels."""
    named: Mapping[str, Split | None] = {
        "train": splits.train,
        "val": splits.val,
        "test": splits.test,
    }
    return {
        "dataset": splits.dataset,
        "classes": list(splits.train.classes),
        "image_shape": list(splits.train.image_shape),
        "splits": {name: _describe_split(split) for name, split in named.items() if split},
    }


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two nested mappings.

    Parameters
    ----------
    before, now : mapping
        Such as what two runs say of their origin, or two configs.
    keys : sequence of str, optional
        Which of their keys to look at; None for all.

    Returns
    -------
    dict of str to (object, object)
        By path (`libraries.numpy`) the two values, None for one that is not there.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in keys or [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = differences(old, new)
            found |= {f"{key}.{path}": values for path, values in inner.items()}
        elif old != new:
            found[key] = (old, new)
    return found


def _describe_split(split: Split) -> dict[str, Any]:
    hashes = {f"{what}_sha256": value for what, value in split.sha256().items()}
    return {"n_samples": split.n_samples, **hashes}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # installed without saying so
        return None


def _blas() -> dict[str, str]:
    """Return library, version and kernel of the BLAS under NumPy; SciPy may bring another."""
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    of_numpy = [library for library in found if "numpy" in library["filepath"]]
    for library in of_numpy or found:
        return {key: str(library.get(key)) for key in ("internal_api", "version", "architecture")}
    return {}


def _cpu() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_state() -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout that this package runs from, if it is one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    commit, status = (_git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain"))
    return None if commit is None else {"commit": commit, "dirty": bool(status)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (fixed words, no shell)
            ["git", "-C", str(root), *arguments],  # noqa: S607 (whichever git the user has)
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def this_command() -> list[str]:
    """Return the command line of this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


ENDED = frozenset({"finished", "early_stopped", "diverged"})
"""Statuses of runs that came to their own end."""


def check_is_unfinished(run: Run) -> None:
    """Check that there is something left to train of a run, and that it is not a sweep's affair.

    Raises
    ------
    RunError
        If it has ended, or belongs to a sweep.
    """
    if "stack" in run.info:
        raise RunError(
            f"{run.path} belongs to a sweep, which is resumed as a whole: "
            f"`mnistlin sweep-lambda --resume {run.path.resolve().parent}`"
        )
    if run.status in ENDED:
        raise RunError(
            f"{run.path} has ended ({run.status}), so there is nothing to resume; "
            f"`mnistlin replay {run.path}` trains it again to compare"
        )


def check_config_is_unchanged(
    path: Path, info: Mapping[str, Any], config: ExperimentConfig
) -> None:
    """Check that the config.yaml of a run (or sweep) still is what it began with.

    Parameters
    ----------
    path : Path
        The folder.
    info : mapping
        What its run.json (or sweep.json) says, which has the config too.
    config : ExperimentConfig
        What config.yaml says.

    Raises
    ------
    RunError
        If not; the message names the keys.
    """
    before = info.get("config")
    if not isinstance(before, dict):
        raise RunError(f"{path} cannot be resumed: what config it began with is not known any more")
    changes = differences(before, config.model_dump(mode="json"))
    if changes:
        listed = ", ".join(
            f"{key} from {old!s:.60} to {new!s:.60}" for key, (old, new) in changes.items()
        )
        raise RunError(
            f"{path / 'config.yaml'} was changed while this was unfinished: {listed}; undo that, "
            f"or begin anew with it: --config {path / 'config.yaml'}"
        )


def resumed_info(
    path: Path, info: Mapping[str, Any], origin: Mapping[str, Any], **where: Any
) -> dict[str, Any]:
    """Return what run.json (or sweep.json) says once a run (or sweep) is gone on with.

    Parameters
    ----------
    path : Path
        The folder.
    info : mapping
        What it says so far.
    origin : mapping
        What a new run would say of itself here and now.
    where : object
        What else is to be said of this resumption.

    Returns
    -------
    dict
        As before, with one more entry under `resumed`: where, when, by what command, and what
        changed since the beginning (by path, both values), for that may change the bits.

    Raises
    ------
    DataError
        If the data is not the data that it began with.
    """
    other_data = differences(info, origin, ["data"])
    if other_data:
        raise DataError(
            f"{path} began with other data, so it cannot be resumed with what is there now; "
            f"what differs: {', '.join(other_data)}"
        )
    resumption = {
        **where,
        "started_utc": utc_now(),
        "command": origin["command"],
        "changed": differences(info, origin, ORIGIN_KEYS),
    }
    earlier = info.get("resumed")
    earlier = earlier if isinstance(earlier, list) else []
    return {**info, "status": "running", "resumed": [*earlier, resumption]}
