"""What an experiment config may contain: the keys, their ranges, and rules between keys.

The description of a key is written here once; the JSON Schema for editors and the documentation
take it from here. Rules that need the data (a batch larger than the training set, a class that
does not occur) are checked when the data is loaded.
"""

from functools import reduce
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from mnistlin.text import did_you_mean

MAX_COUNT = 2**31 - 1
"""Upper bound of every count and size; a larger number is a typo."""


WITHOUT_EFFECT = frozenset({"name", "training.checkpoint_seconds"})
"""Keys, by path, that do not affect the results of a run."""

Value = TypeVar("Value")


def distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return values that are all different; raise a ValueError that names those that are not."""
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"each value may be named once, but {', '.join(repeated)} is repeated")
    return values


_UNIQUE: dict[str, Any] = {"uniqueItems": True}

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Rows = Literal["first", "last", "sample"]
Label = Annotated[int, Field(ge=0, le=255)]
Lambda = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Classes = Annotated[
    tuple[Label, ...],
    Field(strict=False, min_length=2, json_schema_extra=_UNIQUE),
    AfterValidator(distinct),
]
Lambdas = Annotated[
    tuple[Lambda, ...],
    Field(strict=False, min_length=1, json_schema_extra=_UNIQUE),
    AfterValidator(distinct),
]
Seeds = Annotated[
    tuple[Seed, ...],
    Field(strict=False, min_length=1, json_schema_extra=_UNIQUE),
    AfterValidator(distinct),
]


class Section(BaseModel):
    """A mapping of a YAML file: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(Section):
    """Which images are used for training and which for validation."""

    dataset: str = Field(
        "mnist",
        min_length=1,
        description="mnist, fashion-mnist, mnist-5k, or the path of a folder of IDX files.",
    )
    classes: Classes | None = Field(
        None,
        description="Labels to keep, filtered after the rows are selected; null keeps all. "
        "A logistic model needs exactly two, and the first is the target y = 1.",
    )
    train_size: Count | None = Field(
        None, description="Rows of the training file used for training; null takes all."
    )
    train_rows: Rows = Field(
        "first",
        description="Which rows of the training file are used: the first, the last, or a random "
        "sample, drawn with training.seed and kept in the order drawn.",
    )
    val_size: Count | None = Field(
        None, description="Rows used for validation; null takes all that are available."
    )
    val_rows: Rows = Field("first", description="Which of the available rows are used.")
    val_from: Literal["test", "train"] = Field(
        "test",
        description="test: validate on the test file, as the report does. train: validate on the "
        "other rows of the training file; the test file is used once, at the end.",
    )
    scaling: Literal["symmetric", "unit", "standard"] = Field(
        "symmetric",
        description="How pixels become inputs. symmetric: x / 127.5 - 1. unit: x / 255. standard: "
        "(x - mean) / sd, over all pixels of the training images.",
    )


class TrainingConfig(Section):
    """How mini-batch gradient descent runs."""

    epochs: int = Field(50, ge=1, le=1_000_000, description="Passes over the training set.")
    batch_size: Count = Field(
        128, description="Images per step; the incomplete last batch of an epoch is dropped."
    )
    learning_rate: float = Field(
        0.01, gt=0, allow_inf_nan=False, description="Step length, constant over the run."
    )
    l2_lambda: Lambda = Field(
        0.0, description="λ of the penalty λ Σ W² (without ½; the bias is penalised too)."
    )
    shuffle: bool = Field(
        True, description="Whether the order of the images changes with every epoch."
    )
    order: Literal["independent", "legacy"] = Field(
        "independent",
        description="independent: the order of an epoch depends on seed and epoch alone. legacy: "
        "one numpy.random.RandomState(seed) shuffles the images again in each epoch, as in scripts "
        "of the course; sampled rows are drawn from it first.",
    )
    skip_orders: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Orders drawn and discarded before the first epoch, as if a script had trained "
        "other models first; needs order: legacy and shuffle: true.",
    )
    seed: Seed = Field(
        0,
        description="Seed of the order of the images and of sampled rows; nothing else in a run is "
        "random.",
    )
    checks_per_epoch: Count = Field(
        5,
        description="How often per epoch loss and accuracy are measured on the full training and "
        "validation sets.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="Precision of weights and arithmetic."
    )
    checkpoint_seconds: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="Minimum time between two checkpoints; 0 writes one after every segment.",
    )


