"""A run folder: made once, never shared, and read back. `writer` writes into it.

config.yaml  run.json  metrics.csv  steps.csv  summary.json  weights.npz  confusion.csv  plots/
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistlin.config import ExperimentConfig, parse_config
from mnistlin.errors import ConfigError, RunError
from mnistlin.model.heads import HEADS, Head
from mnistlin.model.products import FIXED_SCALINGS, Floats, Scaling
from mnistlin.runs.arrays import read_npz
from mnistlin.runs.classifier import Classifier, WeightsName, make_classifier
from mnistlin.runs.files import (
    is_locked,
    os_errors_as_run_errors,
    read_text,
    sha256_of,
    sync_folder,
)
from mnistlin.runs.records import RunInfo, Status, Summary, read_record
from mnistlin.runs.scan import ENDED, is_run, is_sweep
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, html_table, read_columns

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def make_folder(parent: Path, name: str) -> Path:
    """Make a folder for this process alone: <parent>/<UTC>_<name>, with -2, -3 on collision.

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
            sync_folder(parent)
            return path
    raise RunError(f"cannot make the folder {parent / stem}: 9,999 such folders already exist")


@dataclass(frozen=True)
class Run:
    """A run folder, read lazily.

    Attributes
    ----------
    path : Path
        The folder.
    config : ExperimentConfig
        The resolved config.
    info : RunInfo
        run.json: status, command, times, versions, machine, data.
    """

    path: Path
    config: ExperimentConfig
    info: RunInfo

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.current_status})"

    def _repr_html_(self) -> str:
        """Return settings and result as a table, which notebooks show."""
        training = self.config.training
        rows = {
            "run": str(self.path),
            "status": self.current_status,
            "model": self.config.model,
            "dataset": self.config.data.dataset,
            "learning_rate": training.learning_rate,
            "l2_lambda": training.l2_lambda,
            "epochs": training.epochs,
            "seed": training.seed,
        }
        if self.status in ENDED:
            names = ("stop_epoch", "last_val_loss", "last_val_accuracy", "best_val_accuracy")
            rows |= {name: self.summary.get(name) for name in names}
        return html_table([(key, "" if value is None else value) for key, value in rows.items()])

    @property
    def status(self) -> Status:
        """running, finished, early_stopped, interrupted, diverged or failed, as run.json says."""
        return self.info.status

    @property
    def current_status(self) -> str:
        """The status; `unfinished` where run.json says `running` and no process is writing it."""
        folders = (self.path, self._sweep_folder) if self.info.stack else (self.path,)
        is_dead = self.status == "running" and not any(map(is_locked, folders))
        return "unfinished" if is_dead else self.status

    @property
    def resume_command(self) -> str:
        """The command that resumes the run, or the sweep that it belongs to."""
        if self.info.stack:
            return sweep_resume_command(self._sweep_folder)
        return shlex.join(["mnistlin", "train", "--resume", str(self.path)])

    @cached_property
    def modified(self) -> tuple[str, ...]:
        """Result files that are missing or differ from what the run wrote, by their SHA-256.

        Empty for a run that is unfinished or comes from version 0.1.0, which recorded no hashes.
        """
        return tuple(
            name
            for name, record in (self.info.files or {}).items()
            if name in self.resized or _sha256_or_none(self.path / name) != record.sha256
        )

    @cached_property
    def resized(self) -> tuple[str, ...]:
        """Result files that are missing or have another size than when the run ended."""
        return tuple(
            name
            for name, record in (self.info.files or {}).items()
            if _size_or_none(f"{self.path}{os.sep}{name}") != record.bytes
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Caveats for every result of this run: its recorded warnings, status and changes."""
        found = [*self.info.warnings]
        status = self.current_status
        if status == "diverged":
            found.append("training diverged")
        elif status not in ENDED:
            found.append(f"training has not ended: {status}")
        if self.modified:
            found.append(f"modified since the run ended: {', '.join(self.modified)}")
        return tuple(found)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """summary.json: last and best check, where and why training ended, how long it took."""
        return read_record(self._result("summary.json"), Summary).model_dump(exclude_unset=True)

    @cached_property
    def metrics(self) -> Mapping[str, NDArray[Any]]:
        """metrics.csv by column, with one value per check."""
        return read_columns(self.path / "metrics.csv", METRICS_COLUMNS)

    @cached_property
    def steps(self) -> Mapping[str, NDArray[Any]]:
        """steps.csv by column, with one value per step."""
        return read_columns(self.path / "steps.csv", STEPS_COLUMNS)

    @cached_property
    def weights(self) -> Mapping[str, Floats]:
        """weights.npz: `last` and `best`, each (n_features + 1, n_outputs), the bias row last."""
        path, shape = self._result("weights.npz"), self.weights_shape
        weights = read_npz(path, {"last": shape, "best": shape})
        for name, W in weights.items():
            if W.dtype.kind != "f" or not np.isfinite(W).all():
                raise RunError(f"{path} is damaged: {name!r} does not hold finite floats only")
        return weights

    def classifier(self, weights: WeightsName = "last") -> Classifier:
        """Return the model with the weights of the last or of the best check."""
        W = self.weights[weights]
        return make_classifier(W, self.head, self.classes, self.image_shape, self.scaling)

    def predict(self, images: ArrayLike) -> NDArray[np.int64]:
        """Return the label that the last weights give each image, as scikit-learn's `predict`.

        Parameters
        ----------
        images : array-like of shape (n_images, n_features) or (n_images, height, width)
            Pixel values, 0 to 255, in the form of the training images.

        Raises
        ------
        ValueError
            If the images have another shape.
        RunError
            If there are no weights, or they are damaged.
        """
        return self.classifier().predict(images)

    def predict_proba(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class, (n_images, n_classes), in the order of `classes_`.

        Parameters and errors are those of `predict`; RunError also if the model gives none.
        """
        return self.classifier().predict_proba(images)

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Labels in ascending order, as for `coef_`, `intercept_` and `predict_proba`."""
        return np.array(sorted(self.classes))

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Change of the logit per grey level, (n_classes, n_features); one row for two classes."""
        return self.classifier().coef_

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """Logits of a black image, (n_classes,); with two classes, one."""
        return self.classifier().intercept_

    def to_sklearn(self) -> "LogisticRegression":
        """Return the last weights as a fitted `sklearn.linear_model.LogisticRegression`.

        It works on raw pixels, (n_images, n_features).

        Raises
        ------
        MnistlinError
            If scikit-learn is not installed.
        """
        return self.classifier().to_sklearn()

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """confusion.csv: how often class i (row) was predicted as class j (column)."""
        path = self._result("confusion.csv")
        columns = read_columns(path, ("true", *map(str, self.classes)))
        if columns["true"].tolist() != list(self.classes):
            raise RunError(f"{path} does not have a row for each class")
        return np.stack([columns[str(label)] for label in self.classes], axis=1)

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels, in the order of class indices."""
        return self.info.data.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes when the run began, in the order of class indices, or the labels."""
        names = self.info.data.class_names
        return names if len(names) == len(self.classes) else tuple(map(str, self.classes))

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        return self.info.data.image_shape

    @property
    def scaling(self) -> Scaling:
        """How pixels became the inputs of the model."""
        name = self.config.data.scaling
        if name != "standard":
            return FIXED_SCALINGS[name]
        measured = self.info.data.scaling
        if measured is None:
            raise RunError(
                f"{self.path / 'run.json'}: data.scaling does not have the mean and sd of the "
                "training pixels"
            )
        return Scaling.standard(measured.mean, measured.sd)

    @property
    def head(self) -> Head:
        """What the logits of the model mean."""
        return HEADS[self.config.model]

    @property
    def weights_shape(self) -> tuple[int, int]:
        """(n_features + 1, n_outputs)."""
        height, width = self.image_shape
        return height * width + 1, self.head.n_outputs(len(self.classes))

    @property
    def _sweep_folder(self) -> Path:
        return self.path.resolve().parent

    def _result(self, name: str) -> Path:
        """Return the path of a file that exists once training has ended."""
        path = self.path / name
        if self.status not in ENDED and not path.exists():
            status = self.current_status
            advice = (
                "wait until it has ended"
                if status == "running"
                else f"`{self.resume_command}` resumes it"
            )
            raise RunError(f"{self.path} has no {name} yet, because it is {status}; {advice}")
        return path


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
        If it is not a run folder, or its run.json or config.yaml cannot be read.
    """
    path = Path(path)
    if not is_run(path):
        if is_sweep(path):
            raise RunError(
                f"{path} is the folder of a sweep: its runs are the folders in it, and "
                f"`{sweep_resume_command(path)}` resumes it"
            )
        is_there = os.path.exists(path)  # noqa: PTH110  Path.exists raises for a name too long
        what = "has no run.json" if is_there else "does not exist"
        raise RunError(f"{path} is not a run folder: it {what}; `mnistlin runs` lists runs")
    return Run(path, read_config(path / "config.yaml"), read_record(path / "run.json", RunInfo))


def sweep_resume_command(path: Path) -> str:
    """Return the command that trains what is missing of a sweep."""
    return shlex.join(["mnistlin", "sweep", "--resume", str(path)])


def read_config(path: Path) -> ExperimentConfig:
    """Read the config.yaml of a run; a RunError says what is wrong with it."""
    try:
        return parse_config(read_text(path), str(path))
    except ConfigError as error:
        raise RunError(f"{path.parent} is a damaged run folder: {error}") from None


def _size_or_none(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except RunError:
        return None
