"""Tiny runs, and runs whose tables are made up."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlin import explain_stability, run_experiment, run_sweep
from mnistlin.config import ExperimentConfig, SweepConfig


@pytest.fixture(scope="session")
def train_tiny(tmp_path_factory, make_config):
    """Return a function that trains on the tiny dataset; its keywords are those of make_config."""
    runs_dir = tmp_path_factory.mktemp("tiny-runs")
    return lambda *model, **settings: run_experiment(make_config(*model, **settings), runs_dir)


@pytest.fixture(scope="session")
def at_rate(train_tiny):
    """Return a function that trains with λ = 0.5 at a fraction of the largest stable rate."""
    calm = explain_stability(train_tiny("logistic", l2_lambda=0.5, learning_rate=0.01))
    limit = calm.values()["largest_stable_rate"]

    def train(fraction, **training):
        rate = fraction * limit
        return train_tiny("logistic", l2_lambda=0.5, learning_rate=rate, **training)

    return train


@pytest.fixture
def movable_run(dataset, make_config, tmp_path):
    """Return a function that trains on a copy of the tiny dataset, and the folder of the copy."""

    def make(**data):
        folder = tmp_path / "data"
        if not folder.exists():
            shutil.copytree(dataset, folder)
        config = make_config(data={"dataset": str(folder), **data})
        return run_experiment(config, tmp_path / "runs"), folder

    return make


@dataclass(frozen=True)
class MadeUpRun:
    """What an analysis reads of a run, without a folder behind it."""

    config: ExperimentConfig
    metrics: dict
    steps: dict
    info: SimpleNamespace
    path: Path = Path("runs/made-up")


@pytest.fixture(scope="session")
def made_up(make_config):
    """Return a function that makes a run from validation accuracies at evenly spaced checks."""

    def make(accuracy=(), spacing=6, n_train=4005, batch_losses=(), **training):
        how = {"batch_size": 128, "shuffle": False, "epochs": 500, **training}
        steps = spacing * np.arange(len(accuracy))
        return MadeUpRun(
            config=make_config("logistic", **how),
            metrics={"step": steps, "val_accuracy": np.asarray(accuracy, dtype=float)},
            steps={"batch_loss": np.asarray(batch_losses, dtype=float)},
            info=SimpleNamespace(
                data=SimpleNamespace(
                    splits=SimpleNamespace(train=SimpleNamespace(n_samples=n_train))
                )
            ),
        )

    return make


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """Return an unshuffled run on real digits, whose accuracy dips in every epoch."""
    config = ExperimentConfig.model_validate(
        {
            "model": "logistic",
            "data": {"dataset": "mnist-5k", "classes": [2, 3]},
            "training": {"epochs": 60, "batch_size": 64, "learning_rate": 0.1, "shuffle": False},
        }
    )
    return run_experiment(config, tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def sweep_of_three(tmp_path_factory, make_config):
    """Return a sweep over three λ with one seed, on the tiny dataset."""
    sweep = SweepConfig(l2_lambdas=(1.0, 0.01, 0.0))
    config = make_config().model_copy(update={"sweep": sweep})
    return run_sweep(config, tmp_path_factory.mktemp("sweeps"))
