"""What a config may contain: ranges, types, and rules between keys."""

import copy
from typing import get_args

import pytest
from pydantic import ValidationError

from mnistlin.config import ExperimentConfig
from mnistlin.model.heads import HEADS

VALID = {
    "model": "softmax",
    "data": {},
    "training": {},
    "early_stopping": {},
    "sweep": {"l2_lambdas": [1.0]},
}

COUNT = 2**31 - 1
RANGES = {
    "name": (["x", "x" * 100], ["", "x" * 101, 5, None]),
    "model": (["softmax"], ["Softmax", "linear", None, 1, ["softmax"]]),
    "data.dataset": (["mnist", "./a folder"], ["", None, 5]),
    "data.classes": (
        [None, [2, 3], [0, 255], [3, 2, 1]],
        [[], [2], [2, 2], [2, 256], [-1, 2], ["2", 3], [2.0, 3], [True, 3], 2, "23", {"2": 3}],
    ),
    "data.train_size": ([None, 1, COUNT], [0, -1, COUNT + 1, 1.0, "1", True]),
    "data.train_rows": (["first", "last", "sample"], ["all", None]),
    "data.val_rows": (["first", "last", "sample"], ["all", None]),
    "data.scaling": (["symmetric", "unit", "standard"], ["none", None]),
    "data.val_size": ([None, 1, COUNT], [0, -1, COUNT + 1, 1.0, "1", True]),
    "data.val_from": (["test", "train"], ["val", None]),
    "training.epochs": ([1, 10**6], [0, 10**6 + 1, 1.0, "1", True, None]),
    "training.batch_size": ([1, COUNT], [0, COUNT + 1, 1.5]),
    "training.learning_rate": ([5e-324, 1, 1e300], [0, -0.1, "1e-4", True, None]),
    "training.l2_lambda": ([0, 0.0, 1e300], [-1e-9, "0", False]),
    "training.shuffle": ([True, False], [0, 1, "true", "on", None]),
    "training.seed": ([0, 2**32 - 1], [-1, 2**32, 0.0]),
    "training.order": (["independent", "legacy"], ["random", None, True]),
    "training.skip_orders": ([0], [-1, 1.0, None]),
    "training.checks_per_epoch": ([1, COUNT], [0, COUNT + 1]),
    "training.dtype": (["float32", "float64"], ["float16", "double", None]),
    "training.checkpoint_seconds": ([0, 0.5, 1e9], [-1, "5"]),
    "early_stopping.patience": ([1, COUNT], [0, COUNT + 1, 2.0]),
    "early_stopping.min_delta": ([0, 0.1], [-0.1, None]),
    "sweep.l2_lambdas": ([[0], [1, 0.1]], [[], [1, 1.0], [-1], ["1"], 1]),
    "sweep.over": (
        [{}, {"training.epochs": (1, 2)}, {"data.classes": (None, (2, 3)), "model": ("softmax",)}],
        [
            *(None, [], {"training.epochs": []}, {"training.epochs": 1}, {"epochs": [1]}),
            *({"training.seed": [1]}, {"name": ["a"]}, {"training.checkpoint_seconds": [1]}),
            *({"training.l2_lambda": [1, 1.0]}, {"training.batch_size": [0]}, {"model": ["x"]}),
        ],
    ),
    "sweep.seeds": ([[0], [0, 1]], [[], None, [1, 1], [-1], [0.5]]),
}
FLOATS = [
    *("training.learning_rate", "training.l2_lambda", "training.checkpoint_seconds"),
    *("early_stopping.min_delta",),
]


def with_value(path, value):
    """Return a valid config in which one key has another value."""
    values = copy.deepcopy(VALID)
    *parents, key = path.split(".")
    section = values
    for parent in parents:
        section = section[parent]
    section[key] = value
    return values


def cases(of_allowed):
    """List (key, value) of all that is allowed, or of all that is not."""
    return [
        (path, value)
        for path, (allowed, refused) in RANGES.items()
        for value in (allowed if of_allowed else refused)
    ]