class EarlyStoppingConfig(Section):
    """When training ends before its last epoch; null switches it off."""

    patience: Count = Field(
        10, description="Training stops after this many checks in a row without improvement."
    )
    min_delta: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="A check improves if its validation loss is below the best one by more than "
        "this (in nats).",
    )


_Model = Literal["logistic", "softmax"]
_SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "training": TrainingConfig,
    "early_stopping": EarlyStoppingConfig,
}
_NOT_SWEPT = {
    "training.seed": "name the seeds in sweep.seeds, or with --seeds",
    "training.checkpoint_seconds": "it has no effect on results",
    "name": "it has no effect on results",
}


def sweepable_keys() -> list[str]:
    """Return the dotted keys that a sweep may vary."""
    keys = [f"{name}.{key}" for name, each in _SECTIONS.items() for key in each.model_fields]
    return ["model", *(key for key in keys if key not in _NOT_SWEPT)]


def config_keys() -> list[str]:
    """Return the dotted keys of an experiment, in order, without those of `sweep`.

    `early_stopping` itself is the key of a section that may be off.
    """
    keys: list[str] = []
    for name in ExperimentConfig.model_fields:
        section = _SECTIONS.get(name)
        if name not in {"data", "training", "sweep"}:
            keys.append(name)
        keys += [f"{name}.{key}" for key in (section.model_fields if section else ())]
    return keys


def flat(config: "ExperimentConfig") -> dict[str, Any]:
    """Return a config's values by dotted keys, as in JSON; a section that is off is None."""
    found: dict[str, Any] = {}
    for name, section in config.model_dump(mode="json", exclude={"sweep"}).items():
        if isinstance(section, dict):
            found |= {f"{name}.{key}": value for key, value in section.items()}
        else:
            found[name] = section
    return found


def is_whole(key: str) -> bool:
    """Return whether the values of a dotted key are integers, or null."""
    name, _, field = key.partition(".")
    if name not in _SECTIONS or field not in _SECTIONS[name].model_fields:
        return False
    schema = _SECTIONS[name].model_json_schema()["properties"][field]
    kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
    return kinds <= {"integer", "null"}


def _swept_value(key: str, value: Any) -> Any:
    """Return a value as validated by the section of its key."""
    if key == "model":
        return TypeAdapter(_Model).validate_python(value)
    name, _, field = key.partition(".")
    return getattr(_SECTIONS[name].model_validate({field: value}), field)


