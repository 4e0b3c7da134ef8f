"""How the result of a question is shown: `key: value` lines, tables, a paragraph, and its files.

Shared by all commands that ask a question; none of them knows how its result is shown.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistlin.cli.options import debug_option, figure_options
from mnistlin.cli.terminal import bar, echo, echo_value, fetch_data, log, table_width, wrapped
from mnistlin.errors import RunError

if TYPE_CHECKING:
    from mnistlin.analysis.result import Result
    from mnistlin.runs.folder import Run

weights_option = click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Weights of the last check, or of the one with the lowest validation loss.",
)

split_option = click.option(
    "--split",
    "split_name",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="Split to evaluate.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as a JSON object."
)

MAX_LINE = 88
"""Maximum number of characters in a line of a paragraph."""


@dataclass(frozen=True)
class Output:
    """Where a result is saved (None: in the run folder), in which format, and how it is shown."""

    out: Path | None
    file_format: str
    as_json: bool

    @contextmanager
    def passes(self, what: str) -> Iterator[Callable[[], object]]:
        """Show a progress bar of passes over the images; yield the function that counts one."""
        with bar(None, "pass", quiet=self.as_json, desc=what) as shown:
            yield shown.update

    def show(self, result: "Result", make_folder: Callable[[], Path] | None = None) -> None:
        """Save a result and print it; a failure to save is a warning after the result.

        `make_folder` makes the folder of a result that belongs to no run folder.
        """
        from mnistlin.analysis.result import save

        files: Sequence[Path] = ()
        problem: RunError | None = None
        try:
            folder = self.out or (make_folder() if make_folder else None)
            files = save(result, folder, self.file_format)
        except RunError as error:
            problem = error
        show(result, files, as_json=self.as_json)
        if problem is not None:
            log(f"warning: figures and tables are not saved: {problem}; --out DIR saves them there")


_OUTPUT_OPTIONS = (
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for figures and tables.  [default: plots/ and analysis/ in the run folder]",
    ),
    figure_options,
    json_option,
    debug_option,
)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for its output, as one argument `output: Output`."""

    @functools.wraps(command)
    def with_output(*, out: Path | None, file_format: str, as_json: bool, **rest: Any) -> None:
        command(output=Output(out, file_format, as_json), **rest)

    for option in reversed(_OUTPUT_OPTIONS):
        with_output = option(with_output)
    return with_output


def load_with_data(run_dir: str, output: Output) -> "Run":
    """Open a run folder, and download the run's data if it is missing."""
    from mnistlin.runs.folder import load_run

    run = load_run(run_dir)
    recorded = run.info.data.recorded_folder
    fetch_data(run.config.data.dataset, quiet=output.as_json, recorded=recorded)
    return run


def show(result: "Result", files: Sequence[Path] = (), *, as_json: bool) -> None:
    """Print a result, and the files that it was saved to, as lines or as one JSON object."""
    from mnistlin.analysis.result import as_text

    if as_json:
        echo(json.dumps(_as_object(result, files)))
        return
    for key, value in result.values().items():
        echo_value(key, as_text(value))
    for rows in filter(None, result.tables().values()):
        echo("\n" + "\n".join(_aligned(rows)))
    if words := result.explanation():
        echo(f"\n{_wrapped(words)}\n")
    for warning in result.warnings():
        echo_value("warning", warning)
    for path in files:
        echo_value("file", path)


def _wrapped(text: str) -> str:
    """Wrap paragraphs; indented ones, such as commands, are kept."""
    width = min(MAX_LINE, table_width() or MAX_LINE)
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        words if words.startswith("    ") else wrapped(words, width) for words in paragraphs
    )


def _as_object(result: "Result", files: Sequence[Path]) -> Mapping[str, Any]:
    optional = {"warnings": list(result.warnings()), "explanation": result.explanation()}
    parts = dict(result.as_object())
    parts |= {key: value for key, value in optional.items() if value}
    return parts | ({"files": [str(path) for path in files]} if files else {})


def _aligned(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table, header first, right-aligned."""
    from mnistlin.analysis.result import as_text
    from mnistlin.runs.tables import fitted

    cells = [list(rows[0]), *([as_text(value) for value in row.values()] for row in rows)]
    return fitted(cells, table_width(), str.rjust)
