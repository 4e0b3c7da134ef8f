"""Coverage of every printed interval, and false alarms of every test, by simulation.

    python -m benchmarks.coverage [--draws 5000] [--slow 500]

Coverage is how often a 95 % interval holds the true value, ± two standard errors of the simulation.
"""

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from scipy import signal

from mnistlin.analysis.batch_noise import BatchClasses
from mnistlin.analysis.calibration import calibration
from mnistlin.analysis.claims import verdict_on_all
from mnistlin.analysis.l2_benefit import Minima
from mnistlin.analysis.norm_law import NormLaw, predictions
from mnistlin.analysis.over_fitting import OverFitting
from mnistlin.analysis.periods import loss_by_position, measure_period
from mnistlin.analysis.selection import choose
from mnistlin.analysis.statistics import (
    CONFIDENCE,
    PairedCounts,
    holm,
    proportion_interval,
    t_interval,
)

Simulation = Callable[[np.random.Generator], bool]


def proportion(accuracy: float, n: int) -> Simulation:
    """Whether the interval of an accuracy holds it."""

    def draw(rng: np.random.Generator) -> bool:
        low, high = proportion_interval(int(rng.binomial(n, accuracy)), n)
        return low <= accuracy <= high

    return draw


def paired_difference(only_a: float, only_b: float, n: int) -> Simulation:
    """Whether the interval of a paired difference holds it; 0.9 of the rest are right for both."""
    rest = 1 - only_a - only_b

    def draw(rng: np.random.Generator) -> bool:
        counts = rng.multinomial(n, [0.9 * rest, only_a, only_b, 0.1 * rest])
        low, high = PairedCounts(*map(int, counts)).interval
        return low <= only_a - only_b <= high

    return draw


def mean_of(n: int) -> Simulation:
    """Whether the t-interval of a mean holds it."""

    def draw(rng: np.random.Generator) -> bool:
        found = t_interval(rng.standard_normal(n) + 1)
        return found is not None and found.low <= 1 <= found.high

    return draw


def no_false_mcnemar(discordance: float, n: int, n_pairs: int) -> Simulation:
    """Whether no pair of equally good models is called different, corrected for their number."""

    def draw(rng: np.random.Generator) -> bool:
        p_values = []
        for _ in range(n_pairs):
            differ = int(rng.binomial(n, discordance))
            only_a = int(rng.binomial(differ, 0.5))
            p_values.append(PairedCounts(n - differ, only_a, differ - only_a, 0).p_value)
        return min(holm(p_values)) >= 1 - CONFIDENCE

    return draw


def no_false_t_test(n_seeds: int, n_lambdas: int) -> Simulation:
    """Whether no λ without an effect is called better or worse, corrected for their number."""

    def draw(rng: np.random.Generator) -> bool:
        found = [t_interval(rng.standard_normal(n_seeds)) for _ in range(n_lambdas)]
        return min(holm([each.p_value for each in found if each])) >= 1 - CONFIDENCE

    return draw


def over_confidence(n: int) -> Simulation:
    """Whether the bootstrap interval of mean confidence minus accuracy holds the true one, 0.05."""

    def draw(rng: np.random.Generator) -> bool:
        confidence = rng.uniform(0.55, 1, n)
        targets = (rng.random(n) >= confidence - 0.05).astype(int)
        found = calibration(np.stack([confidence, 1 - confidence], axis=1), targets)
        low, high = found.over_confidence_interval
        return low <= 0.05 <= high

    return draw


def area_under_the_curve(n: int) -> Simulation:
    """Whether the bootstrap interval of the AUC holds the true one, of calibrated scores.

    Scores have the density 2 x in the class and 2 (1 - x) in the other one, so the AUC is 5/6.
    """

    def draw(rng: np.random.Generator) -> bool:
        p = rng.random(n)
        targets = (rng.random(n) >= p).astype(int)
        roc = calibration(np.stack([p, 1 - p], axis=1), targets).roc
        return roc is not None and roc.auc_interval[0] <= 5 / 6 <= roc.auc_interval[1]

    return draw


def keeps_an_equal_setting(n_seeds: int) -> Simulation:
    """Whether one of six equal settings, the simplest, is not called worse than the best of them.

    The best is chosen by the same seeds, which favours it.
    """

    def draw(rng: np.random.Generator) -> bool:
        scores = {(i,): dict(enumerate(rng.standard_normal(n_seeds))) for i in range(6)}
        found = choose(scores)
        return found.best == (0,) or found.p_values[(0,)] >= 1 - CONFIDENCE

    return draw


