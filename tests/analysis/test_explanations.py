"""Every branch of every paragraph is reached by data made for it, and says what they hold."""

import inspect
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlin.analysis import dips as dips_module
from mnistlin.analysis import early_stopping, optimum, replay, sweep_effect
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.early_stopping import explain_early_stopping
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.replay import Replay
from mnistlin.analysis.statistics import Mean
from mnistlin.analysis.sweep_effect import AgainstZero, LambdaSummary, SweepEffect

N_VAL = 2042


@pytest.fixture(scope="module")
def optima(train_tiny):
    """Return results of `explain optimum`, each with the phrase that it must have."""
    found = find_optimum(train_tiny("logistic", l2_lambda=0.5, epochs=60))
    separable = replace(found, kind="no minimum")

    def correct(result, minimum, run):
        """Let the first `minimum` of all validation images be correct, and the first `run`."""
        images = np.arange(N_VAL)
        return replace(
            result,
            found=replace(result.found, val_is_correct=images < minimum),
            of_run=replace(result.of_run, val_is_correct=images < run),
        )

    def gap(result, nats):
        place = replace(result.of_run.place, value=result.found.place.value + nats)
        return replace(result, of_run=replace(result.of_run, place=place))

    no_penalty = replace(found.objective, l2_lambda=0.0)
    few = replace(
        found,
        found=replace(found.found, val_is_correct=np.array([True])),
        of_run=replace(found.of_run, val_is_correct=np.array([False])),
    )
    return {
        "The minimum is better by more than chance": correct(found, 1990, 1900),
        "The run is better by more than chance": correct(found, 1900, 1990),
        "Training has converged for this λ": gap(correct(found, 1991, 1990), 1e-6),
        "By its J, training has not converged for this λ": gap(correct(found, 1990, 1991), 0.5),
        "they reveal no difference at all in 80%": gap(few, 0.5),
        "a difference beyond chance": correct(separable, 1990, 1900),
        "a difference that these images do not decide": correct(separable, 1990, 1990),
        "the minimum is at most": replace(found, kind="lowest found"),
        "is not known": replace(found, kind="lowest found", objective=no_penalty),
    }


@pytest.fixture(scope="module")
def dips_results(digits_run):
    """Return results of `explain dips`, each with the phrase that it must have."""
    found = explain_dips(digits_run)
    plan, measured, epoch = found.predicted, found.measured, found.epoch
    nothing = replace(measured, lag=None)
    noise = np.random.default_rng(0).normal(size=len(measured.steps))
    no_dips = replace(nothing, deviation=noise)
    one_dip = replace(no_dips, deviation=np.where(np.arange(len(noise)) == 9, -50.0, noise))
    batches = tuple(replace(each, accuracy_change=0.0) for each in epoch.batches)
    falling = replace(epoch, accuracy=np.linspace(0.9, 0.8, len(epoch.accuracy)))
    shuffled = replace(found, epoch=None, predicted=replace(plan, period=None), measured=nothing)
    long_plan = replace(plan, steps_per_epoch=129, check_every=1, period=129)
    near_plan = replace(plan, steps_per_epoch=156, check_every=31, period=4836)

    def losses(p_value):
        return replace(found.losses, p_value=p_value)

    return {
        "Prediction and measurement agree.": found,
        "no more than by chance": replace(shuffled, losses=losses(0.5)),
        "more than by chance (p = 0.001": replace(shuffled, losses=losses(0.001)),
        "no period is to be expected": replace(found, predicted=replace(plan, period=None)),
        "is too long for this run: it would show in 577 checks, which take 5 epochs": replace(
            found, predicted=long_plan, measured=replace(nothing, correlation=np.zeros(60))
        ),
        "The predicted period does not show": replace(found, measured=nothing),
        "so near to it that the weights are nearly the same": replace(
            found, predicted=near_plan, measured=replace(measured, lag=5, spacing=31)
        ),
        "the order of batches does not explain it": replace(
            found, measured=replace(measured, lag=5)
        ),
        "no step lowers validation accuracy": replace(found, epoch=replace(epoch, batches=batches)),
        "it does not recover within the epoch": replace(found, epoch=falling),
        "No check of the run stands out as a dip": replace(found, measured=no_dips),
        f"at steps {one_dip.steps[9]:,}, are at position": replace(found, measured=one_dip),
    }


