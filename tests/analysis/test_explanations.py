"""Every branch of every paragraph is reached by data made for it, and says what they hold."""

import inspect
import sys
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlin.analysis import (
    batch_noise,
    calibration,
    choice,
    compare,
    early_stopping,
    identify,
    l2_benefit,
    lambda_path,
    norm_law,
    optimum,
    over_fitting,
    replay,
    seeds,
    stability,
    sweep_effect,
    weight_shape,
)
from mnistlin.analysis import dips as dips_module
from mnistlin.analysis.batch_noise import BatchClasses, BatchNoise
from mnistlin.analysis.calibration import Calibration
from mnistlin.analysis.choice import SettingSummary, SweepChoice
from mnistlin.analysis.compare import Comparison, Pair
from mnistlin.analysis.dips import explain_dips
from mnistlin.analysis.early_stopping import explain_early_stopping
from mnistlin.analysis.identify import Answer, Identification
from mnistlin.analysis.l2_benefit import L2Benefit, Minima
from mnistlin.analysis.lambda_path import LambdaPath, Model
from mnistlin.analysis.lambda_path import Pair as RunAndMinimum
from mnistlin.analysis.norm_law import NormLaw, predictions
from mnistlin.analysis.optimum import find_optimum
from mnistlin.analysis.over_fitting import OverFitting
from mnistlin.analysis.protocols import Ending
from mnistlin.analysis.published import Published, TypedNumber
from mnistlin.analysis.replay import Replay
from mnistlin.analysis.seeds import SeedSpread
from mnistlin.analysis.selection import Choice
from mnistlin.analysis.stability import N_STEPS, Stability
from mnistlin.analysis.statistics import Mean, PairedCounts, holm
from mnistlin.analysis.sweep_effect import AgainstZero, LambdaSummary, SweepEffect
from mnistlin.analysis.weight_shape import WeightShape

N_VAL = 2042
SENTENCES = {
    "explanation",
    "_best",
    "_similar",
    "_simplest",
    "_left_out",
    "_untested",
    "_tested",
    "_of_pair",
    "_of_pairs",
    "_telling_apart",
    "sentence",
}


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
        point = replace(result.of_run.point, value=result.found.point.value + nats)
        return replace(result, of_run=replace(result.of_run, point=point))

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
        "they would detect no difference at all in 80 %": gap(few, 0.5),
        "a difference beyond chance": correct(separable, 1990, 1900),
        "a difference that these images do not decide": correct(separable, 1990, 1990),
        "the minimum is at most": replace(found, kind="lowest found"),
        "is unknown": replace(found, kind="lowest found", objective=no_penalty),
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
        "no period is expected": replace(found, predicted=replace(plan, period=None)),
        "is too long for this run: it would show in 577 checks, which take 5 epochs": replace(
            found, predicted=long_plan, measured=replace(nothing, correlation=np.zeros(60))
        ),
        "The predicted period does not show": replace(found, measured=nothing),
        "so close to it that the weights are nearly the same": replace(
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
        "Nothing recorded in run.json has changed": Replay(run, ("metrics.csv",), None, 0.0, {}),
        "": Replay(run, (), None, 0.0, {}),
    }


@pytest.fixture(scope="module")
def over_fitting_results():
    """Return results about over-fitting, each with the phrase that it must have."""

    def result(changes, train_loss=(0.1, 0.05)):
        summary = {"best_step": 9, "last_step": 99}
        summary |= dict(zip(("best_train_loss", "last_train_loss"), train_loss, strict=True))
        run = SimpleNamespace(summary=summary, metrics={"step": np.arange(100)})
        is_correct = np.arange(40) < 30

        def evaluation(losses):
            predictions = SimpleNamespace(loss=losses)
            return SimpleNamespace(run=run, predictions=predictions, is_correct=is_correct)

        return OverFitting(evaluation(np.zeros(40)), evaluation(np.asarray(changes, float)))

    few, most = np.linspace(-0.1, 0.0, 40), np.linspace(-0.1, 1.0, 40)
    few[:2] = 5.0, 4.0
    return {
        "nothing shows over-fitting": result(np.zeros(40)),
        "falls from 0.1000 to 0.0500": result(few),
        "The 2 images whose loss rose most account for the whole rise": result(few),
        "rises from 0.1000 to 0.2000": result(few, (0.1, 0.2)),
        "of the images falls. 0 images are newly misclassified": result(most),
        "changes by −0.0500 nats": result(np.linspace(-0.1, 0, 40)),
    }