@pytest.mark.parametrize(("path", "value"), cases(of_allowed=True))
def test_values_up_to_the_ends_of_their_range_are_allowed(path, value):
    """The smallest, the largest and the usual are taken as they are."""
    found = ExperimentConfig.model_validate(with_value(path, value))
    for key in path.split("."):
        found = getattr(found, key)
    assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("path", "value"), cases(of_allowed=False))
def test_values_beyond_their_range_or_of_another_type_are_refused(path, value):
    """Nothing is converted without a word: "1", 1.0 and true are not 1."""
    with pytest.raises(ValidationError) as caught:
        ExperimentConfig.model_validate(with_value(path, value))
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]).startswith(path)


@pytest.mark.parametrize("path", FLOATS)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400])
def test_numbers_must_be_finite(path, value):
    """Infinity, nan and an integer that no float can hold are refused."""
    with pytest.raises(ValidationError):
        ExperimentConfig.model_validate(with_value(path, value))


def test_the_ranges_above_leave_no_key_out():
    """A new key needs its own line in RANGES."""
    keys = set()
    for name, field in ExperimentConfig.model_fields.items():
        section = getattr(ExperimentConfig.model_validate(VALID), name)
        inner = getattr(type(section), "model_fields", None)
        keys |= {f"{name}.{key}" for key in inner} if inner else {name}
        assert field.annotation is not None
    assert keys == set(RANGES)


def test_every_head_can_be_named_as_the_model_and_no_other():
    models = get_args(ExperimentConfig.model_fields["model"].annotation)
    assert set(models) == set(HEADS)


@pytest.mark.parametrize("section", [(), ("data",), ("training",), ("early_stopping",), ("sweep",)])
def test_unknown_keys_are_refused_in_every_section(section):
    """A typo must not leave a default in its place."""
    path = ".".join((*section, "lerning_rate"))
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ExperimentConfig.model_validate(with_value(path, 1))


@pytest.mark.parametrize("classes", [None, [1, 2, 3]])
def test_logistic_needs_exactly_two_classes(classes):
    """One output cannot distinguish all classes, or three; the message names the remedy."""
    with pytest.raises(ValidationError, match=r"data\.classes.*exactly two.*model: softmax"):
        ExperimentConfig.model_validate({"model": "logistic", "data": {"classes": classes}})


def test_logistic_keeps_the_order_of_its_two_classes():
    """The first class is target 1, so [3, 2] is another model than [2, 3]."""
    config = ExperimentConfig.model_validate({"model": "logistic", "data": {"classes": [3, 2]}})
    assert config.data.classes == (3, 2)


def test_several_seeds_need_shuffle():
    """Without shuffle all seeds are one run; one seed is allowed."""
    values = {"model": "softmax", "training": {"shuffle": False}}
    with pytest.raises(ValidationError, match=r"sweep\.seeds.*shuffle"):
        ExperimentConfig.model_validate({**values, "sweep": {"l2_lambdas": [1], "seeds": [0, 1]}})
    ExperimentConfig.model_validate({**values, "sweep": {"l2_lambdas": [1], "seeds": [7]}})


@pytest.mark.parametrize("key", ["train_rows", "val_rows"])
def test_sampled_rows_differ_between_seeds_without_shuffling_too(key):
    values = {"model": "softmax", "training": {"shuffle": False}, "sweep": {"seeds": [0, 1]}}
    ExperimentConfig.model_validate({**values, "data": {key: "sample"}})
    with pytest.raises(ValidationError, match="all seeds would give the same run"):
        ExperimentConfig.model_validate(values)


def test_orders_are_skipped_only_where_one_stream_draws_them():
    skips = {"skip_orders": 2, "order": "legacy", "shuffle": True}
    ExperimentConfig.model_validate({"model": "softmax", "training": skips})
    for change in ({"order": "independent"}, {"shuffle": False}):
        with pytest.raises(ValidationError, match=r"training\.skip_orders: found 2 with"):
            ExperimentConfig.model_validate({"model": "softmax", "training": skips | change})


def test_a_config_cannot_be_changed():
    """What a run was started with is what its folder says."""
    config = ExperimentConfig(model="softmax")
    for section, key in ((config, "name"), (config.training, "epochs"), (config.data, "classes")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, None)