@pytest.fixture(scope="module")
def sweep_results():
    """Return results about λ, each with the phrase that it must have."""

    def summary(l2_lambda, n_seeds=2, test=None):
        mean = Mean(0.9, 0.01 if n_seeds > 1 else None)
        numbers = [mean] * 5 if n_seeds else [None] * 5
        return LambdaSummary(l2_lambda, n_seeds, *numbers, test)

    worse = AgainstZero(2, -0.01, -0.02, -0.001, 0.01, "worse")
    unclear = AgainstZero(2, -0.01, -0.02, 0.01, 0.3, "inconclusive")
    untested = AgainstZero(1, -0.01)
    found = {
        "No run of this sweep ended": [summary(1.0, 0)],
        "no λ = 0 to compare": [summary(1.0)],
        "allow no test": [summary(0.0, 1), summary(1.0, 1, untested)],
        "λ = 1 is worse (−1.00 points)": [summary(0.0), summary(1.0, test=worse)],
        "λ = 1 is inconclusive": [summary(0.0), summary(1.0, test=unclear)],
    }
    sweep = SimpleNamespace(path="sweep")
    return {words: SweepEffect(sweep, tuple(each)) for words, each in found.items()}


@pytest.fixture(scope="module")
def other_results(train_tiny):
    """Return results of the other questions, each with the phrase that it must have."""
    run = train_tiny(epochs=80, learning_rate=0.3)
    return {
        "reaches the lowest loss is patience": explain_early_stopping(run, range(1, 401)),
        "None of these rules reaches": explain_early_stopping(run, [1]),
        "patience 10000 does not stop in the 80 epochs": explain_early_stopping(run, [10_000]),
        "a file of the run may have been edited": Replay(run, ("metrics.csv",), None, 0.0, {}),
        "": Replay(run, (), None, 0.0, {}),
    }


@pytest.fixture(scope="module")
def results(optima, dips_results, sweep_results, other_results):
    """Return all results by their phrases."""
    return {**optima, **dips_results, **sweep_results, **other_results}


def test_each_paragraph_says_what_its_data_hold(results):
    for words, result in results.items():
        assert words in result.explanation(), words


def test_only_the_paragraph_of_a_converged_run_says_so(optima):
    """It is no praise for a run whose J is far above the minimum."""
    claims = [words for words, each in optima.items() if "has converged" in each.explanation()]
    assert claims == ["Training has converged for this λ"]


def test_no_branch_is_left_without_data(results):
    """Every line that returns a sentence is executed by one of the results above."""
    modules = (dips_module, early_stopping, optimum, replay, sweep_effect)
    files = {inspect.getsourcefile(module): module for module in modules}
    executed = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            executed.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for result in results.values():
            result.explanation()
    finally:
        sys.settrace(before)
    missing = [
        f"{module.__name__}:{line}"
        for file, module in files.items()
        for line in sentence_lines(module)
        if (file, line) not in executed
    ]
    assert not missing


def sentence_lines(module):
    """Yield the lines of a module that return part of a paragraph."""
    for _, owner in [("", module), *inspect.getmembers(module, inspect.isclass)]:
        for name, function in inspect.getmembers(owner, inspect.isfunction):
            is_sentence = name == "explanation" or name.startswith("_about")
            if is_sentence and function.__module__ == module.__name__:
                lines, first = inspect.getsourcelines(function)
                yield from (
                    first + i for i, line in enumerate(lines) if line.lstrip().startswith("return")
                )
