"""What an experiment config may contain: frozen models, their ranges, and rules between keys.

Rules that need the data (a batch larger than the training set, a class that does not occur) are
not here: they are checked when the data is loaded.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_COUNT = 2**31 - 1
"""Upper bound of every count and size; what is larger is a slip of the finger."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Label = Annotated[int, Field(ge=0, le=255)]
Lambda = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Value = TypeVar("Value")


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"each value may be named once, but {', '.join(repeated)} is repeated")
    return values


class _Section(BaseModel):
    """A mapping of a config: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(_Section):
    """Which images are trained on and which are validated on.

    Attributes
    ----------
    dataset : str
        `mnist`, `fashion-mnist`, `mnist-5k`, or the path of a folder of IDX files.
    classes : tuple of int, optional
        Labels to keep, filtered after the rows are cut. None keeps all. For a logistic model
        exactly two, of which the first is the target y = 1.
    train_size, val_size : int, optional
        Rows taken from the start of the training file, and of the file that validation comes
        from. None takes all (that is, all that are left).
    val_from : {"test", "train"}
        `test` validates on the test file, as the report does. `train` takes the rows after the
        training rows, and leaves the test file untouched until the end.
    """

    dataset: Annotated[str, Field(min_length=1)] = "mnist"
    classes: (
        Annotated[tuple[Label, ...], Field(strict=False, min_length=2), AfterValidator(_distinct)]
        | None
    ) = None
    train_size: Count | None = None
    val_size: Count | None = None
    val_from: Literal["test", "train"] = "test"


class TrainingConfig(_Section):
    """How mini-batch gradient descent runs.

    Attributes
    ----------
    epochs, batch_size : int
        Passes over the training set, and images a step.
    learning_rate : float
        Step length, constant over the run.
    l2_lambda : float
        λ of the penalty λ Σ W² (no ½; the bias is penalised too).
    shuffle : bool
        A new order of the images in every epoch, drawn from (seed, epoch).
    seed : int
        Seed of that order, the only randomness of a run.
    checks_per_epoch : int
        How often an epoch loss and accuracy are measured on both whole sets.
    dtype : {"float32", "float64"}
        Precision of weights and arithmetic.
    checkpoint_seconds : float
        Least time between two checkpoints; 0 writes one after every epoch.
    """

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    batch_size: Count = 128
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    l2_lambda: Lambda = 0.0
    shuffle: bool = True
    seed: Seed = 0
    checks_per_epoch: Count = 5
    dtype: Literal["float32", "float64"] = "float32"
    checkpoint_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0


class EarlyStoppingConfig(_Section):
    """When training ends before its last epoch.

    Attributes
    ----------
    patience : int
        Training stops at this many checks in a row without improvement.
    min_delta : float
        A check improves if its validation loss is below the best one by more than this (nats).
    """

    patience: Count = 10
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class SweepConfig(_Section):
    """Which experiments `sweep-lambda` runs: every λ with every seed."""

    l2_lambdas: Annotated[
        tuple[Lambda, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)
    ]
    seeds: Annotated[
        tuple[Seed, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)
    ] = (0,)


class ExperimentConfig(_Section):
    """One experiment, whole: everything that decides the numbers of a run."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = "experiment"
    model: Literal["logistic", "softmax"]
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    early_stopping: EarlyStoppingConfig | None = None
    sweep: SweepConfig | None = None

    @model_validator(mode="after")
    def _keeps_the_rules_between_keys(self) -> Self:
        broken = [problem for rule in (_classes_rule, _seeds_rule) if (problem := rule(self))]
        if broken:
            raise ValueError("\n".join(broken))
        return self


def _classes_rule(config: ExperimentConfig) -> str | None:
    classes = config.data.classes
    if config.model != "logistic" or (classes is not None and len(classes) == 2):
        return None
    found = "all" if classes is None else list(classes)
    return (
        f"data.classes: found {found}; a logistic model tells exactly two classes apart, "
        "such as [2, 3] (the first is target 1); for more, use model: softmax"
    )


def _seeds_rule(config: ExperimentConfig) -> str | None:
    if config.sweep is None or len(config.sweep.seeds) == 1 or config.training.shuffle:
        return None
    return (
        f"sweep.seeds: found {list(config.sweep.seeds)} with training.shuffle: false; the seed "
        "decides the order of batches alone, so all would be one run; set training.shuffle: true "
        "or name one seed"
    )
