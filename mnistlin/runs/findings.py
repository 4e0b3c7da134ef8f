"""What analyses leave behind: tables and weights, in a run's folder analysis/ or elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnistlin.model.heads import Floats
from mnistlin.runs.arrays import npz_bytes
from mnistlin.runs.files import write_into
from mnistlin.runs.tables import csv_text


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows, at least one and all with the same keys, to <folder>/<name>.csv.

    Parameters
    ----------
    folder : Path
        Made if need be.
    name : str
        The file's name, without its ending.
    rows : sequence of mapping
        Scalars by column; None leaves a cell empty.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    cells = [["" if value is None else value for value in row.values()] for row in rows]
    return write_into(folder, f"{name}.csv", csv_text([list(rows[0]), *cells]).encode())


def write_weights(folder: Path, name: str, **weights: Floats) -> Path:
    """Write weights (n_outputs, n_features + 1) by name to <folder>/<name>.npz, as runs have them.

    Raises
    ------
    RunError
        If they cannot be written.
    """
    content = npz_bytes(**{key: W.T for key, W in weights.items()})
    return write_into(folder, f"{name}.npz", content)
