"""A result is saved, printed and shown in notebooks the same way, whatever its question."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mnistlin import RunError
from mnistlin.analysis.result import Result, save


@dataclass(frozen=True)
class Tiny(Result):
    """A result with one value, one table and a paragraph."""

    words: str = "It is so."
    folder: Path | None = None
    stem = "tiny"

    def values(self):
        return {"n": 3, "share": 1 / 3, "interval": (0.25, 0.5), "found": None}

    def tables(self):
        return {"parts": [{"a": 1, "b": None}, {"a": 2, "b": "<i>"}], "empty": []}

    def explanation(self):
        return self.words


def test_tables_go_to_the_folder_analysis_of_the_run(tmp_path):
    (path,) = save(Tiny(folder=tmp_path))
    assert path == tmp_path / "analysis" / "tiny_parts.csv"
    assert path.read_text() == "a,b\n1,\n2,<i>\n"


def test_all_files_go_to_the_folder_that_the_user_names(tmp_path):
    (path,) = save(Tiny(folder=tmp_path / "run"), tmp_path / "out")
    assert path == tmp_path / "out" / "tiny_parts.csv"


def test_a_result_of_several_runs_needs_a_folder():
    with pytest.raises(RunError, match="name a folder"):
        save(Tiny())


def test_a_notebook_shows_values_tables_and_words_with_markup_escaped():
    html = Tiny("a < b")._repr_html_()
    for shown in ("<td>n</td><td>3</td>", "0.25 to 0.5", "none", "&lt;i&gt;", "<p>a &lt; b</p>"):
        assert shown in html
    assert "<i>" not in html