def _swept_values(over: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Check the values of each key by themselves; combinations are checked by the sweep."""
    problems: list[str] = []
    found: dict[str, tuple[Any, ...]] = {}
    for key, values in over.items():
        if key not in sweepable_keys():
            why = _NOT_SWEPT.get(key, f"unknown key{did_you_mean(key, sweepable_keys())}")
            problems.append(f"{key} cannot be swept over: {why}")
            continue
        try:
            found[key] = distinct(tuple(_swept_value(key, value) for value in values))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(f"{key}: found {first['input']!r}; {first['msg']}")
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return found


Over = Annotated[
    dict[str, Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]],
    AfterValidator(_swept_values),
]


class SweepConfig(Section):
    """Which models a sweep trains: every combination of values, with every seed."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [key]} for key in ("l2_lambdas", "over", "seeds")]
        }
    )

    l2_lambdas: Lambdas | None = Field(
        None, description="Short for over: {training.l2_lambda: [...]}."
    )
    over: Over = Field(
        {},
        json_schema_extra={"propertyNames": {"enum": [*sweepable_keys()]}},
        description="Dotted keys of model, data, training or early_stopping, and the values of "
        "each; the members of the sweep are all combinations.",
    )
    seeds: Seeds = Field(
        (0,), description="The seeds; more than one needs training.shuffle: true or sampled rows."
    )

    @model_validator(mode="after")
    def _has_members(self) -> Self:
        if self.l2_lambdas is not None and "training.l2_lambda" in self.over:
            raise ValueError(
                "name the values of training.l2_lambda in l2_lambdas or over, not both"
            )
        if not self.swept and len(self.seeds) == 1:
            raise ValueError(
                "nothing to sweep over; add keys and their values, such as "
                "over: {training.learning_rate: [0.1, 0.01]}, or more seeds"
            )
        return self

    @property
    def swept(self) -> dict[str, tuple[Any, ...]]:
        """The swept keys and the values of each."""
        short = {} if self.l2_lambdas is None else {"training.l2_lambda": self.l2_lambdas}
        return short | self.over


class ExperimentConfig(Section):
    """A complete experiment: everything that determines the numbers of a run."""

    name: str = Field(
        "experiment",
        min_length=1,
        max_length=100,
        description="Name of the experiment; it becomes part of the name of the run folder.",
    )
    model: _Model = Field(
        description="logistic: two classes, one output. softmax: one output per class."
    )
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    early_stopping: EarlyStoppingConfig | None = None
    sweep: SweepConfig | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The values of all keys that affect results, nested, as in JSON."""
        values = self.model_dump(mode="json")
        for path in WITHOUT_EFFECT:
            *parents, key = path.split(".")
            del reduce(dict.__getitem__, parents, values)[key]
        return values

    @model_validator(mode="after")
    def _check_rules_between_keys(self) -> Self:
        broken = [problem for rule in _RULES if (problem := rule(self))]
        if broken:
            raise ValueError("\n".join(broken))
        return self


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles of keys, which would only repeat the keys with capitals."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def json_schema() -> JsonSchemaValue:
    """Return the JSON Schema of a config file, with which editors complete and check keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ExperimentConfig.model_json_schema(schema_generator=_WithoutTitles),
    }


def _classes_rule(config: ExperimentConfig) -> str | None:
    classes = config.data.classes
    if config.model != "logistic" or (classes is not None and len(classes) == 2):
        return None
    found = "all" if classes is None else list(classes)
    return (
        f"data.classes: found {found}; a logistic model separates exactly two classes, "
        "such as [2, 3] (the first is target 1); for more, use model: softmax"
    )


def _skip_orders_rule(config: ExperimentConfig) -> str | None:
    how = config.training
    if not how.skip_orders or (how.order == "legacy" and how.shuffle):
        return None
    return (
        f"training.skip_orders: found {how.skip_orders} with training.order: {how.order} and "
        f"training.shuffle: {str(how.shuffle).lower()}; only the orders of training.order: legacy "
        "with training.shuffle: true can be skipped; set both, or remove skip_orders"
    )


def _seeds_rule(config: ExperimentConfig) -> str | None:
    sweep, data = config.sweep, config.data
    if sweep is None or len(sweep.seeds) == 1 or config.training.shuffle:
        return None
    if "sample" in {data.train_rows, data.val_rows}:  # each seed has its own rows
        return None
    if {"training.shuffle", "data.train_rows", "data.val_rows"} & sweep.over.keys():
        return None  # the combinations with seeds are checked one by one
    return (
        f"sweep.seeds: found {list(sweep.seeds)} with training.shuffle: false; the seed "
        "decides the order of the batches alone, so all seeds would give the same run; set "
        "training.shuffle: true or name one seed"
    )


_RULES = (_classes_rule, _skip_orders_rule, _seeds_rule)
