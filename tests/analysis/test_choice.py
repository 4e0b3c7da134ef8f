"""The choice among the settings of a sweep."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from mnistlin.analysis.choice import explain_choice
from mnistlin.analysis.selection import choose
from mnistlin.config import load_config
from mnistlin.errors import ConfigError
from mnistlin.figures.draw import SWEEP_FIGURES
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.sweep import run_sweep


def simulated(means, n_seeds, sd, rng):
    """Return scores of settings with these true means; a part of the noise is common to a seed."""
    common = rng.normal(0, sd, n_seeds)
    return {
        (i,): dict(enumerate((mean + common + rng.normal(0, sd, n_seeds)).tolist()))
        for i, mean in enumerate(means)
    }


@pytest.mark.parametrize(
    "means",
    [[0.9, 0.9, 0.9, 0.9, 0.9, 0.9], [0.900, 0.899, 0.898, 0.89, 0.88, 0.8]],
    ids=["all equal", "near and far"],
)
def test_the_settings_not_different_from_the_best_contain_the_true_best(means):
    """In at least 95 % of simulated sweeps."""
    rng = np.random.default_rng(3)
    n = 80
    choices = [choose(simulated(means, 5, 0.002, rng)) for _ in range(n)]
    n_covered = sum((0,) in (each.best, *each.similar) for each in choices)
    assert n_covered >= 0.95 * n


def test_the_choice_is_right_as_often_as_theory_says():
    """Of two settings, with probability Φ(δ √n / (√2 σ))."""
    rng = np.random.default_rng(4)
    n, n_seeds, sd, delta = 250, 5, 0.002, 0.001
    choices = [choose(simulated([0.9 + delta, 0.9], n_seeds, sd, rng)) for _ in range(n)]
    n_right = sum(each.best == (0,) for each in choices)
    expected = norm.cdf(delta * n_seeds**0.5 / (2**0.5 * sd))
    assert binomtest(n_right, n, expected).pvalue > 0.001


def test_one_standard_error_takes_the_cheapest_within_it():
    scores = {
        (0.0,): {0: 0.90, 1: 0.92, 2: 0.91},
        (0.1,): {0: 0.905, 1: 0.91, 2: 0.908},
        (1.0,): {0: 0.80, 1: 0.81, 2: 0.80},
    }
    found = choose(scores, lambda key: -key[0])
    assert (found.best, found.one_standard_error) == ((0.0,), (0.1,))


def test_a_loss_is_good_if_it_is_low():
    scores = {(1,): {0: 0.5, 1: 0.6}, (2,): {0: 0.3, 1: 0.4}}
    assert choose(scores, lowest=True).best == (2,)


def test_one_seed_allows_no_test():
    found = choose({(1,): {0: 0.5}, (2,): {0: 0.6}})
    assert (found.similar, found.one_standard_error, found.p_values) == ((), None, {})


@pytest.fixture
def held_out(make_config, dataset, tmp_path):
    """Run a sweep whose test images take no part in it, on a copy of the data."""
    mine = shutil.copytree(dataset, tmp_path / "mine")
    data = {"dataset": str(mine), "train_size": 30, "val_size": 20, "val_from": "train"}
    over = {"training.learning_rate": [0.05, 0.1]}
    config = load_config(make_config(data=data), {"sweep": {"over": over, "seeds": [0, 1, 2]}})
    return run_sweep(config, tmp_path / "runs"), mine


def test_the_test_set_is_read_once_for_the_chosen_member_alone(held_out):
    """Afterwards it may be missing, whatever the criterion; no summary contains it."""
    sweep, data = held_out
    first = explain_choice(sweep)
    low, high = first.test["test_interval"]
    assert low < first.test["test_accuracy"] < high
    assert first.test["test_run"].endswith("_seed-0")
    assert not [run for run in sweep.members.values() if run.summary.get("test_accuracy")]
    before = (sweep.path / "sweep.json").read_bytes()
    for path in data.glob("t10k-*"):
        path.unlink()
    again = explain_choice(load_sweep(sweep.path), "loss")
    assert again.test == first.test
    assert (sweep.path / "sweep.json").read_bytes() == before
    assert json.loads(before)["choice"]["test_run"] == first.test["test_run"]


def test_a_setting_that_diverged_is_excluded_and_named(make_config, tmp_path):
    over = {"training.l2_lambda": [1e6, 0.0, 0.1]}
    config = load_config(make_config(), {"sweep": {"over": over}})
    found = explain_choice(run_sweep(config, tmp_path))
    assert found.excluded == {(1e6,): "diverged with seed 0"}
    assert found.choice.best != (1e6,)
    assert "Excluded from the choice: λ 1e+06 (diverged with seed 0)" in found.explanation()


@pytest.fixture
def with_an_unstable_setting(make_config, dataset, tmp_path):
    """Run a sweep whose second λ is unstable at its learning rate; return it and its data."""
    mine = shutil.copytree(dataset, tmp_path / "mine")
    config = make_config(data={"dataset": str(mine)}, epochs=1, learning_rate=5.0)
    config = load_config(config, {"sweep": {"over": {"training.l2_lambda": [0.0, 0.21]}}})
    return run_sweep(config, tmp_path / "runs"), mine


def test_an_unstable_setting_is_excluded_and_named_also_without_the_data(with_an_unstable_setting):
    """The sweep is tested once; figures and a later choice use what sweep.json keeps."""
    sweep, data = with_an_unstable_setting
    first = explain_choice(sweep)
    shutil.rmtree(data)
    for found in (first, explain_choice(load_sweep(sweep.path))):
        assert found.choice.best == (0.0,)
        assert found.excluded[0.21,].startswith("unstable: stable below a learning rate of ")
        assert "λ 0.21 (unstable" in found.explanation()
        assert "not looked for" not in found.explanation()
    for make in SWEEP_FIGURES.values():
        words = [text.get_text() for text in make(load_sweep(sweep.path)).texts]
        assert any("unstable at their learning rate: λ 0.21" in each for each in words)


def test_without_its_data_a_sweep_says_that_it_was_not_tested(with_an_unstable_setting):
    sweep, data = with_an_unstable_setting
    shutil.rmtree(data)
    found = explain_choice(sweep)
    assert found.excluded == {}
    assert "No setting was tested for stability" in found.explanation()
    assert load_sweep(sweep.path).info.unstable is None


def test_the_reference_is_a_setting_of_the_sweep(held_out):
    sweep, _ = held_out
    found = explain_choice(sweep, reference={"training.learning_rate": 0.05})
    assert found.reference == (0.05,)
    with pytest.raises(ConfigError, match="0 settings of this sweep match"):
        explain_choice(sweep, reference={"training.learning_rate": 7})


def test_the_figure_marks_the_best(held_out):
    sweep, _ = held_out
    (axes,) = explain_choice(sweep).figure().axes
    assert "learning_rate" in axes.get_xlabel()
