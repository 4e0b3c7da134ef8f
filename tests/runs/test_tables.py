"""The CSV files of a run, written and read back."""

import csv
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlin.errors import RunError
from mnistlin.runs import tables
from mnistlin.runs.tables import METRICS_COLUMNS, STEPS_COLUMNS, csv_text, fitted, read_columns

counts = st.integers(0, 2**62)
measurements = st.floats(allow_nan=False, allow_infinity=False)


def test_the_headers_are_the_documented_ones():
    """Other programs find columns by these names."""
    assert ",".join(METRICS_COLUMNS) == (
        "step,epoch,train_loss,train_accuracy,val_loss,val_accuracy,"
        "l2_penalty,weight_norm,checks_without_improvement"
    )
    assert ",".join(STEPS_COLUMNS) == "step,epoch,batch_loss"


@given(st.lists(st.tuples(counts, counts, measurements)))
def test_numbers_read_back_bit_for_bit(tmp_path_factory, rows):
    """Counts as integers, measurements as floats, the sign of zero included."""
    path = tmp_path_factory.mktemp("tables") / "steps.csv"
    path.write_bytes(csv_text([STEPS_COLUMNS, *rows]).encode())
    columns = read_columns(path, STEPS_COLUMNS)
    assert [column.dtype for column in columns.values()] == ["int64", "int64", "float64"]
    for i, column in enumerate(columns.values()):
        expected = np.array([row[i] for row in rows], dtype=column.dtype)
        assert column.tobytes() == expected.tobytes()


@given(measurements)
def test_floats_are_written_as_short_as_they_can_be(number):
    """So that files stay small, and a 0.1 is seen to be one."""
    assert csv_text([[number]]) == f"{number!r}\n"


def test_a_number_of_numpy_is_written_like_any_other():
    """float64 is a float, but its repr is not the number alone."""
    assert csv_text([[np.float64(0.1), np.int64(3)]]) == "0.1,3\n"


def test_other_readers_find_the_same(finished_run):
    """Python's csv and NumPy, without any option but the header."""
    path = finished_run.path / "metrics.csv"
    assert b"\r" not in path.read_bytes()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == METRICS_COLUMNS
    for name, column in finished_run.metrics.items():
        assert [float(row[name]) for row in rows] == column.tolist()
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table.T, list(finished_run.metrics.values()))


def test_a_table_without_rows_has_empty_columns(tmp_path):
    """As of a run that has just begun."""
    (tmp_path / "steps.csv").write_text("step,epoch,batch_loss\n")
    columns = read_columns(tmp_path / "steps.csv", STEPS_COLUMNS)
    assert [len(column) for column in columns.values()] == [0, 0, 0]


@pytest.mark.parametrize("rest", ["", "1", "1,0", "1,0,", "1,0,0.6", "1,0,0.65"])
def test_a_line_without_its_end_does_not_count(tmp_path, rest):
    """It is being written, or its writer was killed: 0.6 may be the beginning of 0.65."""
    (tmp_path / "steps.csv").write_text(f"step,epoch,batch_loss\n0,0,0.5\n{rest}")
    columns = read_columns(tmp_path / "steps.csv", STEPS_COLUMNS)
    assert columns["batch_loss"].tolist() == [0.5]


