"""Removing runs and sweeps, and no other folders."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from mnistlin.errors import RunError
from mnistlin.runs.files import LOCK_NAME, is_locked, sole_writer
from mnistlin.runs.records import RunInfo, SweepInfo, read_record
from mnistlin.runs.scan import is_sweep


def check_removable(path: Path) -> None:
    """Check that a folder is that of a run or a sweep that no process is writing.

    Raises
    ------
    RunError
        If it is not, or is a link.
    """
    if path.is_symlink():
        raise RunError(f"{path} is a link; name the folder that it points to: {path.resolve()}")
    if not any((path / name).is_file() for name in ("run.json", "sweep.json")):
        raise RunError(
            f"{path} is not the folder of a run or a sweep: it has no run.json and no sweep.json; "
            "`mnistlin runs` lists runs"
        )
    if is_sweep(path):
        read_record(path / "sweep.json", SweepInfo)
    else:
        read_record(path / "run.json", RunInfo)
    target = path.resolve()
    inside = [each for each in target.iterdir() if each.is_dir() and not each.is_symlink()]
    for folder in (target, *inside, *([target.parent] if is_sweep(target.parent) else [])):
        if is_locked(folder):
            raise RunError(
                f"{path} is in use: a process is writing {folder}; wait until it has ended, or end "
                "it first"
            )


def remove_folders(paths: Sequence[Path]) -> None:
    """Remove the folders of runs and sweeps; none if one of them cannot be removed.

    The record is removed last, so that an interrupted removal can be repeated. Links in a folder
    are removed, not followed.

    Raises
    ------
    RunError
        If a folder is not removable, or the system refuses.
    """
    for path in paths:
        check_removable(path)
    targets = {path.resolve() for path in paths}
    for target in sorted(targets):
        if targets.isdisjoint(target.parents):
            _remove(target)


def _remove(target: Path) -> None:
    record = target / ("sweep.json" if is_sweep(target) else "run.json")
    try:
        with sole_writer(target):
            for path in target.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path not in {record, target / LOCK_NAME}:
                    path.unlink()
            record.unlink()
        target.rmdir()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"cannot remove {target}: {reason}; check its permissions and repeat the command"
        ) from error
