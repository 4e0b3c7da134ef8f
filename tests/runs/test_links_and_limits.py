"""Run folders that may come from a stranger: nothing is written through them, or believed."""

import json
import os
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mnistlin import RunError, load_run, run_experiment
from mnistlin.experiment import resume_experiment
from mnistlin.runs.arrays import npz_bytes, read_npz
from mnistlin.runs.checkpoint import CHECKPOINT_NAME
from mnistlin.runs.writer import write_table


@pytest.fixture
def config(make_config):
    """Return the config of a run that writes a checkpoint after each epoch."""
    return make_config(checkpoint_seconds=0.0, early_stopping={"patience": 99})


@pytest.fixture
def unfinished(config, tmp_path):
    """Return the folder of a run that was interrupted after two epochs."""
    return run_experiment(config, tmp_path / "runs", lambda progress: progress.epoch == 1).path


@pytest.fixture
def precious(tmp_path):
    """Return a file outside of all run folders."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


def change_checkpoint(folder, **arrays):
    """Replace arrays in a checkpoint."""
    path = folder / CHECKPOINT_NAME
    with np.load(path) as archive:
        content = npz_bytes(**(dict(archive) | arrays))
    path.write_bytes(content)


def at_epoch_0(folder):
    """Give a folder the checkpoint of a run that has not begun."""
    no_hash = np.frombuffer(bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb924"), np.uint8)
    rest = np.frombuffer(bytes.fromhex("27ae41e4649b934ca495991b7852b855"), np.uint8)
    empty = np.concatenate([no_hash, rest])
    change_checkpoint(
        folder,
        epoch=np.int64(0),
        metrics_bytes=np.int64(0),
        steps_bytes=np.int64(0),
        metrics_sha256=empty,
        steps_sha256=empty,
    )


class TestLinks:
    @pytest.mark.parametrize("name", ["metrics.csv", "steps.csv"])
    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_a_resumed_run_is_not_written_through_a_link(self, name, link, unfinished, precious):
        at_epoch_0(unfinished)
        (unfinished / name).unlink()
        link(unfinished / name, precious)
        with pytest.raises(RunError, match=name):
            resume_experiment(unfinished)
        assert precious.read_text() == "precious"

    def test_a_pipe_in_place_of_a_table_is_not_waited_for(self, unfinished):
        at_epoch_0(unfinished)
        (unfinished / "steps.csv").unlink()
        os.mkfifo(unfinished / "steps.csv")
        with pytest.raises(RunError, match="not a regular file"):
            resume_experiment(unfinished)

    def test_findings_are_not_written_through_a_folder_that_is_a_link(self, unfinished, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (unfinished / "analysis").symlink_to(elsewhere)
        with pytest.raises(RunError, match=r"is a link inside a run folder.*--out"):
            write_table(unfinished / "analysis", "x", [{"a": 1}])
        assert not list(elsewhere.iterdir())

    def test_the_run_folder_and_the_folder_for_findings_may_be_links(self, unfinished, tmp_path):
        (tmp_path / "link").symlink_to(unfinished)
        assert resume_experiment(tmp_path / "link").status == "finished"
        (tmp_path / "out").mkdir()
        (tmp_path / "out-link").symlink_to(tmp_path / "out")
        write_table(tmp_path / "out-link", "x", [{"a": 1}])
        assert (tmp_path / "out" / "x.csv").read_text() == "a\n1\n"


class TestCheckpoints:
    @pytest.mark.parametrize("name", ["metrics", "steps"])
    def test_a_length_beyond_reason_is_refused_at_once(self, name, unfinished):
        at_epoch_0(unfinished)
        change_checkpoint(unfinished, **{f"{name}_bytes": np.int64(2**40)})
        with pytest.raises(RunError, match="damaged"):
            resume_experiment(unfinished)
        assert (unfinished / f"{name}.csv").stat().st_size < 10_000

    @pytest.mark.parametrize("name", ["metrics", "steps"])
    def test_a_sparse_table_of_a_terabyte_is_not_hashed(self, name, unfinished):
        change_checkpoint(unfinished, **{f"{name}_bytes": np.int64(2**40)})
        with (unfinished / f"{name}.csv").open("r+b") as file:
            file.truncate(2**40)
        with pytest.raises(RunError, match=rf"{name}\.csv"):
            resume_experiment(unfinished)

    def test_an_epoch_without_its_rows_takes_no_memory(self, make_config, tmp_path):
        config = make_config(epochs=1_000_000, checkpoint_seconds=0, early_stopping={"patience": 9})
        folder = run_experiment(config, tmp_path, lambda _: True).path
        change_checkpoint(folder, epoch=np.int64(999_999))
        tracemalloc.start()
        try:
            with pytest.raises(RunError, match=r"steps\.csv does not begin with the rows"):
                resume_experiment(folder)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * 2**20

    @pytest.mark.parametrize("name", ["metrics.csv", "steps.csv"])
    def test_any_flipped_bit_before_the_checkpoint_is_refused(self, name, unfinished):
        good = (unfinished / name).read_bytes()
        for at in range(0, len(good), len(good) // 20):
            bent = bytearray(good)
            bent[at] ^= 1
            (unfinished / name).write_bytes(bent)
            with pytest.raises(RunError, match=name):
                resume_experiment(unfinished)

    def test_checkpoint_seconds_and_the_name_may_be_edited(self, unfinished):
        path = unfinished / "config.yaml"
        text = path.read_text().replace("checkpoint_seconds: 0.0", "checkpoint_seconds: 60.0")
        path.write_text(text.replace("name: tiny", "name: renamed"))
        run = resume_experiment(unfinished)
        assert (run.status, run.config.name) == ("finished", "renamed")


class TestRecords:
    @pytest.fixture
    def damaged(self, tmp_path, finished_run):
        """Return a copy of a finished run that may be damaged."""
        return Path(shutil.copytree(finished_run.path, tmp_path / "damaged"))

    @staticmethod
    def change(path, key, text):
        """Replace the value of a key in a JSON file by a text."""
        values = json.loads(path.read_text())
        values[key] = "PLACE"
        path.write_text(json.dumps(values).replace('"PLACE"', text))

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("git", "[]"),
            ("git", '"main"'),
            ("libraries", "[1]"),
            ("libraries", '{"numpy": {}}'),
            ("cpu", "1"),
            ("warnings", '{"a": 1}'),
            ("resumed", "[{}]"),
            ("stack", "7"),
            ("files", '{"../elsewhere": {"bytes": 1, "sha256": "00"}}'),
            ("started_utc", "NaN"),
            ("started_utc", "9" * 401),
        ],
    )
    def test_wrong_types_in_run_json_are_one_error_that_names_the_key(self, key, text, damaged):
        self.change(damaged / "run.json", key, text)
        with pytest.raises(RunError, match=r"run\.json is damaged: ") as caught:
            load_run(damaged)
        assert len(str(caught.value)) < 500

    @pytest.mark.parametrize(
        "text", ["NaN", "Infinity", "1e999", "9" * 401, '"high"', "true", "[]"]
    )
    def test_a_summary_that_holds_no_number_is_refused(self, text, damaged):
        self.change(damaged / "summary.json", "last_val_accuracy", text)
        with pytest.raises(RunError, match=r"summary\.json is damaged"):
            _ = load_run(damaged).summary

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_not_finite_are_refused(self, value, damaged):
        bad = np.full((21, 3), value)
        np.savez(damaged / "weights.npz", last=bad, best=bad)
        with pytest.raises(RunError, match=r"weights\.npz is damaged"):
            _ = load_run(damaged).weights

    def test_a_folder_of_version_0_1_0_is_read(self, damaged):
        values = json.loads((damaged / "run.json").read_text())
        for key in ("warnings", "files", "resumed", "stack"):
            del values[key]
        del values["data"]["folder"]
        values |= {"doubt": "selection on test data", "key_of_another_version": 1}
        (damaged / "run.json").write_text(json.dumps(values))
        run = load_run(damaged)
        assert run.info.warnings == ("selection on test data",)
        assert (run.info.files, run.modified) == (None, ())

    def test_modified_files_are_named_and_still_read(self, damaged):
        assert load_run(damaged).modified == ()
        rows = (damaged / "metrics.csv").read_text()
        (damaged / "metrics.csv").write_text(rows[:-2] + "1\n")
        (damaged / "confusion.csv").unlink()
        run = load_run(damaged)
        assert set(run.modified) == {"metrics.csv", "confusion.csv"}
        assert any("metrics.csv" in warning for warning in run.warnings)
        assert len(run.metrics["step"]) == 28

    def test_tables_with_crlf_are_read(self, damaged):
        for name in ("metrics.csv", "steps.csv", "confusion.csv"):
            content = (damaged / name).read_bytes()
            (damaged / name).write_bytes(content.replace(b"\n", b"\r\n"))
        run = load_run(damaged)
        assert len(run.metrics["step"]) == len(run.steps["step"]) == 28
        assert run.confusion.sum() == 30


def test_an_npz_file_with_many_entries_takes_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(20_000):
            archive.writestr(str(number), b"")
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="20,000 entries"):
            read_npz(tmp_path / "many.npz", {"last": (1,)})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("name", ["a,b", "two\nlines", 'quo"te', "return\rhere", "λ"])
def test_any_name_reads_back_from_a_table(name, tmp_path):
    import csv

    path = write_table(tmp_path, "pairs", [{"a": name, "p_value": 0.5}])
    with path.open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file)) == {"a": name, "p_value": "0.5"}


def test_what_a_dead_process_left_in_a_folder_is_removed_by_the_next_write(tmp_path):
    old, young, other = (tmp_path / name for name in (".a.png.1.tmp", ".b.png.2.tmp", "c.tmp"))
    for path in (old, young, other):
        path.touch()
    os.utime(old, (0, 0))
    write_table(tmp_path, "x", [{"a": 1}])
    assert {path.name for path in tmp_path.iterdir()} == {young.name, other.name, "x.csv"}


def test_all_that_resuming_needs_is_synced_with_its_folder(config, tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def record(descriptor):
        synced.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    run = run_experiment(config, tmp_path / "runs")
    names = {Path(path).name.strip(".").partition(".tmp")[0] for path in synced}
    for name in ("config.yaml", "run.json", "checkpoint.npz"):
        assert any(each.startswith(name) for each in names), names
    assert str(run.path) in synced
    assert str(run.path.parent) in synced
