"""README and CHANGELOG say what is so."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from mnistlin.cli.app import cli
from mnistlin.config import load_config, shipped_configs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(group, path="mnistlin"):
    """Yield every command that does something, as one types it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


@pytest.mark.parametrize("command", list(commands(cli)))
def test_every_command_is_in_the_readme(command):
    """Whoever reads it has met all there is."""
    assert command in README


TRAINING_LINES = re.findall(r"^    (mnistlin train --config .*?)(?:  #.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("line", TRAINING_LINES)
def test_every_training_command_of_the_readme_has_a_good_config(line):
    """Its config exists, and what it overrides is allowed."""
    words = line.split()
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


def test_the_readme_is_short():
    """Under 250 lines, as promised to its readers."""
    assert len(README.splitlines()) < 250


def test_the_environment_variables_of_the_readme_are_read_somewhere():
    """None is promised that the package does not know."""
    package = "".join(path.read_text("utf-8") for path in (ROOT / "mnistlin").rglob("*.py"))
    named = set(re.findall(r"`(MNISTLIN_[A-Z_]+)`", README))
    assert named
    assert all(name in package for name in named)


def test_every_extra_of_the_readme_exists():
    """`pip install 'mnistlin[...]'` names extras of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(re.findall(r"mnistlin\[(\w+)\]", README)) <= set(extras)
