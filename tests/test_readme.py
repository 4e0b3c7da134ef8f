"""README, documentation and CHANGELOG are true."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest

import mnistlin
from mnistlin.cli.app import cli
from mnistlin.config import load_config, shipped_configs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *DOCS]}


def commands(group, path="mnistlin"):
    """Yield every command that does something, as one types it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


@pytest.mark.parametrize("command", list(commands(cli)))
def test_every_command_is_documented(command):
    assert command in TEXTS["README.md"] or f"### {command}\n" in TEXTS["reference.md"]


def test_every_page_can_be_reached_from_the_readme():
    """In one click."""
    linked = set(re.findall(r"\]\(docs/([a-z-]+\.md)", README))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages - {"report.md"} <= linked  # report.md: the text of report.html


TRAINING_LINES = sorted(
    {
        line
        for text in TEXTS.values()
        for line in re.findall(
            r"^    (mnistlin train --config [^\\\n]*?)(?:  #.*)?$", text, re.MULTILINE
        )
    }
)


@pytest.mark.parametrize("line", TRAINING_LINES)
def test_every_documented_training_command_has_a_good_config(line):
    """Its config exists, and what it overrides is allowed."""
    words = shlex.split(line)
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    assert load_config(words[3], settings)


@pytest.mark.parametrize("name", list(shipped_configs()))
def test_every_shipped_config_tells_how_to_run_it(name):
    """Its first lines hold the command."""
    head = shipped_configs()[name].read_text(encoding="utf-8").split("\n\n")[0]
    assert f"--config {name}" in head


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    """No picture and no page that a link names is missing."""
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_documented_environment_variables_are_read_by_the_package():
    package = "".join(path.read_text("utf-8") for path in (ROOT / "mnistlin").rglob("*.py"))
    named = {name for text in TEXTS.values() for name in re.findall(r"\bMNISTLIN_[A-Z_]+", text)}
    assert named
    assert all(name in package for name in named)


def test_every_documented_extra_exists():
    """`pip install 'mnistlin[...]'` names extras of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    named = {name for text in TEXTS.values() for name in re.findall(r"mnistlin\[(\w+)\]", text)}
    assert named <= set(extras)


def test_the_page_about_own_data_works_from_top_to_bottom(tmp_path, monkeypatch):
    """Its arrays become a folder, which trains, and five lines of NumPy predict as the run does."""
    monkeypatch.chdir(tmp_path)
    page = {}
    for code in re.findall(r"```python\n(.*?)```", TEXTS["own-data.md"], re.DOTALL):
        exec(code, page)
    run = mnistlin.run_experiment(
        "quickstart", tmp_path / "runs", overrides={"data.dataset": str(page["folder"])}
    )
    assert run.class_names == ("upper", "lower")
    np.testing.assert_array_equal(
        page["predict"](run.path, page["images"]), run.predict(page["images"])
    )