@pytest.fixture(scope="module")
def choice_results():
    """Return choices among the settings of a sweep, each with the phrase that it must have."""
    score = Mean(0.9, 0.01)
    a, b = (0.1,), (0.0,)
    settings = [SettingSummary(key, 2, score, score, score, None, None) for key in (a, b)]

    def result(found, excluded=None, test=None, unstable=(), swept=("training.l2_lambda",), by=""):
        sweep = SimpleNamespace(
            settings=SimpleNamespace(swept=swept, seeds=(0, 1)),
            info=SimpleNamespace(unstable=unstable),
            unstable=unstable,
        )
        by = by or "accuracy"
        return SweepChoice(sweep, by, tuple(settings), None, found, excluded or {}, test or {})

    clear, similar = {b: 0.001}, {b: 0.5}
    test = {
        "chosen_by": "accuracy",
        "test_run": "m",
        "test_accuracy": 0.9,
        "test_interval": (0.8, 0.95),
    }
    return {
        "can be chosen: every one failed": result(None, {a: "failed", b: "failed"}),
        "those that could be have no finished run yet": result(None, {a: "failed"}),
        "Best by mean validation loss": result(Choice(a, (), None, clear), by="loss"),
        "with 0.9000 ± 0.0100. Excluded": result(Choice(a, (), None, {}), {b: "failed"}),
        "One seed per setting allows no test": result(Choice(a, (), None, {})),
        "All others differ significantly": result(Choice(a, (), None, clear)),
        "does not mean that they are equal": result(Choice(a, (b,), None, similar)),
        "The largest λ within one standard error": result(Choice(b, (), a, clear)),
        "The cheapest within one standard error": result(
            Choice(b, (), a, clear), swept=("training.batch_size",)
        ),
        "Excluded from the choice: λ 0 (failed).": result(Choice(a, (), None, {}), {b: "failed"}),
        "says nothing about its setting": result(
            Choice(a, (), None, {}), {b: "unstable"}, unstable=("b",)
        ),
        "No setting was tested for stability": result(Choice(a, (), None, {}), unstable=None),
        "(95 % interval 80.00 % to 95.00 %)": result(Choice(a, (), None, {}), test=test),
    }


@pytest.fixture(scope="module")
def report_results(train_tiny):
    """Return results that the claims of a report use, each with the phrase that it must have."""
    run = train_tiny("logistic", shuffle=False)

    def seeds_of(*accuracies, key="last_val_accuracy"):
        return SeedSpread(None, [SimpleNamespace(summary={key: each}) for each in accuracies])

    def benefit(large, small):
        is_correct = {
            value: np.arange(1000)[None] < n for value, n in ((0.1, large), (1e-5, small))
        }
        losses = {value: np.ones((1, 1000)) for value in is_correct}
        return L2Benefit(run, (Minima(60, is_correct, losses),))

    sizes = [train_tiny("logistic", shuffle=False, batch_size=size) for size in (2, 8)]
    noise = BatchNoise(tuple((each,) for each in sizes), np.array([[0.2], [0.1]]))
    even, uneven = np.full((6, 2), 10), np.array([[20, 0], [0, 20], [10, 10]])
    return {
        "a ratio of 2.0, where batch noise alone would give 2.0": noise,
        "have images of every class. The classes are not significantly less evenly": BatchClasses(
            run, even
        ),
        "some of the classes. The classes are less evenly spread": BatchClasses(run, uneven),
        "a larger λ is more accurate than the smallest beyond chance": benefit(900, 800),
        "every larger λ is less accurate than the smallest": benefit(800, 900),
        "do not decide between them": benefit(900, 899),
        "No run ended without diverging": seeds_of(),
        "give no interval": seeds_of(0.9),
        "validation accuracy of 2 runs: 91.00 ± 1.41 %": seeds_of(0.9, 0.92),
        "Mean test accuracy": seeds_of(0.9, 0.92, key="test_accuracy"),
    }


