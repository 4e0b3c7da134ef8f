"""Which runs that are there are the ones that are wanted."""

import shutil
from dataclasses import replace

import pytest

from mnistlin import load_run
from mnistlin.report.runner import choose, folders_in


@pytest.fixture
def wanted(finished_run):
    """Return the config and the data of a finished run."""
    return finished_run.config, finished_run.info.data


def test_a_finished_run_of_the_same_experiment_is_chosen(finished_run, wanted):
    """Whatever it is called."""
    config, data = wanted
    assert choose([finished_run], config.model_copy(update={"name": "other"}), data) is finished_run


def test_another_config_is_another_experiment(finished_run, wanted, make_config):
    """Every key that decides numbers counts."""
    _, data = wanted
    assert choose([finished_run], make_config(learning_rate=0.2), data) is None
    assert choose([finished_run], make_config(seed=1), data) is None
    assert choose([finished_run], make_config(checkpoint_seconds=0), data) is finished_run


def test_other_data_is_another_experiment(finished_run, wanted):
    """Even under the same name."""
    config, data = wanted
    other = data.splits.val.model_copy(update={"images_sha256": "0" * 64})
    splits = data.splits.model_copy(update={"val": other})
    assert choose([finished_run], config, data.model_copy(update={"splits": splits})) is None


def test_the_same_data_elsewhere_is_the_same_experiment(finished_run, wanted):
    config, data = wanted
    moved = data.model_copy(update={"folder": "/elsewhere"})
    assert choose([finished_run], config, moved) is finished_run


def test_a_modified_run_is_not_reused(wanted, finished_run, tmp_path):
    copy = load_run(shutil.copytree(finished_run.path, tmp_path / "copy"))
    assert choose([copy], *wanted) is copy
    (copy.path / "metrics.csv").write_text("changed")
    assert choose([load_run(copy.path)], *wanted) is None


def test_another_version_is_another_experiment(finished_run, wanted):
    """It may train otherwise."""
    old = replace(finished_run, info=finished_run.info.updated(mnistlin="0.0.1"))
    assert choose([old], *wanted) is None


def test_a_finished_run_is_preferred_to_an_unfinished_one(finished_run, wanted):
    """And a run that failed or diverged is ignored."""
    broken, failed, diverged = (
        replace(finished_run, info=finished_run.info.updated(status=status))
        for status in ("interrupted", "failed", "diverged")
    )
    assert choose([broken, finished_run], *wanted) is finished_run
    assert choose([failed, broken], *wanted) is broken
    assert choose([failed, diverged], *wanted) is None


def test_damaged_folders_are_ignored(tmp_path):
    """A report does not depend on them."""
    (tmp_path / "20260101T000000Z_bad").mkdir()
    (tmp_path / "20260101T000000Z_bad" / "run.json").write_text("{")
    assert list(folders_in(tmp_path)) == []
