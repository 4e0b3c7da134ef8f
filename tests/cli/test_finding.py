"""Finding runs: the list with its filters, names instead of paths, and removal."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnistlin.runs.files import sole_writer

FIRST, SECOND = "20250101T000000Z_first", "20250102T000000Z_second"


@pytest.fixture
def two_runs(trained, workplace):
    """Return the runs folder with two runs: seed 0 on 200 images, and seed 1 on 100."""
    shutil.copytree(trained(), workplace / "runs" / FIRST)
    second = trained(**{"training.seed": 1, "data.train_size": 100})
    return shutil.copytree(second, workplace / "runs" / SECOND).parent


def listed(result):
    """Return the names of the folders in a list."""
    return [Path(each["run"]).name for each in json.loads(result.stdout)["runs"]]


def test_columns_are_the_keys_in_which_the_runs_differ(mnistlin, two_runs):
    """Here train_size and seed, and no other key."""
    header, second, first = mnistlin("runs", env={"COLUMNS": "200"}).stdout.splitlines()
    results = ["last_val_accuracy", "best_val_accuracy", "stop_epoch"]
    assert header.split() == ["run", "status", "train_size", "seed", *results]
    assert second.split()[2:4] == ["100", "1"]
    assert first.split()[2:4] == ["200", "0"]


@pytest.mark.parametrize("width", [80, 40])
def test_a_narrow_list_keeps_the_whole_names_and_says_what_it_leaves_out(width, mnistlin, two_runs):
    """No line is wider than the terminal."""
    result = mnistlin("runs", env={"COLUMNS": str(width)})
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[-1].split()[:2] == [FIRST, "finished"]
    if width == 40:
        assert "left out to fit 40 columns" in result.stderr
        assert "last_val_accuracy" in result.stderr


def test_long_names_are_shortened_for_more_columns(mnistlin, two_runs):
    """Only where they do not fit, and any command takes a shortened name."""
    long = "20250103T000000Z_validation-from-the-training-file"
    shutil.copytree(two_runs / SECOND, two_runs / long)
    result = mnistlin("runs", env={"COLUMNS": "80"})
    shown = result.stdout.splitlines()[-3].split()
    assert shown[0] == "20250103T000000Z_validati…ng-file"
    assert len(shown) >= 5
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert mnistlin("replay", shown[0]).stdout.endswith(f"run: runs/{long}\n")
    assert long in mnistlin("runs", env={"COLUMNS": "200"}).stdout


def test_a_sweep_is_one_line_with_the_number_of_its_values(mnistlin, two_runs):
    """A filter on a swept key finds the sweep by any of its values."""
    options = ("--set", "training.epochs=1", "--no-plots", "-q", "--seeds", "0")
    over = "training.l2_lambda=0,0.5"
    assert mnistlin("sweep", "--config", "tiny.yaml", "--over", over, *options).exit_code == 0
    lines = mnistlin("runs", env={"COLUMNS": "200"}).stdout.splitlines()
    assert len(lines) == 4
    assert "2 values" in lines[1]
    (sweep,) = listed(mnistlin("runs", "--filter", "l2_lambda=0.5", "--json"))
    assert "sweep-lambda" in sweep
    assert listed(mnistlin("runs", "--filter", "kind=sweep", "--json")) == [sweep]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["training.seed=1"], [SECOND]),
        (["seed!=1"], [FIRST]),
        (["status=finished", "data.train_size>=200"], [FIRST]),
        (["last_val_accuracy>=0"], [SECOND, FIRST]),
        (["last_val_accuracy>1"], []),
        (["early_stopping=null"], [SECOND, FIRST]),
        (["early_stopping.patience=10"], []),
    ],
)
def test_filters_are_conditions_that_all_must_hold(filters, expected, mnistlin, two_runs):
    """On keys of the config, in full or by their last part, on the summary and the status."""
    options = [word for each in filters for word in ("--filter", each)]
    assert listed(mnistlin("runs", *options, "--json")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.sed=1", "did you mean training.seed"),
        ("seed", "write it as KEY=VALUE"),
        ("last_val_accuracy>high", "needs a number"),
    ],
)
def test_a_filter_without_meaning_is_one_error(text, message, mnistlin):
    """Exit 2, with what to write instead."""
    result = mnistlin("runs", "--filter", text)
    assert result.exit_code == 2
    assert message in result.stderr


def test_runs_are_sorted_by_any_key(mnistlin, two_runs):
    """In ascending order, or in descending order with a minus."""
    assert listed(mnistlin("runs", "--sort", "seed", "--json")) == [FIRST, SECOND]
    assert listed(mnistlin("runs", "--sort", "-seed", "--json")) == [SECOND, FIRST]
    assert mnistlin("runs", "--sort", "sed").exit_code == 2


@pytest.mark.parametrize("key", ["early_stopping.patience", "-early_stopping.patience"])
def test_runs_without_the_key_come_last(key, trained, mnistlin, two_runs):
    stopped = trained(**{"early_stopping.patience": 99})
    shutil.copytree(stopped, two_runs / "20240101T000000Z_stopped")
    assert listed(mnistlin("runs", "--sort", key, "--json"))[0] == "20240101T000000Z_stopped"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("@last", SECOND), ("@-1", SECOND), ("@-2", FIRST), (FIRST, FIRST), ("first", FIRST)],
)
def test_a_run_is_named_by_its_age_or_its_name(text, expected, mnistlin, two_runs):
    """As by its path."""
    result = mnistlin("replay", text)
    assert result.exit_code == 0
    assert result.stdout.endswith(f"run: runs/{expected}\n")


def test_a_renamed_run_keeps_its_place(mnistlin, two_runs):
    """Its start is read from run.json, so that @last is the younger one."""
    (two_runs / FIRST).rename(two_runs / "zzz")
    record = two_runs / "zzz" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"started_utc": "2020-01-01"}))
    assert mnistlin("replay", "@last").stdout.endswith(f"run: runs/{SECOND}\n")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_runs_of_the_same_second_are_ordered_by_their_records(first, second, mnistlin, workplace):
    """A run takes less than a second, so that names of folders do not tell which is older."""
    for name in (first, second):
        mnistlin("train", "--config", "tiny.yaml", "--name", name, "--no-plots")
    found = {path.name.partition("_")[2]: path for path in (workplace / "runs").iterdir()}
    for name, path in found.items():
        path.rename(path.with_name(f"20260101T000000Z_{name}"))
    for text, name in (("@last", second), ("@-2", first)):
        assert mnistlin("replay", text).stdout.endswith(f"run: runs/20260101T000000Z_{name}\n")


def test_last_is_among_what_the_command_accepts(mnistlin, two_runs):
    """A folder without weights is not evaluated, and no run that has ended is resumed."""
    (two_runs / SECOND / "weights.npz").unlink()
    assert f"runs/{FIRST}/" in mnistlin("evaluate", "@last").stdout
    result = mnistlin("train", "--resume", "@last")
    assert result.exit_code == 2
    assert "has no unfinished runs" in result.stderr


@pytest.mark.parametrize("text", ["@-3", "@first", "@-0"])
def test_a_run_that_is_not_there_is_a_usage_error(text, mnistlin, two_runs):
    """Exit 2."""
    result = mnistlin("evaluate", text)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_name_that_two_runs_have_is_refused_with_both(mnistlin, two_runs):
    """Which one is meant is not guessed."""
    shutil.copytree(two_runs / FIRST, two_runs / "20250103T000000Z_first")
    result = mnistlin("evaluate", "first")
    assert result.exit_code == 2
    assert FIRST in result.stderr
    assert "20250103T000000Z_first" in result.stderr


def test_names_are_looked_up_in_the_runs_folder_that_is_given(mnistlin, two_runs):
    """Wherever --runs-dir appears in the command."""
    two_runs.rename(two_runs.parent / "others")
    assert mnistlin("runs", "rm", "@last", "--yes", "--runs-dir", "others").exit_code == 0
    assert mnistlin("runs", "--runs-dir", "others", "rm", "@last", "--yes").exit_code == 0
    assert not any((two_runs.parent / "others").iterdir())


def test_without_a_terminal_removal_needs_yes(mnistlin, two_runs):
    """Exit 2, and nothing is removed; with --yes this run is removed and the other is kept."""
    assert mnistlin("runs", "rm", "@last").exit_code == 2
    assert (two_runs / SECOND).is_dir()
    assert mnistlin("runs", "rm", "@last", "--yes").exit_code == 0
    assert [path.name for path in two_runs.iterdir()] == [FIRST]


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid")
@pytest.mark.parametrize(
    ("answer", "exit_code", "says"),
    [
        (b"y\n", 0, "removed: "),
        (b"n\n", 0, "nothing was removed"),
        (b"\n", 0, "nothing was removed"),
        (b"\x03", 130, "interrupted"),
        (b"\x04", 130, "interrupted"),
    ],
    ids=["yes", "no", "enter", "Ctrl-C", "Ctrl-D"],
)
def test_a_terminal_is_asked_before_removal(answer, exit_code, says, two_runs):
    """Only a yes removes; the question is on a line of its own."""
    found, shown = on_terminal(answer, "runs", "rm", "@last")
    assert found == exit_code
    assert shown[-1].startswith(says)
    assert (two_runs / SECOND).is_dir() == (answer != b"y\n")


def on_terminal(answer, *words):
    """Run a command on a new terminal, answer its question; return exit code and lines shown."""
    main, terminal = os.openpty()
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.argv[0] = 'mnistlin'; from mnistlin.cli import main; main()"
    )  # a parent in the background ignores Ctrl-C, which is inherited
    command = ["setsid", "--ctty", "--wait", sys.executable, "-c", script, *words]
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, **streams) as process:
        os.close(terminal)
        shown, end = b"", time.monotonic() + 60
        while process.poll() is None or select.select([main], [], [], 0)[0]:
            if select.select([main], [], [], 0.3)[0]:
                try:
                    shown += os.read(main, 4096)
                except OSError:  # no process has the terminal any more
                    break
            elif b"[y/N]: " in shown:
                os.write(main, answer)
            if time.monotonic() > end:
                process.kill()
    os.close(main)
    return process.returncode, shown.decode().split("\r\n")[:-1]


def _link(path):
    path.symlink_to(FIRST)


def _no_run(path):
    path.mkdir()


def _damaged(path):
    path.mkdir()
    (path / "run.json").write_text("{")


@pytest.mark.parametrize("make", [_link, _no_run, _damaged])
def test_only_what_is_surely_a_run_is_removed(make, mnistlin, two_runs):
    """A link, another folder or a damaged record is refused, and so is all named beside it."""
    make(two_runs / "other")
    before = sorted(two_runs.rglob("*"))
    result = mnistlin("runs", "rm", SECOND, "runs/other", "--yes")
    assert result.exit_code == 1
    assert "runs/other" in result.stderr
    assert sorted(two_runs.rglob("*")) == before


def test_a_run_that_is_being_written_is_not_removed(mnistlin, two_runs):
    """Its lock is held."""
    with sole_writer(two_runs / FIRST):
        result = mnistlin("runs", "rm", FIRST, "--yes")
    assert result.exit_code == 1
    assert "is in use" in result.stderr
    assert (two_runs / FIRST / "weights.npz").is_file()


def test_links_in_a_run_are_not_followed_by_its_removal(mnistlin, two_runs):
    """What they lead to stays."""
    keep = two_runs.parent / "keep"
    keep.mkdir()
    (keep / "precious").touch()
    (two_runs / FIRST / "plots").symlink_to(keep)
    assert mnistlin("runs", "rm", FIRST, "--yes").exit_code == 0
    assert (keep / "precious").exists()


def test_plot_leaves_out_what_is_no_run_with_a_note(mnistlin, two_runs):
    """A folder of figures is noted, and the runs are drawn together."""
    (two_runs / "20250103T000000Z_overlay").mkdir()
    result = mnistlin("plot", *sorted(two_runs.iterdir()), "--out", "figures")
    assert result.exit_code == 0
    assert "20250103T000000Z_overlay is left out, because it is not a run" in result.stderr
    assert "figures/loss.png" in result.stdout


def test_plot_takes_the_members_of_sweeps_if_asked(mnistlin, two_runs):
    """Otherwise a sweep among runs is noted, with the option that draws its runs."""
    options = ("--set", "training.epochs=1", "--no-plots", "-q", "--over", "training.l2_lambda=0,1")
    assert mnistlin("sweep", "--config", "tiny.yaml", *options).exit_code == 0
    result = mnistlin("plot", *two_runs.iterdir(), "--out", "figures")
    assert "is left out, because it is a sweep; --members draws its runs" in result.stderr
    result = mnistlin("plot", *two_runs.iterdir(), "--out", "figures", "--members")
    assert (result.exit_code, result.stderr) == (0, "")


def test_plot_reports_runs_that_are_the_same(mnistlin, two_runs):
    """Their curves coincide."""
    shutil.copytree(two_runs / FIRST, two_runs / "20250103T000000Z_again")
    result = mnistlin("plot", FIRST, "again", "--out", "figures")
    assert result.exit_code == 0
    assert "have the same config and data" in result.stderr


def test_a_run_is_not_compared_with_itself(mnistlin, two_runs):
    """One error, however the run is named."""
    result = mnistlin("compare", FIRST, "@-2")
    assert result.exit_code == 2
    assert "is named 2 times" in result.stderr