@pytest.fixture(scope="module")
def path_results():
    """Return results about runs and their minima, each with the phrase that it must have."""

    def model(n_correct):
        return Model(np.ones((3, 1)), np.arange(1000) < n_correct, 0.3)

    def path(*pairs):
        sweep = SimpleNamespace(path="sweep")
        return LambdaPath(
            sweep, (), tuple(RunAndMinimum(l2_lambda, *each) for l2_lambda, *each in pairs)
        )

    better, worse = (model(900), model(950), 1e-9), (model(950), model(900), 1e-9)
    none = (model(900), None, None)
    found = {
        "for λ = 0.1 the minimum is better, so training": path((0.1, *better)),
        "for λ = 0.1 the run is better than the minimum": path((0.1, *worse)),
        "for λ = 0.1 the images do not decide": path((0.1, model(900), model(901), 0.9)),
        "for λ = 0.1 the minimum is better, so training and not λ costs accuracy; for λ = 0.01 the "
        "run is better": path((0.01, *worse), (0.1, *better)),
        "No minimum was found. With λ = 0 there may be no": path((0.0, *none)),
        "For λ = 0.1 the search did not converge": path((0.1, *none)),
        "Of the minima λ = 0.1 has the highest validation accuracy, 0.9500": path(
            (0.01, *worse), (0.1, *better)
        ),
    }
    assert "Of the minima" not in path((0.1, *none)).explanation()
    return found


@pytest.fixture(scope="module")
def stability_results():
    """Return results about the learning rate, each with the phrase that it must have."""
    run = SimpleNamespace(
        config=SimpleNamespace(training=SimpleNamespace(learning_rate=0.1, batch_size=128))
    )
    flat, steps = np.full(N_STEPS, 0.5), np.arange(N_STEPS)
    noisy = flat + 0.1 * (-1.0) ** steps
    decaying = flat + 5 * 0.98**steps * (-1.0) ** steps

    def result(full, batches, of_run=5.0, of_minimum=None):
        return Stability(run, of_run, of_minimum, full, batches)

    return {
        "Both fluctuations are negligible": result(flat, flat),
        "it is batch noise, not overshoot": result(flat, noisy),
        "the steps overshoot": result(noisy, noisy),
        "does not decide between noise and overshoot": result(decaying, noisy),
        "more than can be measured (it diverges)": result(np.full(N_STEPS, np.nan), noisy),
        "there may be no minimum to stay at": result(flat, noisy),
        "up to a sharpness of 20. At the last weights of the run it is 5, below the limit": result(
            flat, noisy, of_minimum=6.0
        ),
        "it is 17, close to the limit; at the minimum it is 25, above the limit": result(
            flat, noisy, 17.0, 25.0
        ),
        "No run can stay at this minimum with a learning rate above 0.08": result(
            flat, noisy, 17.0, 25.0
        ),
    }


@pytest.fixture(scope="module")
def calibration_results():
    """Return calibrations, each with the phrase that it must have."""

    def result(low, high, ece=0.01):
        middle = (low + high) / 2
        return Calibration((), ece, (0.0, 0.02), 0.02, middle, (low, high), 0.1, None)

    return {
        "The model is over-confident": result(0.01, 0.03),
        "The model is under-confident": result(-0.03, -0.01),
        "Neither over- nor under-confidence was detected": result(-0.01, 0.01),
        "so no miscalibration was detected": result(-0.01, 0.01),
        "so the probabilities are not calibrated": result(-0.01, 0.01, ece=0.03),
    }


@pytest.fixture(scope="module")
def norm_law_results():
    """Return results about the norm of the weights, each with the phrase that it must have."""
    l2_lambdas = np.geomspace(0.01, 1, 8)

    def result(norms, unstable=()):
        sweep = SimpleNamespace(path="sweep", unstable=dict.fromkeys(unstable, 0.1))
        return NormLaw(sweep, l2_lambdas, norms, predictions(l2_lambdas, norms))

    exponential = np.exp(-l2_lambdas)
    found = {
        "a exp(−b λ) is the nearest of the three.": result(exponential),
        "a λ^(−b) is the nearest of the three.": result(l2_lambdas**-0.4),
        "a − b ln λ is the nearest of the three.": result(2 - np.log(l2_lambdas)),
        "too large for the minimum at λ = 1, so the norm": result(exponential, [(1.0,)]),
    }
    assert "too large" not in result(exponential, [(0.0,)]).explanation()
    return found


@pytest.fixture(scope="module")
def shape_results():
    """Return results about the shape of weights, each with the phrase that it must have."""

    def result(*roughness):
        by_lambda = {float(i): {0: each} for i, each in enumerate(roughness)}
        return WeightShape(SimpleNamespace(path="sweep"), by_lambda, by_lambda)

    return {
        "From λ = 0 to λ = 2 the roughness ‖∇W‖² / ‖W‖² goes from 0.60 to 0.40": result(
            0.6, 1, 0.4
        ),
        "goes from 0.40 to 0.60": result(0.4, 0.6),
        "At λ = 0, the only one, the roughness ‖∇W‖² / ‖W‖² is 0.60": result(0.6),
    }


