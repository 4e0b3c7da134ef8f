"""Which runs may be gone on with, and what run.json says when one is.

The state that a run goes on from is in `checkpoint`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnistlin.config import ExperimentConfig
from mnistlin.errors import DataError, RunError
from mnistlin.runs.folder import Run
from mnistlin.runs.provenance import ORIGIN_KEYS, differences, utc_now

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
