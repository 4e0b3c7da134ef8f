"""The names that Python users import, and how light they are until used."""

import json
import subprocess
import sys

import pytest

import mnistlin

HEAVY = ("numpy", "scipy", "pydantic", "yaml", "matplotlib", "pooch", "click", "tqdm")


def loaded_after(statement):
    """Return which heavy libraries a fresh Python has loaded after a statement."""
    report = f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    code = f"import json, sys\n{statement}\n{report}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_loads_no_library():
    """So that `mnistlin --help` is quick."""
    assert loaded_after("import mnistlin; mnistlin.__version__; dir(mnistlin)") == []


def test_errors_cost_nothing():
    """The one place that turns them into messages needs them at start-up."""
    assert (
        loaded_after("from mnistlin import MnistlinError, ConfigError, DataError, RunError") == []
    )


def test_reading_a_config_needs_no_arrays():
    """Nor figures, nor the network."""
    assert loaded_after("from mnistlin import load_config; load_config('quickstart')") == [
        "pydantic",
        "yaml",
    ]


def test_running_and_reading_needs_no_figures_and_no_network():
    """Matplotlib is for plots, pooch for downloads, click and tqdm for the command line."""
    loaded = loaded_after("from mnistlin import load_run, run_experiment")
    assert not {"matplotlib", "pooch", "click", "tqdm"} & set(loaded)


@pytest.mark.parametrize("name", mnistlin.__all__)
def test_every_public_name_is_there(name):
    """Listed, documented, and of the module that it says."""
    found = getattr(mnistlin, name)
    assert found.__name__ == name
    assert found.__module__.startswith("mnistlin.")
    assert found.__doc__
    assert name in dir(mnistlin)


def test_the_documented_functions_are_public():
    """Load, run, load again."""
    assert {"load_config", "run_experiment", "load_run"} <= set(mnistlin.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """As of any module, so that hasattr and autocompletion work."""
    assert not hasattr(mnistlin, "train_everything")
    with pytest.raises(AttributeError, match="train_everything"):
        mnistlin.train_everything  # noqa: B018


def test_errors_have_the_documented_exit_codes():
    """1 a run, 2 a config, 3 data; all are MnistlinErrors."""
    codes = {"MnistlinError": 1, "RunError": 1, "ConfigError": 2, "DataError": 3}
    for name, code in codes.items():
        error = getattr(mnistlin, name)
        assert issubclass(error, mnistlin.MnistlinError)
        assert error.exit_code == code


def test_runs_go_where_the_environment_says(tmp_path, monkeypatch):
    """A name is enough to train; find_runs looks in the same folder."""
    monkeypatch.setenv("MNISTLIN_RUNS_DIR", str(tmp_path / "mine"))
    overrides = {"training.epochs": 1, "data.train_size": 200, "data.dataset": "mnist-5k"}
    run = mnistlin.run_experiment("quickstart", overrides=overrides)
    assert run.path.parent == tmp_path / "mine"
    assert [entry.path for entry in mnistlin.find_runs()] == [run.path]
