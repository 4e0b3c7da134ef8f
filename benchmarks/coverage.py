"""Coverage of every printed interval, and false alarms of every test, by simulation.

    python -m benchmarks.coverage [--draws 5000]

Coverage is how often a 95 % interval holds the true value, ± two standard errors of the simulation.
"""

import argparse
from collections.abc import Callable

import numpy as np

from mnistlin.analysis.calibration import calibration
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
}
"""What holds in at least 95 % of all draws, by name."""

RESAMPLING: dict[str, Simulation] = {
    "bootstrap, over-confidence of 500": over_confidence(500),
    "bootstrap, AUC of 500": area_under_the_curve(500),
}
"""Simulations that resample in every draw, which take a tenth of a second each."""


def coverage(simulation: Simulation, n_draws: int, seed: int = 0) -> tuple[float, float]:
    """Return the fraction of draws in which it holds, and two standard errors of that."""
    rng = np.random.default_rng(seed)
    fraction = sum(simulation(rng) for _ in range(n_draws)) / n_draws
    return fraction, 2 * float(np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / n_draws))


def main() -> None:
    """Print one line per simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5000)
    n_draws = parser.parse_args().draws
    for name, simulation in (SIMULATIONS | RESAMPLING).items():
        found, error = coverage(simulation, n_draws)
        kind = "as stated" if abs(found - CONFIDENCE) <= error else "conservative"
        kind = "TOO LOW" if found < CONFIDENCE - error else kind
        print(f"{name:45} {found:.4f} ± {error:.4f}  {kind}", flush=True)


if __name__ == "__main__":
    main()
