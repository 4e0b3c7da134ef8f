"""The type of every RUN_DIR: a path, the name of a run in the runs folder, or `@last`, `@-2`."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mnistlin.runs.scan import (
    ENDED,
    has_weights,
    is_run,
    is_sweep,
    newest_first,
    recorded,
    runs_folder,
    short_name,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_RECENT = re.compile(r"@(?:last|-([1-9][0-9]{0,5}))")


class RunDir(click.ParamType[str]):
    """The folder of a run or a sweep, of the kind that a command accepts."""

    name = "run_dir"

    def __init__(self, what: str, accepts: Callable[[Path], bool]) -> None:
        self.what = what
        self._accepts = accepts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path; unknown text is returned unchanged, and opening it raises the error."""
        text, folder = str(value), _runs_dir(ctx)
        if _exists(Path(text)):
            return text
        if text.startswith("@"):
            return str(self._recent(text, folder, param, ctx))
        if text and _exists(folder / text):
            return str(folder / text)
        named = [
            path
            for path in newest_first(folder)
            if text in {path.name.partition("_")[2], short_name(path.name)}
        ]
        if len(named) > 1:
            names = ", ".join(path.name for path in named[:5])
            reason = f"{len(named)} runs in {folder} are called {text}"
            self.fail(f"{reason}; name one of them, such as {names}.", param, ctx)
        return str(named[0]) if named else text

    def _recent(
        self, text: str, folder: Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        match = _RECENT.fullmatch(text)
        if match is None:
            self.fail(f"{text!r}: write @last, or @-2 for the last but one.", param, ctx)
        position = int(match[1] or 1)
        found = list(islice(filter(self._accepts, newest_first(folder)), position))
        if len(found) < position:
            reason = f"{folder} has {len(found) or 'no'} {self.what}"
            self.fail(f"{text}: {reason}; `mnistlin runs` lists what is there.", param, ctx)
        return found[-1]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Complete the names of folders that the command accepts, newest first, and paths."""
        from click.shell_completion import CompletionItem

        del param
        paths = newest_first(_runs_dir(ctx))
        words = [(path.name, path) for path in paths]
        if incomplete:
            words += [(str(path), path) for path in paths]
        # What was typed is compared first: asking for files takes longer.
        found = [
            CompletionItem(word)
            for word, path in words
            if word.startswith(incomplete) and self._accepts(path)
        ]
        if "@last".startswith(incomplete) and any(map(self._accepts, paths)):
            found.insert(0, CompletionItem("@last"))
        return found or [CompletionItem(incomplete, type="dir")]


def _runs_dir(ctx: click.Context | None) -> Path:
    """Return the runs folder: --runs-dir of this command or one above it, or the default."""
    here = ctx
    while here is not None:
        if here.get_parameter_source("runs_dir") == ParameterSource.COMMANDLINE:
            return Path(here.params["runs_dir"])
        here = here.parent
    return runs_folder()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_unfinished(path: Path) -> bool:
    """Return whether a run or sweep can be resumed: it has not ended, and no process writes it."""
    if recorded(path, "status") in ENDED:  # most of them, known without NumPy and pydantic
        return False
    from mnistlin.errors import RunError
    from mnistlin.runs.folder import load_run
    from mnistlin.runs.index import can_be_resumed
    from mnistlin.runs.sweep_folder import load_sweep

    try:
        found = load_sweep(path) if is_sweep(path) else load_run(path)
    except RunError:
        return False
    return can_be_resumed(found)


TRAINED_RUN = RunDir("runs with weights", has_weights)
SWEEP = RunDir("sweeps", is_sweep)
RUN_OR_SWEEP = RunDir("runs or sweeps", lambda path: is_run(path) or is_sweep(path))
TRAINED_RUN_OR_SWEEP = RunDir(
    "sweeps, or runs with weights", lambda path: has_weights(path) or is_sweep(path)
)
UNFINISHED_RUN = RunDir("unfinished runs", lambda path: not is_sweep(path) and _is_unfinished(path))
UNFINISHED_SWEEP = RunDir("unfinished sweeps", lambda path: is_sweep(path) and _is_unfinished(path))