@pytest.mark.parametrize(
    "line",
    [
        *("", "1,0", "1,0,0.5,7", "1;0;0.5", "a,0,0.5", "1,0,x", "1.5,0,0.5", "1,0,"),
        *("1,0,true", "1,0,[0.5]", "1,0,0.5],[1", '1,0,"0.5"', "1,,0,0.5"),
        *("1,0,nan", "1,0,inf", "1,0,1e999", f"{2**63},0,0.5", f"{'9' * 5000},0,0.5", "\0,0,0.5"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(tmp_path, line):
    """Numbers that are none, or too large, and cells that are missing or too many."""
    path = tmp_path / "steps.csv"
    path.write_text(f"step,epoch,batch_loss\n0,0,0.5\n{line}\n2,0,0.5\n")
    with pytest.raises(RunError, match=r"steps\.csv: line 3\b"):
        read_columns(path, STEPS_COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"step,epoch,batch_loss",
        b"step,epoch,loss\n0,0,0.5\n",
        b"epoch,step,batch_loss\n0,0,0.5\n",
        b"step,epoch,batch_loss,more\n",
        b"\xff\xfe\n",
        b"x" * 100_000,
        b"\0" * 1000,
    ],
)
def test_another_header_is_told_with_the_expected_one(tmp_path, content):
    """An empty file and a binary one too, in a message that stays short."""
    (tmp_path / "steps.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"steps\.csv.*step,epoch,batch_loss") as caught:
        read_columns(tmp_path / "steps.csv", STEPS_COLUMNS)
    assert len(str(caught.value)) < 1500


def test_a_table_that_is_too_wide_is_split_between_columns():
    """Each part begins with the first column, and no line is wider than the terminal."""
    rows = [["seed", "train_loss", "val_loss", "note"], ["0", "0.25", "0.31", "best"]]
    assert fitted(rows, 20) == [
        "seed  train_loss",
        "0     0.25",
        "",
        "seed  val_loss  note",
        "0     0.31      best",
    ]
    assert fitted(rows, None) == fitted(rows, 32)
    assert len(fitted(rows, 32)) == 2
    assert len(fitted(rows, 1)) == 8  # three parts, with the first column and one more


def test_each_part_of_a_split_table_has_the_columns_that_distinguish_its_rows():
    rows = [["a", "b", "difference", "p_value"], ["A", "B", "0.1", "1"], ["A", "C", "0.2", "0.5"]]
    assert fitted(rows, 20) == [
        "a  b  difference",
        "A  B  0.1",
        "A  C  0.2",
        "",
        "a  b  p_value",
        "A  B  1",
        "A  C  0.5",
    ]


def test_a_long_table_is_read_whole_and_a_wrong_line_is_found_in_it(tmp_path):
    path, n_rows = tmp_path / "steps.csv", 20_000
    lines = [f"{step},{step // 31},{1 / (step + 1)!r}\r\n" for step in range(n_rows)]
    path.write_text("step,epoch,batch_loss\n" + "".join(lines), newline="")
    columns = read_columns(path, STEPS_COLUMNS)
    assert columns["step"].tolist() == list(range(n_rows))
    assert columns["batch_loss"].tolist() == [1 / (step + 1) for step in range(n_rows)]
    lines[17_000] = "17000,0\n"
    path.write_text("step,epoch,batch_loss\n" + "".join(lines), newline="")
    with pytest.raises(RunError, match=r"line 17002 does not have 3 cells"):
        read_columns(path, STEPS_COLUMNS)


def test_all_digits_of_a_float_count(tmp_path):
    """A parser may be fast, but not round twice."""
    bits = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    losses = bits.view(float)[np.isfinite(bits.view(float))].tolist()
    path = tmp_path / "steps.csv"
    path.write_text(csv_text([STEPS_COLUMNS, *((0, 0, loss) for loss in losses)]))
    assert read_columns(path, STEPS_COLUMNS)["batch_loss"].tolist() == losses


def test_reading_takes_little_more_memory_than_the_columns(tmp_path):
    path, n_rows = tmp_path / "steps.csv", 100_000
    path.write_text("step,epoch,batch_loss\n" + "0,0,0.123456789\n" * n_rows)
    tracemalloc.start()
    try:
        columns = read_columns(path, STEPS_COLUMNS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(column.nbytes for column in columns.values())
    assert size == 3 * 8 * n_rows
    assert peak < 2 * size


def test_a_number_without_an_end_is_not_read(tmp_path):
    """Nor is the rest of its file."""
    path = tmp_path / "steps.csv"
    path.write_text(f"step,epoch,batch_loss\n0,0,0.5\n1,0,0.{'3' * 200_000}")
    with pytest.raises(RunError, match="line 3"):
        read_columns(path, STEPS_COLUMNS)


@pytest.mark.parametrize("line", [b"1,0,0.12345678901\n", b"1,0,0.5\n"], ids=["shorter", "longer"])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, monkeypatch, line):
    """Whether it has fewer rows then, or more: no row is made up, and none is lost in silence."""
    path = tmp_path / "steps.csv"
    path.write_bytes(b"step,epoch,batch_loss\n" + 20_000 * b"0,0,0.25\n")
    parsed = tables._parsed

    def and_rewrites(*arguments):
        path.write_bytes((b"step,epoch,batch_loss\n" + 90_000 * line)[: path.stat().st_size])
        return parsed(*arguments)

    monkeypatch.setattr(tables, "_parsed", and_rewrites)
    with pytest.raises(RunError, match=str(path)):
        read_columns(path, STEPS_COLUMNS)
