"""Where a run comes from: program, machine, code, data and warnings; and what has changed since.

Also which unfinished runs may be resumed, and what their run.json says then.
"""

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_info

from mnistlin._version import __version__
from mnistlin.config import ExperimentConfig
from mnistlin.data.splits import Split, Splits, load_splits
from mnistlin.errors import DataError, RunError
from mnistlin.model.products import FIXED_SCALINGS, Scaling
from mnistlin.runs.folder import Run
from mnistlin.runs.records import (
    DataRecord,
    GitRecord,
    Origin,
    Resumption,
    ScalingRecord,
    SplitRecord,
    SplitRecords,
    utc_now,
)
from mnistlin.runs.scan import ENDED

LIBRARIES = ("numpy", "scipy", "matplotlib", "pydantic", "pyyaml", "click")

SELECTION_ON_TEST_DATA = "model selection used the test set"
"""The warning of a run whose validation set, by which models are chosen, is the test file."""

_MAY_CHANGE_BITS = ("mnistlin", "git", "python", "libraries", "blas", "cpu", "platform")

_Info = TypeVar("_Info", bound=Origin)


def describe_origin(config: ExperimentConfig, splits: Splits) -> Origin:
    """Return the initial content of run.json and sweep.json: program, machine, time and data."""
    selection = (SELECTION_ON_TEST_DATA,) if config.data.val_from == "test" else ()
    return Origin(
        started_utc=utc_now(),
        warnings=(*selection, *splits.warnings),
        command=this_command(),
        mnistlin=__version__,
        git=_git_state(),
        python=platform.python_version(),
        libraries={name: _version(name) for name in LIBRARIES},
        blas=_blas(),
        cpu=_cpu(),
        platform=platform.platform(),
        data=describe_data(splits),
        config=config,
    )


def describe_data(splits: Splits) -> DataRecord:
    """Return which images were used, each split with the SHA-256 of its pixels and its labels."""
    return DataRecord(
        dataset=splits.dataset,
        folder=_utf8(str(splits.folder.absolute())),
        classes=splits.train.classes,
        class_names=_named(splits),
        image_shape=splits.train.image_shape,
        scaling=_describe_scaling(splits.train.scaling),
        splits=SplitRecords(
            train=_describe_split(splits.train),
            val=_describe_split(splits.val),
            test=_describe_split(splits.test) if splits.test else None,
        ),
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ between two nested mappings, by path (`libraries.numpy`).

    A missing value is None.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = differences(old, new)
            found |= {f"{key}.{path}": values for path, values in inner.items()}
        elif old != new:
            found[key] = (old, new)
    return found


def changes(before: Origin, now: Origin) -> dict[str, tuple[Any, Any]]:
    """Return what differs in program and machine, which may change the last bits of the results."""
    return differences(*(info.model_dump(include=set(_MAY_CHANGE_BITS)) for info in (before, now)))


def _named(splits: Splits) -> tuple[str, ...]:
    """Return the names of the classes, a label without a name as itself; empty if none has one."""
    names = splits.class_names
    return tuple(names.get(label, str(label)) for label in splits.train.classes if names)


def data_changes(before: DataRecord, now: DataRecord) -> dict[str, tuple[Any, Any]]:
    """Return what differs in the data, wherever it is; by path, such as `data.classes`."""
    return differences({"data": before.identity}, {"data": now.identity})


def load_own_splits(run: Run) -> Splits:
    """Load the images and labels of a run again.

    Raises
    ------
    DataError
        If they are missing, or their hashes differ from those in run.json.
    ConfigError
        If the files do not have the rows or classes of the config any more.
    """
    splits = load_splits(run.config.data, run.info.data.recorded_folder, run.config.training)
    changed = data_changes(run.info.data, describe_data(splits))
    if changed:
        raise DataError(
            f"{splits.folder} holds other data than {run.path} was made with: {', '.join(changed)} "
            "differ from run.json; put the old files back, or train the run again"
        )
    return splits


def config_changes(info: Origin, config: ExperimentConfig) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the config that a folder was started with and this one."""
    before = info.config.identity if info.config else {}
    return differences({"config": before}, {"config": config.identity})


def this_command() -> tuple[str, ...]:
    """Return the command line of this process."""
    return (Path(sys.argv[0]).name, *map(_utf8, sys.argv[1:]))


def _utf8(path: str) -> str:
    """Escape the bytes of a path that are not UTF-8, as all text of a run folder is."""
    return path.encode(errors="backslashreplace").decode()


def check_is_unfinished(run: Run) -> None:
    """Check that a run can be resumed: it has not ended, and is not a member of a sweep.

    Raises
    ------
    RunError
        If it cannot.
    """
    if run.info.stack is not None:
        raise RunError(
            f"{run.path} belongs to a sweep, which is resumed as a whole: `{run.resume_command}`"
        )
    if run.status in ENDED:
        raise RunError(
            f"{run.path} has ended ({run.status}), so there is nothing to resume; "
            f"`mnistlin replay {run.path}` trains it again to compare"
        )


def check_config_is_unchanged(path: Path, info: Origin, config: ExperimentConfig) -> None:
    """Check that the keys of config.yaml that affect results are those of the start.

    Raises
    ------
    RunError
        If not; the message names the keys.
    """
    if info.config is None:
        raise RunError(f"{path} cannot be resumed: the config that it was started with is unknown")
    changed = config_changes(info, config)
    if changed:
        listed = ", ".join(
            f"{key.removeprefix('config.')} from {old!s:.60} to {new!s:.60}"
            for key, (old, new) in changed.items()
        )
        raise RunError(
            f"{path / 'config.yaml'} was changed while this was unfinished: {listed}; undo that, "
            f"or start a new run with it: --config {path / 'config.yaml'}"
        )


def resumed_info(path: Path, info: _Info, origin: Origin, epoch: int | None = None) -> _Info:
    """Return what run.json (or sweep.json) in a folder says once the run (or sweep) is resumed.

    Parameters
    ----------
    path : Path
        The folder.
    info : Origin
        What it says so far.
    origin : Origin
        What run.json of a new run would say now.
    epoch : int, optional
        The epoch from which a run is resumed.

    Raises
    ------
    DataError
        If the data is not what it was started with.
    """
    other_data = data_changes(info.data, origin.data)
    if other_data:
        raise DataError(
            f"{path} was started with other data, so it cannot be resumed with what is in "
            f"{origin.data.folder} now; what differs: {', '.join(other_data)}"
        )
    resumption = Resumption(
        epoch=epoch,
        started_utc=utc_now(),
        command=origin.command,
        changed=changes(info, origin),
    )
    return info.updated(
        status="running",
        ended_utc=None,
        config=origin.config,
        resumed=(*info.resumed, resumption),
    )


def _describe_scaling(scaling: Scaling) -> ScalingRecord | None:
    """Return the mean and sd of a measured scaling; None for a fixed one."""
    is_fixed = scaling in FIXED_SCALINGS.values()
    return None if is_fixed else ScalingRecord(mean=scaling.mean, sd=scaling.divisor)


def _describe_split(split: Split) -> SplitRecord:
    hashes = {f"{what}_sha256": value for what, value in split.sha256().items()}
    return SplitRecord(n_samples=split.n_samples, **hashes)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # installed without metadata
        return None


def _blas() -> dict[str, str]:
    """Return library, version and kernel of NumPy's BLAS; SciPy may bring another."""
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


def _git_state() -> GitRecord | None:
    """Return commit and dirty flag of the checkout that this package runs from, if it is one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    commit, status = (_git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain"))
    return None if commit is None else GitRecord(commit=commit, dirty=bool(status))


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
