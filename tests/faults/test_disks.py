"""Disks that are full, read-only or missing: one clear error, and all that was written is kept."""

import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from kept_bytes import bytes_of_run

from mnistlin import RunError, load_run, run_experiment
from mnistlin.config import dump_yaml
from mnistlin.experiment import resume_experiment

pytestmark = pytest.mark.faults


@pytest.fixture
def config(make_config):
    """Return the config of a run of 40 legs that writes about 80 kB, a checkpoint after each."""
    return make_config(epochs=40, early_stopping={"patience": 9999}, checkpoint_seconds=0.0)


@pytest.fixture
def unbroken(config, tmp_path):
    """Return what a run of the config holds that nothing happened to."""
    return bytes_of_run(run_experiment(config, tmp_path / "unbroken").path)


def command(*arguments, **environment):
    """Run a command of mnistlin as a process; it must not show a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "mnistlin", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stderr
    return done


def check_readable(folder, unbroken):
    """Check that whole rows, the first ones of the unbroken run, are all there is of a run."""
    run = load_run(folder)
    for name in ("metrics.csv", "steps.csv"):
        content = (folder / name).read_bytes()
        assert unbroken[name].startswith(content)
        assert content.endswith(b"\n")
    assert len(run.steps["step"]) >= len(run.metrics["step"])
    assert not list(folder.glob("*.tmp"))


@contextmanager
def files_no_larger_than(n_bytes):
    """Let no file grow beyond a size, as a quota or a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def smallest_disk(disk, config, runs):
    """Enlarge a disk by a page at a time until a run fits; yield what was left by each failure."""
    for kilobytes in range(4, 1024, 4):
        disk.remount(f"size={kilobytes}k")
        try:
            run_experiment(config, runs)
        except RunError as error:
            assert "No space left on device" in str(error)  # noqa: PT017 (some size is enough)
        else:
            return
        yield next(runs.iterdir()) if runs.is_dir() else runs
        shutil.rmtree(runs, ignore_errors=True)


class TestFullDisk:
    """Wherever the disk gets full, all rows are readable, and the run can be resumed."""

    def test_at_every_size(self, disk, config, unbroken):
        """Enlarged, the disk takes the same bytes as if there had been room from the beginning."""
        n_resumed = 0
        for folder in smallest_disk(disk, config, disk.path / "runs"):
            if (folder / "run.json").exists():
                check_readable(folder, unbroken)
                disk.remount("size=1m")
                assert resume_experiment(folder).status == "finished"
                assert bytes_of_run(folder) == unbroken
                n_resumed += 1
        assert n_resumed >= 10

    def test_with_files_of_limited_size(self, config, unbroken, tmp_path):
        """The same where it is a file that must not grow."""
        largest = max(map(len, unbroken.values()))
        n_resumed = 0
        for limit in range(100, largest, largest // 30):
            runs = tmp_path / str(limit)
            with files_no_larger_than(limit), pytest.raises(RunError, match="File too large"):
                run_experiment(config, runs)
            (folder,) = runs.iterdir()
            if (folder / "run.json").exists():
                assert load_run(folder).status == "failed"
                check_readable(folder, unbroken)
                assert bytes_of_run(resume_experiment(folder).path) == unbroken
                n_resumed += 1
        assert n_resumed >= 20

    def test_the_command_says_so(self, disk, config, tmp_path):
        """Exit 1, one line: what could not be written, and that the rest is kept."""
        (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
        disk.remount("size=40k")
        done = command("train", "--config", tmp_path / "config.yaml", "--runs-dir", disk.path)
        assert done.returncode == 1
        assert done.stderr.startswith("error: cannot write")
        assert "No space left on device; everything written before is kept" in done.stderr

    def test_figures_that_do_not_fit_are_a_warning(self, disk, config, tmp_path):
        """The results are safe before the first figure is drawn."""
        for _ in smallest_disk(disk, config, disk.path / "runs"):
            pass
        shutil.rmtree(disk.path / "runs")
        (tmp_path / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")))
        done = command("train", "--config", tmp_path / "config.yaml", "--runs-dir", disk.path)
        assert done.returncode == 0
        assert "warning: the run is written, but a figure could not be drawn" in done.stderr
        (folder,) = disk.path.iterdir()
        assert load_run(folder).status == "finished"

    def test_output_that_does_not_fit_is_an_error(self):
        """`mnistlin ... > file` on a full disk."""
        with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
            for arguments in (("data", "list"), ("--help",)):
                done = subprocess.run(
                    [sys.executable, "-m", "mnistlin", *arguments],
                    check=False,
                    stdout=full,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                assert done.returncode == 1
                assert "Traceback" not in done.stderr
                assert "No space left on device" in done.stderr


class TestReadOnly:
    """What only reads works; what writes says why it cannot."""

    @pytest.fixture
    def folders(self, disk, config):
        """Return a finished and an interrupted run on a disk that is then made read-only."""
        finished = run_experiment(config, disk.path).path
        interrupted = run_experiment(config, disk.path, lambda progress: progress.epoch == 5).path
        disk.remount("ro")
        return finished, interrupted

    @pytest.mark.parametrize(
        ("words", "exit_code"),
        [
            (["train", "--config", "quickstart", "--runs-dir", "{disk}"], 1),
            (["train", "--resume", "{interrupted}"], 1),
            (["plot", "{finished}"], 1),
            (["evaluate", "{finished}"], 0),
            (["plot", "{finished}", "--out", "{elsewhere}"], 0),
            (["replay", "{finished}"], 0),
            (["runs", "--runs-dir", "{disk}"], 0),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_commands(self, words, exit_code, folders, disk, tmp_path):
        """Each has its exit code, and errors name the file system's reason."""
        finished, interrupted = folders
        names = {"finished": finished, "interrupted": interrupted, "disk": disk.path}
        done = command(*(word.format(elsewhere=tmp_path / "out", **names) for word in words))
        assert done.returncode == exit_code, done.stderr
        if exit_code:
            assert "Read-only file system" in done.stderr
            assert len(done.stderr.splitlines()) == 1

    def test_a_cache_that_cannot_be_written(self, disk):
        """Exit 1, for no data is wrong; the message names the folder and what else can be done."""
        disk.remount("ro")
        done = command(
            "data", "fetch", "mnist", XDG_CACHE_HOME=str(disk.path), MNISTLIN_OFFLINE="0"
        )
        assert done.returncode == 1
        assert str(disk.path) in done.stderr
        assert "Read-only file system" in done.stderr
        assert "MNISTLIN_DATA_DIR" in done.stderr

    def test_figures_need_no_cache(self, disk, folders, tmp_path):
        """Matplotlib would keep one; where it cannot, figures are drawn all the same."""
        cache = {name: str(disk.path) for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "HOME")}
        done = command("plot", folders[0], "--out", tmp_path / "out", **cache)
        assert done.returncode == 0
        assert (tmp_path / "out" / "loss.png").exists()


def test_a_folder_that_vanishes_is_told(config, tmp_path):
    """The run ends with an error that names it, and does not make it again."""

    def remove(progress):
        if progress.epoch == 3:
            shutil.rmtree(tmp_path / "runs")

    with pytest.raises(RunError, match=r"cannot write .*runs.*No such file"):
        run_experiment(config, tmp_path / "runs", remove)
    assert not (tmp_path / "runs").exists()
