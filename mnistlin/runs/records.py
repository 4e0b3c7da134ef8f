"""The content of run.json, sweep.json and summary.json: typed, and checked once, when read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from mnistlin.config import ExperimentConfig
from mnistlin.config.schema import Label, Lambda, Seed, distinct
from mnistlin.errors import RunError
from mnistlin.runs.files import read_bytes

Status: TypeAlias = Literal[
    "running", "finished", "early_stopped", "interrupted", "diverged", "failed"
]
SweepStatus: TypeAlias = Literal["running", "finished", "partly_failed", "interrupted", "failed"]
ResultFile: TypeAlias = Literal[
    "metrics.csv", "steps.csv", "weights.npz", "summary.json", "confusion.csv"
]

MAX_STACK = 1000
"""Maximum number of members in a stack; each takes memory when it is trained again."""


_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Step = Annotated[int, Field(ge=-1, lt=2**63)]  # -1: training diverged in the first step
_Pixels = Annotated[int, Field(ge=1, lt=2**16)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Record(BaseModel):
    """An object of a JSON file. Unknown keys, such as those of later versions, are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class FileRecord(_Record):
    """Size and hash of a result file when its run ended."""

    bytes: _Count
    sha256: _Sha256


class SplitRecord(_Record):
    """Which samples a split has: hashes of their pixels and of their labels, in order."""

    n_samples: Annotated[int, Field(ge=1, lt=2**63)]
    images_sha256: _Sha256
    labels_sha256: _Sha256


class SplitRecords(_Record):
    """The splits of a run; `test` only where validation images come from the training file."""

    train: SplitRecord
    val: SplitRecord
    test: SplitRecord | None = None


class ScalingRecord(_Record):
    """The scaling `standard`: (pixel - mean) / sd."""

    mean: Annotated[float, Field(ge=0, le=255)]
    sd: Annotated[float, Field(gt=0, le=255)]