@pytest.fixture(scope="module")
def comparisons():
    """Return comparisons, each with the phrase that it must have."""
    sure, even = PairedCounts(900, 60, 10, 30), PairedCounts(900, 11, 10, 79)

    def result(*counts):
        n_runs = {1: 2, 3: 3}[len(counts)]
        runs = tuple(SimpleNamespace(accuracy=0.97 - 0.01 * i) for i in range(n_runs))
        p_values = holm([each.p_value for each in counts])
        pairs = tuple(Pair(*runs[:2], *each) for each in zip(counts, p_values, strict=True))
        return Comparison(runs, pairs)

    mirrored = PairedCounts(900, 10, 60, 30)
    return {
        "So A is better on such images": result(sure),
        "So B is better on such images": result(mirrored),
        "do not decide which run is better; that is no evidence that they are equally": result(
            even
        ),
        "2 of 3 pairs differ by more than chance explains": result(sure, sure, even),
        "A has the highest accuracy, 0.9700; it is better than every other": result(
            sure, sure, even
        ),
        "whether it is better than C is undecided": result(sure, even, even),
    }


@pytest.fixture(scope="module")
def identifications(make_config):
    """Return answers to published numbers, each with the phrase that it must have."""

    def answer(loss=0.1, misses=()):
        ending = Ending(None, 99, 9, Fraction(9, 10), Fraction(8, 10), loss)
        return Answer(make_config("logistic"), ending, misses, "binary", {})

    def result(*matches, near=(), **given):
        published = Published(**{"stop_epoch": 9, **given})
        return Identification(published, "logistic", 1234, matches, near)

    every = {
        "stop_step": 99,
        "train_accuracy": TypedNumber.parse("0.9"),
        "val_accuracy": TypedNumber.parse("0.8"),
        "val_loss": TypedNumber.parse("0.1"),
    }
    near = (answer(misses=("epoch 8 instead of 9",)),)
    return {
        "gives these numbers, and none comes near.": result(),
        "gives these numbers.\n\nNear misses:": result(near=near),
        "but epoch 8 instead of 9": result(near=near),
        "one combination gives these numbers": result(answer()),
        "2 combinations give these numbers": result(answer(), answer(0.2)),
        "The validation loss would distinguish most of them: 0.1 or 0.2.": result(
            answer(), answer(0.2)
        ),
        "or one of 1 others": result(*map(answer, (0.1, 0.2, 0.3, 0.4))),
        "No further number of the last check would distinguish these": result(answer(), answer()),
        "2 combinations give these numbers. The 2 nearest": result(answer(), answer(), **every),
    }


@pytest.fixture(scope="module")
def results(
    optima,
    dips_results,
    sweep_results,
    other_results,
    over_fitting_results,
    choice_results,
    report_results,
    path_results,
    stability_results,
    calibration_results,
    norm_law_results,
    shape_results,
    comparisons,
    identifications,
):
    """Return all results by their phrases."""
    return {
        **optima,
        **dips_results,
        **sweep_results,
        **other_results,
        **over_fitting_results,
        **choice_results,
        **report_results,
        **path_results,
        **stability_results,
        **calibration_results,
        **norm_law_results,
        **shape_results,
        **comparisons,
        **identifications,
    }


def test_each_paragraph_says_what_its_data_hold(results):
    for words, result in results.items():
        assert words in result.explanation(), words


def test_only_the_paragraph_of_a_converged_run_says_so(optima):
    """It must not be said of a run whose J is far above the minimum."""
    claims = [words for words, each in optima.items() if "has converged" in each.explanation()]
    assert claims == ["Training has converged for this λ"]


def test_no_branch_is_left_without_data(results):
    """Every line that returns a sentence is executed by one of the results above."""
    modules = (
        batch_noise,
        calibration,
        choice,
        compare,
        dips_module,
        early_stopping,
        identify,
        l2_benefit,
        lambda_path,
        norm_law,
        optimum,
        over_fitting,
        replay,
        seeds,
        stability,
        sweep_effect,
        weight_shape,
    )
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
            is_sentence = name in SENTENCES or name.startswith("_about")
            if is_sentence and function.__module__ == module.__name__:
                lines, first = inspect.getsourcelines(function)
                yield from (
                    first + i for i, line in enumerate(lines) if line.lstrip().startswith("return")
                )
