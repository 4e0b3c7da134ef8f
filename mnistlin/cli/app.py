"""The group of all commands, and the one place where errors become messages and exit codes."""

import io
import re
import signal
import sys
import tempfile
import traceback
from typing import Any

import click

from mnistlin._version import __version__
from mnistlin.cli import (
    check,
    config,
    data,
    evaluate,
    explain,
    identify,
    predict,
    report,
    runs,
    sweep,
    train,
)
from mnistlin.cli.options import Group, debug_option, wants_debug
from mnistlin.cli.terminal import log, open_closed_streams
from mnistlin.errors import MnistlinError

EXIT_INTERRUPTED = 130

_NOT_UTF_8 = re.compile("[\0\ud800-\udfff]")
"""NUL, and the characters that stand in Python for bytes that are not UTF-8."""


class _Group(Group):
    """A group whose commands may raise anything; the user sees one clear error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the group, once every argument of the command is valid text.

        Settings, paths and the command line itself are recorded in files that hold UTF-8 alone.
        """
        broken = next(filter(_NOT_UTF_8.search, args), None)
        if broken is not None and not ctx.resilient_parsing:  # completion offers what it can
            raise click.UsageError(
                f"the argument {broken!a} is not UTF-8 text, or has a NUL byte; if it names a "
                "file or folder, rename that first"
            )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            log(shown.getvalue().rstrip("\n"))  # which wraps it between words
            ctx.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            log("interrupted")
            ctx.exit(EXIT_INTERRUPTED)
        except Exception as error:
            if wants_debug(ctx):
                traceback.print_exc()
            known = _known(error)
            log(f"error: {known}")
            ctx.exit(known.exit_code)


def _known(error: Exception) -> MnistlinError:
    """Return an error as one whose message is for the user."""
    if isinstance(error, MnistlinError):
        return error
    if isinstance(error, OSError):  # such as a full disk where the output goes
        return MnistlinError(f"operating system error: {error}")
    what = f"internal error ({f'{type(error).__name__}: {error}'.rstrip(': ')})"
    try:
        saved = _save_traceback(error)
    except OSError as reason:
        return MnistlinError(f"{what}; please report it, with what --debug shows ({reason})")
    return MnistlinError(f"{what}; please report it, with the file {saved}")


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a file for a bug report; return its name."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="mnistlin-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return file.name


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mnistlin")
@debug_option
def cli() -> None:
    """Train linear classifiers on MNIST-like images, and ask questions about the runs.

    \b
    Begin with:
      mnistlin train --config quickstart
      mnistlin runs
    """


_MODULES = (
    train,
    sweep,
    runs,
    evaluate,
    explain,
    identify,
    predict,
    check,
    report,
    data,
    config,
)
for _module in _MODULES:
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Run the command line of this process."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # its encoding may lack λ
    try:
        cli(prog_name="mnistlin")
    except OSError as error:  # even --help fails on a full disk
        log(f"error: {error}")
        sys.exit(1)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own shows a traceback at exit
