"""Options that several commands share, and the types of their values.

Text is parsed here, once: a setting becomes a dotted key and a value, `0,1e-4:1:9log` and `0-4`
become lists of numbers.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mnistlin.cli.completion import CONFIG, setting_type
from mnistlin.cli.terminal import log

if TYPE_CHECKING:
    from mnistlin.config import ExperimentConfig


Command = TypeVar("Command", bound=Callable[..., Any])

_DEBUG = "mnistlin.debug"


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value or wants_debug(ctx)


def wants_debug(ctx: click.Context) -> bool:
    """Return whether the user asked for tracebacks."""
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
    is_eager=True,  # names of runs are looked up in it, wherever they appear
    default="runs",
    envvar="MNISTLIN_RUNS_DIR",
    show_default=True,
    show_envvar=True,
    help="Parent of the run folders.",
)

_format_option = click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="File format of the figures.",
)


def _use_style(ctx: click.Context, _: click.Parameter, value: str) -> None:
    if value != "page":
        from mnistlin.figures.style import drawn_for_paper

        ctx.with_resource(drawn_for_paper())


_style_option = click.option(
    "--style",
    type=click.Choice(["page", "paper"]),
    default="page",
    show_default=True,
    expose_value=False,
    callback=_use_style,
    help="Figures for a screen, or for one column of a paper: 3.4 in wide, no title, no footer.",
)


def figure_options(command: Command) -> Command:
    """Give a command the options for figures; it receives `file_format` alone."""
    return _format_option(_style_option(command))


def _setting(text: str) -> tuple[str, Any]:
    """Parse `KEY=VALUE`; an error is a ConfigError, as for the config that it belongs to."""
    from mnistlin.config import parse_setting

    return parse_setting(text)


SETTING = setting_type(_setting)


@dataclass(frozen=True)
class TrainingOptions:
    """Values of the options shared by all commands that train."""

    overrides: Mapping[str, Any]
    runs_dir: Path
    with_plots: bool
    as_json: bool
    quiet: bool
    file_format: str

    def load(self, configs: Sequence[str]) -> "ExperimentConfig":
        """Load and merge config files, with the overrides applied."""
        from mnistlin.config import load_config

        return load_config(configs, self.overrides)

    def log(self, message: str) -> None:
        """Print a message to standard error, unless quiet."""
        if not self.quiet:
            log(message)

    def draw_with_warning(self, what: str, draw: Callable[[], object]) -> None:
        """Draw figures; any failure is only a warning, since the results are already written."""
        try:
            draw()
        except Exception as error:
            self.log(f"warning: the {what} is written, but a figure could not be drawn: {error}")
        except KeyboardInterrupt:
            self.log(f"warning: the {what} is written, but not all of its figures are drawn")


class Group(click.Group):
    """A group whose help shows the first sentence of each command as a whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; click would end each sentence at the edge of the terminal."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str(limit=200)) for name, each in commands if each]
            )


class ConfigCommand(click.Command):
    """A command that takes configs by an option, and says so if one is given without it."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options, and reject everything else."""
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            ctx.fail(f"unexpected argument {rest[0]!r}; a config is given as --config {rest[0]}.")
        return rest


set_option = click.option(
    "--set",
    "settings",
    type=SETTING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a config key.",
)

_TRAINING_OPTIONS = (
    set_option,
    click.option("--seed", type=int, help="Short for --set training.seed=N."),
    click.option("--name", help="Short for --set name=NAME."),
    runs_dir_option,
    click.option("--no-plots", is_flag=True, help="Draw no figures."),
    figure_options,
    click.option("--json", "as_json", is_flag=True, help="Print the summary as a JSON object."),
    click.option("-q", "--quiet", is_flag=True, help="Show only the result: no bar, no log."),
    debug_option,
)