def keeps_the_best_of_six(n_seeds: int) -> Simulation:
    """Whether none of six equal settings is called significantly worse than the best of them."""

    def draw(rng: np.random.Generator) -> bool:
        scores = {(i,): dict(enumerate(rng.standard_normal(n_seeds))) for i in range(6)}
        return min(choose(scores).p_values.values()) >= 1 - CONFIDENCE

    return draw


def no_false_miscalibration(n: int) -> Simulation:
    """Whether a calibrated model is not called miscalibrated."""

    def draw(rng: np.random.Generator) -> bool:
        confidence = rng.uniform(0.5, 1, n)
        targets = (rng.random(n) >= confidence).astype(int)
        found = calibration(np.stack([confidence, 1 - confidence], axis=1), targets)
        return found.ece <= found.ece_if_calibrated

    return draw


def no_false_over_fitting(n_images: int, n_checks: int) -> Simulation:
    """Whether a run whose checks are all equally good, but for noise, does not over-fit.

    The best check is chosen by the mean loss of the same images, and all are independent: the
    hardest case, since the checks of a run resemble each other. Losses are far from normal.
    """

    def draw(rng: np.random.Generator) -> bool:
        losses = rng.exponential(0.1, (n_checks, n_images))
        best = losses[losses.mean(axis=1).argmin()]
        summary = {"best_train_loss": 0.2, "last_train_loss": 0.1}
        run: Any = SimpleNamespace(summary=summary, metrics={"step": range(n_checks)})
        found = OverFitting(
            *(
                cast("Any", SimpleNamespace(run=run, predictions=SimpleNamespace(loss=each)))
                for each in (best, losses[-1])
            )
        )
        return found.verdict(tolerance=0.0) != "agrees"

    return draw


def no_false_benefit(n_sets: int, n_images: int) -> Simulation:
    """Whether no λ is called more accurate, if all are equally accurate.

    An image is easy or hard for a λ with all sets of training images, and its outcomes with
    different sets vary around that.
    """

    def draw(rng: np.random.Generator) -> bool:
        is_correct = {}
        for i in range(6):
            chance = np.clip(0.95 + rng.normal(0, 0.1, n_images), 0, 1)
            is_correct[10.0**-i] = rng.random((n_sets, n_images)) < chance
        losses = {value: each.astype(float) for value, each in is_correct.items()}
        return Minima(500, is_correct, losses).verdict != "agrees"

    return draw


def no_false_direction(n_groups: int, n_seeds: int) -> Simulation:
    """Whether noise does not make a claim about all groups agree, or differ.

    So are judged the noise by batch size, gaps, smoothness, and the use of weights.
    """

    def draw(rng: np.random.Generator) -> bool:
        groups = rng.standard_normal((n_groups, n_seeds))
        return verdict_on_all(list(groups)) == "inconclusive"

    return draw


def no_false_law(noise: float) -> Simulation:
    """Whether norms that fall exponentially with λ, but for noise, are not said to do otherwise."""
    l2_lambdas = np.geomspace(1e-3, 1, 10)

    def draw(rng: np.random.Generator) -> bool:
        norms = 4 * np.exp(-2 * l2_lambdas) * (1 + noise * rng.standard_normal(10))
        predicted = predictions(l2_lambdas, norms)
        return NormLaw(cast("Any", None), l2_lambdas, norms, predicted).is_exponential != "differs"

    return draw


def no_false_period(n_checks: int, slowness: float) -> Simulation:
    """Whether noise without a period has none; a part of each value, `slowness`, is the last one's.

    Checks come from a run of 181 or more; the first are left out by the analysis.
    """

    def draw(rng: np.random.Generator) -> bool:
        noise = rng.standard_normal(n_checks)
        accuracy = signal.lfilter([1.0], [1.0, -slowness], noise)
        metrics = {"step": 6 * np.arange(n_checks), "val_accuracy": accuracy}
        run: Any = SimpleNamespace(metrics=metrics, path="run")
        return measure_period(run).lag is None

    return draw


