"""Published numbers lead to the protocols that give them."""

from fractions import Fraction

import numpy as np
import pytest

from mnistlin.analysis import identify as module
from mnistlin.analysis.identify import Published, TypedNumber, identify, stops
from mnistlin.analysis.protocols import History, grid, shipped_protocols
from mnistlin.errors import ConfigError
from mnistlin.training.segments import Stopper


def history(losses, checks_per_epoch=5, n_val=1000):
    """Return a history whose accuracies tell its checks apart."""
    n = len(losses)
    steps = 6 * np.arange(n)
    return History(
        n_train=2000,
        n_val=n_val,
        step=steps,
        epoch=np.arange(n) // checks_per_epoch,
        train_correct=1500 + np.arange(n),
        val_correct=700 + np.arange(n) // 2,
        val_loss=np.asarray(losses, float),
    )


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
    found = stops(history(losses))
    for check, rule in found.items():
        if rule.unit == "checks":
            stopper = Stopper()
            waited = []
            for loss in losses[: check + 1]:
                stopper = stopper.after(loss, rule.min_delta)
                waited.append(stopper.is_out_of(rule.patience))
            assert waited.index(True) == check


@pytest.mark.parametrize("losses", LOSSES)
def test_best_of_the_last_n_is_a_patience(losses):
    """The rule of the official solution of 2022, by its own words."""
    for n in (2, 5, 10):
        windows = (losses[max(0, t - n) : t + 1] for t in range(len(losses)))
        stop = next((t for t, w in enumerate(windows) if len(w) >= n and w.min() == w[0]), None)
        if stop is not None:
            rule = stops(history(losses)).get(stop)
            assert rule is not None
            stopper = Stopper()
            for loss in losses[: stop + 1]:
                stopper = stopper.after(loss)
            assert stopper.checks_without_improvement == (n - 1 if stop == n - 1 else n)


def test_a_rule_names_the_comparison_that_gives_the_same():
    losses = [1.0, *np.linspace(1.1, 1.2, 30)]
    assert "a counter compared with > 10 instead of >= 10" in str(stops(history(losses))[11])
    assert "compared" not in str(stops(history(losses))[10])


@pytest.fixture
def trained(monkeypatch):
    """Give the protocols of the course made-up histories, and return them by shipped name."""
    rng = np.random.default_rng(1)
    configs = grid("logistic", "mnist")
    made = [
        history(rng.normal(size=400).cumsum() / 40 + 2, n_val=1000 + i) for i in range(len(configs))
    ]
    monkeypatch.setattr(module, "histories", lambda *_: list(zip(configs, made, strict=True)))
    return list(zip(configs, made, strict=True))


def numbers_of(found, rule_patience):
    check = next(
        c for c, r in stops(found).items() if r.patience == rule_patience and not r.min_delta
    )
    return Published(
        stop_epoch=int(found.epoch[check]),
        val_accuracy=TypedNumber.parse(f"{found.val_correct[check] / found.n_val:.4f}"),
        val_loss=TypedNumber.parse(f"{found.val_loss[check]:.8f}"),
    )


def test_a_shipped_protocol_is_found_first_and_unchanged(trained):
    shipped = shipped_protocols("logistic", "mnist")["tdt4265/2022-first-shuffled"]
    found = next(
        h
        for c, h in trained
        if c.data == shipped.data
        and c.training.shuffle
        and c.training.order == "legacy"
        and c.training.seed == 0
        and c.training.epochs > 50
    )
    answer = identify(numbers_of(found, 10)).matches[0]
    assert (answer.shipped, answer.changes, answer.misses) == (
        "tdt4265/2022-first-shuffled",
        {},
        (),
    )
    assert "mnistlin train --config tdt4265/2022-first-shuffled" in answer.command


def test_another_patience_is_told_as_a_change(trained):
    found = trained[0][1]
    result = identify(numbers_of(found, 11))
    assert result.matches[0].changes["early_stopping.patience"] == 11
    assert "compared with > 10" in result.explanation()


def test_an_epoch_counted_from_one_is_a_near_miss_that_says_so(trained):
    found = numbers_of(trained[0][1], 10)
    shifted = Published(found.stop_epoch + 1, None, None, found.val_accuracy, found.val_loss)
    result = identify(shifted)
    assert not result.matches
    assert "if epochs are counted from 1" in result.explanation()


def test_made_up_numbers_find_nothing(trained):
    result = identify(Published(stop_epoch=3, val_accuracy=TypedNumber.parse("20")))
    assert (result.matches, result.near_misses) == ((), ())
    assert "none comes near" in result.explanation()


def test_several_matches_name_the_number_that_tells_them_apart(trained):
    result = identify(Published(stop_epoch=int(trained[0][1].epoch[50])))
    assert len(result.matches) > 1
    assert "would distinguish most of them" in result.explanation()


def test_no_number_is_an_error():
    with pytest.raises(ConfigError, match="no number to identify"):
        identify(Published())
