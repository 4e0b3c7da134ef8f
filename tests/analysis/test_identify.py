"""Published numbers lead to the protocols that give them."""

import shlex
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from mnistlin.analysis import identify as module
from mnistlin.analysis import protocols
from mnistlin.analysis.identify import identify
from mnistlin.analysis.protocols import Ending, all_endings, grid, shipped_protocols
from mnistlin.analysis.published import TypedNumber
from mnistlin.analysis.stopping_rules import all_have_stopped, stops
from mnistlin.cli.app import cli
from mnistlin.config import dump_yaml, load_config
from mnistlin.errors import ConfigError
from mnistlin.experiment import run_experiment
from mnistlin.runs.folder import load_run
from mnistlin.training.segments import EarlyStoppingState


def epochs_of(losses, checks_per_epoch=5):
    return np.arange(len(losses)) // checks_per_epoch


def stops_of(losses):
    """Return where rules stop, with five checks per epoch."""
    return stops(epochs_of(losses), np.asarray(losses, float))


def endings(losses, n_val=1000):
    """Return the endings of a training run in which every check has another accuracy."""
    rules = stops_of(losses) | {len(losses) - 1: None}
    return [
        Ending(
            rule,
            step=6 * i,
            epoch=i // 5,
            train_accuracy=Fraction(1500 + i, 2000),
            val_accuracy=Fraction(700 + i // 2, n_val),
            val_loss=losses[i],
        )
        for i, rule in rules.items()
    ]


@pytest.mark.parametrize(
    ("typed", "exact", "is_it"),
    [
        ("92.3", Fraction(92350, 100_000), True),  # cut off, as half to even would give 92.4
        ("92.4", Fraction(92350, 100_000), True),  # half up
        ("92.3", Fraction(92250, 100_000), True),  # half up; half to even gives 92.2
        ("92.2", Fraction(92250, 100_000), True),
        ("92.1", Fraction(92250, 100_000), False),
        ("92.25%", Fraction(92250, 100_000), True),
        ("0.9225", Fraction(92250, 100_000), True),
        ("1", Fraction(1), True),
        ("100", Fraction(1), True),
        ("0.97353", Fraction(3899, 4005), True),
        ("0.97354", Fraction(3899, 4005), False),
    ],
)
def test_an_accuracy_matches_if_it_was_cut_off_or_rounded(typed, exact, is_it):
    assert TypedNumber.parse(typed).is_accuracy(exact) == is_it


def test_a_loss_with_many_decimals_is_compared_up_to_the_last_digits_of_a_float():
    typed = TypedNumber.parse("0.07166134981545134")
    assert typed.is_rounding_of(Fraction(0.07166134981545134 + 5e-13))
    assert not typed.is_rounding_of(Fraction(0.07166134981545134 + 5e-12))


@pytest.mark.parametrize("text", ["", "ninety", "nan", "inf", "-1", "1e999999"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match="a number such as"):
        TypedNumber.parse(text)


LOSSES = np.random.default_rng(0).normal(size=(20, 80)).cumsum(axis=1) / 50 + 1


@pytest.mark.parametrize("losses", LOSSES)
def test_rules_stop_where_the_trainer_stops(losses):
    found = stops_of(losses)
    for check, rule in found.items():
        if rule.unit == "checks":
            stopper = EarlyStoppingState()
            waited = []
            for loss in losses[: check + 1]:
                stopper = stopper.after(loss, rule.min_delta)
                waited.append(stopper.should_stop(rule.patience))
            assert waited.index(True) == check


@pytest.mark.parametrize("losses", LOSSES)
def test_best_of_the_last_n_is_a_patience(losses):
    """The rule of the official solution of 2022, by its own words."""
    for n in (2, 5, 10):
        windows = (losses[max(0, t - n) : t + 1] for t in range(len(losses)))
        stop = next((t for t, w in enumerate(windows) if len(w) >= n and w.min() == w[0]), None)
        if stop is not None:
            rule = stops_of(losses).get(stop)
            assert rule is not None
            stopper = EarlyStoppingState()
            for loss in losses[: stop + 1]:
                stopper = stopper.after(loss)
            assert stopper.checks_without_improvement == (n - 1 if stop == n - 1 else n)


def test_a_rule_names_the_comparison_that_gives_the_same():
    losses = [1.0, *np.linspace(1.1, 1.2, 30)]
    assert "a counter compared with > 10 instead of >= 10" in str(stops_of(losses)[11])
    assert "compared" not in str(stops_of(losses)[10])


@pytest.mark.parametrize("losses", LOSSES)
def test_rules_that_count_epochs_stop_where_they_say(losses):
    """Also as a patience in checks, where there is one that stops there."""
    by_epoch = [(check, rule) for check, rule in stops_of(losses).items() if rule.unit == "epochs"]
    for check, rule in by_epoch:
        stopper = EarlyStoppingState()
        for loss in losses[4 : check + 1 : 5]:
            stopper = stopper.after(loss, rule.min_delta)
        assert stopper.checks_without_improvement == rule.patience
        if rule.in_checks is not None:
            stopper, waited = EarlyStoppingState(), []
            for loss in losses[: check + 1]:
                stopper = stopper.after(loss, rule.min_delta)
                waited.append(stopper.should_stop(rule.in_checks))
            assert waited.index(True) == check


@pytest.mark.parametrize("losses", LOSSES[:5])
def test_after_all_rules_have_stopped_longer_training_changes_nothing(losses):
    longer = [*losses, *[losses.max()] * 300]
    settled = next(
        n
        for n in range(len(losses), len(longer), 5)
        if all_have_stopped(epochs_of(longer[:n]), np.array(longer[:n]))
    )
    assert stops_of(longer[:settled]) == stops_of(longer)


@pytest.fixture
def trained(monkeypatch):
    """Give the protocols of the course made-up numbers, and return them."""
    rng = np.random.default_rng(1)
    configs = grid("logistic", "mnist")
    made = [
        endings((rng.normal(size=400).cumsum() / 40 + 2).tolist(), n_val=1000 + i)
        for i in range(len(configs))
    ]
    found = list(zip(configs, made, strict=True))
    monkeypatch.setattr(module, "all_endings", lambda *_: found)
    return found


def numbers_of(found, rule_patience):
    ending = next(
        each
        for each in found
        if each.rule and each.rule.patience == rule_patience and not each.rule.min_delta
    )
    return {
        "stop_epoch": ending.epoch,
        "val_accuracy": f"{float(ending.val_accuracy):.4f}",
        "val_loss": f"{ending.val_loss:.8f}",
    }


def test_a_shipped_protocol_is_found_first_and_unchanged(trained):
    shipped = shipped_protocols("logistic", "mnist")["tdt4265/2022-first-shuffled"]
    found = next(
        h
        for c, h in trained
        if c.data == shipped.data
        and c.training.shuffle
        and c.training.order == "legacy"
        and c.training.seed == 0
    )
    answer = identify(**numbers_of(found, 10)).matches[0]
    assert (answer.shipped, answer.changes, answer.misses) == (
        "tdt4265/2022-first-shuffled",
        {},
        (),
    )
    assert "mnistlin train --config tdt4265/2022-first-shuffled" in answer.command


def test_another_patience_is_a_change(trained):
    found = trained[0][1]
    result = identify(**numbers_of(found, 11))
    assert result.matches[0].changes["early_stopping.patience"] == 11
    assert "compared with > 10" in result.explanation()


def test_an_epoch_counted_from_one_is_a_near_miss_that_says_so(trained):
    found = numbers_of(trained[0][1], 10)
    result = identify(**found | {"stop_epoch": found["stop_epoch"] + 1})
    assert not result.matches
    assert "if epochs are counted from 1" in result.explanation()


def test_made_up_numbers_find_nothing(trained):
    result = identify(stop_epoch=3, val_accuracy=20)
    assert (result.matches, result.near_misses) == ((), ())
    assert "none comes near" in result.explanation()


def test_several_matches_name_the_number_that_tells_them_apart(trained):
    result = identify(stop_epoch=trained[0][1][0].epoch)
    assert len(result.matches) > 1
    assert "would distinguish most of them" in result.explanation()


def test_no_number_is_an_error():
    with pytest.raises(ConfigError, match="no number to identify"):
        identify()


@pytest.fixture
def offline_grid(monkeypatch, make_config, dataset, tmp_path):
    """Let a small protocol with few epochs, on small data, be all that identify knows."""
    data = {"dataset": str(dataset), "val_rows": "last", "train_rows": "sample"}
    config = load_config(
        make_config(data=data, epochs=60, order="legacy", dtype="float64", learning_rate=0.5),
        {"early_stopping": {"patience": 3}},
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(dump_yaml(config.model_dump(mode="json")))
    monkeypatch.setattr(protocols, "shipped_protocols", lambda *_: {str(path): config})
    monkeypatch.setattr(module, "shipped_protocols", lambda *_: {str(path): config})
    monkeypatch.setattr(protocols, "SCALINGS", ("symmetric", "unit"))
    monkeypatch.setattr(protocols, "MAX_EPOCHS", {config.model: 75})
    grid.cache_clear()
    yield config, str(dataset)
    grid.cache_clear()


def trained_by(command, runs_dir):
    """Run a command that is printed, as a user would, and return its run."""
    arguments = [*shlex.split(command)[1:], "--runs-dir", str(runs_dir), "--no-plots"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return load_run(result.stdout.splitlines()[-1].removeprefix("run: "))


def test_real_trainings_are_found_by_their_rounded_numbers(offline_grid, tmp_path):
    """And the printed command reproduces them; all questions but the first are answered at once."""
    config, dataset = offline_grid
    calls = []
    for changes in (
        {},
        {"training.seed": 1, "early_stopping.patience": 5},
        {"training.shuffle": False, "early_stopping.min_delta": 1e-3},
        {"data.scaling": "unit", "training.epochs": 50, "early_stopping": None},
    ):
        run = run_experiment(config, tmp_path / "runs", overrides=changes)
        found = identify(
            config.model,
            dataset,
            stop_epoch=run.summary["stop_epoch"],
            val_loss=f"{run.summary['last_val_loss']:.5f}",
            on_trained=calls.append,
        )
        assert not found.matches[0].misses
        again = trained_by(found.matches[0].command, tmp_path / "again")
        assert again.summary["last_val_loss"] == pytest.approx(
            run.summary["last_val_loss"], abs=1e-12
        )
    assert sum(calls) == len(grid(config.model, dataset))


def test_a_damaged_cache_is_trained_again(offline_grid, tmp_path):
    config, dataset = offline_grid
    first = all_endings(config.model, dataset)
    (cached,) = (tmp_path / "cache").rglob("*.npz")
    cached.write_bytes(cached.read_bytes()[:-100])
    assert all_endings(config.model, dataset) == first
    assert all_endings(config.model, dataset) == first
