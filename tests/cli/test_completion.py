"""Tab completion in bash and zsh: runs, configs, datasets, keys and paths."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnistlin.config import config_keys
from mnistlin.config.schema import sweepable_keys
from mnistlin.shipped import keys_in_schema, shipped_configs, sweepable_keys_in_schema

ASK_BASH = """
source <(_MNISTLIN_COMPLETE=bash_source "$MNISTLIN")
COMP_WORDS=(mnistlin "$@") COMP_CWORD=$#
compopt() { printf '%s\\n' "$*"; }
_mnistlin_completion "$MNISTLIN"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_ZSH = """
compdef() { :; }
compadd() { print -rl -- $completions; }
_describe() { print -rl -- ${completions_with_descriptions%%:*}; }
_path_files() { print -- -o default; }
source <(_MNISTLIN_COMPLETE=zsh_source "$MNISTLIN")
commands[mnistlin]=$MNISTLIN
words=(mnistlin "$@") CURRENT=$(( $# + 1 ))
_mnistlin_completion
"""


@pytest.fixture(scope="module")
def mnistlin(tmp_path_factory):
    """Return a folder that holds the command `mnistlin` as the tests import it."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "mnistlin"
    run = "import sys; sys.argv[0] = 'mnistlin'; from mnistlin.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{run}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return command


@pytest.fixture(params=["bash", "zsh"])
def complete(request, mnistlin, tmp_path, finished_run):
    """Return a function that completes the last of some words, in a folder with a run."""
    if not shutil.which(request.param):
        pytest.skip(f"needs {request.param}")
    script = {"bash": ASK_BASH, "zsh": ASK_ZSH}[request.param]
    runs_dir = tmp_path / "runs"
    shutil.copytree(finished_run.path, runs_dir / finished_run.path.name)
    (tmp_path / "mine.yaml").write_text("{}")
    path = f"{mnistlin.parent}{os.pathsep}{os.environ['PATH']}"
    package = str(Path(__file__).parents[2])
    environment = {**os.environ, "PATH": path, "MNISTLIN": str(mnistlin), "PYTHONPATH": package}

    def ask(*words):
        flags = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"]}[request.param]
        done = subprocess.run(
            [request.param, *flags, script, request.param, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")

    return ask


def test_runs_are_completed_by_name_and_age(complete, finished_run):
    """Also after words that are complete."""
    found = complete("evaluate", "--weights", "best", "")
    assert {"@last", finished_run.path.name} <= set(found)


def test_commands_and_options_are_completed(complete):
    """As click does."""
    assert "check-gradients" in complete("che")
    assert "--patience" not in complete("train", "--")
    assert "--config" in complete("train", "--")


def test_configs_are_completed(complete):
    """Shipped ones by name, and YAML files."""
    assert "softmax-lambda-sweep" in complete("sweep-lambda", "--config", "softmax")
    assert "mine.yaml" in complete("train", "--config", "mi")


def test_what_no_word_begins_with_is_completed_as_a_path(complete):
    """By the shell itself."""
    assert "-o default" in " ".join(complete("train", "--config", "../"))


def test_keys_and_datasets_are_completed(complete):
    """After --set, --over, --filter, --sort and wherever a dataset is named."""
    assert "training.learning_rate=" in complete("train", "--set", "training.le")
    assert "early_stopping.patience=" in complete("sweep", "--over", "ear")
    assert "data.dataset" in complete("runs", "--filter", "data.d")
    assert "last_val_accuracy" in complete("runs", "--sort", "last_")
    assert "fashion-mnist" in complete("data", "fetch", "fa")
    assert "mnist-5k" in complete("evaluate", "@last", "--dataset", "mnist-")


def test_the_words_are_those_of_the_schema():
    """The shipped JSON Schema, which is faster to read, has the keys of the models."""
    assert [key for key in keys_in_schema() if not key.startswith("sweep.")] == [
        key for key in config_keys() if key != "early_stopping"
    ]
    assert sweepable_keys_in_schema() == sweepable_keys()
    assert "quickstart" in shipped_configs()


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--config", ""),
        ("train", "--set", ""),
        ("plot", ""),
        ("evaluate", "@"),
        ("predict", "2"),
        ("train", "--resume", ""),
    ],
)
def test_completion_is_fast(words, finished_run):
    """It imports no NumPy, pydantic or matplotlib, each of which takes longer than the rest."""
    script = (
        "import sys; sys.argv = ['mnistlin']; from mnistlin.cli.app import cli\n"
        "try: cli(prog_name='mnistlin')\n"
        "except SystemExit: pass\n"
        "slow = {'numpy', 'pydantic', 'matplotlib', 'scipy'} & {*sys.modules}\n"
        "print(sorted(slow), file=sys.stderr)"
    )
    environment = {
        **os.environ,
        "_MNISTLIN_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("mnistlin", *words)),
        "COMP_CWORD": str(len(words)),
        "MNISTLIN_RUNS_DIR": str(finished_run.path.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr.strip() == "[]"
    assert done.stdout
