"""Options that several commands share, and the values that they stand for."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mnistlin.config import ExperimentConfig

_DEBUG = "mnistlin.debug"


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value or wants_debug(ctx)


def wants_debug(ctx: click.Context) -> bool:
    """Say whether the user asked for tracebacks."""
    return bool(ctx.meta.get(_DEBUG))


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show the traceback of an error.",
)

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    envvar="MNISTLIN_RUNS_DIR",
    show_default=True,
    show_envvar=True,
    help="Where run folders are.",
)

format_option = click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="File format of the figures.",
)


@dataclass(frozen=True)
class TrainingOptions:
    """What the options that all commands that train share ask for.

    Attributes
    ----------
    overrides : tuple of str
        Settings that win over the config, each `key=value`.
    runs_dir : Path
        Where the run folder is made.
    with_plots : bool
        Whether figures are drawn.
    as_json : bool
        Whether the result is printed as one JSON object.
    quiet : bool
        Whether only the result is printed.
    """

    overrides: tuple[str, ...]
    runs_dir: Path
    with_plots: bool
    as_json: bool
    quiet: bool

    def load(self, config: str) -> "ExperimentConfig":
        """Load a config, with the overrides applied."""
        from mnistlin.config import load_config

        return load_config(config, self.overrides)

    def log(self, message: str) -> None:
        """Tell the user how things go, on standard error."""
        if not self.quiet:
            click.echo(message, err=True)

    def draw_with_warning(self, what: str, draw: Callable[[], object]) -> None:
        """Draw figures; the results are safe by now, so whatever fails is only a warning."""
        try:
            draw()
        except Exception as error:
            self.log(f"warning: the {what} is complete, but a figure could not be drawn: {error}")


_TRAINING_OPTIONS = (
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a config key."
    ),
    click.option("--seed", type=int, help="Short for --set training.seed=N."),
    click.option("--name", help="Short for --set name=NAME."),
    runs_dir_option,
    click.option("--no-plots", is_flag=True, help="Draw no figures."),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as a JSON object."),
    click.option("-q", "--quiet", is_flag=True, help="No bar and no log, only the result."),
    debug_option,
)


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options, as one argument `options: TrainingOptions`."""

    @functools.wraps(command)
    def with_options(  # noqa: PLR0913 (one for each option)
        *,
        settings: tuple[str, ...],
        seed: int | None,
        name: str | None,
        runs_dir: Path,
        no_plots: bool,
        as_json: bool,
        quiet: bool,
        **rest: Any,
    ) -> None:
        overrides = list(settings)
        if seed is not None:
            overrides.append(f"training.seed={seed}")
        if name is not None:
            overrides.append(f"name={json.dumps(name)}")  # quoted: a name may look like a number
        options = TrainingOptions(tuple(overrides), runs_dir, not no_plots, as_json, quiet)
        command(options=options, **rest)

    for option in reversed(_TRAINING_OPTIONS):
        with_options = option(with_options)
    return with_options
