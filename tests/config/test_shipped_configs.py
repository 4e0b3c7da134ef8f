"""The configs that come with the package say what the report's protocol says."""

import pytest

from mnistlin.config import load_config, shipped_configs


@pytest.mark.parametrize(("name", "path"), shipped_configs().items())
def test_each_is_valid_and_has_the_name_of_its_file(name, path):
    """So that a run folder shows which config it came from."""
    assert path.stem == name.split("/")[-1]
    assert load_config(name).name == name.replace("/", "-")


@pytest.mark.parametrize("path", shipped_configs().values(), ids=shipped_configs())
def test_each_begins_with_what_it_shows_and_how_it_is_run(path):
    """A student reads the file before running it."""
    heading = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in heading.splitlines())
    sweep = load_config(path).sweep
    command = "train" if sweep is None else "sweep-lambda" if sweep.l2_lambdas else "sweep"
    assert f"mnistlin {command} --config" in heading


@pytest.mark.parametrize("name", ["binary", "binary-early-stopping", "binary-shuffled", "softmax"])
def test_the_report_takes_20000_training_and_10000_test_images(name):
    """In batches of 128, from MNIST itself."""
    config = load_config(name)
    data = config.data
    assert (data.dataset, data.train_size, data.val_size) == ("mnist", 20000, 10000)
    assert (data.val_from, config.training.batch_size) == ("test", 128)


@pytest.mark.parametrize("name", ["binary", "binary-early-stopping", "binary-shuffled"])
def test_the_binary_ones_tell_2_from_3(name):
    """Digit 2 is target 1, and the learning rate 0.05."""
    config = load_config(name)
    assert (config.model, config.data.classes) == ("logistic", (2, 3))
    assert config.training.learning_rate == 0.05


def test_early_stopping_waits_for_ten_checks_in_at_most_500_epochs():
    """Part 2d, without shuffle."""
    config = load_config("binary-early-stopping")
    assert (config.training.epochs, config.training.shuffle) == (500, False)
    assert config.early_stopping.patience == 10
    assert config.early_stopping.min_delta == 0


def test_shuffle_is_all_in_which_the_runs_of_2e_differ():
    """So that the plot shows its effect and no other."""
    off, on = (load_config(name).model_dump() for name in ("binary", "binary-shuffled"))
    assert (off["training"].pop("shuffle"), on["training"].pop("shuffle")) == (False, True)
    assert (off.pop("name"), on.pop("name")) == ("binary", "binary-shuffled")
    assert on == off


def test_softmax_takes_all_digits_for_50_epochs():
    """Part 3, with shuffle and learning rate 0.01."""
    config = load_config("softmax")
    assert (config.model, config.data.classes) == ("softmax", None)
    how = config.training
    assert (how.epochs, how.learning_rate, how.shuffle, how.seed) == (50, 0.01, True, 0)


def test_the_quickstart_needs_no_download():
    """It uses the images that come with the package."""
    assert load_config("quickstart").data.dataset == "mnist-5k"
