"""What a command writes to the terminal never decides what happens to a run."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnistlin import load_run
from mnistlin.cli.app import cli
from mnistlin.cli.terminal import bar, echo_value, echo_wrapped, log, show_epoch, wrapped
from mnistlin.runs.sweep_folder import load_sweep
from mnistlin.text import printable

LONG = ("--config", "tiny.yaml", "--set", "training.epochs=1000000", "--no-plots")


@pytest.fixture
def only_run(workplace):
    """Return a function that returns the folder of the only run."""

    def find():
        (folder,) = (workplace / "runs").iterdir()
        return folder

    return find


def screen(monkeypatch):
    """Make standard error and output a terminal of 80 columns; return what it shows."""
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True, raising=False)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, shown)
    monkeypatch.setenv("COLUMNS", "80")
    return shown


def start(*arguments, **options):
    """Start mnistlin as a process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "mnistlin", *map(str, arguments)], env=environment, **options
    )


def wait_for_rows(wait_for, workplace):
    """Wait until a run has rows."""
    wait_for(lambda: any(p.stat().st_size > 1000 for p in workplace.glob("runs/*/metrics.csv")))


def test_ctrl_c_into_a_broken_pipe_interrupts_the_run(workplace, wait_for, only_run):
    reader, writer = os.pipe()
    process = start("train", *LONG, stdout=writer, stderr=writer)
    os.close(writer)
    wait_for_rows(wait_for, workplace)
    os.close(reader)  # as when `| tee log` is ended by the same Ctrl-C
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    run = load_run(only_run())
    assert run.status == "interrupted"
    assert len(run.weights) == 2


def test_a_full_disk_behind_stderr_does_not_reach_training(workplace, wait_for, only_run):
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        process = start("train", *LONG, stdout=subprocess.DEVNULL, stderr=full)
        wait_for_rows(wait_for, workplace)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    assert load_run(only_run()).status == "interrupted"


@pytest.mark.parametrize(("stderr", "jobs"), [("broken", 2), ("full", 1)])
def test_ctrl_c_interrupts_a_sweep_whatever_stderr_is(stderr, jobs, started, only_run):
    """Stacks that are complete are kept, and drawn."""
    reader, writer = os.pipe()
    os.close(reader)
    if stderr == "full":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    over = ("--over", "training.batch_size=50,100", "--seeds", "0-3", "--jobs", jobs)
    after_a_stack = (signal.SIGINT, "mnistlin.runs.sweep_folder:SweepWriter", "add", 1)
    streams = {"stdout": subprocess.DEVNULL, "stderr": writer}
    process = started("sweep", *LONG[:2], *over, signal_after=after_a_stack, **streams)
    os.close(writer)
    assert process.wait(timeout=60) == 130
    found = load_sweep(only_run())
    assert found.status == "interrupted"
    assert found.members
    assert list((found.path / "plots").glob("*.png"))


