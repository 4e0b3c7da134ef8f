"""Report files: what they may contain, and which runs they ask for."""

import pytest

from mnistlin.config import parse_as, shipped_configs, shipped_report
from mnistlin.errors import ConfigError
from mnistlin.report.plan import Plan, configs_of, load_plan

SMALL = """\
title: Small
introduction: Hardly anything.
dataset: mnist
experiments:
  - {name: binary, config: binary}
parts:
  - {id: 2b, title: Loss, question: How, experiments: [binary]}
"""


@pytest.fixture(scope="module")
def shipped():
    """Return the plan that comes with the package."""
    return load_plan(shipped_report())


def test_the_shipped_report_shows_every_part_of_the_assignment(shipped):
    """In the order of the assignment."""
    shown = [part.id for part in shipped.parts]
    assert shown == ["1a", "1b", "2b", "2c", "2d", "2e", "3", "4a", "4b", "4c", "4d", "4e"]


def test_the_shipped_report_has_every_published_number(shipped):
    """33 epochs; 97.5 % and 97.9 %; 92.3 % and 91.6 %."""
    published = [claim.published for part in shipped.parts for claim in part.numbers]
    assert published == [33, 97.5, 97.9, 92.3, 91.6]


def test_the_report_file_is_not_offered_as_an_experiment():
    """So that `train --config report` tells which names there are."""
    assert shipped_report().is_file()
    assert shipped_report() not in shipped_configs().values()


def test_another_dataset_is_taken_whole(shipped):
    """The report's 20,000 images are not in every dataset."""
    for dataset, size in {"mnist": 20000, "mnist-5k": None}.items():
        configs = configs_of(shipped, shipped_report().parent, dataset)
        (binary,) = configs["binary"]
        assert (binary.data.dataset, binary.data.train_size) == (dataset, size)


def test_seeds_are_runs_or_those_of_a_sweep(tiny_configs):
    """A config a seed, or one config with all of them."""
    assert [config.training.seed for config in tiny_configs["shuffled"]] == [0, 1]
    (sweep,) = tiny_configs["sweep"]
    assert sweep.sweep.seeds == (0, 1)


def test_the_name_of_a_dataset_stays_text(plan, report_file):
    """Even if YAML would read something else."""
    configs = configs_of(plan, report_file.parent, "it's: 5")
    assert configs["plain"][0].data.dataset == "it's: 5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("experiments: [binary]", "experiments: [softmax]"), "part 2b shows softmax"),
        (("question", "qestion"), r"did you mean parts\[0\].question"),
        (("config: binary}", "config: binary, seeds: [x]}"), r"experiments\[0\].seeds\[0\]"),
        (("id: 2b", "id: ../2b"), r"parts\[0\].id"),
        (("experiments: [binary]", "pictures: [loss]"), "part 2b: .* need experiments"),
        (("parts:", "parts: []\nextra:"), "extra"),
        (
            ("parts:", "  - {name: binary, config: binary}\nparts:"),
            "experiment binary stands twice",
        ),
    ],
)
def test_what_is_wrong_with_a_report_file_is_told(change, message):
    """With the place, as for the config of an experiment."""
    with pytest.raises(ConfigError, match=message):
        parse_as(Plan, SMALL.replace(*change), "small.yaml")


def test_a_missing_report_file_is_a_config_error(tmp_path):
    """It tells its name."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_plan(tmp_path / "nowhere.yaml")
