"""How runs on one figure are distinguished."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnistlin.figures.captions import differing_keys, in_order, ordered_values, run_labels


@pytest.fixture
def variants(softmax_run):
    """Return a function that makes runs in folders 0, 1, 2, ... by changes of one run's config."""

    def make(*changes):
        return [_changed(softmax_run, str(i), **change) for i, change in enumerate(changes)]

    return make


def _changed(run, folder, training=None, **top):
    config = run.config.model_copy(
        update={"training": run.config.training.model_copy(update=training or {}), **top}
    )
    return replace(run, path=Path(folder), config=config)


def test_the_label_is_the_key_that_differs(variants):
    """Values are written as in YAML."""
    runs = variants({"training": {"shuffle": False}}, {"training": {"shuffle": True}})
    assert run_labels(runs) == ["shuffle: false", "shuffle: true"]


def test_names_do_not_matter_if_a_setting_differs(variants):
    """The setting is what the figure is about."""
    runs = variants({"name": "a", "training": {"epochs": 3}}, {"name": "b"})
    assert differing_keys(runs) == ["training.epochs"]


def test_names_tell_apart_what_nothing_else_does(variants):
    """Two runs of one config under two names."""
    assert run_labels(variants({"name": "monday"}, {"name": "tuesday"})) == ["monday", "tuesday"]


def test_folders_tell_apart_what_not_even_names_do(variants):
    """The same experiment twice."""
    assert run_labels(variants({}, {})) == ["0", "1"]


def test_folders_tell_apart_two_of_three(variants):
    """Only the labels that are not unique need the folder."""
    runs = variants({"training": {"seed": 1}}, {"training": {"seed": 1}}, {})
    assert run_labels(runs) == ["seed: 1\n0", "seed: 1\n1", "seed: 0"]


def test_several_keys_have_a_line_each(variants):
    """In the order of the config."""
    runs = variants({"training": {"l2_lambda": 0.5, "batch_size": 8}}, {})
    assert run_labels(runs) == ["batch_size: 8\nl2_lambda: 0.5", "batch_size: 4\nl2_lambda: 0"]


def test_many_keys_are_too_much_for_a_label(variants):
    """Then the names must do."""
    changes = {"epochs": 1, "batch_size": 2, "learning_rate": 3.0, "l2_lambda": 4.0, "seed": 5}
    assert run_labels(variants({"name": "a", "training": changes}, {"name": "b"})) == ["a", "b"]


def test_early_stopping_may_be_off(stopped_run, variants):
    """A section that is off has one value, null."""
    runs = variants({}, {"early_stopping": stopped_run.config.early_stopping})
    assert run_labels(runs) == ["early_stopping: null", "patience: 3\nmin_delta: 0"]


def test_how_often_a_checkpoint_is_written_does_not_matter(variants):
    """It changes no number of a run."""
    runs = variants({"training": {"checkpoint_seconds": 0.0}}, {})
    assert differing_keys(runs) == []


def test_runs_are_sorted_by_the_quantity_that_differs(variants):
    """So a legend reads in the order of its values."""
    runs = variants(*({"training": {"l2_lambda": value}} for value in (0.1, 1.0, 0.0)))
    assert ordered_values(runs) == [0.1, 1.0, 0.0]
    assert [run.path.name for run in in_order(runs)] == ["2", "0", "1"]


def test_seeds_are_no_quantity(variants):
    """They are sorted, but a colour must not suggest that seed 2 is more than seed 1."""
    runs = variants({"training": {"seed": 2}}, {"training": {"seed": 1}})
    assert ordered_values(runs) is None
    assert [run.path.name for run in in_order(runs)] == ["1", "0"]


def test_true_and_false_are_no_quantity(variants):
    """Although Python counts with them; runs stay in the order given."""
    runs = variants({"training": {"shuffle": True}}, {"training": {"shuffle": False}})
    assert ordered_values(runs) is None
    assert in_order(runs) == runs
