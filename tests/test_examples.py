"""The example notebook runs from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first-experiment.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Return the HTML and text that each code cell shows, by the source of the cell."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = str(tmp_path_factory.mktemp("notebook"))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
    return {
        cell.source: "".join(
            str(text) for output in cell.outputs for text in output.get("data", {}).values()
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


@pytest.mark.parametrize("call", ["run_experiment(", "compare(", "find_optimum(", "evaluate("])
def test_each_step_of_the_notebook_shows_a_table(outputs, call):
    (shown,) = [text for source, text in outputs.items() if f"mnistlin.{call}" in source][:1]
    assert "<table>" in shown


def test_the_notebook_is_stored_without_outputs():
    """So that a change of it can be read in a diff."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
