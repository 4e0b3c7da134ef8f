"""The command line as a whole: help, errors, exit codes."""

import os
import shutil
import subprocess
import sys

import click
import pytest

from mnistlin import DataError
from mnistlin.cli import main
from mnistlin.cli.app import cli


def all_commands(group=cli, path=()):
    """Yield (path of words, command) for every command that does something."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words, mnistlin):
    """Help ends in a line that can be pasted, and explains every option."""
    result = mnistlin(*words, "--help")
    assert result.exit_code == 0
    assert f"  mnistlin {' '.join(words)}" in result.output
    assert all(option.help for option in COMMANDS[words].params if isinstance(option, click.Option))


def test_help_imports_nothing_heavy():
    """`mnistlin --help` answers at once: none of the slow libraries is imported for it."""
    code = (
        "import sys\n"
        "from mnistlin.cli.app import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'pydantic', 'matplotlib', 'pooch', 'scipy', 'yaml', 'tqdm'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("3", "3")])
def test_blas_gets_one_thread_unless_the_user_chooses(chosen, expected, monkeypatch):
    """Its threads and those of the trainer would wait for each other."""
    monkeypatch.setattr(sys, "argv", ["mnistlin", "--version"])
    for variable in ("OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, chosen or "")
        if chosen is None:
            monkeypatch.delenv(variable)
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_NUM_THREADS"] == expected
    assert os.environ["VECLIB_MAXIMUM_THREADS"] == expected


def test_python_dash_m_is_the_same_command():
    """`python -m mnistlin --version` names the program and its version."""
    done = subprocess.run(
        [sys.executable, "-m", "mnistlin", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mnistlin, version ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["train", "--epochs", "3"]])
def test_wrong_usage_is_exit_2(arguments, mnistlin):
    """An unknown command, a missing option and an unknown one are usage errors."""
    assert mnistlin(*arguments).exit_code == 2


@pytest.mark.parametrize("text", ["\0", "\udcff"], ids=["NUL", "byte"])
@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "{}"),
        ("train", "--config", "tiny.yaml", "--runs-dir", "{}"),
        ("train", "--config", "tiny.yaml", "--set", "data.dataset={}"),
        ("compare", "runs/{}", "runs", "--out", "x"),
        ("data", "verify", "{}"),
    ],
    ids=" ".join,
)
def test_an_argument_that_is_no_text_is_exit_2_and_leaves_nothing(words, text, mnistlin, workplace):
    """The line that names it shows it escaped, and says what to do."""
    result = mnistlin(*(word.replace("{}", f"a{text}") for word in words))
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert ascii(f"a{text}")[1:-1] in line
    assert "rename" in line
    assert [path.name for path in workplace.iterdir()] == ["tiny.yaml"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_run_may_be_in_a_folder_whose_name_is_not_utf_8(
    mnistlin, workplace, dataset, monkeypatch
):
    """A file system takes any bytes as a name; training works there, and so does replay."""
    here = workplace / "caf\udce9"
    shutil.copytree(dataset, here / "digits")
    shutil.copy(workplace / "tiny.yaml", here)
    monkeypatch.chdir(here)
    own = ("--set", "data.dataset=./digits", "--set", "data.train_size=null")
    trained = mnistlin(
        "train", "--config", "tiny.yaml", *own, "--set", "data.val_size=null", "--no-plots"
    )
    assert trained.exit_code == 0, trained.output
    assert mnistlin("replay", "@last").exit_code == 0


def test_an_unforeseen_error_is_an_internal_error_whose_traceback_is_kept(
    monkeypatch, workplace, tmp_path
):
    """Exit 1, one line, and a file with the traceback; no traceback on the terminal."""
    monkeypatch.setattr("mnistlin.runs.index.find_runs", lambda _: 1 / 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = click.testing.CliRunner().invoke(cli, ["runs"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: internal error (ZeroDivisionError: division by zero)")
    assert "Traceback" not in result.stderr
    (saved,) = tmp_path.glob("mnistlin-error-*.txt")
    assert str(saved) in result.stderr
    assert "ZeroDivisionError" in saved.read_text()


def test_debug_shows_the_traceback(monkeypatch, workplace):
    """With --debug, before or after the command's name, the traceback comes before the message."""

    def fail(_):
        raise DataError("the reason")

    monkeypatch.setattr("mnistlin.runs.index.find_runs", fail)
    for arguments in (["--debug", "runs"], ["runs", "--debug"]):
        result = click.testing.CliRunner().invoke(cli, arguments)
        assert result.exit_code == 3
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1] == "error: the reason"


def test_output_may_be_cut_off(workplace):
    """`mnistlin ... | head -0` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mnistlin", "config", "schema"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["train", "sweep", "sweep-lambda", "check-gradients", "report"])
def test_a_config_without_its_option_gets_that_advice(command, mnistlin):
    """Words that follow a command look like its config."""
    result = mnistlin(command, "quickstart")
    assert result.exit_code == 2
    assert "--config quickstart" in result.stderr


def test_part_of_a_key_is_understood(mnistlin):
    """A hint names the key that was probably meant."""
    result = mnistlin("runs", "--sort", "val_acc")
    assert result.exit_code == 2
    assert "did you mean last_val_accuracy?" in result.stderr


def test_all_sizes_that_do_not_fit_a_dataset_are_reported_together(mnistlin):
    """One change of the command mends both."""
    result = mnistlin("sweep-lambda", "--set", "data.dataset=mnist-5k")
    assert result.exit_code == 2
    assert "data.train_size: found 20000" in result.stderr
    assert "data.val_size: found 10000" in result.stderr


@pytest.mark.parametrize("group", ["", "explain", "data", "config"])
def test_the_purpose_of_each_command_is_listed_as_a_whole(group, mnistlin):
    assert "..." not in mnistlin(*group.split(), "--help").stdout.partition("Commands:")[2]
