"""Whole files: a reader finds the old one or the new one, and never half of either."""

import errno
import json
import math
import os
from pathlib import Path

import pytest

from mnistlin.errors import RunError
from mnistlin.runs.files import json_bytes, write_bytes


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_by_longer_and_shorter_ones(tmp_path, durable):
    """Nothing of the old one is left, and nothing else in the folder."""
    path = tmp_path / "file"
    for content in (b"old and longer", b"new", b""):
        write_bytes(path, content, durable=durable)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def full_disk(*_, **__):
    """Stand in for any call that a full disk lets fail."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("owner", "name"), [(Path, "replace"), (os, "open"), (os, "fsync")])
def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, owner, name):
    """Whether it shows at the first byte or at the last moment."""
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full_disk)
        with pytest.raises(RunError) as caught:
            write_bytes(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    for word in (str(path), "No space left", "--runs-dir"):
        assert word in str(caught.value)


def test_the_content_is_on_the_disk_before_the_name_moves(tmp_path, monkeypatch):
    """Otherwise a power cut could leave the new name with nothing behind it."""
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("fsync") or fsync(file))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: calls.append("replace") or replace(self, to)
    )
    write_bytes(tmp_path / "file", b"new", durable=True)
    assert calls[:2] == ["fsync", "replace"]


def test_a_folder_in_the_way_is_told(tmp_path):
    """And no temporary file stays behind."""
    (tmp_path / "file").mkdir()
    with pytest.raises(RunError, match="file"):
        write_bytes(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_vanished_is_told(tmp_path):
    """As when someone tidies up while a run is training."""
    with pytest.raises(RunError, match="gone"):
        write_bytes(tmp_path / "gone" / "file", b"new")


def test_json_is_utf_8_and_ends_with_a_newline():
    """It can be read by people and by any program."""
    text = json_bytes({"λ": 0.1, "none": None}).decode()
    assert "λ" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"λ": 0.1, "none": None}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_does_not_have_is_never_written(value):
    """`NaN` would stop other readers."""
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"loss": value})
