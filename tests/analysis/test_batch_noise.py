"""Noise of known size, and batches of known content."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlin.analysis.batch_noise import batch_classes
from mnistlin.analysis.claims import Evidence, TrainedExperiment, judge
from mnistlin.experiment import run_experiment

N_CHECKS = 400


def made(run, batch_size=8, seed=0, shuffle=True, **metrics):
    """Return a run with another batch size, seed and history."""
    training = run.config.training.model_copy(
        update={"batch_size": batch_size, "seed": seed, "shuffle": shuffle}
    )
    new = replace(run, config=run.config.model_copy(update={"training": training}))
    new.__dict__["metrics"] = {"step": 6 * np.arange(N_CHECKS), **metrics}
    return new


def of_sizes(run, exponent):
    """Return experiments whose noise scales with the batch size to the power of `exponent`."""
    experiments = []
    for size in (8, 32, 128):
        runs = []
        for seed in range(3):
            rng = np.random.default_rng([seed, size])
            loss = 0.1 + 0.01 * size**exponent * rng.normal(size=N_CHECKS)
            runs.append(made(run, size, seed, val_loss=loss))
        experiments.append(TrainedExperiment(f"batch-{size}", runs=tuple(runs)))
    return tuple(experiments)


@pytest.mark.parametrize(
    ("exponent", "verdict"), [(-0.5, "agrees"), (0.5, "differs"), (0, "inconclusive")]
)
def test_noise_of_the_batches_falls_with_their_size(finished_run, exponent, verdict):
    found = judge("noise-falls-with-batch-size", Evidence(of_sizes(finished_run, exponent)))
    assert found.verdict == verdict


def test_noise_of_a_short_run_is_inconclusive(finished_run):
    evidence = Evidence((TrainedExperiment("short", runs=(finished_run,)),))
    assert judge("noise-falls-with-batch-size", evidence).verdict == "inconclusive"
    assert judge("accuracy-mirrors-loss", evidence).verdict == "inconclusive"


@pytest.mark.parametrize(("sign", "verdict"), [(-1, "agrees"), (1, "differs"), (0, "inconclusive")])
def test_accuracy_mirrors_loss_if_one_falls_where_the_other_rises(finished_run, sign, verdict):
    rng = np.random.default_rng(3)
    noise, other = rng.normal(size=(2, N_CHECKS))
    trend = np.linspace(0, 5, N_CHECKS)  # has to be ignored
    run = made(finished_run, val_loss=noise - trend, val_accuracy=sign * noise + other + trend)
    evidence = Evidence((TrainedExperiment("one", runs=(run,)),))
    assert judge("accuracy-mirrors-loss", evidence).verdict == verdict


@pytest.mark.parametrize(("order", "verdict"), [("sorted", "agrees"), ("mixed", "differs")])
def test_batches_of_one_digit_are_found(tmp_path, write_dataset, make_config, order, verdict):
    """In a file that is sorted by label, and not in one that alternates."""
    labels = np.repeat([2, 7], 20) if order == "sorted" else np.tile([2, 7], 20)
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 5))
    folder = write_dataset(tmp_path / "data", (images, labels), (images, labels))
    data = {"dataset": str(folder)}
    run = run_experiment(
        make_config("logistic", data=data, epochs=1, batch_size=10, shuffle=False), tmp_path
    )
    assert batch_classes(run).counts.sum(axis=1).tolist() == [10] * 4
    evidence = Evidence((TrainedExperiment("one", runs=(run,)),))
    finding = judge("batches-of-one-digit", evidence)
    assert finding.verdict == verdict
    numbers = "0 to 10" if order == "sorted" else "5"
    assert finding.measured == f"{numbers} images of class 7 among 10 in each of 4 batches"
