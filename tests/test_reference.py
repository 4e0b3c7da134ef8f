"""docs/reference.md lists every key, command, file and column, and nothing that does not exist."""

import csv
import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from mnistlin import load_config, run_experiment, run_sweep
from mnistlin.figures.draw import draw_run

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def section(title):
    """Return the text below a heading."""
    return re.split(r"\n#+ ", PAGE.partition(f"# {title}\n")[2])[0]


def names(title):
    """Return the names in the first column of the table below a heading."""
    return set(re.findall(r"^\| `([^`]+)`", section(title), re.MULTILINE))


def header(path):
    with path.open(newline="") as file:
        return set(next(csv.reader(file)))


def files_in(folder):
    """Return the files of a folder and its subfolders, as the reference writes them."""
    return {f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {"training.epochs": 1, "data.train_size": 200, "data.val_size": 50}
    run = run_experiment("quickstart", tmp_path_factory.mktemp("runs"), overrides=settings)
    draw_run(run, run.path / "plots")
    return run


@pytest.mark.skipif(version("click") < "8.5", reason="older versions describe arguments otherwise")
def test_the_reference_is_what_its_script_writes():
    """If not: python scripts/document_reference.py."""
    path = ROOT / "scripts" / "document_reference.py"
    spec = importlib.util.spec_from_file_location("document_reference", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.reference() == PAGE


def test_every_file_of_a_run_folder_is_in_the_reference(run):
    assert files_in(run.path) <= names("A run folder")


@pytest.mark.parametrize("table", ["metrics.csv", "steps.csv"])
def test_every_column_is_in_the_reference(run, table):
    assert header(run.path / table) == names(table)


@pytest.mark.parametrize("record", ["run.json", "summary.json"])
def test_every_key_of_a_record_is_in_the_reference(run, record):
    assert json.loads((run.path / record).read_text()).keys() <= names(record)


def test_files_columns_and_keys_of_a_sweep_are_in_the_reference(tmp_path):
    settings = {"training.epochs": 1, "data.train_size": 200, "sweep.l2_lambdas": [0.1, 0.0]}
    sweep = run_sweep(load_config("quickstart", settings), tmp_path)
    of_sweep = {name for name in files_in(sweep.path) if not name.startswith("lambda-")}
    assert of_sweep <= names("A sweep folder")
    assert header(sweep.path / "sweep.csv") == names("sweep.csv")
    assert json.loads((sweep.path / "sweep.json").read_text()).keys() <= names("sweep.json")


def test_every_key_of_a_config_is_in_the_reference():
    """Those of the shipped configs, which have all sections."""
    values = load_config(["tdt4265/2021", "softmax-lambda-sweep"]).model_dump()
    keys = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in values.items()
        for key in (value if isinstance(value, dict) else [name])
    }
    assert keys == names("Config keys")