def no_false_position(n_epochs: int, steps_per_epoch: int) -> Simulation:
    """Whether no position of an epoch has a higher loss than others, if the loss falls slowly."""

    def draw(rng: np.random.Generator) -> bool:
        n = n_epochs * steps_per_epoch
        losses = np.geomspace(1, 0.5, n) + 0.1 * rng.standard_normal(n)
        run: Any = SimpleNamespace(steps={"batch_loss": losses}, path="run")
        return loss_by_position(run, steps_per_epoch).p_value >= 1 - CONFIDENCE

    return draw


def no_false_uneven_batches(n_batches: int, batch_size: int) -> Simulation:
    """Whether batches in a random order are not called uneven."""

    def draw(rng: np.random.Generator) -> bool:
        targets = rng.permutation(np.arange(n_batches * batch_size) % 10)
        batches = targets.reshape(n_batches, batch_size)
        counts = np.stack([(batches == k).sum(axis=1) for k in range(10)], axis=1)
        return BatchClasses(cast("Any", None), counts).p_value >= 1 - CONFIDENCE

    return draw


SIMULATIONS: dict[str, Simulation] = {
    "accuracy, 0.916 of 10,000": proportion(0.916, 10_000),
    "accuracy, 0.98 of 2,042": proportion(0.98, 2_042),
    "accuracy, 0.995 of 1,000": proportion(0.995, 1_000),
    "accuracy, 0.999 of 1,000": proportion(0.999, 1_000),
    "paired difference, 1 % and 0.4 % of 10,000": paired_difference(0.010, 0.004, 10_000),
    "paired difference, 0.1 % and 0.1 % of 2,042": paired_difference(0.001, 0.001, 2_042),
    "t-interval, 3 seeds": mean_of(3),
    "t-interval, 10 seeds": mean_of(10),
    "no false McNemar, 1 pair": no_false_mcnemar(0.014, 10_000, 1),
    "no false McNemar, 3 pairs": no_false_mcnemar(0.014, 10_000, 3),
    "no false t-test, 3 seeds, 4 λ": no_false_t_test(3, 4),
    "the simplest of 6 equal settings is kept, 5 seeds": keeps_an_equal_setting(5),
    "all of 6 equal settings are kept, 5 seeds": keeps_the_best_of_six(5),
    "no false over-fitting, 10 checks": no_false_over_fitting(2_000, 10),
    "no false benefit of λ, 5 sets": no_false_benefit(5, 1_000),
    "no false benefit of λ, 1 set": no_false_benefit(1, 1_000),
    "no false direction, 1 group of 5 seeds": no_false_direction(1, 5),
    "no false direction, 3 groups of 5 seeds": no_false_direction(3, 5),
    "no false law of the norm, noise of 1 %": no_false_law(0.01),
    "no false law of the norm, noise of 10 %": no_false_law(0.10),
    "no false position, 20 epochs of 31 steps": no_false_position(20, 31),
    "no false uneven batches, 31 of 128": no_false_uneven_batches(31, 128),
}
"""What holds in at least 95 % of all draws, by name."""

SLOW: dict[str, Simulation] = {
    "bootstrap, over-confidence of 500": over_confidence(500),
    "bootstrap, AUC of 500": area_under_the_curve(500),
    "no false miscalibration, 500 images": no_false_miscalibration(500),
    "no false over-fitting, 250 checks": no_false_over_fitting(500, 250),
    "no false period, independent, 181 checks": no_false_period(181, 0.0),
    "no false period, slow, 181 checks": no_false_period(181, 0.9),
    "no false period, slow, 500 checks": no_false_period(500, 0.9),
}
"""Simulations that take ten to a hundred milliseconds each."""


def coverage(simulation: Simulation, n_draws: int, seed: int = 0) -> tuple[float, float]:
    """Return the fraction of draws in which it holds, and two standard errors of that."""
    rng = np.random.default_rng(seed)
    fraction = sum(simulation(rng) for _ in range(n_draws)) / n_draws
    return fraction, 2 * float(np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / n_draws))


def main() -> None:
    """Print one line per simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--slow", type=int, default=500, help="draws of the slow ones")
    draws, slow = vars(parser.parse_args()).values()
    for name, simulation in (SIMULATIONS | SLOW).items():
        found, error = coverage(simulation, slow if name in SLOW else draws)
        kind = "as stated" if abs(found - CONFIDENCE) <= error else "conservative"
        kind = "TOO LOW" if found < CONFIDENCE - error else kind
        print(f"{name:45} {found:.4f} ± {error:.4f}  {kind}", flush=True)


if __name__ == "__main__":
    main()
