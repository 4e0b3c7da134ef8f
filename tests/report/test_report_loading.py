"""Report files: what they may contain, and which runs they ask for."""

from pathlib import Path

import pytest

from mnistlin.config import shipped_configs, shipped_reports
from mnistlin.data.splits import SplitLoader
from mnistlin.errors import ConfigError
from mnistlin.report.plan import load_report

ROOT = Path(__file__).parents[2]

SMALL = """\
title: Small
introduction: Hardly anything.
dataset: mnist
experiments:
  - {name: binary, config: binary}
  - {name: sweep, config: softmax-lambda-sweep}
parts:
  - {id: 2b, title: Loss, question: How, experiments: [binary]}
"""


@pytest.fixture(scope="module")
def shipped():
    """Return the report that comes with the package."""
    return load_report("report")


@pytest.fixture
def problems(tmp_path):
    """Return a function that returns what is wrong with a changed report file."""

    def find(*changes):
        text = SMALL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "small.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            load_report(path)
        return str(error.value)

    return find


def test_the_shipped_report_shows_every_part_of_the_assignment(shipped):
    shown = [part.id for part in shipped.plan.parts]
    assert shown == ["1a", "1b", "2b", "2c", "2d", "2e", "3", "4a", "4b", "4c", "4d", "4e"]


def test_the_shipped_report_has_every_published_number(shipped):
    """33 epochs; 97.5 % and 97.9 %; 92.3 % and 91.6 %."""
    published = [claim.published for part in shipped.plan.parts for claim in part.numbers]
    assert published == [33, 97.5, 97.9, 92.3, 91.6]


def test_report_files_are_not_offered_as_experiments():
    """So that `train --config report` lists configs that it can train."""
    assert not set(shipped_reports()) & set(shipped_configs())


def test_another_dataset_is_used_as_a_whole(shipped):
    """The report's 20,000 images are not in every dataset."""
    (own,) = shipped.configs["binary"]
    (other,) = load_report("report", "mnist-5k").configs["binary"]
    assert (own.data.dataset, own.data.train_size) == ("mnist", 20000)
    assert (other.data.dataset, other.data.train_size) == ("mnist-5k", None)


def test_seeds_are_runs_or_those_of_a_sweep(report):
    """One config per seed, or one config with all of them."""
    assert [config.training.seed for config in report.configs["shuffled"]] == [0, 1]
    (sweep,) = report.configs["sweep"]
    assert sweep.sweep.seeds == (0, 1)


def test_the_name_of_a_dataset_stays_text(report_file):
    """Even if YAML would read something else."""
    configs = load_report(report_file, "it's: 5").configs
    assert configs["plain"][0].data.dataset == "it's: 5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[binary]", "[binray]"), "part 2b: unknown experiment binray; did you mean binary?"),
        (("question", "qestion"), "did you mean"),
        (("config: binary}", "config: binary, seeds: [x]}"), "experiments[0].seeds[0]"),
        (("id: 2b", "id: ../2b"), "parts[0].id"),
        (("experiments: [binary]", "figures: [loss]"), "need experiments"),
        (("parts:", "parts: []\nextra:"), "extra"),
        (("name: sweep", "name: binary"), "experiment binary is listed 2 times; keep one"),
        (("[binary]", "[binary], figures: [los]"), "did you mean loss?; allowed: accuracy, "),
        (("[binary]", "[binary], figures: [val-accuracy]"), "is a run, which has no figure"),
        (("[binary]", "[sweep], figures: [loss]"), "is a sweep, which has no figure loss"),
        (("[binary]", "[sweep], overlays: [loss]"), "overlays need runs, but experiment sweep"),
        (("[binary]", "[sweep], measures: [last_val_loss]"), "measures need runs"),
        (("[binary]", "[binary], measures: [last_val_los]"), "did you mean last_val_loss?"),
        (("config: binary}", "config: binray}"), "did you mean binary?"),
        (("config: binary}", "config: binary, set: {training.epoch: 1}}"), "training.epoch"),
        (
            (
                "[binary]}",
                "[binary],\n     statements: [{claim: a, experiments: [binary], holds: gap-opnes, "
                "published: b}]}",
            ),
            "did you mean gap-opens?; allowed: accuracy-falls-with-lambda, ",
        ),
    ],
)
def test_a_problem_is_reported_with_its_place_and_what_is_allowed(problems, change, message):
    assert message in problems(change)


def test_all_problems_of_experiments_are_reported_together(problems):
    """Those of each config, and what parts ask of the wrong kind of experiment."""
    found = problems(
        ("config: binary}", "config: binary, set: {training.epochs: 0, model: svm}}"),
        ("config: softmax-lambda-sweep", "config: softmax-lamda-sweep"),
    )
    for word in ("experiment binary", "training.epochs", "model", "experiment sweep"):
        assert word in found


def test_a_missing_report_file_is_a_config_error(tmp_path):
    """It names the shipped ones."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml' does not exist.*report"):
        load_report(tmp_path / "nowhere.yaml")


def test_the_starter_of_the_documentation_is_a_valid_report_file(tmp_path):
    """It has about 25 lines, one of everything, and works without a download."""
    text = (ROOT / "docs" / "own-report.md").read_text(encoding="utf-8")
    starter = text.partition("```yaml\n")[2].partition("```")[0]
    assert len(starter.splitlines()) <= 26
    path = tmp_path / "my-report.yaml"
    path.write_text(starter, encoding="utf-8")
    found = load_report(path)
    assert found.counts == {"experiments": 2, "runs": 4, "parts": 1, "claims": 2}
    loader = SplitLoader()
    for config in (config for each in found.configs.values() for config in each):
        assert loader.load(config.data).train.targets.size  # its sizes are those of its dataset


def test_settings_are_a_mapping_or_texts(problems):
    """As with --set; what is wrong with a text is reported with its place."""
    found = problems(("config: binary}", "config: binary, set: [training.epochs]}"))
    assert "experiments[0].set" in found
    assert "write it as key=value" in found


def test_an_experiment_has_settings_for_other_datasets(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(
        SMALL.replace("config: binary}", "config: binary, elsewhere: {training.batch_size: 7}}")
    )
    sizes = [
        load_report(path, dataset).configs["binary"][0].training.batch_size
        for dataset in ("mnist", "mnist-5k")
    ]
    assert sizes == [128, 7]
