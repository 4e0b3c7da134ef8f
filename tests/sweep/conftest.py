"""Tiny sweeps, and how two of them are compared."""

import pytest

from mnistlin.config import SweepConfig
from mnistlin.sweep import run_sweep

TABLES = ("metrics.csv", "steps.csv", "weights.npz", "confusion.csv", "config.yaml")


@pytest.fixture(scope="session")
def sweep_config(make_config):
    """Return a function that makes the config of a sweep; its other keywords are make_config's."""

    def make(l2_lambdas=(1.0, 0.1, 0.0), seeds=(0, 1, 2), **options):
        sweep = SweepConfig(l2_lambdas=l2_lambdas, seeds=seeds)
        return make_config(**options).model_copy(update={"sweep": sweep})

    return make


@pytest.fixture(scope="session")
def contents():
    """Return a function that reads all of a sweep that must be the same whenever it is run."""

    def read(sweep):
        found = {"sweep.csv": (sweep.path / "sweep.csv").read_bytes()}
        for folder in sorted(sweep.path.glob("lambda-*")):
            found |= {f"{folder.name}/{name}": (folder / name).read_bytes() for name in TABLES}
        return found

    return read


@pytest.fixture(scope="session")
def unbroken(sweep_config, contents, tmp_path_factory):
    """Return what a sweep of `sweep_config()` holds that ran through in this process."""
    return contents(run_sweep(sweep_config(), tmp_path_factory.mktemp("unbroken")))


@pytest.fixture
def after_stacks():
    """Return a function that makes an on_progress that stops a sweep after some stacks."""
    return lambda n: lambda progress: progress.stacks_done >= n
