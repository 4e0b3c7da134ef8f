"""Files that analyses leave: tables and weights."""

import csv

import numpy as np
import pytest

from mnistlin import RunError
from mnistlin.runs.writer import write_table, write_weights


def test_a_table_reads_back(tmp_path):
    """Its header is the keys, floats keep all digits, and None is an empty cell."""
    rows = [{"label": 2, "recall": 1 / 3}, {"label": 3, "recall": None}]
    path = write_table(tmp_path / "analysis", "classes", rows)
    assert path == tmp_path / "analysis" / "classes.csv"
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["label"], float(first["recall"])) == ("2", 1 / 3)
    assert second == {"label": "3", "recall": ""}


def test_weights_read_back_as_runs_have_them(tmp_path):
    """(n_features + 1, n_outputs), by name."""
    W = np.arange(6.0).reshape(2, 3)
    with np.load(write_weights(tmp_path, "optimum", found=W)) as archive:
        np.testing.assert_array_equal(archive["found"], W)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """A file is in its way."""
    (tmp_path / "analysis").write_text("")
    with pytest.raises(RunError, match="cannot make the folder"):
        write_table(tmp_path / "analysis", "x", [{"a": 1}])