class DataRecord(_Record):
    """The data of a run."""

    dataset: str
    folder: str | None = None  # unknown to 0.1.0
    classes: Annotated[
        tuple[Label, ...], Field(strict=False, min_length=1), AfterValidator(distinct)
    ]
    class_names: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """In the order of `classes`; empty if the labels are the names."""
    image_shape: Annotated[tuple[_Pixels, _Pixels], Field(strict=False)]
    scaling: ScalingRecord | None = None  # of data.scaling: standard
    splits: SplitRecords

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to have used the same data, wherever it was."""
        return self.model_dump(mode="json", exclude={"folder", "class_names"}, exclude_none=True)

    @property
    def recorded_folder(self) -> Path | None:
        """The absolute folder in which the data was found, if it is known."""
        return Path(self.folder) if self.folder and Path(self.folder).is_absolute() else None


class GitRecord(_Record):
    """The checkout that the package ran from."""

    commit: str
    dirty: bool


class StackRecord(_Record):
    """The stack in which a member of a sweep was trained; `sweep` is the name of its folder.

    `learning_rates` is empty if all members have the same.
    """

    sweep: str
    l2_lambdas: Annotated[
        tuple[Lambda, ...], Field(strict=False, min_length=1, max_length=MAX_STACK)
    ]
    learning_rates: Annotated[tuple[Lambda, ...], Field(strict=False)] = ()
    seed: Seed

    @model_validator(mode="after")
    def _has_rates_of_all(self) -> Self:
        if len(self.learning_rates) not in {0, len(self.l2_lambdas)}:
            raise ValueError("learning_rates: one for each member, or none")
        return self


class Resumption(_Record):
    """One time a run or sweep was resumed, and what had changed since it was started."""

    epoch: _Count | None = None  # of a run
    started_utc: str
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    changed: dict[str, Annotated[tuple[JsonValue, JsonValue], Field(strict=False)]] = {}


class FailureRecord(_Record):
    """Members of a sweep that could not be trained, by the names of their folders."""

    l2_lambdas: Annotated[tuple[Lambda, ...], Field(strict=False)] = ()
    runs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    seed: Seed
    error: str


class ChoiceRecord(_Record):
    """The member that was chosen, and its score on the test set, which was read for it alone."""

    chosen_by: Literal["accuracy", "loss"]
    test_run: str
    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    test_interval: Annotated[tuple[float, float], Field(strict=False)]
    test_loss: float


class UnstableRecord(_Record):
    """A member whose learning rate is too large for any run to stay at its minimum."""

    run: str
    largest_stable_rate: Annotated[float, Field(gt=0)]


class Origin(_Record):
    """What run.json and sweep.json share: where, when, by what and from which data."""

    status: str = "running"
    started_utc: str = ""
    ended_utc: str | None = None
    warnings: Annotated[tuple[str, ...], Field(strict=False)] = ()
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    mnistlin: str | None = None
    git: GitRecord | None = None
    python: str = ""
    libraries: dict[str, str | None] = {}
    blas: dict[str, str] = {}
    cpu: str = ""
    platform: str = ""
    data: DataRecord
    config: ExperimentConfig | None = None  # again, so that a change of config.yaml shows
    resumed: Annotated[tuple[Resumption, ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _reads_folders_of_0_1_0(cls, values: Any) -> Any:
        """Read the single `doubt` of version 0.1.0 as a warning."""
        if isinstance(values, dict) and isinstance(values.get("doubt"), str):
            return {**values, "warnings": [*values.get("warnings", ()), values["doubt"]]}
        return values

    @classmethod
    def of(cls, origin: "Origin", **values: Any) -> Self:
        """Return what a run or a sweep of this origin says, with these values added."""
        return cls(**{**dict(origin), **values})

    def updated(self, **values: Any) -> Self:
        """Return a copy with other values."""
        return self.model_copy(update=values)


class RunInfo(Origin):
    """run.json: status, command, times, versions, machine, data and hashes of a run."""

    status: Status = "running"
    stack: StackRecord | None = None
    files: dict[ResultFile, FileRecord] | None = None  # None while it is unfinished, and in 0.1.0


class SweepInfo(Origin):
    """sweep.json: as run.json, with the members that failed and the choice."""

    status: SweepStatus = "running"
    choice: ChoiceRecord | None = None
    unstable: Annotated[tuple[UnstableRecord, ...] | None, Field(strict=False)] = None
    """One seed for each setting; None if not tested yet."""
    chosen: str | None = None
    """The member that was chosen when the sweep had ended: the first seed of the best setting."""
    failures: Annotated[tuple[FailureRecord, ...], Field(strict=False)] = ()


class Summary(_Record):
    """summary.json: flat scalars. A run without a check has no values for its last and best one."""

    stop_reason: str
    stop_step: _Step
    stop_epoch: _Step
    last_step: _Count | None
    last_epoch: _Count | None
    last_train_loss: float | None
    last_train_accuracy: float | None
    last_val_loss: float | None
    last_val_accuracy: float | None
    last_l2_penalty: float | None
    last_weight_norm: float | None
    last_checks_without_improvement: _Count | None
    best_step: _Count | None
    best_epoch: _Count | None
    best_train_loss: float | None
    best_train_accuracy: float | None
    best_val_loss: float | None
    best_val_accuracy: float | None
    best_l2_penalty: float | None
    best_weight_norm: float | None
    best_checks_without_improvement: _Count | None
    test_loss: float | None = None
    test_accuracy: float | None = None
    n_train: _Count
    n_val: _Count
    train_seconds: float


_Kind = TypeVar("_Kind", bound=_Record)


def read_record(path: Path, kind: type[_Kind]) -> _Kind:
    """Read run.json as RunInfo, sweep.json as SweepInfo, or summary.json as Summary.

    Raises
    ------
    RunError
        If the file is missing, is not JSON, or has a value that is not allowed, such as NaN.
    """
    content = read_bytes(path)
    try:
        return kind.model_validate(from_json(content))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        first = problems[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        found = "" if first["type"] == "missing" else f"found {repr(first['input'])[:60]}; "
        raise RunError(f"{path} is damaged: {place}: {found}{first['msg']}{more}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None


def utc_now() -> str:
    """Return the time in UTC, in ISO 8601 to the millisecond: 2026-01-14T09:30:12.345Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
