"""The list of runs, whatever else is in their folder."""

import json
import os
import shutil

import pytest

from mnistlin.runs.index import find_runs
from mnistlin.runs.listing import table


@pytest.fixture
def runs_dir(finished_run, tmp_path):
    """Return a folder with a copy of a finished run."""
    shutil.copytree(finished_run.path, tmp_path / "20260114T093012Z_tiny")
    return tmp_path


def test_a_run_is_listed_with_its_last_accuracy(runs_dir, finished_run):
    """Header first; the number is that of its summary."""
    (header, line), _ = table(find_runs(runs_dir))
    assert header.split()[:2] == ["run", "status"]
    accuracy = finished_run.summary["last_val_accuracy"]
    assert line.split()[:3] == ["20260114T093012Z_tiny", "finished", f"{accuracy:.4f}"]


def test_the_newest_is_first_and_other_things_are_passed_over(runs_dir):
    """A damaged run is listed as such; a folder of something else, and a file, are not."""
    (runs_dir / "20270114T093012Z_later").mkdir()
    (runs_dir / "20270114T093012Z_later" / "run.json").write_text("damaged")
    (runs_dir / "notes").mkdir()
    (runs_dir / "notes.txt").touch()
    entries = find_runs(runs_dir)
    assert [(entry.name, entry.status) for entry in entries] == [
        ("later", "damaged"),
        ("tiny", "finished"),
    ]


def test_no_runs_are_no_lines(tmp_path):
    """An empty folder, and one that is not there."""
    assert table(find_runs(tmp_path)) == ([], [])
    assert table(find_runs(tmp_path / "nowhere")) == ([], [])


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "bell\a", "\u202eback"])
def test_a_name_from_elsewhere_does_not_steer_the_terminal(name, runs_dir):
    """Neither the name in a config nor that of a folder; each run stays on its line."""
    config = runs_dir / "20260114T093012Z_tiny" / "config.yaml"
    config.write_text(config.read_text().replace("name: tiny", f"name: {json.dumps(name)}"))
    config.parent.rename(runs_dir / f"20260114T093012Z_{name}")
    (entry,) = find_runs(runs_dir)
    assert entry.name == name
    lines, _ = table([entry])
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.skipif(os.name != "posix", reason="names of files are text on this system")
def test_a_folder_whose_name_is_no_text_is_listed(runs_dir):
    """Its bytes are not UTF-8, so they are shown escaped."""
    (runs_dir / "20260114T093012Z_tiny").rename(os.fsdecode(os.fsencode(runs_dir) + b"/\xff"))
    (_, line), _ = table(find_runs(runs_dir))
    assert line.startswith(r"\udcff")
    line.encode()
