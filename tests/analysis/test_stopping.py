"""Replayed rules stop where real runs with these rules stop."""

from itertools import pairwise

import numpy as np
import pytest

from mnistlin import RunError
from mnistlin.analysis.early_stopping import alike, explain_early_stopping

LONG = {"epochs": 80, "learning_rate": 0.3}


@pytest.fixture(scope="module")
def long_run(train_tiny):
    """Return a run without early stopping, with ups and downs."""
    return train_tiny(**LONG)


@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (4, 0.0), (6, 0.01)])
def test_a_replayed_rule_ends_as_a_real_run_with_it(long_run, train_tiny, patience, min_delta):
    """Same step, same epoch, same losses, same best check."""
    rule = {"patience": patience, "min_delta": min_delta}
    real = train_tiny(early_stopping=rule, **LONG)
    assert real.status == "early_stopped"
    (found,) = explain_early_stopping(long_run, [patience], [min_delta]).rules
    summary = real.summary
    assert found.has_stopped
    assert (found.step, found.epoch) == (summary["stop_step"], summary["stop_epoch"])
    assert found.best_step == summary["best_step"]
    assert found.last_val_loss == pytest.approx(summary["last_val_loss"], rel=1e-12)
    assert found.best_val_loss == pytest.approx(summary["best_val_loss"], rel=1e-12)


def test_a_rule_that_outlasts_the_run_has_not_stopped(long_run):
    """Then the end of the run is reported."""
    (found,) = explain_early_stopping(long_run, [10_000]).rules
    assert not found.has_stopped
    assert found.step == long_run.metrics["step"][-1]
    assert found.last_val_loss == long_run.metrics["val_loss"][-1]
    assert found.best_regret == 0


def test_regret_is_what_a_rule_has_missed(long_run):
    """Above the lowest loss of the whole run; more patience never makes it larger."""
    outcomes = explain_early_stopping(long_run, range(1, 30))
    lowest = long_run.metrics["val_loss"].min()
    regrets = np.array([each.best_regret for each in outcomes.rules])
    assert regrets == pytest.approx([each.best_val_loss - lowest for each in outcomes.rules])
    assert regrets[0] > 0
    assert (np.diff(regrets) <= 0).all()
    assert all(each.last_regret >= each.best_regret for each in outcomes.rules)


def test_rules_come_by_min_delta_then_by_patience(long_run):
    """As asked for."""
    outcomes = explain_early_stopping(long_run, [3, 5], [0.0, 0.1])
    asked = [(0.0, 3), (0.0, 5), (0.1, 3), (0.1, 5)]
    assert [(each.min_delta, each.patience) for each in outcomes.rules] == asked


def test_rules_that_keep_the_same_weights_are_told_together(long_run):
    """Each rule is in one group, and groups differ in what they keep."""
    outcomes = explain_early_stopping(long_run, range(1, 30))
    groups = list(alike(outcomes.rules))
    assert len(groups) < len(outcomes.rules)
    assert groups[0][0].patience == 1
    assert groups[-1][1].patience == 29
    for (_, last), (first, _) in pairwise(groups):
        assert first.patience == last.patience + 1
    for first, last in groups:
        assert first.best_step == last.best_step


def test_a_run_without_checks_has_nothing_to_replay(train_tiny):
    """It diverged before the first."""
    with pytest.raises(RunError, match="no checks"):
        explain_early_stopping(train_tiny(learning_rate=1e9), [1])


@pytest.mark.parametrize("patience", [1, 5, 400])
def test_the_paragraph_says_what_each_end_of_the_patiences_keeps(long_run, patience):
    """The smallest patience that reaches the lowest loss is named, or that none does."""
    found = explain_early_stopping(long_run, range(1, patience + 1))
    words, last = found.explanation(), found.rules[-1]
    assert f"patience {patience} " in words
    assert f"keeps a loss of {last.best_val_loss:.5f}" in words
    enough = [rule.patience for rule in found.rules if rule.best_val_loss == found.lowest_val_loss]
    if enough:
        assert words.endswith(f"reaches the lowest loss is patience {enough[0]}.")
    else:
        assert words.endswith("None of these rules reaches the lowest loss.")


def test_the_paragraph_tells_rules_that_outlast_the_run(long_run):
    words = explain_early_stopping(long_run, [10_000]).explanation()
    assert "patience 10000 does not stop in the 80 epochs of this run" in words


def test_a_finding_about_a_modified_run_carries_a_warning(train_tiny):
    """As the run itself does; the findings are shown nevertheless."""
    run = train_tiny(epochs=3)
    with (run.path / "steps.csv").open("a") as file:
        file.write("\n")
    warnings = explain_early_stopping(run, [1]).warnings()
    assert any("modified since the run ended: steps.csv" in each for each in warnings)