def config_option(
    help_text: str = "A YAML file or a shipped config; several are merged.",
) -> Callable[[Command], Command]:
    """Return the option `--config`, which may be given several times, as the argument `configs`."""
    return click.option(
        "--config", "configs", type=CONFIG, multiple=True, metavar="FILE|NAME", help=help_text
    )


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options, as one argument `options: TrainingOptions`."""

    @functools.wraps(command)
    def with_options(  # noqa: PLR0913 (one for each option)
        *,
        settings: tuple[tuple[str, Any], ...],
        seed: int | None,
        name: str | None,
        runs_dir: Path,
        no_plots: bool,
        as_json: bool,
        quiet: bool,
        file_format: str,
        **rest: Any,
    ) -> None:
        overrides = dict(settings)
        if seed is not None:
            overrides["training.seed"] = seed
        if name is not None:
            overrides["name"] = name
        options = TrainingOptions(overrides, runs_dir, not no_plots, as_json, quiet, file_format)
        command(options=options, **rest)

    for option in reversed(_TRAINING_OPTIONS):
        with_options = option(with_options)
    return with_options


MAX_VALUES = 1000
"""Maximum number of values in a range; more are a typo."""

_NUMBER = r"[+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_LOG_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):([0-9]{{1,9}})log")
_WHOLE_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


class _ListType(click.ParamType[list[Any]]):
    """Numbers and ranges, separated by commas, as a list; the config checks what they may be."""

    form: str

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        """Parse the text, unless it is a default that is a list already."""
        if not isinstance(value, str):
            return list(value)
        found: list[Any] = []
        for part in value.split(","):
            try:
                found += self.values_of(part.strip())
            except ValueError as error:
                reason = str(error) or f"{part.strip()!r} is not one of {self.form}"
                self.fail(f"{value}: {reason}.", param, ctx)
        return found

    def values_of(self, part: str) -> Iterable[float]:
        """Return the numbers of one part; raise a ValueError, with or without a reason."""
        raise NotImplementedError


class FloatList(_ListType):
    """Numbers, and ranges on a log scale: `1,0.1,0`, `0,1e-4:1:9log`."""

    name = "numbers"
    form = "numbers such as 1,0.1,0, or 9 values from 1e-4 to 1 on a log scale: 1e-4:1:9log"

    def values_of(self, part: str) -> Iterator[float]:
        """Yield the values; those of a range are rounded to six digits."""
        if re.fullmatch(rf"-?{_NUMBER}", part):
            yield float(part)
            return
        match = _LOG_RANGE.fullmatch(part)
        if match is None:
            raise ValueError
        start, stop, n = float(match[1]), float(match[2]), int(match[3])
        if start == 0 or stop == 0:
            raise ValueError("a range on a log scale cannot reach 0; add 0 to it: 0,1e-4:1:9log")
        if not 2 <= n <= MAX_VALUES:
            raise ValueError(f"a range has 2 to {MAX_VALUES} values, not {n}")
        for i in range(n):
            yield float(f"{start ** (1 - i / (n - 1)) * stop ** (i / (n - 1)):.6g}")


class WholeList(_ListType):
    """Whole numbers and ranges: `0,1,7`, `0-4`."""

    name = "whole numbers"
    form = "whole numbers such as 0,1,7, or a range such as 0-4"

    def __init__(self, at_least: int | None = None) -> None:
        self.at_least = at_least

    def values_of(self, part: str) -> Iterable[int]:
        """Return the values; a range includes both ends."""
        if re.fullmatch(r"-?[0-9]{1,18}", part):
            values = range(int(part), int(part) + 1)
        elif match := _WHOLE_RANGE.fullmatch(part):
            values = range(int(match[1]), int(match[2]) + 1)
        else:
            raise ValueError
        if not 1 <= len(values) <= MAX_VALUES:
            raise ValueError(f"a range increases and has at most {MAX_VALUES} values, as 0-4 does")
        if self.at_least is not None and values[0] < self.at_least:
            raise ValueError(f"found {values[0]}; the smallest number allowed is {self.at_least}")
        return values
