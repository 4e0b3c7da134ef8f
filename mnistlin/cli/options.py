"""Options that several commands share, and the values that they stand for.

Lists of numbers as they are typed on a command line: `1,0.1,0`, `1e-4:1:9log`, `0-4`.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistlin.errors import ConfigError

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


MAX_VALUES = 1000
"""More than so many values of a range are a slip of the finger."""

_NUMBER = r"[+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_LOG_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):([0-9]{{1,9}})log")
_SEED_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")

LAMBDAS_FORM = "numbers such as 1,0.1,0, or 9 values from 1e-4 to 1 on a log scale: 1e-4:1:9log"
PATIENCES_FORM = "whole numbers such as 5,10,20, or a range such as 1-50"
SEEDS_FORM = "whole numbers such as 0,1,7, or a range such as 0-4"


def lambdas_of(text: str) -> list[str]:
    """Return the λ that a text names, as texts of numbers; whether they may be λ is not checked.

    Raises
    ------
    ConfigError
        If a part is neither a number nor a range.
    """
    return _values(text, "--lambdas", LAMBDAS_FORM, _lambdas)


def seeds_of(text: str) -> list[str]:
    """Return the seeds that a text names; otherwise as `lambdas_of`."""
    return _values(text, "--seeds", SEEDS_FORM, _seeds)


def patiences_of(text: str) -> list[int]:
    """Return the patiences that a text names, each once, in increasing order.

    Raises
    ------
    ConfigError
        If a part is neither a whole number from 1 on nor a range.
    """
    values = sorted({int(value) for value in _values(text, "--patience", PATIENCES_FORM, _seeds)})
    if values[0] < 1:
        raise ConfigError(f"--patience {text}: found {values[0]}; a patience is 1 check or more")
    return values


def _values(
    text: str, option: str, form: str, values_of: Callable[[str], Iterator[str]]
) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        try:
            found += values_of(part.strip())
        except ValueError as error:
            reason = str(error) or f"{part.strip()!r} is not among what it takes: {form}"
            raise ConfigError(f"{option} {text}: {reason}") from None
    return found


def _lambdas(part: str) -> Iterator[str]:
    """Yield the values of one part; those of a range with six digits, which is what files show."""
    if re.fullmatch(rf"-?{_NUMBER}", part):
        yield part
        return
    match = _LOG_RANGE.fullmatch(part)
    if match is None:
        raise ValueError
    start, stop, n = float(match[1]), float(match[2]), int(match[3])
    if start == 0 or stop == 0:
        raise ValueError("a range on a log scale cannot reach 0; name 0 beside it: 0,1e-4:1:9log")
    if not 2 <= n <= MAX_VALUES:
        raise ValueError(f"a range has 2 to {MAX_VALUES} values, not {n}")
    for i in range(n):
        yield f"{start ** (1 - i / (n - 1)) * stop ** (i / (n - 1)):.6g}"


def _seeds(part: str) -> Iterator[str]:
    if re.fullmatch(r"-?[0-9]{1,18}", part):
        yield part
        return
    match = _SEED_RANGE.fullmatch(part)
    if match is None:
        raise ValueError
    seeds = range(int(match[1]), int(match[2]) + 1)
    if not 1 <= len(seeds) <= MAX_VALUES:
        raise ValueError(f"a range goes up, over at most {MAX_VALUES} numbers, as 0-4 does")
    yield from map(str, seeds)
