"""Tables of runs: CSV files, written and read, and aligned lines for a terminal.

CSV is UTF-8 with commas, a fixed header, `\n` (reading also takes `\r\n`), and floats that read
back the same.
"""

import csv
import io
import math
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from mnistlin.errors import RunError
from mnistlin.runs.files import open_plain
from mnistlin.text import printable
from mnistlin.training.segments import Check, Segment

METRICS_COLUMNS = Check._fields
STEPS_COLUMNS = ("step", "epoch", "batch_loss")

SHORTEST_ROW_BYTES, LONGEST_ROW_BYTES = len("0,0,0.0\n"), 300
"""Limits of the length of a line of metrics.csv or steps.csv."""

_MEASUREMENTS = frozenset(
    {
        "batch_loss",
        "l2_penalty",
        "train_accuracy",
        "train_loss",
        "val_accuracy",
        "val_loss",
        "weight_norm",
    }
)
_IN_LINES = b"0123456789+-.eE,\r\n"
"""What lines of numbers consist of."""

_MAX_LINE_BYTES = 10_000
_BLOCK_BYTES = 2**17
_MAX_COUNT = 2**63 - 1

GAP = "  "
"""Between the columns of a table in a terminal."""

Value = str | int | float | None


def aligned(
    rows: Sequence[Sequence[str]], justify: Callable[[str, int], str] = str.ljust
) -> list[str]:
    """Return rows of cells, all of one length, as lines with columns of equal width."""
    shown = [[printable(cell, kept="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [GAP.join(map(justify, row, widths)).rstrip() for row in shown]


def fitted(
    rows: Sequence[Sequence[str]],
    width: int | None,
    justify: Callable[[str, int], str] = str.ljust,
) -> list[str]:
    """Return the lines of `aligned`, or those of several tables that are no wider than `width`.

    Each of them begins with the first columns that distinguish the rows; a table with a single
    column after these may still be wider.
    """
    lines = aligned(rows, justify)
    columns = list(zip(*rows, strict=True))
    n_keys = _n_keys(columns)
    if width is None or max(map(len, lines)) <= width or len(columns) < n_keys + 2:
        return lines
    n_fit = n_keys + 1
    while n_fit < len(columns) - 1:
        if max(map(len, aligned(list(zip(*columns[: n_fit + 1], strict=True)), justify))) > width:
            break
        n_fit += 1
    first = aligned(list(zip(*columns[:n_fit], strict=True)), justify)
    rest = list(zip(*columns[:n_keys], *columns[n_fit:], strict=True))
    return [*first, "", *fitted(rest, width, justify)]


def _n_keys(columns: Sequence[Sequence[str]]) -> int:
    """Return how many columns from the left distinguish the rows; 1 if not even all of them do."""
    n_rows = len(columns[0])
    distinct = (len(set(zip(*columns[:n], strict=True))) for n in range(1, len(columns)))
    return next((n for n, count in enumerate(distinct, 1) if count == n_rows), 1)


def html_table(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of cells as an HTML table; floats get six digits, and text is escaped."""

    def cell(value: Any) -> str:
        return escape(f"{value:.6g}" if isinstance(value, float) else str(value))

    lines = ("".join(f"<td>{cell(value)}</td>" for value in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def csv_text(rows: Iterable[Sequence[Value]]) -> str:
    """Return rows as CSV: None as an empty cell, floats with the digits that read back the same."""
    rows = list(rows)
    text = _csv(rows, csv.QUOTE_MINIMAL)
    # Before Python 3.13 the csv module did not quote a carriage return, though it reads one as the
    # end of a row.
    return _csv(rows, csv.QUOTE_NONNUMERIC) if "\r" in text else text


def _csv(rows: Iterable[Sequence[Value]], quoting: Literal[0, 2]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


def steps_rows(segment: Segment) -> Iterator[tuple[Value, ...]]:
    """Return the rows that a segment adds to steps.csv."""
    for step, loss in zip(segment.steps, segment.batch_losses.tolist(), strict=True):
        yield step, step // segment.steps_per_epoch, loss


def read_columns(
    path: Path, columns: Sequence[str], n_bytes: int | None = None
) -> dict[str, NDArray[Any]]:
    """Read a CSV file of numbers.

    A last line without a newline is ignored: its writer was killed, or is still writing it.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        The header it must have.
    n_bytes : int, optional
        How much of it to read, up to the end of a line. None reads all.

    Returns
    -------
    dict of str to ndarray of shape (n_rows,)
        Columns by name, float64 for measurements and int64 for counts; all finite.

    Raises
    ------
    RunError
        If the file is missing or changes, has another header, a line is damaged, or no line ends
        after `n_bytes`.
    """
    with open_plain(path) as file:
        _check_header(path, file.readline(_MAX_LINE_BYTES), columns)
        start = file.tell()
        # Columns that grow would leave holes in memory, nearly as large as themselves.
        n_rows = sum(block.count(b"\n") for block in _blocks_of_lines(file, n_bytes))
        end = file.tell()
        if n_bytes not in (None, end):
            raise RunError(f"{path}: no line ends after {n_bytes:,} bytes")
        table = {name: np.empty(n_rows, _type(name)) for name in columns}
        file.seek(start)
        n_read = 0
        for block in _blocks_of_lines(file, end):
            parsed = _parsed(path, block, n_read + 2, columns)
            first, n_read = n_read, n_read + len(parsed[0])
            if n_read > n_rows:
                break
            for values, more in zip(table.values(), parsed, strict=True):
                values[first:n_read] = more
        if n_read != n_rows:
            raise RunError(f"{path} was changed while it was read; run the command again")
    return table


def read_checks(path: Path, n_bytes: int) -> list[Check]:
    """Read the checks in the first bytes of metrics.csv; otherwise as `read_columns`."""
    columns = read_columns(path, METRICS_COLUMNS, n_bytes)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [Check(*row) for row in rows]


def _blocks_of_lines(file: BinaryIO, n_bytes: int | None) -> Iterator[bytes]:
    """Yield the rest of a file, or what remains of its first bytes, in blocks of complete lines."""
    rest = b""
    while True:
        n_left = _BLOCK_BYTES if n_bytes is None else n_bytes - file.tell()
        block = file.read(max(0, min(_BLOCK_BYTES, n_left)))
        if not block:
            file.seek(-len(rest), os.SEEK_CUR)
            return
        lines, end, rest = (rest + block).rpartition(b"\n")
        if len(rest) >= _MAX_LINE_BYTES:  # not a line of ours; `_cells` rejects it
            yield lines + end + rest
            return
        if end:
            yield lines + end


def _check_header(path: Path, line: bytes, columns: Sequence[str]) -> None:
    expected = ",".join(columns)
    if line.replace(b"\r\n", b"\n") != f"{expected}\n".encode():
        raise RunError(f"{path}: the first line is {line[:200]!r}; expected {expected!r}")


def _type(column: str) -> Literal["d", "q"]:
    """Return the code of a column's type: float64 for measurements, int64 for counts."""
    return "d" if column in _MEASUREMENTS else "q"


def _parsed(path: Path, block: bytes, first: int, columns: Sequence[str]) -> "list[array[Any]]":
    """Return the columns of some lines, or name the first line that is damaged.

    A JSON parser is three times as fast as NumPy, but does not say which line or cell was wrong.
    """
    lines, n = block.removesuffix(b"\n").split(b"\n"), len(columns)
    is_plain = block.endswith(b"\n") and not block.translate(None, _IN_LINES)
    if is_plain and {line.count(b",") for line in lines} == {n - 1}:
        with suppress(ValueError, TypeError, OverflowError):
            cells = from_json(b"[%s]" % b",".join(lines))
            table = [array(_type(name), cells[i::n]) for i, name in enumerate(columns)]
            if all(np.isfinite(column).all() for column in table):
                return table
    rows = [_cells(line, f"{path}: line {first + i}", columns) for i, line in enumerate(lines)]
    cells_of = zip(columns, zip(*rows, strict=True), strict=True)
    return [array(_type(name), cells) for name, cells in cells_of]


def _cells(line: bytes, where: str, columns: Sequence[str]) -> tuple[float, ...]:
    """Return the numbers of a line."""
    cells = line.removesuffix(b"\r").split(b",", len(columns))
    if len(cells) != len(columns) or len(line) >= _MAX_LINE_BYTES:
        raise RunError(f"{where} does not have {len(columns)} cells")
    numbers = []
    for name, cell in zip(columns, cells, strict=True):
        is_count = name not in _MEASUREMENTS
        try:
            number = int(cell) if is_count else float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or (is_count and abs(number) > _MAX_COUNT):
            raise RunError(f"{where}: {name!r} is {cell[:40]!r}; expected a finite number")
        numbers.append(number)
    return tuple(numbers)
