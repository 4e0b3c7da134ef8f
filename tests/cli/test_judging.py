"""`mnistlin evaluate` and `mnistlin compare`."""

import csv
import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def other_run(trained, workplace):
    """Return a second run, with another λ."""
    return shutil.copytree(trained(**{"training.l2_lambda": 1}), workplace / "runs" / "other")


def values_of(result):
    """Return the `key: value` lines of a command, `file` lines as a list."""
    assert result.exit_code == 0, result.output
    lines = [line.split(": ", 1) for line in result.stdout.splitlines() if ": " in line]
    files = [value for key, value in lines if key == "file"]
    return dict(lines) | {"files": files}


def rows_of(path):
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestEvaluate:
    """One run on a set of images."""

    def test_it_prints_what_the_run_ended_with(self, mnistlin, tiny_run):
        """Loss and accuracy of the last check, and the files that it made."""
        found = values_of(mnistlin("evaluate", tiny_run))
        summary = json.loads((tiny_run / "summary.json").read_text())
        assert float(found["accuracy"]) == summary["last_val_accuracy"]
        assert float(found["loss"]) == pytest.approx(summary["last_val_loss"], rel=1e-5)
        assert found["warning"] == "model selection used the test set"
        folders = {path.parent.name for path in map(tiny_run.joinpath, found["files"])}
        assert folders == {"plots", "analysis"}
        assert all(tiny_run.joinpath(path).is_file() for path in found["files"])

    def test_its_tables_go_where_the_user_says_and_hold_each_class(
        self, mnistlin, tiny_run, workplace
    ):
        """The counts sum up to the images; the run folder stays as it was, it may be read-only."""
        before = sorted(tiny_run.rglob("*"))
        options = ("--split", "train", "--weights", "best", "--out", "elsewhere")
        values_of(mnistlin("evaluate", tiny_run, *options, "--format", "svg"))
        assert sorted(tiny_run.rglob("*")) == before
        files = {path.name: path for path in (workplace / "elsewhere").iterdir()}
        assert sorted(path.suffix for path in files.values()) == [".csv"] * 3 + [".svg"] * 3
        rows = rows_of(files["evaluation-train-best_confusion.csv"])
        counts = [int(value) for row in rows for key, value in row.items() if key != "true"]
        assert sum(counts) == 200
        scores = rows_of(files["evaluation-train-best_classes.csv"])
        assert [row["label"] for row in scores] == [str(k) for k in range(10)]

    def test_json_says_whether_probabilities_can_be_trusted(self, mnistlin, tiny_run):
        """In one object of unrounded numbers; a row per bin is in a table."""
        found = json.loads(mnistlin("evaluate", tiny_run, "--json").stdout)
        assert 0 <= found["accuracy_interval"][0] < found["accuracy"]
        assert [score["label"] for score in found["classes"]] == list(range(10))
        assert len(found["files"]) == 6
        low, high = found["expected_calibration_error_interval"]
        assert low <= found["expected_calibration_error"] <= high
        assert 0 < found["brier_score"] < 2
        assert "expected calibration error" in found["explanation"]
        rows = rows_of(tiny_run / "analysis" / "evaluation-val-last_calibration.csv")
        assert sum(int(row["n_samples"]) for row in rows) == 100
        assert (tiny_run / "plots" / "evaluation-val-last_calibration.png").is_file()

    def test_other_data_has_its_name_in_the_files(self, mnistlin, tiny_run):
        """So that it does not overwrite the evaluation of the run's own data."""
        found = values_of(mnistlin("evaluate", tiny_run, "--dataset", "mnist-5k"))
        assert int(found["n_samples"]) == 1000
        assert all("evaluation-mnist-5k-val-last" in path for path in found["files"])

    def test_a_split_that_is_not_there_is_a_usage_error(self, mnistlin, tiny_run):
        """Exit 2."""
        result = mnistlin("evaluate", tiny_run, "--split", "test")
        assert result.exit_code == 2
        assert "ask for val" in result.stderr


class TestCompare:
    """Several runs on the same images."""

    def test_two_runs_are_told_apart_by_what_differs(self, mnistlin, tiny_run, other_run):
        """With test, interval and the plain answer, in a folder of their own."""
        found = values_of(mnistlin("compare", tiny_run, other_run))
        assert found["differs"] == "training.l2_lambda 0.0 / 1.0"
        assert found["n_samples"] == "100"
        assert found["can_resolve"].split(":")[0] in {"yes", "no", "only just"}
        assert 0 <= float(found["p_value"]) <= 1
        assert all("_comparison/" in path for path in found["files"])

    def test_three_runs_make_three_pairs(self, mnistlin, tiny_run, other_run):
        """In a table on stdout and in pairs.csv."""
        same = tiny_run.parent / "same"
        shutil.copytree(tiny_run, same)
        found = json.loads(mnistlin("compare", tiny_run, other_run, same, "--json").stdout)
        assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
            ("A", "B"),
            ("A", "C"),
            ("B", "C"),
        ]
        assert found["pairs"][1]["p_value"] == 1.0
        (table,) = (path for path in found["files"] if path.endswith("pairs.csv"))
        assert rows_of(Path(table))[0]["b"] == other_run.name

    def test_other_images_are_refused(self, mnistlin, tiny_run, workplace):
        """Exit 3, and no folder is left behind."""
        small = ("--set", "data.val_size=50", "--name", "small", "--no-plots")
        mnistlin("train", "--config", "tiny.yaml", *small)
        (other,) = (workplace / "runs").glob("*_small")
        result = mnistlin("compare", tiny_run, other)
        assert result.exit_code == 3
        assert "not the same" in result.stderr
        assert not list((workplace / "runs").glob("*_comparison"))