def test_a_reader_that_ends_early_does_not_hide_the_exit_code(workplace):
    reader, writer = os.pipe()
    os.close(reader)
    diverges = ("--config", "tiny.yaml", "--no-plots", "--set", "training.learning_rate=1e9")
    process = start("train", *diverges, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_a_run(closed, workplace, only_run):
    command = f"{sys.executable} -m mnistlin train --config tiny.yaml --no-plots {closed}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["sh", "-c", command], check=False, env=environment, timeout=100)
    assert done.returncode == 0
    run = load_run(only_run())
    assert (run.status, run.modified) == ("finished", ())


def test_ctrl_c_while_commands_are_imported_is_no_traceback(workplace):
    """The import of click represents all of them."""
    code = (
        "import sys, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import runpy; runpy.run_module('mnistlin', run_name='__main__')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_what_follows_a_bar_begins_on_its_own_line(seconds, monkeypatch):
    """Whether the bar was there long enough to be shown or not."""
    terminal = screen(monkeypatch)
    with bar(2, "epoch", quiet=False, desc="a name of twenty-nine letters") as shown:
        time.sleep(seconds)
        show_epoch(shown, SimpleNamespace(epoch=1, check=SimpleNamespace(val_accuracy=0.97)))
    log("next")
    *bars, last, end = terminal.getvalue().split("\n")
    assert (last, end) == ("next", "")
    assert [line.endswith("val_accuracy=0.9700]") for line in bars] == [True] * (seconds > 0)


COMMAND = "mnistlin train --resume runs/20260114T093012Z_a-run-with-a-long-name"


@pytest.mark.parametrize("say", [log, lambda text: echo_value("note", text), echo_wrapped])
@pytest.mark.parametrize("command", [f"run `{COMMAND}` to resume it", f"resume with: {COMMAND}"])
def test_long_lines_fit_the_terminal_and_commands_can_be_copied(say, command, monkeypatch):
    terminal = screen(monkeypatch)
    say(f"a line with {'many ' * 20}words, of which 5 % are followed by a command; {command}")
    assert max(map(len, terminal.getvalue().splitlines())) <= 80
    assert COMMAND in terminal.getvalue()
    assert "5 %" in terminal.getvalue()


def test_usage_errors_are_wrapped_between_words(monkeypatch):
    terminal = screen(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        cli(["train", "an-unknown-word"], prog_name="mnistlin")
    assert ended.value.code == 2
    usage, *_, first, second = terminal.getvalue().splitlines()
    assert usage == "Usage: mnistlin train [OPTIONS]"
    assert max(len(first), len(second)) <= 80
    assert f"{first} {second.lstrip()}" == (
        "Error: unexpected argument 'an-unknown-word'; "
        "a config is given as --config an-unknown-word."
    )


def test_the_margin_of_a_line_is_kept():
    """Also where its first word is too long."""
    assert wrapped(f"  {'x' * 30}: two words\n    kept", 30, hanging="  ").splitlines() == [
        f"  {'x' * 30}:",
        "    two words",
        "    kept",
    ]


def test_a_line_is_never_wrapped_in_a_pipe(capsys):
    """Whoever reads it finds each key and value in one line."""
    echo_value("note", "words " * 50)
    log("words " * 50)
    out, err = capsys.readouterr()
    assert out.count("\n") == err.count("\n") == 1


def test_text_of_a_folder_cannot_control_the_terminal(mnistlin, tiny_run):
    info = json.loads((tiny_run / "run.json").read_text())
    info["warnings"] = ["\x1b]0;title\x07\x1b[31mred"]
    (tiny_run / "run.json").write_text(json.dumps(info))
    result = mnistlin("evaluate", tiny_run)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\\x1b]0;title" in result.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [("λ 🙂", "λ 🙂"), ("a\nb", "a\nb"), ("\x1b[31m", r"\x1b[31m"), ("\u202e", r"\u202e")],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert printable(text) == shown


class TestListing:
    def test_a_run_that_was_killed_is_unfinished_and_can_be_resumed(
        self, mnistlin, workplace, wait_for, only_run
    ):
        process = start("train", *LONG)
        wait_for_rows(wait_for, workplace)
        assert "running" in mnistlin("runs").stdout
        process.kill()
        process.wait()
        listed = mnistlin("runs")
        assert "unfinished" in listed.stdout
        command = f"mnistlin train --resume {only_run().relative_to(workplace)}"
        assert command in listed.stderr
        evaluated = mnistlin("evaluate", only_run())
        assert evaluated.exit_code == 1
        assert "is unfinished" in evaluated.stderr
        assert "train --resume" in evaluated.stderr

    def test_what_cannot_be_read_is_listed_with_the_reason(self, mnistlin, tiny_run):
        info = json.loads((tiny_run / "summary.json").read_text())
        text = json.dumps(info | {"last_val_accuracy": float("nan")})
        (tiny_run / "summary.json").write_text(text)
        listed = mnistlin("runs")
        assert listed.exit_code == 0
        assert "damaged" in listed.stdout
        assert "last_val_accuracy: found nan" in listed.stderr

    def test_a_run_that_was_never_started_is_named(self, mnistlin, tiny_run):
        (tiny_run.parent / "20260101T000000Z_dead").mkdir()
        listed = mnistlin("runs")
        assert "not started" in listed.stdout
        assert "rm -r runs/20260101T000000Z_dead" in listed.stderr

    def test_runs_of_one_second_sort_by_number(self, mnistlin, tiny_run):
        for number in (2, 9, 10):
            (tiny_run.parent / f"20260101T000000Z_x-{number}").mkdir()
        lines = mnistlin("runs").stdout.splitlines()
        numbers = [line.split()[0].rpartition("-")[2] for line in lines if "_x-" in line]
        assert numbers == ["10", "9", "2"]

    def test_verify_names_files_that_were_changed(self, mnistlin, tiny_run):
        content = bytearray((tiny_run / "metrics.csv").read_bytes())
        content[-2] ^= 1
        (tiny_run / "metrics.csv").write_bytes(content)
        assert "modified" not in mnistlin("runs").stderr
        assert "modified since the run ended: metrics.csv" in mnistlin("runs", "--verify").stderr


class TestReadOnly:
    """Results are printed wherever the run is; only saving them needs a writable folder."""

    @pytest.fixture
    def unwritable(self, tiny_run, monkeypatch):
        """Return a run whose folder, and the one beside it, cannot be written."""
        shutil.copytree(tiny_run, tiny_run.parent / "same")
        mkdir, runs_dir = Path.mkdir, tiny_run.parent.resolve()

        def refuse(self, *arguments, **options):
            if self.resolve().is_relative_to(runs_dir):
                raise OSError(errno.EROFS, "Read-only file system")
            mkdir(self, *arguments, **options)

        monkeypatch.setattr(Path, "mkdir", refuse)
        return tiny_run

    @pytest.mark.parametrize("words", [["evaluate", "{run}"], ["compare", "{run}", "same"]])
    def test_findings_are_printed_before_a_warning(self, words, unwritable, mnistlin, tmp_path):
        words = [word.format(run=unwritable) for word in words]
        result = mnistlin(*words)
        assert result.exit_code == 0
        assert "accuracy" in result.stdout
        assert "Read-only file system" in result.stderr
        assert "--out" in result.stderr
        saved = mnistlin(*words, "--out", tmp_path / "out")
        assert saved.stderr == ""
        assert list((tmp_path / "out").iterdir())
