"""A run folder: made once, never shared, and read back. Writing into one is in `writer`.

config.yaml  run.json  metrics.csv  steps.csv  summary.json  weights.npz  confusion.csv  plots/
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mnistlin.config import ExperimentConfig, parse_config
from mnistlin.errors import ConfigError, RunError
from mnistlin.model.linear import HEADS, Head
from mnistlin.model.products import SYMMETRIC, Floats
from mnistlin.runs.classifier import Classifier, WeightsName, make_classifier
from mnistlin.runs.files import open_plain, os_errors_as_run_errors, read_npz
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, read_columns

Status: TypeAlias = Literal[
    "running", "finished", "early_stopped", "interrupted", "diverged", "failed"
]

_MAX_TEXT_BYTES = 2**22  # a command line, the longest thing in it, has at most half of that


def make_folder(parent: Path, name: str) -> Path:
    """Make a folder that no other process has or gets: <parent>/<UTC>_<name>, -2, -3 on collision.

    Raises
    ------
    RunError
        If it cannot be made.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "run"
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{safe}"
    with os_errors_as_run_errors("make the folder", parent / stem):
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = parent / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise RunError(f"cannot make the folder {parent / stem}: 9,999 like it exist already")


@dataclass(frozen=True)
class Run:
    """A run folder, read when asked.

    Attributes
    ----------
    path : Path
        The folder.
    config : ExperimentConfig
        The resolved config.
    info : dict
        run.json: status, command, times, versions, machine, data.
    """

    path: Path
    config: ExperimentConfig
    info: Mapping[str, Any]

    @property
    def status(self) -> Status:
        """running, finished, early_stopped, interrupted, diverged or failed."""
        status: Status = self.info["status"]
        return status

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """summary.json: last and best check, where and why training ended, how long it took."""
        return read_json(self.path / "summary.json")

    @cached_property
    def metrics(self) -> Mapping[str, NDArray[Any]]:
        """metrics.csv by column: a value a check."""
        return read_columns(self.path / "metrics.csv", METRICS_COLUMNS)

    @cached_property
    def steps(self) -> Mapping[str, NDArray[Any]]:
        """steps.csv by column: a value a step."""
        return read_columns(self.path / "steps.csv", STEPS_COLUMNS)

    @cached_property
    def weights(self) -> Mapping[str, Floats]:
        """weights.npz: `last` and `best`, each (n_features + 1, n_outputs), the bias row last."""
        return _read_weights(self.path / "weights.npz", self.weights_shape)

    def classifier(self, weights: WeightsName = "last") -> Classifier:
        """Return the model with the weights of the last or of the best check."""
        return make_classifier(self.weights[weights], self.classes, self.image_shape, SYMMETRIC)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """confusion.csv: how often class i (row) was taken for class j (column)."""
        columns = read_columns(self.path / "confusion.csv", ("true", *map(str, self.classes)))
        if columns["true"].tolist() != list(self.classes):
            raise RunError(f"{self.path / 'confusion.csv'} does not have a row for each class")
        return np.stack([columns[str(label)] for label in self.classes], axis=1)

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels, in the order of class indices."""
        return tuple(self.info["data"]["classes"])

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        height, width = self.info["data"]["image_shape"]
        return height, width

    @property
    def head(self) -> Head:
        """What the logits of its model mean."""
        return HEADS[self.config.model]

    @property
    def weights_shape(self) -> tuple[int, int]:
        """(n_features + 1, n_outputs)."""
        height, width = self.image_shape
        return height * width + 1, self.head.n_outputs(len(self.classes))


def load_run(path: str | Path) -> Run:
    """Open a run folder.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Run
        Its tables and weights are read when they are first asked for, and raise RunError if they
        are missing or damaged.

    Raises
    ------
    RunError
        If it is not a run folder, or what makes it one cannot be read.
    """
    path = Path(path)
    if not _is_there(path / "run.json"):
        if _is_there(path / "sweep.json"):
            raise RunError(
                f"{path} is the folder of a sweep: its runs are the folders in it, and "
                f"`mnistlin sweep-lambda --resume {path}` goes on with it"
            )
        raise RunError(
            f"{path} is not a run folder: it has no run.json; `mnistlin runs` lists runs"
        )
    info = read_json(path / "run.json")
    _check_info(path / "run.json", info)
    return Run(path, read_config(path / "config.yaml"), info)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def read_config(path: Path) -> ExperimentConfig:
    """Read the config.yaml of a run; a RunError says what is wrong with it."""
    try:
        return parse_config(_read_text(path), str(path))
    except ConfigError as error:
        raise RunError(f"{path.parent} is a damaged run folder: {error}") from None


def _read_text(path: Path) -> str:
    with open_plain(path, _MAX_TEXT_BYTES) as file:
        content = file.read()
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RunError(f"{path} is damaged: it is not UTF-8 text") from None


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON object of a run; a RunError says what is wrong with it."""
    text = _read_text(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: found a {type(values).__name__}; it must hold a JSON object")
    return values


def _check_info(path: Path, info: Mapping[str, Any]) -> None:
    """Check the part of run.json that other files are read by."""
    data = info.get("data")
    data = data if isinstance(data, dict) else {}
    is_sound = (
        info.get("status") in get_args(Status)
        and _are_integers(data.get("classes"), range(256))
        and len(set(data["classes"])) == len(data["classes"])
        and _are_integers(data.get("image_shape"), range(1, 2**16))
        and len(data["image_shape"]) == 2
    )
    if not is_sound:
        raise RunError(f"{path}: status, data.classes or data.image_shape is missing or damaged")


def _are_integers(values: object, allowed: range) -> bool:
    return (
        isinstance(values, list)
        and bool(values)
        and all(type(value) is int and value in allowed for value in values)
    )


def _read_weights(path: Path, shape: tuple[int, int]) -> Mapping[str, Floats]:
    weights = read_npz(path, {"last": shape, "best": shape})
    for name, W in weights.items():
        if W.dtype.kind != "f":
            raise RunError(f"{path} is damaged: {name!r} holds {W.dtype}; expected floats")
    return weights
